"""What the faults of one file share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from pydantic import field_validator

from chaoskit.model.capability import COMMAND_EXEC, FILE_EDIT, Need
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import Check, FileQuery
from chaoskit.model.files import FileState
from chaoskit.model.steps import Exec, StartService, Step, WriteFile
from chaoskit.ports.fault import Facts, Fault, Scene, services_running

ANY_CODE = tuple(range(256))


class FileFault(Fault):
    """A fault of one file of each target: the heal puts back content, owner, mode, extended attributes and modification time,
    whatever happened to the file meanwhile, and starts services of the lab that ran before and do not run now.
    """

    BECOMES: ClassVar[str]
    """What is done to the file: "deleted"."""

    path: str
    """Absolute path in the node."""

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: str) -> str:
        if not path.startswith("/"):
            raise ValueError("write the absolute path of the file in the node")
        return path

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"file:{node}:{self.path}" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        before: dict[str, FileState] = {}
        for node in nodes:
            reading = scene.read(FileQuery(node=node, path=self.path))
            if reading.file is None:
                raise StepFailed(f"{self.path} on {node} cannot be {self.BECOMES}: it is {reading.value}")
            before[node] = reading.file
        services = {node: services_running(node, scene.read) for node in nodes}
        return facts.model_copy(update={"files": before, "services": services})

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        steps: list[Step] = []
        for node in facts.nodes:
            steps += [WriteFile(node=node, file=facts.files[node]), *self._noticed(node)]
            steps += [StartService(node=node, service=service) for service in facts.services.get(node, ())]
        return tuple(steps)

    def _noticed(self, node: str) -> tuple[Step, ...]:
        """How the programs of the node learn that the file is another."""
        return ()

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        return tuple(
            Check(
                query=FileQuery(node=node, path=self.path),
                in_force=(self._in_force(facts, node),),
                healed=(facts.files[node].fingerprint,),
                means=f"{self.path} on {node} is {self.BECOMES}",
            )
            for node in facts.nodes
        )

    @abstractmethod
    def _in_force(self, facts: Facts, node: str) -> str:
        """What reading the file answers while the fault holds."""


class FileChangeFault(FileFault):
    """A file of each target becomes another one, in one act, and what it was again."""

    BECOMES = "changed"

    reload: tuple[str, ...] = ()
    """A command to run in the node after the change, and again after the heal; no shell. Its exit code is not judged: what it
    leads to is what the experiment measures."""

    def needs(self) -> tuple[Need, ...]:
        needs = [Need(capability=FILE_EDIT, why="to read and write files inside the node")]
        if self.reload:
            needs.append(Need(capability=COMMAND_EXEC, why="to run the reload command inside the node"))
        return tuple(needs)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        after = {node: self._changed(scene, node, facts.files[node], tag) for node in nodes}
        for node in nodes:
            if facts.files[node].fingerprint == after[node].fingerprint:
                raise StepFailed(f"{self.path} on {node} is already as it would be after the change")
        return facts.model_copy(update={"changed_files": after})

    @abstractmethod
    def _changed(self, scene: Scene, node: str, before: FileState, tag: str) -> FileState:
        """What the file of this node becomes. StepFailed where there is nothing to make of it."""

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        steps: list[Step] = []
        for node in facts.nodes:
            steps += [WriteFile(node=node, file=facts.changed_files[node]), *self._noticed(node)]
        return tuple(steps)

    def _noticed(self, node: str) -> tuple[Step, ...]:
        return (Exec(node=node, argv=self.reload, ok_codes=ANY_CODE),) if self.reload else ()

    def _in_force(self, facts: Facts, node: str) -> str:
        return facts.changed_files[node].fingerprint
