"""The time line of one trial: every lane on one axis, with the faults as shading behind all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chaoskit.model.figures import AddressFigures, AddressInterval, RoleInterval
from chaoskit.reporting.charts.lanes import (
    Block,
    Columns,
    ErrorRow,
    LatencyLane,
    LedgerLane,
    Strip,
    columns,
    error_rows,
    latency_lane,
    latency_scale,
    ledger_lane,
    pct,
    strip,
)
from chaoskit.reporting.scale import Linear, multiples, nice_time_step
from chaoskit.reporting.text import instant, number
from chaoskit.reporting.view import DEGRADED, DOWN, OK, ClientSeries, TimedEvent, TrialView

LEADER_PX = 16
EVENT_ROW_PX = 20
_EVENT_APART = 4.6
"""Percent: nearer marks go to the next row, so that they do not touch even on a phone."""
_EVENT_ROWS_MAX = 6


@dataclass(frozen=True, slots=True)
class Tick:
    x: str
    label: str
    rank: int
    """1: always labelled; 2: where the page is wide; 3: where the time line is zoomed."""
    edge: str
    """first or last where the label would not fit beyond the axis, else empty."""


@dataclass(frozen=True, slots=True)
class Shade:
    """A fault behind the lanes."""

    x: str
    width: str
    label: str
    about: str
    effective_x: str | None
    is_open: bool
    verified: bool
    anchor: str
    """start or end: on which side of its beginning the label has room."""


@dataclass(frozen=True, slots=True)
class LeaderRow:
    node: str
    role: str
    blocks: tuple[Block, ...]
    summary: str


@dataclass(frozen=True, slots=True)
class EventMark:
    x: str
    row: int
    number: int
    text: str
    kind: str


@dataclass(frozen=True, slots=True)
class Timeline:
    ticks: tuple[Tick, ...]
    zero_x: str
    shades: tuple[Shade, ...]
    strips: tuple[Strip, ...]
    latency: tuple[LatencyLane, ...]
    errors: tuple[ErrorRow, ...]
    leaders: tuple[LeaderRow, ...]
    owners: tuple[LeaderRow, ...]
    """Who answered for each floating address."""
    ledger: LedgerLane | None
    events: tuple[EventMark, ...]
    event_rows: int
    column_s: float
    hidden_baseline_s: float
    """How much of the baseline lies before the beginning of the axis."""
    readout: dict[str, Any]
    """For the script: what each column holds."""


def timeline(trial: TrialView, leader: str | None) -> Timeline:
    """Pure. `leader` is the role whose holder leads; None shows every role."""
    axis = Linear(trial.from_s, trial.until_s)
    grid = columns(trial.from_s, trial.until_s)
    scale = latency_scale(trial.clients)
    marks, rows = _event_marks(axis, trial.events)
    lost = trial.result.rpo.lost_writes if trial.result.rpo else ()
    leaders = _leader_rows(axis, trial.roles, leader)
    return Timeline(
        ticks=_ticks(axis),
        zero_x=pct(axis(0.0)),
        shades=_shades(axis, trial),
        strips=tuple(strip(grid, c) for c in trial.clients),
        latency=tuple(latency_lane(grid, c, scale) for c in trial.clients) if scale else (),
        errors=error_rows(grid, trial.clients),
        leaders=leaders,
        owners=tuple(row for name, a in sorted(trial.result.addresses.items()) for row in _owner_rows(axis, name, a)),
        ledger=ledger_lane(grid, trial.clients, lost),
        events=marks,
        event_rows=rows,
        column_s=grid.width_s,
        hidden_baseline_s=max(0.0, trial.from_s - trial.recorded_from_s),
        readout=_readout(grid, trial, leader),
    )


def _ticks(axis: Linear) -> tuple[Tick, ...]:
    """Each rank only where its step divides the step before it, so that labels stay evenly spaced."""
    length = axis.high - axis.low
    steps = [nice_time_step(length, 5)]
    for about in (12, 48):
        step = nice_time_step(length, about)
        steps.append(step if abs(steps[-1] / step - round(steps[-1] / step)) < 1e-6 else steps[-1])
    places = [multiples(axis.low, axis.high, step) for step in steps]
    ranks = {t: rank for rank, ticks in reversed(list(enumerate(places, start=1))) for t in ticks}
    return tuple(
        Tick(pct(x := axis(t)), number(t, 3), ranks[t], "first" if x < 1 else "last" if x > 99 else "") for t in sorted(ranks)
    )


def _shades(axis: Linear, trial: TrialView) -> tuple[Shade, ...]:
    found = []
    for fault in trial.faults:
        until = fault.until_s if fault.until_s is not None else trial.until_s
        left, right = axis(fault.from_s), axis(until)
        ended = f"healed at {instant(fault.until_s)}" if fault.until_s is not None else "still in force at the end"
        proof = "" if fault.verified else "; its effect was not verified"
        found.append(
            Shade(
                pct(left),
                pct(max(right - left, 0.1)),
                fault.label,
                f"{fault.label}, from {instant(fault.from_s)}, {ended}{proof}",
                pct(axis(fault.effective_s)) if fault.effective_s is not None else None,
                fault.until_s is None,
                fault.verified,
                "end" if left > 70 else "start",
            )
        )
    return tuple(found)


def _leader_rows(axis: Linear, roles: Sequence[RoleInterval], leader: str | None) -> tuple[LeaderRow, ...]:
    chosen = [r for r in roles if leader is None or r.role == leader] or list(roles)
    rows = []
    for role, node in dict.fromkeys((r.role, r.node) for r in sorted(chosen, key=lambda r: (r.role, r.node))):
        mine = sorted((r for r in chosen if (r.role, r.node) == (role, node)), key=lambda r: r.from_s)
        blocks: list[Block] = []
        previous: RoleInterval | None = None
        for interval in mine:
            if previous is not None and interval.from_s > previous.until_s:
                _append(blocks, axis, previous.until_s, interval.from_s, "unsure")
            _append(blocks, axis, interval.from_s, interval.until_s, interval.state)
            previous = interval
        held = [f"{instant(r.from_s)} to {instant(r.until_s)}" for r in mine if r.state == "yes"]
        rows.append(LeaderRow(node, role, tuple(blocks), f"{node} held {role}: {'; '.join(held) if held else 'never'}"))
    return tuple(rows)


def _owner_rows(axis: Linear, name: str, address: AddressFigures) -> list[LeaderRow]:
    rows = []
    for owner in dict.fromkeys(i.owner for i in address.owners):
        blocks: list[Block] = []
        mine = [i for i in address.owners if i.owner == owner]
        for interval in mine:
            _append(blocks, axis, interval.from_s, interval.until_s, "yes")
            _append(blocks, axis, interval.until_s, _next_answer_s(address, interval), "unsure")
        spans = "; ".join(f"{instant(i.from_s)} to {instant(i.until_s)}" for i in mine)
        rows.append(LeaderRow(owner, name, tuple(blocks), f"{owner} answered for {name} ({address.address}): {spans}"))
    return rows


def _next_answer_s(address: AddressFigures, interval: AddressInterval) -> float:
    """Until when an owner may have kept an address after its last answer: the next answer of anybody."""
    later = [i.from_s for i in address.owners if i.from_s >= interval.until_s and i is not interval]
    return min(later, default=interval.until_s)


def _append(blocks: list[Block], axis: Linear, from_s: float, until_s: float, kind: str) -> None:
    left, right = axis(from_s), axis(until_s)
    if right > left:
        blocks.append(Block(pct(left), pct(right - left), 0, LEADER_PX, kind))


def _event_marks(axis: Linear, events: Sequence[TimedEvent]) -> tuple[tuple[EventMark, ...], int]:
    """Key events, each in the first row where it does not touch the mark before it."""
    ends = [-100.0] * _EVENT_ROWS_MAX
    marks = []
    for event in events:
        if event.t_s is None or not event.is_key or not axis.low <= event.t_s <= axis.high:
            continue
        x = axis(event.t_s)
        free = next((i for i, end in enumerate(ends) if x - end >= _EVENT_APART), None)
        row = free if free is not None else int(np.argmin(ends))
        ends[row] = x
        text = f"{instant(event.t_s)} {event.text}"
        marks.append(EventMark(pct(x), row, event.number, text, event.style))
    return tuple(marks), 1 + max((m.row for m in marks), default=0)


def _medians_ms(grid: Columns, series: ClientSeries) -> list[float | None]:
    """The median latency of ok attempts in each column, in milliseconds."""
    good = (series.state == OK) | (series.state == DEGRADED)
    column, latency = grid.of(series.t_s[good]), series.latency_s[good]
    order = np.lexsort((latency, column))
    column, latency = column[order], latency[order]
    found: list[float | None] = [None] * grid.count
    first = np.searchsorted(column, np.arange(grid.count), side="left")
    after = np.searchsorted(column, np.arange(grid.count), side="right")
    for i in np.flatnonzero(after > first).tolist():
        found[i] = float(f"{latency[(first[i] + after[i] - 1) // 2] * 1e3:.3g}")
    return found


def _readout(grid: Columns, trial: TrialView, leader: str | None) -> dict[str, Any]:
    clients = []
    for series in trial.clients:
        at = grid.of(series.t_s)
        inside = at >= 0
        good = inside & ((series.state == OK) | (series.state == DEGRADED))
        bad = inside & (series.state == DOWN)
        clients.append(
            {
                "name": series.name,
                "ok": np.bincount(at[good], minlength=grid.count).tolist(),
                "down": np.bincount(at[bad], minlength=grid.count).tolist(),
                "ms": _medians_ms(grid, series),
            }
        )
    held = [
        [r.node, round(r.from_s, 3), round(r.until_s, 3)] for r in trial.roles if r.state == "yes" and leader in (None, r.role)
    ]
    return {
        "from": grid.from_s,
        "until": grid.until_s,
        "step": grid.width_s,
        "clients": clients,
        "leader": held,
    }
