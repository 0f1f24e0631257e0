"""A game day: why it is held, who takes part, what they saw and decided, and what is to follow."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, Field

from chaoskit.model.history import Event
from chaoskit.model.record import Record
from chaoskit.model.units import Duration

NOTE_KIND = "note"
About = Literal["note", "decision", "follow-up"]
ABOUTS: tuple[About, ...] = About.__args__  # type: ignore[attr-defined]


def _moment(value: str) -> str:
    """A time of a trial ("12s") or an instant (ISO 8601). ValueError for anything else."""
    text = value.strip()
    try:
        datetime.fromisoformat(text)
    except ValueError:
        try:
            Duration.parse(text)
        except ValueError:
            raise ValueError(
                "a time is a duration after the end of the baseline, such as 12s, or an instant such as 2026-03-31T14:05:09Z"
            ) from None
    return text


Moment = Annotated[str, AfterValidator(_moment)]
Text = Annotated[str, Field(min_length=1, max_length=2000)]


class Participant(Record):
    """Somebody who takes part."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """Who."""
    role: str = ""
    """As what: on call, observer, in charge."""


class Remark(Record):
    """Something that was seen, or decided."""

    text: Text
    """What."""
    by: str = ""
    """Who says so."""
    at: Moment | None = None
    """When: after the end of the baseline (`12s`), or an instant (`2026-03-31T14:05:09Z`)."""
    trial: Annotated[int, Field(ge=0)] | None = None
    """Of which trial a time such as `12s` is; the first where left out."""


class FollowUp(Record):
    """Something to be done because of what was seen."""

    action: Text
    """What is to be done."""
    owner: str = ""
    """Who does it."""
    retest: date | None = Field(default=None, validation_alias=AliasChoices("re-test", "retest"), serialization_alias="re-test")
    """The day on which the experiment is run again."""
    by: str = ""
    """Who asked for it."""


class GameDay(Record):
    """What people bring to a run, and take from it. `chaoskit note` adds to it during a run, and afterwards."""

    purpose: str = ""
    """What is to be found out."""
    participants: tuple[Participant, ...] = ()
    """Who takes part."""
    notes: tuple[Remark, ...] = ()
    """What observers saw, and when."""
    decisions: tuple[Remark, ...] = ()
    """What was decided, beforehand or because of what was seen."""
    follow_ups: tuple[FollowUp, ...] = Field(default=(), alias="follow-ups")
    """What is to be done, by whom, and when it is tested again."""

    def is_empty(self) -> bool:
        return not (self.purpose or self.participants or self.notes or self.decisions or self.follow_ups)


def with_recorded(written: GameDay | None, events: Iterable[Event]) -> GameDay | None:
    """What the experiment says, and after it what was noted in the run; None where nobody said anything."""
    known = written or GameDay()
    notes, decisions, follow_ups = list(known.notes), list(known.decisions), list(known.follow_ups)
    for event in events:
        if event.kind != NOTE_KIND or not event.data.get("text"):
            continue
        text, by = str(event.data["text"])[:2000], str(event.data.get("author") or "")
        about = event.data.get("about")
        if about == "follow-up":
            follow_ups.append(FollowUp(action=text, by=by, owner=str(event.data.get("owner") or ""), retest=_day(event)))
        else:
            remark = Remark(text=text, by=by, at=_instant(event.wall), trial=event.trial)
            (decisions if about == "decision" else notes).append(remark)
    made = known.model_copy(update={"notes": tuple(notes), "decisions": tuple(decisions), "follow_ups": tuple(follow_ups)})
    return None if made.is_empty() else made


def _day(event: Event) -> date | None:
    try:
        return date.fromisoformat(str(event.data.get("retest")))
    except ValueError:
        return None


def _instant(wall: str) -> str | None:
    """An event's own instant; None where it is none (a record that was written by hand)."""
    try:
        datetime.fromisoformat(wall)
    except ValueError:
        return None
    return wall
