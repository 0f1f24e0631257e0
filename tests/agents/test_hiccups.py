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
