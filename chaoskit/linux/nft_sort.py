"""Frames of chosen links sorted out of a switch, as nftables transactions. Pure: bytes out.

The switch itself decides by which port a frame leaves (learned addresses, floods, its cuts); a rule in its forward chain then
gives the frames of a link a mark or a priority. Cuts come first in that chain, so a cut link stays cut.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from chaoskit.linux import nft_messages as nf
from chaoskit.linux.nft import between, table_name

_HOOK_FORWARD = 2
_HOOK_INGRESS, _HOOK_EGRESS = 0, 1
_AFTER_CUTS = -200

Pair = tuple[str, str]
"""(the port frames come in by, the port they would leave by)."""


def marked(tag: str, marks: Mapping[Pair, int]) -> bytes:
    """One transaction: frames from the first port of a pair to the second carry its mark when they leave."""
    return _sorted(tag, marks, nf.META_MARK)


def prioritised(tag: str, priorities: Mapping[Pair, int]) -> bytes:
    """One transaction: frames from the first port of a pair to the second carry its priority, which names a class of HTB."""
    return _sorted(tag, priorities, nf.META_PRIORITY)


def _sorted(tag: str, numbers: Mapping[Pair, int], key: int) -> bytes:
    rules = [[*between(*pair), *nf.meta_set(key, _word(number))] for pair, number in numbers.items()]
    return nf.transaction(nf.chain_of_rules(table_name(tag), _HOOK_FORWARD, _AFTER_CUTS, rules))


def diverted(tag: str, port: str, marks: Sequence[int], device: int) -> bytes:
    """One transaction: frames with these marks that are about to leave by `port` go out of the device with this index instead."""
    rules = [
        [
            nf.meta(nf.META_MARK),
            nf.compared(nf.EQUAL, _word(mark)),
            nf.immediate(_word(device)),
            nf.expression("fwd", [("NFTA_FWD_SREG_DEV", 1)]),
        ]
        for mark in marks
    ]
    table = diversion_table(tag, port)
    return nf.transaction(nf.chain_of_rules(table, _HOOK_EGRESS, 0, rules, family=nf.NFPROTO_NETDEV, device=port))


def swallowed(tag: str, device: str) -> bytes:
    """One transaction: what comes in by `device` ends there; packet sockets on it have seen it before."""
    table = diversion_table(tag, device)
    return nf.transaction(nf.chain_of_rules(table, _HOOK_INGRESS, 0, [[nf.drop()]], family=nf.NFPROTO_NETDEV, device=device))


def diversion_table(tag: str, port: str) -> str:
    """One table a port: a port that comes back with its rebooted node gets its own anew."""
    return f"{table_name(tag)}_{port}"


def unsorted(tag: str, devices: Sequence[str]) -> bytes:
    """One transaction that removes the marks of this tag and its diversions at these ports; harmless where there are none."""
    tables = [message for device in devices for message in nf.removal(diversion_table(tag, device), nf.NFPROTO_NETDEV)]
    return nf.transaction([*nf.removal(table_name(tag)), *tables])


def _word(number: int) -> bytes:
    return number.to_bytes(4, sys.byteorder)
