"""What may be asked of nodes, their processes and their services."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chaoskit.model.record import Record
from chaoskit.model.steps import ProcessRef


class NodeStateQuery(Record):
    """-> reading value: "up" | "frozen" | "off"."""

    kind: Literal["node_state"] = "node_state"
    node: str


class ProcessesQuery(Record):
    """-> reading processes: every process of the node (empty where it is off), whether or not it is frozen."""

    kind: Literal["processes"] = "processes"
    node: str


class ProcessStateQuery(Record):
    """-> reading value: "running" | "stopped" | "gone" for exactly this process."""

    kind: Literal["process_state"] = "process_state"
    node: str
    process: ProcessRef


class ServiceQuery(Record):
    """-> reading value: "running" | "exited" | "never_started" for a service of the lab on a node."""

    kind: Literal["service"] = "service"
    node: str
    service: str


class ServiceEnabledQuery(Record):
    """-> reading value: "enabled" | "disabled" (not started at boot nor after its exit) | "never" (the lab never does)."""

    kind: Literal["service_enabled"] = "service_enabled"
    node: str
    service: str


class PidFileQuery(Record):
    """-> reading number: the first integer of a file in the node, None where it cannot be read."""

    kind: Literal["pid_file"] = "pid_file"
    node: str
    path: str


class ExecQuery(Record):
    """Run a command that only reads. -> reading number: its exit code; value: its output, cut at 4 KiB."""

    kind: Literal["exec"] = "exec"
    node: str
    argv: tuple[str, ...] = Field(min_length=1)
    user: str = "root"
    timeout_s: float = 10.0
