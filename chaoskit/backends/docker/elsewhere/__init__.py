"""Engines of other machines: a helper container there, in which whole commands are carried out (docs/decisions/0031)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaoskit.backends.docker import contexts

if TYPE_CHECKING:  # read where the engine is elsewhere
    from chaoskit.backends.docker.elsewhere.machine import EngineMachine


def other_machine() -> EngineMachine | None:
    """The engine's machine where that is another one; None where the engine that is meant is reached by a socket of this one."""
    which = contexts.elsewhere()
    if which is None:
        return None
    from chaoskit.backends.docker.elsewhere.machine import EngineMachine

    return EngineMachine(which)
