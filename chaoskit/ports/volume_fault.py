"""What the faults of volumes share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

from chaoskit.model.capability import VOLUME_FAIL, VOLUME_PROGRAM, Need
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import Check, VolumeQuery
from chaoskit.model.lab import LabSpec
from chaoskit.model.steps import FailVolume, RestoreVolume, Step
from chaoskit.ports.fault import Facts, Fault, Scene, services_running, services_started


class VolumeFault(Fault):
    """A fault of one volume of each target: it works before, fails in one way, and works again.

    The heal lets it work again and starts services of the lab that ran before and do not run now.
    """

    WHY: ClassVar[str]
    """What the backend must be able to do to volumes."""
    PROGRAMMABLE_ONLY: ClassVar[bool] = False
    """Whether it takes a volume of kind `programmable`."""
    SURVIVES_POWER: ClassVar[bool] = False
    """Whether it goes on when the node's power comes back; otherwise the power cycle, which mounts volumes afresh, would be the
    repair, and the node's power is claimed too."""

    volume: str
    """A volume of the lab that the target has."""

    def needs(self) -> tuple[Need, ...]:
        if self.PROGRAMMABLE_ONLY:
            return (Need(capability=VOLUME_FAIL, why=self.WHY), Need(capability=VOLUME_PROGRAM, why=self.WHY))
        return (Need(capability=VOLUME_FAIL, why=self.WHY),)

    def misfits(self, lab: LabSpec, nodes: Sequence[str]) -> Iterator[str]:
        groups = tuple(dict.fromkeys(lab.group_of(node) for node in nodes))
        if not any(self.volume in lab.nodes[group].volumes for group in groups):
            known = ", ".join(dict.fromkeys(v for group in groups for v in lab.nodes[group].volumes)) or "none"
            yield f"no target has a volume {self.volume!r}; volumes of {', '.join(groups)}: {known}"
        for group in groups:
            volume = lab.nodes[group].volumes.get(self.volume)
            if self.PROGRAMMABLE_ONLY and volume is not None and volume.kind != "programmable":
                yield (
                    f"{self.NAME} needs a programmable disk, and the volume {self.volume} of {group} is of kind {volume.kind}; "
                    f"write in the lab file, or in a variant of it: nodes: {{{group}: {{volumes: {{{self.volume}: "
                    f"{{kind: programmable}}}}}}}}"
                )

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        volumes = tuple(f"volume:{node}:{self.volume}" for node in nodes)
        return volumes if self.SURVIVES_POWER else (*volumes, *(f"node:{node}" for node in nodes))

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        for node in nodes:
            state = scene.read(self._works(node)).value
            if state != "works":
                raise StepFailed(f"{self._works_words(node)} even before the fault: {state}")
        return facts.model_copy(update={"services": {node: services_running(node, scene.read) for node in nodes}})

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(self._failure(node) for node in facts.nodes)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        restored = tuple(RestoreVolume(node=node, volume=self.volume) for node in facts.nodes)
        return restored + services_started(facts)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        return tuple(check for node in facts.nodes for check in self._evidence(node))

    @abstractmethod
    def _failure(self, node: str) -> FailVolume:
        """How the volume of this node is made to fail."""

    @abstractmethod
    def _evidence(self, node: str) -> tuple[Check, ...]:
        """How it shows on this node."""

    def _works(self, node: str) -> VolumeQuery:
        """What must be answered with "works" before."""
        return VolumeQuery(node=node, volume=self.volume)

    def _works_words(self, node: str) -> str:
        return f"the volume {self.volume} on {node} does not work"

    def _ends_in(self, node: str, answer: str, means: str) -> tuple[Check, ...]:
        """Evidence that writing to the volume ends with this answer."""
        return (Check(query=self._works(node), in_force=(answer,), healed=("works",), means=means),)
