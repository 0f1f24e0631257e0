"""A lab of namespaces as the engine sees it."""

from __future__ import annotations

from chaoskit.backends.linux_host.held_lab import HeldLab


class NamespaceLab(HeldLab):
    """A lab whose nodes are the holder's own children."""
