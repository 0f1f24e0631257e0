"""The system calls that Python 3.11 does not offer: namespaces, mounts, loop devices. Each raises OSError with what was tried."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MNT_DETACH = 2

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_IO_FLUSHER = 57
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217, "armv7l": 218, "i686": 217}

_LOOP_SET_FD = 0x4C00
_LOOP_SET_STATUS64 = 0x4C04
_LOOP_SET_DIRECT_IO = 0x4C08
_LOOP_SET_BLOCK_SIZE = 0x4C09
_LOOP_CONFIGURE = 0x4C0A
_LOOP_CTL_GET_FREE = 0x4C82
_LO_FLAGS_AUTOCLEAR = 4
_LO_FLAGS_DIRECT_IO = 16
_FIFREEZE = 0xC0045877
_FITHAW = 0xC0045878
_SYS_OPEN_TREE = 428  # the same number on every architecture
_SYS_MOVE_MOUNT = 429
_AT_FDCWD = -100
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
_EXT4_IOC_SHUTDOWN = 0x8004587D
_EXT4_GOING_FLAGS_NOLOGFLUSH = 2


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def unshare(flags: int) -> None:
    _check(_libc.unshare(ctypes.c_int(flags)), f"unshare({flags:#x})")


def setns(fd: int, kind: int = 0) -> None:
    _check(_libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)), f"setns(kind {kind:#x})")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    result = _libc.mount(
        source.encode(),
        target.encode(),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        options.encode() if options else None,
    )
    _check(result, f"mount {kind or 'bind'} {source} on {target} ({options or hex(flags)})")


def bind(source: str, target: str) -> None:
    mount(source, target, flags=MS_BIND)


def mount_fuse(target: str, channel: int) -> None:
    """Mount a FUSE file system that whoever reads `channel` (/dev/fuse) serves."""
    flags = MS_NODEV | MS_NOSUID | MS_NOEXEC
    mount("chaoskit", target, "fuse", flags, f"fd={channel},rootmode=40000,user_id=0,group_id=0")


def unmount(target: str, *, detach: bool = False) -> None:
    _check(_libc.umount2(target.encode(), MNT_DETACH if detach else 0), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    number = _SYS_PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(38, f"pivot_root on {os.uname().machine}: its system call number is not known here")
    _check(_libc.syscall(ctypes.c_long(number), new.encode(), old.encode()), f"pivot_root({new})")


def die_with_parent() -> None:
    """SIGKILL for this process when the one that forked it ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")


def drop_capabilities(bounding: int) -> None:
    """Whatever this process executes from now on gains no capability outside of this mask, whoever it runs as."""
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii"))
    for number in range(last + 1):
        if not bounding >> number & 1:
            _check(_libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0), f"prctl(PR_CAPBSET_DROP, {number})")


def adopt_orphans() -> None:
    """Children's children become this process's own when their parent ends."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl(PR_SET_CHILD_SUBREAPER)")


def name_process(name: str) -> None:
    """Sets the name that ps shows, cut at 15 bytes."""
    _check(_libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0), "prctl(PR_SET_NAME)")


def serve_storage() -> None:
    """This process serves a disk: memory is found for it without waiting for a disk. Needs CAP_SYS_RESOURCE."""
    _check(_libc.prctl(_PR_SET_IO_FLUSHER, 1, 0, 0, 0), "prctl(PR_SET_IO_FLUSHER)")


def set_host_name(name: str) -> None:
    encoded = name.encode()
    _check(_libc.sethostname(encoded, ctypes.c_size_t(len(encoded))), f"sethostname({name})")


def sync_filesystem(path: str) -> None:
    """Everything written so far to this path's file system is on its disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        _check(_libc.syncfs(ctypes.c_int(fd)), f"syncfs({path})")
    finally:
        os.close(fd)


def shut_down_ext4(path: str) -> None:
    """Every operation on the file system fails from now on, and what was not flushed is lost (power loss)."""
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, _EXT4_IOC_SHUTDOWN, struct.pack("I", _EXT4_GOING_FLAGS_NOLOGFLUSH))
    finally:
        os.close(fd)


def freeze_filesystem(path: str) -> None:
    """Writes and flushes on this path's file system wait from now on. It is flushed first."""
    _ioctl(path, _FIFREEZE)


def thaw_filesystem(path: str) -> None:
    """Let a frozen file system go on. Nothing where it is not frozen."""
    try:
        _ioctl(path, _FITHAW)
    except OSError as error:
        if error.errno != 22:
            raise


def _ioctl(path: str, number: int) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, number, 0)
    finally:
        os.close(fd)


def clone_mount(path: str) -> int:
    """A descriptor of a mount like the one at `path`, in no namespace yet (Linux 5.2). Closing it gives it up."""
    flags = ctypes.c_uint(_OPEN_TREE_CLONE | os.O_CLOEXEC)
    fd: int = _libc.syscall(ctypes.c_long(_SYS_OPEN_TREE), ctypes.c_int(_AT_FDCWD), path.encode(), flags)
    if fd < 0:
        _check(fd, f"open_tree({path})")
    return fd


def attach_mount(tree: int, target: str) -> None:
    """Mount what `clone_mount` gave at `target`, in the caller's namespace."""
    number, at, flag = ctypes.c_long(_SYS_MOVE_MOUNT), ctypes.c_int(_AT_FDCWD), ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH)
    _check(_libc.syscall(number, ctypes.c_int(tree), b"", at, target.encode(), flag), f"move_mount({target})")


@contextlib.contextmanager
def loop_device(image: str, nodes: str, *, read_only: bool = False, direct_bytes: int = 0) -> Iterator[str]:
    """A loop device over a file, which the kernel frees at its last close: mount it before this ends.

    `nodes`: a directory where a device node may be made, for machines whose /dev lacks it. `direct_bytes`: nothing of the file
    is cached on its way, and this is the device's block size.
    """
    control = os.open("/dev/loop-control", os.O_RDWR)
    backing = os.open(image, os.O_RDONLY if read_only else os.O_RDWR)
    loop = -1
    try:
        for _ in range(32):
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            path = _loop_node(number, nodes)
            loop = os.open(path, os.O_RDONLY if read_only else os.O_RDWR)
            if _configured(loop, backing, direct_bytes):
                break
            os.close(loop)  # another process took it between the two calls
            loop = -1
        if loop < 0:
            raise OSError(16, f"no free loop device for {image} after 32 attempts")
        yield path
    finally:
        for fd in (loop, backing, control):
            if fd >= 0:
                os.close(fd)


def _loop_node(number: int, nodes: str) -> str:
    path = f"/dev/loop{number}"
    if os.path.exists(path):
        return path
    path = f"{nodes}/loop{number}"
    if not os.path.exists(path):
        os.mknod(path, 0o600 | 0o060000, os.makedev(7, number))
    return path


def _configured(loop: int, backing: int, direct_bytes: int) -> bool:
    """Attaches the file with AUTOCLEAR; False where the device was taken meanwhile."""
    info = bytearray(232)
    struct.pack_into("=I", info, 52, _LO_FLAGS_AUTOCLEAR | (_LO_FLAGS_DIRECT_IO if direct_bytes else 0))
    try:
        fcntl.ioctl(loop, _LOOP_CONFIGURE, struct.pack("=II", backing, direct_bytes) + bytes(info) + bytes(64))
    except OSError as error:
        if error.errno == 16:
            return False
        if error.errno not in (22, 25):
            raise
        fcntl.ioctl(loop, _LOOP_SET_FD, backing)  # Linux before 5.8
        fcntl.ioctl(loop, _LOOP_SET_STATUS64, bytes(info))
        if direct_bytes:
            fcntl.ioctl(loop, _LOOP_SET_BLOCK_SIZE, direct_bytes)
            fcntl.ioctl(loop, _LOOP_SET_DIRECT_IO, 1)
    return True


def close_all_but(keep: Iterable[int]) -> None:
    """Closes every descriptor above 2 except these; a forked child must not hold its parent's sockets open."""
    previous = 2
    for fd in sorted({*keep, _HIGHEST_FD}):
        if fd > previous + 1:
            os.closerange(previous + 1, fd)
        previous = max(previous, fd)


_HIGHEST_FD = 1 << 20
