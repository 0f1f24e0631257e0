"""The lab as one would draw it on a whiteboard, with the fault on it: networks as lines, nodes hanging from them.

Nodes of one network hang below it, nodes of several (routers, a management network's members) span from one line to the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaoskit.model.result import TrialResult

NODE_WIDTH, NODE_HEIGHT, GAP, BUS_GAP = 172, 62, 18, 34
MARGIN = 10
A_ROW_MAX = 6
NAME_CHARACTERS, TEXT_CHARACTERS = 18, 25
NODES_MAX = 60
JUST_BEFORE_S = 0.1


@dataclass(frozen=True, slots=True)
class NodeBox:
    name: str
    x: int
    y: int
    about: str
    """Its services, or that clients run there."""
    roles: str
    """What it held when the first fault was injected."""
    fault: str
    """Empty where it was not hit."""
    leads: bool
    is_client: bool


@dataclass(frozen=True, slots=True)
class Bus:
    name: str
    subnet: str
    x: int
    y: int
    width: int


@dataclass(frozen=True, slots=True)
class Wire:
    x: int
    top: int
    bottom: int


@dataclass(frozen=True, slots=True)
class Topology:
    width: int
    height: int
    buses: tuple[Bus, ...]
    wires: tuple[Wire, ...]
    nodes: tuple[NodeBox, ...]
    addresses: tuple[str, ...]
    """Floating addresses, with who answered for each before the fault."""
    summary: str


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _dicts(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, (list, tuple)) else []


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def _injected_s(trial: TrialResult) -> float | None:
    """Just before the first injection began: what is seen while it goes on may be its doing."""
    known = [f.injected_s if f.injected_s is not None else f.effective_s for f in trial.faults]
    return min((k - JUST_BEFORE_S for k in known if k is not None), default=None)


def _held(trial: TrialResult, at_s: float | None) -> dict[str, list[str]]:
    """Node -> roles it held just before an instant: the last answer each was seen to give."""
    held: dict[str, list[str]] = {}
    if at_s is None:
        return held
    for role, node in dict.fromkeys((r.role, r.node) for r in trial.roles):
        before = [r for r in trial.roles if (r.role, r.node) == (role, node) and r.from_s < at_s]
        if before and max(before, key=lambda r: r.from_s).state == "yes":
            held.setdefault(node, []).append(role)
    return held


def _faults(trial: TrialResult) -> dict[str, list[str]]:
    hit: dict[str, list[str]] = {}
    for fault in trial.faults:
        for node in fault.target:
            hit.setdefault(node, []).append(fault.name)
    return hit


def _owners(trial: TrialResult, at_s: float | None) -> tuple[str, ...]:
    said = []
    for name, address in sorted(trial.addresses.items()):
        before = [o.owner for o in address.owners if at_s is not None and o.from_s < at_s <= o.until_s]
        said.append(f"{name} {address.address}: " + (", ".join(dict.fromkeys(before)) or "nobody seen"))
    return tuple(said)


def topology(plan: Mapping[str, Any], trial: TrialResult, leader: str | None) -> Topology | None:
    """None where the plan does not say what nodes there are, or they are too many to draw."""
    lab = plan.get("lab_plan")
    nodes = _dicts(lab.get("nodes")) if isinstance(lab, dict) else []
    networks = lab.get("networks") if isinstance(lab, dict) else None
    if not nodes or not isinstance(networks, dict) or not networks or len(nodes) > NODES_MAX:
        return None
    on = {_text(n.get("name")): [_text(i.get("network")) for i in _dicts(n.get("interfaces"))] for n in nodes}
    at_s = _injected_s(trial)
    held, hit = _held(trial, at_s), _faults(trial)
    clients = {_text(c) for c in lab.get("clients") or ()} if isinstance(lab, dict) else set()
    order = list(networks)
    rows = _rows(on, order)
    across = max(len(row) for _, row in rows)
    width = 2 * MARGIN + across * NODE_WIDTH + (across - 1) * GAP
    buses: list[Bus] = []
    wires: list[Wire] = []
    boxes: list[NodeBox] = []
    y = MARGIN + 16
    by_name = {_text(n.get("name")): n for n in nodes}
    places: dict[str, int] = {}
    for network, row in rows:
        if network not in places:
            places[network] = y
            buses.append(Bus(network, _text(networks.get(network)), MARGIN, y, width - 2 * MARGIN))
            y += BUS_GAP
        left = MARGIN
        for name in row:
            node = by_name[name]
            services = [_text(s.get("name")) for s in _dicts(node.get("services"))]
            roles = held.get(name, [])
            boxes.append(
                NodeBox(
                    name=_cut(name, NAME_CHARACTERS),
                    x=left,
                    y=y,
                    about=_cut("clients" if name in clients else ", ".join(services) or "no service", TEXT_CHARACTERS),
                    roles=_cut(_roles(roles, leader), TEXT_CHARACTERS),
                    fault=_hit(hit.get(name, [])),
                    leads=leader is not None and leader in roles,
                    is_client=name in clients,
                )
            )
            left += NODE_WIDTH + GAP
        y += NODE_HEIGHT + BUS_GAP
    for box, name in zip(boxes, (n for _, row in rows for n in row), strict=True):
        wires += _wires(box, on[name], places)
    owners = _owners(trial, at_s)
    return Topology(
        width, y - BUS_GAP + MARGIN, tuple(buses), tuple(wires), tuple(boxes), owners, _summary(nodes, networks, held, hit)
    )


def _hit(faults: Sequence[str]) -> str:
    """The first fault, and how many more."""
    names = list(dict.fromkeys(faults))
    more = f" +{len(names) - 1}" if len(names) > 1 else ""
    return _cut(names[0], TEXT_CHARACTERS - 4) + more if names else ""


def _roles(roles: Sequence[str], leader: str | None) -> str:
    """The leading role first."""
    return ", ".join(sorted(roles, key=lambda r: (r != leader, r)))


def _rows(on: Mapping[str, Sequence[str]], order: Sequence[str]) -> list[tuple[str, list[str]]]:
    """(network, nodes below its line): each node below the first of its networks, a few a row; networks without nodes too."""
    rows: list[tuple[str, list[str]]] = []
    for network in order:
        below = [n for n, nets in on.items() if nets and min(nets, key=lambda x: order.index(x) if x in order else 99) == network]
        chunks = [below[i : i + A_ROW_MAX] for i in range(0, len(below), A_ROW_MAX)] or [[]]
        rows += [(network, chunk) for chunk in chunks]
    return rows


def _wires(box: NodeBox, networks: Iterable[str], places: Mapping[str, int]) -> list[Wire]:
    """From a node up or down to each of its networks' lines."""
    found = [places[n] for n in networks if n in places]
    wires = []
    for number, line in enumerate(found):
        x = box.x + NODE_WIDTH // 2 + (number - (len(found) - 1) / 2) * 16
        wires.append(Wire(round(x), min(line, box.y), box.y if line < box.y else line))
    return wires


def _summary(
    nodes: Sequence[Mapping[str, Any]], networks: Mapping[str, Any], held: Mapping[str, list[str]], hit: Mapping[str, list[str]]
) -> str:
    said = []
    for node in nodes:
        name = _text(node.get("name"))
        where = ", ".join(_text(i.get("network")) for i in _dicts(node.get("interfaces"))) or "no network"
        roles = f", held {', '.join(held[name])} when the fault was injected" if name in held else ""
        fault = f", hit by {', '.join(dict.fromkeys(hit[name]))}" if name in hit else ""
        said.append(f"{name} on {where}{roles}{fault}")
    return f"{len(nodes)} nodes on {', '.join(networks)}: " + "; ".join(said)
