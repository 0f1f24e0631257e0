"""Another machine on which a backend's labs live: whole commands are carried out there, what they recorded is brought back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from chaoskit.model.record import Record

Stream = Literal["out", "err"]
Hear = Callable[[Stream, bytes], None]
"""Told what the command there says, as it says it."""


Recorded = Literal["", "run", "folder"]
"""What a command records: nothing, one run directory (`--out`), or a folder in `--reports`. Either is told where."""


class Errand(Record):
    """One command of chaoskit's that is carried out there."""

    words: tuple[str, ...]
    """The command line, without the program's name."""
    folder: Path
    """Where it is given: absolute."""
    places: tuple[Path, ...] = ()
    """Folders and files that are sent along, and are there at the same absolute paths."""
    written: Mapping[str, str] = {}
    """Path -> text of files that lie nowhere here, each in one of the places."""
    variables: Mapping[str, str] = {}
    """Of the environment: what the files refer to."""
    records: Recorded = ""
    reports: Path | None = None
    """The folder of run directories in which what it records comes to lie here."""
    out: Path | None = None
    """The run directory itself, where it is to lie in another place."""
    stays: bool = False
    """What it starts goes on after its end, and writes to its logs: they are brought back when that has ended."""


class Ended(Record):
    """An errand that was carried out."""

    code: int
    """Its exit code."""
    brought: tuple[Path, ...] = ()
    """Run directories that lie here now."""
    died: tuple[str, ...] = ()
    """Names of run directories whose chaoskit was killed there: they stay until they were recovered."""


class Unfinished(Record):
    """An errand of this machine's whose end was not seen here."""

    id: str
    words: tuple[str, ...]
    running: bool
    """Its command, or a lab that it made, goes on."""
    stays: bool = False
    """It made something that stays up."""


class Elsewhere(Protocol):
    """The machine of an engine that is reached over the network."""

    where: str
    """For people."""

    def prepared(self) -> bool:
        """Whether commands can be carried out there at once. LabUnavailable where nobody answers."""

    def used(self) -> bool:
        """Whether something of ours may be there. LabUnavailable where nobody answers."""

    def ready(self, progress: Callable[[str], None]) -> None:
        """Have there what commands need, which may take a minute the first time. LabUnavailable with what is missing."""

    def carried_out(self, errand: Errand, hear: Hear, signals: Iterator[int]) -> Ended:
        """Carry a command out and bring back what it recorded. OutOfReach where the way there is lost meanwhile.

        `signals`: signals to hand on, as they come; the iterator ends where none waits, and is asked again a few times a second.
        """

    def unfinished(self) -> Sequence[Unfinished]:
        """Errands of this machine's that nobody saw the end of."""

    def fetched(self, left: Unfinished) -> Ended:
        """Bring back what lies there of an errand that has ended; `died` names what must be recovered first."""

    def recovered(self, left: Unfinished, hear: Hear, signals: Iterator[int]) -> Ended:
        """Have `recover --json` carried out there for what an errand recorded that died, and bring it back."""

    def left(self) -> str:
        """Take away what is needed there no more, once nothing of ours is up or waits to be fetched; "", or why it stays."""


@runtime_checkable
class GoesElsewhere(Protocol):
    """A backend whose labs may be on another machine."""

    def elsewhere(self) -> AbstractContextManager[Elsewhere] | None:
        """The machine where its labs are; None where that is this one. LabUnavailable where none is to be had."""
