"""A command in the helper, listened to: what it says as it says it, signals handed on, and the loss of the way there noticed."""

from __future__ import annotations

import queue
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import IO, Any

from chaoskit.backends.docker.engine import Engine, told
from chaoskit.model.errors import LabUnavailable, OutOfReach
from chaoskit.ports.elsewhere import Hear, Stream

PAUSE_S = 0.1
ASK_EVERY_S = 10.0
LOST_AFTER_S = 45.0
"""Without an answer the engine is out of reach: a stream alone may stay silent for ever."""
_HEADER = struct.Struct(">BxxxL")
"""Which stream, and how much of it follows."""
_PART_BYTES = 1 << 18
_STREAMS: dict[int, Stream] = {1: "out", 2: "err"}


class Listening:
    """One exec of the helper, from its start to its exit code."""

    def __init__(self, engine: Engine, exec_id: str, asking: Engine, pinged: Engine) -> None:
        self._engine, self._exec, self._asking, self._pinged = engine, exec_id, asking, pinged
        self._said: queue.SimpleQueue[tuple[Stream, bytes] | Exception | None] = queue.SimpleQueue()
        self._over = threading.Event()
        self._answered_s = time.monotonic()

    def ended(self, hear: Hear, signals: Iterator[int], hand_on: Callable[[int], bool]) -> int:
        """Listen until the command has ended; its exit code. OutOfReach where the engine is.

        `hand_on`: tell the command of a signal; False where there is none yet to be told.
        """
        for listen in (self._listen, self._ask):
            threading.Thread(target=listen, daemon=True).start()
        waiting: list[int] = []
        try:
            while True:
                waiting += list(signals)
                while waiting and hand_on(waiting[0]):
                    waiting.pop(0)
                try:
                    said = self._said.get(timeout=PAUSE_S)
                except queue.Empty:
                    if time.monotonic() - self._answered_s > LOST_AFTER_S:
                        raise OutOfReach(f"the engine has not answered for {LOST_AFTER_S:g} s") from None
                    continue
                if said is None:
                    return self._code()
                if isinstance(said, Exception):
                    raise OutOfReach(str(said)) from said
                hear(*said)
        finally:
            self._over.set()

    def _listen(self) -> None:
        try:
            with told("the connection to the engine was lost"):
                for part in frames(self._engine.client.api.exec_start(self._exec, socket=True)):
                    self._said.put(part)
            self._said.put(None)
        except Exception as error:  # noqa: BLE001 - whatever ends the stream is told where it is waited for
            self._said.put(error)

    def _ask(self) -> None:
        """Whether the engine is still there. A question may itself wait for ever: over ssh no answer has a deadline."""
        while not self._over.wait(ASK_EVERY_S):
            with suppress(LabUnavailable), told("the engine does not answer"):
                self._pinged.client.ping()
                self._answered_s = time.monotonic()

    def _code(self) -> int:
        try:
            with told("the engine does not say how the command ended"):
                seen: dict[str, Any] = self._asking.client.api.exec_inspect(self._exec)
        except LabUnavailable as error:
            raise OutOfReach(str(error)) from error
        if seen["Running"] or seen["ExitCode"] is None:
            raise OutOfReach("the engine ended the connection while the command ran")
        return int(seen["ExitCode"])


def send(connection: Any, given: IO[bytes]) -> None:
    """Write it to the standard input of an exec. Its end is not told by closing: TLS knows no half of a connection."""
    writer = connection if hasattr(connection, "sendall") else connection._sock
    while part := given.read(_PART_BYTES):
        writer.sendall(part)


def frames(connection: Any) -> Iterator[tuple[Stream, bytes]]:
    """What comes over the connection of an exec, as it comes.

    Not by the SDK's own reader: it waits for the socket before each part, although the rest of it may lie in the TLS layer
    already, and so tells each line once the next one comes.
    """
    reader = connection._response.raw._fp.fp
    while len(header := reader.read(_HEADER.size)) == _HEADER.size:
        stream, length = _HEADER.unpack(header)
        said = reader.read(length)
        if stream in _STREAMS and said:
            yield _STREAMS[stream], said
