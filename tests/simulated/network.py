"""What steps on links do to a simulated cluster, and what questions about them show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from chaoskit.model.facts import (
    CarrierQuery,
    DroppedQuery,
    LinkQuery,
    PageQuery,
    ReachQuery,
    Reading,
)
from chaoskit.model.steps import (
    BlockPorts,
    CutLinks,
    JoinLinks,
    Link,
    LinkShape,
    SetLink,
    ShapeLinks,
)
from tests.simulated.cluster import SimulatedCluster


def cut(c: SimulatedCluster, step: CutLinks) -> None:
    c.cuts[step.tag] = {(link.source, link.destination) for link in step.links}


def join(c: SimulatedCluster, step: JoinLinks) -> None:
    c.cuts.pop(step.tag, None)
    c.blocks.pop(step.tag, None)
    c.shaped.pop(step.tag, None)


def shape(c: SimulatedCluster, step: ShapeLinks) -> None:
    c.shaped[step.tag] = step


def block(c: SimulatedCluster, step: BlockPorts) -> None:
    c.blocks[step.tag] = step


def set_link(c: SimulatedCluster, step: SetLink) -> None:
    (c.unplugged.discard if step.up else c.unplugged.add)(step.node)


def reach(c: SimulatedCluster, query: ReachQuery) -> Reading:
    if query.source in c.off:
        return Reading(value="source_off")
    routers = [key[1] for key in c.marks if key[0] == "does not forward"]
    if routers and "app" in (query.source, query.destination) and not {query.source, query.destination} & set(routers):
        return Reading(value="silent")
    if query.way == "one_way":
        lost = c.is_cut(query.source, query.destination) or {query.source, query.destination} & (c.off | c.unplugged)
        way = Link(source=query.source, destination=query.destination)
        ports = [span for blocked in c.blocks.values() if way in blocked.links for span in blocked.udp]
        lost = lost or (query.udp_port is not None and any(query.udp_port in span for span in ports))
        return Reading(value="silent" if lost else "answered")
    return Reading(value=c.probed(query.source, query.destination, query.tcp_port))


def link(c: SimulatedCluster, query: LinkQuery) -> Reading:
    """Exactly what was asked for, without chance."""
    way = Link(source=query.source, destination=query.destination)
    shapes = [s.shape for s in c.shaped.values() if way in s.links]
    shape = shapes[0] if shapes else LinkShape()
    number = {
        "delay": shape.median_s,
        "loss": shape.loss_percent,
        "burst": shape.burst_frames,
        "duplicate": shape.duplicate_percent,
        "reorder": shape.reorder_percent,
        "corrupt": shape.corrupt_percent,
        "rate": shape.rate_bits_per_s or 1e9,
        "size": float(shape.largest_bytes or 1500),
    }[query.aspect]
    return Reading(value=query.judged(number), number=number)


def page(c: SimulatedCluster, query: PageQuery) -> Reading:
    """Every member has a page, as long as a probe to the service's port is answered."""
    seen = c.probed(query.node, str(urlsplit(query.url).hostname), 5432)
    return Reading(value="there" if seen == "answered" else "not there", data=f"{query.url}: {seen}")


def carrier(c: SimulatedCluster, query: CarrierQuery) -> Reading:
    return Reading(value="off" if query.node in c.off else "no_carrier" if query.node in c.unplugged else "up")


def dropped(c: SimulatedCluster, query: DroppedQuery) -> Reading:
    return Reading(number=float(len(c.cuts.get(query.tag, ()))))


DEEDS: dict[str, Callable[[SimulatedCluster, Any], None]] = {
    "cut_links": cut,
    "join_links": join,
    "block_ports": block,
    "set_link": set_link,
    "shape_links": shape,
}
ANSWERS: dict[str, Callable[[SimulatedCluster, Any], Reading]] = {
    "page": page,
    "reach": reach,
    "link": link,
    "carrier": carrier,
    "dropped": dropped,
}
