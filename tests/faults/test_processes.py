"""Parameters of process and resource faults that cannot be meant."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from chaoskit.faults.process_crash_loop import ProcessCrashLoop
from chaoskit.faults.process_kill import ProcessKill
from chaoskit.faults.resource_cpu import ResourceCpu
from chaoskit.faults.resource_memory import ResourceMemory
from chaoskit.ports.fault import Fault

WEB = {"process": {"service": "web"}}


@pytest.mark.parametrize(("given", "plain"), [("KILL", "KILL"), ("sighup", "HUP"), ("SIGUSR1", "USR1"), ("rtmin", "RTMIN")])
def test_any_signal_that_ends_a_process(given: str, plain: str) -> None:
    assert ProcessKill.model_validate({**WEB, "signal": given}).signal == plain
    assert ProcessCrashLoop.model_validate({**WEB, "signal": given}).signal == plain


@pytest.mark.parametrize(
    ("fault", "given", "words"),
    [
        (ProcessKill, {**WEB, "signal": "BANG"}, "there is no signal 'BANG'"),
        (ProcessKill, {**WEB, "signal": "STOP"}, "use process.hang"),
        (ProcessCrashLoop, {**WEB, "every": "1ms"}, r"at least 0\.02s"),
        (ResourceCpu, {"limit": 0.5, "workers": 2}, "a limit or a load"),
        (ResourceCpu, {"limit": 0.5, "share": "50%"}, "a limit or a load"),
        (ResourceMemory, {}, "one of allocate, leave, limit, spare"),
        (ResourceMemory, {"limit": "1GiB", "spare": "1MiB"}, "not both"),
        (ResourceMemory, {"allocate": "1GiB", "leave": "1MiB"}, "not both"),
    ],
)
def test_what_cannot_be_meant_is_refused(fault: type[Fault], given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        fault.model_validate(given)


def test_needs_follow_what_is_asked_for() -> None:
    def needs(fault: Fault) -> list[str]:
        return [need.capability for need in fault.needs()]

    assert needs(ResourceCpu(limit=0.5)) == ["resource.quota.cpu"]
    assert needs(ResourceCpu()) == ["resource.load"]
    both = ResourceMemory.model_validate({"limit": "1GiB", "leave": "1MiB"})
    assert needs(both) == ["resource.quota.memory", "resource.load"]
