"""The ways in which HTTP requests go out: what they have in common. Each has a module of its own: its library is much to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import ConfigDict

from chaoskit.clients.hosts import Host
from chaoskit.model.history import Outcome
from chaoskit.model.record import Record

BODY_KEPT_BYTES = 65536


class HttpEndpointOptions(Record):
    """Keys of an endpoint of kind `http` in the lab."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    tls: bool = False
    """HTTPS."""
    verify: bool = True
    """Verify the server's certificate."""
    host_header: str | None = None
    """The Host header to send; the address where it is left out."""


@dataclass(slots=True)
class Progress:
    """How far one request came. Instants CLOCK_MONOTONIC ns."""

    t_connected: int | None = None
    t_first_byte: int | None = None
    sent: bool = False
    """A byte of the request may have left."""
    answered: bool = False
    """The caller was told what became of it: when that was `fail`, nothing may be sent any more."""
    send_until_ns: int | None = None
    """From then on nothing may be sent, whether or not the caller was told already: its event loop may be late."""
    node: str = ""
    user: int = 0
    """Whose cookies went with it."""


class Way(Protocol):
    """How a class of client sends one request, with the cookies of one user."""

    async def get(self, host: Host, progress: Progress, user: int) -> tuple[int, Mapping[str, str], bytes]: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Target:
    """Where a client's requests go, and how long they may take."""

    endpoint: HttpEndpointOptions
    path: str
    connect_limit_s: float
    deadline_s: float

    def url(self, host: Host) -> str:
        address = f"[{host.address}]" if ":" in host.address else host.address
        return f"{'https' if self.endpoint.tls else 'http'}://{address}:{host.port}{self.path}"

    def host_header(self, host: Host) -> str:
        """What a request without a library's help says."""
        address = f"[{host.address}]" if ":" in host.address else host.address
        return self.endpoint.host_header or (address if host.port == 80 else f"{address}:{host.port}")

    def headers(self) -> dict[str, str]:
        return {"Host": self.endpoint.host_header} if self.endpoint.host_header else {}


class RequestBroken(Exception):
    """The connection was there, and the answer did not come whole."""

    def __init__(self, outcome: Outcome, text: str) -> None:
        self.outcome: Outcome = outcome
        super().__init__(text)
