"""The way into a node for processes of chaoskit's own that are not part of it."""

from __future__ import annotations

from pathlib import Path


class NodeOff(Exception):
    """There is nothing to enter: the node is off."""


def init_process(inside: Path, node: str) -> int:
    """The process whose namespaces are the node's. `inside`: see Lab.inside(). NodeOff, OSError."""
    text = (inside / node).read_text().strip()
    if not text:
        raise NodeOff(node)
    return int(text)


def node_root(inside: Path, node: str) -> Path:
    """The node's own root directory, with its mounts. It is another one after a reboot: ask each time. NodeOff, OSError."""
    root = Path(f"/proc/{init_process(inside, node)}/root")
    if not root.exists():
        raise NodeOff(node)
    return root
