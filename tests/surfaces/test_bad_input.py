"""Every bad input: one clear message with its place, exit 2, no traceback, nothing started."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.engine.toy import EXPERIMENT, LAB, written
from tests.surfaces.shell import real, toy

CASES = {
    "wrong key": ("baseline: 30s", "basline: 30s", ["basline", "unknown key", "did you mean 'baseline'?"]),
    "wrong type": ("repeat: 2", "repeat: [2]", ["repeat", "a whole number, not a list"]),
    "unknown fault": ("inject: power", "inject: powerr", ["value: powerr", "allowed: cut, kill, power", "mean 'power'"]),
    "unknown client type": ("type: sql, class: fresh", "type: sqll, class: fresh", ["value: sqll", "sql, web", "mean 'sql'"]),
    "unknown operation": ("operation: append", "operation: apend", ["value: apend", "append, newest, read", "mean 'append'"]),
    "the newest of nobody": (
        "class: pooled, operation: read",
        "class: fresh, operation: newest",
        ["say whose (ledger:)", "orders"],
    ),
    "the newest of another": (
        "class: pooled, operation: read",
        "class: pooled, ledger: order, operation: newest",
        ["value: order", "mean 'orders'"],
    ),
    "unknown class": ("class: pooled", "class: pooling", ["value: pooling", "fresh, pooled, direct", "mean 'pooled'"]),
    "unknown objective": ("{rto:", "{rt0:", ["value: rt0", "allowed: rto", "mean 'rto'"]),
    "unknown endpoint": ("endpoint: write, pool", "endpoint: writer, pool", ["value: writer", "write, web", "mean 'write'"]),
    "unknown role": ("{role: primary}", "{role: primari}", ["value: primari", "primary, replica", "mean 'primary'"]),
    "unknown node": ("{node: db2}", "{node: dbb2}", ["value: dbb2", "db1, db2, db3, app", "mean 'db2'"]),
    "unknown group": ("{node: db2}", "{group: dbs}", ["value: dbs", "allowed: db, app", "mean 'db'"]),
    "unresolvable target": ("{node: db2}", "{node: db2, group: app}", ["no node of the lab matches", "node: db2, group: app"]),
    "missing lab": ("lab: lab", "lab: labs", ["no such lab file or folder", "value: labs", "mean 'lab'"]),
    "folder without lab.yaml": ("lab: lab", "lab: lab/templates", ["has no lab.yaml"]),
    "a rate of 0": ("rate: 50/s", "rate: 0/s", ["rate of 0 would probe nothing", "value: 0/s"]),
    "a deadline that hides outages": ("deadline: 500ms", "deadline: 2s", ["below 1s", "value: 2s"]),
    "tabs": ("baseline:", "\tbaseline:", ["tab"]),
    "unclosed bracket": ("tags: [toy]", "tags: [toy", ["not valid YAML"]),
    "duplicate key": ("repeat: 2", "repeat: 2\nrepeat: 3", ["stands here twice", "first in line 26", ":27:1:"]),
    "custom tag": ("repeat: 2", "repeat: !!python/object/apply:os.system [id]", ["tags are not allowed", "!!python/object"]),
    "second document": ("repeat: 2", "repeat: 2\n---\na: 1", ["second YAML document"]),
    "deep nesting": ("repeat: 2", "repeat: " + "[" * 100, ["levels deep"]),
    "unknown action": ("after: power", "after: powr", ["value: powr", "allowed: power", "mean 'power'"]),
    "unknown action to be during": ("after: power", "during: powr", ["value: powr", "allowed: power", "mean 'power'"]),
    "two starts": ("after: power", "after: power\n    at: 3s", ["give one of at and after, not both"]),
    "a later action as target": ("{node: db2}", "{of: later}", ["earlier action 'later'", "allowed: power"]),
    "unknown action as target": ("{group: app}", "{not_of: pwer}", ["value: pwer", "allowed: power", "mean 'power'"]),
    "within for nothing": ("after: power", "after: power\n    within: 3s", ["`when`, which is not there", "value: 3s"]),
    "a trigger without a subject": (
        "after: power",
        "when: {gained_by: anyone}",
        ["one of role, client, log, probe, file, all and any"],
    ),
    "a trigger of no role": ("after: power", "when: {role: primar, held_by: nobody}", ["value: primar", "mean 'primary'"]),
    "a role's trigger without how": ("after: power", "when: {role: primary}", ["one of gained_by and held_by"]),
    "gained by whom": (
        "after: power",
        "when: {role: primary, gained_by: anyone-else}",
        ["allowed: anyone_else, anyone, db1", "mean 'anyone_else'"],
    ),
    "held by whom": ("after: power", "when: {role: primary, held_by: nobdy}", ["allowed: nobody, anyone, db1", "mean 'nobody'"]),
    "a client that is what": ("after: power", "when: {client: orders}", ["a client and what it is"]),
    "a client that is not there": ("after: power", "when: {client: order, is: down}", ["value: order", "mean 'orders'"]),
    "a state that is none": (
        "after: power",
        "when: {client: orders, is: dwn}",
        ["value: dwn", "allowed: down, back", "mean 'down'"],
    ),
    "a pattern that is none": ("after: power", "when: {log: {service: store, says: '('}}", ["not a regular expression"]),
    "a log of nothing": ("after: power", "when: {log: {service: stor, says: up}}", ["value: stor", "mean 'store'"]),
    "what cannot last": ("after: power", "when: {role: primary, gained_by: db1, for: 3s}", ["belongs to what can last"]),
    "a part of a condition that is wrong": (
        "after: power",
        "when: {all: [{client: orders, is: down}, {any: [{role: primari, held_by: anyone}, {client: orders, is: back}]}]}",
        ["value: primari", "mean 'primary'", "method[1].when.all[1].any[0].role"],
    ),
    "a condition of one part": ("after: power", "when: {any: [{client: orders, is: down}]}", ["at least 2"]),
    "all of it for a while": (
        "after: power",
        "when: {all: [{client: orders, is: down}, {role: primary, held_by: nobody}], for: 3s}",
        ["for: belongs to each of the conditions within"],
    ),
    "a probe of two things": ("after: power", "until: {probe: {command: [x], http: 'http://db1/'}}", ["one of command and http"]),
    "a page that is none": ("after: power", "until: {probe: {http: 'db1:80'}}", ["a whole URL", "value: db1:80"]),
    "a probe that takes long": ("after: power", "until: {probe: {command: [x], timeout: 1m}}", ["at most 10s"]),
    "a probe in no node": ("after: power", "until: {probe: {command: [x], on: db9}}", ["value: db9", "db1, db2, db3, app"]),
    "repeated at once": ("after: power", "after: power\n    times: 3", ["every: 30s", "value: 3"]),
    "every without times": ("after: power", "after: power\n    every: 3s", ["times: 3", "value: 3s"]),
    "stagger of nothing": ("after: power", "after: power\n    stagger: 0s", ["must be more than 0"]),
    "an abort without a limit": ('{down_for: ">= 120s"}', "{over: 3s}", ["down_for, or success"]),
    "an abort of nobody": ("when: {clients: {orders", "when: {clients: {order", ["value: order", "mean 'orders'"]),
    "an abort by no file": ("abort-when: {", "abort-when: {file: '', ", ["names no file"]),
    "protected nobody": ("repeat: 2", "blast-radius: {protected: {nodes: [db1, dbb2]}}", ["value: dbb2", "mean 'db2'"]),
    "protected no role": ("repeat: 2", "blast-radius: {protected: {roles: primari}}", ["value: primari", "mean 'primary'"]),
    "no port": ("repeat: 2", "blast-radius: {protected: {ports: [70000]}}", ["at most 65535", "value: 70000"]),
    "misspelt limit": ("repeat: 2", "blast-radius: {max-target: 2}", ["max-target", "did you mean 'max-targets'?"]),
    "rollbacks": (
        "repeat: 2",
        "rollbacks: [{inject: power, target: {node: db1}}]",
        ["are not carried out", "`inject: run`", "undo"],
    ),
    "unknown configuration": ("${rate}", "${rates}", ["named 'rates'", "mean 'rate'"]),
}
LAB_CASES = {
    "protected group that is not there": (
        "ready: {roles",
        "blast-radius: {protected: {groups: dbs}}\nready: {roles",
        ["value: dbs", "allowed: db, app", "mean 'db'"],
    ),
    "cycle": ("store:\n    command", "store:\n    needs: proxy\n    command", ["wait for each other: proxy -> store -> proxy"]),
    "reference to nothing": ("needs: store", "needs: stores", ["value: stores", "allowed: store", "mean 'store'"]),
    "template reads environment": ("{{ node }}", "{{ env.HOME }}", ["no 'env'", "allowed: address"]),
    "template digs": ("{{ node }}", "{{ node.__class__ }}", ["unsafe"]),
    "template includes": ("{{ node }}", "{% include '/etc/passwd' %}", ["cannot include"]),
    "unknown endpoint kind": ("kind: sql", "kind: sqll", ["value: sqll", "mean 'sql'"]),
}
STORAGE_CASES = {
    "no such volume": ("storage.lost", "data", ["no target has a volume 'data'; volumes of db: pg, etcd"]),
    "a volume that cannot lie": ("storage.lying", "pg", ["the volume pg of db is of kind ext4-loop", "{kind: programmable}"]),
}
PLACE = re.compile(r"^\S+\.yaml:\d+:\d+: ", re.MULTILINE)


def check(folder: Path, experiment: str, lab: str, words: list[str]) -> None:
    path = written(folder, experiment, lab)
    for command in ("validate", "plan"):
        result = toy(command, str(path))
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        assert PLACE.search(result.stderr), result.stderr
        assert "nothing was started" in result.stderr
        for word in words:
            assert word in result.stderr, result.stderr


@pytest.mark.parametrize("case", CASES)
def test_in_the_experiment(tmp_path: Path, case: str) -> None:
    old, new, words = CASES[case]
    assert old in EXPERIMENT
    check(tmp_path, EXPERIMENT.replace(old, new), LAB, words)


@pytest.mark.parametrize("case", LAB_CASES)
def test_in_the_lab(tmp_path: Path, case: str) -> None:
    old, new, words = LAB_CASES[case]
    assert old in LAB
    check(tmp_path, EXPERIMENT, LAB.replace(old, new), words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "not UTF-8"),
        (b"a: \x00", "U+0000"),
        (b"- a\n", "a list"),
        (b"x", "single value"),
    ],
)
def test_what_is_no_experiment(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    result = toy("validate", str(path))
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
    assert f"{path}:1:" in result.stderr


def test_two_mistakes_are_both_reported(tmp_path: Path) -> None:
    path = written(tmp_path, EXPERIMENT.replace("baseline", "basline").replace("inject: power", "inject: powerr"))
    result = toy("validate", str(path))
    assert result.exit_code == 2
    assert "did you mean 'baseline'?" in result.stderr
    assert "did you mean 'power'?" in result.stderr
    assert "2 problems; nothing was started." in result.stderr


def test_as_json(tmp_path: Path) -> None:
    path = written(tmp_path, EXPERIMENT.replace("{node: db2}", "{node: dbb2}"))
    result = toy("validate", "--json", str(path))
    assert (result.exit_code, result.stderr) == (2, "")
    error = json.loads(result.stdout)["error"]
    (problem,) = error["problems"]
    assert (error["kind"], error["exit_code"]) == ("InputError", 2)
    assert (problem["path"], problem["value"], problem["nearest"]) == ("method[1].target.node", "dbb2", "db2")
    line = path.read_text().splitlines()[problem["line"] - 1]
    assert line[problem["column"] - 1 :].startswith("dbb2")


def test_control_characters_do_not_reach_the_terminal(tmp_path: Path) -> None:
    path = written(tmp_path, EXPERIMENT.replace("inject: power", 'inject: "\\e]0;pwned\\a\\e[31m"'))
    result = toy("validate", str(path))
    assert result.exit_code == 2
    assert "\x1b" not in result.stderr
    assert "\\x1b]0;pwned" in result.stderr


@pytest.mark.parametrize("override", ["rat=1", "clients.orders.rat=1/s", "rate", "lab.settings.tll=1s"])
def test_a_wrong_override(tmp_path: Path, override: str) -> None:
    result = toy("validate", str(written(tmp_path)), "--set", override)
    assert result.exit_code == 2
    assert "--set" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_as_a_real_process(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    with large.open("wb") as file:
        file.truncate(50 * 1024 * 1024)
    bomb = tmp_path / "bomb.yaml"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in zip("abcdefghi", "bcdefghij", strict=True)]
    bomb.write_text("\n".join(lines))
    for words, said in (
        (["validate", str(large)], "at most 1048576"),
        (["plan", str(bomb)], "aliases of this file expand"),
        (["validate", str(tmp_path / "nothing.yaml")], "cannot read this file"),
        (["validate", str(tmp_path)], "directory"),
        (["validate"], "Missing argument"),
        (["validat", "x"], "No such command"),
        (["faults", "node.power_of"], "did you mean 'node.power_off'?"),
    ):
        result = real(*words)
        assert result.returncode == 2, result
        assert result.stdout == ""
        assert said in result.stderr
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("fault", "volume", "words"), STORAGE_CASES.values(), ids=STORAGE_CASES)
def test_a_storage_fault_that_the_labs_volume_cannot_play(fault: str, volume: str, words: list[str], tmp_path: Path) -> None:
    shipped = Path("experiments/patroni/primary-power-off.yaml").resolve()
    text = shipped.read_text().replace("../../labs/patroni", str(shipped.parents[2] / "labs" / "patroni"))
    experiment = tmp_path / "experiment.yaml"
    experiment.write_text(text.replace("inject: node.power_off", f"inject: {fault}\n    with: {{volume: {volume}}}"))
    result = real("validate", str(experiment))
    assert result.returncode == 2, result.stdout
    assert PLACE.search(result.stderr), result.stderr
    for word in words:
        assert word in result.stderr, result.stderr
