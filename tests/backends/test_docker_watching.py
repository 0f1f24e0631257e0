"""The engine's events in chaoskit's words; no engine is needed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from chaoskit.backends.docker import watching

FOUND: Any = SimpleNamespace(
    client=SimpleNamespace(
        api=SimpleNamespace(inspect_container=lambda one: {"Id": one, "State": {"Pid": 4711, "Running": True}})
    )
)


@pytest.mark.parametrize(
    ("action", "attributes", "said"),
    [
        ("die", {"exitCode": "137"}, [{"what": "die", "node": "n0", "exit_code": 137}]),
        ("oom", {}, [{"what": "oom", "node": "n0"}]),
        ("start", {}, [{"what": "start", "node": "n0", "pid": 4711}]),
        ("health_status: unhealthy", {}, [{"what": "health", "node": "n0", "status": "unhealthy"}]),
        ("exec_create: sh -c die", {}, []),
        ("kill", {"signal": "9"}, []),
    ],
)
def test_what_is_heard(action: str, attributes: dict[str, str], said: list[dict[str, Any]]) -> None:
    event = {"Type": "container", "Action": action, "Actor": {"ID": "c0", "Attributes": attributes}}
    assert list(watching._heard(event, {"c0": "n0"}, FOUND)) == said
    assert list(watching._heard(event, {"c1": "n1"}, FOUND)) == [], "somebody else's container"


def test_how_containers_are_once_the_engine_is_back() -> None:
    states = [
        {"Id": "c0", "State": {"Running": True, "Pid": 12, "ExitCode": 0}},
        {"Id": "c1", "State": {"Running": False, "Pid": 0, "ExitCode": 137}},
    ]
    found: Any = SimpleNamespace(containers_named=lambda nodes: states)
    assert list(watching._states(found, {"c0": "n0", "c1": "n1"})) == [
        {"what": "start", "node": "n0", "pid": 12},
        {"what": "die", "node": "n1", "exit_code": 137, "meanwhile": True},
    ]
