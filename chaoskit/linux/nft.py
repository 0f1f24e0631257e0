"""Cuts as nftables transactions of the bridge family. Pure: bytes out, answers in.

A cut is one table of its own, so that undoing it removes exactly it. Its rules match the switch's *ports*, not addresses:
ARP, IPv6, multicast (VRRP) and virtual addresses are cut alike, and a rebooted node comes back behind the same cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

from chaoskit.linux import message_classes
from chaoskit.linux import nft_messages as nf
from chaoskit.linux.netlink import NLM_F_DUMP, messages

NFPROTO_BRIDGE = nf.NFPROTO_BRIDGE
_HOOK_FORWARD = 2
_HOOK_PREROUTING = 0
_PRIORITY = -300
_TCP, _UDP = 6, 17

Span = tuple[int, int]
"""First and last of some ports of TCP or UDP."""
PortPair = tuple[str | None, str | None]
"""(the port frames come in by, the port they would leave by); None: any."""


def table_name(tag: str) -> str:
    """The table of a cut: `ck_` and the tag, or its hash where the tag is long or has other characters."""
    if re.fullmatch(r"[A-Za-z0-9_]{1,48}", tag):
        return f"ck_{tag}"
    readable = re.sub(r"[^A-Za-z0-9_]", "_", tag)[:32]
    return f"ck_{readable}_{sha256(tag.encode()).hexdigest()[:12]}"


def cut(tag: str, pairs: Iterable[PortPair]) -> bytes:
    """One transaction: drop, and count, every frame from the first port of a pair to the second.

    It replaces a cut of the same tag (the table is added, deleted and added within the transaction).
    """
    name = table_name(tag)
    return _replaced(name, _HOOK_FORWARD, nf.rules_for_pairs(name, pairs, [_counted_drop()]))


def block(tag: str, pairs: Iterable[PortPair], tcp: Sequence[Span], udp: Sequence[Span]) -> bytes:
    """One transaction: drop, and count, every packet to these ports from the first switch port of a pair to the second."""
    name = table_name(tag)
    return _replaced(name, _HOOK_FORWARD, nf.rules_for_pairs(name, pairs, dropping_ports(tcp, udp)))


def reject(tag: str, pairs: Iterable[tuple[str, str]], tcp: Sequence[Span], udp: Sequence[Span]) -> bytes:
    """One transaction: answer every packet to these ports with a TCP reset or an ICMP port unreachable, and drop and count it.

    A pair is a switch port and the hardware address its frames are for: the bridge family rejects before it has chosen the way.
    """
    rules = [
        [
            *nf.port_is(nf.META_IIFNAME, came_in),
            *_for_hardware(address),
            *_to_ports(protocol, span),
            nf.counter(),
            _rejection(protocol),
        ]
        for came_in, address in pairs
        for protocol, span in _spans(tcp, udp)
    ]
    return _replaced(table_name(tag), _HOOK_PREROUTING, rules)


def first_cut(tag: str, pairs: Iterable[PortPair]) -> bytes:
    """As `cut`, where there is no cut of this tag yet: EEXIST where there is. It takes the kernel a tenth of the time, because
    whatever deletes a table waits until nobody looks at it any more."""
    name = table_name(tag)
    rules = nf.rules_for_pairs(name, pairs, [_counted_drop()])
    return nf.transaction(nf.chain_of_rules(name, _HOOK_FORWARD, _PRIORITY, rules, replaces=False))


def between(came_in: str | None, would_leave: str | None) -> list[nf.Expression]:
    """Matches frames from the first port to the second."""
    return [*nf.port_is(nf.META_IIFNAME, came_in), *nf.port_is(nf.META_OIFNAME, would_leave)]


def _spans(tcp: Sequence[Span], udp: Sequence[Span]) -> list[tuple[int, Span]]:
    return [*((_TCP, span) for span in tcp), *((_UDP, span) for span in udp)]


def _replaced(name: str, hook: int, rules: Iterable[list[nf.Expression] | nf.Message]) -> bytes:
    return nf.transaction(nf.chain_of_rules(name, hook, _PRIORITY, rules))


def silence(tag: str, ports: Iterable[str]) -> bytes:
    """One transaction after which nothing passes these ports either way; neither end loses its carrier."""
    return cut(tag, [pair for port in ports for pair in ((port, None), (None, port))])


def join(tag: str) -> bytes:
    """One transaction that removes the cut. The kernel answers ENOENT where there is none."""
    return nf.transaction([nf.deletion(table_name(tag))])


def rules_of(tag: str) -> bytes:
    """A request for the rules of a cut, with their counters."""
    message = message_classes.nft_rule()
    message["nfgen_family"] = NFPROTO_BRIDGE
    message["attrs"] = [("NFTA_RULE_TABLE", table_name(tag))]
    return nf.encoded(message, nf.GETRULE, NLM_F_DUMP, 1)


def dropped(tag: str, replies: bytes) -> int:
    """Frames counted by the rules in the kernel's replies to `rules_of`."""
    total = 0
    for reply in messages(replies):
        if reply.type != (nf.SUBSYSTEM << 8 | nf.NEWRULE):
            continue
        rule = message_classes.nft_rule(reply.raw)
        rule.decode()
        if rule.get_attr("NFTA_RULE_TABLE") == table_name(tag):
            total += sum(_counted(expression) for expression in rule.get_attr("NFTA_RULE_EXPRESSIONS") or ())
    return total


def _counted(expression: Any) -> int:
    if expression.get_attr("NFTA_EXPR_NAME") != "counter":
        return 0
    return int(expression.get_attr("NFTA_EXPR_DATA").get_attr("NFTA_COUNTER_PACKETS"))


_REJECT_TCP_RESET, _REJECT_ICMPX = 1, 2
_PORT_UNREACHABLE = 1


def _to_ports(protocol: int, span: Span) -> list[nf.Expression]:
    first, last = (number.to_bytes(2, "big") for number in span)  # in network order the kernel compares them as numbers
    within = [nf.compared(nf.EQUAL, first)] if first == last else [nf.compared(nf.AT_LEAST, first), nf.compared(nf.AT_MOST, last)]
    return [
        nf.meta(nf.META_L4PROTO),
        nf.compared(nf.EQUAL, bytes([protocol])),
        nf.loaded(nf.TRANSPORT_HEADER, 2, 2),
        *within,
    ]


def _for_hardware(address: str) -> list[nf.Expression]:
    return [nf.loaded(nf.LINK_HEADER, 0, 6), nf.compared(nf.EQUAL, bytes.fromhex(address.replace(":", "")))]


def dropping() -> list[nf.Expression]:
    """What a rule does that drops and counts."""
    return _counted_drop()


def dropping_ports(tcp: Sequence[Span], udp: Sequence[Span]) -> list[list[nf.Expression]]:
    """What rules match and do that drop and count packets to these ports, one for each span."""
    return [[*_to_ports(protocol, span), *_counted_drop()] for protocol, span in _spans(tcp, udp)]


def _counted_drop() -> list[nf.Expression]:
    return [nf.counter(), nf.drop()]


def _rejection(protocol: int) -> nf.Expression:
    if protocol == _TCP:
        return nf.expression("reject", [("NFTA_REJECT_TYPE", _REJECT_TCP_RESET)])
    return nf.expression("reject", [("NFTA_REJECT_TYPE", _REJECT_ICMPX), ("NFTA_REJECT_ICMP_CODE", _PORT_UNREACHABLE)])
