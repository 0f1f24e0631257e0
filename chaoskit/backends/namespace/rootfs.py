"""A node's view of the file system: overlays over the host's directories, and everything that must be its own.

The node's disk (each overlay's upper directory) lies on a tmpfs of the lab, so it outlives a power cycle of the node and
ends with the lab. The host's files are never written.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from chaoskit.backends.linux_host import syscalls
from chaoskit.backends.linux_host.storage import cover
from chaoskit.backends.linux_host.wire import Blueprint, NodeJson, Refused, TreeJson
from chaoskit.backends.namespace.trees import entries
from chaoskit.linux import procfs

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_VAR_SKELETON = ("lib", "log", "cache", "spool", "opt", "local")
_COPIED_BYTES = 64 * 1024 * 1024
"""The most that may be copied into a node that cannot be laid over: what lies directly in /etc or /var is far less."""


def escaped(path: str) -> str:
    """A path as overlayfs options want it."""
    return path.replace("\\", "\\\\").replace(",", "\\,").replace(":", "\\:")


class Root:
    """Builds one node's root, inside its own mount namespace, and makes it `/`."""

    def __init__(self, lab: Blueprint, node: NodeJson, *, rootless: bool) -> None:
        self.lab, self.node, self.rootless = lab, node, rootless
        self.disk = f"{lab['directory']}/disks/{node['name']}"
        self.path = f"{self.disk}/root"
        self.first_boot = not os.path.isdir(self.path)

    def build(self) -> None:
        os.makedirs(self.path, mode=0o755, exist_ok=True)
        syscalls.bind(self.path, self.path)
        for link, target in self.lab["links"].items():
            if not os.path.lexists(self.path + link):
                os.symlink(target, self.path + link)
        self._own_mounts()  # first: an interpreter may live under /tmp or /root
        self._hollow_directories()
        for number, tree in enumerate(self.lab["trees"]):
            self._overlay(number, tree)
        for volume in self.node["volumes"]:
            target = self.path + volume["mount"]
            os.makedirs(target, exist_ok=True)
            if not self.rootless:
                cover(target)
            syscalls.bind(f"{self.lab['directory']}/volumes/{self.node['name']}.{volume['name']}", target)
        os.chdir(self.path)
        syscalls.pivot_root(".", ".")
        syscalls.unmount(".", detach=True)
        os.chdir("/")

    def _hollow_directories(self) -> None:
        """Directories that no overlay can be laid over: made anew, once, with the links and files that lie in them."""
        if not self.first_boot:
            return
        copied_bytes = 0
        for path in self.lab["hollow"]:
            target = self.path + path
            os.makedirs(target, exist_ok=True)
            os.chmod(target, stat.S_IMODE(os.stat(path).st_mode) | 0o055)
            for entry in entries(path):
                if entry.is_symlink():
                    os.symlink(os.readlink(entry.path), f"{target}/{entry.name}")
                elif entry.is_file() and os.access(entry.path, os.R_OK):
                    copied_bytes += entry.stat().st_size
                    if copied_bytes > _COPIED_BYTES:
                        raise Refused(f"{path}: its files are too large to copy, and something is mounted beneath it")
                    shutil.copyfile(entry.path, f"{target}/{entry.name}")
                    os.chmod(f"{target}/{entry.name}", stat.S_IMODE(entry.stat().st_mode))
            if path == "/etc":
                self._configuration([path], target)

    def _overlay(self, number: int, tree: TreeJson) -> None:
        upper, work = self._upper(number, tree)
        target = self.path + tree["path"]
        layers = [path for path in tree["lower"] if os.path.isdir(path)]
        if not os.path.isdir(upper):
            os.mkdir(upper)
            os.chmod(upper, stat.S_IMODE(os.stat(layers[0]).st_mode) | 0o055)
            os.mkdir(work)
            self._prepare(tree, upper)
        os.makedirs(target, mode=0o755, exist_ok=True)
        lower = ":".join(escaped(path) for path in layers)
        options = f"lowerdir={lower},upperdir={escaped(upper)},workdir={escaped(work)}"
        syscalls.mount("overlay", target, "overlay", 0, options + (",userxattr" if self.rootless else ""))

    def _upper(self, number: int, tree: TreeJson) -> tuple[str, str]:
        """Where the changes to a tree go, and overlayfs's work directory beside it."""
        return f"{self.disk}/upper{number}", f"{self.disk}/work{number}"

    def _prepare(self, tree: TreeJson, upper: str) -> None:
        """Before the overlay is mounted: a rootless node cannot copy up what belongs to users it does not have."""
        if tree["path"] == "/etc":
            self._configuration(tree["lower"], upper)
        if self.rootless:
            wanted = [f["path"] for s in self.node["services"] for f in s["files"]]
            parents = [os.path.dirname(path) for path in wanted] + [v["mount"] for v in self.node["volumes"]]
            self._skeleton(tree, "/var/tmp", upper, 0o1777)
            for parent in [*parents, *(f"/var/{name}" for name in _VAR_SKELETON)]:
                self._skeleton(tree, parent, upper, 0o755)

    def _skeleton(self, tree: TreeJson, path: str, upper: str, mode: int) -> None:
        """Directories of our own over those of the host on the way to `path`; what the host lacks is made later."""
        prefix = f"{tree['path']}/"
        if not path.startswith(prefix):
            return
        inner = ""
        for part in path[len(prefix) :].split("/"):
            inner = f"{inner}/{part}"
            if not any(os.path.isdir(layer + inner) for layer in tree["lower"]):
                return
            if not os.path.isdir(upper + inner):
                os.mkdir(upper + inner)
                os.chmod(upper + inner, mode)

    def _configuration(self, layers: Sequence[str], upper: str) -> None:
        """The node's own files in /etc, into `upper`; `layers` hold those of the host."""
        name = self.node["name"]
        _write(f"{upper}/hosts", self.lab["hosts"])
        _write(f"{upper}/hostname", f"{name}\n")
        _write(f"{upper}/resolv.conf", "# this lab has no name server; names are in /etc/hosts\n")
        _write(f"{upper}/machine-id", sha256(f"{self.lab['lab_id']}/{name}".encode()).hexdigest()[:32] + "\n")
        passwd, group = (_first_text(layers, file) for file in ("passwd", "group"))
        users, groups = with_accounts(passwd, group, self.lab["users"])
        _write(f"{upper}/passwd", users)
        _write(f"{upper}/group", groups)

    def _own_mounts(self) -> None:
        for name in ("proc", "sys", "dev", "run", "tmp", "home", "root", "mnt", "media"):
            os.makedirs(f"{self.path}/{name}", mode=0o700 if name == "root" else 0o755, exist_ok=True)
        if _covered_any("/root", (tree["path"] for tree in self.lab["trees"])):
            os.chmod(f"{self.path}/root", 0o711)
        syscalls.mount("proc", f"{self.path}/proc", "proc", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC | syscalls.MS_RDONLY
        syscalls.mount("sysfs", f"{self.path}/sys", "sysfs", flags)
        syscalls.mount("tmpfs", f"{self.path}/dev", "tmpfs", syscalls.MS_NOSUID, "mode=755")
        syscalls.mount("tmpfs", f"{self.path}/run", "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=755")
        syscalls.mount("tmpfs", f"{self.path}/tmp", "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=1777")
        os.mkdir(f"{self.path}/run/lock")
        os.chmod(f"{self.path}/run/lock", 0o1777)
        self._devices()

    def _devices(self) -> None:
        dev = f"{self.path}/dev"
        for name in _DEVICES:
            os.close(os.open(f"{dev}/{name}", os.O_CREAT | os.O_WRONLY, 0o666))
            syscalls.bind(f"/dev/{name}", f"{dev}/{name}")
        for directory, mode in (("pts", 0o755), ("shm", 0o1777)):
            os.mkdir(f"{dev}/{directory}")
            os.chmod(f"{dev}/{directory}", mode)
        options = "newinstance,ptmxmode=0666,mode=0620"
        syscalls.mount("devpts", f"{dev}/pts", "devpts", syscalls.MS_NOSUID | syscalls.MS_NOEXEC, options)
        os.symlink("pts/ptmx", f"{dev}/ptmx")
        os.symlink("/proc/self/fd", f"{dev}/fd")
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            os.symlink(f"/proc/self/fd/{number}", f"{dev}/{name}")


def _covered_any(prefix: str, paths: Iterable[str]) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}/") for path in paths)


def with_accounts(passwd: str, group: str, users: Iterable[str]) -> tuple[str, str]:
    """The two files' text with an account, and a group of the same name, for every user that is missing."""
    for user in users:
        known = procfs.accounts(passwd)
        if user in known:
            continue
        group_ids = {int(f[2]): f[0] for f in (line.split(":") for line in group.splitlines()) if len(f) > 2 and f[2].isdigit()}
        existing = [number for number, name in group_ids.items() if name == user]
        number = procfs.free_id({a.user_id for a in known.values()} | set(group_ids))
        group_id = existing[0] if existing else number
        passwd = f"{passwd.rstrip()}\n{user}:x:{number}:{group_id}:{user}:/var/lib/{user}:/bin/sh\n".lstrip("\n")
        if not existing:
            group = f"{group.rstrip()}\n{user}:x:{group_id}:\n".lstrip("\n")
    return passwd, group


def _first_text(directories: Sequence[str], name: str) -> str:
    for directory in directories:
        try:
            return Path(directory, name).read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError:
            continue
    return ""


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    os.chmod(path, 0o644)
