"""How a lab on this machine begins, is found again and is swept, whatever its nodes are made of."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from chaoskit.backends.linux_host import client, state
from chaoskit.backends.linux_host.identity import own_environment, start_ticks
from chaoskit.backends.linux_host.state import LabFiles
from chaoskit.backends.linux_host.wire import Refused
from chaoskit.model.errors import LabUnavailable
from chaoskit.model.lab import LabPlan
from chaoskit.ports.lab import Leftover


@contextmanager
def claimed(
    files: LabFiles,
    plan: LabPlan,
    run_id: str,
    logs: Path,
    sweep: Callable[[str], Sequence[str]],
    *,
    detached: bool,
    **more: Any,
) -> Iterator[dict[str, Any]]:
    """The lab's record, on the disk before anything of it is made. What fails inside is swept, and told as LabUnavailable.

    A lab without a keeper is one that is still being made by its owner.
    """
    record = {
        "lab_id": files.lab_id,
        "run_id": run_id,
        "owner": [os.getpid(), start_ticks(os.getpid())],
        "detached": detached,
        "logs": str(logs),
        "plan": plan.model_dump(mode="json"),
        **more,
    }
    try:
        state.make_private(state.state_directory())
        files.claim(**record, keeper=None)
    except FileExistsError:
        message = f"there is a lab {files.lab_id} already, or what is left of one"
        raise LabUnavailable(f"{message}: end it with `chaoskit lab down {files.lab_id}`", str(files.directory)) from None
    except OSError as error:
        raise LabUnavailable(f"the lab's directory cannot be made: {error}") from error
    except BaseException:
        if files.read().get("owner") == record["owner"]:  # an interrupt may come when it is claimed, and nobody knows yet
            sweep(files.lab_id)
        raise
    try:
        logs.mkdir(parents=True, exist_ok=True)
        yield record
    except BaseException as error:
        evidence = error.evidence if isinstance(error, (Refused, LabUnavailable)) else ""
        holder_said = files.log_tail()
        left = sweep(files.lab_id)
        if not isinstance(error, (Refused, LabUnavailable, OSError)):
            raise
        parts = [evidence or holder_said, *(f"left behind: {what}" for what in left)]
        raise LabUnavailable(f"lab {plan.name}: {error}", "\n".join(part for part in parts if part)) from error


def start_holder(files: LabFiles, record: Mapping[str, Any], module: str, *options: str) -> socket.socket:
    """Start the lab's holder, write it into the lab's record as its keeper, and return a connection to it.

    `options` are the interpreter's. A lab that is not detached ends with this process.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    owner = -1 if record["detached"] else os.pidfd_open(os.getpid())
    words = [f"--lab={files.lab_id}", str(files.directory), str(owner), str(theirs.fileno())]
    try:
        with (files.directory / "holder.log").open("ab") as log:
            holder = subprocess.Popen(
                [sys.executable, *options, "-m", module, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno(), *([owner] if owner >= 0 else [])],
                cwd="/",
                env=own_environment(),
                start_new_session=True,
            )
        holder.returncode = 0  # it outlives this object on purpose; `down` and `sweep` collect it by its number
        files.write(**record, keeper=[holder.pid, start_ticks(holder.pid)])
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
        if owner >= 0:
            os.close(owner)
    return ours


def found_plan(files: LabFiles, kind: str = "") -> LabPlan:
    """The plan of a lab whose holder answers. LabUnavailable where there is none; `kind`: "of containers", for the message."""
    record = files.read()
    if not record:
        known = ", ".join(state.labs_on_disk(files.family)) or "none"
        of_kind = f" {kind}" if kind else ""
        raise LabUnavailable(f"there is no lab {files.lab_id!r}{of_kind} here; labs: {known}", str(files.directory))
    try:
        client.request(files.directory, {"op": "status"})
    except Refused as refusal:
        raise LabUnavailable(str(refusal), refusal.evidence) from refusal
    return LabPlan.model_validate(record["plan"])


def leftover(backend: str, files: LabFiles, others: Sequence[str] = (), run_id: str = "") -> Leftover:
    """What there is of a lab, `others` besides what any backend leaves. `run_id`: where its record does not tell."""
    record = files.read()
    what = [*others, *state.remnants(files)]
    if files.directory.exists():
        what.append(f"files {files.directory}")
    owner = record.get("owner")
    # a detached lab belongs to nobody's process once it is there: it lives until somebody ends it
    on_its_own = record.get("detached") and record.get("keeper")
    lives = state.alive(*owner) if owner and not on_its_own else bool(state.processes_of(files.lab_id, files.family))
    return Leftover(
        backend=backend, lab_id=files.lab_id, run_id=record.get("run_id") or run_id, what=tuple(what), owner_alive=lives
    )


def swept(files: LabFiles) -> Sequence[str]:
    """Remove the lab's files once nothing else of it is left; what is left."""
    left = state.wait_until_gone(files)
    if not left:
        with suppress(OSError):
            shutil.rmtree(files.directory, ignore_errors=True)
    return left
