"""In which order a client tries the hosts of its endpoint, and how long each may take."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chaoskit.model.errors import InputError, Problem
from chaoskit.ports.client import ClientConfig


@dataclass(frozen=True, slots=True)
class Host:
    node: str
    address: str
    port: int


class HostOrder:
    """The host that served last comes first, as in multi-host drivers such as JDBC's; then the endpoint's order.

    Hosts are tried one after the other and never raced: a race would hide how long a real client hangs on a dead host.
    """

    def __init__(self, hosts: Sequence[Host]) -> None:
        self._hosts = tuple(hosts)
        self._last: Host | None = None

    def __len__(self) -> int:
        return len(self._hosts)

    def __iter__(self) -> Iterator[Host]:
        last = self._last
        if last is not None:
            yield last
        yield from (host for host in self._hosts if host is not last)

    def by_address(self) -> bool:
        """Whether no name would have to be looked up."""
        return all(is_address(host.address) for host in self._hosts)

    def served(self, host: Host) -> None:
        """`host` served what was asked for."""
        self._last = host

    def let_down(self, host: Host) -> None:
        """`host` did not serve: it is asked last from now on, as balancing clients move on."""
        if self._last is host:
            self._last = None
        self._hosts = (*(other for other in self._hosts if other is not host), host)


def is_address(text: str) -> bool:
    """Whether it is an IP address rather than a name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def hosts_of(config: ClientConfig, default_port: int | None) -> list[Host]:
    """The hosts this client may ask: the endpoint's, or for the direct class only the node it names.

    InputError where there are none, or no port is known.
    """
    port = config.port if config.port is not None else default_port
    if port is None:
        raise InputError([Problem(path=f"clients.{config.client}.endpoint", message="the endpoint needs a port")])
    hosts = [Host(node, address, port) for node, address in config.hosts]
    if config.client_class == "direct":
        hosts = [host for host in hosts if host.node == config.target]
    if not hosts:
        known = tuple(node for node, _ in config.hosts)
        raise InputError([Problem(path=f"clients.{config.client}", message="no host to ask", value=config.target, allowed=known)])
    return hosts


def host_limit_s(config: ClientConfig, hosts: int, asked_s: float | None) -> float:
    """Seconds one host may take until its connection is usable.

    What was asked for, but within W; else a third of W, so that two silent hosts still leave time for a third; all of W where
    there is one host. (libpq itself allows no less than 2 s, which is longer than any useful W.)
    """
    deadline_s = config.deadline_ns / 1e9
    if asked_s is not None:
        return min(asked_s, deadline_s)
    return deadline_s if hosts == 1 else deadline_s / 3
