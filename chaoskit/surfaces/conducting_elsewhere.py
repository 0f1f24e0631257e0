"""A run whose lab is on another machine: carried out, judged and rendered there; its directory comes here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from chaoskit.engine.interrupting import Interrupts
from chaoskit.engine.loading import Loaded
from chaoskit.model.condition import Condition
from chaoskit.model.errors import ChaoskitError, HealFailed, InputError, Interrupted, Problem
from chaoskit.model.experiment import Experiment
from chaoskit.model.plan import Plan
from chaoskit.model.record import Record
from chaoskit.model.result import Result
from chaoskit.ports.elsewhere import Elsewhere, Stream
from chaoskit.surfaces.elsewhere import Answer, places_of, say_err, sent, texts_of, variables_for

_STAMP = re.compile(r"^ *\d+\.\ds  ")
_KEPT = re.compile(r"^The lab stays up: chaoskit lab status (\S+)", re.MULTILINE)


class EndedElsewhere(ChaoskitError):
    """The command that was carried out there refused, in its own words."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code


class Brought(Record):
    """A run that has ended there, and lies here."""

    directory: Path
    result: Result
    heal_failed: bool
    interrupted: bool
    kept_lab: str | None


class _Heard:
    """What the run there says: its progress is passed on, its refusal kept."""

    def __init__(self, message: Callable[[str], None]) -> None:
        self._message = message
        self._rest = b""
        self._refusal: list[str] = []
        self.out = b""

    def __call__(self, stream: Stream, said: bytes) -> None:
        if stream == "out":
            self.out += said
            return
        *lines, self._rest = (self._rest + said).split(b"\n")
        for line in lines:
            self._line(line.decode("utf-8", "replace"))

    def _line(self, line: str) -> None:
        if self._refusal or line.startswith("error: "):
            self._refusal.append(line)
        else:
            self._message(_STAMP.sub("", line))

    def refusal(self) -> str:
        """The error with which it ended; empty where it said none."""
        return "\n".join(self._refusal).removeprefix("error: ").rstrip()

    def kept_lab(self) -> str | None:
        found = _KEPT.search(self.out.decode("utf-8", "replace"))
        return found.group(1) if found else None


def planned_elsewhere(found: Elsewhere, loaded: Loaded, words: tuple[str, ...], text: str | None) -> Plan:
    """What a run would do there. LabUnavailable in the words of the command there."""
    found.ready(say_err)
    answer = Answer()
    sent(
        found,
        (*words, "--json"),
        places=places_of(loaded),
        written=_written(loaded, text),
        variables=variables_for([*texts_of(loaded.lab, Path(loaded.source.path)), text or ""]),
        hear=answer,
    )
    return Plan.model_validate(answer.value())


def _written(loaded: Loaded, text: str | None) -> dict[str, str]:
    return {} if text is None else {str(Path(loaded.source.path).absolute()): text}


def _files_here(experiment: Experiment) -> Iterator[Problem]:
    """What waits for a file of this machine, which nobody would see there."""
    message = "a file that appears here is not seen on the engine's machine, where the run is: run chaoskit there"
    for index, action in enumerate(experiment.method):
        for key, condition in (("when", action.when), ("until", action.until)):
            for file in _files_of(condition):
                yield Problem(message=message, path=f"method[{index}].{key}.file", value=file)
    for file in experiment.abort_when.file:
        yield Problem(message=message, path="abort-when.file", value=file)


def _files_of(condition: Condition | None) -> Iterator[str]:
    if condition is not None:
        if condition.file is not None:
            yield condition.file
        for inner in (*(condition.all or ()), *(condition.any or ())):
            yield from _files_of(inner)


def run_elsewhere(
    found: Elsewhere,
    loaded: Loaded,
    words: tuple[str, ...],
    text: str | None,
    reports: Path,
    out: Path | None,
    message: Callable[[str], None],
    interrupts: Interrupts,
) -> Brought:
    """Have a run carried out there. EndedElsewhere with its words where it made no run directory; OutOfReach; HealFailed.

    `text`: the experiment, where it stands in no file.
    """
    if problems := list(_files_here(loaded.experiment)):
        raise InputError(problems)
    if out is not None and out.is_dir() and any(out.iterdir()):
        raise InputError([Problem(message="the run directory is not empty; give another one with --out", value=str(out))])
    message(f"the engine is elsewhere, and the whole run goes there: {found.where}")
    found.ready(message)
    interrupts.check()  # what came meanwhile ends it here; from now on signals are the run's there
    heard = _Heard(message)
    ended = sent(
        found,
        words,
        places=places_of(loaded),
        written=_written(loaded, text),
        variables=variables_for([*texts_of(loaded.lab, Path(loaded.source.path)), text or ""]),
        records="run",
        reports=reports,
        out=out,
        hear=heard,
    )
    if ended.died:
        raise HealFailed(
            f"chaoskit was killed there, in {', '.join(ended.died)}: `chaoskit recover` with the same DOCKER_HOST heals what is "
            f"left, and fetches the record"
        )
    if not ended.brought or not (ended.brought[0] / "result.json").is_file():
        raise EndedElsewhere(heard.refusal() or f"the run there ended with exit code {ended.code} and no result", ended.code)
    directory = ended.brought[0]
    return Brought(
        directory=directory,
        result=Result.model_validate_json((directory / "result.json").read_text(encoding="utf-8")),
        heal_failed=ended.code == HealFailed.exit_code,
        interrupted=ended.code == Interrupted.exit_code,
        kept_lab=heard.kept_lab(),
    )
