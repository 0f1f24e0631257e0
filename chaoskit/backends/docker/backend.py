"""The Docker backend: labs of containers on an engine of this machine."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaoskit.backends.docker import elsewhere, engine, first_process, image_process, images, leaving
from chaoskit.backends.docker.containers import Making, hostname_of, labels_of, prefix_of
from chaoskit.backends.docker.engine import Engine
from chaoskit.backends.docker.leaving import FAMILY
from chaoskit.backends.docker.survey import surveyed, why_not_by_us
from chaoskit.backends.docker.wire import ContainerJson, ContainersJson
from chaoskit.backends.linux_host import client, state
from chaoskit.backends.linux_host.building import claimed, found_plan, leftover, start_holder, swept
from chaoskit.backends.linux_host.drawing import drawn_lab, hosts_text
from chaoskit.backends.linux_host.state import LabFiles
from chaoskit.backends.linux_host.wire import LabJson, Refused
from chaoskit.model.capability import Survey
from chaoskit.model.errors import LabUnavailable
from chaoskit.model.lab import LabPlan, LabSpec, NodePlan
from chaoskit.ports.lab import Leftover

if TYPE_CHECKING:  # read where the engine is elsewhere, and once a lab is there
    from chaoskit.backends.docker.elsewhere.machine import EngineMachine
    from chaoskit.backends.docker.lab import DockerLab

_HOLDER = "chaoskit.backends.docker.holder"
_BUILD_S = 120.0
_ENDS_WITHIN_S = 20.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_AT_ONCE = 8


class DockerBackend:
    """Containers on a switch of chaoskit's own; faults act on their namespaces, as on any node of this machine."""

    name = "docker"

    def survey(self, lab: LabSpec) -> Survey:
        return surveyed(self.name, lab)

    def elsewhere(self) -> EngineMachine | None:
        return elsewhere.other_machine()

    def up(
        self, plan: LabPlan, lab_id: str, run_id: str, logs: Path, *, detached: bool, progress: Callable[[str], None]
    ) -> DockerLab:
        files, logs = LabFiles(lab_id, FAMILY), logs.absolute()
        if why := why_not_by_us() or elsewhere.beyond_the_helper(plan):
            raise LabUnavailable(why)
        found = engine.opened()
        try:
            if why := engine.why_not_here(found):
                raise LabUnavailable(why)
            with claimed(files, plan, run_id, logs, self.sweep, detached=detached, engine=found.url) as record:
                self._build(found, files, record, plan, progress)
        finally:
            found.close()
        return _lab(files, plan)

    def _build(
        self, found: Engine, files: LabFiles, record: dict[str, Any], plan: LabPlan, progress: Callable[[str], None]
    ) -> None:
        with start_holder(files, record, _HOLDER) as ours:  # it reads its modules while the engine makes containers
            image_of = images.made_ready(found, plan, progress)
            making = _making(found, files, record["run_id"])
            volumes = making.volumes(plan)
            with ThreadPoolExecutor(_AT_ONCE) as threads:
                started = threads.map(lambda node: _started(making, node), plan.nodes)
                drawn = _drawn(files, record, plan, image_of)  # the engine works meanwhile
                importlib.import_module("chaoskit.backends.docker.lab")  # so it does: what acts on a lab is much to read
                containers = {node.name: container for node, container in zip(plan.nodes, started, strict=True)}
            blueprint: ContainersJson = {
                **drawn,
                "engine": found.url,
                "hosts": hosts_text(plan),
                "containers": containers,
                "volumes": volumes,
            }
            client.send(ours, {"op": "boot", "blueprint": blueprint})
            client.final_answer(ours, files.lab_id, float(plan.ready.within) + _BUILD_S, progress)

    def attach(self, lab_id: str) -> DockerLab:
        files = LabFiles(lab_id, FAMILY)
        return _lab(files, found_plan(files, "of containers"))

    def leftovers(self) -> Sequence[Leftover]:
        containers: dict[str, list[dict[str, Any]]] = {}
        # no engine, none of its containers: a lab whose files are there is told of all the same
        with suppress(LabUnavailable):
            for container in leaving.labelled():
                containers.setdefault(container["Labels"][engine.LAB], []).append(container)
        known = {*state.labs_on_disk(FAMILY), *state.labs_in_processes(FAMILY), *containers}
        return [self._leftover(lab_id, containers.get(lab_id, [])) for lab_id in sorted(known)]

    def _leftover(self, lab_id: str, containers: list[dict[str, Any]]) -> Leftover:
        names = [f"container {c['Names'][0].lstrip('/')}" for c in containers]
        run_id = next((c["Labels"][engine.RUN] for c in containers), "")
        return leftover(self.name, LabFiles(lab_id, FAMILY), names, run_id)

    def sweep(self, lab_id: str) -> Sequence[str]:
        files = LabFiles(lab_id, FAMILY)
        url = files.read().get("engine")
        _ended_in_order(files)
        trouble = state.kill_processes(lab_id, FAMILY)
        state.thaw_volumes(files)  # a container on a file system that hangs cannot be killed
        trouble += leaving.removed(lab_id, url)
        if trouble:
            return trouble  # the files tell a later sweep which engine it was
        return swept(files)


def _lab(files: LabFiles, plan: LabPlan) -> DockerLab:
    from chaoskit.backends.docker.lab import DockerLab

    return DockerLab(files, plan, files.lab_id)


def _ended_in_order(files: LabFiles) -> None:
    """Tell a holder that lives to end its lab. One that is killed leaves services that nobody reaps, and with them containers of
    which each takes the engine seconds to end."""
    if not state.processes_of(files.lab_id, FAMILY):
        return
    with suppress(LabUnavailable, Refused):
        client.request(files.directory, {"op": "down"}, within_s=0)
        deadline = time.monotonic() + _ENDS_WITHIN_S
        while state.processes_of(files.lab_id, FAMILY) and time.monotonic() < deadline:
            time.sleep(0.01)


def _making(found: Engine, files: LabFiles, run_id: str) -> Making:
    program = files.directory / "init"
    program.write_bytes(first_process.program())
    program.chmod(0o755)
    return Making(found, labels_of(run_id, files.lab_id), prefix_of(files.lab_id), program)


def _drawn(files: LabFiles, record: dict[str, Any], plan: LabPlan, image_of: Mapping[str, dict[str, Any]]) -> LabJson:
    """What the holder is told of any lab, with what the images start by themselves."""
    drawn = drawn_lab(plan, files.lab_id, record["run_id"], files.directory, Path(record["logs"]), _PATH)
    for node in drawn["nodes"]:
        for service in node["services"]:
            own = plan.node(node["name"])
            image_process.served(own, service, image_of[own.name], images.image_of(own))
    return drawn


def _started(making: Making, node: NodePlan) -> ContainerJson:
    """The container of a node, made and started."""
    container = making.container(node)
    try:
        pid = making.found.first_start(container)
    except LabUnavailable as error:
        raise LabUnavailable(f"{node.name}: {error}") from error
    return {"id": container, "hostname": hostname_of(node), "pid": pid}
