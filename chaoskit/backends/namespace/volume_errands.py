"""What is done to a volume in a forked child, from the holder's side or inside a node. Blocking; OSError or RuntimeError.

Standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from chaoskit.backends.namespace import syscalls
from chaoskit.backends.namespace.volumes import MKFS_PATH

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
