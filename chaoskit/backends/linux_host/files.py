"""Files of a node: read whole, replaced in one act, removed. The functions run as errands, inside the node."""

from __future__ import annotations

import base64
import contextlib
import errno
import os
import stat
from collections.abc import Callable
from functools import partial
from typing import BinaryIO

from chaoskit.backends.linux_host.department import Department, Handler
from chaoskit.backends.linux_host.errands import inside
from chaoskit.backends.linux_host.node import Node
from chaoskit.backends.linux_host.processes import Json, Nursery
from chaoskit.backends.linux_host.wire import Refused

MOST_BYTES = 1 << 20
_WITHIN_S = 5.0


class Files(Department):
    """What a lab can be told and asked about files."""

    def __init__(self, nursery: Nursery, find: Callable[[str], Node]) -> None:
        self._nursery, self._find = nursery, find

    def acts(self) -> dict[str, Handler]:
        return {"write_file": self._write, "remove_file": self._remove}

    def questions(self) -> dict[str, Handler]:
        return {"file": self._read}

    async def _write(self, act: Json) -> Json:
        wanted = act["file"]
        return await inside(
            self._nursery, self._find(act["node"]), partial(written, wanted), f"writing {wanted['path']}", _WITHIN_S
        )

    async def _remove(self, act: Json) -> Json:
        path = act["path"]
        return await inside(self._nursery, self._find(act["node"]), partial(removed, path), f"removing {path}", _WITHIN_S)

    async def _read(self, query: Json) -> Json:
        path = query["path"]
        return await inside(self._nursery, self._find(query["node"]), partial(found, path), f"reading {path}", _WITHIN_S)


def found(path: str) -> Json:
    """{"file": fields of a FileState}, or {"value": why there is none}."""
    try:
        real = os.path.realpath(path, strict=True)
        fd = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return {"value": "absent"}
        if error.errno == errno.ELOOP:
            return {"value": "a loop of symbolic links"}
        if error.errno == errno.ENXIO:
            return {"value": "not a regular file"}
        raise
    try:
        seen = os.fstat(fd)
        if stat.S_ISDIR(seen.st_mode):
            return {"value": "a directory"}
        if not stat.S_ISREG(seen.st_mode):
            return {"value": "not a regular file"}
        data = bytearray()
        while len(data) <= MOST_BYTES and (part := os.read(fd, MOST_BYTES + 1)):
            data += part
        if len(data) > MOST_BYTES:
            return {"value": f"larger than {MOST_BYTES} bytes"}
        xattrs = _xattrs(fd)
    finally:
        os.close(fd)
    return {
        "file": {
            "path": real,
            "content": base64.b64encode(data).decode(),
            "mode": stat.S_IMODE(seen.st_mode),
            "user_id": seen.st_uid,
            "group_id": seen.st_gid,
            "mtime_ns": seen.st_mtime_ns,
            "xattrs": xattrs,
        }
    }


def _xattrs(fd: int) -> dict[str, str]:
    """Those that can be read; a file system without any has none."""
    read: dict[str, str] = {}
    try:
        names = os.listxattr(fd)
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EPERM):
            return read
        raise
    for name in names:
        with contextlib.suppress(PermissionError):
            read[name] = base64.b64encode(os.getxattr(fd, name)).decode()
    return read


def written(wanted: Json) -> Json:
    """Make a file what it shall be: written beside, then renamed over it. Nothing where it is so already."""
    path: str = wanted["path"]
    there = found(path)
    now = there.get("file")
    if now is None and there["value"] != "absent":
        raise Refused(f"{path} is {there['value']}")
    if now is not None and _same(now, wanted):
        return {"output": "it was so already"}
    beside = f"{os.path.dirname(path)}/.chaoskit-{os.urandom(6).hex()}"
    try:
        _create(beside, wanted)
        os.rename(beside, path)
    except OSError as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        if error.errno != errno.EBUSY or now is None:
            raise
        _rewritten(path, wanted)
        return {"output": "written in place: it is a mount of its own"}
    return {"output": ""}


def _rewritten(path: str, wanted: Json) -> None:
    """A file that is mounted, as engines do with a container's /etc/hosts, cannot be renamed over: readers may see half of it."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with os.fdopen(fd, "wb") as file:
        os.ftruncate(fd, 0)
        _filled(file, wanted)


def _same(now: Json, wanted: Json) -> bool:
    """Whether content, owner, mode and attributes agree, and the time of modification where one is wanted."""
    keys = [key for key in now if key != "mtime_ns" or wanted["mtime_ns"] is not None]
    return all(now[key] == wanted[key] for key in keys)


def _create(path: str, wanted: Json) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        _filled(file, wanted)


def _filled(file: BinaryIO, wanted: Json) -> None:
    fd = file.fileno()
    file.write(base64.b64decode(wanted["content"]))
    file.flush()
    made = os.fstat(fd)
    if (made.st_uid, made.st_gid) != (wanted["user_id"], wanted["group_id"]):
        os.fchown(fd, wanted["user_id"], wanted["group_id"])
    os.fchmod(fd, wanted["mode"])  # after the owner: a change of owner clears set-id bits and capabilities
    for name, value in wanted["xattrs"].items():
        os.setxattr(fd, name, base64.b64decode(value))
    os.fsync(fd)
    if wanted["mtime_ns"] is not None:
        os.utime(fd, ns=(wanted["mtime_ns"], wanted["mtime_ns"]))


def removed(path: str) -> Json:
    """Remove a file. Nothing where there is none; Refused where it is a directory."""
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            raise Refused(f"{path} is a directory")
        os.unlink(path)
    except FileNotFoundError:
        return {"output": "it was gone already"}
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise Refused(f"{path} is a mount of its own, which cannot be removed; file.change can change it") from error
        raise
    return {"output": ""}
