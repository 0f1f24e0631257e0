"""From a shape, and questions about a link's quality, to what the holder carries out. Pure."""

from __future__ import annotations

import errno
from hashlib import sha256
from typing import Any

from chaoskit.backends.linux_host import shaping
from chaoskit.backends.linux_host.impairing import ShapeJson
from chaoskit.backends.linux_host.relay import LINKS_PER_RELAY, RelayJson
from chaoskit.backends.linux_host.wire import Refused, packed
from chaoskit.linux import distributions, netlink, nft, nft_sort, qdisc, rtnl
from chaoskit.model import facts, steps
from chaoskit.model.lab import InterfacePlan, LabPlan

Batch = dict[str, Any]

_NETEM_FRAMES = 100_000
_FRAME_BYTES = 1514
_NOT_THERE = (errno.ENODEV, errno.ENOENT, errno.EINVAL)


def shape(plan: LabPlan, step: steps.ShapeLinks) -> dict[str, Any]:
    """What the holder does for a shape: by the kernel's netem where it can and the kernel has it, else by a relay."""
    pairs = shaping.ports_between(plan, step.tag, step.links, step.network)
    ways = [_relayed(plan, step, pairs)]
    own = not any(interface.port for node in plan.nodes for interface in node.interfaces)
    if own and not (step.shape.largest_bytes or step.shape.duplicate_percent):
        # newer kernels refuse a netem that doubles frames beside others in one tree; none knows a largest size
        ways.insert(0, _by_netem(plan, step, pairs))
    return {"act": "shape", "tag": step.tag, "pairs": pairs, "netem": netem_trial(rtnl.LOOPBACK_INDEX), "ways": ways}


def netem_trial(device: int) -> list[Batch]:
    """Gives a netem to a device, and takes it away: only where the kernel has it, this works."""
    return [_route(rtnl.batch(qdisc.netem(device, qdisc.AT_ROOT))), _route(rtnl.batch(qdisc.no_netem_root(device)))]


def _by_netem(plan: LabPlan, step: steps.ShapeLinks, pairs: list[nft_sort.Pair]) -> dict[str, Any]:
    """At each port that frames leave by, a class with a netem leaf for each link, and the priorities that name them."""
    shaped = step.shape
    chosen = {
        "delay_s": shaped.delay_s,
        "jitter_s": shaped.jitter_s,
        "loss_percent": shaped.loss_percent,
        "burst_frames": shaped.burst_frames,
        "reorder_percent": shaped.reorder_percent,
        "corrupt_percent": shaped.corrupt_percent,
        "rate_bits_per_s": shaped.rate_bits_per_s,
    }
    limit = _NETEM_FRAMES
    if shaped.rate_bits_per_s:
        under_way_bytes = shaped.rate_bits_per_s * shaped.delay_s / 8
        limit = max(2, round((shaped.queue_bytes + under_way_bytes) / _FRAME_BYTES))
    # a link has one shape, so the port its frames come in by tells its class from the others of the port they leave by
    numbers = {pair: shaping.index_of(plan, pair[0]) - rtnl.PORT_FIRST_INDEX + 1 for pair in pairs}
    attach = []
    for (_, leaves), number in numbers.items():
        port = shaping.index_of(plan, leaves)
        leaf = qdisc.netem(port, qdisc.priority(number), distribution=shaped.distribution, limit_frames=limit, **chosen)
        attach.append(
            {
                "node": shaping.owner_of(plan, leaves),
                "port": leaves,
                "batches": [
                    _route(rtnl.batch(qdisc.root(port)), errno.EEXIST),
                    _route(rtnl.batch(qdisc.unlimited_class(port, number), leaf)),
                ],
                "detach": [_route(rtnl.batch(qdisc.no_class(port, number)), *_NOT_THERE)],
                "last": [_route(rtnl.batch(qdisc.no_root(port)), *_NOT_THERE)],
            }
        )
    return {
        "prepare": [],
        "relay": None,
        "attach": attach,
        "sort": _netfilter(nft_sort.prioritised(step.tag, {pair: qdisc.priority(number) for pair, number in numbers.items()})),
        "unsort": _netfilter(nft_sort.unsorted(step.tag, [])),
        "remove": [],
    }


def join(step: steps.JoinLinks) -> dict[str, Any]:
    """What the holder does to undo a cut, a block or a shape."""
    return {"act": "join", "tag": step.tag, "cut": _netfilter(nft.join(step.tag), errno.ENOENT)}


def trial() -> dict[str, Any]:
    """What shows, in a scratch network with one switch, whether this kernel lets a relay work."""
    switch, device = rtnl.bridge_name(0), "trial"
    index = rtnl.RELAY_FIRST_INDEX
    batches = [
        _route(rtnl.detour(("triali", index), (device, index + 1), super_frames=False)),
        _netfilter(nft_sort.swallowed("trial", device)),
        _netfilter(nft_sort.diverted("trial", switch, [1], index)),
        _netfilter(nft_sort.marked("trial", {(switch, switch): 1})),
    ]
    told = RelayJson(device=device, ports=[switch], shape=_shape_json(steps.LinkShape()), seed="trial")
    return {"batches": batches, "relay": told}


def _relayed(plan: LabPlan, step: steps.ShapeLinks, pairs: list[nft_sort.Pair]) -> dict[str, Any]:
    """A pair of devices for the relay, a diversion at each port that frames leave by, and the marks that send them there."""
    if len(pairs) > LINKS_PER_RELAY:
        raise Refused(f"shape {step.tag}: {len(pairs)} links; one shape holds at most {LINKS_PER_RELAY}")
    digest = int.from_bytes(sha256(step.tag.encode()).digest()[:8], "big")
    entrance, end = f"ck{digest & 0xFFFFFFFF:08x}i", f"ck{digest & 0xFFFFFFFF:08x}o"
    index = rtnl.RELAY_FIRST_INDEX + 2 * (digest >> 40)
    base = (digest >> 20 & 0xFFFFF) << 12
    marks = {pair: base | number for number, pair in enumerate(pairs, start=1)}
    ports = list(dict.fromkeys(leaves for _, leaves in pairs))
    shaped = step.shape
    whole = not (shaped.loss_percent or shaped.duplicate_percent or shaped.reorder_percent)
    whole = whole and not (shaped.corrupt_percent or shaped.rate_bits_per_s)
    told = RelayJson(
        device=end,
        ports=[leaves for _, leaves in pairs],
        shape=_shape_json(shaped),
        seed=step.tag,
    )
    return {
        "prepare": [
            _route(rtnl.detour((entrance, index), (end, index + 1), super_frames=whole)),
            _netfilter(nft_sort.swallowed(step.tag, end)),
        ],
        "relay": told,
        "attach": [
            {
                "node": shaping.owner_of(plan, port),
                "port": port,
                "batches": [_netfilter(nft_sort.diverted(step.tag, port, [marks[p] for p in pairs if p[1] == port], index))],
                "detach": [],
                "last": [],
            }
            for port in ports
        ],
        "sort": _netfilter(nft_sort.marked(step.tag, marks)),
        "unsort": _netfilter(nft_sort.unsorted(step.tag, [*ports])),
        "remove": [_netfilter(nft_sort.unsorted(step.tag, [end])), _route(rtnl.batch(rtnl.unplug(index)), errno.ENODEV)],
    }


def _shape_json(shaped: steps.LinkShape) -> ShapeJson:
    return ShapeJson(
        delay_s=shaped.delay_s,
        jitter_s=shaped.jitter_s,
        loss_percent=shaped.loss_percent,
        burst_frames=shaped.burst_frames,
        duplicate_percent=shaped.duplicate_percent,
        reorder_percent=shaped.reorder_percent,
        corrupt_percent=shaped.corrupt_percent,
        rate_bits_per_s=shaped.rate_bits_per_s,
        queue_bytes=shaped.queue_bytes,
        largest_bytes=shaped.largest_bytes,
        table=distributions.table(shaped.distribution) if shaped.jitter_s else [],
    )


def question(plan: LabPlan, query: facts.LinkQuery) -> dict[str, Any]:
    """What the holder is asked to feel a link's quality."""
    devices = {i.network: i for _, i in shaping.interfaces(plan, query.source, query.network)}
    there = [i for _, i in shaping.interfaces(plan, query.destination, query.network) if i.network in devices]
    if not there:
        raise Refused(f"{query.source} and {query.destination} share no network")
    here: InterfacePlan = devices[there[0].network]
    return {
        "kind": "link",
        "source": query.source,
        "source_device": here.device,
        "source_mac": here.mac,
        "destination": query.destination,
        "destination_device": there[0].device,
        "destination_mac": there[0].mac,
        "aspect": query.aspect,
        "expected": query.expected,
        "delay_s": query.delay_s,
        "probes": query.probes,
    }


def _netfilter(batch: bytes, *tolerate: int) -> Batch:
    return {"family": netlink.NETLINK_NETFILTER, "batch": packed(batch), "tolerate": tolerate}


def _route(batch: bytes, *tolerate: int) -> Batch:
    return {"family": netlink.NETLINK_ROUTE, "batch": packed(batch), "tolerate": tolerate}
