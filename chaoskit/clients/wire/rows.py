"""Finished attempts on bare sockets as rows of the spool."""

from __future__ import annotations

from collections import deque

from chaoskit.agents.hiccups import HiccupWatch
from chaoskit.agents.spool import Spool
from chaoskit.clients.sending import ANSWERED
from chaoskit.clients.tally import Tally
from chaoskit.clients.wire.attempt import WireAttempt
from chaoskit.model.packed_samples import PACKED_ROW, Fate, PackedClient, packed
from chaoskit.ports.client import ClientConfig


class WireRows:
    """Takes attempts in the sending thread, and hands them on in the event loop's, once every stall up to their end is known."""

    def __init__(self, config: ClientConfig, spool: Spool, hiccups: HiccupWatch, tally: Tally) -> None:
        self._config = config
        self._spool = spool
        self._hiccups = hiccups
        self._tally = tally
        self._finished: deque[WireAttempt] = deque()
        self._left: deque[WireAttempt] = deque()
        self._client = PackedClient(
            config.trial, config.client, config.client_class, config.operation, config.vantage, config.target, config.probes,
            f"{config.run_id}.{config.client}.{config.trial}.",
        )  # fmt: skip

    def add(self, attempt: WireAttempt) -> None:
        """Its end is known."""
        self._finished.append(attempt)

    def failed_late(self, attempt: WireAttempt) -> None:
        """W passed; its row comes when its end is known, and may be long in coming."""
        self._left.append(attempt)

    def settle(self, *, all_of_them: bool) -> None:
        """See WireSender.settle."""
        while self._left:
            late = self._left.popleft()
            self._tally.add(late.t_intended, late.t_intended + self._config.deadline_ns, False, "timeout: deadline")
        known_until = self._hiccups.seen_until_ns
        ready = []
        for _ in range(len(self._finished)):
            attempt = self._finished.popleft()
            if all_of_them or attempt.t_end <= known_until:
                ready.append(attempt)
            else:
                self._finished.append(attempt)
        if ready:
            first, last = min(a.t_intended for a in ready), max(a.t_end for a in ready)
            doubtful = self._hiccups.stalled_between(first, last)  # almost never: one question for all of them
            fates: dict[Fate, int] = {}
            rows = [self._row(attempt, doubtful, fates) for attempt in ready]
            self._spool.put("packed_samples", packed(self._client, fates, rows))

    def _row(self, attempt: WireAttempt, doubtful: bool, fates: dict[Fate, int]) -> bytes:
        decided = attempt.t_end
        w_ends = attempt.t_intended + self._config.deadline_ns
        if attempt.late:
            self._judge_late(attempt, w_ends)
            decided = w_ends  # what its answer met after W, which had decided already, is no doubt about it
        else:
            self._judge(attempt, w_ends)
            ok = attempt.outcome in ("ok", "degraded")
            self._tally.add(attempt.t_intended, attempt.t_end, ok, "" if ok else f"{attempt.outcome}: {attempt.error}")
        fate = (
            attempt.outcome, attempt.certainty, attempt.answered_by or None, attempt.value or None, attempt.error or None,
        )  # fmt: skip
        return PACKED_ROW.pack(
            attempt.seq, attempt.t_intended, _packed(attempt.t_send), _packed(attempt.t_connected), _packed(attempt.t_first_byte),
            attempt.t_end, _packed(attempt.late_end), attempt.in_flight, fates.setdefault(fate, len(fates)),
            doubtful and self._hiccups.stalled_between(attempt.t_intended, decided),
        )  # fmt: skip

    def _judge(self, attempt: WireAttempt, w_ends: int) -> None:
        """An answer after W is a time-out, whose certainty stays; one after the SLO is degraded."""
        if attempt.outcome != "ok":
            return
        slo_ns = self._config.slo_ns
        if attempt.t_end > w_ends:
            attempt.outcome, attempt.late_end, attempt.t_end = "timeout", attempt.t_end, w_ends
        elif slo_ns is not None and attempt.t_end - attempt.t_intended > slo_ns:
            attempt.outcome = "degraded"

    def _judge_late(self, attempt: WireAttempt, w_ends: int) -> None:
        if attempt.outcome in ANSWERED:
            attempt.late_end = attempt.t_end
        elif not attempt.error:
            attempt.error = "deadline"
        attempt.outcome, attempt.t_end = "timeout", w_ends


def _packed(instant: int | None) -> int:
    return -1 if instant is None else instant
