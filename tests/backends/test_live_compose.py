"""A Compose file as a lab, on a real engine: what image and file say of a process holds for it, also after a power cycle."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskit.backends.docker import engine, images, leaving
from chaoskit.backends.docker.backend import DockerBackend
from chaoskit.backends.docker.lab import DockerLab
from chaoskit.backends.docker.survey import why_not
from chaoskit.engine.lab_loading import load_lab
from chaoskit.model.errors import LabUnavailable
from chaoskit.model.facts import ExecQuery, ServiceQuery
from chaoskit.model.steps import PowerOff, PowerOn

pytestmark = [pytest.mark.docker, pytest.mark.root]

COMPOSE = f"""
services:
  db:
    image: {images.BASE}
    command: [sh, -c, 'sleep 0.5; (id; pwd; ulimit -n; echo $$MODE) > /run/app/id; exec sleep 1000']
    user: "1234:4321"
    working_dir: /usr
    environment: [MODE=compose]
    ulimits: {{nofile: 512}}
    tmpfs: ["/run/app:mode=1777"]
    volumes: ["shared:/srv/shared"]
    hostname: database
    healthcheck: {{test: [CMD, test, -s, /run/app/id], interval: 1s}}
    networks: {{default: {{ipv4_address: 198.18.77.50}}}}
  app:
    image: {images.BASE}
    command: sh -c "getent hosts db store > /srv/shared/seen; exec sleep 1000"
    depends_on: {{db: {{condition: service_healthy}}}}
    read_only: true
    volumes: ["shared:/srv/shared"]
    networks: {{default: {{aliases: [store]}}}}
networks: {{default: {{ipam: {{config: [{{subnet: 198.18.77.0/24}}]}}}}}}
volumes: {{shared: {{}}}}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerLab]:
    if why := why_not():
        pytest.skip(why)
    found = engine.opened()
    there = images.has(found, images.BASE)
    found.close()
    if not there:
        pytest.skip(f"the engine has no {images.BASE}: chaoskit image base")
    folder, lab_id = tmp_path_factory.mktemp("compose"), f"test-compose-{os.getpid()}"
    before = os.environ.get("CHAOSKIT_STATE")
    os.environ["CHAOSKIT_STATE"] = str(folder / "state")
    (folder / "compose.yaml").write_text(COMPOSE, encoding="utf-8")
    (folder / "lab.yaml").write_text("compose: compose.yaml\n", encoding="utf-8")
    try:
        plan = load_lab(folder).rendered.plan
        made = DockerBackend().up(plan, lab_id, "run", folder / "logs", detached=False, progress=lambda _: None)
        yield made
        made.down()
        assert not leaving.labelled(lab_id=lab_id)
        assert not leaving.volumes(lab_id=lab_id)
    finally:
        os.environ.pop("CHAOSKIT_STATE")
        if before is not None:
            os.environ["CHAOSKIT_STATE"] = before


def said(lab: DockerLab, node: str, *argv: str) -> str:
    return str(lab.read(ExecQuery(node=node, argv=argv, timeout_s=5.0)).value)


def test_the_process_is_what_the_file_says(lab: DockerLab) -> None:
    who, where, descriptors, mode = said(lab, "db", "cat", "/run/app/id").splitlines()
    assert re.match(r"uid=1234 gid=4321", who)
    assert (where, descriptors, mode) == ("/usr", "512", "compose")
    assert said(lab, "db", "hostname").strip() == "database"


def test_who_depends_on_it_starts_once_it_is_healthy_and_shares_its_volume(lab: DockerLab) -> None:
    seen = said(lab, "db", "cat", "/srv/shared/seen")
    assert "198.18.77.50" in seen
    assert lab.plan.address("app") in seen, "an alias is a name"
    assert "Read-only" in said(lab, "app", "sh", "-c", "touch /x 2>&1")


def test_after_a_power_cycle_it_is_there_again(lab: DockerLab) -> None:
    mac = said(lab, "db", "cat", "/sys/class/net/eth0/address")
    lab.perform(PowerOff(node="db", silent=True, lose_unsynced=False))
    lab.perform(PowerOn(node="db"))
    assert said(lab, "db", "cat", "/sys/class/net/eth0/address") == mac
    assert said(lab, "db", "hostname", "-I").split() in ([], ["198.18.77.50"])
    deadline = time.monotonic() + 10.0
    while lab.read(ServiceQuery(node="db", service="db")).value != "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert lab.read(ServiceQuery(node="db", service="db")).value == "running"
    assert said(lab, "db", "sh", "-c", "ls /run/app") in ("", "id\n"), "memory is empty after a boot"


def test_an_image_that_is_nowhere_is_no_lab(lab: DockerLab, tmp_path: Path) -> None:
    compose = "services: {a: {image: 'localhost:1/none:1'}}"
    (tmp_path / "compose.yaml").write_text(compose, encoding="utf-8")
    (tmp_path / "lab.yaml").write_text("compose: compose.yaml\n", encoding="utf-8")
    plan = load_lab(tmp_path).rendered.plan
    with pytest.raises(LabUnavailable, match="is not here and cannot be pulled"):
        DockerBackend().up(plan, "test-none", "run", tmp_path, detached=False, progress=lambda _: None)
    assert "test-none" not in [left.lab_id for left in DockerBackend().leftovers()]
