"""A lab's files, and the traces by which a lab is found, ended and swept from outside, whatever moment it died at."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaoskit.backends.linux_host.controllers import NOTED, noted_groups, own_v1_places
from chaoskit.backends.linux_host.freezer import cgroup_parents, cgroup_prefix, lab_cgroup_name, remove_cgroup
from chaoskit.backends.linux_host.identity import own_environment, start_ticks
from chaoskit.backends.linux_host.volumes import attached_loops

_GONE_WITHIN_S = 10.0
_NEW = ".new-"
NAMESPACES = "labs"
"""The folder of the labs that are made of namespaces alone."""
TRIAL = "trial-"
"""How a survey's scratch group is called, before the number of the process that tries."""
_THAW_AFTER_S = 0.5


def state_directory() -> Path:
    """Where chaoskit keeps its labs: $CHAOSKIT_STATE, or a directory of this user's own under /var/tmp."""
    given = os.environ.get("CHAOSKIT_STATE")
    return Path(given).resolve() if given else Path(f"/var/tmp/chaoskit-{os.getuid()}")


def make_private(directory: Path) -> Path:
    """Create a directory that is ours alone. PermissionError where somebody else's stands in its place."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(13, f"{directory} belongs to another user: set CHAOSKIT_STATE to a directory of your own")
    return directory


@dataclass(frozen=True)
class LabFiles:
    """The directory of one lab."""

    lab_id: str
    family: str = NAMESPACES
    """Whose labs these are: each backend sees its own only."""

    @property
    def directory(self) -> Path:
        return state_directory() / self.family / self.lab_id

    @property
    def record(self) -> Path:
        return self.directory / "lab.json"

    def claim(self, **fields: Any) -> None:
        """Make the directory with its record in it, in one act: nobody sees a lab without an owner. FileExistsError if taken."""
        made = self.directory.with_name(f"{_NEW}{self.lab_id}-{os.getpid()}")
        try:
            made.mkdir(parents=True)
            (made / self.record.name).write_text(json.dumps(fields), encoding="utf-8")
            made.rename(self.directory)
        except BaseException as error:  # Ctrl-C may come between any two of these
            shutil.rmtree(made, ignore_errors=True)
            if isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise FileExistsError(error.errno, error.strerror, str(self.directory)) from error
            raise

    def write(self, **fields: Any) -> None:
        """Replace lab.json in one act."""
        beside = self.directory / "lab.json.new"
        beside.write_text(json.dumps(fields), encoding="utf-8")
        beside.replace(self.record)

    def read(self) -> dict[str, Any]:
        """lab.json, or nothing where the lab died before it was written."""
        try:
            found: dict[str, Any] = json.loads(self.record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found

    def log_tail(self) -> str:
        """The end of the holder's own log."""
        try:
            return "\n".join((self.directory / "holder.log").read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
        except OSError:
            return ""


def labs_on_disk(family: str = NAMESPACES) -> list[str]:
    try:
        found = [entry.name for entry in os.scandir(state_directory() / family) if entry.is_dir()]
    except FileNotFoundError:
        return []
    return sorted(name for name in found if not (name.startswith(_NEW) and _maker_lives(name)))


def _maker_lives(name: str) -> bool:
    """Of something that is being made, named after the process that makes it: not there yet, and no leftover either."""
    return start_ticks(int(pid)) is not None if (pid := name.rpartition("-")[2]).isdigit() else False


def labs_in_cgroups() -> list[str]:
    """Lab ids that have a cgroup of ours."""
    prefix = cgroup_prefix(state_directory())
    found = set()
    for parent in _cgroup_places():
        with contextlib.suppress(OSError):
            found |= {e.name[len(prefix) :] for e in os.scandir(parent) if e.is_dir() and e.name.startswith(prefix)}
    return sorted(name for name in found if not (name.startswith(TRIAL) and _maker_lives(name)))


def _cgroup_places() -> list[Path]:
    """Where labs of ours may have groups, as seen from here. One made elsewhere is noted in its lab's directory."""
    return list(dict.fromkeys([*cgroup_parents(), *own_v1_places().values()]))


def alive(pid: int, ticks: int) -> bool:
    """Whether exactly this process still runs."""
    return start_ticks(pid) == ticks


def processes_of(lab_id: str, family: str = NAMESPACES) -> list[int]:
    """This machine's processes that carry the lab on their command line: keeper, holder, nodes' first processes."""
    wanted = {f"--lab={lab_id}".encode(), str(LabFiles(lab_id, family).directory).encode()}
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError):
                if wanted <= set(Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")):
                    found.append(int(entry))
    return found


def labs_in_processes(family: str = NAMESPACES) -> list[str]:
    """Lab ids on the command lines of holders that belong to this state directory."""
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{entry}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
                ids = [word[6:] for word in words if word.startswith("--lab=")]
                found |= {lab_id for lab_id in ids if str(LabFiles(lab_id, family).directory) in words}
    return sorted(found)


def remnants(files: LabFiles) -> Iterator[str]:
    """What there is of a lab apart from its files, for people."""
    if found := processes_of(files.lab_id, files.family):
        yield f"processes {', '.join(map(str, found))}"
    if loops := attached_loops(str(files.directory)):
        yield f"loop devices {', '.join(loops)}"
    for group in _cgroups(files):
        yield f"cgroup {group}"


def _cgroups(files: LabFiles) -> list[Path]:
    seen_from_here = [parent / lab_cgroup_name(files.directory) for parent in _cgroup_places()]
    noted = [group for group in noted_groups(files.directory / NOTED) if group.name == lab_cgroup_name(files.directory)]
    return [group for group in dict.fromkeys([*seen_from_here, *noted]) if group.is_dir()]


def kill_processes(lab_id: str, family: str = NAMESPACES) -> list[str]:
    """SIGKILL to every process that carries the lab's id, each held by a handle so that no other is hit."""
    trouble = []
    for pid in processes_of(lab_id, family):
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if pid in processes_of(lab_id, family):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        except ProcessLookupError:
            continue
        except PermissionError:
            trouble.append(f"process {pid} belongs to another user")
        finally:
            os.close(handle)
    return trouble


def wait_until_gone(files: LabFiles, others: Callable[[], Sequence[str]] = list) -> list[str]:
    """Wait for the end of a lab that was told to end, killing what outstays it, then remove its traces; what is left.

    `others`: what there is of it beside what any backend leaves. Its files stay until nothing is: they tell where to look.
    """
    deadline = time.monotonic() + _GONE_WITHIN_S
    killing_from = time.monotonic() + _GONE_WITHIN_S / 2
    trouble: list[str] = []
    pause_s = 0.001
    thaw_from = time.monotonic() + _THAW_AFTER_S
    while processes_of(files.lab_id, files.family) and time.monotonic() < deadline:
        if time.monotonic() > thaw_from:
            thaw_volumes(files)  # who waits for a volume that hangs cannot die
            thaw_from = time.monotonic() + 1.0
        if time.monotonic() > killing_from:
            trouble = kill_processes(files.lab_id, files.family)
        _collect_child(files)
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 0.05)
    _collect_child(files)
    thaw_from = time.monotonic() + _THAW_AFTER_S
    while attached_loops(str(files.directory)) and time.monotonic() < deadline:
        if time.monotonic() > thaw_from:  # a file system that hangs outlives its last mount
            thaw_volumes(files)
            thaw_from = time.monotonic() + 1.0
        time.sleep(0.005)
    for group in _cgroups(files):
        _remove_when_empty(group, deadline)
    left = [*trouble, *remnants(files), *others()]
    if not left:
        shutil.rmtree(files.directory, ignore_errors=True)
        if files.directory.exists() and os.geteuid() != 0:
            remove_as_owner(files.directory)
        if files.directory.exists():
            left.append(f"files {files.directory}")
    return left


def thaw_volumes(files: LabFiles) -> None:
    """Let go on what a fault made hang, where the lab's own holder cannot any more. What fails shows among the remnants."""
    loops = attached_loops(str(files.directory))
    if loops and os.geteuid() == 0 and files.directory.is_dir():
        command = [sys.executable, "-S", "-m", "chaoskit.backends.linux_host.thawing", str(files.directory), *loops]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, check=False, timeout=5, capture_output=True, env=own_environment(), cwd="/")


def remove_as_owner(directory: Path) -> None:
    """Delete a rootless lab's files from inside a user namespace: some belong to users that only such a one knows."""
    command = [sys.executable, "-S", "-m", "chaoskit.backends.linux_host.identity", str(directory)]
    subprocess.run(command, check=False, timeout=60, capture_output=True, env=own_environment(), cwd="/")


def _collect_child(files: LabFiles) -> None:
    """The keeper is this process's child if this process made the lab: collect it, or it stays as a zombie."""
    keeper = files.read().get("keeper")
    if keeper:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(keeper[0], os.WNOHANG)


def _remove_when_empty(group: Path, deadline: float) -> None:
    while True:
        try:
            remove_cgroup(group)
            return
        except OSError:
            if time.monotonic() > deadline:
                return  # `remnants` reports it
            time.sleep(0.005)
