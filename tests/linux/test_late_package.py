"""Packages are read in parts, and whole once somebody wants the whole."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from chaoskit.linux.late_package import read_in_parts, unread


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Its own code counts how often it ran, and fails where it is told to."""
    name = "of_a_late_package_test"
    (tmp_path / name / "inner").mkdir(parents=True)
    own = """
import os
if os.environ.get("FAILS"):
    raise RuntimeError("not now")
from .part import VALUE
RUNS = globals().get("RUNS", 0) + 1
"""
    (tmp_path / name / "__init__.py").write_text(own)
    (tmp_path / name / "part.py").write_text(f"from {name} import other\n\nVALUE = other.VALUE + 1\n")
    (tmp_path / name / "other.py").write_text("VALUE = 1\n")
    (tmp_path / name / "inner" / "__init__.py").write_text("from ..part import VALUE\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield name  # type: ignore[misc]
    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        del sys.modules[module]


def test_its_modules_are_read_without_it_and_it_once_something_is_wanted(package: str) -> None:
    read_in_parts(package)
    assert importlib.import_module(f"{package}.part").VALUE == 2
    assert importlib.import_module(f"{package}.inner").VALUE == 2
    whole = sys.modules[package]
    assert "RUNS" not in vars(whole)
    assert whole.RUNS == 1
    assert whole.part.VALUE == 2
    read_in_parts(package)
    assert sys.modules[package] is whole
    assert whole.RUNS == 1
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        whole.nothing  # noqa: B018


def test_one_that_fails_is_tried_again(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read_in_parts(package)
    monkeypatch.setenv("FAILS", "yes")
    with pytest.raises(RuntimeError, match="not now"):
        sys.modules[package].RUNS  # noqa: B018
    monkeypatch.delenv("FAILS")
    assert sys.modules[package].RUNS == 1


def test_what_nobody_uses_stays_unread_and_can_be_imported_as_ever(package: str) -> None:
    with unread(package):
        held = importlib.import_module(package)
    assert package not in sys.modules
    assert held.RUNS == 1, "it is read once it is used"
    assert sys.modules[package].RUNS == 1
    assert importlib.import_module(f"{package}.inner").VALUE == 2
    with unread(package):
        assert importlib.import_module(package).RUNS == 1, "one that is read already stays what it is"


def test_one_that_is_not_installed_is_as_it_was() -> None:
    read_in_parts("there_is_no_such_package")
    with unread("there_is_no_such_package"), pytest.raises(ModuleNotFoundError):
        importlib.import_module("there_is_no_such_package")


def test_the_libraries_work_for_others_as_ever() -> None:
    """In an interpreter of its own: what is read here by now depends on the tests before."""
    program = """
import sys
from chaoskit.linux import message_classes
from chaoskit.backends.docker import engine
message_classes.link(), message_classes.nft_table()
engine.warmed()
assert "pyroute2.ndb" not in sys.modules and "paramiko.client" not in sys.modules, "read, and nobody wanted it"
import docker.transport.sshconn
has_ssh = docker.transport.sshconn.paramiko.SSHClient
from pyroute2 import IPRoute, netns
import pyroute2.netlink, paramiko.client
assert pyroute2.netlink.nlmsg and pyroute2.NDB and pyroute2.__version__
assert paramiko.SSHClient is paramiko.client.SSHClient is has_ssh and paramiko.__version__
import docker.transport
assert docker.transport.SSHHTTPAdapter
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
