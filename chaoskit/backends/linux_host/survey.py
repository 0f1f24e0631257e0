"""What this machine lets a lab of namespaces do, found by trying it in a scratch process."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from chaoskit.backends.linux_host import trying
from chaoskit.backends.linux_host.trying import NETEM
from chaoskit.model import capability as names
from chaoskit.model.capability import Capability, Survey
from chaoskit.model.lab import LabSpec

EVERYTHING = (
    names.NETWORK_CUT,
    names.NETWORK_LINK,
    names.NETWORK_PORTS,
    names.NETWORK_REJECT,
    names.NETWORK_SHAPE,
    names.NETWORK_RESET,
    names.NETWORK_ADDRESS,
    names.NETWORK_FORWARDING,
    names.NETWORK_ANSWER,
    names.NODE_POWER,
    names.NODE_FREEZE,
    names.PROCESS_SIGNAL,
    names.PROCESS_CLOCK,
    names.SERVICE_CONTROL,
    names.COMMAND_EXEC,
    names.FILE_EDIT,
    names.VOLUME_LOSE_UNSYNCED,
    names.VOLUME_FAIL,
    names.VOLUME_PROGRAM,
    names.PACKAGES_DEBIAN,
    names.USERS_MANY,
    names.RESOURCE_LOAD,
    *names.QUOTAS.values(),
)
_NETWORK = {
    names.NETWORK_CUT: "nftables' bridge family: {why}; load nf_tables_bridge (CONFIG_NF_TABLES_BRIDGE) in the kernel",
    names.NETWORK_LINK: "taking a link down: {why}",
    names.NETWORK_PORTS: "nftables' payload match in the bridge family: {why}",
    names.NETWORK_RESET: "ending connections from outside (SOCK_DESTROY): {why}; needs CONFIG_INET_DIAG_DESTROY in the kernel",
    names.NETWORK_ANSWER: "packet sockets with a filter: {why}; needs CONFIG_PACKET in the kernel",
}
"""Capability -> what the plan says where the trial fails; `{why}`: the kernel's words."""
_BY_NETEM = (
    "by the kernel's netem, to which a super-frame of some 64 KiB is one frame; duplicate and path_mtu, which it cannot do, "
    "by a relay process of chaoskit's own"
)
_RELAYED = (
    "by a relay process of chaoskit's own on the switch; some hundred Mbit/s pass, less where each frame has its own fate "
    "(loss, duplicate, reorder, corrupt, rate)"
)
_ALWAYS = (
    names.NETWORK_ADDRESS,
    names.NETWORK_FORWARDING,
    names.NODE_POWER,
    names.PROCESS_SIGNAL,
    names.SERVICE_CONTROL,
    names.COMMAND_EXEC,
    names.FILE_EDIT,
    names.RESOURCE_LOAD,
)
_SETTINGS = (
    ("user/max_user_namespaces", "0", "user namespaces are switched off: sysctl -w user.max_user_namespaces=10000"),
    ("kernel/unprivileged_userns_clone", "0", "user namespaces need root here: sysctl -w kernel.unprivileged_userns_clone=1"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor restricts user namespaces: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)


def take_survey(backend: str, lab: LabSpec) -> Survey:
    """Tries it all, unless that was done a moment ago (see `trying`). `lab` decides only what its absence would mean."""
    root = os.geteuid() == 0
    answers = trying.answers(name for name, _, _ in _SETTINGS)
    mode = "root" if root else "rootless"
    broken = answers.get("namespaces", "")
    if broken:
        reason = f"no lab can be built here: {broken}; {_advice(root)}"
        found = tuple(Capability(name=name, present=False, reason=reason) for name in EVERYTHING)
        return Survey(backend=backend, mode=mode, capabilities=found)
    always = tuple(Capability(name=n, present=True) for n in _ALWAYS)
    always = (*always, *(_network(name, answers[name]) for name in _NETWORK))
    always = (*always, _reject(answers[names.NETWORK_REJECT], answers[names.NETWORK_ANSWER]))
    found = (
        *always,
        _shape(answers[names.NETWORK_SHAPE], netem=not answers[NETEM]),
        _freeze(answers["cgroup"]),
        _clock(answers["clock"]),
        _volume(names.VOLUME_LOSE_UNSYNCED, answers.get("volume"), root),
        _volume(names.VOLUME_FAIL, answers.get("volume_fail"), root),
        _program(answers.get("volume_program"), root),
        _packages(root),
        *(_quota(name, answers[name], root) for name in names.QUOTAS.values()),
    )
    return Survey(backend=backend, mode=mode, capabilities=(*found, _users(answers["users"])))


def _advice(root: bool) -> str:
    if root:
        return "root needs CAP_SYS_ADMIN and CAP_NET_ADMIN; in a container, give it both, or run chaoskit on the host"
    for name, bad, advice in _SETTINGS:
        try:
            if Path("/proc/sys", name).read_text(encoding="utf-8").strip() == bad:
                return advice
        except OSError:
            continue
    return "run chaoskit as root, or on a kernel that lets users make user namespaces"


def _network(name: str, why: str) -> Capability:
    return Capability(name=name, present=not why, reason=_NETWORK[name].format(why=why) if why else "")


def _shape(why: str, *, netem: bool) -> Capability:
    lacks = (
        f"frames cannot be diverted on the switch: {why}; it needs Linux 5.19 or newer with nftables' netdev family and its "
        "egress hook (CONFIG_NF_TABLES_NETDEV, CONFIG_NETFILTER_EGRESS)"
    )
    return Capability(name=names.NETWORK_SHAPE, present=not why, reason=lacks if why else _BY_NETEM if netem else _RELAYED)


def _reject(why: str, answering: str) -> Capability:
    if not why:
        return Capability(name=names.NETWORK_REJECT, present=True, reason="by nftables' reject in the bridge family")
    lacking = f"nftables' reject in the bridge family: {why}; load nft_reject_bridge (CONFIG_NF_REJECT_BRIDGE)"
    if answering:
        return Capability(name=names.NETWORK_REJECT, present=False, reason=f"{lacking}; and packet sockets: {answering}")
    return Capability(name=names.NETWORK_REJECT, present=True, reason=f"by answers of the lab's own, for want of {lacking}")


def _freeze(why: str) -> Capability:
    how = (
        f"by SIGSTOP to every process, because the cgroup v2 freezer cannot be used: {why}" if why else "by the cgroup v2 freezer"
    )
    return Capability(name=names.NODE_FREEZE, present=True, reason=how)


def _clock(why: str) -> Capability:
    reason = f"rewriting a process's vDSO: {why}" if why else "by rewriting the process's vDSO"
    return Capability(name=names.PROCESS_CLOCK, present=not why, reason=reason)


def _volume(name: str, why: str | None, root: bool) -> Capability:
    if not root:
        return Capability(name=name, present=False, reason="loop devices need root: volumes are plain directories here")
    return Capability(name=name, present=not why, reason=f"ext4 on a loop device: {why}" if why else "")


def _quota(name: str, why: str, root: bool) -> Capability:
    if not root:
        return Capability(name=name, present=False, reason="cgroups that limit a whole node need root")
    return Capability(name=name, present=not why, reason=why)


def _program(why: str | None, root: bool) -> Capability:
    name = names.VOLUME_PROGRAM
    if not root:
        reason = "a programmable disk is FUSE under a loop device: FUSE works for every user here, loop devices need root"
        return Capability(name=name, present=False, reason=reason)
    advice = "it takes FUSE (modprobe fuse; CONFIG_FUSE_FS; in a container: --device /dev/fuse) and loop devices"
    return Capability(name=name, present=not why, reason=f"a disk of chaoskit's own: {why}; {advice}" if why else "")


def _packages(root: bool) -> Capability:
    name = names.PACKAGES_DEBIAN
    if not root:
        return Capability(name=name, present=False, reason="building an image of Debian packages needs root")
    if shutil.which("apt-get") is None:
        return Capability(name=name, present=False, reason="there is no apt-get here: use a Debian or Ubuntu machine")
    return Capability(name=name, present=True)


def _users(answer: str) -> Capability:
    reason = "one user only: add this account to /etc/subuid and /etc/subgid and install uidmap, or run as root" if answer else ""
    return Capability(name=names.USERS_MANY, present=not answer, reason=reason)
