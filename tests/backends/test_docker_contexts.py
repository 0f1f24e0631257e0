"""Which engine is meant: the environment, contexts, TLS; nothing is connected to."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from chaoskit.backends.docker import contexts, engine
from chaoskit.model.errors import LabUnavailable

pytest.importorskip("docker")


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "docker"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder


def context(folder: Path, name: str, host: str) -> Path:
    """As `docker context create` leaves it; where its TLS files go."""
    number = hashlib.sha256(name.encode()).hexdigest()
    meta, tls = folder / "contexts" / "meta" / number, folder / "contexts" / "tls" / number / "docker"
    meta.mkdir(parents=True)
    said = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
    (meta / "meta.json").write_text(json.dumps(said), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"currentContext": name}), encoding="utf-8")
    return tls


def test_the_environment_goes_before_contexts(nothing_said: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context(nothing_said, "far", "tcp://198.18.0.1:2375")
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/mine.sock")
    assert contexts.meant().named == "unix:///run/mine.sock (DOCKER_HOST)"


def test_the_current_context_and_the_one_that_is_named(nothing_said: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context(nothing_said, "near", "unix:///run/near.sock")
    context(nothing_said, "far", "tcp://198.18.0.1:2375")
    assert (contexts.meant().url, contexts.meant().said_by) == ("tcp://198.18.0.1:2375", "the current context, far")
    monkeypatch.setenv("DOCKER_CONTEXT", "near")
    assert contexts.meant().url == "unix:///run/near.sock"
    monkeypatch.setenv("DOCKER_CONTEXT", "naer")
    with pytest.raises(LabUnavailable, match="did you mean 'near'"):
        contexts.meant()


def test_without_anything_it_is_the_socket_of_this_machine(nothing_said: Path) -> None:
    assert contexts.meant().url.endswith("/var/run/docker.sock")


def certificates(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", "1"]
    subprocess.run([*command, "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, capture_output=True)
    (folder / "ca.pem").write_bytes((folder / "cert.pem").read_bytes())


def test_tls_comes_from_the_environment_or_the_context(
    nothing_said: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = context(nothing_said, "far", "tcp://198.18.0.1:2376")
    certificates(tls)
    assert Path(contexts.meant().tls.ca_cert) == tls / "ca.pem"
    assert Path(contexts.meant("tcp://198.18.0.1:2376").tls.ca_cert) == tls / "ca.pem", (
        "also when it is found again by its address"
    )
    certificates(tmp_path / "certs")
    monkeypatch.setenv("DOCKER_HOST", "tcp://198.18.0.1:2376")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path / "certs"))
    assert Path(contexts.meant().tls.ca_cert) == tmp_path / "certs" / "ca.pem"


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("unix:///nowhere/docker.sock", r"no Docker engine answers at unix:///nowhere/docker.sock \(DOCKER_HOST\)"),
        ("tcp://127.0.0.1:1", "no Docker engine answers at tcp://127.0.0.1:1"),
        ("gopher://x", "no Docker engine answers at gopher://x"),
    ],
)
def test_an_engine_that_does_not_answer_is_told_with_who_named_it(host: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(LabUnavailable, match=words):
        engine.opened()
