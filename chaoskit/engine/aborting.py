"""When to give up: clients that suffer too much, a file that appears, a probe that fails. All is healed, then the run ends."""

from __future__ import annotations

from collections import defaultdict, deque
from pathlib import Path

from chaoskit.engine.observing import Observation
from chaoskit.engine.probing import RepeatedProbe
from chaoskit.model.errors import Aborted
from chaoskit.model.experiment import AbortWhen, ClientAbort
from chaoskit.ports.client import ClientStatus
from chaoskit.ports.clock import Clock
from chaoskit.ports.lab import Lab


class AbortConditions:
    """The `abort-when` of one trial."""

    def __init__(self, when: AbortWhen, lab: Lab, directory: Path, clock: Clock) -> None:
        """`directory`: the run directory, where relative files and probes on this machine have their place."""
        self._when, self._clock = when, clock
        self._files = tuple(directory / name for name in when.file)
        self._probes = tuple(RepeatedProbe(probe, lab, directory, clock) for probe in when.probes)
        self._counted: dict[str, deque[tuple[int, int, int]]] = defaultdict(deque)

    def check(self, watch: Observation, zero_ns: int | None) -> None:
        """Aborted with the reason, where one holds. `zero_ns`: when the baseline ended; only files count before."""
        for file in self._files:
            if file.exists():
                raise Aborted(f"the file {file} is there, and the experiment aborts when it is")
        if zero_ns is None:
            return
        for name, limit in self._when.clients.items():
            for label, status in watch.of(name).items():  # one vantage that suffers is enough
                if status is not None:
                    self._check_down(label, limit, status, zero_ns)
                    self._check_share(label, limit, status, zero_ns)
        for probe in self._probes:
            answer = probe.poll()
            if answer is not None and not answer.ok:
                raise Aborted(f"the probe {probe.probe} failed ({answer.said}), and the experiment aborts when it does")

    def _check_down(self, name: str, limit: ClientAbort, status: ClientStatus, zero_ns: int) -> None:
        if limit.down_for is None or status.streak_since_ns is not None:
            return
        down_s = (self._clock.monotonic_ns() - max(status.last_ok_ns or 0, zero_ns)) / 1e9
        if limit.down_for.holds(down_s):
            raise Aborted(f"{name} was down for {down_s:.1f} s, and the experiment aborts when {limit.down_for.text}")

    def _check_share(self, name: str, limit: ClientAbort, status: ClientStatus, zero_ns: int) -> None:
        """The share of attempts that were ok, over a period that has to have passed since the baseline ended."""
        if limit.success is None or status.t_ns < zero_ns:
            return
        counted = self._counted[name]
        if not counted or counted[-1][0] != status.t_ns:
            counted.append((status.t_ns, status.attempts, status.ok))
        while len(counted) > 1 and counted[1][0] <= status.t_ns - limit.over.ns:
            counted.popleft()
        began_ns, attempts, ok = counted[0]
        tried = status.attempts - attempts
        if status.t_ns - began_ns < limit.over.ns or not tried:
            return
        share = (status.ok - ok) / tried
        if limit.success.holds(share):
            raise Aborted(
                f"{share:.1%} of the attempts of {name} were ok over {(status.t_ns - began_ns) / 1e9:.1f} s, and the experiment "
                f"aborts when success {limit.success.text} over {limit.over}"
            )

    def stop(self) -> None:
        """End probes that still run."""
        for probe in self._probes:
            probe.stop()
