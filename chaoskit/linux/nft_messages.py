"""nftables messages: tables, chains, rules and their expressions, framed as one transaction. Pure: bytes out."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from chaoskit.linux import message_classes
from chaoskit.linux.netlink import NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST

NFPROTO_NETDEV = 5
NFPROTO_BRIDGE = 7
SUBSYSTEM = 10
NEWRULE, GETRULE = 6, 7
_BATCH_BEGIN = 0x10
_BATCH_END = 0x11
_NEWTABLE, _DELTABLE, _NEWCHAIN = 0, 2, 3
_IFNAMSIZ = 16
_CHAIN = "chaos"

EQUAL, AT_MOST, AT_LEAST = 0, 3, 5
LINK_HEADER, TRANSPORT_HEADER = 0, 2
META_MARK, META_IIFNAME, META_OIFNAME, META_L4PROTO, META_PRIORITY = 3, 6, 7, 16, 2


Message = tuple[Any, int, int]
"""A message (or the bytes of one, encoded before), its kind, and its flags."""
Expression = dict[str, Any]


def chain_of_rules(
    table: str,
    hook: int,
    priority: int,
    rules: Iterable[list[Expression] | Message],
    *,
    family: int = NFPROTO_BRIDGE,
    device: str = "",
    replaces: bool = True,
) -> list[Message]:
    """A table with one chain of these rules. It replaces a table of that name (added, deleted and added in one transaction),
    or else must be the first (EEXIST)."""
    body = [
        *(removal(table, family) if replaces else ()),
        _table(_NEWTABLE, table, NLM_F_CREATE if replaces else NLM_F_CREATE | NLM_F_EXCL, family),
        _chain(table, hook, priority, family, device),
    ]
    return [*body, *(rule if isinstance(rule, tuple) else _rule(table, rule, family) for rule in rules)]


def removal(table: str, family: int = NFPROTO_BRIDGE) -> list[Message]:
    """Removes a table, and is content where there is none."""
    return [_table(_NEWTABLE, table, NLM_F_CREATE, family), _table(_DELTABLE, table, 0, family)]


def deletion(table: str) -> Message:
    """Removes a table of the bridge family. ENOENT where there is none."""
    return _table(_DELTABLE, table, 0, NFPROTO_BRIDGE)


def _table(kind: int, name: str, flags: int, family: int) -> Message:
    message = message_classes.nft_table()
    message["nfgen_family"] = family
    message["attrs"] = [("NFTA_TABLE_NAME", name)]
    return message, kind, flags


def _chain(table: str, number: int, priority: int, family: int, device: str) -> Message:
    message = message_classes.nft_chain()
    message["nfgen_family"] = family
    hook: list[tuple[str, Any]] = [("NFTA_HOOK_HOOKNUM", number), ("NFTA_HOOK_PRIORITY", priority)]
    if device:
        hook.append(("NFTA_HOOK_DEV", device))
    message["attrs"] = [
        ("NFTA_CHAIN_TABLE", table),
        ("NFTA_CHAIN_NAME", _CHAIN),
        ("NFTA_CHAIN_HOOK", {"attrs": hook}),
        ("NFTA_CHAIN_POLICY", 1),  # NF_ACCEPT
        ("NFTA_CHAIN_TYPE", "filter"),
    ]
    return message, _NEWCHAIN, NLM_F_CREATE


def _rule(table: str, expressions: list[Expression], family: int) -> Message:
    message = message_classes.nft_rule()
    message["nfgen_family"] = family
    message["attrs"] = [
        ("NFTA_RULE_TABLE", table),
        ("NFTA_RULE_CHAIN", _CHAIN),
        ("NFTA_RULE_EXPRESSIONS", expressions),
    ]
    return message, NEWRULE, NLM_F_CREATE | NLM_F_APPEND


def rules_for_pairs(
    table: str, pairs: Iterable[tuple[str | None, str | None]], rests: Sequence[list[Expression]]
) -> Iterator[Message]:
    """For each pair of ports (came in by, would leave by; None: any), and each of `rests`, a rule of the bridge family.

    Rules that differ in their ports only are encoded once: encoding takes longer than everything else that a cut does.
    """
    named = table.encode()
    keys = [repr(rest) for rest in rests]
    _expressions.update(zip(keys, rests, strict=True))
    for came_in, leaves in pairs:
        for key in keys:
            made = _pattern(len(named), came_in is not None, leaves is not None, key).replace(_ANY_TABLE * len(named), named)
            for pattern, port in ((_ANY_IN, came_in), (_ANY_OUT, leaves)):
                made = made if port is None else made.replace(_padded(pattern), _padded(port))
            yield made, NEWRULE, NLM_F_CREATE | NLM_F_APPEND


_expressions: dict[str, list[Expression]] = {}
"""What rules of this process have in common, by its own text: few, and the same again and again."""


@lru_cache(maxsize=256)
def _pattern(table_bytes: int, came_in: bool, leaves: bool, rest: str) -> bytes:
    """A rule of a table whose name is so long, with stand-ins for table and ports."""
    ports = [*port_is(META_IIFNAME, _ANY_IN if came_in else None), *port_is(META_OIFNAME, _ANY_OUT if leaves else None)]
    message, kind, flags = _rule(_ANY_TABLE.decode() * table_bytes, [*ports, *_expressions[rest]], NFPROTO_BRIDGE)
    return encoded(message, kind, flags, 0)


_ANY_TABLE = b"\3"
_ANY_IN, _ANY_OUT = "\1" * 15, "\2" * 15
"""Stand for a table and ports in a rule that is encoded once; no name of either has such characters."""


def _padded(port: str) -> bytes:
    if len(port.encode()) >= _IFNAMSIZ:
        raise ValueError(f"port name {port!r} is longer than {_IFNAMSIZ - 1} bytes")
    return port.encode().ljust(_IFNAMSIZ, b"\0")


# -- expressions -----------------------------------------------------------------------------------------------------------


def port_is(key: int, port: str | None) -> list[Expression]:
    """The port a frame came in by, or would leave by, has this name; None: any."""
    if port is None:
        return []
    return [meta(key), compared(EQUAL, _padded(port))]


def meta(key: int) -> Expression:
    """What the kernel knows of a frame, into register 1."""
    return expression("meta", [("NFTA_META_KEY", key), ("NFTA_META_DREG", 1)])


def meta_set(key: int, value: bytes) -> list[Expression]:
    """Give a frame a mark or priority; the value in the machine's byte order."""
    return [immediate(value), expression("meta", [("NFTA_META_KEY", key), ("NFTA_META_SREG", 1)])]


def immediate(value: bytes) -> Expression:
    """A constant into register 1."""
    data = {"attrs": [("NFTA_DATA_VALUE", value)]}
    return expression("immediate", [("NFTA_IMMEDIATE_DREG", 1), ("NFTA_IMMEDIATE_DATA", data)])


def loaded(base: int, offset: int, length: int) -> Expression:
    """Bytes of the frame, into register 1."""
    place = [("NFTA_PAYLOAD_BASE", base), ("NFTA_PAYLOAD_OFFSET", offset), ("NFTA_PAYLOAD_LEN", length)]
    return expression("payload", [("NFTA_PAYLOAD_DREG", 1), *place])


def compared(how: int, value: bytes) -> Expression:
    """Go on only where register 1 compares so."""
    data = {"attrs": [("NFTA_DATA_VALUE", value)]}
    return expression("cmp", [("NFTA_CMP_SREG", 1), ("NFTA_CMP_OP", how), ("NFTA_CMP_DATA", data)])


def counter() -> Expression:
    return expression("counter", [("NFTA_COUNTER_BYTES", 0), ("NFTA_COUNTER_PACKETS", 0)])


def drop() -> Expression:
    verdict = {"attrs": [("NFTA_DATA_VERDICT", {"attrs": [("NFTA_VERDICT_CODE", 0)]})]}
    return expression("immediate", [("NFTA_IMMEDIATE_DREG", 0), ("NFTA_IMMEDIATE_DATA", verdict)])


def expression(name: str, attributes: Sequence[tuple[str, Any]]) -> Expression:
    return {"attrs": [("NFTA_EXPR_NAME", name), ("NFTA_EXPR_DATA", {"attrs": list(attributes)})]}


# -- framing ---------------------------------------------------------------------------------------------------------------


def transaction(body: Sequence[Message]) -> bytes:
    """The messages as one batch that happens as a whole or not at all."""
    data = _bound(_BATCH_BEGIN, 1)
    for sequence, (message, kind, flags) in enumerate(body, start=2):
        # errors come unasked; one acknowledgement at the end keeps a thousand of them from overrunning the socket
        last = sequence == len(body) + 1
        data += encoded(message, kind, flags | (NLM_F_ACK if last else 0), sequence)
    return data + _bound(_BATCH_END, len(body) + 2)


def _bound(kind: int, sequence: int) -> bytes:
    message = message_classes.nft_bound()
    message["res_id"] = SUBSYSTEM
    message["header"]["type"] = kind
    message["header"]["flags"] = NLM_F_REQUEST
    message["header"]["sequence_number"] = sequence
    message.encode()
    return bytes(message.data)


def encoded(message: Any, kind: int, flags: int, sequence: int) -> bytes:
    if isinstance(message, bytes):
        head = struct.pack("=HHII", SUBSYSTEM << 8 | kind, NLM_F_REQUEST | flags, sequence, 0)
        return message[:4] + head + message[16:]
    message["header"]["type"] = SUBSYSTEM << 8 | kind
    message["header"]["flags"] = NLM_F_REQUEST | flags
    message["header"]["sequence_number"] = sequence
    message["header"]["pid"] = 0
    message.encode()
    return bytes(message.data)
