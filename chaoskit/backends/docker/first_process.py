"""The first process of every container of a lab: an x86-64 program of some 250 bytes that waits and lets the kernel reap.

It is mounted into the container, so nothing has to be installed in an image, and an image needs no shell. Services are started
beside it once the node's cables are there. SIGTERM and SIGINT end it, so that `docker stop` does.

The listing is the source: bytes on the left, what an assembler makes them of (Intel syntax) on the right.
"""

from __future__ import annotations

import struct

MACHINE = "x86_64"
PATH = "/.chaoskit-init"
"""Where it is seen in a container."""
LISTING = """
    b80d000000             mov eax, 13              rt_sigaction
    bf11000000             mov edi, 17              SIGCHLD
    488d3547000000         lea rsi, [rip+0x47]      ignored: the kernel reaps
    31d2                   xor edx, edx
    41ba08000000           mov r10d, 8
    0f05                   syscall
    b80e000000             mov eax, 14              rt_sigprocmask
    31ff                   xor edi, edi             SIG_BLOCK
    488d354f000000         lea rsi, [rip+0x4f]
    31d2                   xor edx, edx
    41ba08000000           mov r10d, 8
    0f05                   syscall
again:
    b880000000             mov eax, 128             rt_sigtimedwait
    488d3d39000000         lea rdi, [rip+0x39]
    31f6                   xor esi, esi
    31d2                   xor edx, edx
    41ba08000000           mov r10d, 8
    0f05                   syscall
    85c0                   test eax, eax
    78e4                   js again                 interrupted
    b8e7000000             mov eax, 231             exit_group
    31ff                   xor edi, edi
    0f05                   syscall
"""
_BASE = 0x400000
_HEADERS_BYTES = 64 + 56
_SIG_IGN, _SIGINT, _SIGTERM = 1, 2, 15


def program() -> bytes:
    """The whole file: ELF headers, the code above, then what it points to."""
    lines = [line.split() for line in LISTING.splitlines() if line.startswith("    ")]
    code = b"".join(bytes.fromhex(words[0]) for words in lines)
    action = struct.pack("<QQQQ", _SIG_IGN, 0, 0, 0)
    blocked = struct.pack("<Q", 1 << _SIGINT - 1 | 1 << _SIGTERM - 1)
    body = code + action + blocked
    size = _HEADERS_BYTES + len(body)
    head = b"\x7fELF" + bytes([2, 1, 1, 0]) + bytes(8)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, _BASE + _HEADERS_BYTES, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    head += struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return head + body
