import asyncio
import gc
import os
import time

from chaoskit.agents.timers import TimerSelector, accurate_event_loop


def test_timers_never_fire_early_and_fire_in_order():
    fired: list[tuple[int, float, float]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        for number, delay in ((2, 0.0103), (0, 0.0002), (1, 0.0041), (3, 0.0207)):
            loop.call_at(start + delay, lambda number=number, delay=delay: fired.append((number, start + delay, loop.time())))
        await asyncio.sleep(0.05)

    with asyncio.Runner(loop_factory=accurate_event_loop) as runner:
        runner.run(main())
    assert [number for number, _, _ in fired] == [0, 1, 2, 3]
    assert all(now >= due for _, due, now in fired)


def test_an_idle_loop_sleeps_instead_of_spinning_on_an_old_timer():
    async def main() -> float:
        loop = asyncio.get_running_loop()
        loop.call_later(0.001, lambda: None)
        await asyncio.sleep(0.01)
        cpu = time.process_time()
        reader = loop.create_future()
        loop.call_later(0.3, reader.set_result, None)
        await reader
        return time.process_time() - cpu

    with asyncio.Runner(loop_factory=accurate_event_loop) as runner:
        assert runner.run(main()) < 0.1  # of 0.3 s: spinning would take all of it


def test_closing_gives_the_descriptors_back():
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        TimerSelector().close()
        accurate_event_loop().close()
    assert len(os.listdir("/proc/self/fd")) == before
