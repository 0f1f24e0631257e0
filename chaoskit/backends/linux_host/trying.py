"""Asks a scratch process what this machine lets a lab do, and remembers for a minute what it said.

A run, a plan and a lab of the same minute ask the same kernel the same questions, and each answer takes a third of a second.
What is remembered holds for this boot, these rights and namespaces, and as long as nothing has changed that could change an
answer: loaded modules, mounts, settings, programs.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from chaoskit.backends.linux_host import state
from chaoskit.backends.linux_host.identity import own_environment
from chaoskit.backends.linux_host.wire import packed
from chaoskit.linux import rtnl
from chaoskit.model import capability as names

NETEM = "netem"
PROGRAM_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
_PROGRAMS = ("mkfs.ext4", "newuidmap", "newgidmap")
_FILES = (
    "/proc/sys/kernel/random/boot_id",
    "/proc/modules",
    "/proc/filesystems",
    "/proc/self/mountinfo",
    "/proc/self/cgroup",
    "/etc/subuid",
    "/etc/subgid",
)
"""What they hold decides what works, or changes when that does."""
_NAMESPACES = ("user", "mnt", "net", "pid", "cgroup")
_RIGHTS = ("Uid:", "CapEff:", "CapBnd:", "Seccomp:", "NoNewPrivs:")
_TRIAL = "chaoskit.backends.linux_host.trial"
_WITHIN_S = 20.0
_REMEMBERED_NS = 60 * 10**9
_MEMORY = "trials.json"

Answers = dict[str, str]
"""Trial -> "" where it worked, else why not."""


def answers(settings: Iterable[str]) -> Answers:
    """What the trials said, now or within the last minute. `settings`: those below /proc/sys that decide as well."""
    try:
        directory = state.make_private(state.state_directory())
    except OSError as error:
        return {"namespaces": f"the state directory cannot be used: {error}"}
    situation, memory = _situation(settings), directory / _MEMORY
    known = _remembered(memory, situation)
    if known is None:
        known = _tried(directory)
        _remember(memory, situation, known)
    return known


def _situation(settings: Iterable[str]) -> str:
    """Another text as soon as an answer may be another one."""
    facts = [_text(Path(file)) for file in (*_FILES, *(f"/proc/sys/{name}" for name in settings))]
    facts += [line for line in _text(Path("/proc/self/status")).splitlines() if line.startswith(_RIGHTS)]
    facts += [_link(f"/proc/self/ns/{name}") for name in _NAMESPACES]
    facts += [shutil.which(program, path=PROGRAM_PATH) or "" for program in _PROGRAMS]
    facts += [sys.executable, os.path.dirname(__file__)]
    return sha256("\0".join(facts).encode()).hexdigest()


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"{error.errno}"


def _link(place: str) -> str:
    try:
        return os.readlink(place)
    except OSError as error:
        return f"{error.errno}"


def _remembered(memory: Path, situation: str) -> Answers | None:
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
        age_ns = _now_ns() - int(known["at_ns"])
        if known["situation"] == situation and 0 <= age_ns < _REMEMBERED_NS:
            return {str(trial): str(why) for trial, why in known["answers"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # nothing that could be read is nothing remembered: it is tried
    return None


def _remember(memory: Path, situation: str, said: Answers) -> None:
    """Where it cannot be kept (a full disk), the next one tries again."""
    text = json.dumps({"situation": situation, "at_ns": _now_ns(), "answers": said})
    with contextlib.suppress(OSError):
        descriptor, name = tempfile.mkstemp(dir=memory.parent, prefix=f".{_MEMORY}-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(name, memory)
        except BaseException:
            os.unlink(name)
            raise


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _tried(directory: Path) -> Answers:
    # late: who remembers need not read all that can be done to a network
    from chaoskit.backends.linux_host import link_plans, rewiring, shaping

    request = {
        "directory": str(directory),
        "wires": packed(rtnl.batch(rtnl.loopback(), rtnl.bridge(0))),
        "network": {
            **shaping.trials(),
            **rewiring.trials(),
            names.NETWORK_SHAPE: link_plans.trial(),
            NETEM: {"batches": link_plans.netem_trial(rtnl.LOOPBACK_INDEX)},
        },
        "answer": names.NETWORK_ANSWER,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", _TRIAL],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=_WITHIN_S,
            check=False,
            cwd="/",
            env=own_environment(),
        )
    except subprocess.TimeoutExpired:
        return {"namespaces": f"trying it did not end within {_WITHIN_S:g} s"}
    try:
        said: Answers = json.loads(done.stdout)
    except ValueError:
        return {"namespaces": f"trying it ended with exit code {done.returncode}: {done.stderr[-500:]}"}
    return said
