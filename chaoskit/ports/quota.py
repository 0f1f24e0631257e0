"""What faults that limit a whole node have in common: reading the quota, lowering it, giving it back, and the evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import BeyondQuery, Check, QuotaQuery
from chaoskit.model.facts.resources import quota_words
from chaoskit.model.steps import SetQuota, Step
from chaoskit.model.steps.resources import QuotaResource
from chaoskit.ports.fault import Facts, Scene


def with_quotas(facts: Facts, scene: Scene, resource: QuotaResource, lowered: Callable[[float | None], float]) -> Facts:
    """The facts with each node's quota as it is and as it shall be; `lowered` is told what the node uses now, if that is known.

    StepFailed where that would not be less than what the node may use already.
    """
    before: dict[str, float | None] = {}
    wanted: dict[str, float] = {}
    for node in facts.nodes:
        reading = scene.read(QuotaQuery(node=node, resource=resource))
        if reading.value in (None, "off"):
            raise StepFailed(f"{node} is off: there is nothing to limit")
        before[node] = None if reading.value == "unlimited" else float(reading.value)
        wanted[node] = lowered(reading.number)
        now = before[node]
        if now is not None and now <= wanted[node]:
            raise StepFailed(f"{node} may use no more than {quota_words(now)} ({resource}) already; {wanted[node]:g} is no less")
    return facts.model_copy(update={"quotas": before, "lowered_quotas": wanted})


def beyond_use(used: float | None, spare: float) -> float:
    """So much more than now. StepFailed where nothing says how much that is."""
    if used is None:
        raise StepFailed("it depends on how much the node uses at that instant")
    return used + spare


def lowered(facts: Facts, resource: QuotaResource) -> tuple[Step, ...]:
    return tuple(SetQuota(node=n, resource=resource, value=v) for n, v in facts.lowered_quotas.items())


def given_back(facts: Facts, resource: QuotaResource) -> tuple[Step, ...]:
    return tuple(SetQuota(node=n, resource=resource, value=v) for n, v in facts.quotas.items())


def felt(facts: Facts, resource: QuotaResource, means: str) -> tuple[Check, ...]:
    """The kernel says so, and a process that tries to use more is denied it. `means` may name the {node}."""
    checks: list[Check] = []
    for node, value in facts.lowered_quotas.items():
        before = quota_words(facts.quotas[node])
        said = QuotaQuery(node=node, resource=resource)
        words = f"the kernel's limit of {resource} for {node} is {quota_words(value)}"
        checks.append(Check(query=said, in_force=(quota_words(value),), healed=(before,), means=words))
        tried = BeyondQuery(node=node, resource=resource)
        free: Sequence[str] = ("unlimited",) if facts.quotas[node] is None else ()
        checks.append(Check(query=tried, in_force=("denied",), healed=tuple(free), means=means.format(node=node)))
    return tuple(checks)
