"""The namespace backend: labs without a daemon, as root or rootless."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from chaoskit.backends.linux_host import client, state
from chaoskit.backends.linux_host.identity import own_environment, start_ticks
from chaoskit.backends.linux_host.state import LabFiles
from chaoskit.backends.linux_host.survey import take_survey
from chaoskit.backends.linux_host.wire import Refused
from chaoskit.backends.namespace import blueprint
from chaoskit.backends.namespace.image import package_image
from chaoskit.backends.namespace.lab import NamespaceLab
from chaoskit.model.capability import Survey
from chaoskit.model.errors import LabUnavailable
from chaoskit.model.lab import LabPlan, LabSpec
from chaoskit.ports.lab import Leftover

_HOLDER = "chaoskit.backends.namespace.holder"
_BUILD_S = 60.0


class NamespaceBackend:
    """Labs in Linux namespaces: no daemon, nothing on the host changed, everything gone with one process."""

    name = "namespace"

    def survey(self, lab: LabSpec) -> Survey:
        return take_survey(self.name, lab)

    def up(
        self, plan: LabPlan, lab_id: str, run_id: str, logs: Path, *, detached: bool, progress: Callable[[str], None]
    ) -> NamespaceLab:
        files = LabFiles(lab_id)
        logs = logs.absolute()
        record = {
            "lab_id": lab_id,
            "run_id": run_id,
            "owner": [os.getpid(), start_ticks(os.getpid())],
            "detached": detached,
            "logs": str(logs),
            "plan": plan.model_dump(mode="json"),
        }
        try:
            state.make_private(state.state_directory())
            files.claim(**record, keeper=None)
        except FileExistsError:
            message = f"there is a lab {lab_id} already, or what is left of one"
            raise LabUnavailable(f"{message}: end it with `chaoskit lab down {lab_id}`", str(files.directory)) from None
        except OSError as error:
            raise LabUnavailable(f"the lab's directory cannot be made: {error}") from error
        try:
            logs.mkdir(parents=True, exist_ok=True)
            self._build(files, record, plan, progress)
        except BaseException as error:
            evidence = error.evidence if isinstance(error, (Refused, LabUnavailable)) else ""
            holder_said = files.log_tail()
            left = self.sweep(lab_id)
            if not isinstance(error, (Refused, LabUnavailable, OSError)):
                raise
            parts = [evidence or holder_said, *(f"left behind: {what}" for what in left)]
            raise LabUnavailable(f"lab {plan.name}: {error}", "\n".join(part for part in parts if part)) from error
        return NamespaceLab(files, plan, lab_id)

    def _build(self, files: LabFiles, record: dict[str, Any], plan: LabPlan, progress: Callable[[str], None]) -> None:
        image = self._image(files, plan, progress) if plan.image.apt else None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        owner = -1 if record["detached"] else os.pidfd_open(os.getpid())
        try:
            passed = [theirs.fileno(), *([owner] if owner >= 0 else [])]
            argv = [
                sys.executable,
                "-S",  # the holder needs the standard library and this package only, and starts sooner without the rest
                "-m",
                _HOLDER,
                f"--lab={files.lab_id}",
                str(files.directory),
                str(owner),
                str(theirs.fileno()),
            ]
            with (files.directory / "holder.log").open("ab") as log:
                keeper = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=passed,
                    cwd="/",
                    env=own_environment(),
                    start_new_session=True,
                )
        finally:
            theirs.close()
            if owner >= 0:
                os.close(owner)
        keeper.returncode = 0  # it outlives this object on purpose; `down` and `sweep` collect it by its number
        files.write(**record, keeper=[keeper.pid, start_ticks(keeper.pid)])
        with ours:
            drawn = blueprint.blueprint(plan, files.lab_id, record["run_id"], files.directory, Path(record["logs"]), image)
            client.send(ours, {"op": "boot", "blueprint": drawn})
            client.final_answer(ours, files.lab_id, float(plan.ready.within) + _BUILD_S, progress)

    def _image(self, files: LabFiles, plan: LabPlan, progress: Callable[[str], None]) -> Path:
        """The lab's own name for the package image: its loop device can then be told from other labs'."""
        made = package_image(state.state_directory() / "images", plan.image.apt, progress)
        linked = files.directory / "image.ext4"
        os.link(made, linked)
        return linked

    def attach(self, lab_id: str) -> NamespaceLab:
        files = LabFiles(lab_id)
        record = files.read()
        if not record:
            known = ", ".join(state.labs_on_disk()) or "none"
            raise LabUnavailable(f"there is no lab {lab_id!r} here; labs: {known}", str(files.directory))
        try:
            client.request(files.directory, {"op": "status"})
        except Refused as refusal:
            raise LabUnavailable(str(refusal), refusal.evidence) from refusal
        return NamespaceLab(files, LabPlan.model_validate(record["plan"]), lab_id)

    def leftovers(self) -> Sequence[Leftover]:
        found = []
        for lab_id in sorted({*state.labs_on_disk(), *state.labs_in_cgroups(), *state.labs_in_processes()}):
            files = LabFiles(lab_id)
            record = files.read()
            what = list(state.remnants(files))
            if files.directory.exists():
                what.append(f"files {files.directory}")
            owner = record.get("owner")
            # a detached lab belongs to nobody's process once it is there: it lives until somebody ends it
            on_its_own = record.get("detached") and record.get("keeper")
            lives = state.alive(*owner) if owner and not on_its_own else bool(state.processes_of(lab_id))
            found.append(
                Leftover(backend=self.name, lab_id=lab_id, run_id=record.get("run_id", ""), what=tuple(what), owner_alive=lives)
            )
        return found

    def sweep(self, lab_id: str) -> Sequence[str]:
        files = LabFiles(lab_id)
        trouble = state.kill_processes(lab_id)
        left = state.wait_until_gone(files)
        if not left:
            with suppress(OSError):
                shutil.rmtree(files.directory, ignore_errors=True)
        return [*trouble, *left]
