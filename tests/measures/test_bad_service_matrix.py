"""Each bad service is caught by the measure made for it and by no other: every other figure stays at its good value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chaoskit.engine.measuring import measured_trial, registered
from chaoskit.model.recorded import TrialRecord
from tests.measures.badness import badness
from tests.measures.recorded import (
    FAULT_S,
    HEAL_S,
    acknowledged,
    client,
    dump,
    failed_over,
    fault,
    final_read,
    leaders,
    plan,
    reader,
    trial,
)

NODES = ("db1", "db2", "db3")
DOWN = [(FAULT_S, 7.0)]
PLANNED = plan(
    clients={
        "orders": {"type": "postgres", "operation": "append", "rate": "100/s", "deadline": "200ms", "endpoint": "write"},
        "readers": {"type": "postgres", "operation": "newest", "ledger": "orders", "rate": "100/s", "deadline": "200ms",
                    "endpoint": "read"},
    }
)  # fmt: skip


def leads(at: float) -> str:
    return "db1" if at < FAULT_S else "db2"


def recorded(
    *,
    down: Any = DOWN,
    leading: Callable[[float], str] = leads,
    roles: Any = None,
    lost: tuple[float, float] | None = None,
    copies: dict[str, int] | None = None,
    lag_s: Callable[[float], float] = lambda at: 0.0,
    faults: Any = None,
    db1_lacks: int = 0,
) -> TrialRecord:
    """A failover of 5 s from db1 to db2, bad in the one way that is asked for."""
    orders = client(down=down, leads=leading)
    gone = acknowledged(orders, [lost] if lost else [])
    readers = reader(orders, lag_s=lag_s, without=gone, down=down, node="db2")
    lacks = {"db1": [*gone, *acknowledged(orders)[:db1_lacks]]}
    reads = [final_read(orders, without=gone, copies=copies)]
    reads += [dump(orders, n, without=lacks.get(n, gone), copies=copies) for n in NODES]
    return trial(
        orders, readers, roles=failed_over() if roles is None else roles, faults=faults, read_backs=reads, planned=PLANNED
    )


def twice() -> TrialRecord:
    good = recorded()
    return recorded(copies={token: 2 for token in acknowledged(good.clients["orders"])[100:107]})


def two_acknowledge(at: float) -> str:
    return "db1" if at < FAULT_S or 10 <= at < 12 else "db2"


SERVICES: dict[str, Callable[[], TrialRecord]] = {
    "good": recorded,
    "loses acknowledged writes": lambda: recorded(lost=(1.5, FAULT_S)),
    "applies writes twice": twice,
    "holds what nobody wrote": lambda: recorded(copies={"nobody-0": 1}),
    "has a copy that differs": lambda: recorded(db1_lacks=4),
    "answers from a stale copy": lambda: recorded(lag_s=lambda at: 2.0 if 20 <= at < 25 else 0.0),
    "has two leaders": lambda: recorded(roles=leaders(db1=[(-99, 20)], db2=[(6, 99)])),
    "acknowledges at two leaders": lambda: recorded(leading=two_acknowledge),
    "flaps": lambda: recorded(down=[*DOWN, (20, 21), (35, 36)]),
    "never recovers": lambda: recorded(down=[(FAULT_S, 99)], faults=[fault(healed_s=None)]),
    "is back only when the fault has gone by itself": lambda: recorded(down=[(FAULT_S, HEAL_S + 1)]),
}


CAUGHT: dict[str, dict[str, Any]] = {
    "good": {},
    "loses acknowledged writes": {"lost": 50, "window": True},
    "applies writes twice": {"duplicated": 7},
    "holds what nobody wrote": {"phantom": 1},
    "has a copy that differs": {"divergence": 4},
    "answers from a stale copy": {"stale": 500},
    "has two leaders": {"two leaders": True},
    "acknowledges at two leaders": {"split brain acks": 200},
    "flaps": {"flaps": 2},
    "never recovers": {"never back": True},
    "is back only when the fault has gone by itself": {"no failover": True},
}


@pytest.mark.parametrize("service", SERVICES)
def test_one_measure_catches_it_and_no_other(service: str) -> None:
    found = badness(measured_trial(SERVICES[service](), registered()))
    assert {name: value for name, value in found.items() if value} == pytest.approx(CAUGHT[service], abs=1)
