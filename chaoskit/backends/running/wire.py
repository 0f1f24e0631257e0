"""What the keeper of a lab of running containers is told beyond what every holder is."""

from __future__ import annotations

from typing import TypedDict

from chaoskit.backends.linux_host.wire import LabJson


class RunningJson(TypedDict):
    """One container."""

    id: str
    """Empty: the node is the engine's own network, where clients run."""
    ports: dict[str, str]
    """Device in the container -> the name of its other end."""
    macs: dict[str, str]
    """Device in the container -> its hardware address."""


class RunningLabJson(LabJson):
    """A lab whose containers are there."""

    engine: str
    engine_pid: int
    containers: dict[str, RunningJson]
    mark: str
    """What all tables of the lab begin with."""
