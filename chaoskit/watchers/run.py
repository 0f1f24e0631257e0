"""A watcher of an installed package, in a process of its own: `python -m chaoskit.watchers.run TYPE CONFIG.json`.

Standard input: `stop`, or its end. Standard output: an Observed a line. Exit codes: 0 done, 2 the type or its configuration is
wrong, 3 the watcher failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from importlib.metadata import entry_points
from pathlib import Path

from pydantic import ValidationError

from chaoskit.agents.lines import CommandReader, ReportWriter, log_line
from chaoskit.agents.timers import accurate_event_loop
from chaoskit.model.errors import InputError, Problem
from chaoskit.ports.watcher import Observed, PluggedWatchConfig, PluggedWatcher

GROUP = "chaoskit.watchers"
_REPORT_WITHIN_S = 1.0
_ENDS_WITHIN_S = 2.0


def watcher_type(name: str) -> type[PluggedWatcher]:
    """The watcher of that name. InputError with the names there are; ImportError where it cannot be loaded."""
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in found:
        raise InputError([Problem(message="unknown watcher", value=name, allowed=tuple(sorted(found)))])
    loaded: type[PluggedWatcher] = found[name].load()
    return loaded


async def watch(kind: type[PluggedWatcher], config: PluggedWatchConfig, reports: ReportWriter) -> int:
    """Let it watch until told to stop; the exit code. A watcher that ends by itself has failed: nobody watches any more."""
    loop = asyncio.get_running_loop()
    commands = CommandReader(loop)
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, commands.stopping.set)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the orchestrator decides what ends when

    def tell(observed: Observed) -> None:
        reports.put(observed.model_dump_json())

    watching = loop.create_task(kind(config, tell).watch())
    stopping = loop.create_task(commands.stopping.wait())
    await asyncio.wait({watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not watching.done():
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError, TimeoutError):
            await asyncio.wait_for(asyncio.shield(watching), _ENDS_WITHIN_S)
        return 0
    error = watching.exception()
    log_line(f"the watcher {config.type} ended by itself{f': {type(error).__name__}: {error}' if error is not None else ''}")
    return 3


def main(argv: list[str]) -> int:
    """Run the watcher that the arguments name; the exit code."""
    if len(argv) != 2:
        log_line("usage: python -m chaoskit.watchers.run TYPE CONFIG.json")
        return 2
    reports = ReportWriter()
    try:
        kind = watcher_type(argv[0])
        config = PluggedWatchConfig.model_validate_json(Path(argv[1]).read_bytes())
        with asyncio.Runner(loop_factory=accurate_event_loop) as runner:
            return runner.run(watch(kind, config, reports))
    except (InputError, ValidationError, ImportError, OSError) as error:
        log_line(f"{argv[1]}: {error}")
        return 2
    finally:
        reports.close(_REPORT_WITHIN_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
