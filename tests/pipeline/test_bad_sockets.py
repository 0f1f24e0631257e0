"""Bad services on real sockets, asked by real probes: one measure catches each, the others stay at their good value."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chaoskit.engine.measuring import measured_trial, registered
from chaoskit.engine.sample_store import SampleFiles, merge_spool
from chaoskit.model.recorded import ClientSamples, FaultRecord, RoleSamples, TrialRecord
from chaoskit.ports.client import ClientConfig
from tests.clients.probing import ProbeProcess, config
from tests.measures.badness import badness
from tests.measures.recorded import event, plan
from tests.pipeline.bad_service import NODES, BadService

pytestmark = pytest.mark.slow

PLANNED = plan(
    clients={
        "orders": {"type": "python", "operation": "append", "rate": "50/s", "call": "x:y", "endpoint": "write"},
        "readers": {
            "type": "python",
            "operation": "newest",
            "ledger": "orders",
            "rate": "50/s",
            "call": "x:y",
            "endpoint": "write",
        },
    },
    baseline="1s",
)
DOWN_S, HOLD_S, END_S = 0.8, 4.0, 5.0


class Scene:
    """What happens to the service, in seconds after the baseline."""

    def __init__(self, service: BadService, zero_s: float) -> None:
        self.service, self._zero_s = service, zero_s

    def at(self, second: float) -> BadService:
        time.sleep(max(0.0, self._zero_s + second - time.monotonic()))
        return self.service

    def fails_over(self, back_s: float = 0.3 + DOWN_S) -> None:
        failing = self.at(0.3)
        failing.down, failing.leaders = True, set()
        self.at(back_s).leaders = {"n2"}
        failing.down = False


def good(scene: Scene) -> None:
    scene.fails_over()


def loses(scene: Scene) -> None:
    failing = scene.at(0.3)
    failing.down, failing.leaders = True, set()
    failing.lose(0.4)
    scene.fails_over()


def doubles(scene: Scene) -> None:
    scene.fails_over()
    scene.at(2.0).twice = True
    scene.at(2.3).twice = False


def lags(scene: Scene) -> None:
    scene.fails_over()
    scene.at(3.0).stale_s = 0.5
    scene.at(3.5).stale_s = 0.0


def two_lead(scene: Scene) -> None:
    """The old leader leads on beside the new one."""
    scene.at(0.3).down = True
    both = scene.at(0.3 + DOWN_S)
    both.leaders, both.down = {"n1", "n2"}, False
    scene.at(3.5).leaders = {"n2"}


def flaps(scene: Scene) -> None:
    scene.fails_over()
    scene.at(2.6).down = True
    scene.at(3.0).down = False


def never_returns(scene: Scene) -> None:
    failing = scene.at(0.3)
    failing.down, failing.leaders = True, set()


def heals_itself(scene: Scene) -> None:
    scene.fails_over(back_s=HOLD_S + 0.1)


CASES: dict[str, tuple[Callable[[Scene], None], set[str]]] = {
    "good": (good, set()),
    "loses acknowledged writes": (loses, {"lost", "window"}),
    "applies writes twice": (doubles, {"duplicated"}),
    "answers from a stale copy": (lags, {"stale"}),
    "has two leaders": (two_lead, {"two leaders", "split brain acks"}),
    "flaps": (flaps, {"flaps"}),
    "never recovers": (never_returns, {"never back"}),
    "is back only when the fault has gone by itself": (heals_itself, {"no failover"}),
}


class Watcher:
    """Asks the service who leads, each 20 ms."""

    def __init__(self, service: BadService) -> None:
        self._service, self._rows, self._ended = service, list[tuple[int, int, frozenset[str]]](), threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            begin = time.monotonic_ns()
            leading = frozenset(self._service.leaders)
            self._rows.append((begin, time.monotonic_ns(), leading))

    def end(self) -> tuple[RoleSamples, ...]:
        self._ended.set()
        self._thread.join()
        begin, end = (np.array([row[i] for row in self._rows], dtype=np.int64) for i in (0, 1))
        return tuple(
            RoleSamples("primary", n, begin, end, np.array([n in row[2] for row in self._rows], dtype=np.int8)) for n in NODES
        )


def client_config(folder: Path, port: int, name: str, operation: str, **options: Any) -> ClientConfig:
    module = "tests.pipeline.bad_service"
    given = {"read_back": f"{module}:everything", "dump": f"{module}:everything", **options}
    return config(
        folder / "spool" / f"0-{name}.sqlite", port, client=name, type="python", operation=operation, hosts=tuple(NODES.items()),
        interval_ns=200_000_000, deadline_ns=400_000_000, options=given,
        directory=str(Path(__file__).parents[2]),
    )  # fmt: skip


def samples_of(files: SampleFiles, given: ClientConfig) -> ClientSamples:
    found = files.samples(0, given.client)
    columns = {name: getattr(found, name) for name in type(found).__slots__ if name != "labels"}
    return ClientSamples(
        client=given.client, type=given.type, client_class="fresh", operation=given.operation, vantage="app", target="write",
        interval_ns=given.interval_ns, spacing_ns=given.interval_ns // given.probes, deadline_ns=given.deadline_ns,
        window_ns=given.window_ns, slo_ns=None, ok=np.isin(found.outcome, ("ok", "degraded")), **columns,
    )  # fmt: skip


def observed(folder: Path, happens: Callable[[Scene], None], how: str) -> TrialRecord:
    """The trial, as two probes and a watcher recorded it."""
    (folder / "spool").mkdir()
    with BadService().served() as service:
        given = [
            client_config(folder, service.port, "orders", "append", call=f"tests.pipeline.bad_service:{how}"),
            client_config(folder, service.port, "readers", "newest", call="tests.pipeline.bad_service:newest", ledger="orders"),
        ]
        watcher = Watcher(service)
        probes = [ProbeProcess(g) for g in given]
        for probe in probes:
            probe.wait_for("running")
        time.sleep(0.3)
        began = time.monotonic()
        zero_s = began + 1.0
        happens(Scene(service, zero_s))
        time.sleep(max(0.0, zero_s + END_S + 1.4 - time.monotonic()))
        for probe in probes:
            probe.tell("drain")
            probe.wait_for("drained")
        ended_ns = time.monotonic_ns()
        for probe in probes:
            probe.tell("read_back")
            probe.wait_for("done")
            assert probe.end()[0] == 0
        roles = watcher.end()
    merge_spool(folder)
    zero = round(zero_s * 1e9)
    fault_ns, healed_ns = zero + 300_000_000, zero + round(HOLD_S * 1e9)
    with SampleFiles.open(folder) as files:
        return TrialRecord(
            index=0, plan=PLANNED, started_ns=round(began * 1e9), baseline_began_ns=round(began * 1e9), baseline_ended_ns=zero,
            ended_ns=ended_ns, events=(event(0, "baseline.ended"),), clients={g.client: samples_of(files, g) for g in given},
            roles=roles, read_backs=files.read_backs(0),
            faults=(FaultRecord("node.power_off", "node.power_off", ("n1",), fault_ns, fault_ns, fault_ns, healed_ns, healed_ns,
                                verified=True, gone=True),),
        )  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_measure_catches_it_and_no_other(tmp_path: Path, case: str) -> None:
    happens, caught = CASES[case]
    how = "append_anywhere" if happens is two_lead else "append"
    found = badness(measured_trial(observed(tmp_path, happens, how), registered()))
    assert {name for name, value in found.items() if value} == caught, found
