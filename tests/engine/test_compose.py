"""Compose files as labs: what is understood, what is refused and where, variables, and how the lab file beside one adds to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoskit.engine.compose import forms, keys
from chaoskit.engine.compose.interpolation import BadVariable, env_file, substituted
from chaoskit.engine.lab_loading import LoadedLab, load_lab
from chaoskit.engine.lab_needs import check_lab
from chaoskit.engine.loading import load
from chaoskit.engine.templating import rendered
from chaoskit.model.capability import Survey
from chaoskit.model.check import CommandCheck
from chaoskit.model.errors import CapabilityMissing, InputError
from tests.docs.blocks import ROOT

PLAIN = "services: {web: {image: nginx}}\n"


def lab(folder: Path, compose: str, beside: str = "") -> LoadedLab:
    (folder / "compose.yaml").write_text(compose, encoding="utf-8")
    (folder / "lab.yaml").write_text(f"compose: compose.yaml\n{beside}", encoding="utf-8")
    return load_lab(folder)


def refused(folder: Path, compose: str, beside: str = "") -> str:
    with pytest.raises(InputError) as caught:
        lab(folder, compose, beside)
    return str(caught.value)


# -- what becomes of it ------------------------------------------------------------------------------------------------------


def test_a_service_is_a_node_that_runs_what_its_image_starts(tmp_path: Path) -> None:
    plan = lab(tmp_path, PLAIN).rendered.plan
    assert [node.name for node in plan.nodes] == ["web", "clients"]
    web, clients = plan.nodes
    assert web.image == clients.image == "nginx"
    (service,) = web.services
    assert (service.name, service.argv, service.arguments, service.user, service.directory) == ("web", (), None, "", "")
    assert not clients.services
    assert plan.clients == ("clients",)
    assert list(plan.networks) == ["default"]


def test_clients_that_have_a_place_get_no_node_of_their_own(tmp_path: Path) -> None:
    plan = lab(tmp_path, "services: {web: {image: nginx}, db: {image: redis}}", "clients: db\n").rendered.plan
    assert [node.name for node in plan.nodes] == ["web", "db"]
    assert plan.clients == ("db",)
    assert [[service.name for service in node.services] for node in plan.nodes] == [["web"], ["db"]]


def test_replicas_are_a_group_and_share_the_name_of_the_service(tmp_path: Path) -> None:
    plan = lab(tmp_path, "services: {web: {image: nginx, deploy: {replicas: 3}}}").rendered.plan
    assert [node.name for node in plan.nodes] == ["web1", "web2", "web3", "clients"]
    assert {node.aliases for node in plan.nodes[:3]} == {("web",)}


def test_command_entrypoint_and_what_else_is_said_of_the_process(tmp_path: Path) -> None:
    compose = """
services:
  one: {image: a, command: redis-server --save '60 1', user: 999, working_dir: /data, restart: always}
  two: {image: a, entrypoint: [tini, --], command: [run, "{{ x }}"], restart: on-failure}
"""
    plan = lab(tmp_path, compose).rendered.plan
    one, two = plan.node("one").services[0], plan.node("two").services[0]
    assert (one.argv, one.arguments) == ((), ("redis-server", "--save", "60 1"))
    assert (one.user, one.directory, one.restart) == ("999", "/data", "always")
    assert (two.argv, two.arguments) == (("tini", "--", "run", "{{ x }}"), None), "nothing in it is a template"
    assert (two.user, two.directory, two.restart) == ("", "", "on-failure"), "user and directory are still the image's"


def test_dependencies_and_health_checks(tmp_path: Path) -> None:
    compose = """
services:
  db:
    image: a
    healthcheck: {test: pg_isready, interval: 10s, timeout: 3s}
  cache: {image: a, healthcheck: {disable: true}}
  app:
    image: a
    depends_on: {db: {condition: service_healthy}, cache: {condition: service_started}}
    healthcheck: {test: [CMD, curl, localhost], interval: 100ms}
"""
    plan = lab(tmp_path, compose).rendered.plan
    ready = plan.node("db").services[0].ready
    assert isinstance(ready, CommandCheck)
    assert ready.command == ("/bin/sh", "-c", "pg_isready")
    assert (float(ready.every), float(ready.timeout), ready.as_service) == (0.5, 3.0, True)
    assert plan.node("cache").services[0].health is False
    app = plan.node("app").services[0]
    assert app.needs == ("db", "cache")
    assert float(app.ready.every) == 0.1  # type: ignore[union-attr]


def test_networks_fixed_addresses_and_aliases(tmp_path: Path) -> None:
    compose = """
services:
  a: {image: x, networks: {front: {ipv4_address: 198.18.7.11, aliases: [shop]}, back: null}}
  b: {image: x, networks: [front]}
networks:
  front: {ipam: {config: [{subnet: 198.18.7.0/24}]}}
  back: {}
"""
    plan = lab(tmp_path, compose).rendered.plan
    first = plan.node("a").interfaces[0]
    assert (first.network, first.address) == ("front", "198.18.7.11")
    assert plan.node("a").aliases == ("shop",)
    others = [i.address for node in plan.nodes[1:] for i in node.interfaces if i.network == "front"]
    assert "198.18.7.11" not in others
    assert len(set(others)) == len(others)


def test_what_only_a_container_has(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    compose = """
services:
  a:
    image: x
    hostname: shop
    cap_add: [CAP_NET_ADMIN]
    cap_drop: [ALL]
    tmpfs: [/run, "/tmp:size=64m"]
    ulimits: {nofile: {soft: 10, hard: 20}, core: 0}
    sysctls: [net.core.somaxconn=128]
    mem_limit: 256m
    deploy: {resources: {limits: {cpus: "0.5", pids: 50}}}
    read_only: true
    volumes: ["./site:/site:ro", "data:/data", /anonymous, {type: tmpfs, target: /cache, tmpfs: {size: 1m}}]
volumes: {data: {}}
"""
    made = lab(tmp_path, compose).rendered.plan.node("a").container
    assert made is not None
    assert (made.hostname, made.cap_add, made.cap_drop, made.read_only) == ("shop", ("NET_ADMIN",), ("ALL",), True)
    assert made.tmpfs == {"/run": "", "/tmp": "size=64m", "/cache": "size=1048576"}
    assert {name: (u.soft, u.hard) for name, u in made.ulimits.items()} == {"nofile": (10, 20), "core": (0, 0)}
    assert (int(made.memory or 0), made.cpus, made.pids) == (256 << 20, 0.5, 50)
    assert [(b.source, b.target, b.read_only) for b in made.binds] == [(str(tmp_path / "site"), "/site", True)]
    assert [(v.name, v.target) for v in made.engine_volumes] == [("data", "/data"), ("", "/anonymous")]
    assert made.sysctls == {"net.core.somaxconn": "128"}


def test_the_lab_file_beside_it_has_the_last_word(tmp_path: Path) -> None:
    beside = """
name: shop
nodes:
  web: {volumes: {data: {mount: /data}}}
  app: {}
clients: app
roles: {serving: {http: "http://127.0.0.1/"}}
endpoints: {site: {kind: http, hosts: web, port: 80}}
"""
    loaded = lab(tmp_path, PLAIN, beside)
    spec = loaded.file.spec
    assert (spec.name, spec.backend, spec.clients) == ("shop", "docker", "app")
    assert spec.nodes["web"].volumes["data"].mount == "/data"
    assert spec.nodes["web"].image == "nginx"


def test_profiles_and_replicas_of_none_leave_services_out(tmp_path: Path) -> None:
    compose = "services: {a: {image: x}, b: {image: x, profiles: [debug]}, c: {image: x, scale: 0}}"
    assert [n.name for n in lab(tmp_path, compose).rendered.plan.nodes] == ["a", "clients"]
    (tmp_path / "lab.yaml").write_text("compose: {file: compose.yaml, profiles: [debug]}\n", encoding="utf-8")
    assert [n.name for n in load_lab(tmp_path).rendered.plan.nodes] == ["a", "b", "clients"]


def test_environment_comes_from_files_and_the_file_itself(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TAG=7\n", encoding="utf-8")
    (tmp_path / "app.env").write_text("# a comment\nexport A=from file # comment\nB=\"two ${TAG}\"\nC='$TAG'\n", encoding="utf-8")
    compose = "services: {a: {image: 'redis:${TAG}', env_file: app.env, environment: [A=own, PRICE=5$$]}}"
    node = lab(tmp_path, compose).rendered.plan.node("a")
    assert node.image == "redis:7"
    assert node.services[0].env == {"A": "own", "B": "two 7", "C": "$TAG", "PRICE": "5$"}


def test_it_runs_on_docker_only_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(CapabilityMissing, match="to run what the image starts by itself, as web"):
        check_lab(lab(tmp_path, PLAIN), Survey(backend="namespace", capabilities=()))


def test_a_lab_file_without_compose_runs_what_an_image_starts_too(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text(
        "name: x\nnodes: {db: {image: 'redis:7'}, app: {image: y}}\nclients: app\n", encoding="utf-8"
    )
    spec = load_lab(tmp_path).file.spec
    assert spec.services_of("db") == ("db",)
    assert spec.services["db"].command is None
    assert spec.services_of("app") == (), "clients run there"


EXPERIMENT = """\
title: x
lab: {compose: compose.yaml, endpoints: {site: {kind: http, hosts: web, port: 80}}}
clients: {v: {type: http, class: fresh, operation: get, rate: 1/s, deadline: 500ms, endpoint: site}}
method: [{inject: node.crash, target: {node: web}, at: 1s, for: 1s}]
"""


def test_a_compose_file_may_stand_in_the_experiment(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(PLAIN, encoding="utf-8")
    (tmp_path / "x.yaml").write_text(EXPERIMENT, encoding="utf-8")
    spec = load(tmp_path / "x.yaml").lab.file.spec
    assert spec.endpoints["site"].hosts == ("web",)
    (tmp_path / "x.yaml").write_text(EXPERIMENT.replace("hosts: web", "hosts: wbe"), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load(tmp_path / "x.yaml")
    assert "x.yaml:2:" in str(caught.value)
    assert "did you mean 'web'" in str(caught.value)
    (tmp_path / "x.yaml").write_text(EXPERIMENT.replace("compose: ", "path: "), encoding="utf-8")
    with pytest.raises(InputError, match="endpoints"):
        load(tmp_path / "x.yaml")


# -- what is refused ---------------------------------------------------------------------------------------------------------


def test_every_refusal_names_the_line_in_the_compose_file(tmp_path: Path) -> None:
    compose = """\
services:
  web:
    image: nginx
    imagee: x
    privileged: true
    network_mode: host
    depends_on: [dbb]
    networks: [frnt]
    volumes: ["dat:/data", "./nowhere:/x"]
  db: {image: x}
secrets: {}
"""
    said = refused(tmp_path, compose)
    for place, words in (
        ("compose.yaml:4:5", "did you mean 'image'"),
        ("compose.yaml:5:17", "nothing is privileged"),
        ("compose.yaml:6:5", "the lab's own switch"),
        ("compose.yaml:7:18", "did you mean 'db'"),
        ("compose.yaml:8:16", "no network of this name"),
        ("compose.yaml:9:15", "no volume of this name"),
        ("compose.yaml:9:28", "there is no such file or folder"),
        ("compose.yaml:11:1", "mount the file under"),
    ):
        assert place in said
        assert words in said


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ("{}", "neither an image nor a build"),
        ("{build: nowhere}", "there is no such folder"),
        ("{build: 'https://example.org/x.git'}", "nothing is fetched"),
        ("{image: x, scale: 100}", "1 to 64"),
        ("{image: x, scale: many}", "a whole number"),
        ("{image: x, cap_add: [ALL]}", "name the capabilities"),
        ("{image: x, restart: 'on-failure:3'}", "without a count"),
        ("{image: x, entrypoint: []}", "name a command"),
        ("{image: x, healthcheck: {test: [curl]}}", "CMD-SHELL"),
        ("{image: x, healthcheck: {test: y, interval: soon}}", "a duration"),
        ("{image: x, depends_on: {web: {condition: service_completed_successfully}}}", "not supported"),
        ("{image: '${NOT_SET_ANYWHERE}'}", "NOT_SET_ANYWHERE is not set"),
        ("{image: x, env_file: nowhere.env}", "there is no such file"),
        ("{image: x, ulimits: {nofile: {soft: 1}}}", "both soft and hard"),
        ("{image: x, volumes: ['a:b:c:d']}", "SOURCE:TARGET:MODE"),
        ("{image: x, deploy: {replicaz: 2}}", "did you mean 'replicas'"),
    ],
)
def test_a_mistake_in_a_service_is_told_with_what_is_right(tmp_path: Path, service: str, words: str) -> None:
    assert words in refused(tmp_path, f"services: {{web: {service}}}")


def test_a_file_that_is_not_there_or_has_no_services(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text("compose: compos.yaml\n", encoding="utf-8")
    with pytest.raises(InputError, match="no such Compose file"):
        load_lab(tmp_path)
    assert "has no services" in refused(tmp_path, "name: x\n")


def test_an_address_must_fit_its_network(tmp_path: Path) -> None:
    compose = (
        "services: {a: {image: x, networks: {n: {ipv4_address: 10.0.0.1}}}}\n"
        "networks: {n: {ipam: {config: [{subnet: 198.18.7.0/24}]}}}"
    )
    assert "does not lie in the network n (198.18.7.0/24)" in refused(tmp_path, compose)


# -- variables ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$A-$B", "one-"),
        ("${A}", "one"),
        ("${B:-x}", "x"),
        ("${B-x}", ""),
        ("${C-x}", "x"),
        ("${C:-${A}s}", "ones"),
        ("${A:+set}", "set"),
        ("${B:+set}", ""),
        ("${B+set}", "set"),
        ("${A:?why}", "one"),
        ("$$A", "$A"),
        ("cost: 5", "cost: 5"),
    ],
)
def test_variables(text: str, value: str) -> None:
    assert substituted(text, {"A": "one", "B": ""}) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${C}", "C is not set"),
        ("${B:?say it}", "say it"),
        ("${A", "never closed"),
        ("$ 5", "write $$"),
        ("${A!}", "not understood"),
    ],
)
def test_bad_variables(text: str, words: str) -> None:
    with pytest.raises(BadVariable, match=words.replace("$", r"\$")):
        substituted(text, {"A": "one", "B": ""})


def test_an_env_file_says_which_line_is_wrong() -> None:
    with pytest.raises(BadVariable, match="line 2"):
        env_file("A=1\nnot a line\n", {})
    assert env_file("A\nB=\n", {}) == {"A": None, "B": ""}


@given(st.text().filter(lambda text: "endraw" not in text and "\r" not in text and not text.startswith("\n")))
def test_a_literal_is_never_a_template(text: str) -> None:
    assert rendered(forms.literal(text), {}) == text


# -- the page ----------------------------------------------------------------------------------------------------------------


def test_the_page_names_every_key() -> None:
    page = (ROOT / "docs" / "docker.md").read_text(encoding="utf-8")
    for name in (
        *keys.UNDERSTOOD,
        *keys.IGNORED,
        *keys.REFUSED,
        *keys.UNDERSTOOD_OF_BUILD,
        *keys.IGNORED_AT_TOP,
        *keys.REFUSED_AT_TOP,
    ):
        assert f"`{name}`" in page, name
