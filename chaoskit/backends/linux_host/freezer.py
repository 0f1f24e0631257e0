"""Stopping every process of a node where it stands: the cgroup v2 freezer where it can be written, else signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from chaoskit.backends.linux_host.node import Node
from chaoskit.backends.linux_host.wire import Refused
from chaoskit.linux import procfs

_DEADLINE_S = 2.0


def lab_cgroup_name(directory: Path) -> str:
    """The group of the lab with this directory: its id, after a mark of the state directory and the backend it belongs to."""
    family = directory.parent
    return f"{cgroup_prefix(family.parent if family.name == 'labs' else family)}{directory.name}"


def cgroup_prefix(state: Path) -> str:
    """How the groups of all labs in one state directory begin: labs of other states are not ours to see or sweep."""
    return f"chaoskit-{sha256(str(state).encode()).hexdigest()[:6]}-"


def cgroup_parents() -> list[Path]:
    """Cgroup v2 directories in which a lab's group might be made, best first: the root, then the caller's own group."""
    mounts = procfs.mounts(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
    own = procfs.unified_cgroup(Path("/proc/self/cgroup").read_text(encoding="utf-8"))
    found: list[Path] = []
    for mounted in mounts:
        if mounted.kind == "cgroup2":
            top = Path(mounted.point)
            found += [top] if own in (None, "/") else [top, top / str(own).lstrip("/")]
    return found


def make_cgroup(name: str) -> Path | None:
    """A group that can hold processes and be frozen, made now; None where this machine gives none."""
    for parent in cgroup_parents():
        made = parent / name
        try:
            made.mkdir()
            if (made / "cgroup.freeze").exists() and os.access(parent / "cgroup.procs", os.W_OK):
                return made
            made.rmdir()
        except OSError:
            continue
    return None


def remove_cgroup(group: Path) -> None:
    """Remove a group and those in it. OSError where a process is still there."""
    if not group.is_dir():
        return
    with contextlib.suppress(FileNotFoundError):
        for child in sorted(group.iterdir()):
            if child.is_dir():
                remove_cgroup(child)
        group.rmdir()


async def freeze_cgroup(group: Path, *, frozen: bool) -> None:
    """Write the wish and wait until the kernel says that it is so."""
    (group / "cgroup.freeze").write_text("1" if frozen else "0")
    deadline = time.monotonic() + _DEADLINE_S
    wanted = f"frozen {int(frozen)}"
    while wanted not in (last := (group / "cgroup.events").read_text()):
        if time.monotonic() > deadline:
            raise Refused(f"{group.name} did not become {wanted!r} in {_DEADLINE_S} s", last)
        await asyncio.sleep(0.0005)


async def stop_all(node: Node, members: Callable[[], dict[int, procfs.Stat]]) -> None:
    """SIGSTOP to every process of a node until none runs, whatever they fork meanwhile."""
    deadline = time.monotonic() + _DEADLINE_S
    first = True
    told: set[int] = set()
    while True:
        now = members()
        if first:
            node.already_stopped = {pid for pid, seen in now.items() if seen.state == "T"}
            first = False
        # one that waits in the kernel stops before it runs again; a shell's vfork waits so until its stopped child goes on
        running = [pid for pid, seen in now.items() if seen.state not in "TtZX" and not (seen.state == "D" and pid in told)]
        if not running:
            return
        if time.monotonic() > deadline:
            raise Refused(f"{node.name}: {len(running)} processes did not stop in {_DEADLINE_S} s", str(running[:20]))
        for pid in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                told.add(pid)
        await asyncio.sleep(0.001)


def continue_all(node: Node, members: Callable[[], dict[int, procfs.Stat]]) -> None:
    """SIGCONT to every process that the freeze stopped."""
    for pid in members():
        if pid not in node.already_stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    node.already_stopped = set()
