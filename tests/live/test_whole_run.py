"""A whole run in a real lab, as people start it: what it says, where it says it, and that nothing stays behind."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.live.shop import ENDS_WITHIN_S, POWER_OFF, Place, until

pytestmark = pytest.mark.lab

QUICK = {"baseline": "1s", "recovery": "15s"}


def machine() -> dict[str, set[str]]:
    """What a lab might leave on the host itself."""
    links = {path.name for path in Path("/sys/class/net").iterdir()}
    named = {path.name for path in Path("/run/netns").iterdir()} if Path("/run/netns").is_dir() else set()
    rules: set[str] = set()
    if os.geteuid() == 0 and (nft := shutil.which("nft")):
        listed = subprocess.run([nft, "list", "tables"], capture_output=True, text=True, check=False)
        rules = {line for line in listed.stdout.splitlines() if "chaoskit" in line}
    return {"links": links, "network namespaces": named, "tables": rules}


@pytest.mark.xdist_group("machine")
def test_a_run_passes_and_leaves_the_machine_as_it_was(place: Place) -> None:
    before = machine()
    ended = place.chaoskit("run", place.write())
    assert ended.code == 0, ended
    assert place.traces() == []
    after = machine()
    new = {what: sorted(after[what] - before[what]) for what in before}
    assert not any(new.values()), f"{new} (or somebody else made them meanwhile)"
    result = place.result()
    assert result["verdict"] == "passed"
    (trial,) = result["trials"]
    rto = trial["clients"]["visitors"]["rto"]
    assert rto["low"] <= rto["point"] <= rto["high"]
    # nobody may take over before the lease of 0.6 s has run out, which is renewed every 0.25 s at the latest
    assert rto["high"] > 0.35, rto
    assert [f["verified"] and f["gone"] for f in trial["faults"]] == [True]
    assert result["undo"] == {"owed": 1, "paid": 1, "dirty": []}
    directory = place.run_directory()
    for name in ("report.html", "report.md", "junit.xml", "events.jsonl", "samples.sqlite", "experiment.yaml", "lab.yaml"):
        assert (directory / name).stat().st_size > 0
    assert [p.name for p in (directory / "spool").glob("*.sqlite")] == []
    assert not (directory / "owner.json").exists()
    assert "leads in term" in "".join(p.read_text() for p in (directory / "logs" / "0").glob("kv*/relay.log"))
    # to a pipe: plain lines, and the verdict only on stdout
    assert "\x1b" not in ended.out + ended.err
    assert ended.out.strip().startswith("PASSED")
    assert "injecting node.power_off on kv1" in ended.err
    same = {name: (directory / name).read_bytes() for name in ("result.json", "measures.json", "report.html")}
    assert place.chaoskit("report", directory.name).code == 0
    assert {name: (directory / name).read_bytes() for name in same} == same


def test_json_is_one_document_and_nothing_else(place: Place) -> None:
    ended = place.chaoskit("run", place.write(**QUICK), "--json")
    assert ended.code == 0, ended
    assert json.loads(ended.out)["verdict"] == "passed"
    assert ended.err == ""


def test_two_runs_at_once_do_not_meet(place: Place) -> None:
    file = place.write(**QUICK)
    runs = [place.start("run", file), place.start("run", file)]
    for run in runs:
        ended = run.end()
        assert ended.code == 0, ended
    assert len(place.runs()) == 2


def test_recover_leaves_a_run_alone_that_lives(place: Place) -> None:
    run = place.start("run", place.write(method=[POWER_OFF | {"for": "600s"}]))
    run.says("its effect was seen")
    beside = place.chaoskit("recover")
    assert beside.code == 0, beside
    assert "left alone: its chaoskit still runs" in beside.out, beside
    assert "removed" not in beside.out
    run.signal(signal.SIGTERM)
    ended = run.end()
    assert ended.code == 130, ended
    assert place.result()["undo"] == {"owed": 1, "paid": 1, "dirty": []}


def test_recover_beside_runs_that_start_never_sweeps_one(place: Place) -> None:
    """The moment in which a lab's directory is there and its record is not yet must not look like an orphan."""
    run = place.start("run", place.write(**QUICK))
    while "nodes are up" not in run.err() and run.process.poll() is None:
        beside = place.chaoskit("recover")
        assert beside.code == 0, beside
        assert "removed" not in beside.out, beside
    ended = run.end()
    assert ended.code == 0, ended


def on_a_terminal(place: Place, *words: str | Path, **variables: str) -> tuple[int, str]:
    """(exit code, everything that was shown) of a command on a terminal of 40 columns."""
    shown = bytearray()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update({**place.variables(), "COLUMNS": "40", "LINES": "24", **variables})
        os.chdir(place.root)
        argv = place.argv(*words)
        os.execvp(argv[0], argv)
    os.set_blocking(terminal, False)

    def ended() -> bool:
        try:
            shown.extend(os.read(terminal, 65536))
        except BlockingIOError:
            return False
        except OSError:  # the other side was closed
            return True
        return False

    until(ended, f"{words} on a terminal", ENDS_WITHIN_S)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), shown.decode("utf-8", "replace")


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({"TERM": "xterm-256color"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, None)],
)
def test_a_narrow_terminal(place: Place, variables: dict[str, str], coloured: bool | None) -> None:
    place.environment.pop("NO_COLOR", None)
    code, shown = on_a_terminal(place, "run", place.write(**QUICK), **variables)
    assert code == 0, shown
    assert "PASSED" in shown
    assert "Traceback" not in shown
    if coloured is None:
        assert "\x1b" not in shown
    else:
        assert bool(re.search(r"\x1b\[[0-9;]*3[0-7]", shown)) == coloured
        assert "visitors" in shown


def test_a_reader_that_goes_away_does_not_stop_the_run(place: Place) -> None:
    """`chaoskit run ... 2>&1 | head -1`: the fault is healed, and the record is whole."""
    reader, writer = os.pipe()
    process = subprocess.Popen(
        place.argv("run", place.write(**QUICK)), stdout=writer, stderr=writer, cwd=place.root, env=place.variables()
    )
    os.close(writer)
    until(lambda: b"building the lab" in os.read(reader, 4096), "its first words")
    os.close(reader)
    assert process.wait(ENDS_WITHIN_S) in (0, 141)
    assert place.result()["verdict"] == "passed"
