"""A process that holds back, loses, doubles or spoils the frames of shaped links, where the kernel has no sch_netem.

The switch decides which frames leave by a shaped link, marks them and diverts them into a device of the relay's own; it reads
them there and sends them out of the port they were for. A relay that dies sends nothing: the link is cut, never unshaped.
Super-frames and open checksums pass as they are, so that a stream of gigabits is a few thousand reads a second.

Forked by a lab's holder, in the switch's network. Standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import heapq
import json
import os
import select
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import TypedDict

from chaoskit.agents.realtime import tune_process
from chaoskit.backends.linux_host import syscalls
from chaoskit.backends.linux_host.impairing import Impairment, ShapeJson
from chaoskit.backends.linux_host.node import widen
from chaoskit.linux import frames

LINKS_PER_RELAY = 0xFFF
"""The low bits of a frame's mark are the number of its link, from 1."""

_SOL_PACKET = 263
_PACKET_STATISTICS, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 6, 15, 23
_SO_TIMESTAMPNS, _SO_MARK, _SO_RCVMARK = 35, 36, 75
_ETH_P_ALL = 3
_SOCKET_BYTES = 32 << 20
_HELD_BYTES = 128 << 20
_LARGEST_FRAME_BYTES = 1 << 18
_READS_AT_ONCE = 64
_REPORT_EVERY_NS = 1_000_000_000
_REOPEN_EVERY_NS = 10_000_000
_GONE = (errno.ENETDOWN, errno.ENODEV, errno.ENXIO)


class RelayJson(TypedDict):
    """What a relay is told."""

    device: str
    """The device that diverted frames come in by."""
    ports: list[str]
    """Of each link, in the order of their marks: the switch port its frames go out of."""
    shape: ShapeJson
    seed: str


@dataclass
class _Exit:
    """The socket through which frames leave by one switch port; opened anew when a rebooted node's port is a new one."""

    port: str
    link: socket.socket | None = None
    tried_ns: int = 0

    def send(self, data: bytes, now_ns: int) -> bool:
        if self.link is None:
            if now_ns - self.tried_ns < _REOPEN_EVERY_NS:
                return False
            self.tried_ns = now_ns
            try:
                self.link = _packet_socket(self.port, 0)
            except OSError as error:
                if error.errno in _GONE:
                    return False
                raise
        try:
            self.link.send(data)
        except OSError as error:
            if error.errno in _GONE:
                self.link.close()
                self.link = None
                return False
            if error.errno not in (errno.EAGAIN, errno.ENOBUFS, errno.EMSGSIZE, errno.EINVAL):
                raise
            return False
        return True


def _packet_socket(device: str, protocol: int) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    try:
        made.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        widen(made, _SOCKET_BYTES)
        if protocol:
            made.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            made.setsockopt(socket.SOL_SOCKET, _SO_RCVMARK, 1)
            made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        made.bind((device, protocol))
    except OSError:
        made.close()
        raise
    return made


@dataclass
class Relay:
    """Reads until its control pipe closes, then sends what it still holds at once and ends."""

    plan: RelayJson
    control: int
    report: int
    _held: list[tuple[int, int, _Exit, bytes]] = field(default_factory=list)
    _held_bytes: int = 0
    _number: int = 0
    _overflowed: int = 0
    _unreadable: int = 0
    _reported_ns: int = 0

    def open(self) -> None:
        """OSError where the kernel lacks something: SO_RCVMARK came with Linux 5.19."""
        exits = {port: _Exit(port) for port in self.plan["ports"]}
        shape, seed = self.plan["shape"], self.plan["seed"]
        self._links = [(Impairment(shape, f"{seed}/{at}"), exits[port]) for at, port in enumerate(self.plan["ports"])]
        self._largest = shape["largest_bytes"]
        self._entrance = _packet_socket(self.plan["device"], _ETH_P_ALL)
        self._view = memoryview(bytearray(_LARGEST_FRAME_BYTES))
        self._ancillary_bytes = socket.CMSG_SPACE(16) + socket.CMSG_SPACE(4)

    def run(self) -> None:
        watched = [self._entrance.fileno(), self.control]
        while True:
            now_ns = time.monotonic_ns()
            self._send_due(now_ns)
            wait_s = max(0, self._held[0][0] - time.monotonic_ns()) / 1e9 if self._held else 1.0
            readable, _, _ = select.select(watched, (), (), min(wait_s, 1.0))
            if self.control in readable:
                self._let_go()
                return
            if readable:
                self._receive()
            if now_ns - self._reported_ns > _REPORT_EVERY_NS:
                self._say(now_ns)

    def _send_due(self, now_ns: int) -> None:
        held = self._held
        while held and held[0][0] <= now_ns:
            _, _, leaving, data = heapq.heappop(held)
            self._held_bytes -= len(data)
            leaving.send(data, now_ns)

    def _receive(self) -> bool:
        """Take what has come; False once there is nothing more."""
        receive, view = self._entrance.recvmsg_into, self._view
        to_monotonic_ns = time.monotonic_ns() - time.time_ns()  # the kernel stamps frames with the wall clock
        for _ in range(_READS_AT_ONCE):
            try:
                size, ancillary, flags, _ = receive([view], self._ancillary_bytes)
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._unreadable += 1  # a kind of super-frame that the header cannot describe
                continue
            mark, arrived_ns = 0, 0
            for _, kind, value in ancillary:
                if kind == _SO_TIMESTAMPNS:
                    seconds, nanoseconds = struct.unpack("=qq", value)
                    arrived_ns = seconds * 1_000_000_000 + nanoseconds + to_monotonic_ns
                elif kind == _SO_MARK:
                    (mark,) = struct.unpack("=I", value)
            number = mark & LINKS_PER_RELAY
            if flags & socket.MSG_TRUNC or not 0 < number <= len(self._links):
                self._unreadable += number != 0
                continue  # the kernel's own chatter on the device has no mark
            self._take(bytes(view[:size]), number - 1, arrived_ns or time.monotonic_ns())
        return True

    def _take(self, data: bytes, number: int, arrived_ns: int) -> None:
        impairment, leaving = self._links[number]
        if self._largest and frames.packet_bytes(data) > self._largest:
            return
        for due_ns in impairment.fates(arrived_ns, len(data) - frames.VNET_HEADER_BYTES):
            if self._held_bytes + len(data) > _HELD_BYTES:
                self._overflowed += 1
                continue
            whole = frames.corrupted(data, impairment.bit()) if impairment.is_corrupted() else data
            self._number += 1  # frames due at one instant stay in order
            self._held_bytes += len(whole)
            heapq.heappush(self._held, (due_ns, self._number, leaving, whole))

    def _let_go(self) -> None:
        """Its links have their frames go straight again: send on what was underway, in order, instead of losing it."""
        while self._receive():
            pass
        self._send_due(1 << 62)

    def _say(self, now_ns: int) -> None:
        """What was lost beyond what was asked, if anything was."""
        self._reported_ns = now_ns
        _, missed = struct.unpack("=II", self._entrance.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        said = {"overflowed": self._overflowed + missed, "unreadable": self._unreadable}
        self._overflowed = self._unreadable = 0
        if any(said.values()):
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(self.report, json.dumps(said).encode() + b"\n")


def relay(plan: RelayJson, control: int, report: int) -> int:
    """The body of the relay's process: `ready` or `error TEXT` on the pipe `report`, then a JSON line for each trouble."""
    syscalls.die_with_parent()
    syscalls.name_process("chaoskit-relay")
    os.set_blocking(report, False)
    made = Relay(plan, control, report)
    try:
        made.open()
    except OSError as error:
        os.write(report, f"error {error}\n".encode())
        return 1
    refused = tune_process(real_time=True)
    gc.disable()  # nothing here makes cycles
    if refused:
        print(f"relay {plan['device']}: {'; '.join(refused)}", flush=True)
    os.write(report, b"ready\n")
    made.run()
    return 0
