"""What the holder of a lab of containers is told beyond what every holder is."""

from __future__ import annotations

from typing import TypedDict

from chaoskit.backends.linux_host.wire import LabJson


class ContainerJson(TypedDict):
    id: str
    hostname: str


class ContainersJson(LabJson):
    """A lab whose containers the engine has made, but not started."""

    engine: str
    """Where the engine answers."""
    hosts: str
    """Text of /etc/hosts."""
    containers: dict[str, ContainerJson]
    """Node -> its container."""
    volumes: list[str]
    """Volumes of the engine's that were made for the lab."""
