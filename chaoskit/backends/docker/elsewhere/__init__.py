"""Engines of other machines: a helper container there, in which whole commands are carried out (docs/decisions/0031)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from chaoskit.backends.docker import contexts
from chaoskit.backends.docker.elsewhere import layout

if TYPE_CHECKING:  # read where the engine is elsewhere
    from chaoskit.backends.docker.elsewhere.machine import EngineMachine
    from chaoskit.model.lab import LabPlan


def beyond_the_helper(plan: LabPlan, environment: Mapping[str, str] = os.environ) -> str:
    """ "" where no container of a lab has a capability that the helper, in which this runs, lacks; else which, and what to do."""
    if layout.TOKEN not in environment:
        return ""  # this is no helper
    from chaoskit.backends.docker.elsewhere.helper_container import CAPABILITIES

    for node in plan.nodes:
        asked = node.container.cap_add if node.container is not None else ()
        if lacking := sorted({name.upper().removeprefix("CAP_") for name in asked} - set(CAPABILITIES)):
            what = f"{node.name} asks for {', '.join(lacking)}"
            return f"{what}: the helper on the engine's machine does not have it to give; run chaoskit there by itself"
    return ""


def other_machine() -> EngineMachine | None:
    """The engine's machine where that is another one; None where the engine that is meant is reached by a socket of this one."""
    which = contexts.elsewhere()
    if which is None:
        return None
    from chaoskit.backends.docker.elsewhere.machine import EngineMachine

    return EngineMachine(which)
