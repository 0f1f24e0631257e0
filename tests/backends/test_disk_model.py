"""A programmable disk against rules anyone can follow: what is there after which orders, and when it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chaoskit.backends.linux_host.disk_model import BLOCK_BYTES, CACHE_BYTES, DiskModel, Failed

SIZE = 8 * BLOCK_BYTES


@dataclass
class Medium:
    """What survives everything."""

    content: bytearray = field(default_factory=lambda: bytearray(SIZE))
    writes: list[tuple[int, int]] = field(default_factory=list)

    def read(self, at: int, size: int) -> bytes:
        return bytes(self.content[at : at + size])

    def write(self, at: int, data: bytes) -> None:
        self.writes.append((at, len(data)))
        self.content[at : at + len(data)] = data


def disk() -> tuple[DiskModel, Medium]:
    medium = Medium()
    return DiskModel(medium.read, medium.write), medium


WRITE = st.tuples(st.just("write"), st.integers(0, SIZE - 1), st.binary(min_size=1, max_size=2 * BLOCK_BYTES + 7))
OTHER = st.tuples(st.sampled_from(["flush", "lie", "restore", "power", "read"]), st.just(0), st.just(b""))


@given(st.lists(WRITE | OTHER, max_size=25))
@example([("lie", 0, b""), ("flush", 0, b""), ("write", 0, b"\x01"), ("restore", 0, b"")])
@example([("write", 0, b"\x01"), ("lie", 0, b""), ("flush", 0, b""), ("write", 9, b"\x02"), ("restore", 0, b"")])
def test_it_holds_what_it_accepted_and_keeps_what_it_truly_flushed(orders: list[tuple[str, int, bytes]]) -> None:
    model, medium = disk()
    seen, durable, lying = bytearray(SIZE), bytearray(SIZE), False
    pending = promised = False
    for what, at, data in orders:
        if what == "write":
            data = data[: SIZE - at]
            model.write(at, data)
            seen[at : at + len(data)] = data
            pending = True
        elif what == "flush":
            model.flush()
            promised = promised or (lying and pending)  # a flush of nothing promises nothing
            pending = False
            if not lying:
                durable[:] = seen
        elif what == "lie":
            model.told({"do": "fail", "how": "lying"})
            lying = True
        elif what == "restore":
            model.told({"do": "restore"})
            if promised:
                durable[:] = seen
                pending = False
            lying = promised = False
        elif what == "power":
            model.told({"do": "power", "on": False})
            with pytest.raises(Failed):
                model.read(0, 1)
            model.told({"do": "power", "on": True})
            seen[:] = durable
            pending = promised = False
        assert model.read(0, SIZE) == seen
        assert medium.content == durable


def test_a_lie_is_counted_and_the_power_takes_what_it_promised() -> None:
    model, medium = disk()
    model.told({"do": "fail", "how": "lying"})
    model.write(0, b"x" * BLOCK_BYTES)
    model.flush()
    model.write(BLOCK_BYTES, b"y" * BLOCK_BYTES)
    report = model.told({"do": "power", "on": False})
    assert report["flushes_not_done"] == 1
    assert (report["lost_bytes"], report["lost_flushed_bytes"]) == (2 * BLOCK_BYTES, BLOCK_BYTES)
    assert not any(medium.content)


def test_neighbours_are_written_back_together() -> None:
    model, medium = disk()
    for block in (5, 1, 0, 4):
        model.write(block * BLOCK_BYTES, bytes([block + 1]) * BLOCK_BYTES)
    model.flush()
    assert medium.writes == [(0, 2 * BLOCK_BYTES), (4 * BLOCK_BYTES, 2 * BLOCK_BYTES)]


def test_an_honest_cache_has_an_end_and_a_liars_has_none() -> None:
    written: list[int] = []
    model = DiskModel(lambda at, size: bytes(size), lambda at, data: written.append(len(data)))
    model.write(0, bytes(CACHE_BYTES + BLOCK_BYTES))
    assert sum(written) == CACHE_BYTES + BLOCK_BYTES
    model.told({"do": "fail", "how": "lying"})
    model.write(0, bytes(CACHE_BYTES + BLOCK_BYTES))
    assert sum(written) == CACHE_BYTES + BLOCK_BYTES


@pytest.mark.parametrize("how", ["lost", "power_loss", "detach"])
def test_a_dead_disk_answers_nothing_until_it_is_restored(how: str) -> None:
    model, _ = disk()
    model.write(0, b"x")
    report = model.told({"do": "fail", "how": how})
    assert report["lost_bytes"] == (BLOCK_BYTES if how == "power_loss" else 0)
    for act in (lambda: model.read(0, 1), lambda: model.write(0, b"y"), model.flush):
        with pytest.raises(Failed):
            act()
    model.told({"do": "restore"})
    assert model.read(0, 1) == (b"\0" if how == "power_loss" else b"x")


@pytest.mark.parametrize(("reads", "writes"), [(True, False), (False, True), (True, True)])
def test_errors_hit_their_share_of_what_they_shall_hit_and_the_same_again(reads: bool, writes: bool) -> None:
    def errors(seed: int) -> tuple[list[bool], dict[str, Any]]:
        model, _ = disk()
        order = {"do": "fail", "how": "errors", "share": 0.25, "reads": reads, "writes": writes, "seed": seed}
        model.told(order)
        hits = []
        for number in range(4000):
            try:
                model.read(0, 1) if number % 2 else model.write(0, b"x")
                hits.append(False)
            except Failed:
                hits.append(True)
        return hits, model.told({"do": "report"})

    hits, report = errors(1)
    assert errors(1)[0] == hits
    assert errors(2)[0] != hits
    assert report["read_errors"] == pytest.approx(500 if reads else 0, abs=4 * (2000 * 0.25 * 0.75) ** 0.5)
    assert report["write_errors"] == pytest.approx(500 if writes else 0, abs=4 * (2000 * 0.25 * 0.75) ** 0.5)
    assert (report["read_errors"] > 0, report["write_errors"] > 0) == (reads, writes)


def test_latency_runs_side_by_side_and_limits_queue() -> None:
    model, _ = disk()
    model.told({"do": "fail", "how": "slow", "latency_s": 0.1})
    assert [model.due_s(10.0, 4096) for _ in range(3)] == [10.1, 10.1, 10.1]
    model.told({"do": "fail", "how": "slow", "iops": 4.0})
    assert [model.due_s(10.0, 4096) for _ in range(3)] == [10.25, 10.5, 10.75]
    assert model.due_s(20.0, 4096) == 20.25, "what it did not do before it cannot do twice as fast later"
    model.told({"do": "fail", "how": "slow", "bytes_per_s": 4096.0, "latency_s": 1.0})
    assert [model.due_s(0.0, 4096), model.due_s(0.0, 8192)] == [2.0, 4.0]
    model.told({"do": "restore"})
    assert model.due_s(5.0, 1 << 20) == 5.0


def test_an_order_it_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="no such order"):
        disk()[0].told({"do": "dance"})
