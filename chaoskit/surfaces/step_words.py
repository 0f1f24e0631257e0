"""A step in words, for plans and dry runs."""

from __future__ import annotations

import shlex

from chaoskit.model.steps import (
    BlockPorts,
    CutLinks,
    Exec,
    FailVolume,
    Freeze,
    JoinLinks,
    PowerOff,
    PowerOn,
    RemoveFile,
    RestoreVolume,
    SetLink,
    Signal,
    StartService,
    Step,
    StopService,
    Thaw,
    WriteFile,
)

_FAILURES = {
    "lost": "I/O errors from now on, unflushed data is gone",
    "hang": "writes and flushes wait",
    "read_only": "its file system turns read-only",
    "full": "filled up to {free} bytes",
}


def step_words(step: Step) -> str:
    """One line for one step."""
    match step:
        case PowerOff() | PowerOn() | Freeze() | Thaw():
            return _power_words(step)
        case CutLinks() | BlockPorts() | JoinLinks() | SetLink():
            return _network_words(step)
        case Signal():
            return f"send {step.signal} on {step.node} to {', '.join(str(p.pid) for p in step.processes)}"
        case StartService():
            return f"start {step.service} on {step.node} where it does not run"
        case FailVolume() | RestoreVolume() | WriteFile() | RemoveFile():
            return _disk_words(step)
        case StopService():
            return f"stop {step.service} on {step.node}: TERM, KILL after {step.grace_s:g} s; nobody starts it again"
        case Exec():
            as_user = f" as {step.user}" if step.user != "root" else ""
            return f"run on {step.node}{as_user}: {shlex.join(step.argv)}"


def _power_words(step: PowerOff | PowerOn | Freeze | Thaw) -> str:
    match step:
        case PowerOff():
            how = "its links fall silent, then every process ends" if step.silent else "every process ends, connections close"
            lost = "; data not flushed is lost" if step.lose_unsynced else ""
            return f"power off {step.node}: {how}{lost}"
        case PowerOn():
            return f"power on {step.node}: volumes mounted, services started"
        case Freeze():
            return f"freeze every process of {step.node}"
        case Thaw():
            return f"thaw {step.node}"


def _disk_words(step: FailVolume | RestoreVolume | WriteFile | RemoveFile) -> str:
    match step:
        case FailVolume():
            return f"make the volume {step.volume} of {step.node} fail: {_FAILURES[step.how].format(free=step.free_bytes)}"
        case RestoreVolume():
            return f"let the volume {step.volume} of {step.node} work again; who holds one that must be mounted anew is ended"
        case WriteFile():
            size, mode, owner = len(step.file.data), f"{step.file.mode:04o}", f"{step.file.user_id}:{step.file.group_id}"
            return f"write {step.file.path} on {step.node}: {size} bytes, mode {mode}, owner {owner}"
        case RemoveFile():
            return f"remove {step.path} on {step.node}"


def _network_words(step: CutLinks | BlockPorts | JoinLinks | SetLink) -> str:
    if isinstance(step, JoinLinks):
        return "let those frames through again"
    where = f" on {step.network}" if step.network else ""
    match step:
        case CutLinks():
            share = "every frame" if step.share_percent >= 100 else f"{step.share_percent:g} % of the frames, by chance,"
            return f"drop {share} {_links(step)}{where}"
        case BlockPorts():
            ports = [*(f"tcp {port}" for port in step.tcp), *(f"udp {port}" for port in step.udp)]
            what = "answer with a reset or port unreachable, and drop," if step.reject else "drop"
            return f"{what} every packet to {', '.join(ports)} {_links(step)}{where}"
        case SetLink(up=True):
            return f"give {step.node} its carrier back{where}"
        case SetLink():
            return f"take the switch's port of {step.node} down{where}: it has no carrier"


def _links(step: CutLinks | BlockPorts) -> str:
    both, one_way = [], []
    pairs = {(link.source, link.destination) for link in step.links}
    for link in step.links:
        if (link.destination, link.source) in pairs:
            if (link.destination, link.source) not in both:
                both.append((link.source, link.destination))
        else:
            one_way.append((link.source, link.destination))
    words = [f"between {a} and {b}" for a, b in both] + [f"from {a} to {b}" for a, b in one_way]
    return ", ".join(words) if words else "of no link"
