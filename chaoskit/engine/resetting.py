"""A lab that several trials share: before each but the first, is it as it was before the first?

Every fault has proved that it is gone by then. This looks at the rest: what a fault's own evidence does not ask, and what the
cluster did to itself meanwhile. Who leads may have changed, that is what failing over is; the lab's `ready` is waited for later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import CarrierQuery, NodeStateQuery, Query, ReachQuery, ServiceEnabledQuery, ServiceQuery, VolumeQuery
from chaoskit.model.lab import LabPlan
from chaoskit.ports.clock import Clock
from chaoskit.ports.lab import Lab

LOOK_AGAIN_S = 0.5
SHOWN = 8

Seen = Mapping[str, str]
"""What was asked, for people -> the answer."""


class NotRestored(StepFailed):
    """The lab is not as it was before the first trial: this trial could not be done, and is invalid."""


def questions(plan: LabPlan) -> Iterator[tuple[str, Query]]:
    """Everything that is asked, with words for it."""
    for node in plan.nodes:
        yield f"{node.name} is", NodeStateQuery(node=node.name)
        if node.interfaces:
            yield f"the links of {node.name} are", CarrierQuery(node=node.name)
        for service in node.services:
            yield f"{service.name} on {node.name} is", ServiceQuery(node=node.name, service=service.name)
            yield f"at boot, {service.name} on {node.name} is", ServiceEnabledQuery(node=node.name, service=service.name)
        for volume in node.volumes:
            yield f"a write to {volume} of {node.name}:", VolumeQuery(node=node.name, volume=volume)
    joined = [node.name for node in plan.nodes if node.interfaces]
    for source in joined:
        for destination in joined:
            if source != destination:
                yield f"{source} asks {destination}:", ReachQuery(source=source, destination=destination)


def seen(lab: Lab, plan: LabPlan) -> Seen:
    """The lab as it is now."""
    return {words: lab.read(query).value or "unknown" for words, query in questions(plan)}


class SharedLab:
    """Remembers how a shared lab was before its first trial of this run."""

    def __init__(self) -> None:
        self._before: Seen | None = None

    def verify(self, lab: Lab, clock: Clock, within_s: float, pause: Callable[[], None]) -> float | None:
        """None before the first trial. Later: seconds until the lab was as before; NotRestored where it is not within that time.

        `pause` raises what ends the run meanwhile.
        """
        if self._before is None:
            self._before = seen(lab, lab.plan)
            return None
        began_ns = clock.monotonic_ns()
        while changed := self._changed(seen(lab, lab.plan)):
            if clock.monotonic_ns() - began_ns > within_s * 1e9:
                more = f"; and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
                raise NotRestored(f"the lab is not as it was before the first trial: {'; '.join(changed[:SHOWN])}{more}")
            pause()
            clock.sleep(LOOK_AGAIN_S)
        return (clock.monotonic_ns() - began_ns) / 1e9

    def _changed(self, now: Seen) -> list[str]:
        before = self._before or {}
        return [f"{words} {answer}, and was {before.get(words)}" for words, answer in now.items() if answer != before.get(words)]
