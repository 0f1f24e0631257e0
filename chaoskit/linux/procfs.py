"""Readers of /proc text. Pure and standard library only: text in, facts out."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Stat:
    """Of /proc/PID/stat, what a lab needs."""

    pid: int
    name: str
    state: str
    parent: int
    session: int
    start_ticks: int
    """Field 22: clock ticks since boot at which it started."""


def stat(text: str) -> Stat:
    """Parses one line of /proc/PID/stat; the name may hold blanks and parentheses. ValueError where it is none."""
    opened, closed = text.index("("), text.rindex(")")
    fields = text[closed + 2 :].split()
    return Stat(
        pid=int(text[:opened]),
        name=text[opened + 1 : closed],
        state=fields[0],
        parent=int(fields[1]),
        session=int(fields[3]),
        start_ticks=int(fields[19]),
    )


def namespace_pids(status: str) -> tuple[int, ...]:
    """A process's numbers (`NSpid`), outermost first as far as the reader's own namespace sees; empty where unknown."""
    match = re.search(r"^NSpid:\s*(.*)$", status, re.MULTILINE)
    return tuple(int(n) for n in match.group(1).split()) if match else ()


def real_user_id(status: str) -> int:
    """The real uid of /proc/PID/status; -1 where unknown."""
    match = re.search(r"^Uid:\s*(\d+)", status, re.MULTILINE)
    return int(match.group(1)) if match else -1


def listening_sockets(table: str) -> dict[int, int]:
    """Socket inode -> TCP port, of the listeners in /proc/net/tcp or tcp6."""
    found: dict[int, int] = {}
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == "0A":
            found[int(fields[9])] = int(fields[1].rsplit(":", 1)[1], 16)
    return found


@dataclass(frozen=True)
class Mount:
    """One line of /proc/self/mountinfo."""

    root: str
    point: str
    kind: str
    source: str
    options: tuple[str, ...]
    super_options: tuple[str, ...] = ()
    """Of the file system; for cgroup v1 they name its controllers."""


def mounts(mountinfo: str) -> tuple[Mount, ...]:
    """The mounts, in the order in which they were made."""
    found = []
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields, tail = left.split(), right.split()
        if len(fields) >= 6 and len(tail) >= 2:
            options = tuple(fields[5].split(","))
            above = tuple(tail[2].split(",")) if len(tail) > 2 else ()
            found.append(Mount(_plain(fields[3]), _plain(fields[4]), tail[0], _plain(tail[1]), options, above))
    return tuple(found)


def _plain(escaped: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m.group(1), 8)), escaped)


@dataclass(frozen=True)
class Account:
    """A user in /etc/passwd."""

    name: str
    user_id: int
    group_id: int
    home: str
    shell: str


def accounts(passwd: str) -> dict[str, Account]:
    """Name -> account, of /etc/passwd text; lines that are none are passed over."""
    found: dict[str, Account] = {}
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) >= 7 and fields[2].isdigit() and fields[3].isdigit():
            found.setdefault(fields[0], Account(fields[0], int(fields[2]), int(fields[3]), fields[5], fields[6]))
    return found


def supplementary_groups(group: str, user: str) -> tuple[int, ...]:
    """Group ids whose member list in /etc/group text names the user."""
    found = []
    for line in group.splitlines():
        fields = line.split(":")
        if len(fields) >= 4 and fields[2].isdigit() and user in fields[3].split(","):
            found.append(int(fields[2]))
    return tuple(found)


def free_id(taken: set[int]) -> int:
    """A uid or gid that nobody has: the first free one from 800 up."""
    return next(n for n in range(800, 60000) if n not in taken)


def limits(text: str) -> dict[str, tuple[str, str]]:
    """Name -> (soft, hard) of /proc/PID/limits text, as it shows them: a number or "unlimited"."""
    found: dict[str, tuple[str, str]] = {}
    for line in text.splitlines()[1:]:
        fields = line[26:].split()
        if len(fields) >= 2:
            found[line[:26].strip()] = (fields[0], fields[1])
    return found


def available_bytes(meminfo: str) -> int:
    """MemAvailable of /proc/meminfo text: what can be had without swapping. ValueError where the kernel does not say."""
    match = re.search(r"^MemAvailable:\s*(\d+) kB$", meminfo, re.MULTILINE)
    if match is None:
        raise ValueError("the kernel does not say how much memory is available")
    return int(match.group(1)) * 1024


def resident_bytes(status: str) -> int:
    """Anonymous memory that is resident (RssAnon) of /proc/PID/status text; 0 where unknown."""
    match = re.search(r"^RssAnon:\s*(\d+) kB$", status, re.MULTILINE)
    return int(match.group(1)) * 1024 if match else 0


def unified_cgroup(cgroup: str) -> str | None:
    """The path in the cgroup v2 hierarchy of /proc/PID/cgroup text; None where there is none."""
    match = re.search(r"^0::(.*)$", cgroup, re.MULTILINE)
    return match.group(1) if match else None


def controller_cgroups(cgroup: str) -> dict[str, str]:
    """Controller -> the path in its v1 hierarchy, of /proc/PID/cgroup text."""
    found: dict[str, str] = {}
    for line in cgroup.splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        found.update(dict.fromkeys((name for name in controllers.split(",") if name), path))
    return found


def subordinate_range(text: str, user: str, user_id: int) -> tuple[int, int] | None:
    """(first, count) of the largest range that /etc/subuid or /etc/subgid text gives the user; None where none."""
    best: tuple[int, int] | None = None
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) == 3 and fields[0] in (user, str(user_id)) and fields[1].isdigit() and fields[2].isdigit():
            first, count = int(fields[1]), int(fields[2])
            if best is None or count > best[1]:
                best = (first, count)
    return best
