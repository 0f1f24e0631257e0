"""Asking a node one question about a role: 1 yes, 0 no, None no answer."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from chaoskit.model.check import Check, CommandCheck, HttpCheck, TcpCheck
from chaoskit.model.errors import InputError, Problem
from chaoskit.watchers.namespaces import NodeNetworks, NodeOff

_STATUS_LINE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Said:
    """What a node said. `detail`: the status or exit code, or why there was no answer."""

    state: int | None
    detail: str


class Question(Protocol):
    """One check of one node, ready to be asked. Cancelled at the check's time-out, it leaves nothing behind."""

    async def ask(self) -> Said: ...


def question(check: Check, node: str, networks: NodeNetworks, addresses: Mapping[str, str]) -> Question:
    """How to ask `node` for `check`. InputError where that cannot work."""
    if isinstance(check, HttpCheck):
        return _HttpQuestion(check, node, networks, addresses)
    if isinstance(check, TcpCheck):
        return _TcpQuestion(addresses.get(node, ""), check.tcp, node, networks)
    return _CommandQuestion(check, node, networks)


class _TcpQuestion:
    def __init__(self, address: str, port: int, node: str, networks: NodeNetworks) -> None:
        try:
            self._family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
        except ValueError:
            message = f"cannot ask {node}: {address!r} is neither an address nor the name of a node"
            raise InputError([Problem(message=message)]) from None
        self._target = (address, port)
        self._node = node
        self._networks = networks

    async def ask(self) -> Said:
        """Yes: it connects; no: it refuses; everything else is no answer."""
        try:
            connection = await self._connected()
        except NodeOff:
            return Said(None, "off")
        except ConnectionRefusedError:
            return Said(0, "refused")
        except OSError as error:
            return Said(None, error.strerror or str(error))
        connection.close()
        return Said(1, "connected")

    async def _connected(self) -> socket.socket:
        connection = self._networks.stream_socket(self._node, self._family)
        try:
            await asyncio.get_running_loop().sock_connect(connection, self._target)
        except BaseException:  # cancelled at the time-out, above all
            connection.close()
            raise
        return connection


class _HttpQuestion(_TcpQuestion):
    def __init__(self, check: HttpCheck, node: str, networks: NodeNetworks, addresses: Mapping[str, str]) -> None:
        url = urlsplit(check.http)
        if url.scheme != "http" or not url.hostname:
            raise InputError(
                [Problem(message="a role is asked by plain http", value=check.http, allowed=("http://HOST:PORT/PATH",))]
            )
        host = {"localhost": "127.0.0.1", **addresses}.get(url.hostname, url.hostname)
        super().__init__(host, url.port or 80, node, networks)
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self._request = f"GET {path} HTTP/1.0\r\nHost: {url.netloc}\r\nConnection: close\r\n\r\n".encode()

    async def ask(self) -> Said:
        """Yes: 2xx; no: another status; everything else is no answer, a refusal too: the service that knows is gone."""
        loop = asyncio.get_running_loop()
        try:
            connection = await self._connected()
        except NodeOff:
            return Said(None, "off")
        except OSError as error:
            return Said(None, error.strerror or str(error))
        answer = b""
        try:
            await loop.sock_sendall(connection, self._request)
            while b"\n" not in answer and len(answer) < _STATUS_LINE_BYTES:
                part = await loop.sock_recv(connection, _STATUS_LINE_BYTES)
                if not part:
                    return Said(None, "closed without an answer")
                answer += part
        except OSError as error:
            return Said(None, error.strerror or str(error))
        finally:
            connection.close()
        return _by_status(answer)


def _by_status(answer: bytes) -> Said:
    words = answer.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return Said(None, f"not HTTP: {answer[:40]!r}")
    return Said(int(200 <= int(words[1]) < 300), words[1].decode())


class _CommandQuestion:
    def __init__(self, check: CommandCheck, node: str, networks: NodeNetworks) -> None:
        self._check = check
        self._node = node
        self._networks = networks

    async def ask(self) -> Said:
        """Yes: exit code 0; no: another."""
        try:
            argv = self._argv(self._networks.init_process(self._node))
            child = await asyncio.create_subprocess_exec(
                *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
            )
        except NodeOff:
            return Said(None, "off")
        except OSError as error:
            return Said(None, error.strerror or str(error))
        try:
            code = await child.wait()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            raise
        return Said(int(code == 0), f"exit {code}")

    def _argv(self, process: int | None) -> list[str]:
        user = self._check.user
        identity = [] if user == "root" else [f"--reuid={user}", f"--regid={user}", "--init-groups"]
        # a command that hangs must not outlive the nsenter that is killed at the time-out
        argv = ["setpriv", "--pdeathsig=KILL", *identity, "--", *self._check.command]
        if process is None:
            return argv
        return ["nsenter", "-t", str(process), "-m", "-n", "-p", "-u", "-i", "-r", "-w", "--", *argv]
