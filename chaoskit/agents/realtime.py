"""Ask the kernel for what an accurate process needs; take what it permits and say what it refused."""

from __future__ import annotations

import ctypes
import gc
import os
import resource

_PR_SET_TIMERSLACK = 29
_libc = ctypes.CDLL(None, use_errno=True)


def tune_process(*, real_time: bool) -> list[str]:
    """Prepare this process for accurate timing; returns what was refused, for the log.

    `real_time` asks for SCHED_FIFO at its lowest priority. What is started later does not inherit it: not child processes, which
    are somebody else's commands, and not threads, unless they ask for it (`tune_thread`).
    """
    refused: list[str] = []
    raise_open_files(refused)
    if _libc.prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(1), 0, 0, 0) != 0:
        refused.append(f"timer slack: {os.strerror(ctypes.get_errno())}")
    if real_time:
        try:
            priority = os.sched_get_priority_min(os.SCHED_FIFO)
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
        except OSError as error:
            refused.append(f"SCHED_FIFO: {error.strerror}")
    freeze_objects()
    return refused


def freeze_objects() -> None:
    """Objects made so far live as long as the process: the collector need not walk them again."""
    gc.collect()
    gc.freeze()


def tune_thread() -> None:
    """Make the calling thread as urgent as the process's first one is.

    Every thread that holds the interpreter's lock for a while needs it: an ordinary one that has to wait for a processor
    while it holds the lock keeps all others waiting.
    """
    if os.sched_getscheduler(os.getpid()) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_getparam(os.getpid()))


def raise_open_files(refused: list[str]) -> None:
    """Raise RLIMIT_NOFILE to its hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:
        refused.append(f"RLIMIT_NOFILE {soft} -> {hard}: {error}")
