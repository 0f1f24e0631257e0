"""What somebody meets who does not know chaoskit yet: help that fits, words mistyped, a narrow terminal, Ctrl-C at once."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from chaoskit.surfaces import doctor
from chaoskit.surfaces.cli import COMMANDS, cli
from chaoskit.surfaces.endings import first_sentence
from tests.archive.folders import own, write_run
from tests.engine.toy import written
from tests.surfaces.shell import on_terminal, toy


def plain(shown: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).replace("\r", "")


@pytest.mark.parametrize("width", [40, 60, 100])
def test_help_fits_and_is_whole(width: int) -> None:
    shown = plain(on_terminal("--help", width=width))
    assert max(len(line) for line in shown.split("\n")) <= width
    assert "..." not in shown.replace("[ARGS]...", ""), "no sentence is cut off"
    assert "Begin with `chaoskit doctor`" in " ".join(shown.split())
    assert "130  interrupted, after healing" in shown
    named = re.findall(r"^  ([a-z]+)(?:  |$)", shown.partition("Commands:")[2], re.MULTILINE)
    assert named == list(COMMANDS), "in the order in which one works"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_list_of_commands_says_what_the_help_of_each_says(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert (command.name, COMMANDS[name].says) == (name, first_sentence(command))


def test_help_reads_no_command() -> None:
    script = "import sys; from chaoskit.surfaces.cli import main\ntry: main(['--help'])\nfinally: print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    read = ended.stdout.split()
    assert not {"numpy", "jinja2", "docker", "scapy", *(deferred.module for deferred in COMMANDS.values())} & set(read)


def test_no_words_at_all_give_the_help() -> None:
    ended = CliRunner().invoke(cli, [])
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.startswith("Usage: ")
    assert ended.stderr.count("Usage:") == 1
    assert "error:" not in ended.stderr


@pytest.mark.parametrize(
    ("words", "close"),
    [
        (("history", "--verdict", "pased"), "passed"),
        (("schema", "experimnt"), "experiment"),
        (("lab", "stauts"), "status"),
        (("calibrate", "--kind", "refsue"), "refuse"),
        (("rnu",), "run"),
        (("run", "--bakend", "x", "y"), "--backend"),
    ],
)
def test_a_word_of_a_few_is_told_with_the_nearest(words: tuple[str, ...], close: str) -> None:
    ended = CliRunner().invoke(cli, words)
    assert ended.exit_code == 2
    assert f"Did you mean '{close}'" in ended.stderr
    if words[0] == "history":
        ended = CliRunner().invoke(cli, [*words, "--json"])
        assert f"Did you mean '{close}'" in json.loads(ended.stdout)["error"]["message"]


def test_a_folder_of_experiments_is_told_with_what_lies_in_it(tmp_path: Path) -> None:
    ended = toy("run", str(written(tmp_path).parent))
    assert ended.exit_code == 2
    assert "this is a directory" in ended.stderr
    assert "allowed: experiment.yaml" in ended.stderr


@pytest.mark.parametrize("words", [("lab", "status", "nope"), ("lab", "down", "nope"), ("lab", "exec", "nope", "db1", "true")])
def test_a_lab_that_is_not_up_is_told_with_what_to_do(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAOSKIT_STATE", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing")
    ended = CliRunner().invoke(cli, words)
    assert ended.exit_code == 2, ended.output
    assert "none is up (`chaoskit lab up LAB` builds one)" in ended.stderr


def test_a_folder_for_logs_that_cannot_be_made_is_told_before_a_lab_is_built(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "reports").write_text("a file")
    ended = toy("lab", "up", str(path.parent / "lab"), "--reports", str(tmp_path / "reports" / "inner"))
    assert ended.exit_code == 2, ended.output
    assert "--reports: the folder for the lab's logs cannot be made: Not a directory" in ended.stderr


@pytest.mark.parametrize("command", ["report", "measure"])
def test_a_run_of_another_version_is_told_as_that(command: str, tmp_path: Path) -> None:
    run = write_run(tmp_path, "old")
    ended = CliRunner().invoke(cli, [command, str(run)])
    assert ended.exit_code == 2
    assert "another version wrote it, or it is damaged" in ended.stderr
    assert "plan.json: experiment." in ended.stderr
    assert "pydantic" not in ended.stderr
    assert len(ended.stderr.splitlines()) < 12


def test_ctrl_c_while_modules_are_read_is_130_and_one_word() -> None:
    script = (
        "import sys\n"
        "class Impatient:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'chaoskit.surfaces.cli':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Impatient())\n"
        "from chaoskit.surfaces.entry import main\n"
        "main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "interrupted\n")


def test_the_entry_point_is_the_command_line() -> None:
    script = "import sys; sys.argv[1:] = ['--version']; from chaoskit.surfaces.entry import main; main()"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout[:8]) == (0, "chaoskit")


def test_recover_of_a_run_that_is_not_there_tells_the_nearest(tmp_path: Path) -> None:
    own(write_run(tmp_path, "20260901-primary"), alive=True)
    ended = CliRunner().invoke(cli, ["recover", "20260901-primry", "--reports", str(tmp_path)])
    assert ended.exit_code == 2
    assert "did you mean '20260901-primary'" in ended.stderr


def test_a_page_that_cannot_be_written_is_told_as_that(tmp_path: Path) -> None:
    write_run(tmp_path, "a")
    (tmp_path / "index.html").mkdir()
    ended = CliRunner().invoke(cli, ["history", "rebuild", "--reports", str(tmp_path)])
    assert ended.exit_code == 3
    assert ended.stderr.startswith("error: ")
    assert "index.html could not be written: Is a directory" in ended.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("faults",), "what it does: Delete a file of a node."),
        (("clients",), "operations: append, newest, read"),
        (("faults", "network.delay"), "meaning: "),
    ],
)
def test_a_table_that_does_not_fit_is_told_line_by_line(words: tuple[str, ...], expected: str) -> None:
    shown = plain(on_terminal(*words, width=40))
    assert max(len(line) for line in shown.split("\n")) <= 40
    assert expected in " ".join(shown.split())
    drawn = plain(on_terminal(*words, width=160))
    assert expected not in " ".join(drawn.split()), "a wide terminal gets the table"


def test_a_backend_that_lacks_everything_for_one_reason_says_it_once(capsys: pytest.CaptureFixture[str]) -> None:
    lacking = [{"name": f"c{i}", "present": False, "reason": "no engine answers"} for i in range(9)]
    mixed = [*lacking, {"name": "c9", "present": True, "reason": ""}]
    found: dict[str, Any] = {
        "chaoskit": "1", "python": "3", "executable": "python", "system": "Linux", "disks": [], "packages": [], "labs": [],
        "problems": [], "pdf": "", "backends": {"docker": {"mode": "", "error": "", "capabilities": lacking}},
    }  # fmt: skip
    doctor._say(found)
    assert capsys.readouterr().out.count("no engine answers") == 1
    found["backends"]["docker"]["capabilities"] = mixed
    doctor._say(found)
    assert capsys.readouterr().out.count("no engine answers") == 9
