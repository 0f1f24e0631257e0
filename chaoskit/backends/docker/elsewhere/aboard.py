"""What runs in the helper container: `python -m chaoskit.backends.docker.elsewhere.aboard ACT ...`, as `main` has it.

A command that is carried out has a mount namespace of its own, in which its files lie at the paths they have on the machine that
sent them. It writes to files, and this process passes on what it writes: whatever becomes of the connection, it goes on.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any

from chaoskit.backends.docker.elsewhere import layout
from chaoskit.backends.docker.elsewhere.layout import LookJson, OrderJson, SeenJson
from chaoskit.backends.linux_host import state, syscalls
from chaoskit.backends.linux_host.identity import start_ticks

FAMILIES = ("docker", "running")
_PAUSE_S = 0.03
_VISITOR = "visitor-"
_STAYS_S = 30.0
"""Who has not asked for so long was killed, or waits for an errand, which is there to be seen."""


def errands() -> Path:
    return state.state_directory() / layout.ERRANDS


@contextmanager
def alone() -> Iterator[None]:
    """Whoever begins an errand, and whoever says that nothing is left, one after another."""
    state.make_private(state.state_directory())
    errands().mkdir(mode=0o700, exist_ok=True)
    with (errands() / layout.LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def farewell() -> Path:
    return errands() / f"gone-{os.environ.get(layout.TOKEN, '')}"


# ---- looking


def seen() -> list[SeenJson]:
    """Every errand, the oldest first."""
    if not errands().is_dir():
        return []
    found = []
    for place in sorted(p for p in errands().iterdir() if (p / layout.ORDER).is_file()):
        order: OrderJson = json.loads((place / layout.ORDER).read_text(encoding="utf-8"))
        ended = json.loads((place / layout.ENDED).read_text()) if (place / layout.ENDED).is_file() else None
        running = _runs(place)
        found.append(
            SeenJson(
                id=place.name,
                order=order,
                running=running,
                held=running or bool(_marked(place.name)),
                code=None if ended is None else int(ended["code"]),
            )
        )
    return found


def _runs(place: Path) -> bool:
    try:
        process = json.loads((place / layout.PROCESS).read_text())
    except (OSError, ValueError):
        return False
    return any(state.alive(*process[who]) for who in process)


def _marked(errand: str) -> list[int]:
    """Processes that bear the errand's mark."""
    wanted = f"{layout.MARK}={errand}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):
                if wanted in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                    found.append(int(entry))
    return found


def labs() -> list[str]:
    return sorted({lab for family in FAMILIES for lab in (*state.labs_on_disk(family), *state.labs_in_processes(family))})


def why_no_engine() -> str:
    """ "" where the engine's socket is there and somebody listens."""
    path = os.environ.get("DOCKER_HOST", "").removeprefix("unix://")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError as error:
            return f"{path}: {error.strerror}"
    return ""


def look() -> LookJson:
    return LookJson(errands=seen(), labs=labs(), socket=why_no_engine())


# ---- files


class _Upto(io.RawIOBase):
    """So many bytes of standard input, whose end nobody tells."""

    def __init__(self, size: int) -> None:
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = os.read(0, min(len(buffer), self._left)) if self._left else b""
        self._left -= len(part)
        buffer[: len(part)] = part
        return len(part)


def take(size: int) -> None:
    """Unpack an archive of so many bytes into the state directory: an errand's folder."""
    with alone():
        pass
    coming = io.BufferedReader(_Upto(size))
    with tarfile.open(fileobj=coming, mode="r|") as tar:
        layout.trust(tar)  # chaoskit made it, of files that keep their owners
        tar.extractall(state.state_directory())
    while coming.read(1 << 16):
        pass


def give(errand: str) -> None:
    """Write an archive of what an errand recorded."""
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as tar:
        tar.add(errands() / errand / layout.RECORD, layout.RECORD)


# ---- carrying out


def carry(errand: str, words: list[str]) -> int:
    """Carry out an errand's command (`words`: another one in its place), passing on what it says; its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, _not_ours)
    place = errands() / errand
    with alone():
        if farewell().exists():
            return layout.GONE
        _note(place, carrier=os.getpid())
        _own_visit().unlink(missing_ok=True)  # the errand is there to be seen, also where its sender is killed
    order: OrderJson = json.loads((place / layout.ORDER).read_text(encoding="utf-8"))
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    for root in order["roots"]:
        _seen_at_its_place(place / layout.FILES / root.lstrip("/"), Path(root))
    os.makedirs(order["folder"], exist_ok=True)
    with (place / layout.SAID["out"]).open("wb") as out, (place / layout.SAID["err"]).open("wb") as err:
        command = subprocess.Popen(
            [sys.executable, "-m", "chaoskit.surfaces.entry", *(words or [*order["words"], *order["recording"]])],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=order["folder"],
            env={**os.environ, layout.MARK: errand},
            start_new_session=True,
        )
    _note(place, carrier=os.getpid(), command=command.pid)
    code = _passed_on(place, command)
    code = code if code >= 0 else 128 - code
    (place / layout.ENDED).write_text(json.dumps({"code": code}))
    return code


def _not_ours(number: int, frame: FrameType | None) -> None:
    """Signals are the command's. A handler, because what is ignored would be so in the command as well."""


def _note(place: Path, **processes: int) -> None:
    beside = place / f"{layout.PROCESS}.new"
    beside.write_text(json.dumps({who: (pid, start_ticks(pid)) for who, pid in processes.items()}))
    beside.replace(place / layout.PROCESS)


def _seen_at_its_place(source: Path, target: Path) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    syscalls.bind(str(source), str(target))


def _passed_on(place: Path, command: subprocess.Popen[bytes]) -> int:
    """Pass on what the command writes until it has ended; nobody may be there to take it."""
    os.set_blocking(1, False)
    os.set_blocking(2, False)
    with (place / layout.SAID["out"]).open("rb") as out, (place / layout.SAID["err"]).open("rb") as err:
        while (code := command.poll()) is None:
            if not (_some(err, 2) + _some(out, 1)):
                time.sleep(_PAUSE_S)
        quiet_from = time.monotonic() + layout.NOTHING_SAID_S
        size = (os.fstat(err.fileno()).st_size, os.fstat(out.fileno()).st_size)
        while (err.tell(), out.tell()) != size and time.monotonic() < quiet_from:
            if _some(err, 2) + _some(out, 1):
                quiet_from = time.monotonic() + layout.NOTHING_SAID_S
            else:
                time.sleep(_PAUSE_S)
    return code


def _some(file: IO[bytes], to: int) -> int:
    """Pass on what there is more of, as far as it is taken; how much that was."""
    before = file.tell()
    said = file.read(65536)
    if not said:
        return 0
    try:
        taken = os.write(to, said)
    except BlockingIOError:
        taken = 0
    except OSError:
        taken = len(said)  # nobody listens any more
    file.seek(before + taken)
    return taken


def tell(errand: str, number: int) -> bool:
    """Send a signal to an errand's command; False where it has none (yet)."""
    try:
        pid, ticks = json.loads((errands() / errand / layout.PROCESS).read_text())["command"]
    except (OSError, ValueError, KeyError):
        return False
    if state.alive(pid, ticks):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    return True


# ---- the end


def clear(errand: str) -> None:
    """Remove an errand's folder, unless something that it started is there."""
    if not _marked(errand):
        shutil.rmtree(errands() / errand, ignore_errors=True)


def visit() -> None:
    """Note that somebody asks something: he may ask more."""
    errands().mkdir(mode=0o700, parents=True, exist_ok=True)
    _own_visit().touch()


def _own_visit() -> Path:
    return errands() / f"{_VISITOR}{os.environ.get(layout.VISITOR, '')}"


def _others() -> bool:
    """Whether another than this visitor asked something a moment ago: then it is he who leaves last."""
    _own_visit().unlink(missing_ok=True)
    latest = time.time() - _STAYS_S
    return any(path.stat().st_mtime > latest for path in errands().glob(f"{_VISITOR}*"))


def leave() -> bool:
    """Whether nothing of ours is left here, and nobody else asks. This helper takes no errand any more then."""
    with alone():
        idle = not _others() and not seen() and not labs()
        if idle:
            for old in errands().iterdir():
                if old.is_dir():
                    shutil.rmtree(old)  # its sender was killed before it had sent all
                elif old.name != layout.LOCK:
                    old.unlink()
            farewell().touch()
    return idle


def main(act: str, *more: str) -> int:
    if act != "leave":
        visit()
    if act == "carry":
        return carry(more[0], json.loads(more[1]) if more[1:] else [])
    if act == "tell":
        return 0 if tell(more[0], int(more[1])) else 1
    if act == "take":
        take(int(more[0]))
        return 0
    if act == "give":
        give(more[0])
        return 0
    if act == "clear":
        clear(more[0])
        return 0
    answer = {"look": look, "leave": leave}[act]()
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
