"""Which processes match: the same for a fault that prepares and for a lab that kills again."""

from __future__ import annotations

from typing import Any

import pytest

from chaoskit.model.choosing import chosen
from chaoskit.model.facts import ProcessInfo
from chaoskit.ports.process_match import ProcessMatch


def process(pid: int, name: str, **changes: Any) -> ProcessInfo:
    fields: dict[str, Any] = {"pid": pid, "parent": 1, "name": name, "command": (name,), "state": "S", "start_ticks": pid * 10}
    return ProcessInfo(**{**fields, **changes})


PROCESSES = (
    process(1, "init"),
    process(9, "postgres", command=("postgres", "-D", "/data"), listens=(5432,), service="patroni"),
    process(7, "patroni", command=("/usr/bin/python3", "patroni"), listens=(8008,), service="patroni"),
    process(8, "postgres", state="Z", service="patroni"),
    process(10, "postgres", command=("postgres: checkpointer",), service="patroni"),
)


@pytest.mark.parametrize(
    ("criteria", "pids"),
    [
        ({"name": "postgres"}, [9, 10]),
        ({"name": "init"}, []),
        ({"pattern": "^postgres -D"}, [9]),
        ({"port": 8008}, [7]),
        ({"service": "patroni"}, [7, 9, 10]),
        ({"service": "patroni", "which": "oldest"}, [7]),
        ({"service": "patroni", "which": "newest"}, [10]),
        ({"service": "patroni", "name": "postgres", "which": "oldest"}, [9]),
        ({"pid_file": "/run/pg.pid"}, [10]),
        ({"pid_file": "/run/pg.pid", "name": "patroni"}, []),
    ],
)
def test_what_matches(criteria: dict[str, Any], pids: list[int]) -> None:
    match = ProcessMatch(**criteria)
    assert [p.pid for p in match.chosen(PROCESSES, 10)] == pids
    listed = [p.model_dump(mode="json") for p in reversed(PROCESSES)]
    assert [p["pid"] for p in chosen(match.model_dump(mode="json"), listed, 10)] == pids
