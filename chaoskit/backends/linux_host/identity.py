"""Who the lab is: user namespaces for those who are not root, and the numbers by which a lab's processes are found again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from chaoskit.backends.linux_host import syscalls
from chaoskit.linux import procfs


def subordinate_ids() -> tuple[tuple[int, int], tuple[int, int]] | None:
    """The caller's (uid range, gid range) from /etc/subuid and /etc/subgid, where newuidmap and newgidmap can map them."""
    import getpass  # late, both: a holder that runs as root must not wait for them
    import shutil

    if shutil.which("newuidmap") is None or shutil.which("newgidmap") is None:
        return None
    ranges = []
    for name in ("/etc/subuid", "/etc/subgid"):
        try:
            text = Path(name).read_text(encoding="utf-8")
        except OSError:
            return None
        try:
            user = getpass.getuser()
        except (KeyError, OSError):
            user = ""
        ranges.append(procfs.subordinate_range(text, user, os.getuid()))
    uids, gids = ranges
    return (uids, gids) if uids is not None and gids is not None else None


def enter_user_namespace() -> None:
    """Become root of a new user namespace: with a range of users where this account has one, else alone."""
    uid, gid = os.getuid(), os.getgid()
    ranges = subordinate_ids()
    if ranges is None or not _with_range(uid, gid, ranges):
        syscalls.unshare(syscalls.CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny", encoding="utf-8")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1", encoding="utf-8")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1", encoding="utf-8")


def _with_range(uid: int, gid: int, ranges: tuple[tuple[int, int], tuple[int, int]]) -> bool:
    """newuidmap must be run from outside: by a child forked before this process leaves its user namespace."""
    go_reader, go_writer = os.pipe()
    target = str(os.getpid())
    mapper = os.fork()
    if mapper == 0:
        os.close(go_writer)
        code = 1
        if os.read(go_reader, 1):
            (first_uid, uids), (first_gid, gids) = ranges
            maps = (("newuidmap", uid, first_uid, uids), ("newgidmap", gid, first_gid, gids))
            done = [
                subprocess.run([tool, target, "0", str(own), "1", "1", str(first), str(count)], check=False).returncode
                for tool, own, first, count in maps
            ]
            code = 0 if done == [0, 0] else 1
        os._exit(code)
    os.close(go_reader)
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    os.write(go_writer, b"g")
    os.close(go_writer)
    _, status = os.waitpid(mapper, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise OSError(1, "newuidmap or newgidmap refused the ranges of /etc/subuid and /etc/subgid")
    return True


def start_ticks(pid: int) -> int | None:
    """When a process of this machine started; None where there is none (a zombie counts as none)."""
    try:
        seen = procfs.stat(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        return None
    return None if seen.state in "ZX" else seen.start_ticks


def note_holder(directory: str, pid: int) -> None:
    """Leave the holder's number and start on disk for whoever has to end the lab later."""
    ticks = start_ticks(pid)
    if ticks is not None:
        Path(directory, "holder").write_text(f"{pid} {ticks}\n", encoding="utf-8")


def own_environment() -> dict[str, str]:
    """The environment in which our own helpers find this very package, wherever they are started."""
    package_root = str(Path(__file__).resolve().parents[3])
    inherited = [os.path.abspath(part) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys([*inherited, package_root]))}


def _main(directory: str) -> None:
    """Delete a directory as the root of a user namespace like a lab's."""
    import shutil

    enter_user_namespace()
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    _main(sys.argv[1])
