"""A node's private volumes, in the holder's mount namespace: ext4 on a loop device as root, a plain directory otherwise."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from chaoskit.backends.linux_host import syscalls
from chaoskit.backends.linux_host.wire import VolumeJson

MKFS_FILE_SYSTEM = (
    "mkfs.ext4",
    "-q",
    "-F",
    "-m",
    "0",
    "-O",
    "^resize_inode",
    "-E",
    "lazy_itable_init=1,lazy_journal_init=1,nodiscard",
)
FILE_NAME = "disk"
"""The only file in the file system of a programmable disk."""
DISK_BLOCK_BYTES = 4096
MKFS_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
_FREE_WITHIN_S = 10.0


def can_fail_here() -> bool:
    """Whether this machine has what volumes on loop devices are made with."""
    return os.path.exists("/dev/loop-control") and shutil.which("mkfs.ext4", path=MKFS_PATH) is not None


class Volumes:
    """The volumes of one lab. Methods that block are meant for a forked child; they raise OSError or RuntimeError."""

    def __init__(self, directory: str, *, loop_backed: bool) -> None:
        self._directory = Path(directory, "volumes")
        self._nodes = f"{directory}/disks"
        self.loop_backed = loop_backed

    def place(self, node: str, volume: str) -> Path:
        """Where the volume is seen in the holder's mount namespace."""
        return self._directory / f"{node}.{volume}"

    def image(self, node: str, volume: str) -> Path:
        """The file behind the volume's loop device."""
        place = self.disk_place(node, volume)
        return place / FILE_NAME if place.is_dir() else self.durable_image(node, volume)

    def disk_place(self, node: str, volume: str) -> Path:
        """Where the file system of a programmable disk is mounted; no directory where the volume is of another kind."""
        return self._directory / f"{node}.{volume}.disk"

    @staticmethod
    def size_bytes(volume: VolumeJson) -> int:
        return max(volume["size_bytes"], 2 << 20)

    def durable_image(self, node: str, volume: str) -> Path:
        """The file with what is on the disk for good."""
        return self._directory / f"{node}.{volume}.img"

    def make(self, node: str, volume: VolumeJson) -> None:
        """Create the volume, empty."""
        place = self.place(node, volume["name"])
        place.mkdir(parents=True, exist_ok=True)
        if not self.loop_backed:
            return
        image = self.durable_image(node, volume["name"])
        with image.open("wb") as file:
            file.truncate(self.size_bytes(volume))
        blocks = ("-b", str(DISK_BLOCK_BYTES)) if volume["kind"] == "programmable" else ()
        made = subprocess.run(
            [*MKFS_FILE_SYSTEM, *blocks, str(image)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={"PATH": MKFS_PATH},
        )
        if made.returncode != 0:
            raise RuntimeError(f"mkfs.ext4 {image}: exit code {made.returncode}: {made.stderr.strip()}")
        self.mount(node, volume["name"])
        with contextlib.suppress(FileNotFoundError):
            (place / "lost+found").rmdir()  # initdb and its like refuse a directory that is not empty

    def make_all(self, node: str, volumes: Iterable[VolumeJson]) -> None:
        for volume in volumes:
            self.make(node, volume)

    def mount_all(self, node: str, volumes: Iterable[str]) -> None:
        """Mount a node's volumes afresh."""
        for volume in volumes:
            self.unmount(node, volume)
            self._demand_free(node, volume)
            self.mount(node, volume)

    def _demand_free(self, node: str, volume: str) -> None:
        """A node's mounts end a moment after its processes: two mounts of one image would spoil each other. RuntimeError."""
        image, deadline = str(self.image(node, volume)), time.monotonic() + _FREE_WITHIN_S
        while self.loop_backed and (held := attached_to(image)):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{image} is still in use on {', '.join(held)} after {_FREE_WITHIN_S:g} s")
            time.sleep(0.002)

    def unmount_all(self, node: str, volumes: Iterable[str]) -> None:
        for volume in volumes:
            self.unmount(node, volume)

    def mount(self, node: str, volume: str) -> None:
        """Mount what was unmounted; the journal is replayed. Nothing for a plain directory."""
        if self.loop_backed:
            direct = DISK_BLOCK_BYTES if self.disk_place(node, volume).is_dir() else 0
            with syscalls.loop_device(str(self.image(node, volume)), self._nodes, direct_bytes=direct) as device:
                syscalls.mount(device, str(self.place(node, volume)), "ext4", syscalls.MS_NODEV, "errors=continue")

    def lose_unsynced(self, node: str, volumes: Iterable[str]) -> None:
        """From now on every access fails, and what was not flushed is gone."""
        if self.loop_backed:
            for volume in volumes:
                syscalls.shut_down_ext4(str(self.place(node, volume)))

    def unmount(self, node: str, volume: str) -> None:
        """Take it away; the loop device frees itself. Nothing where it is not mounted."""
        if self.loop_backed and os.path.ismount(self.place(node, volume)):
            syscalls.unmount(str(self.place(node, volume)))

    def flush(self, node: str, volumes: Iterable[str]) -> None:
        """Everything written so far is on disk."""
        for volume in volumes:
            syscalls.sync_filesystem(str(self.place(node, volume)))


def attached_loops(directory: str) -> list[str]:
    """Loop devices of this machine that are backed by files under `directory`."""
    return [device for device, file in _backed_loops() if file.startswith(f"{directory}/")]


def attached_to(file: str) -> list[str]:
    """Loop devices of this machine that are backed by this file."""
    return [device for device, backing in _backed_loops() if backing == file]


def _backed_loops() -> list[tuple[str, str]]:
    found = []
    for entry in Path("/sys/block").glob("loop*"):
        try:
            backing = (entry / "loop" / "backing_file").read_text(encoding="utf-8").strip()
        except OSError:
            continue
        found.append((f"/dev/{entry.name}", backing.removesuffix(" (deleted)")))
    return sorted(found)
