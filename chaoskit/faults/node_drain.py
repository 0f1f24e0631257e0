from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from chaoskit.model.capability import COMMAND_EXEC, Need
from chaoskit.model.drain import DrainPlan
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import Check, ExecQuery
from chaoskit.model.lab import LabSpec
from chaoskit.model.steps import Exec, Step
from chaoskit.ports.fault import Facts, Fault, Scene


class NodeDrain(Fault):
    """Drain a node as its operators do, by accident: the cluster is told to take work away from it, for no reason.

    What draining is, the lab says: its `drain` names the commands that do it, undo it, and show it (see docs/lab-file.md). The
    node, its services and its links are left alone.
    """

    NAME = "node.drain"
    OUTAGE = "maintenance on the wrong host, a drain that nobody took back, an autoscaler or upgrade that drains too much"
    EXAMPLE: ClassVar = {"inject": "node.drain", "target": {"role": "primary"}, "at": "10s", "for": "30s"}

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=COMMAND_EXEC, why="to run the lab's own drain commands"),)

    def misfits(self, lab: LabSpec, nodes: Sequence[str]) -> Iterator[str]:
        groups = tuple(dict.fromkeys(lab.group_of(node) for node in nodes))
        if lacking := [group for group in groups if lab.drain_of(group) is None]:
            yield (
                f"the lab does not say how {', '.join(lacking)} is drained: give the group, or the whole lab, a `drain` "
                "with do, undo and shown"
            )

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"drain:{node}" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        drains: dict[str, DrainPlan] = {}
        for node in nodes:
            drain = scene.drain_of(node)
            if drain is None:
                raise StepFailed(f"the lab does not say how {node} is drained: give it a `drain` with do, undo and shown")
            for query in _shown(drain):
                reading = scene.read(query)
                if reading.number == 0:
                    raise StepFailed(f"{node} is drained already; the heal would change that")
                if reading.number != 1:
                    said = f"exit code {reading.number}: {reading.value}"
                    raise StepFailed(
                        f"whether {node} is drained cannot be told: {' '.join(query.argv)!r} on {query.node}: {said}"
                    )
            drains[node] = drain
        return facts.model_copy(update={"drains": drains})

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(step for node in facts.nodes for step in _steps(facts.drains[node], facts.drains[node].do))

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(step for node in facts.nodes for step in _steps(facts.drains[node], facts.drains[node].undo))

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        return tuple(
            Check(
                query=query,
                answer="number",
                in_force=("0",),
                healed=("1",),
                means=f"{node} is drained, by what {query.node} says",
            )
            for node in facts.nodes
            for query in _shown(facts.drains[node])
        )


def _steps(drain: DrainPlan, argv: tuple[str, ...]) -> list[Exec]:
    return [Exec(node=where, argv=argv, user=drain.user, timeout_s=float(drain.timeout)) for where in drain.on]


def _shown(drain: DrainPlan) -> list[ExecQuery]:
    return [ExecQuery(node=where, argv=drain.shown, user=drain.user, timeout_s=float(drain.timeout)) for where in drain.on]
