"""A recorded trial as measures see it: arrays and events, no files, no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chaoskit.model.history import Event
from chaoskit.model.plan import Plan
from chaoskit.model.policy import RetryPolicy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Int = NDArray[np.int64]
else:
    Int = Any  # commands that measure nothing need not wait for numpy
MISSING = -1
"""Stands for NULL in an instant column."""


def _no_pairs() -> Int:
    import numpy as np

    return np.empty((0, 2), dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class AttemptSamples:
    """Each attempt of a client with a policy, sorted by `t_send`. Instants: CLOCK_MONOTONIC ns."""

    t_intended: Int
    """When its request was due: attempts with the same instant are of one request."""
    number: Int
    """From 1, within its request."""
    t_send: Int
    t_end: Int
    waited_ns: Int
    """The wait that the policy chose before it; 0 for the first."""
    outcome: NDArray[np.str_]
    certainty: NDArray[np.str_]
    node: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.t_send)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class ClientSamples:
    """All requests of one client in one trial, sorted by `t_intended`. Instants: CLOCK_MONOTONIC ns, MISSING where none.

    Without a policy each request is one attempt. With one, a row is what became of the request after its last attempt.
    """

    client: str
    type: str
    client_class: str
    operation: str
    vantage: str
    target: str
    interval_ns: int
    """D: one probe's period."""
    spacing_ns: int
    """d = D / probes: what the bounds cannot be narrower than."""
    deadline_ns: int
    """W."""
    window_ns: int
    """S: how long service must last to count as back."""
    slo_ns: int | None
    t_intended: Int
    t_send: Int
    t_connected: Int
    t_first_byte: Int
    t_end: Int
    late_end: Int
    ok: NDArray[np.bool_]
    """Answered correctly with t_end - t_intended <= W (degraded included)."""
    tainted: NDArray[np.bool_]
    outcome: NDArray[np.str_]
    certainty: NDArray[np.str_]
    node: NDArray[np.str_]
    """Who answered; "" where unknown."""
    token: NDArray[np.str_]
    """What an `append` wrote; "" for every other operation: nothing is looked for again."""
    value: NDArray[np.str_]
    error: NDArray[np.str_]
    probe: Int
    policy: RetryPolicy | None = None
    attempt_deadline_ns: int = 0
    """What each attempt of a client with a policy may take; `deadline_ns` is then the user's patience."""
    attempts: AttemptSamples | None = None
    """None where there is no policy."""

    @property
    def measures_outages(self) -> bool:
        """Whether it meets outages as they are: a new connection for each attempt, and no policy that could hide one."""
        return self.client_class == "fresh" and self.policy is None


@dataclass(frozen=True, slots=True, eq=False)
class RoleSamples:
    """What one node said about one role, sorted by time. state: 1 yes, 0 no, -1 no answer."""

    role: str
    node: str
    t_begin: Int
    t_end: Int
    state: NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Announcement:
    """A frame by which somebody said that an address is its own. It came between `t_low` and `t_high`."""

    owner: str
    """A node; its hardware address where it is no node's."""
    how: str
    """`gratuitous ARP`, `ARP reply`, or `VRRP`."""
    t_low: int
    t_high: int
    vrid: int | None = None
    priority: int | None = None
    """Of a VRRP advertisement; 0: it gives the address up."""


@dataclass(frozen=True, slots=True, eq=False)
class AddressSamples:
    """What was seen on the wire of one floating address."""

    name: str
    address: str
    t_asked: Int
    """Every instant at which it was asked who has it, sorted."""
    answers: Mapping[str, Int]
    """Owner -> rows of (asked, answered), sorted."""
    heard_ns: Int
    """Instants at which the one who asks had any answer at all, sorted: without one, silence says nothing."""
    controls: int
    """How many others are asked for in turn, one with each question."""
    announcements: Sequence[Announcement] = ()


@dataclass(frozen=True, slots=True)
class ReadBack:
    """One read of a ledger: the strong final read, or one node's dump. `copies` is token -> how many times it was there."""

    client: str
    kind: str
    node: str
    t_ns: int
    ok: bool
    copies: Mapping[str, int]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class FaultRecord:
    """One injected fault. Instants in CLOCK_MONOTONIC ns; None where that stage was not reached."""

    action: str
    fault: str
    nodes: tuple[str, ...]
    began_ns: int | None = None
    injected_ns: int | None = None
    effective_ns: int | None = None
    heal_began_ns: int | None = None
    healed_ns: int | None = None
    verified: bool = False
    gone: bool = False
    evidence: tuple[Mapping[str, Any], ...] = ()
    trigger: str = ""
    """What it waited for and how that came; empty where it waited for nothing."""
    healed_because: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class TrialRecord:
    """One trial. `ended_ns` is the last instant of observation: what lies beyond is censored."""

    index: int
    plan: Plan
    started_ns: int
    baseline_began_ns: int | None
    baseline_ended_ns: int | None
    """Time 0 of the method; None where it was never reached."""
    ended_ns: int
    events: Sequence[Event]
    clients: Mapping[str, ClientSamples]
    roles: Sequence[RoleSamples]
    read_backs: Sequence[ReadBack]
    faults: Sequence[FaultRecord]
    hiccups_ns: Int = field(default_factory=_no_pairs)
    """Rows of (instant, stall)."""
    addresses: Sequence[AddressSamples] = ()
    problems: Sequence[str] = ()
    """What makes the trial's figures invalid (from `problem` events)."""
