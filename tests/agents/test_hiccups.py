import time

from chaoskit.agents.hiccups import HiccupWatch


def test_only_serious_stalls_taint_and_only_what_they_overlap():
    noted: list[tuple[int, int]] = []
    watch = HiccupWatch(serious_ns=50, on_stall=lambda due, stall: noted.append((due, stall)))
    watch.close()
    noted.clear()
    later = time.monotonic_ns() + 10_000_000_000  # past anything the watch itself may have noticed on a busy machine
    watch.note(later + 1000, 100)
    watch.note(later + 500, 40)
    watch.note(later + 5000, 51)
    assert noted == [(later + 1000, 100), (later + 500, 40), (later + 5000, 51)]
    assert watch.stalled_between(later + 900, later + 1000)
    assert watch.stalled_between(later + 1100, later + 2000)
    assert watch.stalled_between(later, later + 9000)
    assert not watch.stalled_between(later, later + 999)
    assert not watch.stalled_between(later + 1101, later + 4999)


def test_beats_of_something_that_wakes_often_tell_of_stalls_and_let_the_thread_rest():
    told = []
    watch = HiccupWatch(10_000_000, lambda *seen: told.append(seen))
    until = time.monotonic_ns() + 200_000_000
    while (now := time.monotonic_ns()) < until:
        watch.beat(now, now)
        time.sleep(0.001)
    assert watch.seen_until_ns >= until - 20_000_000
    due = time.monotonic_ns() - 30_000_000
    watch.beat(due, due + 30_000_000)
    assert (due, 30_000_000) in told
    assert watch.stalled_between(due + 1_000_000, due + 2_000_000)
    assert not watch.stalled_between(due + 30_000_001, due + 31_000_000)
    time.sleep(0.05)
    assert watch.seen_until_ns > due + 30_000_000, "who no longer beats is relieved by the thread again"
    watch.close()
