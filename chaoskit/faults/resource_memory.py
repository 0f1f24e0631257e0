from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import model_validator

from chaoskit.model.capability import QUOTA_MEMORY, RESOURCE_LOAD, Need
from chaoskit.model.facts import Check, LoadQuery
from chaoskit.model.steps import Cease, StartLoad, Step
from chaoskit.model.units import Size
from chaoskit.ports import quota
from chaoskit.ports.fault import Facts, Fault, Scene, services_running, services_started

_PAGE_BYTES = 4096


class ResourceMemory(Fault):
    """Take a node's memory: by a process that has it, by a limit on what the node may use, or both.

    At the limit the kernel takes back caches, swaps where it can, and then kills: as a rule the largest process of the node. A
    limit needs the capability `resource.quota.memory`. Without one a load takes the machine's memory, never more than 80 % of
    what is available. What proves a limit is a process that exceeds it, and offers itself as the one to be killed.
    The heal starts services of the lab that ran before and do not run now.
    """

    NAME = "resource.memory"
    OUTAGE = "a memory leak, a query that sorts in memory, a container limit that is too small, the out-of-memory killer"
    EXAMPLE: ClassVar = {
        "inject": "resource.memory",
        "target": {"role": "primary"},
        "with": {"allocate": "64MiB"},
        "at": "10s",
        "for": "30s",
    }

    allocate: Size | None = None
    """A process takes and touches so much."""
    leave: Size | None = None
    """Instead: all but so much of what the node has left."""
    limit: Size | None = None
    """So much may all of the node together use."""
    spare: Size | None = None
    """Instead: so much more than it uses when the fault begins."""

    @model_validator(mode="after")
    def _says_how(self) -> ResourceMemory:
        if self.allocate is not None and self.leave is not None:
            raise ValueError("`allocate` or `leave`, not both")
        if self.limit is not None and self.spare is not None:
            raise ValueError("`limit` or `spare`, not both")
        if not (self._loads or self._limits):
            raise ValueError("say how much: one of allocate, leave, limit, spare")
        return self

    @property
    def _loads(self) -> bool:
        return self.allocate is not None or self.leave is not None

    @property
    def _limits(self) -> bool:
        return self.limit is not None or self.spare is not None

    def needs(self) -> tuple[Need, ...]:
        limits = (Need(capability=QUOTA_MEMORY, why="to limit the memory of the node"),) if self._limits else ()
        loads = (Need(capability=RESOURCE_LOAD, why="to run a process in the node that takes memory"),) if self._loads else ()
        return limits + loads

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"quota:{node}:memory" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        facts = facts.model_copy(update={"services": {node: services_running(node, scene.read) for node in nodes}})
        return quota.with_quotas(facts, scene, "memory", self._lowered) if self._limits else facts

    def _lowered(self, used: float | None) -> float:
        wanted = float(self.limit) if self.limit is not None else quota.beyond_use(used, float(self.spare or 0))
        return max(_PAGE_BYTES, wanted // _PAGE_BYTES * _PAGE_BYTES)

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        limited = quota.lowered(facts, "memory")
        if not self._loads:
            return limited
        leave = None if self.leave is None else int(self.leave)
        amount = int(self.allocate or 0)
        loads = (
            StartLoad(tag=facts.tag, node=node, load="memory", amount_bytes=amount, leave_bytes=leave) for node in facts.nodes
        )
        return limited + tuple(loads)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        ceased = (Cease(tag=facts.tag),) if self._loads else ()
        return ceased + quota.given_back(facts, "memory") + services_started(facts)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        limited = quota.felt(facts, "memory", "a process on {node} that takes more is killed; bytes it got")
        if not self._loads:
            return limited
        taken = tuple(
            Check(
                query=LoadQuery(node=node, tag=facts.tag),
                in_force=("busy",),
                healed=("ended", "none"),
                means=f"a process on {node} takes memory; bytes resident",
            )
            for node in facts.nodes
        )
        return taken + limited
