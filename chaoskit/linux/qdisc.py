"""Queueing disciplines that shape links in the kernel, as netlink messages. Pure: bytes out.

A port gets an HTB root that lets everything pass, and in it a class with a netem leaf for each shaped link that ends there. HTB
takes a frame's priority for a class where it names one, so no filters are needed: nftables sets the priority (`nft_sort`).
"""

from __future__ import annotations

import struct

from chaoskit.linux.distributions import table
from chaoskit.linux.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST

RTM_NEWQDISC, RTM_DELQDISC = 36, 37
RTM_NEWTCLASS, RTM_DELTCLASS = 40, 41
_ROOT = 0xFFFFFFFF
MAJOR = 0x01C5 << 16
"""Of the HTB root; a class is this plus its number."""

_NEW = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
_DELETE = NLM_F_REQUEST | NLM_F_ACK
_TCA_KIND, _TCA_OPTIONS = 1, 2
_HTB_PARMS, _HTB_INIT = 1, 2
_NETEM_DELAY_DIST, _NETEM_REORDER, _NETEM_CORRUPT, _NETEM_LOSS, _NETEM_RATE = 2, 3, 4, 5, 6
_NETEM_RATE64, _NETEM_LATENCY64, _NETEM_JITTER64 = 8, 10, 11
_LOSS_GILBERT_ELLIOT = 2
_MOST_BYTES_PER_S = 0xFFFFFFFF
_HTB_BUFFER_TICKS = 1 << 20
_HTB_QUANTUM_BYTES = 200_000
_CHANCES = 0xFFFFFFFF


def priority(number: int) -> int:
    """What a frame's priority must be to get into the class of this number."""
    return MAJOR | number


def root(port: int) -> bytes:
    """Give a port (by index) an HTB root that lets through, unhindered, whatever names no class."""
    init = struct.pack("=IIIII", 3, 10, 0, 0, 0)  # version, rate to quantum, default class: none
    return _message(RTM_NEWQDISC, _NEW, port, MAJOR, _ROOT, "htb", _attribute(_HTB_INIT, init))


def no_root(port: int) -> bytes:
    """Take it away, with everything in it."""
    return _message(RTM_DELQDISC, _DELETE, port, MAJOR, _ROOT)


def unlimited_class(port: int, number: int) -> bytes:
    """A class that is as fast as the machine."""
    rate = struct.pack("=BBHhHI", 0, 1, 0, -1, 0, _MOST_BYTES_PER_S)  # link layer Ethernet
    rest = struct.pack("=IIIII", _HTB_BUFFER_TICKS, _HTB_BUFFER_TICKS, _HTB_QUANTUM_BYTES, 0, 0)
    return _message(RTM_NEWTCLASS, _NEW, port, MAJOR | number, MAJOR, "htb", _attribute(_HTB_PARMS, rate + rate + rest))


def no_class(port: int, number: int) -> bytes:
    """Take a class away, with its leaf and whatever waits in it."""
    return _message(RTM_DELTCLASS, _DELETE, port, MAJOR | number, MAJOR)


def netem(
    port: int,
    parent: int,
    *,
    delay_s: float = 0.0,
    jitter_s: float = 0.0,
    distribution: str = "uniform",
    loss_percent: float = 0.0,
    burst_frames: float = 0.0,
    reorder_percent: float = 0.0,
    corrupt_percent: float = 0.0,
    rate_bits_per_s: float = 0.0,
    limit_frames: int = 100_000,
) -> bytes:
    """A netem leaf of a class (`priority`), or of the port itself (`AT_ROOT`)."""
    random_loss = 0 if burst_frames > 1 else _chance(loss_percent)
    options = struct.pack("=IIIIII", 0, limit_frames, random_loss, 1 if reorder_percent else 0, 0, 0)
    options += _attribute(_NETEM_LATENCY64, struct.pack("=q", round(delay_s * 1e9)))
    options += _attribute(_NETEM_JITTER64, struct.pack("=q", round(jitter_s * 1e9)))
    if burst_frames > 1:
        ends = 1 / burst_frames
        begins = min(1.0, ends * loss_percent / (100 - loss_percent))
        chain = struct.pack(
            "=IIII", _chance(100 * begins), _chance(100 * ends), 0, 0
        )  # a bad link spares none, a good loses none
        options += _attribute(_NETEM_LOSS, _attribute(_LOSS_GILBERT_ELLIOT, chain))
    if reorder_percent:
        options += _attribute(_NETEM_REORDER, struct.pack("=II", _chance(reorder_percent), 0))
    if corrupt_percent:
        options += _attribute(_NETEM_CORRUPT, struct.pack("=II", _chance(corrupt_percent), 0))
    if rate_bits_per_s:
        bytes_per_s = round(rate_bits_per_s / 8)
        options += _attribute(_NETEM_RATE, struct.pack("=IiIi", min(bytes_per_s, _MOST_BYTES_PER_S), 0, 0, 0))
    if jitter_s and (entries := table(distribution)):
        options += _attribute(_NETEM_DELAY_DIST, struct.pack(f"={len(entries)}h", *entries))
    return _message(RTM_NEWQDISC, _NEW, port, 0, parent, "netem", options)


AT_ROOT = _ROOT


def no_netem_root(port: int) -> bytes:
    """Take a netem away that is a port's root."""
    return _message(RTM_DELQDISC, _DELETE, port, 0, _ROOT)


def _chance(percent: float) -> int:
    return round(percent / 100 * _CHANCES)


def _message(kind: int, flags: int, port: int, handle: int, parent: int, name: str = "", options: bytes = b"") -> bytes:
    body = struct.pack("=BxxxiIII", 0, port, handle, parent, 0)
    if name:
        body += _attribute(_TCA_KIND, name.encode() + b"\0") + _attribute(_TCA_OPTIONS, options)
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)
