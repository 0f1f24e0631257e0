"""Steps on nodes, their processes and their services."""

from __future__ import annotations

import shlex
import signal as signals
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from chaoskit.model import capability
from chaoskit.model.steps.record import ProcessRef, StepRecord

_PASSES = frozenset(("STOP", "TSTP", "TTIN", "TTOU", "CONT", "CHLD", "URG", "WINCH"))


def ending_signal(name: str) -> str:
    """The plain name of a signal that ends a process which does not handle it. ValueError for any other."""
    plain = name.upper().removeprefix("SIG")
    if f"SIG{plain}" not in signals.Signals.__members__:
        raise ValueError(f"there is no signal {name!r}; KILL, TERM, INT, HUP, ABRT and SEGV are some")
    if plain in _PASSES:
        raise ValueError(f"{plain} ends no process; to stop one, use process.hang")
    return plain


EndingSignal = Annotated[str, AfterValidator(ending_signal)]


class Exec(StepRecord):
    """Run a command in a node and wait for it."""

    NEEDS: ClassVar = capability.COMMAND_EXEC
    kind: Literal["exec"] = "exec"
    node: str
    argv: tuple[str, ...] = Field(min_length=1)
    user: str = "root"
    timeout_s: float = 10.0
    ok_codes: tuple[int, ...] = (0,)
    env: dict[str, str] = {}

    def words(self) -> str:
        as_user = f" as {self.user}" if self.user != "root" else ""
        return f"run on {self.node}{as_user}: {shlex.join(self.argv)}"


class Signal(StepRecord):
    """Send a signal to exact processes. One that is gone already, or whose number was reused, is left alone."""

    NEEDS: ClassVar = capability.PROCESS_SIGNAL
    kind: Literal["signal"] = "signal"
    node: str
    processes: tuple[ProcessRef, ...]
    signal: str
    """Name without SIG, such as KILL, STOP, CONT."""

    def words(self) -> str:
        return f"send {self.signal} on {self.node} to {', '.join(map(str, self.processes))}"


class PowerOff(StepRecord):
    """End a node at once: every process, its kernel network state, its memory."""

    NEEDS: ClassVar = capability.NODE_POWER
    kind: Literal["power_off"] = "power_off"
    node: str
    silent: bool = True
    """True: its links fall silent first, so peers see no FIN or RST (power loss).
    False: peers see the connections close (crash)."""
    lose_unsynced: bool = True
    """Data not yet flushed to the node's volumes is lost. Needs the capability `volume.lose_unsynced`."""

    def words(self) -> str:
        how = "its links fall silent, then every process ends" if self.silent else "every process ends, connections close"
        lost = "; data not flushed is lost" if self.lose_unsynced else ""
        return f"power off {self.node}: {how}{lost}"


class PowerOn(StepRecord):
    """Boot a node that is off: volumes mounted, same addresses, its services started unless `restart: never`.

    Nothing where it is up."""

    kind: Literal["power_on"] = "power_on"
    node: str

    def words(self) -> str:
        return f"power on {self.node}: volumes mounted, services started"


class Freeze(StepRecord):
    """Stop every process of a node where it stands. The kernel still answers ping and completes TCP connects."""

    NEEDS: ClassVar = capability.NODE_FREEZE
    kind: Literal["freeze"] = "freeze"
    node: str

    def words(self) -> str:
        return f"freeze every process of {self.node}"


class Thaw(StepRecord):
    """Let a frozen node go on. Nothing where it is not frozen."""

    kind: Literal["thaw"] = "thaw"
    node: str

    def words(self) -> str:
        return f"thaw {self.node}"


class StartService(StepRecord):
    """Start a service of the lab on a node that is up. Nothing where it runs already."""

    kind: Literal["start_service"] = "start_service"
    node: str
    service: str

    def words(self) -> str:
        return f"start {self.service} on {self.node} where it does not run"


class SetService(StepRecord):
    """Enable or disable a service of the lab: a disabled one runs on, but nobody starts it when its node boots or when it exits,
    until `StartService` or until it is enabled. Enabling does not start it. Nothing where it is so already."""

    NEEDS: ClassVar = capability.SERVICE_CONTROL
    kind: Literal["set_service"] = "set_service"
    node: str
    service: str
    enabled: bool

    def words(self) -> str:
        if self.enabled:
            return f"enable {self.service} on {self.node}"
        return f"disable {self.service} on {self.node}: it runs on, and nobody starts it at boot or when it exits"


class StopService(StepRecord):
    """Stop a service of the lab: TERM to its main process, KILL to all of it once that ended or the time is over.

    It stays down, whatever its `restart` says, until `StartService` or until its node boots. Nothing where it does not run."""

    NEEDS: ClassVar = capability.PROCESS_SIGNAL
    kind: Literal["stop_service"] = "stop_service"
    node: str
    service: str
    grace_s: float = Field(default=10.0, ge=0, le=20)

    def words(self) -> str:
        return f"stop {self.service} on {self.node}: TERM, KILL after {self.grace_s:g} s; nobody starts it again"
