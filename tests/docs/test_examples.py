"""The examples of the how-to guides do what the guides say: registered, planned, injected, asked, measured, rendered, run."""

from __future__ import annotations

import asyncio
import importlib.metadata
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chaoskit.engine.loading import load
from chaoskit.engine.measuring import MeasureClash, measured_trial
from chaoskit.engine.planning import plan
from chaoskit.engine.registry import Registry
from chaoskit.model.errors import InputError
from chaoskit.model.steps import CutLinks, PowerOff
from chaoskit.ports.client import Answer
from chaoskit.ports.fault import Fault
from chaoskit.ports.watcher import Observed, PluggedWatchConfig
from chaoskit.reporting.render import render
from chaoskit.surfaces.catalogue import fault_data
from tests.clients.probing import config
from tests.docs.blocks import ROOT, defined, examples
from tests.faults import test_conformance as conformance
from tests.measures import recorded
from tests.reporting.pages import page
from tests.reporting.recorded_runs import write_run
from tests.simulated.clock import FakeClock
from tests.simulated.cluster import SimulatedCluster
from tests.simulated.lab import SimulatedBackend, SimulatedLab
from tests.simulated.plans import lab_plan
from tests.surfaces.shell import real


@dataclass
class Point:
    """An entry point as an installed package would bring it."""

    name: str
    loaded: Any
    value: str = "acme_chaos:Example"
    dist: Any = None

    def load(self) -> Any:
        return self.loaded


def registry_with(group: str, name: str, loaded: Any) -> Registry:
    """What is installed, and one thing more."""

    def find(asked: str) -> Iterable[Any]:
        return [*importlib.metadata.entry_points(group=asked), *([Point(name, loaded)] if asked == f"chaoskit.{group}" else [])]

    return Registry(find)


@pytest.fixture
def kind(tmp_path: Path) -> type[Fault]:
    found: type[Fault] = defined("docs/extending/fault.md", "fault", tmp_path)["NetworkClientsCut"]
    return found


def simulated() -> SimulatedLab:
    clock = FakeClock()
    backend = SimulatedBackend(clock, lambda: SimulatedCluster(failover_s=None))
    made = backend.up(lab_plan(), "lab-1", "run-1", Path(), detached=False, progress=print)
    clock.sleep(0.1)
    return made


PROOFS: tuple[Callable[[Fault, SimulatedLab], None], ...] = (
    conformance.test_it_bites_is_seen_and_heals,
    conformance.test_a_fault_that_does_nothing_is_not_verified,
    conformance.test_healing_twice_or_without_inject_is_harmless,
    conformance.test_facts_and_steps_survive_json_and_are_pure,
    conformance.test_needs_cover_the_steps,
    conformance.test_preparing_reads_only,
)


@pytest.mark.parametrize("proof", PROOFS, ids=lambda p: p.__name__.removeprefix("test_"))
@pytest.mark.parametrize("direction", ["both", "requests"])
def test_the_fault_conforms(kind: type[Fault], direction: str, proof: Callable[[Fault, SimulatedLab], None]) -> None:
    proof(kind.model_validate({"direction": direction}), simulated())


def test_the_fault_can_be_registered_planned_and_explained(kind: type[Fault], tmp_path: Path) -> None:
    registry = registry_with("faults", kind.NAME, kind)
    experiment = (ROOT / "experiments/patroni/primary-power-off.yaml").read_text(encoding="utf-8")
    file = tmp_path / "experiments" / "patroni" / "experiment.yaml"
    file.parent.mkdir(parents=True)
    (tmp_path / "labs").symlink_to(ROOT / "labs")
    file.write_text(experiment.replace("inject: node.power_off", f"inject: {kind.NAME}"), encoding="utf-8")
    loaded = load(file, (), registry)
    assert loaded.experiment.method[0].inject == kind.NAME
    data = fault_data(kind.NAME, kind, {})
    assert data["example_steps"]["inject"] == ["drop every frame between app and db1"]
    assert data["parameters"][0]["meaning"].startswith("`requests`:")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The experiment of the lab guide, with its lab beside it."""
    for name, text in examples("docs/extending/lab.md", "lab").items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return tmp_path / "experiment.yaml"


def test_the_lab_validates_and_plans(shop: Path) -> None:
    loaded = load(shop)
    made = plan(loaded, SimulatedBackend(FakeClock()).survey(loaded.lab.file.spec), seed=1)
    page_of_web2 = made.lab_plan.node("web2").services[0].files[0].content
    assert page_of_web2.strip() == "<h1>web2, beside web1</h1>"
    assert made.trials[0].actions[0].inject_preview == (PowerOff(node="web1", silent=False, lose_unsynced=False),)


@pytest.mark.lab
def test_the_lab_runs(shop: Path) -> None:
    doctor = real("doctor")
    if doctor.returncode != 0:
        pytest.skip(f"no lab can be built here: {doctor.stdout[-300:]}")
    ran = real("run", str(shop), "--out", str(shop.parent / "run"), cwd=shop.parent)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (shop.parent / "run" / "report.html").is_file()


def test_the_client_asks_a_real_server(tmp_path: Path) -> None:
    echo = defined("docs/extending/client.md", "client", tmp_path)["EchoClient"]
    modes = {"echo": ("ok", "ok"), "garble": ("wrong_data", "info"), "hang_up": ("reset", "info")}

    async def serve(mode: str) -> Answer:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            line = await reader.readline()
            if mode != "hang_up":
                writer.write(line if mode == "echo" else b"something else\n")
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        given = config(tmp_path / "spool", port, type="echo", operation="echo", options={"text": "hello"})
        client = echo(given)
        await client.open()
        async with server:
            answered: Answer = await client.attempt("r1.orders.0.1")
        refused: Answer = await client.attempt("r1.orders.0.2")
        assert (refused.outcome, refused.certainty) == ("refused", "fail")
        await client.close()
        return answered

    for mode, expected in modes.items():
        answer = asyncio.run(asyncio.wait_for(serve(mode), 10))
        assert (answer.outcome, answer.certainty) == expected, mode
    registry = registry_with("clients", "echo", echo)
    assert registry.load("clients", "echo").OPERATIONS


def test_the_measure_measures_and_needs_a_field_of_the_result(tmp_path: Path) -> None:
    measure = defined("docs/extending/measure.md", "measure", tmp_path)["FirstErrors"]()
    trial = recorded.trial(recorded.client("orders", down=((2.0, 9.0),)), recorded.client("calm"))
    (effective_ns,) = (f.effective_ns for f in trial.faults)
    assert effective_ns is not None
    figures = measure.measure(trial)["first_errors"]
    spacing_s = trial.clients["orders"].spacing_ns / 1e9
    truth_s = (recorded.ns(2.0) - effective_ns) / 1e9
    assert figures["orders"].low <= truth_s <= figures["orders"].high + spacing_s
    assert figures["calm"].text == "no attempt failed"
    with pytest.raises(MeasureClash, match="first_errors"):
        measured_trial(trial, [measure])


def test_the_watcher_tells_between_which_looks_the_file_appeared(tmp_path: Path) -> None:
    kind = defined("docs/extending/watcher.md", "watcher", tmp_path)["FileWatcher"]
    alarm, told = tmp_path / "alarm", list[Observed]()
    options = {"path": str(alarm), "every": "10ms"}
    given = PluggedWatchConfig(name="alarm", type="file", trial=0, nodes={"db1": "198.18.0.11"}, options=options)

    async def watched() -> int:
        watching = asyncio.ensure_future(kind(given, told.append).watch())
        await asyncio.sleep(0.1)
        assert not told
        written_ns = time.monotonic_ns()
        alarm.touch()
        await asyncio.sleep(0.3)
        watching.cancel()
        return written_ns

    written_ns = asyncio.run(watched())
    (seen,) = told
    assert seen.what == "detected"
    assert seen.between_ns[0] <= written_ns + 2_000_000
    assert written_ns <= seen.between_ns[1]


@pytest.mark.parametrize(
    ("change", "where", "words"),
    [
        ("type: file", "", ""),
        ("type: fiel", "watch.watchers.alarm.type", "file"),
        ("evry: 20ms", "watch.watchers.alarm", "every"),
    ],
)
def test_the_watcher_of_the_guide_is_checked(shop: Path, tmp_path: Path, change: str, where: str, words: str) -> None:
    kind = defined("docs/extending/watcher.md", "watcher", tmp_path)["FileWatcher"]
    (written,) = examples("docs/extending/watcher.md", "watched").values()
    written = written.replace("type: file" if change.startswith("type") else "every: 20ms", change)
    shop.write_text(shop.read_text() + written)
    registry = registry_with("watchers", "file", kind)
    if not where:
        assert load(shop, registry=registry).experiment.watch.watchers["alarm"].type == "file"
        return
    with pytest.raises(InputError) as refused:
        load(shop, registry=registry)
    (problem,) = refused.value.problems
    assert problem.path.startswith(where)
    assert problem.nearest == words


def test_the_section_appears_in_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cost = defined("docs/extending/section.md", "section", tmp_path)["CostSection"]
    installed = [*importlib.metadata.entry_points(group="chaoskit.sections"), Point("cost", cost)]
    monkeypatch.setattr("chaoskit.reporting.render.entry_points", lambda group: installed)
    run = write_run(tmp_path / "run")
    render(run)
    assert "EUR" in page((run / "report.html").read_text(encoding="utf-8")).by_id("cost").text
    assert "## What it cost\n\n- " in (run / "report.md").read_text(encoding="utf-8")


def test_the_cut_of_the_guide_is_one_atomic_step(kind: type[Fault]) -> None:
    lab = simulated()
    fault = kind.model_validate({})
    (step,) = fault.inject(fault.prepare(conformance.scene(lab), ("db1",), "tag"))
    assert isinstance(step, CutLinks)
    assert {(link.source, link.destination) for link in step.links} == {("app", "db1"), ("db1", "app")}
