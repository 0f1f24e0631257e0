"""Runs on a lab that stays, ended at any moment in every way: afterwards the lab is to the byte as it was before.

A lab that ends with its run takes every trace along; only one that stays shows whether healing puts back what was there. Each
run breaks some members at once, by faults of all families. `make chaos` asks for 100 moments of each way of ending.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.live.families import methods, words
from tests.live.shop import RELAY, Place, Running, until
from tests.live.test_killed import PROGRAMMABLE, SEED
from tests.prior_state import changes

pytestmark = [pytest.mark.lab, pytest.mark.slow]

MOMENTS = int(os.environ.get("CHAOSKIT_TEST_MOMENTS", "0"))
LABS = 5
SHORT: dict[str, Any] = {"baseline": "500ms", "recovery": "2s", "steady-state-hypothesis": None}
if os.geteuid() == 0:
    SHORT |= PROGRAMMABLE
ANCHORS = (
    ("", 6.0), ("using the lab", 1.0), ("is ready", 1.0), ("is over", 0.6), ("injecting", 0.2), ("injecting", 1.0),
    ("its effect was seen", 0.5), ("its effect was seen", 2.0), ("healing", 0.3), ("healing", 2.0), ("are read back", 0.5),
)  # fmt: skip
"""(what it has said, up to how many seconds later) it is ended."""
LAB = "standing"


def killed(run: Running) -> None:
    if run.process.poll() is None:
        os.kill(run.pid, signal.SIGKILL)
    run.end()


def terminated(run: Running) -> None:
    with suppress(ProcessLookupError):
        run.signal(signal.SIGTERM)
    ended_well(run)


def ended_well(run: Running) -> None:
    """By itself; or by the signal, as any program that has only just begun."""
    ended = run.end()
    assert ended.code in (0, 1, 3, 130) or (ended.code < 0 and "trial" not in ended.err), ended


def interrupted_twice(run: Running) -> None:
    for _ in range(2):
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGINT)
        time.sleep(0.2)
    ended_well(run)


def without_room(run: Running) -> None:
    """Its disk fills up, and stays full until it has ended."""
    out = Path(run.process.args[run.process.args.index("--out") + 1])  # type: ignore[index,union-attr,arg-type]
    with (out.parent / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(b"x" * 4096)
    ended = run.end()
    (out.parent / "filler").unlink()
    before_anything = (
        ended.code == 2 and "cannot be made: No space left on device" in ended.err and "nothing was started" in ended.err
    )
    assert ended.code in (0, 1, 3) or before_anything, ended


def one_moment(
    place: Place, before: dict[str, str], method: list[dict[str, Any]], after: str, then_s: float, end: Callable[[Running], None]
) -> str:
    """What was wrong, or an empty text."""
    out = ["--out", small(place) / f"run{len(place.started)}"] if end is without_room else []
    file = place.write(f"{len(place.started)}.yaml", method=method, **SHORT)
    run = place.start("run", file, "--on", LAB, *out, start_new_session=True)
    try:
        if after:
            run.says(after)
        with suppress(AssertionError):
            until(lambda: run.process.poll() is not None, "", then_s)
        end(run)
        if "Traceback" in run.err() and "trial" in run.err():
            return f"a traceback:\n{run.err()}"
        recovered = place.chaoskit("recover", *([small(place)] if out else []), place.reports.resolve())
        if recovered.code != 0:
            return f"recover: {recovered}\n--- the run had said\n{run.err()}"
        if end is not killed and "healed: " in recovered.out:
            return f"it ended without having healed: {recovered}\n--- the run had said\n{run.err()}"
        after_all = place.state_of(LAB)
        deadline = time.monotonic() + 10
        while changes(before, after_all) and time.monotonic() < deadline:  # a restarted service opens its files again
            after_all = place.state_of(LAB)
        if left := changes(before, after_all):
            return "not as before:\n" + "\n".join(left) + f"\n--- the run had said\n{run.err()}\n--- recover\n{recovered}"
    except (AssertionError, subprocess.SubprocessError, OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}\n--- the run had said\n{run.err()}"
    finally:
        if run.process.poll() is None:
            run.kill()
    return ""


def small(place: Place) -> Path:
    """Where a small disk is mounted: beside the place, because other labs' nodes see mounts of the time they were built."""
    return place.root.with_name(f"small-{place.root.name}")


@contextmanager
def standing(root: Path, number: int, *, with_small_disk: bool) -> Iterator[Place]:
    place = Place(root / f"{number}")
    place.reports.mkdir(exist_ok=True)
    variant = ["--variant", "programmable"] if os.geteuid() == 0 else []
    up = place.chaoskit("lab", "up", RELAY, "--name", LAB, *variant)
    assert up.code == 0, up
    if with_small_disk:
        small(place).mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(small(place))], check=True)
    try:
        yield place
    finally:
        if with_small_disk:
            subprocess.run(["umount", str(small(place))], check=True)
        down = place.chaoskit("lab", "down", LAB)
        assert down.code == 0, down


def all_moments(root: Path, count: int, end: Callable[[Running], None]) -> None:
    chance, drawn = random.Random(SEED), methods(SEED)
    plans = [(number, next(drawn), *ANCHORS[number % len(ANCHORS)]) for number in range(count)]
    waiting = [(number, method, after, chance.uniform(0, longest_s)) for number, method, after, longest_s in plans]
    failures: list[str] = []
    lock, began = threading.Lock(), time.monotonic()

    def work(worker: int) -> None:
        with standing(root, worker, with_small_disk=end is without_room) as place:
            before = place.state_of(LAB)  # and so after each moment, or the next would not begin
            while True:
                with lock:
                    if not waiting:
                        break
                    number, method, after, then_s = waiting.pop(0)
                what = f"moment {number}: {end.__name__} {then_s:.3f} s after {after or 'the start'!r}, with {words(method)}"
                if wrong := one_moment(place, before, method, after, then_s, end):
                    failures.append(f"{what}: {wrong}")
                    return  # this lab is not as it was: what came after would prove nothing
        assert place.traces() == []

    with ThreadPoolExecutor(LABS) as pool:
        for done in [pool.submit(work, worker) for worker in range(LABS)]:
            done.result()
    faults = {entry["inject"] for _, method, *_ in plans for entry in method}
    print(f"seed {SEED}: {count} moments, {end.__name__}, {len(faults)} faults, in {time.monotonic() - began:.0f} s")
    assert not failures, f"CHAOSKIT_TEST_SEED={SEED}: {len(failures)} moments were not clean\n" + "\n\n".join(failures)
    assert not waiting


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("end", "count"), [(killed, 20), (terminated, 5), (interrupted_twice, 5), (without_room, 5)])
def test_the_lab_is_as_it_was(possible: str, tmp_path: Path, end: Callable[[Running], None], count: int) -> None:
    if possible:
        pytest.skip(possible)
    if end is without_room and os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    all_moments(tmp_path, MOMENTS or count, end)
