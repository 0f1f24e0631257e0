"""experiment.yaml -> Experiment: overrides, configuration, secrets, and every reference to nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaoskit.engine.loading import Loaded, load
from chaoskit.engine.secrets import revealed, secret_values
from chaoskit.model.errors import InputError, Problem
from tests.engine.toy import EXPERIMENT, ToyRegistry, written


def loaded(folder: Path, experiment: str = EXPERIMENT, *overrides: str) -> Loaded:
    return load(written(folder, experiment), overrides, ToyRegistry())  # type: ignore[arg-type]


def problems(folder: Path, experiment: str, *overrides: str) -> tuple[Problem, ...]:
    with pytest.raises(InputError) as caught:
        loaded(folder, experiment, *overrides)
    return caught.value.problems


def changed(old: str, new: str) -> str:
    assert old in EXPERIMENT
    return EXPERIMENT.replace(old, new)


def test_a_whole_experiment(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    experiment = found.experiment
    assert float(experiment.clients["orders"].rate) == 100
    assert experiment.clients["readers"].model_extra == {"pool": 5}
    assert experiment.method[0].period is not None
    assert float(experiment.method[0].period) == 20
    assert found.actions == ("power", "later")
    assert [f.NAME for f in found.faults] == ["power", "cut"]
    assert found.lab.predicted_rto_s == (18.0, 24.0)
    assert len(found.source.sha256) == 64


def test_overrides(tmp_path: Path) -> None:
    found = loaded(
        tmp_path, EXPERIMENT, "rate=10/s", "repeat=7", "lab.settings.ttl=30s", "method.0.at=3s", "method[1].for=9s",
        "objectives.rto=< 5s", "steady-state-hypothesis.clients.orders.success=>= 50%", "tags=[a, b]",
    )  # fmt: skip
    experiment = found.experiment
    assert float(experiment.clients["orders"].rate) == 10
    assert experiment.repeat == 7
    assert found.lab.file.spec.settings["ttl"] == "30s"
    assert found.lab.predicted_rto_s == (28.0, 34.0)
    assert [float(a.at or 0) for a in experiment.method] == [3, 0]
    assert experiment.objectives == {"rto": "< 5s"}
    assert experiment.steady_state_hypothesis.clients["orders"].success.limit == 0.5
    assert experiment.tags == ("a", "b")
    assert found.overrides["lab.settings.ttl"] == "30s"


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("rat=1/s", "rate"),
        ("repeats=3", "repeat"),
        ("lab.settings.tll=3s", "ttl"),
        ("lab.setings.ttl=3s", "settings"),
        ("lab.variant=slw", "slow"),
        ("clients.orders.rat=3/s", "rate"),
        ("objectives.rot=1", "rto"),
    ],
)
def test_an_override_of_nothing(tmp_path: Path, override: str, nearest: str) -> None:
    (problem,) = problems(tmp_path, EXPERIMENT, override)
    assert problem.nearest == nearest
    assert problem.file.startswith("--set")


@pytest.mark.parametrize(
    "override", ["repeat", "=3", "", "title.x=3", "method.7.at=1s", "repeat=many", "lab.settings=3", "method=1"]
)
def test_an_override_that_cannot_be(tmp_path: Path, override: str) -> None:
    assert all(p.file.startswith("--set") for p in problems(tmp_path, EXPERIMENT, override))


def test_configuration_is_filled_in(tmp_path: Path) -> None:
    text = changed("configuration: {rate: 100/s,", "configuration: {n: 3, flag: true, rate: 100/s,")
    text = text.replace("repeat: 2", 'repeat: "${n}"').replace("What it costs.", "'at ${rate} $${n} ${flag}'")
    experiment = loaded(tmp_path, text).experiment
    assert experiment.repeat == 3, "a text that is only a name becomes the value itself"
    assert experiment.description == "at 100/s ${n} true"


def test_an_unknown_name_in_configuration(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, changed('"${rate}"', '"${rat}"'))
    assert (problem.value, problem.nearest, problem.path) == ("${rat}", "rate", "clients.orders.rate")


def test_secrets_are_named_but_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("t0ken\n")
    monkeypatch.setenv("TOY_PASSWORD", "hunter2")
    text = EXPERIMENT + "secrets: {pw: {type: env, key: TOY_PASSWORD}, token: {type: file, path: token}}\n"
    found = loaded(tmp_path, text.replace("pool: 5", 'pool: 5, password: "${pw}"'))
    assert "hunter2" not in found.experiment.model_dump_json()
    options = found.experiment.clients["readers"].model_extra
    values = secret_values(found.experiment, found.folder)
    assert values == {"pw": "hunter2", "token": "t0ken"}
    assert revealed(options, values) == {"pool": 5, "password": "hunter2"}


def test_a_secret_that_is_not_there(tmp_path: Path) -> None:
    text = EXPERIMENT + "secrets: {pw: {type: env, key: TOY_NOT_SET}, token: {type: file, path: nothing}}\n"
    found = loaded(tmp_path, text)
    with pytest.raises(InputError) as caught:
        secret_values(found.experiment, found.folder, {})
    assert [p.path for p in caught.value.problems] == ["secrets.pw", "secrets.token"]


@pytest.mark.parametrize(
    ("secrets", "path"),
    [
        ("{pw: hunter2}", "secrets.pw"),
        ("{pw: {type: vault}}", "secrets.pw.type"),
        ("{pw: {type: env, kye: X}}", "secrets.pw.kye"),
        ("{pw: {type: file}}", "secrets.pw"),
    ],
)
def test_secrets_that_are_written_wrongly(tmp_path: Path, secrets: str, path: str) -> None:
    found = problems(tmp_path, EXPERIMENT + f"secrets: {secrets}\n")
    assert [p.path for p in found] == [path]
    assert "hunter2" not in str(found[0]), "a secret written into the file is not repeated"


def test_a_secret_outside_a_client_is_refused(tmp_path: Path) -> None:
    text = changed("What it costs.", "'${pw}'") + "secrets: {pw: {type: env, key: X}}\n"
    (problem,) = problems(tmp_path, text)
    assert problem.path == "description"


@pytest.mark.parametrize(
    ("old", "new", "path", "value", "nearest"),
    [
        ("title:", "titel:", "titel", "titel", "title"),
        ("steady-state-hyp", "steady-state-hip", "steady-state-hipothesis", "steady-state-hipothesis", "steady-state-hypothesis"),
        ("inject: power", "inject: powr", "method[0].inject", "powr", "power"),
        ("type: sql, class: fresh", "type: sq, class: fresh", "clients.orders.type", "sq", "sql"),
        ("operation: append", "operation: apend", "clients.orders.operation", "apend", "append"),
        ("class: pooled", "class: poled", "clients.readers.class", "poled", "pooled"),
        ("rate: 50/s", "rte: 50/s", "clients.readers.rte", "rte", "rate"),
        ("pool: 5", "pol: 5", "clients.readers.pol", "pol", "pool"),
        ("deadline: 500ms", "dedline: 500ms", "clients.orders.dedline", "dedline", "deadline"),
        ("endpoint: write, pool", "endpoint: wrte, pool", "clients.readers.endpoint", "wrte", "write"),
        ("role: primary}", "role: primry}", "method[0].target.role", "primry", "primary"),
        ("{node: db2}", "{node: db4}", "method[1].target.node", "db4", "db"),
        ("{node: db2}", "{nodes: [db1, db22]}", "method[1].target.nodes[1]", "db22", "db2"),
        ("{node: db2}", "{group: dbs}", "method[1].target.group", "dbs", "db"),
        ("{node: db2}", "{nod: db2}", "method[1].target.nod", "nod", "node"),
        ("after: power", "after: powr", "method[1].after", "powr", "power"),
        ("{side: {group: app}}", "{sid: {group: app}}", "method[1].with.sid", "sid", "side"),
        ("{side: {group: app}}", "{side: {group: ap}}", "method[1].with.side.group", "ap", "app"),
        ("{side: {group: app}}", "{side: {group: app}, network: lann}", "method[1].with.network", "lann", "lan"),
        ("objectives: {rto:", "objectives: {rot:", "objectives.rot", "rot", "rto"),
        ("clients: {orders: {success", "clients: {oders: {success", "steady-state-hypothesis.clients.oders", "oders", "orders"),
        ("roles: {primary: 1}", "roles: {primay: 1}", "steady-state-hypothesis.roles.primay", "primay", "primary"),
        ("clients: {orders: {down_for", "clients: {order: {down_for", "abort-when.clients.order", "order", "orders"),
        ("lab: lab", "lab: labb", "lab", "labb", "lab"),
        ("lab: lab", "lab: {path: lab, variant: slwo}", "lab.variant", "slwo", "slow"),
        ("lab: lab", "lab: {path: lab, settings: {tttl: 3s}}", "lab.settings.tttl", "tttl", "ttl"),
    ],
)  # fmt: skip
def test_a_wrong_name(tmp_path: Path, old: str, new: str, path: str, value: str, nearest: str) -> None:
    found = problems(tmp_path, changed(old, new))
    problem = next(p for p in found if p.path == path)
    assert (problem.value, problem.nearest) == (value, nearest)
    assert nearest in problem.allowed
    assert problem.line is not None
    assert problem.column is not None
    line = (tmp_path / "experiment.yaml").read_text().splitlines()[problem.line - 1]
    assert line[problem.column - 1 :].startswith(value), "line and column point at the word"
    assert len(found) == 1, "one mistake, one message"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("rate: 50/s", "rate: 0/s", "rate of 0"),
        ("rate: 50/s", "rate: 50", "write 100/s"),
        ("deadline: 500ms", "deadline: 1s", "hides it"),
        ("deadline: 500ms", "deadline: 0s", "more than 0"),
        ("deadline: 500ms", "deadline: 500", "needs its unit"),
        ("deadline: 500ms", "deadline: 500ms, slo: 2s", "at most the deadline"),
        ("deadline: 500ms", "deadline: 500ms, in_flight: 10", "would not be sent"),
        ("rate: 50/s", "rate: 100000/s", "raise in_flight"),
        ("deadline: 500ms", "deadline: 500ms, target: db1", "only a client of class direct"),
        ("class: pooled", "class: direct", "names the node"),
        ("endpoint: write, pool", "endpoint: web, pool", "of kind 'web'"),
        ("endpoint: write, pool", "pool", "which endpoint"),
        ("deadline: 500ms", "deadline: 500ms, from: dbx", "no node 'dbx'"),
        ("repeat: 2", "repeat: many", "whole number"),
        ("repeat: 2", "repeat: 0", "at least 1"),
        ("baseline: 30s", "baseline: 30", "needs its unit"),
        ("target: {role: primary}", "target: {}", "what the fault hits"),
        ("target: {role: primary}\n", "\n", "what the fault hits"),
        ("{node: db2}", "{group: db, count: 4}", "only 3 nodes match"),
        ("{node: db2}", "{node: db2, group: app}", "no node of the lab matches"),
        ("after: power", "after: power\n    at: 3s", "one of at and after"),
        ("after: power", "after: later", "no earlier action"),
        ("name: later", "name: Later!", "lower-case"),
        ("for: ${hold}", "for: 0s", "more than 0"),
        ("- inject: power", "- injekt: power", "unknown key"),
        ("objectives: {rto:", "objectives: {rto: 3, x:", "starts with <="),
        ("lab: lab", "lab: lab\nwatch: {addresses: {vip: 10.9.9.9}}", "in no network of the lab"),
        ("lab: lab", "lab: lab\nwatch: {addresses: {vip: the one}}", "not an IPv4 address"),
        ("lab: lab", "lab: 3", "mapping"),
        ("lab: lab", "lab: {}", "'path' is missing"),
        ("lab: lab", "lab: nowhere/at/all", "no such lab"),
        ("lab: lab", "lab: lab/templates", "no lab.yaml"),
        ("lab: lab", "lab: ''", "no lab file"),
        ("success: \">= 99.9%\"", "success: 99.9%", "starts with"),
        ("success: \">= 99.9%\"", "success: \">= 150%\"", "between 0% and 100%"),
        ("tags: [toy]", "tags: toy", "a list"),
        ("title: The primary loses power", "title: ''", "at least 1"),
        ("title: The primary loses power", "title: [x]", "text"),
        ("primary: 1}", "primary: 9}", "4 nodes"),
        ("rto: \"<= 30s\"", "rto: \"<= 30\"", "unit"),
        ("repeat: 2", "rollbacks: [{inject: power, target: {node: db1}}]", "not carried out"),
        ("hold: 20s", "hold: {type: env, key: HOME}", "only secrets"),
    ],
)  # fmt: skip
def test_what_cannot_be(tmp_path: Path, old: str, new: str, words: str) -> None:
    found = problems(tmp_path, changed(old, new))
    assert any(words in p.message for p in found), [str(p) for p in found]
    assert all(p.line is not None for p in found)


@pytest.mark.parametrize("missing", ["title", "lab", "method"])
def test_a_missing_key_is_named(tmp_path: Path, missing: str) -> None:
    lines, kept, dropping = EXPERIMENT.splitlines(), [], False
    for line in lines:
        if not line.startswith((" ", "-")):
            dropping = line.startswith(f"{missing}:")
        if not dropping:
            kept.append(line)
    found = problems(tmp_path, "\n".join(kept) + "\n")
    assert [p.message for p in found] == [f"the key '{missing}' is missing"]


def test_a_misspelt_endpoint_is_one_mistake(tmp_path: Path) -> None:
    (one,) = problems(tmp_path, changed("endpoint: write, pool", "endpont: write, pool"))
    assert (one.message, one.value, one.nearest) == ("unknown key", "endpont", "endpoint")


def test_mistakes_of_every_kind_are_reported_together(tmp_path: Path) -> None:
    text = changed("title:", "titel:").replace("rate: 50/s", "rate: 0/s").replace("inject: power", "inject: powr")
    text = (
        text.replace("{node: db2}", "{node: db9}")
        .replace("repeat: 2", "repeat: x")
        .replace("objectives: {rto", "objectives: {rot")
    )
    found = problems(tmp_path, text)
    assert [p.path for p in found] == [
        "titel",
        "clients.readers.rate",
        "method[0].inject",
        "method[1].target.node",
        "objectives.rot",
        "repeat",
    ]
    assert [p.line for p in found] == sorted(p.line or 0 for p in found)


def test_problems_of_the_lab_come_with_those_of_the_experiment(tmp_path: Path) -> None:
    path = written(tmp_path, changed("repeat: 2", "repeat: x"))
    lab = tmp_path / "lab" / "lab.yaml"
    lab.write_text(lab.read_text().replace("leader: primary", "leader: primry"))
    with pytest.raises(InputError) as caught:
        load(path, (), ToyRegistry())  # type: ignore[arg-type]
    assert {p.file for p in caught.value.problems} == {str(path), str(lab)}


def test_values_expanded_from_configuration_are_bounded(tmp_path: Path) -> None:
    text = changed("hold: 20s", f"hold: 20s, big: {'x' * 20_000}").replace("What it costs.", "'" + "${big}" * 2000 + "'")
    assert "expand to more than" in problems(tmp_path, text)[0].message


def test_a_list_whose_only_member_is_wrong_is_not_said_to_be_too_short(tmp_path: Path) -> None:
    method = EXPERIMENT[EXPERIMENT.index("method:") :]
    head = EXPERIMENT.replace(method, "")
    after = method[method.index("\nobjectives:") :] if "\nobjectives:" in method else ""
    (one,) = problems(tmp_path, f"{head}method:\n  - inject: power\n    target: {{node: db1}}\n    at: 1sec\n{after}")
    assert one.path == "method[0].at"
    (none,) = problems(tmp_path, f"{head}method: []\n{after}")
    assert (none.path, none.message) == ("method", "needs at least 1 of these")
