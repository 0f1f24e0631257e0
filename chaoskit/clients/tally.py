"""Running totals of one client, for progress and waiting. Not evidence."""

from __future__ import annotations

from collections import deque

from chaoskit.ports.client import ClientStatus

_WINDOW_NS = 5_000_000_000


class Tally:
    """Counts attempts as they finish, in whatever order they do."""

    def __init__(self, client: str, settle_ns: int) -> None:
        """`settle_ns`: how much later than its intended instant an attempt may finish."""
        self._client = client
        self._settle_ns = settle_ns
        self._recent: deque[tuple[int, bool]] = deque()
        self._recent_ok = 0
        self._ok_intended: deque[int] = deque()
        self._streak_since_ns: int | None = None
        self.attempts = 0
        self.ok = 0
        self.last_ok_ns: int | None = None
        self.last_failure_ns: int | None = None
        self.last_error = ""

    def add(self, t_intended: int, t_end: int, ok: bool, error: str) -> None:
        self.attempts += 1
        self._recent.append((t_end, ok))
        if ok:
            self.ok += 1
            self._recent_ok += 1
            self.last_ok_ns = max(self.last_ok_ns or 0, t_end)
            self._ok_intended.append(t_intended)
            while self._ok_intended[0] < t_intended - self._settle_ns:
                self._ok_intended.popleft()
            if t_intended > (self.last_failure_ns or 0) and (self._streak_since_ns is None or t_intended < self._streak_since_ns):
                self._streak_since_ns = t_intended
            return
        self.last_error = error
        self.last_failure_ns = max(self.last_failure_ns or 0, t_intended)
        if self._streak_since_ns is not None and self._streak_since_ns <= self.last_failure_ns:
            # attempts sent after this failure may have finished before it
            later = [instant for instant in self._ok_intended if instant > self.last_failure_ns]
            self._streak_since_ns = min(later, default=None)

    def status(self, now_ns: int, phase: str, last_error: str = "") -> ClientStatus:
        while self._recent and self._recent[0][0] < now_ns - _WINDOW_NS:
            self._recent_ok -= self._recent.popleft()[1]
        return ClientStatus(
            client=self._client,
            t_ns=now_ns,
            attempts=self.attempts,
            ok=self.ok,
            last_ok_ns=self.last_ok_ns,
            last_failure_ns=self.last_failure_ns,
            streak_since_ns=self._streak_since_ns,
            window=(len(self._recent), self._recent_ok),
            last_error=last_error or self.last_error,
            phase=phase,
        )
