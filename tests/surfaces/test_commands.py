"""What the commands print when all is well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from chaoskit.model.plan import Plan
from chaoskit.model.steps import CutLinks, Exec, Link, PowerOff, ProcessRef, Signal
from tests.engine.toy import EXPERIMENT, LAB, written
from tests.surfaces.shell import on_terminal, real, toy


def test_validate(tmp_path: Path) -> None:
    path = written(tmp_path)
    result = toy("validate", str(path))
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"{path}: valid" in result.stdout
    data = json.loads(toy("validate", str(path), "--json").stdout)
    assert data["valid"] is True
    assert data["lab"]["nodes"] == ["db1", "db2", "db3", "app"]
    assert data["experiment"]["method"][0]["for"] == "20s"


def test_plan_for_people(tmp_path: Path) -> None:
    result = toy("plan", str(written(tmp_path)), "--seed", "7")
    assert (result.exit_code, result.stderr) == (0, "")
    for words in (
        "The primary loses power",
        "toy backend, tested",
        "db1 198.18.0.11",
        "18s to 24s, from these settings",
        "2, seed 7",
        "10 x 100ms (one each 10ms)",
        "+10s  inject power on whoever holds the role primary (db1 or db2 or db3)",
        "power off db1: its links fall silent",
        "20s later  heal it",
        "power on db1",
        "after power  inject cut (later) on db2",
        "from db2 to app",
        "rto  <= 30s",
        "orders is down for >= 120s",
    ):
        assert words in result.stdout, result.stdout


def test_plan_as_json(tmp_path: Path) -> None:
    result = toy("plan", str(written(tmp_path)), "--seed", "7", "--json", "--set", "repeat=3")
    made = Plan.model_validate_json(result.stdout)
    assert (made.seed, len(made.trials), made.overrides) == (7, 3, {"repeat": 3})


def test_the_seed_of_the_experiment_is_used(tmp_path: Path) -> None:
    path = written(tmp_path, EXPERIMENT + "seed: 99\n")
    assert json.loads(toy("plan", str(path), "--json").stdout)["seed"] == 99
    assert json.loads(toy("plan", str(path), "--json", "--seed", "5").stdout)["seed"] == 5


def test_a_missing_capability_is_exit_3(tmp_path: Path) -> None:
    path = written(tmp_path, lab=LAB + "requires: {commands: [no-such-command], hint: apt install it}\n")
    result = toy("plan", str(path))
    assert (result.exit_code, result.stdout) == (3, "")
    assert "no-such-command" in result.stderr
    assert "apt install it" in result.stderr
    assert toy("validate", str(path)).exit_code == 0, "what a machine lacks makes no file wrong"
    assert toy("plan", str(path), "--backend", "tyo").exit_code == 2


def test_a_secret_that_is_not_there_is_said_when_planning(tmp_path: Path) -> None:
    path = written(tmp_path, EXPERIMENT + "secrets: {pw: {type: env, key: TOY_PASSWORD_NOT_SET}}\n")
    assert toy("validate", str(path)).exit_code == 0
    result = toy("plan", str(path))
    assert result.exit_code == 2
    assert "TOY_PASSWORD_NOT_SET is not set" in result.stderr


def test_faults() -> None:
    listed = toy("faults")
    assert listed.exit_code == 0
    assert "Cut a node's power." in listed.stdout
    one = toy("faults", "cut")
    for words in (
        "Stands for: a failed switch",
        "side.role",
        "Whoever holds this role",
        "network.cut: to drop frames",
        "from db1 to app",
    ):
        assert words in one.stdout
    data = json.loads(toy("faults", "power", "--json").stdout)
    assert data["example_steps"]["inject"] == [
        "power off db1: its links fall silent, then every process ends; data not flushed is lost"
    ]
    assert data["parameters"][0] == {"name": "loud", "type": "true or false", "default": "false", "meaning": "Connections close."}
    assert data["backends"] == {"toy": {"runs": True, "lacks": []}}
    assert [f["name"] for f in json.loads(toy("faults", "--json").stdout)] == ["cut", "kill", "power"]
    assert "send KILL on db1 to 4711" in toy("faults", "kill").stdout


def test_clients() -> None:
    assert "SQL." in toy("clients").stdout
    one = toy("clients", "sql").stdout
    for words in ("append: insert a token (a ledger", "Connections.", "Which database.", "W: an answer later than this"):
        assert words in one
    assert json.loads(toy("clients", "sql", "--json").stdout)["ledger_operations"] == ["append"]


def test_doctor(tmp_path: Path) -> None:
    written(tmp_path / "labs" / "good")
    (tmp_path / "labs" / "bad").mkdir()
    (tmp_path / "labs" / "bad" / "lab.yaml").write_text("name: bad\n")
    (tmp_path / "labs" / "needy").mkdir()
    (tmp_path / "labs" / "needy" / "lab.yaml").write_text(
        "name: needy\nnodes: {a: {}}\nrequires: {commands: [no-such-command]}\n"
    )
    result = toy("doctor", "--json", "--labs", str(tmp_path / "labs"))
    found = json.loads(result.stdout)
    assert found["backends"]["toy"]["mode"] == "tested"
    states = {lab["name"]: (bool(lab["error"]), len(lab["lacks"])) for lab in found["labs"]}
    assert states == {"bad": (True, 0), "needy": (False, 1)}
    assert any(p["name"] == "pydantic" and p["version"] for p in found["packages"])
    assert result.exit_code == (3 if found["problems"] else 0)
    text = toy("doctor", "--labs", str(tmp_path / "labs")).stdout
    assert "backend toy: tested" in text
    assert "no-such-command" in text


def test_init_writes_what_validates_and_never_overwrites(tmp_path: Path) -> None:
    first = real("init", "here", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    checked = real("validate", "here/experiment.yaml", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    (tmp_path / "here" / "experiment.yaml").write_text("mine")
    second = real("init", "here", cwd=tmp_path)
    assert second.returncode == 2
    assert (tmp_path / "here" / "experiment.yaml").read_text() == "mine"
    (tmp_path / "file").write_text("x")
    assert real("init", "file", cwd=tmp_path).returncode == 2


@pytest.mark.parametrize("which", ["experiment", "lab", "result"])
def test_schemas_are_schemas(which: str) -> None:
    schema = json.loads(toy("schema", which).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"] == f"chaoskit {which}"


def errors(which: str, text: str) -> list[str]:
    schema: dict[str, Any] = json.loads(toy("schema", which).stdout)
    data = YAML(typ="safe").load(text)
    return [e.message for e in jsonschema.Draft202012Validator(schema).iter_errors(data)]


def test_the_schema_takes_what_is_right() -> None:
    assert errors("experiment", EXPERIMENT) == []
    assert errors("lab", LAB) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("inject: power", "inject: powr"),
        ("side: {group", "sid: {group"),
        ("type: sql, class: fresh", "type: sq, class: fresh"),
        ("operation: append", "operation: apend"),
        ("{rto:", "{rot:"),
        ("repeat: 2", "repeat: many"),
        ("title:", "titel:"),
        ("pool: 5", "pool: 0"),
        (">= 99.9%", "99.9%"),
    ],
)
def test_the_schema_refuses_what_is_wrong(old: str, new: str) -> None:
    assert old in EXPERIMENT
    assert errors("experiment", EXPERIMENT.replace(old, new))


def test_the_schema_carries_documentation() -> None:
    schema = json.loads(toy("schema").stdout)
    assert "later than this counts as degraded" in schema["$defs"]["ClientSpec"]["properties"]["slo"]["description"]
    assert schema["properties"]["objectives"]["properties"]["rto"]["description"].startswith("How long users were down.")


def test_steps_in_words() -> None:
    both = CutLinks(tag="t", links=(Link(source="a", destination="b"), Link(source="b", destination="a")), network="lan")
    assert both.words() == "drop every frame between a and b on lan"
    assert PowerOff(node="a", silent=False, lose_unsynced=False).words() == "power off a: every process ends, connections close"
    assert Signal(node="a", signal="STOP", processes=(ProcessRef(pid=7, start_ticks=1),)).words() == "send STOP on a to 7"
    assert Exec(node="a", argv=("echo", "a b"), user="postgres").words() == "run on a as postgres: echo 'a b'"


def test_a_narrow_terminal_and_no_color() -> None:
    narrow = on_terminal("faults", "node.hang", width=40, NO_COLOR="1")
    assert "\x1b[3" not in narrow, "no colours"
    assert max(len(line) for line in narrow.replace("\r", "").split("\n") if "\x1b" not in line) <= 40
    assert "\x1b[" in on_terminal("faults", "node.hang", width=100, NO_COLOR="")


def test_a_pipe_gets_plain_lines() -> None:
    result = real("faults", COLUMNS="30")
    assert result.returncode == 0
    assert "\x1b" not in result.stdout
    assert any(line.startswith("node.power_off  ") and len(line) > 60 for line in result.stdout.splitlines())
