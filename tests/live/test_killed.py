"""chaoskit is killed with SIGKILL at any moment, its lab's holder too: `chaoskit recover` leaves nothing behind."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chaoskit.engine.undo import journal_lines, open_debts
from tests.live.families import methods, words
from tests.live.shop import RELAY, Place, Running, until

pytestmark = pytest.mark.lab

MOMENTS = int(os.environ.get("CHAOSKIT_TEST_MOMENTS", "25"))
"""`make chaos` asks for more of them than `make test` has time for."""
AT_ONCE = 4
SEED = int(os.environ.get("CHAOSKIT_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)

SHORT: dict[str, Any] = {"baseline": "1s", "recovery": "2s"}
PROGRAMMABLE = {"lab": {"path": str(RELAY), "variant": "programmable"}}
"""For those who may: storage faults need root."""

ANCHORS = (
    ("", 1.5), ("building the lab", 1.0), ("building the lab", 1.0), ("nodes are up", 0.8), ("is ready", 2.0), ("is over", 0.6),
    ("injecting", 0.2), ("injecting", 0.5), ("its effect was seen", 0.5), ("healing", 0.2), ("healing", 0.8),
    ("not back in time", 0.5), ("are read back", 0.3), ("are read back", 1.0), ("the lab is gone", 1.0),
)  # fmt: skip
"""(what it has said, up to how many seconds later): moments that a uniform draw would seldom hit."""


@dataclass(frozen=True)
class Moment:
    """When, and whom."""

    number: int
    after: str
    then_s: float
    victims: str

    def __str__(self) -> str:
        when = f"{self.then_s:.3f} s after {self.after!r}" if self.after else f"{self.then_s:.3f} s after the start"
        return f"moment {self.number}: SIGKILL to {self.victims} {when}"


def moments(seed: int, count: int, length_s: float) -> Iterator[Moment]:
    """Some spread over the whole length of a run, some near what it does; most hit chaoskit, some its lab's holder, or both."""
    chance = random.Random(seed)
    spread = max(1, round(count * 0.4))
    for number in range(count):
        if number < spread:
            after, then_s = "", length_s * (number + chance.random()) / spread
        else:
            after, longest_s = ANCHORS[(number - spread) * len(ANCHORS) // (count - spread)]
            then_s = chance.uniform(0, longest_s)
        victims = "the holder" if number % 6 == 5 else "both" if number % 6 == 3 else "chaoskit"
        yield Moment(number, after, then_s, victims)


def strike(place: Place, run: Running, moment: Moment) -> None:
    if moment.after:
        run.says(moment.after)
    with suppress(AssertionError):
        until(lambda: run.process.poll() is not None, "", moment.then_s)
    holders = place.holders() if moment.victims != "chaoskit" else []
    for pid in holders if moment.victims == "the holder" else [run.pid, *holders]:
        with suppress(ProcessLookupError):
            if run.process.poll() is None or pid != run.pid:
                os.kill(pid, signal.SIGKILL)
    ended = run.end()
    if moment.victims == "the holder":
        assert ended.code in (0, 1, 3), ended  # 0 and 1 where there was none yet, or none any more
        assert "Traceback" not in ended.err, ended


def nothing_is_left(place: Place) -> None:
    """Recover, twice, and look."""
    done = place.chaoskit("recover")
    assert done.code == 0, done
    assert place.traces() == []
    again = place.chaoskit("recover")
    assert (again.code, again.out.splitlines()) == (
        0,
        ["nothing to recover: no dead run owes anything, and no orphaned lab is left"],
    )
    for directory in place.runs():
        assert open_debts(journal_lines(directory / "undo.jsonl")) == ()
        if not (directory / "plan.json").exists():
            continue
        assert (directory / "report.html").stat().st_size > 10_000, f"{directory} has no report\n{done}"
        result = json.loads((directory / "result.json").read_text())
        assert result["undo"]["dirty"] == []
        if result["incomplete"]:
            missed = [o for trial in result["trials"] for o in trial["objectives"] if o["met"] is False]
            # what was missed before it was killed stays missed; nothing else can be said of it
            assert result["verdict"] == ("failed" if missed else "unknown"), result["reasons"]
        else:
            last = json.loads((directory / "events.jsonl").read_text().splitlines()[-1])
            assert last["kind"] == "run.ended", "only a run whose recording was over may be judged as if nothing had happened"


def survive(root: Path, moment: Moment, short: dict[str, Any], **options: Any) -> str:
    """One moment in a place of its own; what was wrong, or an empty text."""
    place = Place(root / f"{moment.number}", **options)
    run = place.start("run", place.write(**short))
    try:
        strike(place, run, moment)
        nothing_is_left(place)
    except (AssertionError, OSError, ValueError) as error:
        return f"{moment}, with {words(short['method'])}: {type(error).__name__}: {error}\n--- it had said\n{run.err()}"
    finally:
        if run.process.poll() is None:
            run.kill()
            place.chaoskit("recover")
    return ""


def length_of_a_run(root: Path, short: dict[str, Any], **options: Any) -> float:
    place = Place(root / "whole", **options)
    began = time.monotonic()
    ended = place.chaoskit("run", place.write(**short))
    assert ended.code in (0, 1, 3), ended  # two seconds of recovery are too few to judge by: the length is what is wanted
    assert place.traces() == []
    return time.monotonic() - began


def all_moments(root: Path, count: int, short: dict[str, Any], drawn: Iterator[list[dict[str, Any]]], **options: Any) -> None:
    length_s = length_of_a_run(root, {**short, "method": next(drawn)}, **options)
    plans = [(moment, {**short, "method": next(drawn)}) for moment in moments(SEED, count, length_s)]
    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        failures = [text for text in pool.map(lambda one: survive(root, *one, **options), plans) if text]
    clean = count - len(failures)
    print(
        f"seed {SEED}: {clean} of {count} moments clean, in {time.monotonic() - began:.0f} s; a whole run takes {length_s:.1f} s"
    )
    assert clean == count, f"CHAOSKIT_TEST_SEED={SEED}: {clean} of {count} clean\n" + "\n\n".join(failures)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_any_moment(possible: str, tmp_path: Path) -> None:
    if possible:
        pytest.skip(possible)
    all_moments(tmp_path, MOMENTS, SHORT | (PROGRAMMABLE if os.geteuid() == 0 else {}), methods(SEED))


def test_the_search_for_traces_finds_what_is_there(place: Place) -> None:
    """The tests here would pass without it if it found nothing ever."""
    hang = {"inject": "process.hang", "target": {"node": "kv3"}, "with": {"process": {"service": "relay"}}}
    run = place.start("run", place.write(method=[hang | {"at": "500ms", "for": "5s"}], **SHORT))
    run.says("injecting process.hang")
    kinds = {trace.split(" ")[0] for trace in place.traces()}
    assert {"process", "file"} <= kinds
    if os.geteuid() == 0:
        assert {"loop", "cgroup"} <= kinds
    found = [pid for pid, _ in [(int(t.split()[1].rstrip(":")), t) for t in place.traces() if t.startswith("process")]]
    assert len(found) >= 10  # chaoskit, keeper, holder, 3 or 4 nodes, 2 or 3 services, 2 probes, the role watcher
    run.signal(signal.SIGTERM)
    assert run.end().code == 130
