"""The backend of containers that run already, on an engine of this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaoskit.backends.docker import elsewhere, engine
from chaoskit.backends.docker.engine import told
from chaoskit.backends.linux_host import client, state
from chaoskit.backends.linux_host.building import claimed, leftover, start_holder, swept
from chaoskit.backends.linux_host.drawing import drawn_lab
from chaoskit.backends.linux_host.state import LabFiles
from chaoskit.backends.linux_host.wire import Refused, packed
from chaoskit.backends.running import discovery, looking, restoring
from chaoskit.backends.running.lab import RunningLab, mark_of, tag_of
from chaoskit.backends.running.survey import surveyed
from chaoskit.backends.running.wire import RunningJson, RunningLabJson
from chaoskit.linux import nft, nft_host
from chaoskit.model.capability import Survey
from chaoskit.model.errors import LabUnavailable
from chaoskit.model.lab import LabPlan, LabSpec, NodePlan
from chaoskit.ports.lab import Leftover

if TYPE_CHECKING:  # read where the engine is elsewhere
    from chaoskit.backends.docker.elsewhere.machine import EngineMachine

FAMILY = "running"
_HOLDER = "chaoskit.backends.running.holder"
_LOOK_S = 30.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class RunningBackend:
    """Containers that somebody else made and keeps: broken, healed, and left alone."""

    name = "running"
    FINDS = "containers"
    """The key of a lab file that this backend answers."""

    @staticmethod
    def discovered(wanted: Any, *, with_client_node: bool) -> Mapping[str, Any]:
        """The lab that `containers:` means. InputError where it names none; LabUnavailable where no engine answers."""
        return discovery.discovered(wanted, with_host=with_client_node)

    def survey(self, lab: LabSpec) -> Survey:
        return surveyed(self.name, lab)

    def elsewhere(self) -> EngineMachine | None:
        return elsewhere.other_machine()

    def up(
        self, plan: LabPlan, lab_id: str, run_id: str, logs: Path, *, detached: bool, progress: Callable[[str], None]
    ) -> RunningLab:
        files, logs = LabFiles(lab_id, FAMILY), logs.absolute()
        url = _engine_of(plan)
        self._only_once(plan, lab_id)
        inits, engine_pid = _inits(plan, url)
        wiring = _wired(plan, inits, engine_pid)
        more = {"engine": url, "engine_pid": engine_pid, "wiring": wiring.model_dump(mode="json")}
        with claimed(files, plan, run_id, logs, self.sweep, detached=detached, **more) as record:
            _kept(files, record, wiring, progress)
        return RunningLab(files, plan, lab_id, wiring)

    def _only_once(self, plan: LabPlan, lab_id: str) -> None:
        """Two labs of one container would heal each other's faults."""
        ids = {node.running.id for node in plan.nodes if node.running is not None and node.running.id}
        for other in state.labs_on_disk(FAMILY):
            record = LabFiles(other, FAMILY).read()
            theirs = {(node.get("running") or {}).get("id") for node in record.get("plan", {}).get("nodes", ())}
            if other != lab_id and (both := ids & theirs):
                names = [n.name for n in plan.nodes if n.running is not None and n.running.id in both]
                raise LabUnavailable(
                    f"{', '.join(names)}: in the lab {other} already, or in what is left of it: "
                    f"end it with `chaoskit lab down {other}`"
                )

    def attach(self, lab_id: str) -> RunningLab:
        """The lab; where its keeper was killed, another one takes its place: the containers are there all the same."""
        files = LabFiles(lab_id, FAMILY)
        record = files.read()
        if not record:
            known = ", ".join(state.labs_on_disk(FAMILY)) or "none"
            raise LabUnavailable(f"there is no lab {lab_id!r} of running containers here; labs: {known}", str(files.directory))
        plan, wiring = LabPlan.model_validate(record["plan"]), LabPlan.model_validate(record["wiring"])
        try:
            client.request(files.directory, {"op": "status"})
        except Refused as refusal:
            raise LabUnavailable(str(refusal), refusal.evidence) from refusal
        except LabUnavailable:
            state.kill_processes(lab_id, FAMILY)
            with suppress(FileNotFoundError):
                (files.directory / "socket").unlink()
            # whose lab it is does not change: a sweep may end it once it is healed
            again = {name: value for name, value in record.items() if name != "keeper"}
            _kept(files, {**again, "engine_pid": engine.peer(record["engine"])}, wiring, lambda _: None)
        return RunningLab(files, plan, lab_id, wiring)

    def leftovers(self) -> Sequence[Leftover]:
        known = sorted({*state.labs_on_disk(FAMILY), *state.labs_in_processes(FAMILY)})
        return [leftover(self.name, LabFiles(lab_id, FAMILY), restoring.owed_in_words(lab_id, FAMILY)) for lab_id in known]

    def sweep(self, lab_id: str) -> Sequence[str]:
        files = LabFiles(lab_id, FAMILY)
        trouble = state.kill_processes(lab_id, FAMILY)
        trouble += restoring.restored(files, nft.table_name(mark_of(lab_id)))
        return trouble or swept(files)


def _engine_of(plan: LabPlan) -> str:
    urls = {node.running.engine for node in plan.nodes if node.running is not None}
    if len(urls) != 1 or any(node.running is None for node in plan.nodes):
        others = ", ".join(node.name for node in plan.nodes if node.running is None) or "none"
        raise LabUnavailable(f"this lab has nodes that are no running containers: {others}; name them under `containers`")
    return urls.pop()


def _inits(plan: LabPlan, url: str) -> tuple[dict[str, int], int]:
    """(node -> its container's first process, the engine's process). LabUnavailable for a container that does not run."""
    found = engine.opened(url)
    try:
        inits: dict[str, int] = {}
        for node in plan.nodes:
            if node.running is None or not node.running.id:
                continue
            with told(f"{node.name}: its container is gone"):
                status = found.client.api.inspect_container(node.running.id)["State"]
            if not status["Running"] or status["Paused"]:
                raise LabUnavailable(f"{node.name}: its container does not run any more: {status['Status']}")
            inits[node.name] = int(status["Pid"])
        return inits, engine.peer(url)
    finally:
        found.close()


def _wired(plan: LabPlan, inits: Mapping[str, int], engine_pid: int) -> LabPlan:
    """The plan with the devices and the other ends of cables as they are. LabUnavailable where one is not where it was."""
    cables = looking.cables(engine_pid, list(inits.values()))
    nodes: list[NodePlan] = []
    for node in plan.nodes:
        if node.name not in inits:
            ends = tuple(i.model_copy(update={"port": nft_host.HOST}) for i in node.interfaces)
            nodes.append(node.model_copy(update={"interfaces": ends}))
            continue
        by_mac = {cable["mac"]: cable for cable in cables[inits[node.name]]}
        interfaces = []
        for interface in node.interfaces:
            cable = by_mac.get(interface.mac)
            if cable is None or not cable["port"]:
                raise LabUnavailable(
                    f"{node.name}: its interface on {interface.network} ({interface.mac}) ends on no bridge of the engine's",
                    str(cables[inits[node.name]]),
                )
            interfaces.append(interface.model_copy(update={"device": cable["device"], "port": cable["port"]}))
        nodes.append(node.model_copy(update={"interfaces": tuple(interfaces)}))
    bridges = {
        interface.network: by["bridge"]
        for node in nodes
        for interface in node.interfaces
        for by in cables.get(inits.get(node.name, 0), ())
        if by["mac"] == interface.mac
    }
    return plan.model_copy(update={"nodes": tuple(_with_bridges(node, bridges) for node in nodes)})


def _with_bridges(node: NodePlan, bridges: Mapping[str, str]) -> NodePlan:
    """The engine's own network sees each bridge as a device."""
    ends = tuple(
        i.model_copy(update={"device": bridges.get(i.network, i.device)}) if i.port == nft_host.HOST else i
        for i in node.interfaces
    )
    return node.model_copy(update={"interfaces": ends})


def _kept(files: LabFiles, record: dict[str, Any], wiring: LabPlan, progress: Callable[[str], None]) -> None:
    """Start the keeper of a lab."""
    drawn = drawn_lab(wiring, files.lab_id, record["run_id"], files.directory, Path(record["logs"]), _PATH)
    for node in drawn["nodes"]:
        interfaces = wiring.node(node["name"]).interfaces
        tag = tag_of(files.lab_id, f"silence-{node['name']}")
        node["cables"], node["plug"], node["unplug"] = "", "", []
        node["silence"] = packed(nft_host.silence(tag, [i.port for i in interfaces if i.port != nft_host.HOST]))
        node["unsilence"] = packed(nft_host.join(tag))
    containers = {
        node.name: RunningJson(
            id=node.running.id,
            ports={i.device: i.port for i in node.interfaces if i.port != nft_host.HOST},
            macs={i.device: i.mac for i in node.interfaces},
        )
        for node in wiring.nodes
        if node.running is not None
    }
    blueprint: RunningLabJson = {
        **drawn,
        "engine": record["engine"],
        "engine_pid": record["engine_pid"],
        "containers": containers,
        "mark": nft.table_name(mark_of(files.lab_id)),
    }
    files.write(**record, keeper=None)
    with start_holder(files, record, _HOLDER) as ours:
        client.send(ours, {"op": "boot", "blueprint": blueprint})
        client.final_answer(ours, files.lab_id, _LOOK_S, progress)
