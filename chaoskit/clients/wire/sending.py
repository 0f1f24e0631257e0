"""The open loop on bare sockets: one epoll loop in a thread of its own, without a task, a timer or a session for each attempt.

It does what `clients.sending` does for any client type, for those whose attempts are a connection and some bytes. Deadlines
need no timers: they are the same for all, so attempts reach them in the order in which they were due.
"""

from __future__ import annotations

import asyncio
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable

from chaoskit.agents.hiccups import LEAST_BEATS_NS, HiccupWatch
from chaoskit.agents.realtime import tune_thread
from chaoskit.agents.spool import Spool
from chaoskit.agents.timers import TimerDescriptor
from chaoskit.clients.sending import LATE_AT_MOST, LATE_UNTIL_DEADLINES
from chaoskit.clients.tally import Tally
from chaoskit.clients.wire.attempt import Exchange, WireAttempt
from chaoskit.clients.wire.connections import Connections
from chaoskit.clients.wire.rows import WireRows
from chaoskit.ports.client import ClientConfig

_GIL_HANDED_OVER_S = 0.00005
"""Threads that write rows and watch for stalls give the loop its turn within this time; Python's own 5 ms would make it late."""
_LEAST_NAP_NS = 500_000
"""At more than 2 000/s several attempts leave at one wake, so much late at most: a wake costs more than an attempt."""
_UNREAD_AT_MOST_NS = 2_000_000
"""So long answers that carry the instant of their arrival may lie unread, where the next attempt is due by then."""
_SENT_AT_ONCE = 32
"""What is due after a stall goes out in parts, so that the answers to one part free connections for the next."""
_NEVER_NS = 2**62
_EVENTS_AT_ONCE = 256


class WireSender:
    """As `clients.sending.Sender`: sends the requests of one client, and records what became of each."""

    def __init__(
        self,
        config: ClientConfig,
        exchange: Exchange,
        spool: Spool,
        hiccups: HiccupWatch,
        tally: Tally,
        on_failure: Callable[[str], None],
    ) -> None:
        """`on_failure` is called in the loop's thread, once, when it cannot go on."""
        self._config = config
        self._deadline_ns = config.deadline_ns
        self._hiccups = hiccups
        self._on_failure = on_failure
        self._epoll = select.epoll()
        self._timer = TimerDescriptor()
        self._waker = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._timer.descriptor, select.EPOLLIN | select.EPOLLET)  # told once, without being read
        self._epoll.register(self._waker, select.EPOLLIN)
        self._rows = WireRows(config, spool, hiccups, tally)
        self._connections = Connections(exchange, self._epoll, config.interval_ns // config.probes, self._ended)
        self._may_be_late = exchange.late
        self._beats = config.interval_ns <= config.probes * LEAST_BEATS_NS
        self._t0 = 0
        self._sequence = 0
        self._next_due = _NEVER_NS
        self._armed_ns = -1
        self._flying = 0
        self._behind = False
        """More attempts are due than were sent at once."""
        self._due: deque[WireAttempt] = deque()
        """Under way, in the order in which W ends."""
        self._late: deque[WireAttempt] = deque()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._loop = asyncio.get_running_loop()
        self._idle = asyncio.Event()

    # -- from the event loop's thread ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin at the next whole multiple of D on the monotonic clock."""
        sys.setswitchinterval(_GIL_HANDED_OVER_S)
        interval = self._config.interval_ns
        self._t0 = (time.monotonic_ns() // interval + 1) * interval
        self._next_due = self._intended_ns(0)
        self._thread = threading.Thread(target=self._run, name="attempts", daemon=True)
        self._thread.start()

    async def drain(self, timeout_s: float) -> int:
        """Send no more, and wait for what is under way; returns how many still are after `timeout_s`."""
        if self._thread is None:
            return 0
        if not self._stopping:
            self._stopping = True
            os.eventfd_write(self._waker, 1)
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return self._flying
        return 0

    def settle(self, *, all_of_them: bool = False) -> None:
        """Hand finished attempts to the spool, as soon as every stall of this process up to their end is known."""
        self._rows.settle(all_of_them=all_of_them)

    # -- the loop ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        tune_thread()
        ended = False
        try:
            self._go_on()
            ended = True
        finally:
            if not ended:  # threading writes the traceback to the log
                self._on_failure("the sending thread ended by a defect; the log of the probe has it")
            self._connections.close()
            self._loop.call_soon_threadsafe(self._idle.set)

    def _go_on(self) -> None:
        read_until = time.monotonic_ns()
        while True:
            now = time.monotonic_ns()
            if now >= self._next_due:
                self._send_due(now)
            limits_ns = min(self._end_deadlines(read_until), self._connections.end_limits(read_until))
            wake_ns = min(max(self._next_due, now + _LEAST_NAP_NS), limits_ns)
            if self._stopping and self._drained():
                return
            read_until = self._read_until(now if self._behind else wake_ns)

    def _read_until(self, wake_ns: int) -> int:
        """Wait until then, or until something comes that has to be read at once; the instant up to which all that came was read.

        Answers that say themselves when they arrived are left where they are for a moment. Nothing is given up for what ended
        later than the instant returned: its answer may be there already.
        """
        ahead_ns = wake_ns - time.monotonic_ns()
        if 0 < ahead_ns <= _UNREAD_AT_MOST_NS and self._connections.may_wait():
            time.sleep(ahead_ns / 1e9)
        elif ahead_ns > 0:
            if not wake_ns - ahead_ns < self._armed_ns <= wake_ns:  # one that is to come sooner does no harm
                self._timer.arm(wake_ns)
                self._armed_ns = wake_ns
            self._take(self._epoll.poll(-1, _EVENTS_AT_ONCE))
        while True:
            now = time.monotonic_ns()
            events = self._epoll.poll(0, _EVENTS_AT_ONCE)
            self._take(events)
            if len(events) < _EVENTS_AT_ONCE:
                return now

    def _take(self, events: list[tuple[int, int]]) -> None:
        for descriptor, event in events:
            if descriptor == self._timer.descriptor:
                self._armed_ns = -1
            elif descriptor == self._waker:
                os.eventfd_read(self._waker)
                self._next_due, self._behind = _NEVER_NS, False
            else:
                self._connections.ready(descriptor, event)

    def _drained(self) -> bool:
        self._may_be_late = False
        for attempt in self._late:
            if not attempt.done:
                self._give_up(attempt)
        self._late.clear()
        return self._flying == 0 and self._connections.quiet()

    def _intended_ns(self, sequence: int) -> int:
        turn, probe = divmod(sequence, self._config.probes)
        return self._t0 + turn * self._config.interval_ns + probe * self._config.interval_ns // self._config.probes

    def _send_due(self, now: int) -> None:
        """Send what is due, or the first of it."""
        if not self._behind:
            if self._beats:
                self._hiccups.beat(self._next_due, now)
            elif now - self._next_due > self._config.interval_ns // 2:
                self._hiccups.note(self._next_due, now - self._next_due)
        last = self._sequence + _SENT_AT_ONCE
        sent: list[WireAttempt] = []
        while self._next_due <= now and self._sequence < last:
            attempt = WireAttempt(self._sequence, self._next_due, self._flying)
            if self._may_send(attempt, now):
                sent.append(attempt)
            self._sequence += 1
            self._next_due = self._intended_ns(self._sequence)
        self._connections.begin(sent)
        self._behind = self._next_due <= now

    def _may_send(self, attempt: WireAttempt, now: int) -> bool:
        """Whether it is under way from now on."""
        if now >= attempt.t_intended + self._deadline_ns:
            self._not_sent(attempt, "this process woke up after the deadline")
            return False
        if self._flying >= self._config.in_flight:
            self._not_sent(attempt, f"{self._flying} attempts in flight")
            return False
        self._flying += 1
        self._due.append(attempt)
        return True

    def _not_sent(self, attempt: WireAttempt, why: str) -> None:
        attempt.tell("not_sent", "fail", why)
        attempt.t_end, attempt.done = time.monotonic_ns(), True
        self._rows.add(attempt)

    def _ended(self, attempt: WireAttempt, at_ns: int | None) -> None:
        """Called by the connections: it was told what became of it, then or just now."""
        attempt.t_end, attempt.done = at_ns or time.monotonic_ns(), True
        if not attempt.late:
            self._flying -= 1
        self._rows.add(attempt)

    def _end_deadlines(self, now: int) -> int:
        """Give up what W has ended for; the next instant at which something is to be given up."""
        due, deadline_ns = self._due, self._deadline_ns
        while due and (due[0].done or due[0].t_intended + deadline_ns <= now):
            attempt = due.popleft()
            if attempt.done:
                continue
            if self._may_be_late and self._leave(attempt):
                continue
            self._give_up(attempt)
        late, patience_ns = self._late, LATE_UNTIL_DEADLINES * deadline_ns
        while late and (late[0].done or late[0].t_intended + patience_ns <= now):
            attempt = late.popleft()
            if not attempt.done:
                self._give_up(attempt)
        wake_ns = due[0].t_intended + deadline_ns if due else _NEVER_NS
        return min(wake_ns, late[0].t_intended + patience_ns) if late else wake_ns

    def _leave(self, attempt: WireAttempt) -> bool:
        """It has failed and is no longer under way; when its answer comes is noted. False: enough others are left already."""
        if len(self._late) >= LATE_AT_MOST:
            while self._late and self._late[0].done:
                self._late.popleft()
            if sum(not other.done for other in self._late) >= LATE_AT_MOST:
                return False
        attempt.late = True
        self._flying -= 1
        self._late.append(attempt)
        self._rows.failed_late(attempt)
        return True

    def _give_up(self, attempt: WireAttempt) -> None:
        attempt.tell("timeout", "info" if attempt.sent else "fail", "deadline")
        if attempt.sent and attempt.host is not None:
            attempt.answered_by = attempt.host.node
        self._connections.drop(attempt)
        self._ended(attempt, None)
