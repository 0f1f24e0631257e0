"""What steps on files and volumes do to a simulated cluster, and what questions about them show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chaoskit.model.facts import (
    DiskErrorsQuery,
    DiskFlushQuery,
    FileQuery,
    Reading,
    VolumeQuery,
    VolumeSpeedQuery,
)
from chaoskit.model.steps import (
    FailVolume,
    RemoveFile,
    RestoreVolume,
    WriteFile,
)
from tests.simulated.cluster import SimulatedCluster


def write_file(c: SimulatedCluster, step: WriteFile) -> None:
    c.files[step.node, step.file.path] = step.file


def remove_file(c: SimulatedCluster, step: RemoveFile) -> None:
    c.files[step.node, step.path] = None


def fail_volume(c: SimulatedCluster, step: FailVolume) -> None:
    c.volumes[step.node, step.volume] = {
        "lost": "eio",
        "hang": "hangs",
        "detach": "detached",
        "no_inodes": "full",
        "power_loss": "eio",
    }.get(step.how, step.how)


def restore_volume(c: SimulatedCluster, step: RestoreVolume) -> None:
    c.volumes.pop((step.node, step.volume), None)


def volume_speed(c: SimulatedCluster, query: VolumeSpeedQuery) -> Reading:
    slow = c.volumes.get((query.node, query.volume)) == "slow"
    felt = query.asked if slow else query.asked * (0.1 if query.measure == "latency" else 10)
    return Reading(value=query.judged(felt), number=felt)


def disk_errors(c: SimulatedCluster, query: DiskErrorsQuery) -> Reading:
    felt = query.expected_percent if c.volumes.get((query.node, query.volume)) == "errors" else 0.0
    return Reading(value=query.judged(felt), number=felt)


def disk_flushes(c: SimulatedCluster, query: DiskFlushQuery) -> Reading:
    lies = c.volumes.get((query.node, query.volume)) == "lying"
    return Reading(value="lying" if lies else "honest", number=float(lies))


def volume(c: SimulatedCluster, query: VolumeQuery) -> Reading:
    return Reading(value=c.volumes.get((query.node, query.volume), "works"))


def file(c: SimulatedCluster, query: FileQuery) -> Reading:
    found = c.file(query.node, query.path)
    return Reading(file=found, value="absent" if found is None else found.fingerprint)


DEEDS: dict[str, Callable[[SimulatedCluster, Any], None]] = {
    "write_file": write_file,
    "remove_file": remove_file,
    "fail_volume": fail_volume,
    "restore_volume": restore_volume,
}
ANSWERS: dict[str, Callable[[SimulatedCluster, Any], Reading]] = {
    "volume": volume,
    "volume_speed": volume_speed,
    "disk_errors": disk_errors,
    "disk_flushes": disk_flushes,
    "file": file,
}
