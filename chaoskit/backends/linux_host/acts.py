"""From steps and queries to what a lab's holder carries out. Pure."""

from __future__ import annotations

from typing import Any

from chaoskit.backends.linux_host import link_plans, rewiring, shaping
from chaoskit.backends.linux_host.wire import Refused, packed
from chaoskit.linux import nft
from chaoskit.model import facts, steps
from chaoskit.model.lab import LabPlan


def act(plan: LabPlan, step: steps.Step) -> dict[str, Any]:
    """What the holder does for a step. Refused where the step names what the lab does not have."""
    match step:
        case steps.CutLinks():
            pairs = shaping.cut_pairs(plan, step)
            return shaping.netfilter(nft.first_cut(step.tag, pairs)) | {"replacing": packed(nft.cut(step.tag, pairs))}
        case steps.JoinLinks():
            return link_plans.join(step)
        case steps.ShapeLinks():
            return link_plans.shape(plan, step)
        case steps.SetLink() | steps.BlockPorts():
            return shaping.act(plan, step)
        case (
            steps.AnnounceAddress() | steps.AnswerNames() | steps.FlapLink() | steps.ResetConnections() | steps.SetAddress()
            | steps.SetForwarding()
        ):  # fmt: skip
            return rewiring.act(plan, step)
        case _:
            fields = step.model_dump(mode="json")
            return {"act": fields.pop("kind"), **fields}


def question(plan: LabPlan, query: facts.Query) -> dict[str, Any]:
    """What the holder is asked for a query. Refused where it names what the lab does not have."""
    match query:
        case facts.DroppedQuery():
            return {"kind": "netfilter", "request": packed(nft.rules_of(query.tag))}
        case facts.ReachQuery():
            address, device = _way(plan, query)
            if query.tcp_port is not None:
                place = {"address": address, "port": query.tcp_port, "timeout_s": query.timeout_s}
                return {"kind": "connect", "node": query.source, **place}
            if query.way == "one_way":
                return shaping.one_way(plan, query)
            asked = {"kind": "reach", "node": query.source, "address": address, "device": device}
            return {**asked, "timeout_s": query.timeout_s}
        case facts.CarrierQuery():
            return shaping.question(plan, query)
        case facts.LinkQuery():
            return link_plans.question(plan, query)
        case (
            facts.ConnectionsQuery() | facts.FlapsQuery() | facts.ForwardingQuery() | facts.NameQuery() | facts.NeighbourQuery()
            | facts.OwnersQuery()
        ):  # fmt: skip
            return rewiring.question(plan, query)
        case _:
            return query.model_dump(mode="json")


def _way(plan: LabPlan, query: facts.ReachQuery) -> tuple[str, str | None]:
    """The destination's address, and the source's device on that network (None where it is not on it).

    On the network asked for, else on the first one that both share, else the destination's first address.
    """
    shaping.ports_of(plan, query.source), shaping.ports_of(plan, query.destination)
    devices = {interface.network: interface.device for interface in plan.node(query.source).interfaces}
    interfaces = [i for i in plan.node(query.destination).interfaces if query.network in (None, i.network)]
    if not interfaces:
        raise Refused(f"{query.destination} has no address on {query.network or 'any network'}")
    chosen = next((i for i in interfaces if i.network in devices), interfaces[0])
    return chosen.address, devices.get(chosen.network)
