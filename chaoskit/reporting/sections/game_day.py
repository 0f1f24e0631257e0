"""The game day: why it was held, who took part, what they saw and decided, and what is to follow."""

from __future__ import annotations

from datetime import UTC, datetime

from markupsafe import Markup

from chaoskit.model.game_day import GameDay, Remark
from chaoskit.model.units import Duration
from chaoskit.reporting.text import instant, markdown, table
from chaoskit.reporting.view import View

Said = tuple[str, str, str]
"""(when, who, what)."""


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _when(view: View, remark: Remark) -> str:
    """The place on the time line where it has one, else the instant; "" where nobody said when."""
    if remark.at is None:
        return ""
    moment = _moment(remark.at)
    trial = remark.trial
    if moment is None:
        trial = view.trials[0].result.index if trial is None and view.trials else trial
        after_s: float | None = float(Duration.parse(remark.at))
    else:
        zero = next((e for e in view.events if e.kind == "baseline.ended" and e.trial == trial and trial is not None), None)
        began = _moment(zero.wall) if zero is not None else None
        after_s = (moment - began).total_seconds() if began is not None else None
    if after_s is None:
        return f"{moment:%Y-%m-%d %H:%M:%S}" if moment is not None else ""
    return f"{instant(after_s)}, trial {trial}" if view.is_repeated else instant(after_s)


def _said(view: View, remarks: tuple[Remark, ...]) -> list[Said]:
    return [(_when(view, r), r.by, r.text) for r in remarks]


def _follow_ups(day: GameDay) -> list[tuple[str, str, str]]:
    """(what, owner, re-test). Nobody and no day are said as such: that is what goes wrong with follow-ups."""
    return [
        (f.action, f.owner or "nobody yet", f.retest.isoformat() if f.retest is not None else "no day yet")
        for f in day.follow_ups
    ]


class GameDaySection:
    name = "game-day"
    title = "Game day"
    order = 77

    def html(self, view: View) -> Markup:
        day = view.result.game_day
        if day is None:
            return Markup("")
        said = [("What was seen", _said(view, day.notes)), ("What was decided", _said(view, day.decisions))]
        return view.template("game_day.html.j2", day=day, said=said, follow_ups=_follow_ups(day))

    def markdown(self, view: View) -> str:
        day = view.result.game_day
        if day is None:
            return ""
        parts = [markdown(day.purpose)] if day.purpose else []
        if day.participants:
            named = ", ".join(markdown(f"{p.name} ({p.role})" if p.role else p.name) for p in day.participants)
            parts.append(f"Took part: {named}.")
        for heading, remarks in (("Seen", day.notes), ("Decided", day.decisions)):
            if remarks:
                rows = [[markdown(cell) for cell in row] for row in _said(view, remarks)]
                parts.append(table(["When", "By", heading], rows, right=(0,)))
        if day.follow_ups:
            rows = [[markdown(cell) for cell in row] for row in _follow_ups(day)]
            parts.append(table(["To do", "Owner", "Tested again"], rows))
        return "\n\n".join(parts)
