"""What a backend can do here, known before anything starts."""

from __future__ import annotations

from typing import Literal

from chaoskit.model.record import Record


class Capability(Record):
    """One ability of a backend on this machine. `reason` says why not and what to install, or how well."""

    name: str
    present: bool
    reason: str = ""


class Need(Record):
    """A capability that a fault, lab or client needs, and why."""

    capability: str
    why: str
    required: bool = True
    """False: the fault runs without it, and the plan says what is then missing."""


class Survey(Record):
    """A backend's capabilities for one lab on this machine, taken without starting anything."""

    backend: str
    mode: str = ""
    """Such as "root" or "rootless"."""
    programs: Literal["machine", "image"] = "machine"
    """What nodes run: this machine's own programs, or those of an image."""
    capabilities: tuple[Capability, ...]

    def has(self, name: str) -> bool:
        return any(c.present for c in self.capabilities if c.name == name)

    def reason(self, name: str) -> str:
        found = [c.reason for c in self.capabilities if c.name == name]
        return found[0] if found else f"the {self.backend} backend does not offer it"


NETWORK_CUT = "network.cut"
NETWORK_LINK = "network.link"
NETWORK_PORTS = "network.ports"
NETWORK_REJECT = "network.reject"
NETWORK_SHAPE = "network.shape"
NETWORK_RESET = "network.reset"
NETWORK_ADDRESS = "network.address"
NETWORK_FORWARDING = "network.forwarding"
NETWORK_ANSWER = "network.answer"
NODE_POWER = "node.power"
NODE_FREEZE = "node.freeze"
PROCESS_SIGNAL = "process.signal"
PROCESS_CLOCK = "process.clock"
SERVICE_CONTROL = "service.control"
COMMAND_EXEC = "command.exec"
FILE_EDIT = "file.edit"
VOLUME_FAIL = "volume.fail"
VOLUME_PROGRAM = "volume.program"
VOLUME_LOSE_UNSYNCED = "volume.lose_unsynced"
PACKAGES_DEBIAN = "packages.debian"
USERS_MANY = "users.many"
CONTAINER_IMAGE = "container.image"
RESOURCE_LOAD = "resource.load"
QUOTA_CPU = "resource.quota.cpu"
QUOTA_MEMORY = "resource.quota.memory"
QUOTA_PIDS = "resource.quota.pids"
QUOTAS = {"cpu": QUOTA_CPU, "memory": QUOTA_MEMORY, "pids": QUOTA_PIDS}
"""What a node as a whole may use -> the capability to limit it."""
