"""Figures of one trial, as measures give them: each with its bounds, its count, the rule it was computed by, and its words."""

from __future__ import annotations

from typing import Any, Literal

from chaoskit.model.record import Record


class Figure(Record):
    """A measured number with its bounds. Never a bare number: what it counts on and why it may be invalid go with it."""

    point: float | None = None
    low: float | None = None
    high: float | None = None
    """None with `censored`: unbounded above."""
    unit: str = "s"
    n: int = 0
    """Samples it rests on."""
    rule: str = ""
    censored: bool = False
    valid: bool = True
    reasons: tuple[str, ...] = ()
    """Why it is invalid, or what must be said with it."""
    text: str = ""
    """For people, bounds included: "21.3 s (21.2 to 21.4)", "none seen, or shorter than 5 ms"."""


class Gate(Record):
    """A validity gate of MEASUREMENT.md section 8."""

    name: str
    met: bool
    seen: str
    wanted: str
    client: str = ""
    """Whose figures it guards, where it is one client's."""
    blocks: bool = False
    """Unmet, it leaves nothing of the trial to be judged (the fault's effect was not verified, say)."""


class Outage(Record):
    """Seconds after the baseline ended (time 0 of the method)."""

    first_failure_s: float
    recovered_s: float | None
    point_s: float | None
    low_s: float
    high_s: float | None
    """Bounds of how long the service itself was down: an attempt met it at some instant between its send and its end."""
    sent_low_s: float = 0.0
    """s_K - s_F and s_R - s_L: over how long attempts were sent that failed. Where they take no time, the same as the bounds."""
    sent_high_s: float | None = None
    errors: dict[str, int] = {}


class ClientFigures(Record):
    type: str = ""
    client_class: str = "fresh"
    policy: str = ""
    """What it does about errors. Not empty: its figures are what its users felt, and may hide an outage."""
    operation: str = ""
    target: str = ""
    rto: Figure
    user_rto: Figure
    fault_rto: Figure
    outages: tuple[Outage, ...] = ()
    availability: Figure
    operations: int
    errors: dict[str, int] = {}
    latency: dict[str, float | None] = {}
    """p50, p95, p99, max of ok attempts, seconds."""
    downtime: dict[str, float] = {}
    """ok, degraded, down: seconds."""
    downtime_rule: str = ""
    reconnect: Figure | None = None
    """`client_reconnect`: RTO of the pooled class minus that of the fresh one."""
    baseline: dict[str, float | None] = {}
    """success (share), p95 (seconds), operations."""
    vantages: VantageFigures | None = None
    """Where it asks from several places: the figures beside it are then those of `any_down`, and of all attempts together."""

    @property
    def measures_outages(self) -> bool:
        """Whether it met outages as they are: a new connection for each attempt, and no policy that could hide one."""
        return self.client_class == "fresh" and not self.policy


class BehaviourBin(Record):
    """A piece of time of one client with a policy."""

    from_s: float
    """Seconds after the end of the baseline; all pieces of a client are equally long."""
    requests: int
    """Due in it."""
    attempts: int
    """Sent in it, by requests due whenever."""
    errors: dict[str, int] = {}
    """Attempts sent in it that failed, by class."""


class BehaviourFigures(Record):
    """How a client with a policy behaved, and what its users felt. Attempts and requests count from the end of the baseline."""

    policy: str
    client_class: str
    deadline_s: float
    """What each attempt may take."""
    patience_s: float
    """What a request may take."""
    requests: int
    not_sent: int
    attempts: int
    most_attempts: int
    """Of one request."""
    errors: dict[str, int] = {}
    """Failed attempts by class."""
    amplification: Figure
    """Attempts a request, of the requests due during the outage."""
    peak_amplification: Figure
    """Attempts sent by requests due, in the worst second."""
    abandoned: Figure
    worst_latency: Figure
    noticed: Figure
    """The share of the requests due during the outage that users noticed."""
    notice_s: float
    """From this latency on an answer is noticed."""
    first_error: Figure
    """From the fault's effect to the end of the first failed attempt."""
    reconnects: Figure
    time_to_reconnect: Figure
    """From the first failed attempt to the first ok one of a lasting return; the longest."""
    bin_s: float = 1.0
    bins: tuple[BehaviourBin, ...] = ()


class LevelFigures(Record):
    """The outage as seen by so many vantages at once: any of them, as many as leave no majority, or all."""

    needed: int
    """Down at once, at least."""
    rto: Figure
    user_rto: Figure
    fault_rto: Figure
    outages: tuple[Outage, ...] = ()


class VantageShare(Record):
    """A time in which the same number of vantages was ok; changes lie at the middle of their brackets."""

    from_s: float
    until_s: float
    ok: int


class VantageFigures(Record):
    """One client seen from several vantages. An RTO is never averaged over them."""

    any_down: LevelFigures
    """The client's own headline figures."""
    quorum_down: LevelFigures
    """No majority of the vantages is ok."""
    all_down: LevelFigures
    lost_time: Figure
    """Integral of 1 - a(t), a(t) being the share of vantages that are ok."""
    course: tuple[VantageShare, ...] = ()
    """a(t), from the end of the baseline on; at most 1000 pieces, `changes` has how often it changed."""
    changes: int = 0
    each: dict[str, ClientFigures] = {}
    """Vantage -> what was seen from there."""


ClientFigures.model_rebuild()  # it names VantageFigures, which names it


class LostWrite(Record):
    client: str
    token: str
    acknowledged_s: float
    node: str = ""


class DivergentWrite(Record):
    """A write that a node's own content has more or less often than the final read."""

    node: str
    client: str
    token: str
    copies: int
    """How often that node has it."""
    final_copies: int
    """How often the final read found it."""
    acknowledged_s: float | None = None
    acknowledged_by: str = ""


class RejoinedNode(Record):
    """A node's own content when it could first be asked after its fault: before a rewind or resync, where that took longer."""

    node: str
    client: str
    after_heal_s: float | None = None
    """Until it was read; None where it could not be read in time."""
    only_there: int | None = None
    """Writes it had and the final read has not; None where it was not read."""
    lost_there: int | None = None
    """Those of them that were acknowledged."""
    was_leader: bool = False
    detail: str = ""
    """Why it was not read."""


class LedgerFigures(Record):
    """RPO and integrity of every append ledger together."""

    acknowledged: int
    lost: Figure
    loss_rate_below: float | None = None
    """Upper bound of the loss rate (95 %) where none was lost: 3/n."""
    recovered: int | None
    """There though never acknowledged. None, as in the next two: the ledger was not read."""
    phantom: int | None
    duplicated: int | None
    window: Figure
    split_brain_acks: Figure
    divergence: dict[str, int] = {}
    """Node -> tokens by which its own content differs from the final read."""
    divergent_writes: tuple[DivergentWrite, ...] = ()
    """At most 1000 of them."""
    unread: dict[str, str] = {}
    """Node -> why its own content could not be read."""
    rejoined: tuple[RejoinedNode, ...] = ()
    lost_writes: tuple[LostWrite, ...] = ()
    """At most 1000 of them; `lost` has the count."""
    contiguous_tail: bool | None = None
    defects: tuple[str, ...] = ()
    """fail->present and the like: defects of a client or its classification."""


class StaleRead(Record):
    """A read that returned less than what had been acknowledged before it began. Writes go by their writer's count."""

    client: str
    read_s: float
    node: str = ""
    returned: int
    """-1: nothing."""
    acknowledged: int
    behind_writes: int
    behind_low_s: float
    behind_high_s: float


class StaleReadFigures(Record):
    """What one client that reads the newest write of a ledger was told."""

    ledger: str
    """The client that writes it."""
    reads: int
    stale: Figure
    behind_writes: Figure
    behind: Figure
    ahead: int | None
    """Reads that returned what nobody had sent yet."""
    by_node: dict[str, int] = {}
    """Node -> stale reads that it answered."""
    listed: tuple[StaleRead, ...] = ()
    """At most 1000 of them; `stale` has the count."""
    defects: tuple[str, ...] = ()


class RoleInterval(Record):
    role: str
    node: str
    state: Literal["yes", "no", "unknown"]
    from_s: float
    until_s: float


class Transition(Record):
    """One undebounced change of what a client met; it lies between two sends, seconds after the baseline ended."""

    client: str
    to: Literal["ok", "failed"]
    low_s: float
    high_s: float


class NagiosScore(Record):
    """Nagios's flap detection over the fresh client with the highest percent state change: a familiar secondary, never judged."""

    client: str
    highest: Figure
    starts: int = 0
    """How often it said that flapping started."""
    flapping_s: float = 0.0
    """For how long it said flapping."""
    flapping_at_end: bool = False


class FlappingFigures(Record):
    flaps: Figure
    leader_changes: Figure
    excess_leader_changes: Figure
    ping_pong: int = 0
    """Back to the old leader, after less than 60 s with another."""
    unstable_time: Figure
    stability: Figure = Figure(unit="share", valid=False, reasons=("not measured",), text="unknown: not measured")
    """RTO of the first outage by `unstable_time`: 1 where service settled at once."""
    dual_owner_time: Figure
    no_owner_time: Figure
    nagios: NagiosScore | None = None
    transitions: tuple[Transition, ...] = ()
    """Undebounced, from the fault on, by time; at most 1000 of them, `transition_counts` has how many each client had."""
    transition_counts: dict[str, int] = {}


class AddressInterval(Record):
    """Somebody answered for a floating address. Seconds after the baseline ended."""

    owner: str
    """A node; its hardware address where it is no node's."""
    from_s: float
    until_s: float


class AddressFigures(Record):
    """A floating address, as seen on the wire."""

    address: str
    moves: Figure
    """How often it moved from one node to another, `vip_moves`."""
    dual_owner_time: Figure
    no_owner_time: Figure
    takeover: Figure | None = None
    """From the fault's effect to the new owner's first announcement."""
    owners: tuple[AddressInterval, ...] = ()
    announcements: tuple[str, ...] = ()
    """Who announced it in which way how often, for people."""


class FailbackFigures(Record):
    """The node that led when the fault began, after another one had led meanwhile: whether it leads again, and at what cost."""

    node: str
    """Who led before the fault."""
    stand_in: str
    """Who led until it came back; until the end where it did not."""
    at: Figure
    """When it led again, after the fault's effect."""
    after_heal: Figure | None = None
    """The same, after the heal began; None where nothing had been healed by then."""
    outage: Figure
    """What its return cost: the outage of the fresh client that had it worst."""
    client: str = ""
    """That client; empty where none met one."""


class Phase(Record):
    """One bar of the waterfall; seconds after the fault took effect."""

    name: str
    at: Figure
    source: str = ""
    """Which clock and which observation it rests on."""


class FaultFigures(Record):
    name: str
    action: str
    target: tuple[str, ...]
    injected_at: str | None = None
    effective_at: str | None = None
    healed_at: str | None = None
    injected_s: float | None = None
    """Seconds after the baseline ended, for the time line."""
    effective_s: float | None = None
    healed_s: float | None = None
    verified: bool
    gone: bool
    evidence: tuple[dict[str, Any], ...] = ()
    trigger: str = ""
    """What it waited for and how that came; empty where it waited for nothing."""
    healed_because: str = ""
    """Why it was healed at that instant."""
