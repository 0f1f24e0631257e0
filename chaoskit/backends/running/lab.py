"""A lab of running containers as the engine of experiments sees it: its steps, in the words of bridges that are not ours."""

from __future__ import annotations

import errno
import re
from hashlib import sha256
from typing import Any, TypeVar

from pydantic import BaseModel

from chaoskit.backends.linux_host import acts, shaping
from chaoskit.backends.linux_host.held_lab import HeldLab
from chaoskit.backends.linux_host.state import LabFiles
from chaoskit.backends.linux_host.wire import Refused, packed, unpacked
from chaoskit.linux import netlink, nft, nft_host, rtnl
from chaoskit.model import steps
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import DroppedQuery, Query, Reading
from chaoskit.model.lab import LabPlan
from chaoskit.model.steps import Step


def mark_of(lab_id: str) -> str:
    """What the tags of a lab begin with: in the engine's network there may be other labs."""
    return f"r{sha256(lab_id.encode()).hexdigest()[:10]}_"


def tag_of(lab_id: str, tag: str) -> str:
    """A tag that no other lab has, short and plain enough to be the name of a table."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", tag)[:20]
    return f"{mark_of(lab_id)}{plain}_{sha256(tag.encode()).hexdigest()[:6]}"


Tagged = TypeVar("Tagged", bound=BaseModel)


def _own(lab_id: str, tagged: Tagged) -> Tagged:
    """A step or query, with its tag, where it has one, as one of this lab's."""
    tag = getattr(tagged, "tag", None)
    return tagged.model_copy(update={"tag": tag_of(lab_id, tag)}) if isinstance(tag, str) else tagged


class RunningLab(HeldLab):
    """A lab whose nodes are containers of others."""

    def __init__(self, files: LabFiles, plan: LabPlan, lab_id: str, wiring: LabPlan) -> None:
        super().__init__(files, plan, lab_id)
        self._wiring = wiring

    def _act(self, step: Step) -> dict[str, Any]:
        try:
            return compiled(self.lab_id, self._wiring, step)
        except Refused as refusal:
            raise StepFailed(str(refusal), refusal.evidence) from refusal

    def read(self, query: Query) -> Reading:
        if not isinstance(query, DroppedQuery):
            return super().read(_own(self.lab_id, query))
        total, at_ns = 0, 0
        for tag in nft_host.tags_of(tag_of(self.lab_id, query.tag)):
            answer = self._ask({"op": "ask", "query": {"kind": "netfilter", "request": packed(nft.rules_of(tag))}})
            total, at_ns = total + nft.dropped(tag, unpacked(answer["dump"])), answer["at_ns"]
        return Reading(number=total, at_ns=at_ns)


def compiled(lab_id: str, wiring: LabPlan, step: Step) -> dict[str, Any]:
    """What the keeper does for a step. Refused where it cannot be done on bridges of others."""
    step = _own(lab_id, step)
    match step:
        case steps.CutLinks():
            return shaping.netfilter(nft_host.cut(step.tag, shaping.cut_pairs(wiring, step)))
        case steps.BlockPorts():
            if step.reject:
                raise Refused("ports are not rejected on bridges of others: leave `reject` out, and packets are dropped")
            tcp, udp = [span.pair for span in step.tcp], [span.pair for span in step.udp]
            return shaping.netfilter(nft_host.block(step.tag, shaping.cut_pairs(wiring, step), tcp, udp))
        case steps.JoinLinks():
            found = acts.act(wiring, step)
            found["cut"] = {"family": netlink.NETLINK_NETFILTER, "batch": packed(nft_host.join(step.tag)), "tolerate": []}
            return {"act": "join_host", "join": found, "mark": nft.table_name(step.tag)}
        case steps.SetLink():
            ports = _ports(wiring, step.node, step.network)
            batch = rtnl.batch(*(rtnl.set_named(port, up=step.up) for port in ports))
            return {"act": "set_ports", "ports": ports, "up": step.up, "batch": packed(batch)}
        case steps.FlapLink():
            return _flap(wiring, step)
        case steps.ShapeLinks():
            pairs = shaping.ports_between(wiring, step.tag, step.links, step.network)
            if any(nft_host.HOST in pair for pair in pairs):
                host = next(node.name for node in wiring.nodes if node.running is not None and not node.running.id)
                raise Refused(f"frames between a container and {host} are not shaped: name other `peers` in the fault")
            return acts.act(wiring, step)
        case _:
            return acts.act(wiring, step)


def _ports(wiring: LabPlan, node: str, network: str | None) -> list[str]:
    found = [port for name, port in shaping.ports_of(wiring, node).items() if network in (None, name)]
    if not found or nft_host.HOST in found:
        raise Refused(f"{node} has no cable on {f'the network {network!r}' if network else 'any bridge of its engine'}")
    return found


def _flap(wiring: LabPlan, step: steps.FlapLink) -> dict[str, Any]:
    ports = _ports(wiring, step.node, step.network)
    timing = {"period_s": step.period_s, "down_s": step.period_s * step.down_share}
    common = {"act": step.kind, "tag": step.tag, "node": step.node, "ports": [] if step.silent else ports, **timing}
    if step.silent:
        ways = {"down": packed(nft_host.silence(step.tag, ports)), "up": packed(nft_host.join(step.tag))}
        return {**common, "family": netlink.NETLINK_NETFILTER, "tolerate": [errno.ENOENT], **ways}
    ways = {w: packed(rtnl.batch(*(rtnl.set_named(port, up=w == "up") for port in ports))) for w in ("down", "up")}
    return {**common, "family": netlink.NETLINK_ROUTE, "tolerate": [errno.ENODEV], **ways}
