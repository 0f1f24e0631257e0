"""How commands end: codes, streams, and what is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import click
import pytest
from click.testing import CliRunner

from chaoskit.model.errors import (
    Aborted,
    CapabilityMissing,
    ChaoskitError,
    HealFailed,
    InputError,
    Interrupted,
    LabUnavailable,
    Problem,
)
from chaoskit.surfaces.cli import cli, main
from chaoskit.surfaces.endings import BROKEN_PIPE, Surface
from tests.surfaces.shell import real


def group_that_raises(error: BaseException) -> Surface:
    @click.group(cls=Surface)
    @click.option("--debug", is_flag=True)
    def surface(debug: bool) -> None: ...

    @surface.command()
    @click.option("--json", "as_json", is_flag=True)
    def fail(as_json: bool) -> None:
        raise error

    return surface


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError([Problem(message="bad")]), 2),
        (CapabilityMissing("no"), 3),
        (LabUnavailable("no", "log"), 3),
        (Aborted("stop"), 3),
        (HealFailed("still broken"), 4),
        (Interrupted("healed"), 130),
        (KeyboardInterrupt(), 130),
        (click.UsageError("what?"), 2),
        (RuntimeError("surprise"), 3),
    ],
)
def test_codes_and_streams(error: BaseException, code: int) -> None:
    surface = group_that_raises(error)
    plain = CliRunner().invoke(surface, ["fail"])
    assert (plain.exit_code, plain.stdout) == (code, "")
    assert plain.stderr.strip()
    assert "Traceback" not in plain.stderr
    as_json = CliRunner().invoke(surface, ["fail", "--json"])
    assert (as_json.exit_code, as_json.stderr.strip()) == (code, "")
    assert json.loads(as_json.stdout)["error"]["exit_code"] == code


def test_evidence_is_in_the_json() -> None:
    result = CliRunner().invoke(group_that_raises(LabUnavailable("no lab", "the log")), ["fail", "--json"])
    assert json.loads(result.stdout)["error"]["evidence"] == "the log"


def test_a_surprise_says_what_to_do_and_shows_its_place_only_when_asked() -> None:
    surface = group_that_raises(RuntimeError("surprise"))
    plain = CliRunner().invoke(surface, ["fail"]).stderr
    assert plain.count("\n") == 1
    assert "RuntimeError: surprise" in plain
    assert "--debug" in plain
    assert "Traceback" in CliRunner().invoke(surface, ["--debug", "fail"]).stderr


def test_usage_errors_are_json_too() -> None:
    result = CliRunner().invoke(cli, ["validate", "--json", "--nonsense"])
    assert result.exit_code == 2
    assert "--nonsense" in json.loads(result.stdout)["error"]["message"]


def test_help_and_version() -> None:
    assert real("--help").returncode == 0
    assert "Exit codes" in real("--help").stdout
    assert real("--version").stdout.startswith("chaoskit")
    for command in ("validate", "plan", "schema", "faults", "clients", "doctor", "init"):
        result = CliRunner().invoke(cli, [command, "--help"])
        assert result.exit_code == 0
        assert "Usage" in result.stdout


def test_a_reader_that_goes_away_is_no_error_to_speak_of() -> None:
    read, write = os.pipe()
    os.close(read)
    process: Any = subprocess.run(
        [sys.executable, "-m", "chaoskit.surfaces.cli", "schema"], stdout=write, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(write)
    assert process.stderr == b""
    assert process.returncode == BROKEN_PIPE


def test_an_ascii_terminal_is_no_error() -> None:
    result = real("--help", PYTHONIOENCODING="ascii")
    assert result.returncode == 0, result.stderr


def test_every_error_of_the_tree_has_a_code_of_the_list() -> None:
    def tree(kind: type[ChaoskitError]) -> set[type[ChaoskitError]]:
        return {kind}.union(*(tree(k) for k in kind.__subclasses__()))

    assert {kind.exit_code for kind in tree(ChaoskitError)} <= {2, 3, 4, 130}


def test_main_is_the_entry_point() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
