"""Whether a signal handler will return to a place: what a kernel leaves on a stack, and what is left over of it."""

from __future__ import annotations

import struct

import pytest

from chaoskit.backends.linux_host.tracing import Thread, frame_returns_into

STACK = 0x7F00_0000_1000
"""Where the thread's stack pointer is; the memory that is read begins there."""
CODE, DATA = 0x33, 0x2B
INSIDE = 0x7FFE_0000_0A10
SIZE = 64 << 10


def unsafe(at: int) -> bool:
    return at == INSIDE


def frame(instruction: int, handlers_stack: tuple[int, int] = (0, 0)) -> bytes:
    """struct ucontext of x86-64, as far as the segment registers. `handlers_stack`: where it begins, and its size; 0 for none."""
    first, size = handlers_stack
    stack = struct.pack("<QiiQ", first, 0 if size else 2, 0, size)  # SS_DISABLE where there is none
    registers = struct.pack("<18Q", *range(16), instruction, 0x246)
    return struct.pack("<QQ", 7, 0) + stack + registers + struct.pack("<HHHH", CODE, 0, 0, DATA)


def memory(*parts: tuple[int, bytes]) -> bytes:
    made = bytearray(SIZE)
    for at, data in parts:
        made[at : at + len(data)] = data
    return bytes(made)


@pytest.mark.parametrize(
    ("what", "stack", "returns"),
    [
        ("nothing at all", memory(), False),
        ("a handler runs that came from there", memory((0x200, frame(INSIDE))), True),
        ("it came from elsewhere", memory((0x200, frame(INSIDE + 8))), False),
        ("what is no stack's alignment", memory((0x204, frame(INSIDE))), False),
        ("a leftover below, then a frame", memory((0x200, frame(1)), (0x900, frame(INSIDE))), True),
        ("on the stack for handlers, which is in use", memory((0x200, frame(INSIDE, (STACK - 0x800, 0x8000)))), True),
        ("on another's stack for handlers", memory((0x5200, frame(INSIDE, (STACK + 0x4000, 0x4000)))), False),
        ("it has one, and this handler does without", memory((0x200, frame(INSIDE, (STACK + 0x4000, 0x4000)))), True),
        ("the end of one that lies lower", memory((0, frame(INSIDE)[64:])), False),
        ("cut off at the end of the memory", memory((SIZE - 100, frame(INSIDE)[:100])), False),
    ],
)
def test_frames_on_a_stack(what: str, stack: bytes, returns: bool) -> None:
    thread = Thread(1, 0, stack=STACK, code_segment=CODE, stack_segment=DATA)
    assert frame_returns_into(stack[:SIZE], thread, unsafe) is returns, what
