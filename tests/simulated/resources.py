"""What steps on limits and quotas do to a simulated cluster, and what questions about them show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chaoskit.model.facts import BeyondQuery, KillsQuery, LimitQuery, LoadQuery, QuotaQuery, Reading, RoomQuery
from chaoskit.model.facts.resources import quota_words
from chaoskit.model.steps import KeepKilling, SetLimit, SetQuota, StartLoad
from chaoskit.model.steps.resources import limit_words
from tests.simulated.activities import begin
from tests.simulated.cluster import SimulatedCluster

USUAL = (1024, 4096)
USED = {"memory": 100 << 20, "pids": 7}


def set_limit(c: SimulatedCluster, step: SetLimit) -> None:
    for process in step.processes:
        key = ("limit", step.node, process.pid)
        if (step.soft, step.hard) == USUAL:
            c.marks.pop(key, None)
        else:
            c.marks[key] = (step.soft, step.hard)


def set_quota(c: SimulatedCluster, step: SetQuota) -> None:
    key = ("quota", step.node, step.resource)
    if step.value is None:
        c.marks.pop(key, None)
    else:
        c.marks[key] = step.value


def start_load(c: SimulatedCluster, step: StartLoad) -> None:
    begin(c, step.tag, step.node, step)


def keep_killing(c: SimulatedCluster, step: KeepKilling) -> None:
    begin(c, step.tag, step.node, step)
    c.pids[step.node] = 0


def load(c: SimulatedCluster, query: LoadQuery) -> Reading:
    return Reading(value="busy" if ("activity", query.tag, query.node) in c.marks else "ended", number=1.0)


def kills(c: SimulatedCluster, query: KillsQuery) -> Reading:
    return Reading(value="killed" if ("activity", query.tag, query.node) in c.marks else "ended", number=1.0)


def limit(c: SimulatedCluster, query: LimitQuery) -> Reading:
    if all(p.ref != query.process for p in c.processes(query.node)):
        return Reading(value="gone")
    return Reading(value=limit_words(*c.marks.get(("limit", query.node, query.process.pid), USUAL)), number=5.0)


def room(c: SimulatedCluster, query: RoomQuery) -> Reading:
    return Reading(number=5.0 + query.spare)


def quota(c: SimulatedCluster, query: QuotaQuery) -> Reading:
    value = c.marks.get(("quota", query.node, query.resource))
    return Reading(value=quota_words(value), number=USED.get(query.resource))


def beyond(c: SimulatedCluster, query: BeyondQuery) -> Reading:
    return Reading(value="denied" if ("quota", query.node, query.resource) in c.marks else "unlimited")


DEEDS: dict[str, Callable[[SimulatedCluster, Any], None]] = {
    "set_limit": set_limit,
    "set_quota": set_quota,
    "start_load": start_load,
    "keep_killing": keep_killing,
}
ANSWERS: dict[str, Callable[[SimulatedCluster, Any], Reading]] = {
    "limit": limit,
    "room": room,
    "quota": quota,
    "beyond": beyond,
    "load": load,
    "kills": kills,
}
