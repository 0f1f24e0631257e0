"""Questions put into a node's network without a process of their own: echo, TCP, HTTP. Sockets are made in its namespace."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from chaoskit.backends.linux_host.node import echo_socket, packet_socket, stream_socket
from chaoskit.linux import frames

if TYPE_CHECKING:
    import ssl

_ECHO_REQUEST = 8
_ECHO_REPLY = 0
_ETH_P_IPV4 = 0x0800
_ETH_P_ARP = 0x0806
_ETH_P_LOCAL = 0x88B5
_RESEND_S = 0.1


async def reach(init: int, address: str, device: str | None, timeout_s: float) -> str:
    """answered | silent | unreachable: any answer to an ICMP echo or, where both share `device`'s network, to an ARP probe.

    Both, because after a cut a kernel waits up to a second before it resolves an address again: the echo alone would call a
    link dead that works. The ARP probe asks with a made-up hardware address and no IP address, so that it teaches neither
    side's kernel anything the cluster under test could notice.
    """
    ways = [asyncio.ensure_future(_echoed(init, address, timeout_s))]
    if device is not None:
        ways.append(asyncio.ensure_future(_resolved(init, address, device, timeout_s)))
    seen = []
    try:
        for way in asyncio.as_completed(ways):
            seen.append(await way)
            if seen[-1] == "answered":
                return "answered"
    finally:
        for way in ways:
            way.cancel()
    return "unreachable" if "unreachable" in seen else "silent"


async def _echoed(init: int, address: str, timeout_s: float) -> str:
    token = os.urandom(8)
    number = int.from_bytes(token[:2], "big")
    with echo_socket(init) as probe:
        return await _repeated(
            probe,
            lambda sequence: probe.sendto(_echo(number, sequence, token), (address, 0)),
            lambda packet: packet[(packet[0] & 0xF) * 4] == _ECHO_REPLY and packet[-len(token) :] == token,
            timeout_s,
        )


async def _resolved(init: int, address: str, device: str, timeout_s: float) -> str:
    asked = socket.inet_aton(address)
    own = b"\x02\xc6" + os.urandom(4)
    question = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, own, bytes(4), bytes(6), asked)
    frame = b"\xff" * 6 + own + struct.pack("!H", _ETH_P_ARP) + question
    try:
        probe = packet_socket(init, device, _ETH_P_ARP)
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.ENETDOWN):
            return "unreachable"
        raise
    with probe:
        return await _repeated(
            probe,
            lambda _: probe.send(frame),
            lambda got: got[:6] == own and got[20:22] == b"\x00\x02" and got[28:32] == asked,
            timeout_s,
        )


Place = tuple[int, str]
"""(first process of a node, device)."""


async def arrives(source: Place, destination: Place, mac: str, timeout_s: float) -> str:
    """answered | silent | unreachable: whether frames from one node's interface come out of another's.

    They carry an EtherType for local experiments, which no kernel and no program of the cluster minds.
    """
    token = os.urandom(8)
    frame = _raw(mac) + b"\x02\xc6" + token[:4] + struct.pack("!H", _ETH_P_LOCAL) + token.ljust(46, b"\0")
    return await _comes_out(source, destination, _ETH_P_LOCAL, frame, token, timeout_s)


async def datagram_arrives(
    source: Place, destination: Place, mac: str, addresses: tuple[str, str], port: int, timeout_s: float
) -> str:
    """The same of UDP datagrams to a port. Their checksum is wrong, so that the program behind the port never gets one."""
    token = os.urandom(8)
    ips = socket.inet_aton(addresses[0]), socket.inet_aton(addresses[1])
    frame = frames.spoilt_datagram((b"\x02\xc6" + token[:4], _raw(mac)), ips, port, token.ljust(18, b"\0"))
    return await _comes_out(source, destination, _ETH_P_IPV4, frame, token, timeout_s)


def _raw(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


async def _comes_out(source: Place, destination: Place, kind: int, frame: bytes, token: bytes, timeout_s: float) -> str:
    try:
        sender = packet_socket(*source, kind)
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.ENETDOWN):
            return "unreachable"
        raise
    with sender:
        try:
            listener = packet_socket(*destination, kind)
        except OSError as error:
            if error.errno in (errno.ENODEV, errno.ENETDOWN):
                return "silent"
            raise
        with listener:
            return await _repeated(sender, lambda _: sender.send(frame), lambda got: token in got, timeout_s, listener)


async def _repeated(
    probe: socket.socket,
    send: Callable[[int], int],
    is_answer: Callable[[bytes], bool],
    timeout_s: float,
    listener: socket.socket | None = None,
) -> str:
    """Ask each 100 ms, until an answer or the time is over."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    sequence = 0
    while (left := deadline - loop.time()) > 0:
        sequence += 1
        try:
            send(sequence)
        except OSError as error:
            if error.errno in (errno.ENETUNREACH, errno.ENETDOWN):
                return "unreachable"
            if error.errno not in (errno.EHOSTUNREACH, errno.EAGAIN, errno.ENOBUFS):
                raise
        try:
            await asyncio.wait_for(_answer(listener or probe, is_answer), min(left, _RESEND_S))
        except TimeoutError:
            continue
        return "answered"
    return "silent"


async def _answer(probe: socket.socket, is_answer: Callable[[bytes], bool]) -> None:
    while not is_answer(await asyncio.get_running_loop().sock_recv(probe, 2048)):
        pass


def _echo(number: int, sequence: int, token: bytes) -> bytes:
    body = struct.pack("!BBHHH", _ECHO_REQUEST, 0, 0, number, sequence) + token
    total = sum(struct.unpack(f"!{len(body) // 2}H", body))
    total = (total >> 16) + (total & 0xFFFF)
    total += total >> 16
    return body[:2] + struct.pack("!H", ~total & 0xFFFF) + body[4:]


async def tcp_answers(init: int, address: str, port: int, timeout_s: float) -> str:
    """ "" when a connection is made, else why not."""
    with stream_socket(init) as made:
        try:
            await asyncio.wait_for(asyncio.get_running_loop().sock_connect(made, (address, port)), timeout_s)
        except TimeoutError:
            return f"no answer from {address}:{port} in {timeout_s} s"
        except OSError as error:
            return f"{address}:{port}: {error.strerror}"
    return ""


async def http_answers(init: int, url: str, addresses: Mapping[str, str], timeout_s: float) -> str:
    """ "" when the answer's status is 2xx, else what came instead. Host names are the lab's node names, or addresses."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    address = addresses.get(host, "127.0.0.1" if host == "localhost" else host)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        status = await asyncio.wait_for(_status(init, address, port, parts.scheme == "https", url), timeout_s)
    except TimeoutError:
        return f"{url}: no answer in {timeout_s} s"
    except (OSError, ValueError) as error:
        return f"{url}: {error}"
    return "" if 200 <= status <= 299 else f"{url}: status {status}"


async def _status(init: int, address: str, port: int, tls: bool, url: str) -> int:
    parts = urlsplit(url)
    made = stream_socket(init)
    try:
        await asyncio.get_running_loop().sock_connect(made, (address, port))
        context = _trusting_context() if tls else None
        reader, writer = await asyncio.open_connection(sock=made, ssl=context, server_hostname="" if tls else None)
    except BaseException:
        made.close()
        raise
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\nUser-Agent: chaoskit\r\n\r\n".encode())
        words = (await reader.readline()).split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/"):
            raise ValueError(f"not an HTTP answer: {b' '.join(words)[:80]!r}")
        return int(words[1])
    finally:
        writer.close()


def _trusting_context() -> ssl.SSLContext:
    """A lab's certificates are its own; the check asks whether the service answers, not who it is."""
    import ssl  # late: it costs more than the rest of the holder's start, and few labs speak TLS

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
