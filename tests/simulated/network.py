"""What steps on links do to a simulated cluster, and what questions about them show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chaoskit.model.facts import (
    CarrierQuery,
    DroppedQuery,
    LossQuery,
    ReachQuery,
    Reading,
)
from chaoskit.model.steps import (
    BlockPorts,
    CutLinks,
    JoinLinks,
    SetLink,
)
from tests.simulated.cluster import SimulatedCluster


def cut(c: SimulatedCluster, step: CutLinks) -> None:
    c.shares[step.tag] = step.share_percent
    c.cuts[step.tag] = {(link.source, link.destination) for link in step.links}


def join(c: SimulatedCluster, step: JoinLinks) -> None:
    c.cuts.pop(step.tag, None)
    c.shares.pop(step.tag, None)
    c.blocks.pop(step.tag, None)


def block(c: SimulatedCluster, step: BlockPorts) -> None:
    c.blocks[step.tag] = step


def set_link(c: SimulatedCluster, step: SetLink) -> None:
    (c.unplugged.discard if step.up else c.unplugged.add)(step.node)


def reach(c: SimulatedCluster, query: ReachQuery) -> Reading:
    if query.source in c.off:
        return Reading(value="source_off")
    if query.way == "one_way":
        lost = c.is_cut(query.source, query.destination) or {query.source, query.destination} & (c.off | c.unplugged)
        return Reading(value="silent" if lost else "answered")
    return Reading(value=c.probed(query.source, query.destination, query.tcp_port))


def loss(c: SimulatedCluster, query: LossQuery) -> Reading:
    lost = round(query.probes * c.lost_share(query.source, query.destination))
    return Reading(value=query.judged(lost), number=100 * lost / query.probes)


def carrier(c: SimulatedCluster, query: CarrierQuery) -> Reading:
    return Reading(value="off" if query.node in c.off else "no_carrier" if query.node in c.unplugged else "up")


def dropped(c: SimulatedCluster, query: DroppedQuery) -> Reading:
    return Reading(number=float(len(c.cuts.get(query.tag, ()))))


DEEDS: dict[str, Callable[[SimulatedCluster, Any], None]] = {
    "cut_links": cut,
    "join_links": join,
    "block_ports": block,
    "set_link": set_link,
}
ANSWERS: dict[str, Callable[[SimulatedCluster, Any], Reading]] = {
    "reach": reach,
    "loss": loss,
    "carrier": carrier,
    "dropped": dropped,
}
