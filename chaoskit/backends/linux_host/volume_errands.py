"""What is done to a volume in a forked child, from the holder's side or inside a node. Blocking; OSError or RuntimeError.

Standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaoskit.backends.linux_host import syscalls
from chaoskit.backends.linux_host.volumes import MKFS_PATH

_CHECK_WITHIN_S = 20.0
_BLOCK_BYTES = 4096
_SAID = {errno.EIO: "eio", errno.EUCLEAN: "eio", errno.ESHUTDOWN: "eio", errno.EROFS: "read_only", errno.ENOSPC: "full"}

Json = dict[str, Any]


def break_file_system(place: str) -> None:
    """Report an error to ext4, which turns read-only as it does for a real one."""
    syscalls.mount("none", place, "", syscalls.MS_REMOUNT | syscalls.MS_NODEV, "errors=remount-ro")
    device = os.stat(place).st_dev
    name = os.path.basename(os.path.realpath(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"))
    Path(f"/sys/fs/ext4/{name}/trigger_fs_error").write_text("chaoskit", encoding="utf-8")


def check(image: str) -> None:
    """Repair what the error report left in the superblock."""
    done = subprocess.run(
        ["e2fsck", "-f", "-p", image],
        capture_output=True,
        text=True,
        check=False,
        timeout=_CHECK_WITHIN_S,
        env={"PATH": MKFS_PATH},
    )
    if done.returncode & ~3:  # 1 and 2: errors were corrected
        raise RuntimeError(f"e2fsck {image}: exit code {done.returncode}: {done.stdout}{done.stderr}")


def _free_bytes(place: str) -> int:
    seen = os.statvfs(place)
    return seen.f_bavail * seen.f_frsize


def fill(ballast: str, free_bytes: int) -> None:
    """Allocate until no more than this is free."""
    fd = os.open(ballast, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = chunk = 0
        while (left := _free_bytes(os.path.dirname(ballast)) - free_bytes) >= _BLOCK_BYTES:
            chunk = min(chunk or left, left) // _BLOCK_BYTES * _BLOCK_BYTES
            try:
                os.posix_fallocate(fd, size, chunk)
                size += chunk
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                chunk //= 2
                if chunk < _BLOCK_BYTES:
                    break
        os.fsync(fd)
    finally:
        os.close(fd)


def fill_inodes(ballast: str, free_inodes: int) -> None:
    """Make empty files until no more than so many inodes are free."""
    os.mkdir(ballast, 0o700)
    os.chdir(ballast)
    made = 0
    try:
        while (left := os.statvfs(".").f_favail - free_inodes) > 0:
            for _ in range(left):
                os.mknod(str(made), 0o600)
                made += 1
    except OSError as error:
        if error.errno != errno.ENOSPC or os.statvfs(".").f_favail > free_inodes:
            raise
    syscalls.sync_filesystem(".")


def empty(ballast: str) -> None:
    """Remove what fills a volume: a file, or a directory of files."""
    if os.path.isdir(ballast):
        shutil.rmtree(ballast)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(ballast)


def unmounted(mount: str, device: int) -> Json:
    """Take a volume from its mount point, whoever uses it. Nothing where something else is there."""
    if os.stat(mount).st_dev == device:
        syscalls.unmount(mount, detach=True)
    return {}


def put(tree: int, mount: str) -> Json:
    syscalls.attach_mount(tree, mount)
    return {}


def probed(mount: str, device: int, query: Json) -> Json:
    """Write and flush files without a name, which are gone with this process. `device`: what should be mounted there."""
    files: list[int] = []
    try:
        if os.stat(mount).st_dev != device:
            return {"value": "detached"}
        for _ in range(query["inodes"]):
            files.append(os.open(mount, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))
        if query["write_bytes"] > _BLOCK_BYTES:
            os.posix_fallocate(files[0], 0, query["write_bytes"])
        os.write(files[0], bytes(min(query["write_bytes"], _BLOCK_BYTES)))
        os.fsync(files[0])
    except OSError as error:
        if error.errno not in _SAID:
            raise
        return {"value": _SAID[error.errno], "number": _free(mount, query) if error.errno == errno.ENOSPC else None}
    finally:
        for fd in files:
            os.close(fd)
    return {"value": "works", "number": _free(mount, query)}


def _free(mount: str, query: Json) -> int:
    return os.statvfs(mount).f_favail if query["count_inodes"] else _free_bytes(mount)


def demand_working(place: str) -> None:
    """RuntimeError with how a write ends, where it does not work."""
    query = {"inodes": 1, "write_bytes": 1, "count_inodes": False}
    seen = probed(place, os.stat(place).st_dev, query)["value"]
    if seen != "works":
        raise RuntimeError(f"a write ends with {seen}")


_RATE_FOR_S = 1.0
_LATENCY_TIMES = 5
_LARGE_BYTES = 256 << 10


def speed(mount: str, device: int, query: Json) -> Json:
    """How fast direct writes are, one after the other, each one operation of the disk: number as the query measures."""
    try:
        if os.stat(mount).st_dev != device:
            return {"value": "detached"}
        fd = os.open(mount, os.O_TMPFILE | os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, _LARGE_BYTES)
            measures = {"latency": _latency_s, "iops": _operations_per_s, "bandwidth": _bytes_per_s}
            return {"number": measures[query["measure"]](fd)}
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno not in _SAID:
            raise
        return {"value": _SAID[error.errno]}


def _latency_s(fd: int) -> float:
    """The median; fewer times where each is long."""
    taken: list[float] = []
    with mmap.mmap(-1, _BLOCK_BYTES) as block:
        while len(taken) < _LATENCY_TIMES and sum(taken) < _RATE_FOR_S:
            began = time.monotonic()
            os.pwritev(fd, [block], 0)
            taken.append(time.monotonic() - began)
    return sorted(taken)[len(taken) // 2]


def _operations_per_s(fd: int) -> float:
    return _per_s(fd, _BLOCK_BYTES)


def _bytes_per_s(fd: int) -> float:
    return _per_s(fd, _LARGE_BYTES) * _LARGE_BYTES


def _per_s(fd: int, size: int) -> float:
    times = 0
    with mmap.mmap(-1, size) as block:
        os.pwritev(fd, [block], 0)  # a limit may let the first one pass at once
        began = time.monotonic()
        while (passed := time.monotonic() - began) < _RATE_FOR_S or times == 0:
            os.pwritev(fd, [block], 0)
            times += 1
    return times / passed


def errors_of(file: str, at: int, query: Json) -> Json:
    """The share of operations that end in an I/O error, in percent, where no file system is touched: beyond its end."""
    fd = os.open(file, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
    failed = 0
    try:
        with mmap.mmap(-1, _BLOCK_BYTES) as block:
            operations: dict[str, Callable[[], object]] = {
                "read": lambda: os.preadv(fd, [block], at),
                "write": lambda: os.pwritev(fd, [block], at),
            }
            for _ in range(query["operations"]):
                try:
                    operations[query["operation"]]()
                except OSError as error:
                    if error.errno != errno.EIO:
                        raise
                    failed += 1
    finally:
        os.close(fd)
    return {"number": 100 * failed / query["operations"]}
