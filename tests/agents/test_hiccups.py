from chaoskit.agents.hiccups import HiccupWatch


def test_only_serious_stalls_taint_and_only_what_they_overlap():
    noted: list[tuple[int, int]] = []
    watch = HiccupWatch(serious_ns=50, on_stall=lambda due, stall: noted.append((due, stall)))
    watch.close()
    noted.clear()
    watch.note(1000, 100)
    watch.note(500, 40)
    watch.note(5000, 51)
    assert noted == [(1000, 100), (500, 40), (5000, 51)]
    assert watch.stalled_between(900, 1000)
    assert watch.stalled_between(1100, 2000)
    assert watch.stalled_between(0, 9000)
    assert not watch.stalled_between(0, 999)
    assert not watch.stalled_between(1101, 4999)
