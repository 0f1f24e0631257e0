"""What a node has only where it is a container: beyond networks, volumes and services, which every node has."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from chaoskit.model.names import Names
from chaoskit.model.record import Record
from chaoskit.model.units import Size


class BindSpec(Record):
    """A file or folder of this machine, seen in the container."""

    source: str
    """Relative to the folder of the lab file."""
    target: str
    """Where it is seen; an absolute path."""
    read_only: bool = False
    """The container cannot change it."""


class EngineVolumeSpec(Record):
    """A volume of the engine's, made for the lab and removed with it. All nodes that name it share it."""

    target: str
    """Where it is seen; an absolute path. What the image has there is copied into it first."""
    name: str = ""
    """Left out: it is the node's own."""
    read_only: bool = False
    """The container cannot change it."""


class UlimitSpec(Record):
    """A limit of a container's processes, as `setrlimit` knows them."""

    soft: int
    """-1: none."""
    hard: int
    """-1: none."""


class ContainerSpec(Record):
    """How the container of a node is made, on the Docker backend; what is left out is as the engine has it."""

    hostname: str | None = None
    """Left out: the node's name."""
    dockerfile: str | None = None
    """With `build`: the Dockerfile, relative to that folder."""
    target: str | None = None
    """With `build`: the stage to stop at."""
    args: dict[str, str] = {}
    """With `build`: build arguments."""
    cap_add: Names = ()
    """Capabilities beyond the engine's own, by name. Never ALL."""
    cap_drop: Names = ()
    """Capabilities taken away; ALL takes every one."""
    tmpfs: dict[str, str] = {}
    """Path -> mount options, such as `size=64m`: memory that is seen as a folder, and empty after each boot."""
    binds: tuple[BindSpec, ...] = ()
    """Files and folders of this machine."""
    engine_volumes: tuple[EngineVolumeSpec, ...] = ()
    """Volumes that the engine keeps. Storage faults work on `volumes` of the node, not on these."""
    ulimits: dict[str, UlimitSpec] = {}
    """Name (`nofile`, `memlock` ...) -> limit of every process that runs in it."""
    sysctls: dict[str, str] = {}
    """Kernel parameters of its namespaces."""
    labels: dict[str, str] = {}
    """Labels beside chaoskit's own."""
    memory: Size | None = None
    """Memory that it may use."""
    cpus: Annotated[float, Field(gt=0)] | None = None
    """Processors that it may use."""
    pids: Annotated[int, Field(ge=1)] | None = None
    """Processes that it may have."""
    shm_size: Size | None = None
    """Size of /dev/shm."""
    read_only: bool = False
    """Its root file system cannot be written."""


class RunningInterface(Record):
    """A container's place on a network of its engine."""

    network: str
    """The network of the lab."""
    address: str
    """IPv4 without prefix length."""
    prefix: int
    """Length of the network's prefix."""
    mac: str
    """Its hardware address."""


class RunningSpec(Record):
    """A container that runs already, and is not chaoskit's: it is broken and healed, and neither made nor removed."""

    engine: str
    """Where its engine answers."""
    id: str = ""
    """Empty: not a container, but whoever shares the network of the engine itself; clients run there."""
    name: str = ""
    """As its engine calls it."""
    interfaces: tuple[RunningInterface, ...] = ()
    """Its places on bridges of its engine's."""
    removed_when_ended: bool = False
    """It was started with --rm: it cannot be started again."""
