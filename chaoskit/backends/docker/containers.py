"""How the container of a node is asked for: what the lab file says of it, in the engine's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaoskit.backends.docker import engine, first_process, images, leaving
from chaoskit.backends.docker.elsewhere.layout import as_the_engine_sees
from chaoskit.backends.docker.engine import Engine, told
from chaoskit.model.container import ContainerSpec
from chaoskit.model.lab import LabPlan, NodePlan


@dataclass(frozen=True)
class Making:
    """What the containers of one lab share."""

    found: Engine
    labels: Mapping[str, str]
    prefix: str
    """What the names of its containers and volumes begin with."""
    program: Path
    """Their first process."""

    def container(self, node: NodePlan, binds: Sequence[str] = ()) -> str:
        """Make the container of a node, without starting it; its id. LabUnavailable."""
        api, special = self.found.client.api, node.container or ContainerSpec()
        with told(f"{node.name}: its container could not be made"):
            made = api.create_container(
                images.image_of(node),
                name=f"{self.prefix}-{node.name}",
                hostname=hostname_of(node),
                entrypoint=[first_process.PATH],
                command=[],
                user="0",
                labels={**special.labels, **self.labels, engine.NODE: node.name},
                healthcheck={"test": ["NONE"]},
                volumes=[v.target for v in special.engine_volumes if not v.name] or None,
                host_config=api.create_host_config(
                    binds=[f"{self.program}:{first_process.PATH}:ro", *binds, *self._binds(special)],
                    network_mode="none",
                    restart_policy={"Name": "no"},
                    **_limits(special),
                ),
            )
        return str(made["Id"])

    def _binds(self, special: ContainerSpec) -> list[str]:
        places = [f"{as_the_engine_sees(b.source)}:{b.target}{':ro' if b.read_only else ''}" for b in special.binds]
        named = [v for v in special.engine_volumes if v.name]
        return places + [f"{self.volume(v.name)}:{v.target}{':ro' if v.read_only else ''}" for v in named]

    def volume(self, name: str) -> str:
        """The engine's name of a volume of this lab."""
        return f"{self.prefix}-{name}"

    def volumes(self, plan: LabPlan) -> list[str]:
        """Make the volumes of the engine's that the lab names, so that each bears our labels; their names. LabUnavailable."""
        specials = [node.container for node in plan.nodes if node.container is not None]
        names = list(dict.fromkeys(v.name for special in specials for v in special.engine_volumes if v.name))
        for name in names:
            with told(f"the volume {name} could not be made"):
                self.found.client.api.create_volume(self.volume(name), labels=dict(self.labels))
        return [self.volume(name) for name in names]


def _limits(special: ContainerSpec) -> dict[str, Any]:
    """What of a host configuration is limits and rights; what the lab file leaves out is left to the engine."""
    from docker.types import Ulimit

    asked: dict[str, Any] = {
        "cap_add": list(special.cap_add),
        "cap_drop": list(special.cap_drop),
        "tmpfs": dict(special.tmpfs),
        "sysctls": dict(special.sysctls),
        "ulimits": [Ulimit(name=name, soft=u.soft, hard=u.hard) for name, u in special.ulimits.items()],
        "mem_limit": int(special.memory) if special.memory is not None else None,
        "shm_size": int(special.shm_size) if special.shm_size is not None else None,
        "nano_cpus": round(special.cpus * 1e9) if special.cpus is not None else None,
        "pids_limit": special.pids,
        "read_only": special.read_only or None,
    }
    return {name: value for name, value in asked.items() if value}


def hostname_of(node: NodePlan) -> str:
    """What a node calls itself."""
    return node.container.hostname if node.container is not None and node.container.hostname else node.name


def labels_of(run_id: str, lab_id: str) -> dict[str, str]:
    """The labels of everything that is made for a lab."""
    return {engine.RUN: run_id, engine.LAB: lab_id, engine.STATE: leaving.mark()}


def prefix_of(lab_id: str) -> str:
    """What the names of a lab's containers and volumes begin with."""
    return f"chaoskit-{leaving.mark()[:4]}-{lab_id}"
