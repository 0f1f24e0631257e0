"""Cgroup controllers that limit a node: cpu, memory, pids; on a v1 hierarchy each, or all of them on the v2 one.

A lab's groups lie below the position that its maker has, so that a limit around chaoskit itself stays in force. Memory and
pids groups are there from a node's boot on, because the kernel does not move charges that were made elsewhere. The cpu group
is made when a quota is asked for and goes with it: a group of its own changes how the scheduler shares the processors, which
nobody asked for. Standard library only.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from chaoskit.backends.linux_host.wire import Refused
from chaoskit.linux import procfs

CONTROLLERS = ("cpu", "memory", "pids")
FROM_BOOT = ("memory", "pids")
PERIOD_US = 100_000
_NO_LIMIT_BYTES = 1 << 60
"""A v1 memory limit from here on is none."""
_GATHER_S = 2.0
NOTED = "cgroups"
"""The file of a lab's directory that names its v1 groups."""


@dataclass(frozen=True)
class Group:
    """The group of one node under one controller."""

    path: Path
    controller: str
    version: int

    def limit(self) -> float | None:
        """Cores, bytes, or processes; None: no limit."""
        if self.controller == "cpu" and self.version == 1:
            quota = int(self._text("cpu.cfs_quota_us"))
            return None if quota < 0 else quota / int(self._text("cpu.cfs_period_us"))
        if self.controller == "cpu":
            allowed, period = self._text("cpu.max").split()
            return None if allowed == "max" else int(allowed) / int(period)
        said = self._text(self._limit_file)
        return None if said == "max" or int(said) >= _NO_LIMIT_BYTES else float(said)

    def set_limit(self, value: float | None) -> None:
        """OSError where the kernel refuses: a v1 memory limit below what is used and cannot be reclaimed, say."""
        if self.controller != "cpu":
            none = "-1" if (self.controller, self.version) == ("memory", 1) else "max"
            self._write(self._limit_file, none if value is None else str(int(value)))
        elif self.version == 1:
            self._write("cpu.cfs_quota_us", "-1")  # whatever the period was, it cannot be in conflict with none
            self._write("cpu.cfs_period_us", str(PERIOD_US))
            if value is not None:
                # what a node may take, it shall get against processes that are in no group of their own
                self._write("cpu.shares", str(1024 * max(1, math.ceil(value))))
                self._write("cpu.cfs_quota_us", str(round(value * PERIOD_US)))
        else:
            self._write("cpu.max", f"{'max' if value is None else round(value * PERIOD_US)} {PERIOD_US}")

    def used(self) -> float | None:
        """Bytes or processes now; None for cpu."""
        if self.controller == "cpu":
            return None
        names = {"pids": "pids.current", "memory": "memory.usage_in_bytes" if self.version == 1 else "memory.current"}
        return float(self._text(names[self.controller]))

    def denials(self) -> int:
        """How often the limit was felt so far: throttled periods, processes killed for want of memory, forks that failed."""
        memory = "memory.oom_control" if self.version == 1 else "memory.events"
        file, key = {"cpu": ("cpu.stat", "nr_throttled"), "memory": (memory, "oom_kill"), "pids": ("pids.events", "max")}[
            self.controller
        ]
        counted = dict(line.split()[:2] for line in self._text(file).splitlines() if line)
        return int(counted.get(key, 0))

    def members(self) -> list[int]:
        """Those directly in it."""
        return [int(word) for word in self._text("cgroup.procs").split()]

    @property
    def _limit_file(self) -> str:
        if self.controller == "pids":
            return "pids.max"
        return "memory.limit_in_bytes" if self.version == 1 else "memory.max"

    def _text(self, name: str) -> str:
        return (self.path / name).read_text(encoding="ascii").strip()

    def _write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text, encoding="ascii")


def v1_places(mountinfo: str, own: str) -> dict[str, Path]:
    """Controller -> the directory of the position that /proc/PID/cgroup text names, for those that are on v1 hierarchies."""
    positions = procfs.controller_cgroups(own)
    found: dict[str, Path] = {}
    for mounted in procfs.mounts(mountinfo):
        if mounted.kind != "cgroup":
            continue
        for controller in set(CONTROLLERS) & set(mounted.super_options) & set(positions):
            position = positions[controller]
            root = "" if mounted.root == "/" else mounted.root
            if position == root or position.startswith(f"{root}/"):  # else it lies outside of what is mounted here
                found.setdefault(controller, Path(mounted.point, position[len(root) :].lstrip("/")))
    return found


def own_v1_places() -> dict[str, Path]:
    """Where this process stands on the v1 hierarchies."""
    return v1_places(
        Path("/proc/self/mountinfo").read_text(encoding="utf-8"), Path("/proc/self/cgroup").read_text(encoding="utf-8")
    )


class LabGroups:
    """The groups by which one lab's nodes are limited."""

    def __init__(self, name: str, places: Mapping[str, Path], noted: Path) -> None:
        """`places`: see `own_v1_places`; `noted`: the file that tells a later sweep where groups were made."""
        self.name, self._places, self._noted = name, places, noted
        self.unified: Path | None = None
        """The lab's v2 group."""
        self._nodes: dict[str, dict[str, Group]] = {}
        self.lacking: dict[str, str] = {}
        """Controller -> why no node can be limited by it."""

    def add(self, node: str, unified: Path | None) -> None:
        """Before the node boots: the groups that its processes are in from the beginning."""
        self._nodes[node] = {}
        for controller in FROM_BOOT:
            with contextlib.suppress(Refused):
                self._nodes[node][controller] = self._made(node, unified, controller)

    def joined(self, node: str) -> list[Path]:
        """The v1 groups that a new process of the node has to enter, beside its v2 group."""
        return [group.path for group in self._nodes.get(node, {}).values() if group.version == 1]

    def find(self, node: str, controller: str) -> Group | None:
        return self._nodes.get(node, {}).get(controller)

    def take(self, node: str, unified: Path | None, controller: str, members: Callable[[], Iterable[int]]) -> Group:
        """The node's group, made now where it is not there yet, with all of the node's processes. Refused with the reason."""
        group = self.find(node, controller)
        if group is None:
            group = self._made(node, unified, controller)
            self._nodes[node][controller] = group  # from now on new processes enter it by themselves
            if group.version == 1:
                _gather(group, members)
        return group

    def release(self, node: str, controller: str) -> None:
        """Give up a group that was not there from the boot on; its processes go back to where they were."""
        group = self.find(node, controller)
        if group is None or controller in FROM_BOOT:
            return
        del self._nodes[node][controller]
        if group.version == 1:
            _scatter(group, self._places[controller])
            with contextlib.suppress(OSError):  # another node's group is in it
                group.path.parent.rmdir()
        elif self.unified is not None and not any(controller in groups for groups in self._nodes.values()):
            (self.unified / "cgroup.subtree_control").write_text(f"-{controller}", encoding="ascii")

    def directories(self) -> list[Path]:
        """The lab's v1 groups, to be removed with it."""
        return [place / self.name for place in self._places.values()]

    def _made(self, node: str, unified: Path | None, controller: str) -> Group:
        if controller in self.lacking:
            raise Refused(self.lacking[controller])
        try:
            if controller in self._places:
                return self._made_v1(node, controller)
            if unified is None or self.unified is None:
                raise Refused("it is on no cgroup v1 hierarchy, and no cgroup v2 directory here can be written")
            return self._made_v2(unified, self.unified, controller)
        except (OSError, Refused) as error:
            self.lacking[controller] = f"the cgroup controller {controller} cannot be used: {error}"
            raise Refused(self.lacking[controller]) from None

    def _made_v1(self, node: str, controller: str) -> Group:
        top = self._places[controller] / self.name
        with self._noted.open("a", encoding="utf-8") as noted:
            noted.write(f"{top}\n")
        (top / node).mkdir(parents=True, exist_ok=True)
        return Group(top / node, controller, 1)

    def _made_v2(self, unified: Path, lab: Path, controller: str) -> Group:
        if controller not in (lab / "cgroup.controllers").read_text(encoding="ascii").split():
            above = lab.parent
            raise Refused(f"{above} does not hand it on: echo +{controller} > {above}/cgroup.subtree_control")
        (lab / "cgroup.subtree_control").write_text(f"+{controller}", encoding="ascii")
        return Group(unified, controller, 2)


def noted_groups(noted: Path) -> list[Path]:
    """The groups that a lab noted before it made them."""
    try:
        return [Path(line) for line in dict.fromkeys(noted.read_text(encoding="utf-8").splitlines()) if line]
    except OSError:
        return []


def _gather(group: Group, members: Callable[[], Iterable[int]]) -> None:
    """Until every process is in it, whatever they fork meanwhile. Refused where that has no end."""
    deadline = time.monotonic() + _GATHER_S
    while missing := set(members()) - set(group.members()):
        if time.monotonic() > deadline:
            raise Refused(f"{len(missing)} processes did not get into {group.path} within {_GATHER_S:g} s")
        for pid in missing:
            with contextlib.suppress(ProcessLookupError):
                (group.path / "cgroup.procs").write_text(str(pid), encoding="ascii")


def _scatter(group: Group, place: Path) -> None:
    deadline = time.monotonic() + _GATHER_S
    while True:
        for pid in group.members():
            with contextlib.suppress(ProcessLookupError):
                (place / "cgroup.procs").write_text(str(pid), encoding="ascii")
        try:
            os.rmdir(group.path)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise Refused(f"{group.path} could not be given up: {error}") from None
