"""What a programmable disk does with each operation: a write cache over a durable file, and the failure it is told to play.

No I/O of its own but through the two functions it is given, no clock but the instants it is handed. Standard library only.

An honest disk answers a write when it is in the cache and a flush when the cache is in the file. Power loss empties the cache.
A lying one answers the flush and keeps the cache: power then takes what it had acknowledged.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

BLOCK_BYTES = 4096
CACHE_BYTES = 32 << 20
"""An honest disk's cache holds so much; what is more goes to the file without being asked for, as in a real one."""
TAIL_BYTES = 1 << 20
"""So much larger than the volume is its disk: there a disk can be asked how it answers, and no file system minds."""

Json = dict[str, Any]


@dataclass
class Program:
    """How it fails. Nothing set: it works."""

    how: str = ""
    latency_s: float = 0.0
    iops: float = 0.0
    bytes_per_s: float = 0.0
    """0: no limit."""
    share: float = 0.0
    """Of operations that fail."""
    reads: bool = False
    writes: bool = False
    """Which operations fail by that share; flushes are writes."""
    chance: Callable[[], float] = lambda: 1.0

    @property
    def dead(self) -> bool:
        return self.how in ("lost", "power_loss", "detach")


@dataclass
class Counts:
    """Since the last program began."""

    reads: int = 0
    read_errors: int = 0
    writes: int = 0
    write_errors: int = 0
    flushes: int = 0
    flushes_not_done: int = 0
    """Acknowledged, and not done."""
    lost_bytes: int = 0
    """Gone with the power."""
    lost_flushed_bytes: int = 0
    """Those of them whose flush had been acknowledged."""


class Failed(OSError):
    """The operation ends with EIO."""

    def __init__(self) -> None:
        super().__init__(errno.EIO, "the disk answers with an error")


class DiskModel:
    """One disk. `read(offset, size)` and `write(offset, data)` act on its durable file."""

    def __init__(self, read: Callable[[int, int], bytes], write: Callable[[int, bytes], None]) -> None:
        self._read, self._write = read, write
        self._fresh: dict[int, bytes] = {}
        self._promised: dict[int, bytes] = {}
        """Block -> what a flush that was not done has acknowledged."""
        self.powered = True
        self.program = Program()
        self.counts = Counts()
        self._busy_until_s = 0.0

    @property
    def hangs(self) -> bool:
        return self.program.how == "hang" and self.powered

    # ---- operations

    def read(self, offset: int, size: int) -> bytes:
        """Failed where it does."""
        self.counts.reads += 1
        if not self._answers(self.program.reads):
            self.counts.read_errors += 1
            raise Failed
        return self._content(offset, size)

    def _content(self, offset: int, size: int) -> bytes:
        durable = self._read(offset, size)
        if not self._fresh and not self._promised:
            return durable.ljust(size, b"\0")
        content = bytearray(durable.ljust(size, b"\0"))
        for block in range(offset // BLOCK_BYTES, -(-(offset + size) // BLOCK_BYTES)):
            cached = self._fresh.get(block) or self._promised.get(block)
            if cached is not None:
                start = block * BLOCK_BYTES - offset
                low, high = max(start, 0), min(start + BLOCK_BYTES, size)
                content[low:high] = cached[low - start : high - start]
        return bytes(content)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Failed where it does."""
        self.counts.writes += 1
        if not self._answers(self.program.writes):
            self.counts.write_errors += 1
            raise Failed
        done = 0
        while done < len(data):
            block, within = divmod(offset + done, BLOCK_BYTES)
            part = data[done : done + BLOCK_BYTES - within]
            if len(part) == BLOCK_BYTES:
                self._fresh[block] = bytes(part)
            else:
                whole = bytearray(self._content(block * BLOCK_BYTES, BLOCK_BYTES))
                whole[within : within + len(part)] = part
                self._fresh[block] = bytes(whole)
            done += len(part)
        if self.program.how != "lying" and len(self._fresh) * BLOCK_BYTES > CACHE_BYTES:
            self._write_back()

    def flush(self) -> None:
        """Failed where it does."""
        self.counts.flushes += 1
        if not self._answers(self.program.writes):
            self.counts.write_errors += 1
            raise Failed
        if self.program.how == "lying":
            self.counts.flushes_not_done += 1
            self._promised |= self._fresh
            self._fresh.clear()
        else:
            self._write_back()

    def _answers(self, concerned: bool) -> bool:
        if not self.powered or self.program.dead:
            return False
        return not (self.program.how == "errors" and concerned and self.program.chance() < self.program.share)

    def _write_back(self) -> None:
        """Everything accepted goes to the durable file, neighbours together."""
        blocks = {**self._promised, **self._fresh}
        numbers = sorted(blocks)
        start = 0
        for at in range(1, len(numbers) + 1):
            if at == len(numbers) or numbers[at] != numbers[at - 1] + 1:
                self._write(numbers[start] * BLOCK_BYTES, b"".join(blocks[n] for n in numbers[start:at]))
                start = at
        self._promised.clear()
        self._fresh.clear()

    # ---- timing

    def due_s(self, now_s: float, size: int) -> float:
        """When an operation on so many bytes that arrives now is answered: limits one after the other, latency side by side."""
        cost_s = (1 / self.program.iops if self.program.iops else 0.0) + (
            size / self.program.bytes_per_s if self.program.bytes_per_s else 0.0
        )
        if cost_s:
            self._busy_until_s = max(now_s, self._busy_until_s) + cost_s
            now_s = self._busy_until_s
        return now_s + self.program.latency_s

    # ---- what it is told

    def told(self, order: Json) -> Json:
        """Carry out an order of the holder's, and report."""
        if order["do"] == "fail":
            self._fail(order)
        elif order["do"] == "restore":
            self._restore()
        elif order["do"] == "power":
            self.powered = order["on"]
            if not self.powered:
                self._lose_cache()
        elif order["do"] != "report":
            raise ValueError(f"no such order: {order['do']!r}")
        return {**vars(self.counts), "how": self.program.how, "unflushed_bytes": self._held_bytes()}

    def _held_bytes(self) -> int:
        return len(self._fresh.keys() | self._promised.keys()) * BLOCK_BYTES

    def _fail(self, order: Json) -> None:
        names = ("how", "latency_s", "iops", "bytes_per_s", "share", "reads", "writes")
        from random import Random  # late: it costs more than the rest of the holder's start

        self.program = Program(**{n: order[n] for n in names if n in order}, chance=Random(order.get("seed", 0)).random)
        self.counts = Counts()
        self._busy_until_s = 0.0
        if self.program.how == "power_loss":
            self._lose_cache()

    def _restore(self) -> None:
        """Honest and whole again: what it holds counts as accepted, and a liar makes its promises good."""
        self.program, self.powered = Program(), True
        self.counts = Counts()
        if self._promised:
            self._write_back()

    def _lose_cache(self) -> None:
        self.counts.lost_bytes += self._held_bytes()
        self.counts.lost_flushed_bytes += len(self._promised) * BLOCK_BYTES
        self._fresh.clear()
        self._promised.clear()
