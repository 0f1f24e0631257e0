"""The processes of a node, as the holder sees them in its own /proc."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chaoskit.backends.linux_host.node import Node
from chaoskit.backends.linux_host.wire import Refused
from chaoskit.linux import procfs


def _text(pid: int | str, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8", errors="replace")


def members(node: Node) -> dict[int, procfs.Stat]:
    """Holder's number -> stat of every process of a node, its PID 1 included."""
    found: dict[int, procfs.Stat] = {}
    if not node.init:
        return found
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            if os.readlink(f"/proc/{entry}/ns/pid") == node.pid_namespace:
                found[int(entry)] = procfs.stat(_text(entry, "stat"))
        except (OSError, ValueError):
            continue  # it ended while we looked
    return found


def inner_number(pid: int) -> int:
    """A process's number in its node; 0 where it is gone."""
    try:
        numbers = procfs.namespace_pids(_text(pid, "status"))
    except OSError:
        return 0
    return numbers[1] if len(numbers) > 1 else 0


def find(node: Node, inner: int) -> tuple[int, procfs.Stat] | None:
    """(the holder's number, stat) of the process that the node numbers so."""
    for pid, seen in members(node).items():
        if inner_number(pid) == inner:
            return pid, seen
    return None


def listing(node: Node, services: Mapping[int, str]) -> list[dict[str, Any]]:
    """Every process of a node as fields of ProcessInfo. `services`: main process (holder's number) -> service."""
    seen = members(node)
    numbers = {pid: inner_number(pid) for pid in seen}
    sockets = _listeners(node.init)
    found = []
    for pid, stat in seen.items():
        try:
            status, command = _text(pid, "status"), _text(pid, "cmdline")
        except OSError:
            continue
        found.append(
            {
                "pid": numbers[pid],
                "parent": numbers.get(stat.parent, 0),
                "name": stat.name,
                "command": [part for part in command.split("\0") if part],
                "state": stat.state,
                "start_ticks": stat.start_ticks,
                "user_id": _shown_user(pid, status),
                "listens": _ports(pid, sockets),
                "service": _service(pid, seen, services, node),
            }
        )
    return sorted(found, key=lambda info: info["pid"])


def _shown_user(pid: int, status: str) -> int:
    """The uid under which the process knows itself: a nested user namespace shows uid 0 under another number."""
    real = procfs.real_user_id(status)
    try:
        if os.readlink(f"/proc/{pid}/ns/user") == os.readlink("/proc/self/ns/user"):
            return real
        fields = _text(pid, "uid_map").split()
    except OSError:
        return real
    return int(fields[0]) if len(fields) == 3 and fields[2] == "1" else real


def _listeners(init: int) -> dict[int, int]:
    found: dict[int, int] = {}
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            found.update(procfs.listening_sockets(_text(init, f"net/{table}")))
    return found


def _ports(pid: int, sockets: Mapping[int, int]) -> list[int]:
    ports = set()
    if sockets:
        with contextlib.suppress(OSError):
            for entry in os.scandir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    target = os.readlink(entry.path)
                    if target.startswith("socket:["):
                        ports.add(sockets.get(int(target[8:-1]), 0))
    return sorted(ports - {0})


def _service(pid: int, seen: Mapping[int, procfs.Stat], services: Mapping[int, str], node: Node) -> str | None:
    """By cgroup where there are cgroups (a daemon that left its parent is still found), else by ancestry and environment."""
    if node.cgroup is not None:
        with contextlib.suppress(OSError):
            path = procfs.unified_cgroup(_text(pid, "cgroup")) or ""
            parent, _, last = path.rpartition("/")
            if parent.endswith(f"/{node.name}") and last in services.values():
                return last
    walked, current = set(), pid
    while current in seen and current not in walked:
        if current in services:
            return services[current]
        walked.add(current)
        current = seen[current].parent
    with contextlib.suppress(OSError):
        for variable in _text(pid, "environ").split("\0"):
            if variable.startswith("CHAOSKIT_SERVICE="):
                return variable.partition("=")[2]
    return None


def of_service(node: Node, name: str, main: int) -> dict[int, procfs.Stat]:
    """Holder's number -> stat of every process of a service that has not ended. `main`: its main process, gone or not."""
    seen = members(node)
    return {
        pid: stat
        for pid, stat in seen.items()
        if pid != node.init and stat.state not in "ZX" and _service(pid, seen, {main: name}, node) == name
    }


def signalled(pid: int, start_ticks: int, number: int) -> bool:
    """Send the signal to exactly this process; False where it is gone or its number belongs to another by now."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        now = procfs.stat(_text(pid, "stat"))
        if now.start_ticks != start_ticks:
            return False
        signal.pidfd_send_signal(handle, number)
    except (OSError, ValueError) as error:
        if isinstance(error, PermissionError):
            raise Refused(f"process {pid} may not be signalled") from error
        return False
    finally:
        os.close(handle)
    return True


def is_dead(pid: int) -> bool:
    """Whether the process (the holder's number) is a zombie, or no more."""
    try:
        return procfs.stat(_text(pid, "stat")).state in "ZX"
    except (OSError, ValueError):
        return True


def process_state(node: Node, wanted: dict[str, Any]) -> str:
    found = find(node, wanted["pid"]) if node.init else None
    if found is None or found[1].start_ticks != wanted["start_ticks"] or found[1].state in "ZX":
        return "gone"
    return "stopped" if found[1].state in "Tt" else "running"


def first_integer(node: Node, path: str) -> int | None:
    if not node.init:
        return None
    try:
        # the node's root, followed through its own symbolic links only as far as the kernel does for /proc/PID/root
        text = Path(f"/proc/{node.init}/root{path}").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    words = text.split()
    return int(words[0]) if words and words[0].lstrip("-").isdigit() else None
