"""A lab that stands by itself: built, waited for, asked who holds which role."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from chaoskit.engine.clock import clock_of
from chaoskit.engine.interrupting import Interrupts
from chaoskit.engine.lab_loading import LoadedLab
from chaoskit.engine.leading import RoleListener
from chaoskit.engine.waiting import wait_until
from chaoskit.ports.clock import Clock
from chaoskit.ports.lab import Backend, Lab

Roles = Mapping[str, tuple[str, ...]]
"""Role -> who holds it."""


def raised_lab(
    loaded: LoadedLab, backend: Backend, lab_id: str, run_id: str, logs: Path, progress: Callable[[str], None], *, detached: bool
) -> tuple[Lab, Roles]:
    """Build a lab and wait until it is ready. LabUnavailable, Interrupted; nothing is left of it then.

    `detached`: it outlives this process; otherwise it ends when this process does.
    """
    plan, clock, interrupts = loaded.rendered.plan, clock_of(backend), Interrupts()
    with _caught(interrupts):
        with interrupts.at_once():
            lab = backend.up(plan, lab_id, run_id, logs, detached=detached, progress=progress)
        try:
            return lab, roles_once(lab, clock, plan.ready.roles, float(plan.ready.within), interrupts.check, logs)
        except BaseException:
            lab.down()
            raise


@contextmanager
def _caught(interrupts: Interrupts) -> Iterator[None]:
    """Signals can be caught by the main thread only; in another one they end the process, and the lab with it."""
    if threading.current_thread() is threading.main_thread():
        with interrupts.installed():
            yield
    else:
        yield


def roles_once(
    lab: Lab, clock: Clock, wanted: Mapping[str, int], within_s: float, check: Callable[[], None], logs: Path | None = None
) -> Roles:
    """Who holds which role, once so many nodes hold each as are wanted. LabUnavailable where they do not within that time."""
    listener = RoleListener(lab, lab.plan, clock)
    with tempfile.TemporaryDirectory(prefix="chaoskit-") as scratch:
        folder = Path(scratch)
        listener.start(folder / "roles.json", folder / "roles.sqlite", folder / "roles.log", 0)

        def tick() -> None:
            clock.sleep(0.05)
            check()
            listener.poll(lambda change: None, lambda line: None)

        def lacking() -> str:
            silent = [role for role in lab.plan.roles if listener.holders(role) is None]
            return listener.lacking(wanted) or (f"nothing heard yet of {', '.join(silent)}" if silent else "")

        try:
            wait_until(lacking, within_s, "the lab did not become ready", tick, clock, logs)
            return {role: tuple(listener.holders(role) or ()) for role in listener.roles}
        finally:
            if listener.agent is not None:
                listener.agent.stop(5.0)
