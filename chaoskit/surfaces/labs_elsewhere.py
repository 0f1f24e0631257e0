"""`lab`, `recover` and `doctor` where the engine is on another machine: the same command there, and its answer here."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from chaoskit.engine.lab_loading import LoadedLab
from chaoskit.engine.recovering import Recovered
from chaoskit.model.capability import Survey
from chaoskit.model.errors import HealFailed, LabUnavailable
from chaoskit.ports.elsewhere import Elsewhere, Unfinished
from chaoskit.ports.lab import Leftover
from chaoskit.surfaces.elsewhere import (
    Answer,
    away,
    given_words,
    handed_on,
    machine_in_use,
    machines,
    place_of,
    places_of_lab,
    say_err,
    sent,
    texts_of,
    variables_for,
)
from chaoskit.surfaces.indexing import indexed
from chaoskit.surfaces.installed import Installed
from chaoskit.surfaces.terminal import say


def asked(found: Elsewhere, words: Sequence[str], **more: Any) -> dict[str, Any]:
    """What a command that is given with --json answers there."""
    answer = Answer()
    sent(found, words, hear=answer, **more)
    return answer.value()


def lab_raised(found: Elsewhere, loaded: LoadedLab, path: Path, reports: Path) -> int:
    """`lab up` there."""
    found.ready(say_err)
    lab = path / "lab.yaml" if path.is_dir() else path
    variables = variables_for(texts_of(loaded, lab))
    ended = sent(
        found,
        given_words(),
        places=places_of_lab(loaded),
        variables=variables,
        records="folder",
        reports=reports,
        stays=True,
    )
    return ended.code


def labs_there(found: Elsewhere) -> list[Leftover]:
    """The labs of that machine."""
    return [Leftover.model_validate(one) for one in asked(found, ("lab", "status", "--json"))["labs"]]


def brought_down(found: Elsewhere, lab_ids: Sequence[str], *, everything: bool) -> dict[str, list[str]]:
    """`lab down` there: lab -> what remains of it. Their logs come here."""
    answer = asked(found, ("lab", "down", "--json", *(("--all",) if everything else ("--", *lab_ids))))
    for left in found.unfinished():
        if not left.running:
            found.fetched(left)
    remains: dict[str, list[str]] = answer["remains"]
    return remains


# ---- recover


class RecoveredThere:
    """What `recover` did on the other machine."""

    def __init__(self) -> None:
        self.done: list[Recovered] = []
        self.fetched: list[Path] = []
        self.trouble = ""
        """Why nobody could look there, or not to the end."""


def recovered_there(installed: Installed) -> RecoveredThere:
    """Heal and sweep there, and fetch the run directories that nobody fetched."""
    there = RecoveredThere()
    try:
        with machine_in_use(installed) as found:
            if found is not None:
                swept = [_taken_up(found, left, there) for left in found.unfinished()]
                if not any(swept):
                    there.done += _done(asked(found, ("recover", "--json", "--reports", "/nonexistent/reports")))
    except LabUnavailable as error:
        there.trouble = str(error)
    for directory in there.fetched:
        indexed(directory, directory.parent)
    return there


def _taken_up(found: Elsewhere, left: Unfinished, there: RecoveredThere) -> bool:
    """Fetch what an errand recorded, after recovering what died of it; whether that swept the machine as well."""
    if left.running:
        if not left.stays:
            words = f"{' '.join(left.words)} (on {found.where})"
            there.done.append(Recovered(subject=words, skipped="its chaoskit still runs there"))
        return False
    ended = found.fetched(left)
    there.fetched += ended.brought
    if not ended.died:
        return False
    answer = Answer()
    with handed_on() as signals:
        ended = found.recovered(left, answer, signals)
    if ended.died:
        raise HealFailed(f"{', '.join(ended.died)} on {found.where} could not be recovered: {answer.value()}")
    there.fetched += ended.brought
    there.done += [_lies_here(one, ended.brought) for one in _done(answer.value())]
    return True


def _lies_here(one: Recovered, brought: Sequence[Path]) -> Recovered:
    """A run directory is told by its place here."""
    return one.model_copy(update={"subject": str(brought[0])}) if brought and one.subject.startswith("/") else one


def _done(answer: dict[str, Any]) -> list[Recovered]:
    return [Recovered.model_validate(one) for one in answer["recovered"]]


def say_fetched(there: RecoveredThere) -> None:
    """Which run directories came."""
    for directory in there.fetched:
        say(f"{directory}: fetched from the engine's machine", "good")
    if there.trouble:
        say(f"on the engine's machine nothing more could be done: {there.trouble}", "bad")


# ---- doctor


def surveys_there(installed: Installed, here: dict[str, Survey | str]) -> dict[str, Survey | str]:
    """`here` with what backends can do on the other machine, where that is known without building anything there."""
    found_out = dict(here)
    for backend in machines(installed):
        try:
            with away(backend) as found:
                if found is None or not found.prepared():
                    continue
                found.ready(say_err)
                answer = asked(found, ("doctor", "--json", "--labs", "/nonexistent"))["backends"]
        except LabUnavailable as error:
            found_out[backend.name] = str(error)
            continue
        for name in found_out:
            other = installed.backend(name)
            with place_of(other) or nullcontext() as its:
                if its is not None and its.where == found.where and not answer[name]["error"]:
                    found_out[name] = Survey(
                        backend=name,
                        mode=f"at {found.where}",
                        programs="image",
                        capabilities=answer[name]["capabilities"],
                    )
    return found_out
