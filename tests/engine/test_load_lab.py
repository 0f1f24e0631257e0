"""lab.yaml -> LabPlan: addresses, templates, order; and every reference to nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chaoskit.engine.lab_loading import LoadedLab, load_lab
from chaoskit.engine.predicting import ExpressionRefused, evaluated_s
from chaoskit.engine.rendering import package_path
from chaoskit.model.check import HttpCheck
from chaoskit.model.errors import InputError, Problem
from tests.engine.toy import LAB, ToyRegistry, written

PEERS_AT = "services.store.files./etc/peers.conf"


def loaded(folder: Path, lab: str = LAB, **more: Any) -> LoadedLab:
    written(folder, lab=lab)
    return load_lab(folder / "lab", registry=ToyRegistry(), **more)  # type: ignore[arg-type]


def problems(folder: Path, lab: str, **more: Any) -> tuple[Problem, ...]:
    with pytest.raises(InputError) as caught:
        loaded(folder, lab, **more)
    return caught.value.problems


def changed(old: str, new: str) -> str:
    assert old in LAB
    return LAB.replace(old, new)


def test_a_lab_is_rendered_for_each_node(tmp_path: Path) -> None:
    plan = loaded(tmp_path).rendered.plan
    assert [n.name for n in plan.nodes] == ["db1", "db2", "db3", "app"]
    assert plan.addresses() == {"db1": "198.18.0.11", "db2": "198.18.0.12", "db3": "198.18.0.13", "app": "198.18.0.14"}
    assert plan.networks == {"lan": "198.18.0.0/24"}
    second = plan.node("db2")
    assert second.interfaces[0].mac == "02:c5:c6:12:00:0c"
    assert second.volumes["data"].mount == "/data"
    store, proxy = second.services
    assert (store.name, proxy.name) == ("store", "proxy"), "what is needed stands first"
    assert store.argv == ("store", "--name", "db2", "--data", "/data")
    assert proxy.argv == ("proxy", "--to=198.18.0.12:5432")
    files = {f.path: f for f in store.files}
    assert files["/etc/store.conf"].content == "ttl 20\n"
    assert files["/etc/store.conf"].mode == 0o600
    assert files["/etc/peers.conf"].content == "db1 198.18.0.11\ndb3 198.18.0.13\n"
    check = plan.roles["primary"]["db2"]
    assert isinstance(check, HttpCheck)
    assert check.http == "http://198.18.0.12:8008/primary"
    assert set(plan.roles["primary"]) == {"db1", "db2", "db3"}, "nobody asks a node that runs nothing"
    assert plan.clients == ("app",)


def test_an_endpoint_may_have_an_address_that_is_no_nodes(tmp_path: Path) -> None:
    lab = changed("kind: web, hosts: [db1, db2]", "kind: web, hosts: db, address: '198.18.0.{{ settings.ttl | seconds + 80 }}'")
    assert loaded(tmp_path, lab).rendered.plan.virtual_addresses == {"web": "198.18.0.100"}
    alone = changed("kind: web, hosts: [db1, db2]", "kind: web, address: 198.18.0.101")
    assert loaded(tmp_path, alone).rendered.plan.virtual_addresses == {"web": "198.18.0.101"}
    assert loaded(tmp_path).rendered.plan.virtual_addresses == {}


def test_rendering_twice_gives_the_same(tmp_path: Path) -> None:
    assert loaded(tmp_path).rendered.plan == loaded(tmp_path).rendered.plan


def test_variant_and_settings(tmp_path: Path) -> None:
    slow = loaded(tmp_path, variant="slow")
    assert slow.file.spec.settings == {"ttl": "60s", "loop_wait": "2s", "port": 5432}
    assert slow.predicted_rto_s == (58.0, 64.0)
    both = loaded(tmp_path, variant="slow", settings={"loop_wait": "5s"})
    assert both.predicted_rto_s == (55.0, 67.0)


def test_several_networks_and_subnets(tmp_path: Path) -> None:
    lab = changed("name: pair\n", "name: pair\nnetworks: {lan: {}, mgmt: {subnet: 10.9.0.0/29}, wan: {}}\n")
    lab = (
        lab.replace("app: {}", "app: {networks: mgmt}")
        .replace("db: {count: 3,", "db: {count: 2,")
        .replace("replica: 2", "replica: 1")
    )
    plan = loaded(tmp_path, lab).rendered.plan
    assert plan.networks == {"lan": "198.18.0.0/24", "mgmt": "10.9.0.0/29", "wan": "198.18.1.0/24"}
    assert [(i.device, i.address) for i in plan.node("db2").interfaces] == [
        ("eth0", "198.18.0.12"),
        ("eth1", "10.9.0.3"),
        ("eth2", "198.18.1.12"),
    ]
    assert [i.address for i in plan.node("app").interfaces] == ["10.9.0.4"]


def test_many_nodes_get_distinct_addresses(tmp_path: Path) -> None:
    groups = ", ".join(f"g{i}: {{count: 64}}" for i in range(6))
    plan = loaded(tmp_path, f"name: many\nnodes: {{{groups}}}\n").rendered.plan
    assert len(set(plan.addresses().values())) == 6 * 64


@pytest.mark.parametrize(
    ("old", "new", "path", "value", "nearest"),
    [
        ("needs: store", "needs: stor", "services.proxy.needs", "stor", "store"),
        ("needs: store", "needs: [stor]", "services.proxy.needs[0]", "stor", "store"),
        ("services: [store, proxy]}", "services: [store, prox, proxy]}", "nodes.db.services[1]", "prox", "proxy"),
        ("clients: app", "clients: ap", "clients", "ap", "app"),
        ("leader: primary", "leader: primry", "leader", "primry", "primary"),
        ("hosts: db,", "hosts: dbb,", "endpoints.write.hosts", "dbb", "db"),
        ("[db1, db2]", "[db1, db9]", "endpoints.web.hosts[1]", "db9", "db"),
        ("{primary: 1, replica: 2}", "{primry: 1, replica: 2}", "ready.roles.primry", "primry", "primary"),
        ("templates/peers", "templates/peer", PEERS_AT, "templates/peer.conf", "templates/peers.conf"),
        ("kind: sql", "kind: sqll", "endpoints.write.kind", "sqll", "sql"),
        ("database: shop", "databse: shop", "endpoints.write.databse", "databse", "database"),
        ("settings.ttl |", "settings.tll |", "services.store.files./etc/store.conf.content", "tll", "ttl"),
        ("settings.port", "setings.port", "services.proxy.command[1]", "setings", "settings"),
        ("ttl - loop_wait", "ttl - loopwait", "predict.rto[0]", "loopwait", "loop_wait"),
        ("command: [proxy", "comand: [proxy", "services.proxy.comand", "comand", "command"),
        ("ready: {tcp: 5432}", "ready: {tpc: 5432}", "services.store.ready.tpc", "tpc", "tcp"),
    ],
)  # fmt: skip
def test_a_reference_to_nothing(tmp_path: Path, old: str, new: str, path: str, value: str, nearest: str) -> None:
    found = problems(tmp_path, changed(old, new))
    problem = next(p for p in found if p.path == path)
    assert (problem.value, problem.nearest) == (value, nearest)
    assert problem.allowed
    text = (tmp_path / "lab" / "lab.yaml").read_text().splitlines()
    assert problem.line is not None
    assert value in text[problem.line - 1], "the line named is the line it stands in"
    assert len(found) == 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("store:\n    command: [store,", "store:\n    needs: proxy\n    command: [store,", "wait for each other"),
        ("needs: store", "needs: proxy", "wait for each other: proxy -> proxy"),
        ("name: pair\n", "name: pair\nnetworks: {lan: {subnet: 10.0.0.0/33}}\n", "not an IPv4 subnet"),
        ("name: pair\n", "name: pair\nnetworks: {lan: {subnet: 10.0.0.1/24}}\n", "not an IPv4 subnet"),
        ("name: pair\n", "name: pair\nnetworks: {lan: {subnet: 10.0.0.0/30}}\n", "too small"),
        ("name: pair\n", "name: pair\nnetworks: {a: {subnet: 10.0.0.0/24}, b: {subnet: 10.0.0.0/16}}\n", "overlaps"),
        ("app: {}", "app: {}\n  db1: {}", "both make a node"),
        ("{data: {size: 64MiB}}", "{data: {size: 64MiB, mount: /x}, more: {mount: /x}}", "both mounted"),
        ("{data: {size: 64MiB}}", "{data: {size: 64MiB, mount: x}}", "absolute path"),
        ("templates/peers.conf", "../../etc/passwd", "outside its folder"),
        ("templates/peers.conf", "/etc/passwd", "outside its folder"),
        ('{content: "ttl {{ settings.ttl | seconds }}\\n", mode: "0600"}', '{mode: "0600"}', "exactly one of"),
        ('mode: "0600"', "mode: 0600", "in quotes"),
        ("[store, proxy]}", "[store]}", "no node runs"),
        ("size: 64MiB", "size: 64", "needs its unit"),
        ("count: 3", "count: 0", "at least 1"),
        ("name: pair", "name: Pair", "lower-case"),
        ("{{ node }}", "{{ env.HOME }}", "no environment"),
        ("{{ node }}", "{{ node.__class__ }}", "unsafe"),
        ("[ttl - loop_wait, ttl + loop_wait + 2s]", "[ttl + 9s, ttl]", "above the high end"),
        ("[ttl - loop_wait, ttl + loop_wait + 2s]", "[1s]", "missing"),
        ("[ttl - loop_wait,", "[ttl - 3,", "one is a duration"),
        ("kind: web, hosts: [db1, db2]", "kind: web", "hosts (nodes or groups), address"),
        ("hosts: [db1, db2]", "address: shop.example", "not an IPv4 address"),
        ("hosts: [db1, db2]", "address: 198.18.0.12", "the own address of db2"),
        ("hosts: [db1, db2]", "address: 10.1.0.9", "in no network of the lab (lan: 198.18.0.0/24)"),
        ("hosts: [db1, db2]", "address: 198.18.0.255", "first or last address"),
        ("hosts: [db1, db2]", "address: '{{ settings.tll }}'", "tll"),
        ("hosts: [db1, db2]", "address: '{{ node }}'", "node"),
    ],
)  # fmt: skip
def test_what_cannot_be(tmp_path: Path, old: str, new: str, words: str) -> None:
    found = problems(tmp_path, changed(old, new))
    assert any(words in p.message for p in found), [str(p) for p in found]
    assert all(p.line is not None for p in found)


def test_unknown_variant_and_setting(tmp_path: Path) -> None:
    assert problems(tmp_path, LAB, variant="slw")[0].nearest == "slow"
    assert problems(tmp_path, LAB, settings={"tll": 1})[0].nearest == "ttl"


def test_a_template_file_names_its_own_line(tmp_path: Path) -> None:
    written(tmp_path)
    template = tmp_path / "lab" / "templates" / "peers.conf"
    template.write_text("one\ntwo {{ peeers }}\n")
    with pytest.raises(InputError) as caught:
        load_lab(tmp_path / "lab", registry=ToyRegistry())  # type: ignore[arg-type]
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.nearest) == (str(template), 2, "peers")


def test_what_a_package_lacks_is_no_error_but_said(tmp_path: Path) -> None:
    lab = changed("command: [store,", 'command: [\'{{ package_file("no_such_package", "bin/x") }}\',')
    lab += "requires: {python: [no_such_module], commands: [no-such-command], hint: pip install it}\n"
    missing = {m.name: m.reason for m in loaded(tmp_path, lab).rendered.missing}
    assert set(missing) == {"python.no_such_module", "command.no-such-command", "package.no_such_package:bin/x"}
    assert all("pip install it" in reason for reason in missing.values())


def test_templates_know_the_backend_and_what_an_image_brings_is_not_looked_for_here(tmp_path: Path) -> None:
    program = '{{ "/opt/lab/x" if backend == "docker" else package_file("no_such_package", "bin/x") }}'
    lab = changed("command: [store,", f"command: ['{program}',") + "requires: {commands: [no-such-command]}\n"
    here, there = loaded(tmp_path, lab).rendered, loaded(tmp_path, lab, backend="docker").rendered
    assert there.plan.nodes[0].services[0].argv[0] == "/opt/lab/x"
    assert [m.name for m in here.files_missing] == ["package.no_such_package:bin/x"]
    assert there.files_missing == ()
    assert [m.name for m in there.required_missing] == ["command.no-such-command"], "the backend decides whether it matters"


def test_a_file_in_a_package_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "loud_package" / "inner"
    package.mkdir(parents=True)
    (tmp_path / "loud_package" / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "tool").write_text("x")
    monkeypatch.syspath_prepend(tmp_path)
    assert package_path("loud_package", "inner/tool") == package / "tool"
    assert package_path("loud_package.inner", "tool") == package / "tool"
    with pytest.raises(FileNotFoundError):
        package_path("loud_package", "inner/other")
    with pytest.raises(FileNotFoundError):
        package_path("loud_package", "../../../etc/passwd")
    with pytest.raises(ModuleNotFoundError):
        package_path("no_such_package", "x")


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("ttl", 20),
        ("ttl - loop_wait", 18),
        ("3 * ttl / 2", 30),
        ("max(2s, 3 * loop_wait)", 6),
        ("500ms + 1.5min", 90.5),
        ("(ttl)", 20),
    ],
)
def test_expressions(expression: str, seconds: float) -> None:
    assert evaluated_s(expression, {"ttl": "20s", "loop_wait": "2s"}) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "expression",
    ["", "ttl +", "ttl * ttl", "3", "tl", "ttl ** 2", "ttl / 0", "-ttl", "open('x')", "().__class__", "[1][0]", "ttl if 1 else 2",
     "9" * 400, "(" * 300, "x" * 600, "lambda: 1", "'a'", "name"],
)  # fmt: skip
def test_no_expressions(expression: str) -> None:
    with pytest.raises(ExpressionRefused):
        evaluated_s(expression, {"ttl": "20s", "name": "text"})


DRAIN = """\
drain:
  do: [drain, "{{ node }}", "{{ address }}"]
  undo: [undrain, "{{ node }}"]
  shown: [is-drained, "{{ node }}"]
"""


def test_a_drain_is_rendered_for_each_node_that_runs_services_and_a_group_may_have_its_own(tmp_path: Path) -> None:
    plan = loaded(tmp_path, LAB + DRAIN).rendered.plan
    drain = plan.node("db2").drain
    assert drain is not None
    assert (drain.on, drain.do, drain.undo) == (("db2",), ("drain", "db2", "198.18.0.12"), ("undrain", "db2"))
    assert plan.node("app").drain is None
    own = changed("  app: {}", "  app: {drain: {on: [db, app], user: operator, do: [a, '{{ group }}'], undo: [b], shown: [c]}}")
    plan = loaded(tmp_path, own).rendered.plan
    drain = plan.node("app").drain
    assert drain is not None
    assert (drain.on, drain.do, drain.user) == (("db1", "db2", "db3", "app"), ("a", "app"), "operator")
    assert plan.node("db1").drain is None


def test_a_drain_that_is_wrong_is_said_with_its_place(tmp_path: Path) -> None:
    found = problems(tmp_path, LAB + DRAIN + "  on: dbb\n")
    assert [(p.path, p.nearest) for p in found] == [("drain.on", "db")]
    assert "there is no node or group 'dbb'" in found[0].message
    found = problems(tmp_path, LAB + DRAIN.replace("{{ node }}", "{{ nod }}"))
    assert found[0].path == "drain.do[1]"
    assert found[0].nearest == "node"
    incomplete = problems(tmp_path, LAB + "drain: {do: [x]}\n")
    assert {p.path for p in incomplete} == {"drain"}
    assert {word for p in incomplete for word in ("undo", "shown") if word in p.message} == {"undo", "shown"}
    both = changed("services: [store, proxy]}", "services: [store, proxy], drain: {do: [a], undo: [b], shown: [c]}}") + DRAIN
    assert "would drain no node" in problems(tmp_path, both)[0].message
