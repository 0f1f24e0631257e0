"""What travels between a chaoskit process and a lab's holder: JSON lines on a Unix socket, one request a connection.

A request is `{"op": ..., ...}`; the holder answers with any number of `{"progress": text}` lines and then one final line,
`{"ok": true, ...}` or `{"ok": false, "error": text, "evidence": text}`. File descriptors ride on the request (SCM_RIGHTS).
Standard library only, because the holder must start in milliseconds; netlink batches come ready-made, in base64.
"""

from __future__ import annotations

import base64
import json
from typing import Any, TypedDict


class VolumeJson(TypedDict):
    name: str
    size_bytes: int
    mount: str
    owner: str
    kind: str
    """ext4-loop | programmable."""


class FileJson(TypedDict):
    path: str
    content: str
    mode: int
    owner: str


class ServiceJson(TypedDict):
    name: str
    argv: list[str]
    user: str
    env: dict[str, str]
    directory: str
    files: list[FileJson]
    needs: list[str]
    ready: dict[str, Any] | None
    """{"http": url | "tcp": port | "command": argv, "user": name, "as_service": flag, "every_s": s, "timeout_s": s}."""
    restart: str


class NodeJson(TypedDict):
    name: str
    address: str
    forwards: bool
    cables: str
    """Netlink batch, sent inside the node."""
    plug: str
    """Netlink batch, sent on the switch."""
    unplug: list[str]
    """One netlink batch a port: ports of a node that is gone may be gone too."""
    silence: str
    unsilence: str
    """nftables transactions on the switch."""
    volumes: list[VolumeJson]
    services: list[ServiceJson]


class TreeJson(TypedDict):
    """One host directory that a node sees through an overlay of its own."""

    path: str
    lower: list[str]
    """Topmost first."""


class LabJson(TypedDict):
    """A lab as every holder needs it, however its nodes are made."""

    lab_id: str
    run_id: str
    directory: str
    logs: str
    switch: str
    """Netlink batch that makes the lab's switches."""
    addresses: dict[str, str]
    """Node -> first address."""
    path: str
    """PATH of services."""
    within_s: float
    nodes: list[NodeJson]


class Blueprint(LabJson):
    """Everything a holder needs to build a lab of namespaces."""

    hosts: str
    """Text of /etc/hosts."""
    trees: list[TreeJson]
    hollow: list[str]
    """Directories above trees that cannot be laid over themselves: made anew in the node."""
    links: dict[str, str]
    """Top-level symbolic links of the host's root."""
    image: str
    """File of a package image, to be mounted at `<directory>/image`; empty: none."""
    users: list[str]


def packed(batch: bytes) -> str:
    return base64.b64encode(batch).decode()


def unpacked(text: str) -> bytes:
    return base64.b64decode(text)


def line(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


class Refused(Exception):
    """A request cannot be carried out: what and where, with evidence."""

    def __init__(self, message: str, evidence: str = "") -> None:
        self.evidence = evidence
        super().__init__(message)
