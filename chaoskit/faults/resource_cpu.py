from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field, model_validator

from chaoskit.model.capability import QUOTA_CPU, RESOURCE_LOAD, Need
from chaoskit.model.facts import Check, LoadQuery
from chaoskit.model.steps import Cease, StartLoad, Step
from chaoskit.model.units import Fraction
from chaoskit.ports import quota
from chaoskit.ports.fault import Facts, Fault, Scene


class ResourceCpu(Fault):
    """Take a node's CPU time: by processes that compute for nothing, or by a limit on what the node may use.

    The nodes of a namespace lab share one machine's processors: a load on one is felt by the others too. A limit is not; it needs
    the capability `resource.quota.cpu`.
    """

    NAME = "resource.cpu"
    OUTAGE = "a noisy neighbour, a runaway job, an exhausted CPU credit, a container limit that is too small"
    EXAMPLE: ClassVar = {
        "inject": "resource.cpu",
        "target": {"role": "primary"},
        "with": {"workers": 2},
        "at": "10s",
        "for": "30s",
    }

    limit: float | None = Field(default=None, ge=0.01)
    """Cores of CPU time that all of the node together may use, such as 0.2; instead of a load."""
    workers: int | None = Field(default=None, ge=1, le=1024)
    """So many processes compute. Left out: one for each core."""
    share: Fraction = Fraction(1.0)
    """For this part of the time."""

    @model_validator(mode="after")
    def _one_way(self) -> ResourceCpu:
        if self.limit is not None and (self.workers is not None or float(self.share) != 1):
            raise ValueError("a limit or a load: not `limit` together with `workers` or `share`")
        if not 0 < self.share <= 1:
            raise ValueError("a share of more than 0% and at most 100%")
        return self

    def needs(self) -> tuple[Need, ...]:
        if self.limit is not None:
            return (Need(capability=QUOTA_CPU, why="to limit the CPU time of the node"),)
        return (Need(capability=RESOURCE_LOAD, why="to run processes in the node that compute"),)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"quota:{node}:cpu" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        limit = self.limit
        return facts if limit is None else quota.with_quotas(facts, scene, "cpu", lambda _: round(limit, 5))

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        if self.limit is not None:
            return quota.lowered(facts, "cpu")
        return tuple(
            StartLoad(tag=facts.tag, node=n, load="cpu", workers=self.workers or 0, share=float(self.share)) for n in facts.nodes
        )

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return (Cease(tag=facts.tag),) if self.limit is None else quota.given_back(facts, "cpu")

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        if self.limit is not None:
            return quota.felt(facts, "cpu", "a process on {node} that computes is throttled; cores it got")
        return tuple(
            Check(
                query=LoadQuery(node=node, tag=facts.tag),
                in_force=("busy",),
                healed=("ended", "none"),
                means=f"processes on {node} compute for nothing; cores they got",
            )
            for node in facts.nodes
        )
