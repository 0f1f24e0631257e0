"""What may be asked about limits, and about what is used."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chaoskit.model.record import Record
from chaoskit.model.steps import ProcessRef
from chaoskit.model.steps.resources import LimitResource, QuotaResource


class LimitQuery(Record):
    """-> reading value: "soft:hard" as the kernel shows it for exactly this process, or "gone"; number: open descriptors."""

    kind: Literal["limit"] = "limit"
    node: str
    process: ProcessRef
    resource: LimitResource


class RoomQuery(Record):
    """-> reading number: the soft limit of descriptors under which this process can open so many more, and not one beyond;
    None where it is gone."""

    kind: Literal["room"] = "room"
    node: str
    process: ProcessRef
    spare: int = Field(ge=0)


class QuotaQuery(Record):
    """-> reading value: what all processes of the node may use together, as its shortest decimal text, or "unlimited", or "off";
    number: how much of it is used now (bytes, or processes and threads; none for cpu)."""

    kind: Literal["quota"] = "quota"
    node: str
    resource: QuotaResource


class BeyondQuery(Record):
    """A short-lived process in the node's place tries to use more than the quota allows.

    -> reading value: "denied" (by the kernel: throttled, killed for want of memory, a fork that failed) | "granted" |
    "unlimited" (there is no quota) | "off"; number: what it got (cores of CPU time, bytes, processes).
    The process offers itself as the first to be killed.
    """

    kind: Literal["beyond"] = "beyond"
    node: str
    resource: QuotaResource


class LoadQuery(Record):
    """-> reading value: "busy" (every worker gets on; all of the memory was touched) | "beginning" | "idle" | "ended" | "none"
    (never begun); number: cores of CPU time used, bytes of memory resident, or bytes written a second."""

    kind: Literal["load"] = "load"
    node: str
    tag: str
    window_s: float = Field(default=0.4, gt=0, le=5)
    """For so long it is watched."""


class KillsQuery(Record):
    """-> reading value: "waiting" | "killed" (once) | "killed again" | "ended" | "none" (never begun); number: kills so far."""

    kind: Literal["kills"] = "kills"
    node: str
    tag: str


def quota_words(value: float | None) -> str:
    """A quota as a reading's value shows it."""
    if value is None:
        return "unlimited"
    return f"{value:g}" if value % 1 else f"{value:.0f}"
