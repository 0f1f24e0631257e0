"""The experiments and labs that come with chaoskit: right by its own checks, and by the schemas it gives to editors."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from chaoskit.engine.lab_loading import load_lab
from chaoskit.engine.loading import load
from chaoskit.engine.registry import Registry
from chaoskit.surfaces.catalogue import example_steps
from chaoskit.surfaces.cli import cli
from chaoskit.surfaces.schema import experiment_schema, lab_schema

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted(ROOT.glob("experiments/*/*.yaml"))
LABS = sorted(ROOT.glob("labs/*/lab.yaml"))


@cache
def validator(which: str) -> Any:
    return jsonschema.Draft202012Validator({"experiment": experiment_schema, "lab": lab_schema}[which](Registry()))


def said(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def test_there_are_some() -> None:
    assert EXPERIMENTS
    assert LABS


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_an_experiment(path: Path) -> None:
    loaded = load(path)
    assert len(loaded.faults) == len(loaded.experiment.method)
    assert [e.message for e in validator("experiment").iter_errors(said(path))] == []


@pytest.mark.parametrize("path", LABS, ids=lambda p: p.parent.name)
def test_a_lab_and_its_variants(path: Path) -> None:
    lab = load_lab(path)
    assert [e.message for e in validator("lab").iter_errors(said(path))] == []
    for variant in lab.file.spec.variants:
        assert load_lab(path, variant).rendered.plan.name == lab.rendered.plan.name


@pytest.mark.parametrize("name", Registry().names("faults"))
def test_every_fault_can_show_what_it_would_do(name: str) -> None:
    inject, _ = example_steps(Registry().load("faults", name))
    assert inject
    assert not inject[0].startswith("known at run time")


@pytest.mark.parametrize("name", ["keepalived/parted", "haproxy/server-power-off"])
def test_a_lab_of_debian_packages_says_without_root_that_it_needs_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaoskit.backends.linux_host.survey.os.geteuid", lambda: 1234)
    said = CliRunner().invoke(cli, ["plan", str(ROOT / "experiments" / f"{name}.yaml")])
    assert said.exit_code == 3, said.output
    assert "building an image of Debian packages needs root" in said.output
