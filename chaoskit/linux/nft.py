"""Cuts as nftables transactions of the bridge family. Pure: bytes out, answers in.

A cut is one table of its own, so that undoing it removes exactly it. Its rules match the switch's *ports*, not addresses:
ARP, IPv6, multicast (VRRP) and virtual addresses are cut alike, and a rebooted node comes back behind the same cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

from pyroute2.netlink.nfnetlink import nfgen_msg
from pyroute2.netlink.nfnetlink.nftsocket import nft_chain_msg, nft_rule_msg, nft_table_msg

from chaoskit.linux.netlink import NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST, messages

NFPROTO_BRIDGE = 7
_SUBSYSTEM = 10
_BATCH_BEGIN = 0x10
_BATCH_END = 0x11
_NEWTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE, _GETRULE = 0, 2, 3, 6, 7
_HOOK_FORWARD = 2
_HOOK_PREROUTING = 0
_PRIORITY = -300
_IFNAMSIZ = 16
_CHAIN = "chaos"
_TCP, _UDP = 6, 17

PortPair = tuple[str | None, str | None]
"""(the port frames come in by, the port they would leave by); None: any."""


def table_name(tag: str) -> str:
    """The table of a cut: `ck_` and the tag, or its hash where the tag is long or has other characters."""
    if re.fullmatch(r"[A-Za-z0-9_]{1,48}", tag):
        return f"ck_{tag}"
    readable = re.sub(r"[^A-Za-z0-9_]", "_", tag)[:32]
    return f"ck_{readable}_{sha256(tag.encode()).hexdigest()[:12]}"


def cut(tag: str, pairs: Iterable[PortPair], share_percent: float = 100.0) -> bytes:
    """One transaction: drop, and count, every frame from the first port of a pair to the second.

    It replaces a cut of the same tag (the table is added, deleted and added within the transaction).
    """
    rules = [
        [*_port_is("IIFNAME", came_in), *_port_is("OIFNAME", would_leave), *_by_chance(share_percent), *_counted_drop()]
        for came_in, would_leave in pairs
    ]
    return _replaced(table_name(tag), _HOOK_FORWARD, rules)


def block(tag: str, pairs: Iterable[PortPair], tcp: Sequence[int], udp: Sequence[int]) -> bytes:
    """One transaction: drop, and count, every packet to these ports from the first switch port of a pair to the second."""
    rules = [
        [*_port_is("IIFNAME", came_in), *_port_is("OIFNAME", would_leave), *_to_port(protocol, number), *_counted_drop()]
        for came_in, would_leave in pairs
        for protocol, number in _numbered(tcp, udp)
    ]
    return _replaced(table_name(tag), _HOOK_FORWARD, rules)


def reject(tag: str, pairs: Iterable[tuple[str, str]], tcp: Sequence[int], udp: Sequence[int]) -> bytes:
    """One transaction: answer every packet to these ports with a TCP reset or an ICMP port unreachable, and drop and count it.

    A pair is a switch port and the hardware address its frames are for: the bridge family rejects before it has chosen the way.
    """
    rules = [
        [*_port_is("IIFNAME", came_in), *_for_hardware(address), *_to_port(protocol, number), _counter(), _rejection(protocol)]
        for came_in, address in pairs
        for protocol, number in _numbered(tcp, udp)
    ]
    return _replaced(table_name(tag), _HOOK_PREROUTING, rules)


def _numbered(tcp: Sequence[int], udp: Sequence[int]) -> list[tuple[int, int]]:
    return [*((_TCP, number) for number in tcp), *((_UDP, number) for number in udp)]


def _replaced(name: str, hook: int, rules: Iterable[list[dict[str, Any]]]) -> bytes:
    body = [
        _table(_NEWTABLE, name, NLM_F_CREATE),
        _table(_DELTABLE, name, 0),
        _table(_NEWTABLE, name, NLM_F_CREATE),
        _chain(name, hook),
    ]
    return _transaction([*body, *(_rule(name, expressions) for expressions in rules)])


def silence(tag: str, ports: Iterable[str]) -> bytes:
    """One transaction after which nothing passes these ports either way; neither end loses its carrier."""
    return cut(tag, [pair for port in ports for pair in ((port, None), (None, port))])


def join(tag: str) -> bytes:
    """One transaction that removes the cut. The kernel answers ENOENT where there is none."""
    return _transaction([_table(_DELTABLE, table_name(tag), 0)])


def rules_of(tag: str) -> bytes:
    """A request for the rules of a cut, with their counters."""
    message = nft_rule_msg()
    message["attrs"] = [("NFTA_RULE_TABLE", table_name(tag))]
    return _encoded(message, _GETRULE, NLM_F_DUMP, 1)


def dropped(tag: str, replies: bytes) -> int:
    """Frames counted by the rules in the kernel's replies to `rules_of`."""
    total = 0
    for reply in messages(replies):
        if reply.type != (_SUBSYSTEM << 8 | _NEWRULE):
            continue
        rule = nft_rule_msg(reply.raw)
        rule.decode()
        if rule.get_attr("NFTA_RULE_TABLE") == table_name(tag):
            total += sum(_counted(expression) for expression in rule.get_attr("NFTA_RULE_EXPRESSIONS") or ())
    return total


def _counted(expression: Any) -> int:
    if expression.get_attr("NFTA_EXPR_NAME") != "counter":
        return 0
    return int(expression.get_attr("NFTA_EXPR_DATA").get_attr("NFTA_COUNTER_PACKETS"))


def _table(kind: int, name: str, flags: int) -> tuple[Any, int, int]:
    message = nft_table_msg()
    message["attrs"] = [("NFTA_TABLE_NAME", name)]
    return message, kind, flags


def _chain(table: str, number: int) -> tuple[Any, int, int]:
    message = nft_chain_msg()
    hook = {"attrs": [("NFTA_HOOK_HOOKNUM", number), ("NFTA_HOOK_PRIORITY", _PRIORITY)]}
    message["attrs"] = [
        ("NFTA_CHAIN_TABLE", table),
        ("NFTA_CHAIN_NAME", _CHAIN),
        ("NFTA_CHAIN_HOOK", hook),
        ("NFTA_CHAIN_POLICY", 1),  # NF_ACCEPT
        ("NFTA_CHAIN_TYPE", "filter"),
    ]
    return message, _NEWCHAIN, NLM_F_CREATE


def _rule(table: str, expressions: list[dict[str, Any]]) -> tuple[Any, int, int]:
    message = nft_rule_msg()
    message["attrs"] = [
        ("NFTA_RULE_TABLE", table),
        ("NFTA_RULE_CHAIN", _CHAIN),
        ("NFTA_RULE_EXPRESSIONS", expressions),
    ]
    return message, _NEWRULE, NLM_F_CREATE | NLM_F_APPEND


_META_KEYS = {"IIFNAME": 6, "OIFNAME": 7}


def _port_is(key: str, port: str | None) -> list[dict[str, Any]]:
    if port is None:
        return []
    name = port.encode().ljust(_IFNAMSIZ, b"\0")
    if len(port.encode()) >= _IFNAMSIZ:
        raise ValueError(f"port name {port!r} is longer than {_IFNAMSIZ - 1} bytes")
    return [
        _expression("meta", [("NFTA_META_KEY", _META_KEYS[key]), ("NFTA_META_DREG", 1)]),
        _compared(_EQUAL, name),
    ]


_EQUAL, _LESS = 0, 2
_CHANCES = 1_000_000


def _by_chance(share_percent: float) -> list[dict[str, Any]]:
    if share_percent >= 100:
        return []
    return [
        _expression("numgen", [("NFTA_NG_DREG", 1), ("NFTA_NG_MODULUS", _CHANCES), ("NFTA_NG_TYPE", 1), ("NFTA_NG_OFFSET", 0)]),
        _expression(  # the number is the machine's, comparing is bytewise
            "byteorder",
            [
                ("NFTA_BYTEORDER_SREG", 1),
                ("NFTA_BYTEORDER_DREG", 1),
                ("NFTA_BYTEORDER_OP", 1),
                ("NFTA_BYTEORDER_LEN", 4),
                ("NFTA_BYTEORDER_SIZE", 4),
            ],
        ),
        _compared(_LESS, round(share_percent / 100 * _CHANCES).to_bytes(4, "big")),
    ]


_META_L4PROTO = 16
_LINK_HEADER, _TRANSPORT_HEADER = 0, 2
_REJECT_TCP_RESET, _REJECT_ICMPX = 1, 2
_PORT_UNREACHABLE = 1


def _to_port(protocol: int, number: int) -> list[dict[str, Any]]:
    return [
        _expression("meta", [("NFTA_META_KEY", _META_L4PROTO), ("NFTA_META_DREG", 1)]),
        _compared(_EQUAL, bytes([protocol])),
        _loaded(_TRANSPORT_HEADER, 2, 2),
        _compared(_EQUAL, number.to_bytes(2, "big")),
    ]


def _for_hardware(address: str) -> list[dict[str, Any]]:
    return [_loaded(_LINK_HEADER, 0, 6), _compared(_EQUAL, bytes.fromhex(address.replace(":", "")))]


def _loaded(base: int, offset: int, length: int) -> dict[str, Any]:
    place = [("NFTA_PAYLOAD_BASE", base), ("NFTA_PAYLOAD_OFFSET", offset), ("NFTA_PAYLOAD_LEN", length)]
    return _expression("payload", [("NFTA_PAYLOAD_DREG", 1), *place])


def _compared(how: int, value: bytes) -> dict[str, Any]:
    data = {"attrs": [("NFTA_DATA_VALUE", value)]}
    return _expression("cmp", [("NFTA_CMP_SREG", 1), ("NFTA_CMP_OP", how), ("NFTA_CMP_DATA", data)])


def _counter() -> dict[str, Any]:
    return _expression("counter", [("NFTA_COUNTER_BYTES", 0), ("NFTA_COUNTER_PACKETS", 0)])


def _counted_drop() -> list[dict[str, Any]]:
    drop = {"attrs": [("NFTA_DATA_VERDICT", {"attrs": [("NFTA_VERDICT_CODE", 0)]})]}
    return [_counter(), _expression("immediate", [("NFTA_IMMEDIATE_DREG", 0), ("NFTA_IMMEDIATE_DATA", drop)])]


def _rejection(protocol: int) -> dict[str, Any]:
    if protocol == _TCP:
        return _expression("reject", [("NFTA_REJECT_TYPE", _REJECT_TCP_RESET)])
    return _expression("reject", [("NFTA_REJECT_TYPE", _REJECT_ICMPX), ("NFTA_REJECT_ICMP_CODE", _PORT_UNREACHABLE)])


def _expression(name: str, attributes: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    return {"attrs": [("NFTA_EXPR_NAME", name), ("NFTA_EXPR_DATA", {"attrs": list(attributes)})]}


def _transaction(body: Sequence[tuple[Any, int, int]]) -> bytes:
    data = _bound(_BATCH_BEGIN, 1)
    for sequence, (message, kind, flags) in enumerate(body, start=2):
        # errors come unasked; one acknowledgement at the end keeps a thousand of them from overrunning the socket
        last = sequence == len(body) + 1
        data += _encoded(message, kind, flags | (NLM_F_ACK if last else 0), sequence)
    return data + _bound(_BATCH_END, len(body) + 2)


def _bound(kind: int, sequence: int) -> bytes:
    message = nfgen_msg()
    message["res_id"] = _SUBSYSTEM
    message["header"]["type"] = kind
    message["header"]["flags"] = NLM_F_REQUEST
    message["header"]["sequence_number"] = sequence
    message.encode()
    return bytes(message.data)


def _encoded(message: Any, kind: int, flags: int, sequence: int) -> bytes:
    message["nfgen_family"] = NFPROTO_BRIDGE
    message["header"]["type"] = _SUBSYSTEM << 8 | kind
    message["header"]["flags"] = NLM_F_REQUEST | flags
    message["header"]["sequence_number"] = sequence
    message["header"]["pid"] = 0
    message.encode()
    return bytes(message.data)
