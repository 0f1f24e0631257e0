"""What to try next is something that can be run: each entry passes the loader, on every lab that ships."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from chaoskit.engine.labfile import read_lab
from chaoskit.engine.loading import load
from chaoskit.reporting.findings import RULES, Finding
from chaoskit.reporting.reader import recorded_view
from chaoskit.reporting.render import render, template
from chaoskit.reporting.suggestions import Suggestion, suggestions
from chaoskit.reporting.view import View
from tests.reporting.recorded_runs import Shape, plan_of, result_of, write_run

ROOT = Path(__file__).parents[2]
LABS = sorted(p.parent for p in ROOT.glob("labs/*/lab.yaml"))
EVERYTHING = [Finding(r.key, r.title, ("e",), r.anchor, r.advice) for r in RULES]


def view_of(tmp_path: Path, lab: Path, method: list[dict[str, Any]], **shape: Any) -> tuple[View, str | None]:
    """A run on one of the labs that ship, as the report sees it."""
    spec = read_lab(lab, None, {}).spec
    result = result_of(Shape(**shape))
    result = result.model_copy(update={"lab": result.lab.model_copy(update={"settings": spec.settings})})
    run = write_run(tmp_path / "run", Shape(**shape), result)
    plan = plan_of(Shape(**shape)) | {"lab": json.loads(spec.model_dump_json(by_alias=True))}
    plan["experiment"]["method"] = method
    (run / "plan.json").write_text(json.dumps(plan))
    return recorded_view(run, template), spec.leader


def is_loaded(tmp_path: Path, lab: Path, suggestion: Suggestion) -> None:
    """As a person would paste it: into an experiment on that lab."""
    method = YAML(typ="safe").load(suggestion.line)
    experiment = {
        "title": suggestion.title,
        "lab": str(lab),
        "method": method,
    }
    file = tmp_path / "next.yaml"
    file.write_text(json.dumps(experiment))
    assert load(file).experiment.method[0].inject == method[0]["inject"]


@pytest.mark.parametrize("lab", LABS, ids=[p.name for p in LABS])
def test_each_suggestion_is_an_entry_that_the_loader_takes(tmp_path: Path, lab: Path) -> None:
    entries: dict[str, Suggestion] = {}
    for inject in ("node.power_off", "network.partition"):
        view, leader = view_of(tmp_path / inject, lab, [{"inject": inject, "target": {"role": leader_of(lab)}}])
        for found in ([], EVERYTHING, *([f] for f in EVERYTHING)):
            made = suggestions(view, found, leader)
            assert 1 <= len(made) <= 5
            assert len({s.line for s in made}) == len(made)
            entries |= {s.line: s for s in made if not s.is_command}
    assert len(entries) >= 4
    for suggestion in entries.values():
        is_loaded(tmp_path, lab, suggestion)


def leader_of(lab: Path) -> str:
    return read_lab(lab, None, {}).spec.leader or "any"


def test_a_fault_that_healed_too_early_is_to_be_held_longer(tmp_path: Path) -> None:
    view, leader = view_of(tmp_path, ROOT / "labs/patroni", [{"inject": "node.power_off", "target": {"role": "primary"}}])
    faults = [f.model_copy(update={"healed_s": 12.0}) for f in view.result.trials[0].faults]
    trial = view.result.trials[0].model_copy(update={"faults": tuple(faults)})
    early = dataclasses.replace(view, result=view.result.model_copy(update={"trials": (trial,)}))
    only = [f for f in EVERYTHING if f.key == "service-came-back-only-after-the-heal"]
    first = suggestions(early, only, leader)[0]
    assert first.title == "Hold the fault longer"
    assert "it was held for 2.0" in first.why
    assert first.line == "- {inject: node.power_off, target: {role: primary}, at: 10s, for: 40s}"
    held = trial.model_copy(update={"faults": tuple(f.model_copy(update={"healed_s": 60.0}) for f in faults)})
    long = dataclasses.replace(view, result=view.result.model_copy(update={"trials": (held,)}))
    assert suggestions(long, only, leader)[0].title == "Take the leader away gently", "50 s were long enough to say so"


def test_what_was_tried_is_not_suggested_again(tmp_path: Path) -> None:
    tried = [{"inject": name} for name in ("node.power_off", "network.partition", "node.hang", "storage.hang", "network.loss")]
    view, leader = view_of(tmp_path, ROOT / "labs/patroni", tried)
    assert {s.line.partition("inject: ")[2].partition(",")[0] for s in suggestions(view, [], leader)} & {
        str(t["inject"]) for t in tried
    } == set()


def test_a_part_that_exists_once_is_named(tmp_path: Path) -> None:
    view, leader = view_of(tmp_path, ROOT / "labs/haproxy", [{"inject": "node.power_off", "target": {"group": "web"}}])
    made = suggestions(view, [], leader)
    assert [s.line for s in made if s.title == "Take lb away"] == [
        "- {inject: node.power_off, target: {node: lb}, at: 10s, for: 40s}"
    ]


def test_few_trials_suggest_more_of_them_and_enough_do_not(tmp_path: Path) -> None:
    method = [{"inject": "node.power_off", "target": {"role": "primary"}}]
    view, leader = view_of(tmp_path, ROOT / "labs/patroni", method)
    last = suggestions(view, [], leader)[-1]
    assert (last.is_command, last.line) == (True, "chaoskit run experiments/patroni/primary-power-off.yaml --repeat 6")
    many, leader = view_of(tmp_path / "many", ROOT / "labs/patroni", method, trials=6)
    assert not [s for s in suggestions(many, [], leader) if s.is_command]


def test_without_a_plan_nothing_is_invented(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    render(run)
    assert "What to try next" in (run / "report.html").read_text()
    (run / "plan.json").unlink()
    render(run)
    assert "What to try next" not in (run / "report.html").read_text()
