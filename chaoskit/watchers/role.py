"""Who says it holds a role: every node asked from inside itself, so that the answer arrives even when nobody can reach the node.

`python -m chaoskit.watchers.role CONFIG.json`. Standard input: `stop`, or its end. Standard output: RoleChanged and RoleBeat.
Exit codes: 0 done, 2 the configuration is wrong, 3 the observations could not be recorded.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from chaoskit.agents.lines import CommandReader, ReportWriter, log_line
from chaoskit.agents.spool import Spool
from chaoskit.model.check import Check
from chaoskit.model.errors import RecordingFailed
from chaoskit.model.record import Record
from chaoskit.ports.watcher import RoleBeat, RoleChanged, RoleWatchConfig
from chaoskit.watchers.asking import Question, Said, question
from chaoskit.watchers.namespaces import NodeNetworks
from chaoskit.watchers.process import run_watcher

MOST_EVERY_NS = 100_000_000
"""A role is asked for at least this often, whatever the lab file says; commands, which cost a process each, as it says."""
_BEAT_NS = 1_000_000_000
_FLUSH_WITHIN_S = 10.0


class _Sight:
    """One role of one node: what is asked, and what it last said."""

    def __init__(self, role: str, node: str, check: Check, asked: Question) -> None:
        self.role = role
        self.node = node
        self.question = asked
        self.every_ns = check.every.ns if hasattr(check, "command") else min(check.every.ns, MOST_EVERY_NS)
        self.timeout_s = float(check.timeout)
        self.state: int | None = None
        self.answered = False
        self.asked_last_ns = 0
        """When the newest question with an answer was asked: answers that come out of order change nothing."""


class RoleWatcher:
    """Asks every node for every role at fixed instants; a slow answer never delays the next question."""

    TYPE: ClassVar[str] = "role"
    Config: ClassVar[type[Record]] = RoleWatchConfig

    def __init__(self, config: RoleWatchConfig, reports: ReportWriter) -> None:
        """InputError where a check cannot be asked."""
        self._config = config
        self._reports = reports
        self._networks = NodeNetworks(Path(config.inside) if config.inside else None)
        self._sights = [
            _Sight(role, node, check, question(check, node, self._networks, config.addresses))
            for role, nodes in config.roles.items()
            for node, check in nodes.items()
        ]
        self._asking: set[asyncio.Task[None]] = set()
        self._failure = ""

    async def watch(self) -> int:
        """Observe until told to stop; the exit code. RecordingFailed where it cannot start to record."""
        loop = asyncio.get_running_loop()
        commands = CommandReader(loop)
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, commands.stopping.set)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the orchestrator decides what ends when

        def recording_failed(why: str) -> None:
            self._failure = why
            loop.call_soon_threadsafe(commands.stopping.set)

        spool = Spool(Path(self._config.spool), recording_failed)
        began = time.monotonic_ns()
        asking = [loop.create_task(self._ask_for_ever(sight, spool, began)) for sight in self._sights]
        asking.append(loop.create_task(self._beat_for_ever(spool, began)))
        await commands.stopping.wait()
        await _end(asking)
        await _end(self._asking)
        self._networks.close()
        try:
            spool.close(_FLUSH_WITHIN_S)
        except RecordingFailed as error:
            self._failure = str(error)
            log_line(str(error))
        self._report_beat()
        return 3 if self._failure else 0

    async def _ask_for_ever(self, sight: _Sight, spool: Spool, began: int) -> None:
        turn = 0
        while True:
            due = began + turn * sight.every_ns
            await asyncio.sleep((due - time.monotonic_ns()) / 1e9)
            task = asyncio.create_task(self._ask(sight, spool))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
            turn = max(turn + 1, (time.monotonic_ns() - began) // sight.every_ns)

    async def _ask(self, sight: _Sight, spool: Spool) -> None:
        begin = time.monotonic_ns()
        try:
            async with asyncio.timeout(sight.timeout_s):
                said = await sight.question.ask()
        except TimeoutError:
            said = Said(None, f"no answer within {sight.timeout_s:g} s")
        end = time.monotonic_ns()
        spool.put("roles", (self._config.trial, sight.role, sight.node, begin, end, said.state, said.detail))
        if begin <= sight.asked_last_ns:
            return
        if not sight.answered or said.state != sight.state:
            self._report_change(sight, said, (sight.asked_last_ns or begin, end))
        sight.state, sight.answered, sight.asked_last_ns = said.state, True, begin

    def _report_change(self, sight: _Sight, said: Said, between_ns: tuple[int, int]) -> None:
        changed = RoleChanged(
            role=sight.role, node=sight.node, state=said.state, before=sight.state, between_ns=between_ns, detail=said.detail
        )
        self._reports.put(changed.model_dump_json())

    async def _beat_for_ever(self, spool: Spool, began: int) -> None:
        beat = 0
        while True:
            self._report_beat()
            spool.put("clocks", (self._config.trial, self.TYPE, time.monotonic_ns(), time.time_ns()))
            beat = max(beat + 1, (time.monotonic_ns() - began) // _BEAT_NS)
            await asyncio.sleep((began + beat * _BEAT_NS - time.monotonic_ns()) / 1e9)

    def _report_beat(self) -> None:
        roles: dict[str, dict[str, int | None]] = {role: {} for role in self._config.roles}
        for sight in self._sights:
            if sight.answered:
                roles[sight.role][sight.node] = sight.state
        self._reports.put(RoleBeat(t_ns=time.monotonic_ns(), roles=roles, failure=self._failure).model_dump_json())


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


def main(argv: list[str]) -> int:
    """Run the watcher that a configuration file describes; the exit code."""
    return run_watcher(argv, "chaoskit.watchers.role", RoleWatchConfig, RoleWatcher, RoleBeat, roles={})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
