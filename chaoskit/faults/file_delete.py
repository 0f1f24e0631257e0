from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import field_validator

from chaoskit.model.capability import FILE_EDIT, Need
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import Check, FileQuery
from chaoskit.model.files import FileState
from chaoskit.model.steps import RemoveFile, StartService, Step, WriteFile
from chaoskit.ports.fault import Facts, Fault, Scene, services_running


class FileDelete(Fault):
    """Delete a file of a node. Who has it open keeps it; who opens it next finds nothing.

    A symbolic link is followed: its target is deleted, the link stays and points to nothing. The heal puts back content, owner,
    mode, extended attributes and modification time, and starts the lab's services that ran on the node and have ended since.
    Regular files of up to 1 MiB; directories are refused.
    """

    NAME = "file.delete"
    OUTAGE = "an operator's rm, a clean-up job that takes too much, a package upgrade that removes a configuration file"
    EXAMPLE: ClassVar = {
        "inject": "file.delete",
        "target": {"role": "primary"},
        "with": {"path": "/etc/hosts"},
        "at": "10s",
        "for": "30s",
    }

    path: str
    """Absolute path in the node."""

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: str) -> str:
        if not path.startswith("/"):
            raise ValueError("write the absolute path of the file in the node")
        return path

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=FILE_EDIT, why="to read, remove and write files inside the node"),)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"file:{node}:{self.path}" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        before: dict[str, FileState] = {}
        for node in nodes:
            reading = scene.read(FileQuery(node=node, path=self.path))
            if reading.file is None:
                raise StepFailed(f"{self.path} on {node} cannot be deleted: it is {reading.value}")
            before[node] = reading.file
        services = {node: services_running(node, scene.read) for node in nodes}
        return facts.model_copy(update={"files": before, "services": services})

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(RemoveFile(node=node, path=facts.files[node].path) for node in facts.nodes)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        steps: list[Step] = []
        for node in facts.nodes:
            steps.append(WriteFile(node=node, file=facts.files[node]))
            steps += [StartService(node=node, service=service) for service in facts.services.get(node, ())]
        return tuple(steps)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        return tuple(
            Check(
                query=FileQuery(node=node, path=self.path),
                in_force=("absent",),
                healed=(facts.files[node].fingerprint,),
                means=f"{self.path} on {node} is gone",
            )
            for node in facts.nodes
        )
