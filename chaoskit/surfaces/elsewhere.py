"""Commands whose lab is on another machine: sent there as they are, listened to, and what they recorded brought back."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from chaoskit.model.errors import LabUnavailable, OutOfReach
from chaoskit.ports.elsewhere import Elsewhere, Ended, Errand, GoesElsewhere, Hear, Recorded, Stream
from chaoskit.surfaces.endings import Surface
from chaoskit.surfaces.installed import Installed

if TYPE_CHECKING:  # read by whoever loads an experiment or a lab
    from chaoskit.engine.lab_loading import LoadedLab
    from chaoskit.engine.loading import Loaded

_HANDED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
_MOST_BYTES = 16 << 20
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OF_A_PROCESS = re.compile(r"DOCKER_\w+|LD_\w+|PYTHON\w*|PATH|PWD|OLDPWD|SHLVL|TMPDIR|_")
"""Variables that mean something else on another machine."""
_OF_THIS_MACHINE = ("CHAOSKIT_STATE", "CHAOSKIT_ENGINE_SOCKET", "CHAOSKIT_ENGINE_STATE", "CHAOSKIT_HELPER", "CHAOSKIT_ERRAND")


@contextmanager
def away(backend: Any) -> Iterator[Elsewhere | None]:
    """The machine where a backend's labs are; None where that is this one. At the end what is needed no more is taken away."""
    place = place_of(backend)
    if place is None:
        yield None
        return
    with place as found:
        try:
            yield found
        except OutOfReach:
            raise  # nobody answers there
        except BaseException:
            found.left()  # what went wrong is being told already, and is worth more than what this would tell
            raise
        if stays := found.left():
            say_err(f"note: {stays}")


def place_of(backend: Any) -> AbstractContextManager[Elsewhere] | None:
    """As the backend says it; backends that know of no other machine have none."""
    return backend.elsewhere() if isinstance(backend, GoesElsewhere) else None


def machines(installed: Installed) -> Iterator[Any]:
    """One backend for each other machine."""
    seen = set()
    for name in installed.registry.names("backends"):
        backend = installed.backend(name)
        with place_of(backend) or nullcontext() as found:
            if found is not None and found.where not in seen:
                seen.add(found.where)
                yield backend


@contextmanager
def machine_in_use(installed: Installed) -> Iterator[Elsewhere | None]:
    """The other machine, ready, where something of ours may be there; None where nothing is, or there is no other machine."""
    for backend in machines(installed):
        with away(backend) as found:
            if found is not None and found.used():
                found.ready(say_err)
                yield found
                return
    yield None


# ---- what goes along


def places_of_lab(lab: LoadedLab) -> Iterator[Path]:
    """Folders that building a lab reads."""
    yield lab.file.folder.absolute()
    for node in lab.rendered.plan.nodes:
        if node.build is not None:
            yield Path(node.build).absolute()
        for bind in node.container.binds if node.container is not None else ():
            yield Path(bind.source)  # of this machine, as everywhere


def places_of(loaded: Loaded) -> tuple[Path, ...]:
    """Folders that a run reads: the experiment's own, and its lab's."""
    return (loaded.folder.absolute(), *places_of_lab(loaded.lab))


def variables_for(texts: Iterable[str], environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What goes along of the environment: chaoskit's own variables, and those whose names stand in these texts."""
    named = {word for text in texts for word in _WORD.findall(text)}
    wanted = (name for name in environment if name in named or name.startswith("CHAOSKIT_"))
    return {
        name: environment[name] for name in sorted(wanted) if name not in _OF_THIS_MACHINE and not _OF_A_PROCESS.fullmatch(name)
    }


def texts_of(lab: LoadedLab, *more: Path) -> Iterator[str]:
    """The files that may name variables: experiment, lab, Compose file and its env files."""
    folder = lab.file.folder
    beside = (path for path in folder.iterdir() if path.suffix in (".yaml", ".yml", ".env") or path.name.startswith(".env"))
    for path in (*more, *sorted(beside)):
        if path.is_file():
            yield path.read_text(encoding="utf-8", errors="replace")


# ---- signals


class Signals(Iterator[int]):
    """Those that came and were not handed on yet. It ends where none waits, and may be asked again."""

    def __init__(self) -> None:
        self._came: deque[int] = deque()

    def __next__(self) -> int:
        if not self._came:
            raise StopIteration
        return self._came.popleft()

    def note(self, number: int, frame: FrameType | None) -> None:
        self._came.append(number)


@contextmanager
def handed_on() -> Iterator[Signals]:
    """Signals are no longer this process's own, but the command's that is carried out elsewhere."""
    signals = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    numbers = [n for n in _HANDED_ON if not (n == signal.SIGHUP and signal.getsignal(n) is signal.SIG_IGN)]
    earlier = {number: signal.signal(number, signals.note) for number in numbers}
    try:
        yield signals
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


# ---- whole commands


def given_words() -> tuple[str, ...]:
    """The command line as it was given."""
    root = click.get_current_context().find_root().command
    return root.words if isinstance(root, Surface) else ()


def said_as_it_is(stream: Stream, said: bytes) -> None:
    """On this process's own streams."""
    to = sys.stdout if stream == "out" else sys.stderr
    to.buffer.write(said)
    to.flush()


class Answer:
    """What a command says with --json; its progress and errors go to stderr."""

    def __init__(self) -> None:
        self._said = b""

    def __call__(self, stream: Stream, said: bytes) -> None:
        if stream == "err":
            said_as_it_is(stream, said)
        elif len(self._said) < _MOST_BYTES:
            self._said += said

    def value(self) -> dict[str, Any]:
        """LabUnavailable where it is no answer."""
        try:
            found: dict[str, Any] = json.loads(self._said)
        except ValueError as error:
            said = self._said.decode("utf-8", "replace")
            raise LabUnavailable("the command on the engine's machine gave no answer", said) from error
        if "error" in found:
            raise LabUnavailable(f"on the engine's machine: {found['error'].get('message', found['error'])}")
        return found


def sent(
    found: Elsewhere,
    words: Iterable[str],
    *,
    places: Iterable[Path] = (),
    written: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
    records: Recorded = "",
    reports: Path | None = None,
    out: Path | None = None,
    stays: bool = False,
    hear: Hear = said_as_it_is,
) -> Ended:
    """Have a command carried out there, where all is ready for it."""
    errand = Errand(
        words=tuple(words),
        folder=Path.cwd(),
        places=tuple(places),
        written=written or {},
        variables=variables_for(()) if variables is None else variables,
        records=records,
        reports=None if reports is None else reports.absolute(),
        out=None if out is None else out.absolute(),
        stays=stays,
    )
    with handed_on() as signals:
        return found.carried_out(errand, hear, signals)


def forwarded(installed: Installed) -> int | None:
    """The command as it was given, there; None where nothing of ours is there."""
    with machine_in_use(installed) as found:
        if found is None:
            return None
        return sent(found, given_words()).code


def say_err(text: str) -> None:
    click.echo(text, err=True)
