"""What a client type looks like from outside, inside a probe process."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, ClassVar, Protocol

from pydantic import Field

from chaoskit.model.history import Certainty, Outcome
from chaoskit.model.policy import RetryPolicy
from chaoskit.model.record import Record


class Answer(Record):
    """What became of one attempt. Instants CLOCK_MONOTONIC ns."""

    outcome: Outcome
    certainty: Certainty
    t_connected: int | None = None
    t_first_byte: int | None = None
    node: str = ""
    term: str = ""
    value: str = ""
    error: str = ""


class Tokens(Record):
    """What one read of a ledger found. `ok` False: it could not be read, and nothing may be concluded."""

    ok: bool
    node: str
    copies: dict[str, int] = {}
    detail: str = ""


class ClientConfig(Record):
    """All that a probe process is told about one client."""

    client: str
    type: str
    client_class: str
    operation: str
    run_id: str
    trial: int
    interval_ns: int
    probes: int
    deadline_ns: int
    """What one attempt may take."""
    window_ns: int
    in_flight: int
    """Requests under way at once, at most."""
    vantage: str
    target: str
    """The endpoint's name, or the node for the direct class."""
    hosts: tuple[tuple[str, str], ...]
    """(node, address), in the endpoint's order. An address that is no node's own stands for itself."""
    behind: tuple[tuple[str, str], ...] = ()
    """(node, address) of those that stand behind such an address: asked one by one when their own content is read."""
    port: int | None = None
    endpoint: dict[str, Any] = {}
    """Further keys of the lab's endpoint."""
    options: dict[str, Any] = {}
    """Further keys of the experiment's client."""
    slo_ns: int | None = None
    spool: str
    """The SQLite file to write."""
    seed: int = 0
    inside: str = ""
    """The directory of Lab.inside(); empty where nodes have no way in."""
    directory: str = ""
    """The folder of the experiment's file."""
    policy: RetryPolicy | None = None
    """What is done about errors, around the client type, which knows nothing of it. None: each request is one attempt."""

    @property
    def patience_ns(self) -> int:
        """What one request may take, from its intended instant."""
        return self.deadline_ns if self.policy is None else self.policy.patience_ns(self.deadline_ns)


def request_number(token: str) -> int:
    """The number of the request that a probe's token belongs to, from 0: tokens end with it, and retries carry the same one."""
    return int(token.rpartition(".")[2])


class ClientType(Protocol):
    """One protocol. Made once in a probe process; `attempt` is called concurrently."""

    def __init__(self, config: ClientConfig) -> None:
        """InputError where the options or the endpoint's keys are wrong. Starts nothing."""

    TYPE: ClassVar[str]
    OPERATIONS: ClassVar[Mapping[str, str]]
    """Operation -> what it does."""
    CLASSES: ClassVar[tuple[str, ...]]
    LEDGER: ClassVar[frozenset[str]]
    """The operations that append tokens which must survive."""
    Options: ClassVar[type[Record]]
    """Keys of the experiment's client beyond the common ones."""
    EndpointOptions: ClassVar[type[Record]]
    """Keys of the lab's endpoint beyond the common ones."""
    # A type whose driver is an extra also has DRIVER: ClassVar[Mapping[str, str]], importable module -> the extra that brings it.
    # One that may be left running after W, so that late answers are noted, has LATE_CLASSES: ClassVar[frozenset[str]].
    # One whose attempts are a connection and some bytes may have a method wire() -> clients.wire.attempt.Exchange | None: what a
    # client without a policy then sends; None where the configuration needs more.
    # One that cannot serve every combination of valid keys also has a class method objections(intended) -> Iterable[str].

    async def open(self) -> None:
        """Prepare (a table, a pool). Raises where the service cannot be used."""

    async def attempt(self, token: str) -> Answer:
        """One operation. Never raises for what the service does; the caller enforces the deadline by cancelling.

        `token` ends with the number of the request; a retry of the same request comes with the same token.

        When cancelled it returns at once, without waiting for anything: with an Answer (`timeout`, and `fail` where nothing had
        been sent) or by letting the cancellation through, which counts as `timeout` with certainty `info`.
        """

    async def read_back(self) -> Tokens:
        """A strong read of the whole ledger through the endpoint."""

    async def dump(self, node: str, address: str) -> Tokens:
        """That node's own content, asked directly."""

    async def close(self) -> None: ...


class Intended(Record):
    """A client as it stands in an experiment, its own keys valid each by itself."""

    operation: str
    client_class: str
    options: dict[str, Any]
    endpoint: dict[str, Any]
    hosts: int
    """How many addresses the client would know."""


def objections(kind: type[ClientType], intended: Intended) -> tuple[str, ...]:
    """Why a client type cannot do what is intended, for people; told when an experiment is checked."""
    found = getattr(kind, "objections", None)
    return tuple(found(intended)) if found is not None else ()


def missing_drivers(kind: type[ClientType]) -> tuple[str, ...]:
    """What a client type cannot work without and is not installed, each with the way to get it."""
    wanted: Mapping[str, str] = getattr(kind, "DRIVER", {})
    return tuple(
        f"the Python module {module!r} is not installed; pip install 'chaoskit[{extra}]'"
        for module, extra in wanted.items()
        if find_spec(module) is None
    )


class ClientStatus(Record):
    """What a probe process prints each half second, one JSON object a line, for progress and waiting. Not evidence."""

    client: str
    t_ns: int
    attempts: int
    ok: int
    last_ok_ns: int | None = None
    last_failure_ns: int | None = None
    streak_since_ns: int | None = None
    """t_intended of the first ok attempt after the last failure; None while failing."""
    window: tuple[int, int] = Field(default=(0, 0))
    """(attempts, ok) finished in the last 5 s."""
    last_error: str = ""
    phase: str = "running"
    """starting | running | drained | reading_back | done | failed. `done` comes when the read back is written, and at the end."""
