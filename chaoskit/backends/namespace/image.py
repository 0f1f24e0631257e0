"""Debian packages for a lab's nodes, in a cached image that leaves the host as it is.

The image is an ext4 file with what `apt-get install` changed: one directory a host directory, each the upper layer of an
overlay. Nodes lay it between the host's directory and their own disk. A file, and not a directory, because overlayfs refuses
layers of which one lies inside another, and the cache lies inside /var.

`python -m chaoskit.backends.namespace.image FILE PACKAGE...` makes one; `package_image` calls it, once for each list of
packages and state of the host's own packages.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from chaoskit.backends.linux_host import syscalls
from chaoskit.backends.linux_host.processes import forked
from chaoskit.backends.linux_host.volumes import MKFS_FILE_SYSTEM, MKFS_PATH, attached_loops
from chaoskit.backends.linux_host.wire import Blueprint, NodeJson, Refused, TreeJson
from chaoskit.backends.namespace import rootfs, trees

_SIZE_BYTES = 16 << 30
"""The file is sparse: it takes what the packages take."""
_WITHIN_S = 1200.0
_FLUSHED_WITHIN_S = 30.0
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_NO_SERVICES = "/usr/sbin/policy-rc.d"


def image_key(packages: Sequence[str], dpkg_status: bytes) -> str:
    """The same for the same packages on the same host, in whatever order they are named."""
    return sha256("\n".join(sorted(set(packages))).encode() + b"\0" + dpkg_status).hexdigest()[:16]


def package_image(directory: Path, packages: Sequence[str], progress: Callable[[str], None]) -> Path:
    """The image with these packages, made now if it is not in the cache. Refused, with apt's words, where that fails."""
    if os.geteuid() != 0:
        raise Refused("an image of Debian packages needs root")
    if shutil.which("apt-get") is None:
        raise Refused("there is no apt-get here: packages need a Debian or Ubuntu machine")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    image = directory / f"{image_key(packages, Path('/var/lib/dpkg/status').read_bytes())}.ext4"
    with _alone(directory / "lock"):
        if not image.exists():
            progress(f"installing {', '.join(packages)} into an image (once)")
            _make(image, packages)
    return image


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One builder at a time; the kernel drops the lock with its holder."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(image: Path, packages: Sequence[str]) -> None:
    partial = image.with_suffix(".partial")
    command = [sys.executable, "-m", "chaoskit.backends.namespace.image", str(partial), *packages]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_WITHIN_S, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise Refused(f"installing {', '.join(packages)} did not end within {_WITHIN_S:g} s") from None
    deadline = time.monotonic() + _FLUSHED_WITHIN_S
    while attached_loops(str(image.parent)) and time.monotonic() < deadline:
        time.sleep(0.02)  # the file is whole once its loop device has let go of it
    if done.returncode != 0:
        partial.unlink(missing_ok=True)
        said = "\n".join((done.stdout + done.stderr).splitlines()[-25:])
        raise Refused(f"installing {', '.join(packages)} failed with exit code {done.returncode}", said)
    partial.replace(image)


def layer(image: str, tree: str) -> str:
    """Where the changes to a host directory lie in a mounted image."""
    return f"{image}/{tree.strip('/').replace('%', '%25').replace('/', '%2f')}"


class _ImageRoot(rootfs.Root):
    """A root like a node's, whose changes go into the image, with the host's name servers."""

    def _upper(self, number: int, tree: TreeJson) -> tuple[str, str]:
        place = f"{self.lab['directory']}/image"
        os.makedirs(f"{place}/work", exist_ok=True)
        return layer(place, tree["path"]), f"{place}/work/{number}"

    def _prepare(self, tree: TreeJson, upper: str) -> None:
        if tree["path"] == "/etc":
            with suppress(OSError):
                shutil.copyfile("/etc/resolv.conf", f"{upper}/resolv.conf")


def _install(file: str, packages: Sequence[str]) -> int:
    """In namespaces of our own: a root over the host's, and apt in it."""
    syscalls.die_with_parent()
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("proc", "/proc", "proc")
    place = f"{os.path.dirname(file)}/scratch"
    os.makedirs(place, exist_ok=True)
    syscalls.mount("tmpfs", place, "tmpfs", 0, "mode=755")
    for name in ("disks", "disks/image", "image"):
        os.mkdir(f"{place}/{name}")
    with open(file, "wb") as made:
        made.truncate(_SIZE_BYTES)
    subprocess.run([*MKFS_FILE_SYSTEM, file], check=True, env={"PATH": MKFS_PATH})
    with syscalls.loop_device(file, f"{place}/disks") as device:
        syscalls.mount(device, f"{place}/image", "ext4")
    written = os.open(f"{place}/image", os.O_RDONLY)  # its path is not seen from the new root
    seen = trees.host_trees(Path("/proc/self/mountinfo").read_text(encoding="utf-8"), ())
    lab = Blueprint(  # type: ignore[typeddict-item]
        directory=place, trees=[{"path": t, "lower": [t]} for t in seen], hollow=[], links=trees.root_links()
    )
    node = NodeJson(name="image", volumes=[], services=[])  # type: ignore[typeddict-item]
    _ImageRoot(lab, node, rootless=False).build()
    code = _apt(packages)
    # not sync(): that waits for every file system of the machine, also for one that hangs
    syscalls.sync_filesystem(f"/proc/self/fd/{written}")
    os.close(written)
    return code


def _apt(packages: Sequence[str]) -> int:
    env = {name: os.environ[name] for name in _PROXIES if name in os.environ}
    env |= {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "DEBIAN_FRONTEND": "noninteractive",
        "LC_ALL": "C",
    }
    policy = Path(_NO_SERVICES)
    before = policy.read_bytes() if policy.exists() else None
    policy.write_bytes(b"#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    quiet = ["apt-get", "-q", "-y", "-o", "Dpkg::Use-Pty=0", "-o", "Dpkg::Options::=--force-confold"]
    # without a network the lists the host has may do
    subprocess.run([*quiet, "update"], env=env, check=False)
    code = subprocess.run([*quiet, "--no-install-recommends", "install", "--", *packages], env=env, check=False).returncode
    subprocess.run([*quiet, "clean"], env=env, check=False)
    if before is None:
        policy.unlink()
    else:
        policy.write_bytes(before)
    return code


def main(arguments: Sequence[str]) -> int:
    file, *packages = arguments
    syscalls.die_with_parent()
    syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC)
    _, status = os.waitpid(forked(lambda: _install(file, packages)), 0)
    return os.waitstatus_to_exitcode(status) & 0xFF


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
