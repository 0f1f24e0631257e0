"""The shipped labs' images: what their Dockerfiles say fits what the namespace backend runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from chaoskit.backends.docker.base_image import SUITE
from chaoskit.backends.docker.images import BASE
from chaoskit.engine.lab_loading import load_lab

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted(ROOT.glob("labs/*/*/Dockerfile"))


def locked() -> dict[str, str]:
    """Package -> its release, of what this environment was installed from."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)", text, re.MULTILINE))


def test_there_are_some() -> None:
    assert {file.parts[-3] for file in DOCKERFILES} >= {"patroni", "redis-sentinel"}
    assert SUITE in BASE


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda f: f.parts[-3])
def test_an_image_is_made_of_the_base_with_the_releases_of_the_lock(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert f"FROM {BASE}\n" in text
    pinned = dict(re.findall(r"([a-z0-9-]+)(?:\[[a-z0-9,]+\])?==([0-9.]+)", text))
    assert {name: locked()[name] for name in pinned} == pinned
    assert ("pip install" in text) == bool(pinned)


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda f: f.parts[-3])
def test_what_apt_installs_for_namespaces_is_in_the_image(file: Path) -> None:
    lab = ROOT / "labs" / file.parts[-3]
    packages = YAML(typ="safe").load((lab / "lab.yaml").read_text(encoding="utf-8")).get("image", {}).get("apt", [])
    assert set(packages) <= set(file.read_text(encoding="utf-8").split())


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda f: f.parts[-3])
def test_nothing_in_a_container_points_into_this_machine(file: Path) -> None:
    found = load_lab(ROOT / "labs" / file.parts[-3], backend="docker").rendered
    assert found.files_missing == ()
    for node in found.plan.nodes:
        for service in node.services:
            texts = [*service.argv, *(f.content for f in service.files), *service.env.values()]
            assert not [text for text in texts if str(ROOT) in text or "site-packages" in text], (node.name, service.name)
