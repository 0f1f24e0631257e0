"""Commands whose lab is on another machine, which is made of lists here: what goes there, what is said, with which exit code."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from chaoskit.model.errors import LabUnavailable, OutOfReach
from chaoskit.ports.elsewhere import Ended, Errand, Hear, Unfinished
from chaoskit.ports.lab import Leftover
from chaoskit.surfaces.cli import cli
from chaoskit.surfaces.conducting import judged
from chaoskit.surfaces.elsewhere import handed_on, variables_for
from chaoskit.surfaces.installed import Installed
from tests.engine.toy import EXPERIMENT, ToyBackend, ToyRegistry, written

RECORDED = Path(__file__).parents[1] / "recorded" / "primary-power-off"


class Far:
    """Another machine, which answers each command by its first words."""

    where = "tcp://198.18.0.1:2376 (DOCKER_HOST)"

    def __init__(self) -> None:
        self.errands: list[Errand] = []
        self.answers: dict[str, tuple[int, str, str]] = {}
        """First words -> exit code, what it says on stdout, on stderr."""
        self.brings: Callable[[Errand], Ended | None] = lambda errand: None
        self.waiting: list[Unfinished] = []
        self.fetches: dict[str, Ended] = {}
        self.in_use, self.is_left = True, 0
        self.fails: Exception | None = None
        self.stays = ""

    def __enter__(self) -> Far:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def prepared(self) -> bool:
        return True

    def used(self) -> bool:
        if isinstance(self.fails, LabUnavailable):
            raise self.fails
        return self.in_use

    def ready(self, progress: Callable[[str], None]) -> None:
        if isinstance(self.fails, LabUnavailable):
            raise self.fails

    def carried_out(self, errand: Errand, hear: Hear, signals: Iterator[int]) -> Ended:
        if self.fails is not None:
            raise self.fails
        self.errands.append(errand)
        code, out, err = next(said for words, said in self.answers.items() if " ".join(errand.words).startswith(words))
        hear("err", err.encode())
        hear("out", out.encode())
        return self.brings(errand) or Ended(code=code)

    def unfinished(self) -> Sequence[Unfinished]:
        return self.waiting

    def fetched(self, left: Unfinished) -> Ended:
        return self.fetches[left.id]

    def recovered(self, left: Unfinished, hear: Hear, signals: Iterator[int]) -> Ended:
        code, out, _ = self.answers["recover"]
        hear("out", out.encode())
        return self.fetches[f"{left.id} recovered"].model_copy(update={"code": code})

    def left(self) -> str:
        self.is_left += 1
        return self.stays


class FarToy(ToyBackend):
    """Its labs are there."""

    machine: Far

    def elsewhere(self) -> Far:
        return self.machine

    def leftovers(self) -> Sequence[Leftover]:
        return ()


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Far:
    made = Far()
    monkeypatch.setattr(FarToy, "machine", made, raising=False)
    monkeypatch.chdir(tmp_path)
    return made


def toy(*words: str) -> Result:
    registry: Any = ToyRegistry()
    registry.groups["backends"] = {"toy": FarToy}
    return CliRunner().invoke(cli, list(words), obj=Installed(registry=registry))


@pytest.fixture(scope="module")
def run_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs") / "20260101-120000-a-run-0000"
    shutil.copytree(RECORDED, place)
    judged(place)
    return place


# ---- run


def test_a_run_goes_there_with_what_it_needs(
    far: Far, tmp_path: Path, run_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("CHAOSKIT_")]:
        monkeypatch.delenv(name)  # what the suite itself was started with would go along
    monkeypatch.setenv("CHAOSKIT_STATE", "/of/this/machine")
    monkeypatch.setenv("hold", "of the environment")
    monkeypatch.setenv("UNSAID", "stays here")

    def brought(errand: Errand) -> Ended:
        assert errand.reports is not None
        shutil.copytree(run_directory, errand.reports / run_directory.name)
        return Ended(code=0, brought=(errand.reports / run_directory.name,))

    far.answers["run"] = (0, "PASSED there\n", "   98.7s  building the lab\n   99.8s  the lab is gone\n")
    far.brings = brought
    ended = toy("run", str(written(tmp_path)), "--set", "hold=5s", "--repeat", "3", "--seed", "7", "--keep-lab")
    (errand,) = far.errands
    assert errand.words == (
        "run", str(tmp_path / "experiment.yaml"), "--seed", "7", "--set", "hold=5s", "--set", "repeat=3", "--keep-lab",
    )  # fmt: skip
    assert (errand.records, errand.folder, errand.reports) == ("run", tmp_path, tmp_path / "reports")
    assert {tmp_path, tmp_path / "lab"} == set(errand.places)
    assert errand.variables == {"hold": "of the environment"}
    assert "building the lab" in ended.stderr
    assert "98.7s" not in ended.stderr, "the time is told once"
    assert "PASSED there" not in ended.stdout, "the verdict is told here"
    assert f"report: reports/{run_directory.name}/report.html" in ended.stdout
    verdict = json.loads((run_directory / "result.json").read_text())["verdict"]
    assert (ended.exit_code, verdict.upper() in ended.stdout) == ({"passed": 0, "failed": 1, "unknown": 3}[verdict], True)
    assert (tmp_path / "reports" / "index.html").exists()
    assert far.is_left == 1


@pytest.mark.parametrize("code", [4, 130])
def test_the_exit_code_is_the_runs_there(far: Far, tmp_path: Path, run_directory: Path, code: int) -> None:
    far.answers["run"] = (code, "", "")
    far.brings = lambda errand: Ended(code=code, brought=(run_directory,))
    assert toy("run", str(written(tmp_path))).exit_code == code


def test_what_is_refused_there_is_told_once(far: Far, tmp_path: Path) -> None:
    far.answers["run"] = (3, "", "    0.1s  building the lab\nerror: the image x is not here\nand cannot be pulled\n")
    ended = toy("run", str(written(tmp_path)))
    assert ended.exit_code == 3
    assert ended.stderr.count("the image x is not here") == 1
    assert ended.stderr.endswith("error: the image x is not here\nand cannot be pulled\n")


def test_a_lost_connection_and_a_death_there_are_4(far: Far, tmp_path: Path) -> None:
    far.answers["run"] = (137, "", "")
    far.brings = lambda errand: Ended(code=137, died=("20260101-x",))
    ended = toy("run", str(written(tmp_path)))
    assert (ended.exit_code, "20260101-x: `chaoskit recover`" in ended.stderr) == (4, True)
    far.fails = OutOfReach("the engine has not answered for 45 s")
    lost = toy("run", str(written(tmp_path)))
    assert (lost.exit_code, "has not answered" in lost.stderr) == (4, True)
    assert far.is_left == 1, "nothing is taken away where nobody answers"


def test_input_is_checked_before_anything_is_sent(far: Far, tmp_path: Path) -> None:
    waits = EXPERIMENT.replace("    after: power\n", "    when: {any: [{file: GO}, {role: primary, held_by: nobody}]}\n")
    for text, words in ((EXPERIMENT.replace("title", "titel"), "did you mean"), (waits, "is not seen on the engine's machine")):
        ended = toy("run", str(written(tmp_path, text)))
        assert (ended.exit_code, words in ended.stderr) == (2, True), ended.stderr
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x").touch()
    full = toy("run", str(written(tmp_path)), "--out", "out")
    assert (full.exit_code, "is not empty" in full.stderr) == (2, True)
    unknown = toy("run", str(written(tmp_path)), "--against", "none")
    assert unknown.exit_code == 2
    assert far.errands == []


def test_plan_is_made_there(far: Far, tmp_path: Path) -> None:
    far.answers["plan"] = (3, "", "error: it lacks nftables\n")
    ended = toy("plan", str(written(tmp_path)), "--seed", "7")
    assert (ended.exit_code, ended.stderr) == (3, "error: it lacks nftables\n")
    assert far.errands[0].words == ("plan", str(tmp_path / "experiment.yaml"), "--seed", "7")


# ---- labs


def leftover(name: str, **changes: Any) -> dict[str, Any]:
    return {"backend": "docker", "lab_id": name, "run_id": "r", "what": [], "owner_alive": True, **changes}


def test_labs_there_are_listed_with_those_here(far: Far) -> None:
    far.answers["lab status"] = (0, json.dumps({"labs": [leftover("mine"), leftover("dead", owner_alive=False)]}), "")
    said = toy("lab", "status")
    assert (said.exit_code, [line.split()[0] for line in said.stdout.splitlines()]) == (0, ["lab", "mine", "dead"])
    far.in_use = False
    assert toy("lab", "status").stdout == "no lab is up\n"


def test_an_engine_that_does_not_answer_hides_nothing_of_this_machine(far: Far) -> None:
    far.fails = LabUnavailable("no Docker engine answers at tcp://198.18.0.1:2376")
    said = toy("lab", "status")
    assert (said.exit_code, said.stdout) == (3, "no lab is up\n")
    assert "the labs of another machine are not known: no Docker engine answers" in said.stderr
    healed = toy("recover")
    assert (healed.exit_code, "nothing more could be done: no Docker engine answers" in healed.stdout) == (3, True)
    as_json = json.loads(toy("recover", "--json").stdout)
    assert as_json == {"recovered": [], "trouble": "no Docker engine answers at tcp://198.18.0.1:2376"}


def test_what_is_asked_of_a_lab_there_is_answered_there(far: Far) -> None:
    far.answers["lab exec"] = (7, "hi\n", "")
    said = toy("lab", "exec", "mine", "db1", "--", "sh", "-c", "exit 7")
    assert (said.exit_code, said.stdout) == (7, "hi\n")
    assert far.errands[0].words == ("lab", "exec", "mine", "db1", "--", "sh", "-c", "exit 7")


def test_labs_there_are_ended_there_and_their_logs_fetched(far: Far) -> None:
    far.answers["lab status"] = (0, json.dumps({"labs": [leftover("mine")]}), "")
    far.answers["lab down"] = (0, json.dumps({"down": ["mine"], "remains": {"mine": []}}), "")
    far.waiting = [Unfinished(id="up", words=("lab", "up"), running=False, stays=True)]
    far.fetches["up"] = Ended(code=0)
    assert toy("lab", "down", "mine").stdout == "mine is gone\n"
    assert far.errands[-1].words == ("lab", "down", "--json", "--", "mine")
    wrong = toy("lab", "down", "mien")
    assert (wrong.exit_code, "did you mean 'mine'" in wrong.stderr) == (2, True)


def test_a_helper_that_stays_is_a_note_and_changes_no_code(far: Far) -> None:
    far.answers["lab exec"] = (7, "hi\n", "")
    far.stays = "the helper container stays: the engine is busy"
    said = toy("lab", "exec", "mine", "db1", "--", "true")
    assert (said.exit_code, said.stderr) == (7, "note: the helper container stays: the engine is busy\n")


# ---- recover


def test_recover_fetches_what_ended_and_leaves_what_runs(far: Far, tmp_path: Path, run_directory: Path) -> None:
    far.waiting = [
        Unfinished(id="runs", words=("run", "a.yaml"), running=True),
        Unfinished(id="lab", words=("lab", "up"), running=True, stays=True),
        Unfinished(id="ended", words=("run", "b.yaml"), running=False),
    ]
    far.fetches["ended"] = Ended(code=0, brought=(run_directory,))
    far.answers["recover"] = (0, '{"recovered": []}', "")
    said = toy("recover")
    assert said.exit_code == 0
    assert f"run a.yaml (on {far.where})\n  left alone: its chaoskit still runs there" in said.stdout
    assert f"{run_directory}: fetched from the engine's machine" in said.stdout
    assert "lab up" not in said.stdout, "a lab that is up is nobody's to recover"


def test_recover_heals_there_what_died_there(far: Far, run_directory: Path) -> None:
    far.waiting = [Unfinished(id="dead", words=("run", "a.yaml"), running=False)]
    far.fetches["dead"] = Ended(code=0, died=("20260101-x",))
    far.fetches["dead recovered"] = Ended(code=0, brought=(run_directory,))
    outcome = {"subject": "/state/elsewhere/dead/record/run", "healed": ["power on db1 in lab x"], "still_broken": []}
    far.answers["recover"] = (0, json.dumps({"recovered": [outcome]}), "")
    said = toy("recover", "--json")
    data = json.loads(said.stdout)
    assert (said.exit_code, data["fetched"], data["recovered"][0]["subject"]) == (0, [str(run_directory)], str(run_directory))
    outcome["still_broken"] = ["container x"]
    far.answers["recover"] = (4, json.dumps({"recovered": [outcome]}), "")
    assert toy("recover").exit_code == 4


# ---- variables and signals


def test_variables_go_along_that_the_files_name() -> None:
    environment = {
        "PGPASSWORD": "secret", "OTHER": "x", "HOME": "/home/me", "PATH": "/bin", "DOCKER_HOST": "tcp://x",
        "CHAOSKIT_STATE": "/s", "CHAOSKIT_REPORTS": "r", "LD_PRELOAD": "x.so",
    }  # fmt: skip
    text = "secrets: {p: {type: env, key: PGPASSWORD}}\nvolumes: ['${HOME}/x', $PATH, $DOCKER_HOST, $LD_PRELOAD, $CHAOSKIT_STATE]"
    assert variables_for([text], environment) == {"PGPASSWORD": "secret", "HOME": "/home/me", "CHAOSKIT_REPORTS": "r"}


def test_signals_are_noted_while_a_command_is_elsewhere() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)}
    with handed_on() as signals:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT):
            os.kill(os.getpid(), number)
        assert list(signals) == [signal.SIGTERM, signal.SIGINT, signal.SIGINT]
        assert list(signals) == [], "each is handed on once"
        os.kill(os.getpid(), signal.SIGUSR1)
        assert list(signals) == [signal.SIGUSR1]
    assert {number: signal.getsignal(number) for number in before} == before
