"""The lanes of the time line that are drawn from attempts: availability, latency, errors, ledger.

Every attempt that was not ok is kept: it has a mark in the latency lane (attempts that fall on the same pixel share one)
and is counted in its column. Attempts that were ok are binned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chaoskit.model.figures import LostWrite
from chaoskit.model.history import OUTCOMES
from chaoskit.reporting.samples import OUTCOME_NAMES
from chaoskit.reporting.scale import Log, log_ceiling, log_floor, nice_time_step
from chaoskit.reporting.view import DEGRADED, DOWN, INVALID, OK, ClientSeries, Float, Int

COLUMNS_MAX = 600
LATENCY_PX, LATENCY_ROWS = 84, 28
STRIP_PX, ERROR_PX, LEDGER_PX = 18, 16, 40
PATH_UNITS = 1000
"""Paths lie in a box this wide that is stretched over the plot."""
EXACT_MARKS, COARSE_MARKS = 4_000, 20_000
"""Up to so many marks are placed to 0.1 units; up to so many to 0.5; more to 1."""
_SHARES = (0.4, 0.6, 0.8, 1.0)


def pct(value: float) -> str:
    """A percentage for an SVG attribute, without trailing zeros."""
    return f"{value:.3f}".rstrip("0").rstrip(".") + "%"


@dataclass(frozen=True, slots=True)
class Columns:
    """The bins of time shared by every lane."""

    from_s: float
    width_s: float
    count: int
    until_s: float

    def of(self, t_s: Float) -> Int:
        """The column of each instant; -1 outside."""
        at = np.floor((t_s - self.from_s) / self.width_s + 1e-9).astype(np.int64)
        return np.where((at >= 0) & (at < self.count), at, -1)

    def place(self, column: int) -> float:
        """Percent across of a column's left edge."""
        return min(100.0, 100.0 * column * self.width_s / (self.until_s - self.from_s))


def columns(from_s: float, until_s: float) -> Columns:
    """At most COLUMNS_MAX columns of a round width."""
    width = nice_time_step(until_s - from_s, COLUMNS_MAX)
    return Columns(from_s, width, max(1, int(np.ceil((until_s - from_s) / width - 1e-9))), until_s)


@dataclass(frozen=True, slots=True)
class Block:
    """A rectangle: percent across, pixels down."""

    x: str
    width: str
    y: float
    height: float
    kind: str


def _blocks(grid: Columns, kinds: Sequence[tuple[str, float] | None], px: int) -> tuple[Block, ...]:
    """Equal neighbours joined. Each column is (kind, share of the height from the bottom), or None for nothing."""
    found: list[Block] = []
    start = 0
    for end in range(1, len(kinds) + 1):
        if end < len(kinds) and kinds[end] == kinds[start]:
            continue
        cell = kinds[start]
        if cell is not None:
            left, right = grid.place(start), grid.place(end)
            height = round(cell[1] * px, 2)
            found.append(Block(pct(left), pct(right - left), round(px - height, 2), height, cell[0]))
        start = end
    return tuple(found)


def _counts(grid: Columns, series: ClientSeries, chosen: np.ndarray) -> Int:
    at = grid.of(series.t_s[chosen])
    return np.bincount(at[at >= 0], minlength=grid.count)


def _share(part: int, whole: int) -> float:
    """The share as one of a few heights, never so small that it could not be seen."""
    return next(s for s in _SHARES if part <= s * whole + 1e-9)


@dataclass(frozen=True, slots=True)
class Strip:
    """Availability of one client."""

    client: str
    about: str
    blocks: tuple[Block, ...]
    summary: str
    attempts: tuple[int, int, int, int]
    """ok, degraded, down, invalid: in the time shown."""


def strip(grid: Columns, series: ClientSeries) -> Strip:
    """A column without attempts stays empty; one with any failure shows it, at least 40 % high."""
    ok, degraded, down, invalid = (_counts(grid, series, series.state == s) for s in (OK, DEGRADED, DOWN, INVALID))
    base: list[tuple[str, float] | None] = []
    over: list[tuple[str, float] | None] = []
    for o, d, b, i in zip(ok.tolist(), degraded.tolist(), down.tolist(), invalid.tolist(), strict=True):
        total = o + d + b + i
        base.append(("ok", 1.0) if o + d + b else ("invalid", 1.0) if i else None)
        worst = ("down", b) if b else ("degraded", d) if d else ("invalid", i)
        over.append((worst[0], _share(worst[1], total)) if worst[1] and o + d + b else None)
    sums = (int(ok.sum()), int(degraded.sum()), int(down.sum()), int(invalid.sum()))
    summary = f"{series.name}: of {sum(sums)} attempts {sums[0]} ok, {sums[1]} degraded, {sums[2]} down, {sums[3]} invalid"
    about = f"{series.operation}, {series.client_class}"
    return Strip(series.name, about, _blocks(grid, base, STRIP_PX) + _blocks(grid, over, STRIP_PX), summary, sums)


@dataclass(frozen=True, slots=True)
class Level:
    """A line across the latency lane."""

    y: float
    label: str
    kind: str


@dataclass(frozen=True, slots=True)
class MarkPath:
    outcome: str
    d: str
    attempts: int


@dataclass(frozen=True, slots=True)
class LatencyLane:
    client: str
    about: str
    density: tuple[tuple[int, str], ...]
    """(1 to 4, path): cells with ok attempts, darker with more."""
    density_box: str
    marks: tuple[MarkPath, ...]
    levels: tuple[Level, ...]
    summary: str


def latency_scale(clients: Sequence[ClientSeries]) -> Log | None:
    """One scale for all clients, so that their lanes can be compared; None where nothing was timed."""
    timed = [c.latency_s[np.isfinite(c.latency_s) & (c.latency_s > 0)] for c in clients]
    values = [v for v in timed if len(v)]
    if not values:
        return None
    low = min(float(v.min()) for v in values)
    high = max([*(float(v.max()) for v in values), *(c.deadline_s or 0.0 for c in clients)])
    low, high = log_floor(max(low, 1e-6)), log_ceiling(high * 1.2)
    return Log(low, high if high > low else low * 10, LATENCY_PX)


def latency_lane(grid: Columns, series: ClientSeries, scale: Log) -> LatencyLane:
    good = (series.outcome == OUTCOMES.index("ok")) | (series.outcome == OUTCOMES.index("degraded"))
    y = _heights(series.latency_s, scale)
    lines = [(scale(t), _short(t), "grid") for t in scale.ticks(4)]
    lines += [(scale(series.deadline_s), f"W {_short(series.deadline_s)}", "deadline")] if series.deadline_s else []
    lines += [(scale(series.slo_s), f"SLO {_short(series.slo_s)}", "slo")] if series.slo_s else []
    bad = sorted({int(o) for o in series.outcome[~good]}, key=lambda o: -int((series.outcome == o).sum()))
    marks = tuple(_mark_path(grid, series, o, y) for o in bad)
    seen = ", ".join(f"{m.attempts} {m.outcome}" for m in marks if m.attempts) or "no failed attempt"
    return LatencyLane(
        client=series.name,
        about=f"{series.operation}, {series.client_class}",
        density=_density(grid, series.t_s[good], y[good]),
        density_box=f"0 0 {grid.count} {LATENCY_ROWS}",
        marks=tuple(m for m in marks if m.d),
        levels=tuple(_level(LATENCY_PX - at, label, kind) for at, label, kind in lines),
        summary=f"{series.name}: latency of {int(good.sum())} ok attempts as density; {seen}",
    )


def _level(y: float, label: str, kind: str) -> Level:
    """A label stands above its line; at the top of the lane there is no room for it."""
    return Level(round(y, 1), label if kind != "grid" or y > 14 else "", kind)


def _short(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:g} s"
    return f"{seconds * 1e3:g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:g} µs"


def _heights(latency_s: Float, scale: Log) -> Float:
    """Pixels from the top. What was never sent lies at the very top."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.log(np.maximum(latency_s, scale.low) / scale.low) / np.log(scale.high / scale.low)
    return np.where(np.isfinite(share), LATENCY_PX * (1 - np.clip(share, 0, 1)), 0.0)


def _density(grid: Columns, t_s: Float, y: Float) -> tuple[tuple[int, str], ...]:
    """Cells by how many attempts they hold, in four steps; neighbours of one step become one line."""
    column = grid.of(t_s)
    row = np.minimum((y / LATENCY_PX * LATENCY_ROWS).astype(np.int64), LATENCY_ROWS - 1)
    cells = np.bincount((row * grid.count + column)[column >= 0], minlength=grid.count * LATENCY_ROWS)
    most = int(cells.max(initial=0))
    if most == 0:
        return ()
    step = np.where(cells > 0, 1 + np.floor(3.999 * np.log(np.maximum(cells, 1)) / np.log(max(most, 2))), 0).astype(np.int64)
    table = np.minimum(step, 4).reshape(LATENCY_ROWS, grid.count)
    paths: dict[int, list[str]] = {1: [], 2: [], 3: [], 4: []}
    for r in range(LATENCY_ROWS):
        line = table[r]
        edges = np.flatnonzero(np.diff(line)) + 1
        for start, end in zip([0, *edges.tolist()], [*edges.tolist(), grid.count], strict=True):
            if line[start]:
                paths[int(line[start])].append(f"M{start} {r}.5h{end - start}")
    return tuple((level, "".join(d)) for level, d in paths.items() if d)


_SHAPES = {
    "timeout": "M{x} {y}v7",
    "refused": "M{x} {y}h0",
    "unreachable": "M{x} {y}h0",
    "reset": "M{x} {y}m-3 0h6m-3-3v6",
    "app_error": "M{x} {y}m-3-3l6 6m0-6l-6 6",
    "wrong_role": "M{x} {y}m0-4l3.5 6h-7z",
    "wrong_data": "M{x} {y}m0-4l4 4-4 4-4-4z",
    "dns": "M{x} {y}m0 4l3.5-6h-7z",
    "tls": "M{x} {y}m-3-3h6v6h-6z",
    "not_sent": "M{x} {y}m-2.5 2a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0",
    "late": "M{x} {y}m-3 0h6",
}


def mark(outcome: str, x: float, y: float) -> str:
    """The shape of an outcome as path data."""
    return _SHAPES[outcome].format(x=f"{x:g}", y=f"{y:g}")


def _mark_path(grid: Columns, series: ClientSeries, outcome: int, y: Float) -> MarkPath:
    chosen = (series.outcome == outcome) & (grid.of(series.t_s) >= 0)
    attempts = int(chosen.sum())
    unit = 0.1 if attempts <= EXACT_MARKS else 0.5 if attempts <= COARSE_MARKS else 1.0
    across = (series.t_s[chosen] - grid.from_s) / (grid.until_s - grid.from_s) * PATH_UNITS
    places = np.unique(np.column_stack((np.round(across / unit), np.round(y[chosen] / unit))), axis=0) * unit
    name = OUTCOME_NAMES[outcome]
    return MarkPath(name, "".join(mark(name, round(px, 1), round(py, 1)) for px, py in places.tolist()), attempts)


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """How many attempts of all clients ended in one way, over time."""

    outcome: str
    total: int
    blocks: tuple[Block, ...]


def error_rows(grid: Columns, clients: Sequence[ClientSeries]) -> tuple[ErrorRow, ...]:
    """One row for each outcome that is neither ok nor degraded, the most frequent first."""
    rows: list[ErrorRow] = []
    for index, name in enumerate(OUTCOME_NAMES):
        if name in ("ok", "degraded"):
            continue
        counts = sum((_counts(grid, c, c.outcome == index) for c in clients), np.zeros(grid.count, dtype=np.int64))
        most = int(counts.max(initial=0))
        if most:
            cells = [(name, _share(n, most)) if n else None for n in counts.tolist()]
            rows.append(ErrorRow(name, int(counts.sum()), _blocks(grid, cells, ERROR_PX)))
    return tuple(sorted(rows, key=lambda row: (-row.total, row.outcome)))


@dataclass(frozen=True, slots=True)
class LedgerLane:
    """Acknowledged writes per column, and where those lie that are gone."""

    d: str
    box: str
    most: int
    acknowledged: int
    lost: tuple[tuple[str, int], ...]
    """(percent across, how many in that column)."""
    summary: str


def ledger_lane(grid: Columns, clients: Sequence[ClientSeries], lost_writes: Sequence[LostWrite]) -> LedgerLane | None:
    """None where no client keeps a ledger."""
    ledgers = [c for c in clients if c.is_ledger]
    if not ledgers:
        return None
    at = grid.of(np.concatenate([c.acknowledged_s for c in ledgers]))
    counts = np.bincount(at[at >= 0], minlength=grid.count)
    most = int(counts.max(initial=0))
    tops = np.round((LEDGER_PX - 6) * counts / max(most, 1)).astype(np.int64)
    edges = np.flatnonzero(np.diff(tops)) + 1
    steps = [f"M0 {LEDGER_PX}V{LEDGER_PX - int(tops[0])}"]
    steps += [f"H{i}V{LEDGER_PX - int(tops[i])}" for i in edges.tolist()]
    lost_at = grid.of(np.array([w.acknowledged_s for w in lost_writes], dtype=np.float64))
    where, many = np.unique(lost_at[lost_at >= 0], return_counts=True)
    total = int(counts.sum())
    return LedgerLane(
        d="".join(steps) + f"H{grid.count}V{LEDGER_PX}z",
        box=f"0 0 {grid.count} {LEDGER_PX}",
        most=most,
        acknowledged=total,
        lost=tuple(
            (pct(grid.place(int(c)) + 50 * grid.width_s / (grid.until_s - grid.from_s)), int(n))
            for c, n in zip(where, many, strict=True)
        ),
        summary=f"{total} writes acknowledged in the time shown, at most {most} in {_short(grid.width_s)}; "
        + (f"{len(lost_writes)} of them marked as lost" if lost_writes else "none marked as lost"),
    )
