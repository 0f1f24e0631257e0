"""The sockets of attempts: made, connected host by host, used, kept or closed. All of it in the sending thread."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections import deque
from collections.abc import Callable

from chaoskit.clients.failures import ConnectFailed, describe, most_telling, outcome_of
from chaoskit.clients.wire.arrivals import CONTROL_BYTES, arrived_ns, ask_for_stamps, keep_stamping
from chaoskit.clients.wire.attempt import Exchange, WireAttempt
from chaoskit.clients.wire.source_ports import SourcePorts

_KIND = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
_READ_BYTES = 65536
_LINGER_NS = 50_000_000
_NEVER_NS = 2**62
_OF_AN_END = (errno.ECONNRESET, errno.EPIPE)
"""What a connection may meet after its handshake; any other error is one of the handshake."""


class Connections:
    """What is open, by descriptor."""

    def __init__(
        self, exchange: Exchange, epoll: select.epoll, spacing_ns: int, ended: Callable[[WireAttempt, int | None], None]
    ) -> None:
        """`spacing_ns`: from one attempt to the next. `ended` is told of an attempt's end, and when that was if it is past."""
        self._exchange = exchange
        self._ports = SourcePorts(spacing_ns)
        self._epoll = epoll
        self._ended = ended
        self._open: dict[int, WireAttempt] = {}
        """An attempt, or the last one of a connection that is kept or lingers."""
        self._idle: dict[int, WireAttempt] = {}
        self._limits: deque[tuple[int, WireAttempt, socket.SocketType]] = deque()
        """Until when a host may take to be connected."""
        self._lingering: deque[tuple[int, int]] = deque()
        self._buffer = memoryview(bytearray(_READ_BYTES))
        self._into = (self._buffer,)
        self._stamping = keep_stamping()
        self._stamped = False
        """The last answer said itself when it had arrived."""

    def may_wait(self) -> bool:
        """Whether all that is waited for can be left unread for a while: it says itself since when it is there."""
        return self._stamped and not self._limits

    def begin(self, attempts: list[WireAttempt]) -> None:
        """Send them: on kept connections where there are any, with nothing done in between, then on new ones."""
        on_kept = attempts[: len(self._idle)]
        for attempt in on_kept:
            descriptor, last = self._idle.popitem()
            attempt.sock, attempt.fd, attempt.host = last.sock, descriptor, last.host
            self._open[descriptor] = attempt
        for attempt in on_kept:
            attempt.t_send = time.monotonic_ns()
            self._request(attempt)
        for attempt in attempts[len(on_kept) :]:
            attempt.t_send = time.monotonic_ns()
            attempt.hosts = iter(self._exchange.order)
            self._next_host(attempt)

    def ready(self, descriptor: int, events: int) -> None:
        """What epoll said."""
        attempt = self._open.get(descriptor)
        if attempt is None:
            if descriptor in self._idle:  # closed by the server while nobody used it
                self._close(self._idle.pop(descriptor))
        elif attempt.connecting:
            self._connect_ended(attempt)
        else:
            self._read(attempt)

    def drop(self, attempt: WireAttempt) -> None:
        """Close its connection: nobody waits for an answer any more."""
        if attempt.sock is not None:
            self._open.pop(attempt.fd, None)
            self._close(attempt)

    def end_limits(self, now: int) -> int:
        """Leave hosts that took too long to be connected, and close what lingered; when to come again."""
        limits, lingering = self._limits, self._lingering
        while limits and (limits[0][0] <= now or not _is_connecting(limits[0])):
            limit = limits.popleft()
            if _is_connecting(limit):
                self._host_failed(limit[1], ConnectFailed("timeout", f"not connected within {self._limit_text()}"))
        while lingering and (lingering[0][0] <= now or lingering[0][1] not in self._open):
            _, descriptor = lingering.popleft()
            if (attempt := self._open.pop(descriptor, None)) is not None:
                self._close(attempt)
        wake_ns = limits[0][0] if limits else _NEVER_NS
        return min(wake_ns, lingering[0][0]) if lingering else wake_ns

    def quiet(self) -> bool:
        """Whether nothing is closing any more."""
        return not self._lingering

    def close(self) -> None:
        """Everything."""
        for attempt in (*self._open.values(), *self._idle.values()):
            self._close(attempt)
        self._open.clear()
        self._idle.clear()
        self._stamping.close()

    def _next_host(self, attempt: WireAttempt) -> None:
        assert attempt.hosts is not None
        host = next(attempt.hosts, None)
        if host is None:
            failed = most_telling(list(attempt.failures))
            attempt.tell(failed.outcome, "fail", failed.text)
            self._ended(attempt, None)
            return
        attempt.host = host
        try:
            made = socket.SocketType(socket.AF_INET6 if ":" in host.address else socket.AF_INET, _KIND)
        except OSError as error:
            self._host_failed(attempt, ConnectFailed(outcome_of(error), describe(error)))
            return
        if self._exchange.request:
            ask_for_stamps(made)
        self._ports.take(made)
        code = made.connect_ex((host.address, host.port))
        if code == errno.EADDRNOTAVAIL and self._ports.take_any(made):
            code = made.connect_ex((host.address, host.port))
        attempt.sock, attempt.fd = made, made.fileno()
        if code == 0:
            self._connected(attempt)
        elif code != errno.EINPROGRESS:
            self._host_failed(attempt, _refused(code))
        elif not (self._exchange.request and self._sent_at_once(attempt, made)):
            attempt.connecting = True
            self._open[attempt.fd] = attempt
            self._epoll.register(attempt.fd, select.EPOLLOUT)
            self._limits.append((time.monotonic_ns() + self._exchange.connect_limit_ns, attempt, made))

    def _sent_at_once(self, attempt: WireAttempt, made: socket.SocketType) -> bool:
        """Whether the attempt needs no wait for its handshake. Within one machine it is often over when connect returns."""
        now = time.monotonic_ns()
        try:
            made.send(self._exchange.request)  # a socket that is not connected yet takes nothing
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _OF_AN_END:  # it was connected, and what the server knows of the request is not known
                attempt.t_connected, attempt.sent = now, True
                self._broken(attempt, error)
            else:
                self._host_failed(attempt, _refused(error.errno or 0))
            return True
        attempt.t_connected, attempt.sent = now, True
        self._open[attempt.fd] = attempt
        self._epoll.register(attempt.fd, select.EPOLLIN)
        return True

    def _connect_ended(self, attempt: WireAttempt) -> None:
        assert attempt.sock is not None
        code = attempt.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._host_failed(attempt, _refused(code))
            return
        attempt.connecting = False
        self._connected(attempt)

    def _host_failed(self, attempt: WireAttempt, failed: ConnectFailed) -> None:
        assert attempt.host is not None
        if attempt.sock is not None:
            self._open.pop(attempt.fd, None)
            self._close(attempt)
        attempt.connecting = False
        attempt.failures = (*attempt.failures, (attempt.host.node, failed))
        self._next_host(attempt)

    def _connected(self, attempt: WireAttempt) -> None:
        attempt.t_connected = time.monotonic_ns()
        watched = attempt.fd in self._open
        self._open[attempt.fd] = attempt
        if watched:
            self._epoll.modify(attempt.fd, select.EPOLLIN)
        if self._exchange.request:
            self._request(attempt)
            if not watched and attempt.fd in self._open:
                self._epoll.register(attempt.fd, select.EPOLLIN)
            return
        if not watched:
            self._epoll.register(attempt.fd, select.EPOLLIN)
        self._shaken(attempt)

    def _shaken(self, attempt: WireAttempt) -> None:
        """The handshake was all: FIN, and read until the server's own (a close with unread data would send a reset)."""
        assert attempt.sock is not None
        assert attempt.host is not None
        attempt.answered_by = attempt.host.node
        self._exchange.order.served(attempt.host)
        self._ended(attempt, None)
        try:
            attempt.sock.shutdown(socket.SHUT_WR)
        except OSError:  # the server was quicker; the handshake counted
            self._open.pop(attempt.fd, None)
            self._close(attempt)
            return
        self._lingering.append((time.monotonic_ns() + _LINGER_NS, attempt.fd))

    def _request(self, attempt: WireAttempt) -> None:
        assert attempt.sock is not None
        attempt.sent = True
        try:
            # Far smaller than any send buffer, which is empty: it goes whole or not at all.
            attempt.sock.send(self._exchange.request)
        except OSError as error:
            self._broken(attempt, error)

    def _read(self, attempt: WireAttempt) -> None:
        assert attempt.sock is not None
        try:
            size, control, _, _ = attempt.sock.recvmsg_into(self._into, CONTROL_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            if attempt.done:
                self.drop(attempt)
            else:
                self._broken(attempt, error)
            return
        at = arrived_ns(control, attempt.t_send or 0)
        if size:
            self._stamped = at is not None
            if attempt.t_first_byte is None and self._exchange.request:
                attempt.t_first_byte = at or time.monotonic_ns()
        reusable = self._exchange.read(attempt, bytes(self._buffer[:size]))
        if reusable is None:
            return
        self._open.pop(attempt.fd, None)
        if attempt.done:
            self._close(attempt)
            return
        if attempt.host is not None and attempt.certainty == "ok":
            self._exchange.order.served(attempt.host)
            if not size:  # the end of the connection told that the answer was whole, and that carries no stamp
                self._stamped = False
        elif attempt.host is not None and attempt.certainty == "info":  # nobody said who it was
            attempt.answered_by = attempt.host.node
        self._ended(attempt, at)
        if reusable and len(self._idle) < self._exchange.kept and not attempt.late:
            self._idle[attempt.fd] = attempt
        else:
            self._close(attempt)

    def _broken(self, attempt: WireAttempt, error: OSError) -> None:
        """The connection was there, and the answer did not come."""
        attempt.tell(outcome_of(error), "info", describe(error))
        if attempt.host is not None:
            attempt.answered_by = attempt.host.node
        self.drop(attempt)
        self._ended(attempt, None)

    def _close(self, attempt: WireAttempt) -> None:
        if attempt.sock is not None:
            attempt.sock.close()  # which also takes it out of epoll
            attempt.sock = None

    def _limit_text(self) -> str:
        return f"{self._exchange.connect_limit_ns / 1e6:.0f} ms"


def _is_connecting(limit: tuple[int, WireAttempt, socket.SocketType]) -> bool:
    _, attempt, made = limit
    return attempt.connecting and attempt.sock is made


def _refused(code: int) -> ConnectFailed:
    error = OSError(code, os.strerror(code))
    return ConnectFailed(outcome_of(error), describe(error))
