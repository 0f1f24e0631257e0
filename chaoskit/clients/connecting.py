"""Names to addresses, and trying the hosts of an endpoint in order."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import TypeVar

from chaoskit.clients.failures import ConnectFailed, describe, most_telling, outcome_of
from chaoskit.clients.hosts import Host, HostOrder, is_address

C = TypeVar("C")


async def resolved(host: Host) -> str:
    """The address of a host: itself, or the first that its name stands for. ConnectFailed (dns)."""
    if is_address(host.address):
        return host.address
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host.address, host.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConnectFailed("dns", describe(error)) from error
    return str(found[0][4][0])


async def connect_tcp(host: Host) -> socket.socket:
    """A connected non-blocking socket. ConnectFailed. Never leaves one behind, cancelled or not."""
    address = await resolved(host)
    connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (address, host.port))
    except OSError as error:
        connection.close()
        raise ConnectFailed(outcome_of(error), describe(error)) from error
    except BaseException:
        connection.close()
        raise
    return connection


async def first_usable(
    order: HostOrder,
    connect: Callable[[Host], Awaitable[C]],
    limit_s: float,
    usable: Callable[[C], ConnectFailed | None],
    drop: Callable[[C], None],
) -> tuple[Host, C]:
    """The first host of `order` that accepts a connection within `limit_s` and is `usable`. ConnectFailed with all reasons."""
    failures: list[tuple[str, ConnectFailed]] = []
    for host in order:
        try:
            async with asyncio.timeout(limit_s):
                connection = await connect(host)
        except TimeoutError:
            failures.append((host.node, ConnectFailed("timeout", f"not connected within {limit_s * 1000:.0f} ms")))
            continue
        except ConnectFailed as failed:
            failures.append((host.node, failed))
            continue
        unfit = usable(connection)
        if unfit is None:
            return host, connection
        drop(connection)
        failures.append((host.node, unfit))
    raise most_telling(failures)
