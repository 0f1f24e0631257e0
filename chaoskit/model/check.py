"""What is asked of a node or a service, again and again: is it ready, which role has it?"""

from __future__ import annotations

from pydantic import Field

from chaoskit.model.record import Record
from chaoskit.model.units import Duration


class HttpCheck(Record):
    """Asked inside the node's own network; 2xx is yes, another status is no, no answer is unknown."""

    http: str
    """The URL asked; a template."""
    every: Duration = Duration(0.1)
    """How often."""
    timeout: Duration = Duration(0.5)
    """How long an answer may take."""


class TcpCheck(Record):
    """Yes when a TCP connect to this port of the node succeeds."""

    tcp: int
    """The port."""
    every: Duration = Duration(0.1)
    """How often."""
    timeout: Duration = Duration(0.5)
    """How long the connect may take."""


class CommandCheck(Record):
    """Yes when a command in the node exits with 0."""

    command: tuple[str, ...]
    """Program and arguments, each a template; no shell."""
    every: Duration = Duration(0.5)
    """How often."""
    timeout: Duration = Duration(2.0)
    """How long it may run."""
    user: str = "root"
    """Who runs it."""
    as_service: bool = Field(default=False, alias="as-service")
    """It runs as the service does that it is the `ready` check of: as its user, in its directory, with its environment."""


Check = HttpCheck | TcpCheck | CommandCheck
