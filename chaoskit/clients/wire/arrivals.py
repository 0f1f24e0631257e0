"""When what is read from a connection had reached this machine, by the kernel's own stamp.

What carries its own instant need not be read at once: a thread that wakes for each answer as well as for each attempt wakes twice
as often, and what it reads late because it had to wait for a processor was still there in time.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time

_SO_TIMESTAMPNS = 35
"""The option, and the kind of message that carries a stamp; Python's socket module does not name it."""
_STAMP = struct.Struct("@ll")
CONTROL_BYTES = socket.CMSG_SPACE(_STAMP.size)

Control = list[tuple[int, int, bytes]]


def keep_stamping() -> socket.socket:
    """While this socket is open, the kernel stamps what comes.

    It begins with the first socket that asks and ends with the last one, and rewrites its own code each time, which costs
    more than a connection does.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ask_for_stamps(made)
    return made


def ask_for_stamps(made: socket.socket | socket.SocketType) -> None:
    """What is read from it carries stamps from now on, where the kernel has any."""
    with contextlib.suppress(OSError):  # what comes without a stamp is read at once
        made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


def arrived_ns(control: Control, not_before_ns: int) -> int | None:
    """CLOCK_MONOTONIC ns at which the last of what was just read arrived; None: it carries no stamp.

    Stamps are of the wall clock. How long ago one was is told by the wall clock now, and counted back from now: only a step
    of the wall clock between both could make it wrong, and never by more than from `not_before_ns` until now. A stall between
    looking at one clock and at the other makes it too late, as reading it later would.
    """
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) == _STAMP.size:
            seconds, ns = _STAMP.unpack(data)
            ago_ns: int = time.time_ns() - (seconds * 1_000_000_000 + ns)
            return max(not_before_ns, time.monotonic_ns() - max(0, ago_ns))
    return None
