"""A probe process: the attempts of one client, in a process of its own. `python -m chaoskit.clients.probe CONFIG.json`.

Standard input: `rejoined NODE ...`, `drain`, `read_back`, `stop` (or its end), a line each. Standard output: a ClientStatus each
half second.
Exit codes: 0 done, 2 the configuration is wrong, 3 the service could not be opened or the samples could not be recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from chaoskit.agents.hiccups import HiccupWatch
from chaoskit.agents.lines import CommandReader, ReportWriter, log_line
from chaoskit.agents.realtime import freeze_objects, tune_process
from chaoskit.agents.spool import Spool
from chaoskit.agents.timers import accurate_event_loop
from chaoskit.clients.bounded import error_of
from chaoskit.clients.catalogue import open_client
from chaoskit.clients.failures import describe
from chaoskit.clients.readback import Returns, read_back
from chaoskit.clients.retrying import RetryingClient
from chaoskit.clients.sending import Attempting, Sender
from chaoskit.clients.tally import Tally
from chaoskit.clients.wire.sending import WireSender
from chaoskit.model.errors import InputError, RecordingFailed
from chaoskit.ports.client import ClientConfig, ClientType

T = TypeVar("T")

OPEN_WITHIN_S = 30.0
_OPEN_AGAIN_S = 0.5
_SETTLE_EVERY_S = 0.05
_STATUS_EVERY_S = 0.5
_CLOCK_EVERY_S = 1.0
_CLOSE_WITHIN_S = 2.0
_FLUSH_WITHIN_S = 10.0


class Stopped(Exception):
    """The probe was told to stop while it was doing something else."""


class Probe:
    """The life of one probe process."""

    def __init__(self, config: ClientConfig, client: ClientType, reports: ReportWriter) -> None:
        self._config = config
        self._client = client
        self._reports = reports
        self._loop = asyncio.get_running_loop()
        self._commands = CommandReader(self._loop)
        self._tally = Tally(config.client, settle_ns=config.patience_ns + 1_000_000_000)
        self._phase = "starting"
        self._error = ""
        self._failed = False
        self._spool = Spool(Path(config.spool), self._recording_failed)
        self._hiccups = HiccupWatch(config.interval_ns // 2, self._record_stall)
        self._returns = Returns(config, client, self._spool)
        self._sender = self._chosen_sender()

    def _chosen_sender(self) -> Sender | WireSender:
        """On bare sockets where the client type has such a way for what is asked, else by its own attempts."""
        way = getattr(self._client, "wire", None)
        exchange = None if way is None or self._config.policy is not None else way()
        if exchange is None:
            return Sender(self._config, self._persistent(), self._spool, self._hiccups, self._tally)
        return WireSender(self._config, exchange, self._spool, self._hiccups, self._tally, self._sending_failed)

    def _sending_failed(self, why: str) -> None:
        """Called in the sending thread."""
        self._loop.call_soon_threadsafe(self._fail, why)

    def _persistent(self) -> Attempting:
        """The client as its user's policy has it."""
        if self._config.policy is None:
            return self._client
        random.seed(f"{self._config.seed}.{self._config.client}")  # tenacity draws its waits there
        return RetryingClient(self._config, self._client.attempt, lambda row: self._spool.put("attempts", row))

    async def run(self) -> int:
        """Probe until told to stop; the exit code."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            self._loop.add_signal_handler(number, self._commands.stopping.set)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the orchestrator decides what ends when
        housekeeping = [
            self._loop.create_task(self._repeat(_STATUS_EVERY_S, self._report)),
            self._loop.create_task(self._repeat(_CLOCK_EVERY_S, self._record_clocks)),
            self._loop.create_task(self._repeat(_SETTLE_EVERY_S, self._sender.settle)),
        ]
        try:
            with contextlib.suppress(Stopped):
                await self._unless_stopped(self._open())
                if not self._failed:
                    self._phase = "running"
                    self._sender.start()
                while True:
                    await self._obey(await self._unless_stopped(self._commands.commands.get()))
        finally:
            for task in housekeeping:
                task.cancel()
            await self._finish()
        return 3 if self._failed else 0

    async def _open(self) -> None:
        """Open the client, again and again within the bound: a cluster may just be electing its leader."""
        began = time.monotonic()
        while True:
            error = await error_of(self._client.open(), OPEN_WITHIN_S)
            if error is None:
                self._error = ""
                return
            self._error = describe(error)
            if isinstance(error, InputError) or time.monotonic() - began > OPEN_WITHIN_S:
                self._fail(f"cannot use the service: {self._error}")
                return
            await asyncio.sleep(_OPEN_AGAIN_S)

    async def _obey(self, command: str) -> None:
        if command == "drain":
            await self._drain()
            self._phase = "drained"
        elif command.startswith("rejoined "):
            if self._config.operation in self._client.LEDGER:
                self._returns.watch(command.split()[1:])
        elif command == "read_back":
            await self._drain()
            self._phase = "reading_back"
            self._report()
            if self._config.operation in self._client.LEDGER:
                await self._returns.end()
                unread = await self._unless_stopped(read_back(self._config, self._client, self._spool))
                self._error = "; ".join(unread)
            self._phase = "done"
        else:
            self._error = f"unknown command {command!r}; use rejoined, drain, read_back or stop"
            log_line(self._error)
        self._report()

    async def _drain(self) -> None:
        left = await self._sender.drain(self._config.patience_ns / 1e9 + _CLOSE_WITHIN_S)
        if left:
            log_line(f"{left} attempts did not end")

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`; Stopped as soon as the probe is to end."""
        task = self._loop.create_task(work)
        stopping = self._loop.create_task(self._commands.stopping.wait())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise Stopped
        finally:
            stopping.cancel()
            if not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _finish(self) -> None:
        await self._drain()
        await self._returns.end()
        error = await error_of(self._client.close(), _CLOSE_WITHIN_S)
        if error is not None:
            log_line(f"while closing: {describe(error)}")
        await asyncio.sleep(2 * _SETTLE_EVERY_S)  # stalls up to the last sample become known
        self._hiccups.close()
        self._sender.settle(all_of_them=True)
        self._record_clocks()
        try:
            self._spool.close(_FLUSH_WITHIN_S)
        except RecordingFailed as error:
            self._fail(str(error))
        if not self._failed:
            self._phase = "done"
        self._report()

    def _recording_failed(self, why: str) -> None:
        """Called in the spool's thread."""
        self._loop.call_soon_threadsafe(self._fail, why)

    def _fail(self, why: str) -> None:
        if not self._failed:
            self._failed, self._phase, self._error = True, "failed", why
            log_line(why)
        self._commands.stopping.set()

    def _report(self) -> None:
        self._reports.put(self._tally.status(time.monotonic_ns(), self._phase, self._error).model_dump_json())

    def _record_clocks(self) -> None:
        before, wall, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        self._spool.put("clocks", (self._config.trial, self._config.client, (before + after) // 2, wall))

    def _record_stall(self, t_ns: int, stall_ns: int) -> None:
        self._spool.put("hiccups", (self._config.trial, self._config.client, t_ns, stall_ns))

    async def _repeat(self, every_s: float, act: Any) -> None:
        while True:
            act()
            await asyncio.sleep(every_s)


def _report_failure(reports: ReportWriter, client: str, why: str) -> None:
    log_line(why)
    reports.put(Tally(client, 0).status(time.monotonic_ns(), "failed", why).model_dump_json())


def main(argv: list[str]) -> int:
    """Run the probe that a configuration file describes; the exit code."""
    if len(argv) != 1:
        log_line("usage: python -m chaoskit.clients.probe CONFIG.json")
        return 2
    refused = tune_process(real_time=True)  # before its first thread: each asks how urgent the process is
    reports = ReportWriter()
    name = ""
    try:
        config = ClientConfig.model_validate_json(Path(argv[0]).read_bytes())
        name = config.client
        client = open_client(config)
        for what in refused:
            log_line(f"not permitted, timing may be less accurate: {what}")
        freeze_objects()
        with asyncio.Runner(loop_factory=accurate_event_loop) as runner:
            return runner.run(_run(config, client, reports))
    except (InputError, ValidationError, ImportError, OSError) as error:
        _report_failure(reports, name, f"{argv[0]}: {error}")
        return 2
    except RecordingFailed as error:
        _report_failure(reports, name, str(error))
        return 3
    finally:
        reports.close(_CLOSE_WITHIN_S)


async def _run(config: ClientConfig, client: ClientType, reports: ReportWriter) -> int:
    return await Probe(config, client, reports).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
