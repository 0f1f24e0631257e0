"""What becomes of each frame of a shaped link, decided by chance from a seed. No I/O; standard library only."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypedDict

_TABLE_SCALE = 8192
_DEFAULT_QUEUE_BYTES = 64 << 10


class ShapeJson(TypedDict):
    """A link shape as it travels to the holder; `model.steps.LinkShape` says what the fields mean."""

    delay_s: float
    jitter_s: float
    loss_percent: float
    burst_frames: float
    duplicate_percent: float
    reorder_percent: float
    corrupt_percent: float
    rate_bits_per_s: float
    queue_bytes: int
    largest_bytes: int
    table: Sequence[int]
    """Distances from the mean delay that are equally likely, in jitters times 8192; empty: uniform."""


class Impairment:
    """One link's chances and its line. In the order of sch_netem: doubled, lost, held back; then the line's rate."""

    def __init__(self, shape: ShapeJson, seed: int | str) -> None:
        self._chance = random.Random(seed).random
        self._delay_ns = round(shape["delay_s"] * 1e9)
        self._jitter_ns = round(shape["jitter_s"] * 1e9)
        self._table = shape["table"]
        self._loss, self._duplicate = shape["loss_percent"] / 100, shape["duplicate_percent"] / 100
        self._reorder, self.corrupts = shape["reorder_percent"] / 100, shape["corrupt_percent"] / 100
        self._bad = False
        self._ends, self._begins = 1.0, 0.0
        if shape["burst_frames"] > 1 and self._loss < 1:
            self._ends = 1 / shape["burst_frames"]
            self._begins = min(1.0, self._ends * self._loss / (1 - self._loss))
        self._ns_per_byte = 8e9 / shape["rate_bits_per_s"] if shape["rate_bits_per_s"] else 0.0
        self._queue_bytes = shape["queue_bytes"] or _DEFAULT_QUEUE_BYTES
        self._line_free_ns = 0.0

    def fates(self, arrived_ns: int, size_bytes: int) -> list[int]:
        """The instants at which copies of a frame that arrived then are to be sent on; empty: it is lost."""
        copies = 1
        if self._duplicate and self._chance() < self._duplicate:
            copies = 2
        if self._loss and self._loses():
            copies -= 1
        fates = []
        for _ in range(copies):
            left_ns = self._through_the_line(arrived_ns, size_bytes)
            if left_ns is not None:
                fates.append(left_ns + self._held_ns())
        return fates

    def is_corrupted(self) -> bool:
        return self.corrupts > 0 and self._chance() < self.corrupts

    def bit(self) -> int:
        """A number to choose the inverted bit by."""
        return int(self._chance() * (1 << 30))

    def _loses(self) -> bool:
        if not self._begins:
            return self._chance() < self._loss
        if self._bad:
            self._bad = self._chance() >= self._ends
            return True
        self._bad = self._chance() < self._begins
        return False

    def _held_ns(self) -> int:
        if self._reorder and self._chance() < self._reorder:
            return 0
        if not self._jitter_ns:
            return self._delay_ns
        return max(0, self._delay_ns + round(self._scattered() * self._jitter_ns))

    def _scattered(self) -> float:
        """A distance from the mean, in jitters."""
        if not self._table:
            return 2 * self._chance() - 1
        return self._table[int(self._chance() * len(self._table))] / _TABLE_SCALE

    def _through_the_line(self, arrived_ns: int, size_bytes: int) -> int | None:
        """When the last bit is on the line, after those that wait before it; None where the queue is full."""
        if not self._ns_per_byte:
            return arrived_ns
        begins_ns = max(self._line_free_ns, arrived_ns)
        if (begins_ns - arrived_ns) / self._ns_per_byte + size_bytes > self._queue_bytes:
            return None
        self._line_free_ns = begins_ns + size_bytes * self._ns_per_byte
        return round(self._line_free_ns)
