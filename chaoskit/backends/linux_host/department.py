"""One part of what a lab can be told and asked, behind one interface: the host knows no kind of act by name.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from chaoskit.backends.linux_host.node import Node

Json = dict[str, Any]
Handler = Callable[[Json], Awaitable[Json]]


class Department:
    """Acts and questions that belong together. Refused is what they raise where something cannot be done."""

    def acts(self) -> dict[str, Handler]:
        """Kind of act -> who performs it; fields of its answer come back."""
        return {}

    def questions(self) -> dict[str, Handler]:
        """Kind of question -> who answers it; fields of a Reading come back."""
        return {}

    def node_ended(self, node: Node) -> None:
        """A node's first process has ended, and everything in it: forget what was there."""

    def node_booting(self, node: Node) -> None:
        """A node that was off is about to boot again."""

    def node_wired(self, node: Node) -> None:
        """A node that boots has its cables, and nothing has passed its switch ports yet."""

    def lab_ending(self) -> None:
        """Let go of whatever would keep the lab's processes from ending."""
