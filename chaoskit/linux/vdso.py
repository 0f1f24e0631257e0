"""The vDSO of a process, as bytes: its functions, a version of it whose wall clock is false, and what such a version says.

The vDSO is the small library that the kernel maps into every process; it tells the time without a system call. Pure and
standard library only; x86-64.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from hashlib import blake2b

from chaoskit.linux.clock_code import CODE, LABELS

FUNCTIONS = {"__vdso_clock_gettime": "clock_gettime", "__vdso_gettimeofday": "gettimeofday", "__vdso_time": "time"}
"""Function of the vDSO -> the label of what takes its place."""
MAGIC = CODE[:8]
NS = 1_000_000_000
_JUMP_BYTES = 5
_HEAD = struct.Struct("<8s8sqqq")
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_STRTAB, _DT_SYMTAB = 5, 6
_STT_FUNC = 2


class VdsoUnknown(ValueError):
    """This vDSO is not laid out as expected; the message says how."""


@dataclass(frozen=True)
class Shift:
    """How far a wall clock is off: `offset_ns`, and `rate_ppb` of the time that passed since `since_ns` (since 1970)."""

    mark: bytes
    """Eight bytes that tell whose shift it is."""
    offset_ns: int
    rate_ppb: int
    since_ns: int

    def now_ns(self, true_ns: int) -> int:
        """What a shifted clock shows when the true one shows `true_ns`; the drift is rounded towards zero."""
        drift = (true_ns - self.since_ns) * self.rate_ppb
        return true_ns + self.offset_ns + (abs(drift) // NS) * (1 if drift >= 0 else -1)


def mark_of(tag: str) -> bytes:
    return blake2b(tag.encode(), digest_size=8).digest()


def mapped(maps: str) -> tuple[int, int] | None:
    """[first, end) of the vDSO in /proc/PID/maps text; None where there is none."""
    match = re.search(r"^([0-9a-f]+)-([0-9a-f]+) .*\[vdso\]$", maps, re.MULTILINE)
    return (int(match[1], 16), int(match[2], 16)) if match else None


def functions(image: bytes) -> dict[str, tuple[int, int]]:
    """Name -> (offset, size) of each function the image exports. VdsoUnknown where it is no ELF image of x86-64."""
    if image[:6] != b"\x7fELF\x02\x01" or image[18:20] != b"\x3e\x00":
        raise VdsoUnknown("it is no x86-64 image (a 32-bit program?)")
    try:
        return _functions(image)
    except VdsoUnknown:
        raise
    except (struct.error, ValueError, OverflowError) as error:
        raise VdsoUnknown(f"its table of symbols cannot be read: {error}") from error


def _functions(image: bytes) -> dict[str, tuple[int, int]]:
    table, entry_bytes, entries = struct.unpack_from("<Q", image, 32)[0], *struct.unpack_from("<HH", image, 54)
    base, dynamic = 0, (0, 0)
    for at in range(table, table + entry_bytes * entries, entry_bytes):
        kind, _, offset, address, _, size = struct.unpack_from("<IIQQQQ", image, at)
        if kind == _PT_LOAD:
            base = address - offset
        elif kind == _PT_DYNAMIC:
            dynamic = (offset, size)
    tags = dict(struct.iter_unpack("<QQ", image[dynamic[0] : sum(dynamic)]))
    if not {_DT_STRTAB, _DT_SYMTAB} <= tags.keys():
        raise VdsoUnknown("it has no table of symbols")
    strings, symbols = tags[_DT_STRTAB] - base, tags[_DT_SYMTAB] - base
    found = {}
    for at in range(symbols, strings, 24):  # linkers put the names right behind the symbols
        name, info, _, _, value, size = struct.unpack_from("<IBBHQQ", image, at)
        if info & 0xF == _STT_FUNC:
            start = strings + name
            found[image[start : image.index(0, start)].decode("ascii")] = (value - base, size)
    return found


def place(image: bytes) -> int:
    """Where in a true image the code goes: the unused end of its last page, else the body of a function that is replaced."""
    free = (len(image.rstrip(b"\0")) + 31) & ~15
    if free + len(CODE) <= len(image):
        return free
    known = functions(image)
    for name in FUNCTIONS:
        offset, size = known.get(name, (0, 0))
        if size >= len(CODE) + 16:
            return offset + 16
    raise VdsoUnknown(f"it has no room for {len(CODE)} bytes: neither at its end nor in a function")


def shifted(image: bytes, shift: Shift) -> bytes:
    """The true image with a false wall clock. VdsoUnknown where that cannot be done."""
    known = functions(image)
    missing = [name for name in FUNCTIONS if known.get(name, (0, 0))[1] < _JUMP_BYTES]
    if missing:
        raise VdsoUnknown(f"it has no {', '.join(missing)}")
    at = place(image)
    made = bytearray(image)
    made[at : at + len(CODE)] = CODE
    _HEAD.pack_into(made, at, MAGIC, shift.mark, shift.offset_ns, shift.rate_ppb, shift.since_ns)
    for name, label in FUNCTIONS.items():
        start = known[name][0]
        made[start : start + _JUMP_BYTES] = b"\xe9" + struct.pack("<i", at + LABELS[label] - start - _JUMP_BYTES)
    return bytes(made)


def shift_in(image: bytes) -> Shift | None:
    """What a shifted image says; None where it is not shifted."""
    at = image.find(MAGIC)
    if at < 0 or at + _HEAD.size > len(image):
        return None
    _, mark, offset_ns, rate_ppb, since_ns = _HEAD.unpack_from(image, at)
    return Shift(mark, offset_ns, rate_ppb, since_ns)


def unsafe(image: bytes) -> tuple[tuple[int, int], ...]:
    """[first, end) offsets of a true image at which no thread may stand while it is shifted or made true again."""
    known = functions(image)
    at = place(image)
    starts = [known[name][0] for name in FUNCTIONS]
    return ((at, at + len(CODE)), *((start + 1, start + _JUMP_BYTES) for start in starts))  # at a start, either code is whole
