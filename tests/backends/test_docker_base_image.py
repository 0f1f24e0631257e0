"""The base image where no registry is reached: what is done when, with a made-up engine and mmdebstrap; and once for real."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from chaoskit.backends.docker import base_image, engine
from chaoskit.backends.docker.base_image import base_ready
from chaoskit.backends.docker.engine import Engine
from chaoskit.backends.docker.images import BASE, has, made_ready
from chaoskit.model.errors import LabUnavailable
from tests.surfaces.shell import toy

from . import plans

errors = pytest.importorskip("docker.errors", reason="needs the Docker SDK: pip install 'chaoskit[docker]'")


class FakeApi:
    """An engine that knows images by name; what is put in counts as read, unless it is to go wrong."""

    def __init__(self, *there: str, breaks: str = "") -> None:
        self.there, self.breaks = set(there), breaks
        self.changes: list[str] = []

    def inspect_image(self, name: str) -> dict[str, Any]:
        if name not in self.there:
            raise errors.ImageNotFound(name)
        return {}

    def import_image(self, src: str, repository: str, tag: str, changes: list[str]) -> str:
        assert Path(src).read_text() == "an archive"
        if self.breaks:
            return json.dumps({"errorDetail": {"message": self.breaks}})
        self.there.add(f"{repository}:{tag}")
        self.changes = changes
        return "sha256:1"


class FakeClient:
    def __init__(self, api: FakeApi, registry: bool) -> None:
        self.api, self.images, self._registry, self.asked = api, self, registry, 0

    def build(self, **_: object) -> None:
        raise errors.APIError("no route to the registry")

    def pull(self, name: str, tag: str) -> None:
        self.asked += 1
        if not self._registry:
            raise errors.APIError("no route to the registry")
        self.api.there.add(f"{name}:{tag}")


def fake(*there: str, registry: bool = False, breaks: str = "") -> Engine:
    return Engine("", FakeClient(FakeApi(*there, breaks=breaks), registry))


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mmdebstrap that writes an archive, and its arguments into this file, one call a line."""
    said = tmp_path / "calls"
    program = tmp_path / "bin" / "mmdebstrap"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" >>{said}\n[ -z "$BREAKS" ] || {{ echo "E: $BREAKS" >&2; exit 25; }}\n'
        'for last; do :; done\nprintf "an archive" >"$last"\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("CHAOSKIT_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(base_image, "AUTHORITIES", tmp_path / "authorities")
    said.touch()
    return said


def made(calls: Path) -> int:
    return len(calls.read_text().splitlines())


def test_nothing_is_done_where_it_is_there(calls: Path) -> None:
    found = fake(BASE)
    assert base_ready(found, lambda _: None) == "there"
    assert (found.client.asked, made(calls)) == (0, 0)


def test_a_registry_comes_first(calls: Path) -> None:
    found = fake(registry=True)
    assert base_ready(found, lambda _: None) == "pulled"
    assert has(found, BASE)
    assert made(calls) == 0


def test_it_is_made_once_and_then_taken_from_the_archive(calls: Path) -> None:
    first, second = fake(), fake()
    assert base_ready(first, lambda _: None) == "made"
    assert 'CMD ["bash"]' in first.client.api.changes
    assert base_ready(second, lambda _: None) == "kept"
    assert has(second, BASE)
    assert made(calls) == 1
    assert "--variant=minbase" in calls.read_text()
    assert " bookworm " in calls.read_text()


def test_force_makes_it_anew_and_asks_no_registry(calls: Path) -> None:
    found = fake(BASE, registry=True)
    assert base_ready(found, lambda _: None, anew=True) == "made"
    assert base_ready(found, lambda _: None, anew=True) == "made"
    assert (found.client.asked, made(calls)) == (0, 2)


def test_an_old_archive_and_one_made_in_another_way_are_not_taken(calls: Path) -> None:
    base_ready(fake(), lambda _: None)
    (archive,) = (base_image.state_directory() / "images").glob("*.tar")
    weeks_ago = archive.stat().st_mtime - base_image.KEPT_FOR_S - 60
    os.utime(archive, (weeks_ago, weeks_ago))
    assert base_ready(fake(), lambda _: None) == "made"
    base_image.AUTHORITIES.mkdir()
    (base_image.AUTHORITIES / "ours.crt").write_text("an authority of this machine's owner")
    assert base_ready(fake(), lambda _: None) == "made"
    assert f"copy-in {base_image.AUTHORITIES}/ours.crt" in calls.read_text().splitlines()[-1]


def test_without_mmdebstrap_it_says_what_to_install(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(calls.parent / "nowhere"))
    with pytest.raises(LabUnavailable, match="apt-get install mmdebstrap") as refused:
        base_ready(fake(), lambda _: None)
    assert "no route to the registry" in str(refused.value)
    assert "chaoskit image base" not in str(refused.value), "that is what was called"
    with pytest.raises(LabUnavailable, match=r"^to make it takes mmdebstrap"):
        base_ready(fake(), lambda _: None, anew=True)


def test_what_mmdebstrap_says_is_told_and_nothing_is_left(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREAKS", "the mirror is not reached")
    with pytest.raises(LabUnavailable, match="exit code 25") as refused:
        base_ready(fake(), lambda _: None)
    assert "E: the mirror is not reached" in refused.value.evidence
    assert list((base_image.state_directory() / "images").glob("*.tar")) == []


def test_an_import_that_goes_wrong_is_told(calls: Path) -> None:
    with pytest.raises(LabUnavailable, match="could not be put into the engine") as refused:
        base_ready(fake(breaks="no space left on device"), lambda _: None)
    assert "no space left on device" in refused.value.evidence


def test_the_command_says_what_was_done(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = fake()
    monkeypatch.setattr(found.client, "close", lambda: None, raising=False)
    monkeypatch.setattr(engine, "opened", lambda: found)
    first, again, forced = (toy("image", "base", *words) for words in ((), (), ("--force",)))
    assert [r.exit_code for r in (first, again, forced)] == [0, 0, 0]
    assert first.stdout.splitlines()[-1] == f"{BASE} is made"
    assert again.stdout == f"{BASE} is there already; nothing was done (--force makes it anew)\n"
    assert forced.stdout.splitlines()[-1] == f"{BASE} is made"


def test_without_an_engine_the_command_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    refused = toy("image", "base")
    assert refused.exit_code == 3
    assert "no Docker engine answers" in refused.stderr


@pytest.mark.parametrize("there", [(), (BASE,)])
def test_a_build_that_fails_for_want_of_the_base_says_how_to_have_it(there: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {BASE}\nRUN false\n")
    plan = plans.plan(plans.node("a", 0).model_copy(update={"build": str(tmp_path)}))
    with pytest.raises(LabUnavailable, match="could not be built: no route to the registry") as refused:
        made_ready(fake(*there), plan, lambda _: None)
    assert ("`chaoskit image base` makes" in str(refused.value)) == (there == ())


@pytest.mark.docker
@pytest.mark.root
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("mmdebstrap") is None, reason="mmdebstrap is not installed: apt-get install mmdebstrap")
def test_what_mmdebstrap_makes_is_an_image_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a name of the test's own: the machine's image of that name stays as it is."""
    try:
        found = engine.opened()
    except LabUnavailable as error:
        pytest.skip(str(error))
    name = f"chaoskit-test-base:{os.getpid()}"
    monkeypatch.setattr(base_image, "BASE", name)
    try:
        assert base_ready(found, lambda _: None) in ("made", "kept")
        said = found.client.containers.run(
            name, ["sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME; ls /usr/share/man"], remove=True, network_mode="none"
        )
        assert said.decode().split() == ["bookworm"], "no manuals, as in Docker's image of that name"
        assert found.client.api.inspect_image(name)["Config"]["Cmd"] == ["bash"]
    finally:
        if has(found, name):
            found.client.api.remove_image(name)
        found.close()
