"""A watcher's process, from its configuration file to its exit code."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import ValidationError

from chaoskit.agents.lines import ReportWriter, log_line
from chaoskit.agents.realtime import tune_process
from chaoskit.agents.timers import accurate_event_loop
from chaoskit.model.errors import InputError, RecordingFailed
from chaoskit.model.record import Record

_REPORT_WITHIN_S = 1.0
C = TypeVar("C", bound=Record)


class Watcher(Protocol):
    """What watches until it is told to stop."""

    async def watch(self) -> int:
        """The exit code."""


def run_watcher(
    argv: list[str],
    name: str,
    config: type[C],
    make: Callable[[C, ReportWriter], Watcher],
    beat: Callable[..., Record],
    **nothing: Any,
) -> int:
    """Run the watcher that the configuration file in `argv` describes; the exit code.

    2 where the configuration is wrong, 3 where the observations could not be recorded: then a last `beat` says why, with
    `nothing` seen.
    """
    if len(argv) != 1:
        log_line(f"usage: python -m {name} CONFIG.json")
        return 2
    reports = ReportWriter()

    def failed(why: str, code: int) -> int:
        log_line(why)
        reports.put(beat(t_ns=time.monotonic_ns(), failure=why, **nothing).model_dump_json())
        return code

    try:
        watcher = make(config.model_validate_json(Path(argv[0]).read_bytes()), reports)
        for refused in tune_process(real_time=False):
            log_line(f"not permitted, timing may be less accurate: {refused}")
        with asyncio.Runner(loop_factory=accurate_event_loop) as runner:
            return runner.run(watcher.watch())
    except (InputError, ValidationError, OSError) as error:
        return failed(f"{argv[0]}: {error}", 2)
    except RecordingFailed as error:
        return failed(str(error), 3)
    finally:
        reports.close(_REPORT_WITHIN_S)
