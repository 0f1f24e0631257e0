"""Tries, in scratch namespaces of its own, what a lab needs, and prints what worked: `python -m ... < request > answer`.

A process of its own because it changes namespaces, and its caller may have threads. Nothing it makes outlives it; nothing of
the host is touched but one cgroup directory and one small file, both removed at once. Standard library only.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from chaoskit.backends.linux_host import disk_server, freezer, identity, responding, shifted_vdso, syscalls, transport
from chaoskit.backends.linux_host.controllers import CONTROLLERS, LabGroups, own_v1_places
from chaoskit.backends.linux_host.disk_model import TAIL_BYTES
from chaoskit.backends.linux_host.processes import forked
from chaoskit.backends.linux_host.relay import Relay
from chaoskit.backends.linux_host.state import TRIAL
from chaoskit.backends.linux_host.volumes import Volumes
from chaoskit.backends.linux_host.wire import Refused, VolumeJson, unpacked
from chaoskit.linux import netlink, procfs, replies

_PARENT = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC


def main() -> None:
    """{"wires": batch, "network": {trial: act}} on standard input; {trial: "" or why not} on standard output."""
    request = json.load(sys.stdin)
    directory = request["directory"]
    trials: dict[str, Callable[[], None]] = {
        "namespaces": lambda: _namespaces(request["wires"], None),
        "cgroup": lambda: _cgroup(Path(directory)),
        "clock": _clock,
    }
    for controller in CONTROLLERS:
        trials[f"resource.quota.{controller}"] = partial(_quota, Path(directory), controller)
    for name, act in request["network"].items():
        trials[name] = partial(_namespaces, request["wires"], act)
    trials[request["answer"]] = lambda: _namespaces(request["wires"], {"filter": True})
    if os.geteuid() == 0:
        trials["volume"] = lambda: _volume(directory, "lose")
        trials["volume_program"] = lambda: _program(directory)
        trials["volume_fail"] = lambda: _volume(directory, "fail")
    running = {name: _begun(trial) for name, trial in trials.items()}
    answers = {name: _outcome(*begun) for name, begun in running.items()}
    answers["users"] = "" if os.geteuid() == 0 or identity.subordinate_ids() else "one"
    print(json.dumps(answers))


def _begun(trial: Callable[[], None]) -> tuple[int, int]:
    reader, writer = os.pipe()

    def body() -> int:
        try:
            trial()
        except (OSError, Refused, RuntimeError, subprocess.SubprocessError) as error:
            evidence = getattr(error, "evidence", "")
            os.write(writer, f"{error}{': ' + evidence if evidence else ''}"[:2000].encode())
            return 1
        return 0

    pid = forked(body, keep=[writer])
    os.close(writer)
    return pid, reader


def _outcome(pid: int, reader: int) -> str:
    with os.fdopen(reader, "rb") as said:
        text = said.read().decode("utf-8", "replace")
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return text or ("" if code == 0 else f"exit code {code}")


def _namespaces(wires: str, act: dict[str, Any] | None) -> None:
    """The namespaces, mounts and links of a lab with one node, or where given an act on its network."""
    rootless = os.geteuid() != 0
    if rootless:
        identity.enter_user_namespace()
    syscalls.unshare(_PARENT)
    pid, reader = _begun(lambda: _inside(wires, act, rootless))
    why = _outcome(pid, reader)
    if why:
        raise Refused(why)


def _inside(wires: str, act: dict[str, Any] | None, rootless: bool) -> None:
    transport.send_batch(netlink.NETLINK_ROUTE, unpacked(wires))
    if act is not None:
        if "filter" in act:
            responding.filtered_socket(replies.port_filter([(1, 1)], [(1, 1)], 64)).close()
            return
        for part in act.get("batches", [act]):
            transport.send_batch(part["family"], unpacked(part["batch"]), tolerate=part.get("tolerate", ()))
        if "relay" in act:
            Relay(act["relay"], control=-1, report=-1).open()
        return
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("proc", "/proc", "proc")
    scratch = "/run" if os.path.isdir("/run") else "/tmp"
    syscalls.mount("tmpfs", scratch, "tmpfs")
    for name in ("upper", "work", "merged", "sys", "pts"):
        os.mkdir(f"{scratch}/{name}")
    options = f"lowerdir=/usr,upperdir={scratch}/upper,workdir={scratch}/work" + (",userxattr" if rootless else "")
    syscalls.mount("overlay", f"{scratch}/merged", "overlay", 0, options)
    syscalls.mount("sysfs", f"{scratch}/sys", "sysfs", syscalls.MS_RDONLY)
    syscalls.mount("devpts", f"{scratch}/pts", "devpts", 0, "newinstance,ptmxmode=0666")


def _cgroup(directory: Path) -> None:
    """A process of our own is put into a group of our own, frozen, thawed and ended."""
    group = freezer.make_cgroup(f"{freezer.cgroup_prefix(directory)}{TRIAL}{os.getpid()}")
    if group is None:
        raise Refused("no cgroup v2 directory here can be written")
    sleeper = forked(_sleep)
    try:
        (group / "cgroup.procs").write_text(str(sleeper))
        asyncio.run(freezer.freeze_cgroup(group, frozen=True))
        asyncio.run(freezer.freeze_cgroup(group, frozen=False))
    finally:
        os.kill(sleeper, 9)
        os.waitpid(sleeper, 0)
        _remove_soon(group)


def _clock() -> None:
    """A process of our own gets a false clock and a true one again, with the rights of a lab's holder."""
    if os.geteuid() != 0:
        identity.enter_user_namespace()
    pid = forked(_sleep)
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            target = shifted_vdso.Target(pid, procfs.stat(file.read()).start_ticks)
        shifted_vdso.shift([target], TRIAL, 3600 * 10**9, 0, time.time_ns())
        if (felt := shifted_vdso.judged([target], [target], TRIAL, 3600 * 10**9, 0)["value"]) != "as_asked":
            raise Refused(f"a clock shifted by an hour is then {felt!r}")
        shifted_vdso.restore(lambda: [target], TRIAL)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def _quota(directory: Path, controller: str) -> None:
    """A process of our own is put into a group of our own and limited."""
    name = f"{freezer.cgroup_prefix(directory)}{TRIAL}{controller}-{os.getpid()}"
    unified = freezer.make_cgroup(name)
    with tempfile.TemporaryDirectory(prefix="trial-", dir=directory) as scratch:
        groups = LabGroups(name, own_v1_places(), Path(scratch, "noted"))
        groups.unified = unified
        node = unified / "node" if unified is not None else None
        if node is not None:
            node.mkdir()
        sleeper = forked(_sleep)
        try:
            groups.add("node", node)
            group = groups.take("node", node, controller, lambda: (sleeper,))
            group.set_limit(0.5 if controller == "cpu" else 1 << 30 if controller == "memory" else 100)
            if group.limit() is None:
                raise Refused(f"the kernel forgot the limit of {controller} that {group.path} was given")
        finally:
            os.kill(sleeper, 9)
            os.waitpid(sleeper, 0)
            for made in ([unified] if unified is not None else []) + groups.directories():
                _remove_soon(made)


def _sleep() -> int:
    time.sleep(10)
    return 0


def _remove_soon(group: Path) -> None:
    deadline = time.monotonic() + 1.0
    while True:
        try:
            freezer.remove_cgroup(group)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.001)


def _volume(directory: str, what: str) -> None:
    """A small ext4 on a loop device loses what was not flushed; or it is frozen and thawed, and its mount cloned."""
    if shutil.which("mkfs.ext4", path="/usr/sbin:/sbin:/usr/bin:/bin") is None:
        raise Refused("mkfs.ext4 is missing: install e2fsprogs")
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    with tempfile.TemporaryDirectory(prefix="trial-", dir=directory) as scratch:
        os.mkdir(f"{scratch}/disks")
        volumes = Volumes(scratch, loop_backed=True)
        volumes.make("trial", {"name": "v", "size_bytes": 4 << 20, "mount": "/v", "owner": "root", "kind": "ext4-loop"})
        try:
            if what == "lose":
                volumes.lose_unsynced("trial", ["v"])
            else:
                place = str(volumes.place("trial", "v"))
                os.close(syscalls.clone_mount(place))
                syscalls.freeze_filesystem(place)
                syscalls.thaw_filesystem(place)
        finally:
            volumes.unmount("trial", "v")


def _program(directory: str) -> None:
    """A small programmable disk with a file system on it is mounted, and flushes when told to."""
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    with tempfile.TemporaryDirectory(prefix="trial-", dir=directory) as scratch:
        os.mkdir(f"{scratch}/disks")
        volumes = Volumes(scratch, loop_backed=True)
        volume = VolumeJson(name="v", size_bytes=4 << 20, mount="/v", owner="root", kind="programmable")
        place = volumes.disk_place("trial", "v")
        place.mkdir(parents=True)
        channel = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        syscalls.mount_fuse(str(place), channel)
        image, size = str(volumes.durable_image("trial", "v")), (4 << 20) + TAIL_BYTES
        serve = partial(disk_server.run, channel, theirs.fileno(), image, size)
        server = forked(serve, keep=[channel, theirs.fileno()])
        os.close(channel)
        theirs.close()
        try:
            volumes.make("trial", volume)
            volumes.flush("trial", ["v"])
            ours.settimeout(2.0)
            ours.send(b'{"do": "report"}')
            if not json.loads(ours.recv(4096))["flushes"]:
                raise Refused("a flush of the file system did not reach its disk")
            volumes.unmount("trial", "v")
        finally:
            os.kill(server, 9)
            os.waitpid(server, 0)
            syscalls.unmount(str(place), detach=True)


if __name__ == "__main__":
    main()
