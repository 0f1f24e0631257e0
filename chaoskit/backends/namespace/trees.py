"""Which directories of the host a node sees, and how. Pure but for looking at the host's directories."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from chaoskit.linux import procfs

SYSTEM_DIRECTORIES = ("/usr", "/etc", "/var", "/opt", "/srv", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_DISK_KINDS = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs"})
_FOREIGN = ("/docker/", "/containers/", "/kubelet/")
"""Mounts below these belong to other tools' containers."""
_TEMPORARY = "/var/tmp"


def host_trees(mountinfo: str, programs: Iterable[str]) -> list[str]:
    """The host directories that a node sees, parents before children: the system's, and those that hold `programs`.

    `programs`: the interpreter's prefixes and the package itself. Separate file systems below a system directory are named
    too, because an overlay does not see through mount points.
    """
    trees = [path for path in SYSTEM_DIRECTORIES if os.path.isdir(path) and not os.path.islink(path)]
    named = {way(program) for program in programs for way in (os.path.realpath, os.path.abspath)}
    for program in sorted(named):
        if program != "/" and os.path.isdir(program) and not _covered(program, trees):
            trees.append(program)
    for mounted in procfs.mounts(mountinfo):
        wanted = mounted.kind in _DISK_KINDS and mounted.point not in trees and _covered(mounted.point, trees)
        if wanted and os.path.isdir(mounted.point) and not any(part in mounted.point for part in _FOREIGN):
            trees.append(mounted.point)
    return sorted(trees)


def around_mounts(trees: Sequence[str], mountinfo: str, programs: Iterable[str]) -> tuple[list[str], list[str]]:
    """Trees that an overlay without root can be laid over, and the directories above them that it cannot: (trees, hollow).

    In a user namespace the kernel shows no directory without the mounts beneath it ("locked"), and an overlay's lower layer has
    none: EINVAL. A running container engine or a separate file system is enough. Such a directory is made anew in the node
    (hollow), and what lies in it, if nothing is mounted further down, is laid over by itself.
    """
    points = {mounted.point for mounted in procfs.mounts(mountinfo)}
    named = {way(program) for program in programs for way in (os.path.realpath, os.path.abspath)}
    seen: list[str] = []
    hollow: list[str] = []

    def take(tree: str) -> None:
        if not any(point.startswith(f"{tree}/") for point in points):
            seen.append(tree)
            return
        hollow.append(tree)
        for child in (entry.path for entry in entries(tree) if entry.is_dir(follow_symlinks=False)):
            temporary = tree == _TEMPORARY and not any(_covered(program, [child]) for program in named)
            if child not in points and not temporary:
                take(child)

    for tree in trees:
        take(tree)
    return sorted(seen), sorted(hollow)


def entries(directory: str) -> list[os.DirEntry[str]]:
    """What lies in it, by name; nothing where this user may not look, as no node of his could."""
    try:
        with os.scandir(directory) as found:
            return sorted(found, key=lambda entry: entry.name)
    except PermissionError:
        return []


def _covered(path: str, trees: Sequence[str]) -> bool:
    return any(path == tree or path.startswith(f"{tree}/") for tree in trees)


def interpreter_directories() -> list[str]:
    """Where the running Python, its environment and chaoskit itself live."""
    import chaoskit

    package = str(Path(chaoskit.__file__).resolve().parent)
    installed = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    named = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    interpreter = os.path.dirname(os.path.realpath(sys.executable))
    return [sys.prefix, sys.base_prefix, interpreter, package, *installed, *named]


def root_links() -> dict[str, str]:
    """The host's top-level symbolic links, such as /bin -> usr/bin."""
    return {entry.path: os.readlink(entry.path) for entry in os.scandir("/") if entry.is_symlink()}
