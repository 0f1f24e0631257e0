"""Machine code of a false clock: what the listing says, where it is put, and that it computes what is claimed."""

from __future__ import annotations

import os
import platform
import random
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from chaoskit.backends.linux_host import shifted_vdso, tracing
from chaoskit.linux import vdso
from chaoskit.linux.clock_code import CODE, LABELS, LISTING

x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the machine code is of x86-64")


def own_image() -> bytes:
    found = vdso.mapped(Path("/proc/self/maps").read_text(encoding="utf-8"))
    assert found is not None
    return tracing.memory(os.getpid(), found[0], found[1] - found[0])


@pytest.mark.skipif(shutil.which("as") is None or platform.machine() != "x86_64", reason="needs the assembler of binutils")
def test_the_bytes_of_the_listing_are_what_an_assembler_makes_of_its_words(tmp_path: Path) -> None:
    words = [re.sub(r"^\s+[0-9a-f]+\s+", "", line) for line in LISTING.strip().splitlines()]
    source, made, plain = tmp_path / "code.s", tmp_path / "code.o", tmp_path / "code"
    source.write_text("\n".join([".intel_syntax noprefix", ".text", *words, ""]), encoding="utf-8")
    subprocess.run(["as", str(source), "-o", str(made)], check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", str(made), str(plain)], check=True)
    assert plain.read_bytes() == CODE
    assert [LABELS[name] for name in ("magic", "tag", "offset_ns", "rate_ppb", "since_ns")] == [0, 8, 16, 24, 32]


@x86
def test_this_kernels_vdso_is_understood_and_little_of_it_changes() -> None:
    image = own_image()
    known = vdso.functions(image)
    assert set(vdso.FUNCTIONS) <= set(known)
    shift = vdso.Shift(vdso.mark_of("tag"), -5, 7, 11)
    made = vdso.shifted(image, shift)
    assert vdso.shift_in(made) == shift
    assert vdso.shift_in(image) is None
    changed = {at for at in range(len(image)) if image[at] != made[at]}
    starts = {known[name][0] for name in vdso.FUNCTIONS}
    assert changed <= {at for first, end in vdso.unsafe(image) for at in range(first, end)} | starts
    for start in starts:
        assert made[start] == 0xE9


@x86
def test_without_room_at_its_end_the_code_goes_into_a_function_that_is_replaced() -> None:
    image = own_image()
    full = image[: len(image.rstrip(b"\0"))] + b"\x90" * (len(image) - len(image.rstrip(b"\0")))
    offset, size = vdso.functions(full)["__vdso_clock_gettime"]
    at = vdso.place(full)
    assert offset + 5 <= at <= offset + size - len(CODE)
    shift = vdso.Shift(vdso.mark_of("tag"), 10**9, 0, 0)
    made = vdso.shifted(full, shift)
    assert vdso.shift_in(made) == shift
    low, felt, high = shifted_vdso._bracketed(shifted_vdso._Copy(made))
    assert low <= felt - 10**9 <= high


def test_what_is_no_such_image_is_refused() -> None:
    for image, why in (
        (b"\x7fELF\x01\x01" + bytes(4096), "no x86-64 image"),
        (b"\x7fELF\x02\x01" + bytes(12) + b"\xb7\0" + bytes(4096), "no x86-64 image"),
        (b"\x7fELF\x02\x01" + bytes(12) + b"\x3e\0" + bytes(4096), "table of symbols"),
        (b"\x7fELF\x02\x01" + bytes(12) + b"\x3e\0" + b"\xff" * 44, "cannot be read"),
    ):
        with pytest.raises(vdso.VdsoUnknown, match=why):
            vdso.functions(image)
    assert vdso.mapped("7f00-7f10 r-xp 00000000 00:00 0 [vvar]\n") is None


@x86
def test_the_code_computes_what_is_claimed_for_any_offset_and_rate() -> None:
    chance = random.Random(7)
    image = own_image()
    now = time.time_ns()
    cases = [(0, 0, now), (-1, 0, now), (30 * 365 * 86400 * 10**9, 10**10, now), (-30 * 365 * 86400 * 10**9, -9 * 10**8, now)]
    cases += [
        (
            chance.randint(-(10**18), 10**18),
            chance.choice([0, chance.randint(-9 * 10**8, 10**10)]),
            now - chance.randint(0, 10**14),
        )
        for _ in range(300)
    ]
    for offset_ns, rate_ppb, since_ns in cases:
        shift = vdso.Shift(bytes(8), offset_ns, rate_ppb, since_ns)
        copy = shifted_vdso._Copy(vdso.shifted(image, shift))
        for clock, resolution_ns in ((time.CLOCK_REALTIME, 0), (5, 20_000_000)):
            low = shift.now_ns(time.time_ns() - resolution_ns)
            felt = copy.gettime_ns(clock)
            assert low <= felt <= shift.now_ns(time.time_ns()), shift
            assert 0 <= copy._spec.nanoseconds < vdso.NS
        low = shift.now_ns(time.time_ns() // 1000 * 1000) // 1000
        assert low <= copy.gettimeofday_ns() // 1000 <= shift.now_ns(time.time_ns()) // 1000, shift
        low = shift.now_ns(time.time_ns() - 20_000_000) // vdso.NS
        assert low <= copy.time_s() <= shift.now_ns(time.time_ns()) // vdso.NS, shift
        for clock in (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC_RAW, 11):
            before = time.clock_gettime_ns(clock)
            assert before <= copy.gettime_ns(clock) <= time.clock_gettime_ns(clock), "every other clock stays true"
        with pytest.raises(shifted_vdso.Refused):
            copy.gettime_ns(4711)
        assert copy._gettime(0, None) != 0, "no place for the answer is an error, as in the kernel"


@x86
def test_time_is_also_written_where_it_is_asked_to_be() -> None:
    copy = shifted_vdso._Copy(vdso.shifted(own_image(), vdso.Shift(bytes(8), 5 * 10**9, 0, 0)))
    assert copy._time(copy._where) == copy._spec.seconds
