"""Sends netlink batches in the calling thread's network namespace and reads every answer."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Collection

from chaoskit.backends.linux_host.wire import Refused
from chaoskit.linux import netlink

_SOL_NETLINK = 270
_NETLINK_EXT_ACK = 11
_DEADLINE_S = 5.0


def _opened(family: int) -> socket.socket:
    link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
    link.settimeout(_DEADLINE_S)
    link.bind((0, 0))
    link.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
    # a transaction of a thousand rules must fit into one datagram, and so must its answers
    for option, size in ((socket.SO_SNDBUF, 1 << 22), (socket.SO_RCVBUF, 1 << 22)):
        link.setsockopt(socket.SOL_SOCKET, option, size)
    return link


def send_batch(family: int, batch: bytes, tolerate: Collection[int] = ()) -> None:
    """Send a batch and wait until the kernel has answered each message that asks for it.

    Refused with the kernel's words for the first message that failed, unless its errno is in `tolerate`, and where answers
    are missing after five seconds.
    """
    waiting = set(netlink.expected_acks(batch))
    failed: netlink.Answer | None = None
    with _opened(family) as link:
        link.send(batch)
        while waiting:
            try:
                data = link.recv(1 << 20)
            except TimeoutError:
                raise Refused("the kernel did not answer", f"{len(waiting)} messages of the batch are open") from None
            for message in netlink.messages(data):
                answer = netlink.answer(message)
                if answer is None:
                    continue
                waiting.discard(answer.sequence)
                if answer.errno and answer.errno not in tolerate and failed is None:
                    failed = answer
                if answer.errno and answer.sequence not in netlink.expected_acks(batch):
                    waiting.clear()  # the transaction as a whole was refused
    if failed is not None:
        name = errno.errorcode.get(failed.errno, str(failed.errno))
        raise Refused(f"netlink message {failed.sequence}: {name} ({os.strerror(failed.errno)})", failed.text)


def dump(family: int, request: bytes) -> bytes:
    """Every datagram of the answer to a dump request. Refused where the kernel answers with an error."""
    collected = b""
    with _opened(family) as link:
        link.send(request)
        while True:
            try:
                data = link.recv(1 << 20)
            except TimeoutError:
                raise Refused("the kernel did not answer the dump", f"{len(collected)} bytes so far") from None
            collected += data
            for message in netlink.messages(data):
                answer = netlink.answer(message)
                if answer is not None and answer.errno:
                    raise Refused(f"netlink dump: {os.strerror(answer.errno)}", answer.text)
                if message.type == netlink.NLMSG_DONE or answer is not None:
                    return collected
