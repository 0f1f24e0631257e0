"""The cgroups in which the engine put a container: where a node of a lab of containers is limited and frozen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from chaoskit.backends.linux_host.controllers import CONTROLLERS, FROM_BOOT, Group, LabGroups, v1_places
from chaoskit.backends.linux_host.wire import Refused
from chaoskit.linux import procfs

_SHARES = "1024"
"""What the kernel gives a group for which nobody asked for more, as of a lab's containers."""


class ContainerGroups(LabGroups):
    """Containers are limited in the groups that the engine made for them."""

    def __init__(self, name: str, noted: Path, places: Callable[[str], dict[str, Group]]) -> None:
        super().__init__(name, {}, noted)
        self._of = places
        self._taken: dict[tuple[str, str], Group] = {}

    def add(self, node: str, unified: Path | None) -> None:
        pass

    def joined(self, node: str) -> list[Path]:
        return list(dict.fromkeys(group.path for group in self._of(node).values() if group.version == 1))

    def find(self, node: str, controller: str) -> Group | None:
        taken = self._taken.get((node, controller))
        if taken is None and controller in FROM_BOOT:
            own = self._of(node).get(controller)
            if own is not None and own.limit() is None:
                taken = self._taken[node, controller] = own
        return taken if taken is not None and taken.path.is_dir() else None

    def take(self, node: str, unified: Path | None, controller: str, members: object) -> Group:
        group = self.find(node, controller) or self._of(node).get(controller)
        if group is None:
            raise Refused(f"{node}: its container is in no group of the controller {controller}")
        if (node, controller) not in self._taken and group.limit() is not None:
            raise Refused(f"{node}: its container has a limit of its own for {controller}, which a quota would change")
        self._taken[node, controller] = group
        return group

    def release(self, node: str, controller: str) -> None:
        group = self._taken.pop((node, controller), None)
        if group is not None and controller == "cpu" and group.version == 1:
            (group.path / "cpu.shares").write_text(_SHARES, encoding="ascii")  # a quota had raised them

    def forget(self, node: str) -> None:
        """Its container has ended, and its groups with it."""
        for key in [key for key in self._taken if key[0] == node]:
            del self._taken[key]

    def directories(self) -> list[Path]:
        return []


def container_groups(init: int) -> dict[str, Group]:
    """Controller -> the group that the engine made for the container."""
    mountinfo = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    places = v1_places(mountinfo, Path(f"/proc/{init}/cgroup").read_text(encoding="utf-8"))
    found = {controller: Group(path, controller, 1) for controller, path in places.items()}
    own = unified_group(init)
    if own is not None:
        offered = (own / "cgroup.controllers").read_text(encoding="ascii").split()
        found |= {c: Group(own, c, 2) for c in CONTROLLERS if c not in found and c in offered}
    return found


def unified_group(init: int) -> Path | None:
    """The v2 group that is the container's own; None where the engine made none (on a machine with v1 hierarchies)."""
    position = procfs.unified_cgroup(Path(f"/proc/{init}/cgroup").read_text(encoding="utf-8"))
    mine = procfs.unified_cgroup(Path("/proc/self/cgroup").read_text(encoding="utf-8"))
    if position in (None, "/", mine):
        return None
    for mounted in procfs.mounts(Path("/proc/self/mountinfo").read_text(encoding="utf-8")):
        if mounted.kind == "cgroup2":
            group = Path(mounted.point, str(position).lstrip("/"))
            return group if group.is_dir() and not str(position).rpartition("/")[2].startswith("chaoskit-") else None
    return None
