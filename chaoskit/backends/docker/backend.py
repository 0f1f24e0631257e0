"""The Docker backend: labs of containers on an engine of this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from chaoskit.backends.docker import engine, first_process, images, leaving
from chaoskit.backends.docker.engine import Engine
from chaoskit.backends.docker.lab import DockerLab
from chaoskit.backends.docker.leaving import FAMILY
from chaoskit.backends.docker.survey import surveyed, why_not
from chaoskit.backends.docker.wire import ContainerJson, ContainersJson
from chaoskit.backends.linux_host import client, state
from chaoskit.backends.linux_host.drawing import drawn_lab, hosts_text
from chaoskit.backends.linux_host.identity import own_environment, start_ticks
from chaoskit.backends.linux_host.state import LabFiles
from chaoskit.backends.linux_host.wire import Refused
from chaoskit.model.capability import Survey
from chaoskit.model.errors import LabUnavailable
from chaoskit.model.lab import LabPlan, LabSpec, NodePlan
from chaoskit.ports.lab import Leftover

_HOLDER = "chaoskit.backends.docker.holder"
_BUILD_S = 120.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_AT_ONCE = 8


class DockerBackend:
    """Containers on a switch of chaoskit's own; faults act on their namespaces, as on any node of this machine."""

    name = "docker"

    def survey(self, lab: LabSpec) -> Survey:
        return surveyed(self.name, lab)

    def up(
        self, plan: LabPlan, lab_id: str, run_id: str, logs: Path, *, detached: bool, progress: Callable[[str], None]
    ) -> DockerLab:
        files, logs = LabFiles(lab_id, FAMILY), logs.absolute()
        if why := why_not():
            raise LabUnavailable(why)
        found = engine.opened()
        record = {
            "lab_id": lab_id,
            "run_id": run_id,
            "owner": [os.getpid(), start_ticks(os.getpid())],
            "detached": detached,
            "logs": str(logs),
            "engine": found.url,
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
            self._build(found, files, record, plan, progress)
        except BaseException as error:
            evidence = error.evidence if isinstance(error, (Refused, LabUnavailable)) else ""
            holder_said = files.log_tail()
            left = self.sweep(lab_id)
            if not isinstance(error, (Refused, LabUnavailable, OSError)):
                raise
            parts = [evidence or holder_said, *(f"left behind: {what}" for what in left)]
            raise LabUnavailable(f"lab {plan.name}: {error}", "\n".join(part for part in parts if part)) from error
        finally:
            found.close()
        return DockerLab(files, plan, lab_id)

    def _build(
        self, found: Engine, files: LabFiles, record: dict[str, Any], plan: LabPlan, progress: Callable[[str], None]
    ) -> None:
        environments = images.made_ready(found, plan, progress)
        ours, keeper = _holder(files, detached=record["detached"])
        files.write(**record, keeper=[keeper, start_ticks(keeper)])
        with ours:
            containers = _created(found, files, record, plan)
            drawn = drawn_lab(plan, files.lab_id, record["run_id"], files.directory, Path(record["logs"]), _PATH)
            for node in drawn["nodes"]:
                for service in node["services"]:
                    service["env"] = {**environments[node["name"]], **service["env"]}
            blueprint: ContainersJson = {**drawn, "engine": found.url, "hosts": hosts_text(plan), "containers": containers}
            client.send(ours, {"op": "boot", "blueprint": blueprint})
            client.final_answer(ours, files.lab_id, float(plan.ready.within) + _BUILD_S, progress)

    def attach(self, lab_id: str) -> DockerLab:
        files = LabFiles(lab_id, FAMILY)
        record = files.read()
        if not record:
            known = ", ".join(state.labs_on_disk(FAMILY)) or "none"
            raise LabUnavailable(f"there is no lab {lab_id!r} of containers here; labs: {known}", str(files.directory))
        try:
            client.request(files.directory, {"op": "status"})
        except Refused as refusal:
            raise LabUnavailable(str(refusal), refusal.evidence) from refusal
        return DockerLab(files, LabPlan.model_validate(record["plan"]), lab_id)

    def leftovers(self) -> Sequence[Leftover]:
        containers: dict[str, list[dict[str, Any]]] = {}
        # no engine, none of its containers: a lab whose files are there is told of all the same
        with suppress(LabUnavailable):
            for container in leaving.labelled():
                containers.setdefault(container["Labels"][engine.LAB], []).append(container)
        known = {*state.labs_on_disk(FAMILY), *state.labs_in_processes(FAMILY), *containers}
        return [self._leftover(lab_id, containers.get(lab_id, [])) for lab_id in sorted(known)]

    def _leftover(self, lab_id: str, containers: list[dict[str, Any]]) -> Leftover:
        files = LabFiles(lab_id, FAMILY)
        record = files.read()
        what = [f"container {c['Names'][0].lstrip('/')}" for c in containers] + list(state.remnants(files))
        if files.directory.exists():
            what.append(f"files {files.directory}")
        owner = record.get("owner")
        on_its_own = record.get("detached") and record.get("keeper")
        lives = state.alive(*owner) if owner and not on_its_own else bool(state.processes_of(lab_id, FAMILY))
        run_id = record.get("run_id") or next((c["Labels"][engine.RUN] for c in containers), "")
        return Leftover(backend=self.name, lab_id=lab_id, run_id=run_id, what=tuple(what), owner_alive=lives)

    def sweep(self, lab_id: str) -> Sequence[str]:
        files = LabFiles(lab_id, FAMILY)
        url = files.read().get("engine")
        trouble = state.kill_processes(lab_id, FAMILY)
        trouble += leaving.removed(lab_id, url)
        if trouble:
            return trouble  # the files tell a later sweep which engine it was
        left = state.wait_until_gone(files)
        if not left:
            with suppress(OSError):
                shutil.rmtree(files.directory, ignore_errors=True)
        return left


def _holder(files: LabFiles, *, detached: bool) -> tuple[socket.socket, int]:
    """Start the holder: a connection to it, and its number."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    owner = -1 if detached else os.pidfd_open(os.getpid())
    words = [f"--lab={files.lab_id}", str(files.directory), str(owner), str(theirs.fileno())]
    try:
        with (files.directory / "holder.log").open("ab") as log:
            holder = subprocess.Popen(
                [sys.executable, "-m", _HOLDER, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno(), *([owner] if owner >= 0 else [])],
                cwd="/",
                env=own_environment(),
                start_new_session=True,
            )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
        if owner >= 0:
            os.close(owner)
    holder.returncode = 0  # it outlives this object on purpose; `down` and `sweep` collect it by its number
    return ours, holder.pid


def _created(found: Engine, files: LabFiles, record: dict[str, Any], plan: LabPlan) -> dict[str, ContainerJson]:
    """Node -> its container, made but not started."""
    program = files.directory / "init"
    program.write_bytes(first_process.program())
    program.chmod(0o755)

    def one(node: NodePlan) -> ContainerJson:
        binds = [f"{program}:{first_process.PATH}:ro"]
        for name, volume in node.volumes.items():
            place = files.directory / "volumes" / f"{node.name}.{name}"
            place.mkdir(parents=True)
            binds.append(f"{place}:{volume.mount or f'/{name}'}")
        api = found.client.api
        labels = {engine.RUN: record["run_id"], engine.LAB: files.lab_id, engine.NODE: node.name, engine.STATE: leaving.mark()}
        with engine.told(f"{node.name}: its container could not be made"):
            made = api.create_container(
                images.image_of(node),
                name=f"chaoskit-{leaving.mark()[:4]}-{files.lab_id}-{node.name}",
                hostname=node.name,
                entrypoint=[first_process.PATH],
                command=[],
                user="0",
                labels=labels,
                healthcheck={"test": ["NONE"]},
                host_config=api.create_host_config(binds=binds, network_mode="none", restart_policy={"Name": "no"}),
            )
        return {"id": made["Id"]}

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        made = list(threads.map(one, plan.nodes))
    return {node.name: container for node, container in zip(plan.nodes, made, strict=True)}
