"""HTTP/1.1 GET on bare sockets, for clients that need no TLS, no cookies and no proxy."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from chaoskit.clients.hosts import HostOrder
from chaoskit.clients.wire.attempt import WireAttempt
from chaoskit.model.history import Outcome

_HEAD_AT_MOST = 65536
_STATUS_BYTES = 12
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*(?=\r\n)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*(?=\r\n)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close[ \t]*(?=\r\n)", re.IGNORECASE)
_STATUS = re.compile(rb"HTTP/1\.([01]) (\d{3})")
_CLOSED_EARLY = "the server closed the connection before the answer was whole"

Judge = Callable[[WireAttempt, int, bytes, bytes], None]
"""(attempt, status, head, body): tells the attempt what became of it."""


def get_request(host_header: str, path: str, *, keep: bool) -> bytes:
    """The bytes of a GET."""
    ending = "" if keep else "Connection: close\r\n"
    text = f"GET {path} HTTP/1.1\r\nHost: {host_header}\r\nAccept: */*\r\nUser-Agent: chaoskit\r\n{ending}\r\n"
    return text.encode("ascii")


class HttpExchange:
    """A GET whose answer is read to its end."""

    def __init__(self, order: HostOrder, request: bytes, connect_limit_ns: int, kept: int, judge: Judge) -> None:
        self.order = order
        self.request = request
        self.connect_limit_ns = connect_limit_ns
        self.kept = kept
        self.late = kept == 0
        self._judge = judge
        self._last = _Head(b"", 0, None, chunked=False, keeps=False)

    def read(self, attempt: WireAttempt, data: bytes) -> bool | None:
        """See Exchange. A body without length or chunks ends with the connection."""
        received = attempt.received = attempt.received + data if attempt.received else data
        body_begins = received.find(b"\r\n\r\n") + 4
        if body_begins < 4:
            return _headless(attempt, received, ended=not data)
        begins = received[: body_begins - 2]
        head = self._last if begins == self._last.text else _head(begins)
        if head is None:
            return _headless(attempt, received, ended=not data)
        self._last = head
        if head.status < 200:  # an interim answer; the real one follows
            attempt.received = b""
            if rest := received[body_begins:]:
                return self.read(attempt, rest)
            return None if data else _broken(attempt, _CLOSED_EARLY)
        rest = received[body_begins:]
        if head.chunked:
            body, whole = _dechunked(rest)
        elif head.length is None:
            body, whole = rest, not data
        else:
            body, whole = rest[: head.length], len(rest) >= head.length
        if not whole:
            return None if data else _broken(attempt, _CLOSED_EARLY)
        self._judge(attempt, head.status, begins, body)
        return head.keeps and bool(data)


@dataclass(frozen=True, slots=True)
class _Head:
    """What a head says of the body. The head of one answer is often that of the next."""

    text: bytes
    status: int
    length: int | None
    chunked: bool
    keeps: bool


def _head(text: bytes) -> _Head | None:
    """None: it is none of HTTP/1."""
    begun = _STATUS.match(text)
    if begun is None:
        return None
    status = int(begun[2])
    length = _LENGTH.search(text)
    return _Head(
        text=text,
        status=status,
        length=0 if status in (204, 304) else int(length[1]) if length else None,
        chunked=status not in (204, 304) and _CHUNKED.search(text) is not None,
        keeps=begun[1] == b"1" and _CLOSE.search(text) is None,
    )


def _headless(attempt: WireAttempt, received: bytes, *, ended: bool) -> bool | None:
    """There is no whole head, or none of HTTP/1."""
    if len(received) >= _STATUS_BYTES and _STATUS.match(received) is None:
        return _broken(attempt, f"not an answer in HTTP/1.1: {received[:40]!r}", "app_error")
    if len(received) > _HEAD_AT_MOST:
        return _broken(attempt, "the head of the answer is longer than 64 KiB", "app_error")
    if b"\r\n\r\n" in received:
        return _broken(attempt, f"not an answer in HTTP/1.1: {received[:40]!r}", "app_error")
    return _broken(attempt, _CLOSED_EARLY) if ended else None


def _dechunked(rest: bytes) -> tuple[bytes, bool]:
    body, at = b"", 0
    while (line_ends := rest.find(b"\r\n", at)) >= 0:
        try:
            size = int(rest[at:line_ends].partition(b";")[0], 16)
        except ValueError:
            return body, False  # it never becomes whole: the connection's end or W decides
        if size == 0:
            return body, rest.find(b"\r\n\r\n", at) >= 0
        begins = line_ends + 2
        if len(rest) < begins + size + 2:
            break
        body, at = body + rest[begins : begins + size], begins + size + 2
    return body, False


def _broken(attempt: WireAttempt, words: str, outcome: Outcome = "reset") -> bool:
    attempt.tell(outcome, "info", words)
    return False


def header(head: bytes, name: str) -> str:
    """The value of a header; empty where there is none."""
    found = re.search(rb"\r\n" + re.escape(name.encode()) + rb":[ \t]*([^\r\n]*)", head, re.IGNORECASE)
    return found[1].decode("latin-1").strip() if found else ""
