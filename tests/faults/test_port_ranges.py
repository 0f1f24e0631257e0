"""Ports as people write them, and the block of a range: what is dropped, what proves it, and what is refused."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from chaoskit.engine.scene import LiveScene
from chaoskit.faults.network_port_block import NetworkPortBlock
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import ReachQuery
from chaoskit.model.port_range import PortRange
from tests.simulated.clock import FakeClock
from tests.simulated.cluster import SimulatedCluster
from tests.simulated.lab import SimulatedBackend, SimulatedLab
from tests.simulated.plans import lab_plan

PORTS: TypeAdapter[tuple[PortRange, ...]] = TypeAdapter(tuple[PortRange, ...])


@pytest.fixture
def lab() -> SimulatedLab:
    clock = FakeClock()
    backend = SimulatedBackend(clock, lambda: SimulatedCluster(failover_s=None))
    made = backend.up(lab_plan(), "lab-1", "run-1", None, detached=False, progress=print)  # type: ignore[arg-type]
    clock.sleep(0.1)
    return made


def scene(lab: SimulatedLab) -> LiveScene:
    return LiveScene(lab, lambda role: ("db1",), random.Random(1))


@pytest.mark.parametrize(
    ("written", "pair", "again"),
    [
        (5432, (5432, 5432), 5432),
        ("5432", (5432, 5432), 5432),
        ("8000-8010", (8000, 8010), "8000-8010"),
        (" 1 - 65535 ", (1, 65535), "1-65535"),
        ("80-80", (80, 80), 80),
    ],
)
def test_written_and_written_again(written: Any, pair: tuple[int, int], again: int | str) -> None:
    (span,) = PORTS.validate_python([written])
    assert span.pair == pair
    assert PORTS.dump_python((span,), mode="json") == [again]
    assert PORTS.validate_json(PORTS.dump_json((span,))) == (span,)
    assert all((port in span) == (pair[0] <= port <= pair[1]) for port in (0, 1, 79, 80, 81, 5432, 8000, 8005, 8010, 8011))


@pytest.mark.parametrize("written", [0, 65536, -1, True, 53.0, "", "a", "8010-8000", "1-2-3", "0-5", "5-70000", "80-", None])
def test_what_is_no_port(written: Any) -> None:
    with pytest.raises(ValidationError, match="port"):
        PORTS.validate_python([written])


def test_a_block_of_no_port_at_all_is_refused() -> None:
    with pytest.raises(ValidationError, match="say which ports"):
        NetworkPortBlock()


def test_a_range_is_blocked_as_a_whole_and_proven_at_both_ends(lab: SimulatedLab) -> None:
    fault = NetworkPortBlock.model_validate({"ports": ["5400-5500", 22], "udp_ports": ["5000-5010"], "peers": {"node": "app"}})
    facts = fault.prepare(scene(lab), ("db1",), "tag")
    (step,) = fault.inject(facts)
    assert "tcp 5400-5500, tcp 22, udp 5000-5010" in step.words()
    asked = [(c.query.tcp_port, c.query.udp_port) for c in fault.effect(facts) if isinstance(c.query, ReachQuery)]
    assert asked == [(5400, None), (5500, None), (22, None), (None, 5000), (None, 5010)]
    lab.perform(step)
    assert lab.read(ReachQuery(source="app", destination="db1", tcp_port=5432)).value == "silent"
    assert lab.read(ReachQuery(source="app", destination="db1", way="one_way", udp_port=5005)).value == "silent"
    assert lab.read(ReachQuery(source="app", destination="db1", way="one_way", udp_port=5011)).value == "answered"
    assert lab.read(ReachQuery(source="db2", destination="db1", way="one_way", udp_port=5005)).value == "answered"


def test_a_rejected_range_is_told_by_the_end_of_it_that_is_listened_on(lab: SimulatedLab) -> None:
    fault = NetworkPortBlock.model_validate({"ports": ["5000-5432"], "action": "reject", "peers": {"node": "app"}})
    facts = fault.prepare(scene(lab), ("db1",), "tag")
    asked = [c.query.tcp_port for c in fault.effect(facts) if isinstance(c.query, ReachQuery)]
    assert asked == [5432]
    beside = NetworkPortBlock.model_validate({"ports": ["5400-5500"], "action": "reject"})
    with pytest.raises(StepFailed, match=r"port 5400-5500 does not answer .* \(refused, refused\)"):
        beside.prepare(scene(lab), ("db1",), "tag")
