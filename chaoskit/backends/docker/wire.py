"""What the holder of a lab of containers is told beyond what every holder is."""

from __future__ import annotations

from typing import TypedDict

from chaoskit.backends.linux_host.wire import LabJson


class ContainerJson(TypedDict):
    id: str
    hostname: str
    pid: int
    """Its first process, which waits to be told what to start."""


class ContainersJson(LabJson):
    """A lab whose containers the engine has made and started; they have no network yet, and nothing runs in them."""

    engine: str
    """Where the engine answers."""
    hosts: str
    """Text of /etc/hosts."""
    containers: dict[str, ContainerJson]
    """Node -> its container."""
    volumes: list[str]
    """Volumes of the engine's that were made for the lab."""
