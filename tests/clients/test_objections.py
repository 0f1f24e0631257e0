"""What client types say to an experiment before anything is started."""

import json

import pytest

from chaoskit.engine.loading import load
from chaoskit.model.errors import InputError

LAB = {
    "name": "pair",
    "nodes": {"kv": {"count": 2}, "app": {}},
    "clients": "app",
    "endpoints": {
        "redis": {"kind": "redis", "hosts": "kv"},
        "one": {"kind": "redis", "hosts": "kv1"},
        "watched": {"kind": "redis", "hosts": "kv", "sentinel": "mymaster"},
        "sql": {"kind": "mysql", "hosts": "kv"},
        "shell": {"kind": "command", "hosts": "kv"},
        "python": {"kind": "python", "hosts": "kv"},
    },
}
POOLED = {"class": "pooled", "operation": "append"}
READABLE = {"read_back": ["cat", "ledger"], "dump": ["cat", "ledger"]}


def loaded(tmp_path, given):
    (tmp_path / "lab").mkdir(exist_ok=True)
    (tmp_path / "lab" / "lab.yaml").write_text(json.dumps(LAB))
    client = {"rate": "20/s", "deadline": "450ms", **given}
    method = [{"inject": "node.pause", "target": {"node": "kv1"}, "at": "1s", "for": "1s"}]
    file = tmp_path / "experiment.yaml"
    file.write_text(json.dumps({"title": "A pause", "lab": "lab", "clients": {"orders": client}, "method": method}, indent=1))
    return load(file)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"type": "redis", "endpoint": "redis", **POOLED}, "redis-py's pool knows one server"),
        ({"type": "mysql", "endpoint": "sql", **POOLED}, "aiomysql's pool knows one server"),
        ({"type": "command", "endpoint": "shell", "operation": "append", "command": ["true"]}, "append needs read_back and dump"),
        ({"type": "python", "endpoint": "python", "operation": "append", "call": "a:b"}, "append needs read_back and dump"),
    ],
)
def test_what_cannot_work_is_said_when_the_experiment_is_checked(tmp_path, given, words):
    with pytest.raises(InputError) as refused:
        loaded(tmp_path, given)
    assert words in str(refused.value)
    assert "clients.orders" in str(refused.value)
    assert "experiment.yaml" in str(refused.value)


@pytest.mark.parametrize(
    "given",
    [
        {"type": "redis", "endpoint": "one", **POOLED},
        {"type": "redis", "endpoint": "watched", **POOLED},
        {"type": "redis", "endpoint": "redis", "operation": "append"},
        {"type": "mysql", "endpoint": "sql", "operation": "append"},
        {"type": "command", "endpoint": "shell", "operation": "append", "command": ["true"], **READABLE},
        {"type": "command", "endpoint": "shell", "operation": "run", "command": ["true"]},
        {"type": "python", "endpoint": "python", "operation": "call", "call": "a:b"},
        {"type": "icmp", "class": "direct", "target": "kv2", "operation": "echo"},
        {"type": "file", "class": "direct", "target": "kv2", "operation": "append", "folder": "/data"},
        {"type": "dns", "class": "direct", "target": "kv2", "operation": "query", "name": "example.test"},
    ],
)
def test_what_can_work_is_not_objected_to(tmp_path, given):
    assert loaded(tmp_path, given).experiment.clients["orders"].type == given["type"]


def test_an_endpoint_with_unknown_hosts_is_a_problem_of_the_lab_alone(tmp_path, monkeypatch):
    monkeypatch.setitem(LAB["endpoints"], "redis", {"kind": "redis", "hosts": "nobody"})
    with pytest.raises(InputError, match="nobody"):
        loaded(tmp_path, {"type": "redis", "endpoint": "redis", **POOLED})
