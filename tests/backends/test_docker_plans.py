"""What the Docker backend decides without an engine."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from chaoskit.backends.docker import engine, images, survey
from chaoskit.backends.docker.backend import DockerBackend
from chaoskit.backends.docker.first_process import LISTING, program
from chaoskit.model.capability import NETWORK_CUT
from chaoskit.model.errors import LabUnavailable
from chaoskit.model.lab import LabSpec, NodeGroup

from . import plans


@pytest.mark.skipif(shutil.which("as") is None or platform.machine() != "x86_64", reason="needs the assembler of binutils")
def test_the_first_process_is_what_an_assembler_makes_of_its_words(tmp_path: Path) -> None:
    words = [re.sub(r"^\s+[0-9a-f]+\s+", "", line).split("  ")[0] for line in LISTING.splitlines() if line]
    source, made, plain = tmp_path / "code.s", tmp_path / "code.o", tmp_path / "code"
    source.write_text("\n".join([".intel_syntax noprefix", ".text", *words, ""]), encoding="utf-8")
    subprocess.run(["as", str(source), "-o", str(made)], check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", str(made), str(plain)], check=True)
    code = plain.read_bytes()
    assert program()[120 : 120 + len(code)] == code


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the machine code is of x86-64")
def test_the_first_process_waits_until_it_is_told_to_end(tmp_path: Path) -> None:
    path = tmp_path / "init"
    path.write_bytes(program())
    path.chmod(0o755)
    running = subprocess.Popen([str(path)])
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(0.3)
        running.terminate()
        assert running.wait(5.0) == 0
    finally:
        running.kill()
        running.wait()


def test_an_engine_that_is_not_there_or_not_here_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("docker")
    monkeypatch.setattr("chaoskit.backends.docker.survey.os.geteuid", lambda: 0)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    found = DockerBackend().survey(LabSpec(name="scratch", nodes={"n": NodeGroup()}))
    assert not found.has(NETWORK_CUT)
    assert "no Docker engine answers" in found.reason(NETWORK_CUT) or "written for" in found.reason(NETWORK_CUT)
    far = engine.Engine("tcp://10.0.0.1:2376", None)
    assert "not on this machine" in engine.why_not_here(far)


def test_without_root_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaoskit.backends.docker.survey.os.geteuid", lambda: 1000)
    assert "root" in survey.why_not()


def test_a_node_has_the_image_it_names_or_builds_or_the_base() -> None:
    node = plans.node("a", 0)
    assert images.image_of(node) == images.BASE
    assert images.image_of(node.model_copy(update={"image": "redis:7"})) == "redis:7"
    built = images.image_of(node.model_copy(update={"build": "/srv/lab"}))
    assert built.startswith("chaoskit-built-")
    assert built != images.image_of(node.model_copy(update={"build": "/srv/other"}))


def test_a_build_folder_without_a_dockerfile_is_refused(tmp_path: Path) -> None:
    built = plans.plan(plans.node("a", 0).model_copy(update={"build": str(tmp_path)}))
    with pytest.raises(LabUnavailable, match="no Dockerfile"):
        images.made_ready(engine.Engine("", None), built, lambda _: None)
