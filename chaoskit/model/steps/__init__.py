"""Steps: the small acts a lab can perform, as data that survives JSON.

A fault returns them, a backend performs them, the undo journal keeps them literally. The set is closed: a new kind is a
change to every backend, so prefer a combination of these.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter

from chaoskit.model.record import Record
from chaoskit.model.steps.activities import Cease
from chaoskit.model.steps.clocks import LEAST_RATE_PPM, MOST_OFFSET_S, MOST_RATE_PPM, ShiftClock
from chaoskit.model.steps.disks import FailVolume, RemoveFile, RestoreVolume, WriteFile
from chaoskit.model.steps.matching import ProcessCriteria
from chaoskit.model.steps.network import BlockPorts, CutLinks, JoinLinks, SetLink
from chaoskit.model.steps.nodes import Exec, Freeze, PowerOff, PowerOn, SetService, Signal, StartService, StopService, Thaw
from chaoskit.model.steps.record import Link, ProcessRef, StepRecord
from chaoskit.model.steps.resources import KeepKilling, SetLimit, SetQuota, StartLoad
from chaoskit.model.steps.shaping import LinkShape, ShapeLinks
from chaoskit.model.steps.topology import AnnounceAddress, AnswerNames, FlapLink, ResetConnections, SetAddress, SetForwarding

Step = Annotated[
    AnnounceAddress
    | AnswerNames
    | BlockPorts
    | Cease
    | FlapLink
    | ResetConnections
    | SetAddress
    | SetForwarding
    | CutLinks
    | JoinLinks
    | SetLink
    | ShapeLinks
    | Exec
    | Freeze
    | PowerOff
    | PowerOn
    | Signal
    | ShiftClock
    | SetService
    | StartService
    | StopService
    | Thaw
    | FailVolume
    | RemoveFile
    | RestoreVolume
    | WriteFile
    | SetLimit
    | SetQuota
    | StartLoad
    | KeepKilling,
    Field(discriminator="kind"),
]

STEP: TypeAdapter[Step] = TypeAdapter(Step)
"""Validates a step from JSON."""


class Performed(Record):
    """What became of one step. Instants are CLOCK_MONOTONIC nanoseconds of the machine chaoskit runs on."""

    step: Step
    began_ns: int
    ended_ns: int
    output: str = ""


__all__ = [
    "LEAST_RATE_PPM",
    "MOST_OFFSET_S",
    "MOST_RATE_PPM",
    "STEP",
    "AnnounceAddress",
    "AnswerNames",
    "BlockPorts",
    "Cease",
    "CutLinks",
    "Exec",
    "FailVolume",
    "FlapLink",
    "Freeze",
    "JoinLinks",
    "KeepKilling",
    "Link",
    "LinkShape",
    "Performed",
    "PowerOff",
    "PowerOn",
    "ProcessCriteria",
    "ProcessRef",
    "RemoveFile",
    "ResetConnections",
    "RestoreVolume",
    "SetAddress",
    "SetForwarding",
    "SetLimit",
    "SetLink",
    "SetQuota",
    "SetService",
    "ShapeLinks",
    "ShiftClock",
    "Signal",
    "StartLoad",
    "StartService",
    "Step",
    "StepRecord",
    "StopService",
    "Thaw",
    "WriteFile",
]
