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
_PRIORITY = -300
_IFNAMSIZ = 16
_CHAIN = "forward"

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
    body = [
        _table(_NEWTABLE, name, NLM_F_CREATE),
        _table(_DELTABLE, name, 0),
        _table(_NEWTABLE, name, NLM_F_CREATE),
        _chain(name),
    ]
    body += [_rule(name, came_in, would_leave) for came_in, would_leave in pairs]
    return _transaction(body)


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


def _chain(table: str) -> tuple[Any, int, int]:
    message = nft_chain_msg()
    hook = {"attrs": [("NFTA_HOOK_HOOKNUM", _HOOK_FORWARD), ("NFTA_HOOK_PRIORITY", _PRIORITY)]}
    message["attrs"] = [
        ("NFTA_CHAIN_TABLE", table),
        ("NFTA_CHAIN_NAME", _CHAIN),
        ("NFTA_CHAIN_HOOK", hook),
        ("NFTA_CHAIN_POLICY", 1),  # NF_ACCEPT
        ("NFTA_CHAIN_TYPE", "filter"),
    ]
    return message, _NEWCHAIN, NLM_F_CREATE


def _rule(table: str, came_in: str | None, would_leave: str | None) -> tuple[Any, int, int]:
    drop = {"attrs": [("NFTA_DATA_VERDICT", {"attrs": [("NFTA_VERDICT_CODE", 0)]})]}
    expressions = [
        *_port_is("IIFNAME", came_in),
        *_port_is("OIFNAME", would_leave),
        _expression("counter", [("NFTA_COUNTER_BYTES", 0), ("NFTA_COUNTER_PACKETS", 0)]),
        _expression("immediate", [("NFTA_IMMEDIATE_DREG", 0), ("NFTA_IMMEDIATE_DATA", drop)]),
    ]
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
        _expression(
            "cmp",
            [("NFTA_CMP_SREG", 1), ("NFTA_CMP_OP", 0), ("NFTA_CMP_DATA", {"attrs": [("NFTA_DATA_VALUE", name)]})],
        ),
    ]


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
