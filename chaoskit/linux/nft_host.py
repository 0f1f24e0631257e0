"""Cuts on bridges that are not chaoskit's own, where the machine itself is at the end of a cable too. Pure.

A frame between two ports passes the forward hook, one to or from the machine itself the input or output hook. Each has a table
of its own; all tables of a lab bear its mark, so that whatever is left of it can be found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from chaoskit.linux import message_classes
from chaoskit.linux import nft_messages as nf
from chaoskit.linux.netlink import NLM_F_DUMP, messages
from chaoskit.linux.nft import PortPair, Span, dropping, dropping_ports, table_name

HOST = "@host"
"""The machine itself, in the place of a port."""
_HOOKS = {"": 2, "_in": 1, "_out": 3}
_PRIORITY = -300
_NEWTABLE, _GETTABLE = 0, 1


def cut(tag: str, pairs: Iterable[PortPair]) -> bytes:
    """One transaction: drop, and count, every frame from the first port of a pair to the second. It replaces one of this tag."""
    return _tables(tag, list(pairs), [dropping()])


def block(tag: str, pairs: Iterable[PortPair], tcp: Sequence[Span], udp: Sequence[Span]) -> bytes:
    """One transaction: drop, and count, every packet to these ports from the first port of a pair to the second."""
    return _tables(tag, list(pairs), dropping_ports(tcp, udp))


def silence(tag: str, ports: Iterable[str]) -> bytes:
    """One transaction after which nothing passes these ports either way; neither end loses its carrier."""
    return cut(tag, [pair for port in ports for pair in ((port, None), (None, port))])


def join(tag: str) -> bytes:
    """One transaction that removes all of this; harmless where there is nothing."""
    return nf.transaction([m for suffix in _HOOKS for m in nf.removal(table_name(tag) + suffix)])


def tags_of(tag: str) -> tuple[str, ...]:
    """The tags under which `nft.rules_of` finds what was dropped."""
    return tuple(tag + suffix for suffix in _HOOKS)


def _tables(tag: str, pairs: list[PortPair], rests: list[list[nf.Expression]]) -> bytes:
    body: list[nf.Message] = []
    for suffix, hook in _HOOKS.items():
        name = table_name(tag) + suffix
        rules = nf.rules_for_pairs(name, _seen_at(suffix, pairs), rests)
        body += nf.chain_of_rules(name, hook, _PRIORITY, rules)
    return nf.transaction(body)


def _seen_at(suffix: str, pairs: list[PortPair]) -> list[PortPair]:
    """The pairs as a hook sees them: the machine itself has no port there."""
    if suffix == "_in":
        return [(came, None) for came, leaves in pairs if came not in (None, HOST) and leaves in (None, HOST)]
    if suffix == "_out":
        return [(None, leaves) for came, leaves in pairs if leaves not in (None, HOST) and came in (None, HOST)]
    return [pair for pair in pairs if HOST not in pair]


def all_tables() -> bytes:
    """A request for every table of every family."""
    message = message_classes.nft_table()
    message["nfgen_family"] = 0
    message["attrs"] = []
    return nf.encoded(message, _GETTABLE, NLM_F_DUMP, 1)


def tables_in(replies: bytes) -> list[tuple[int, str]]:
    """(family, name) of the tables in the kernel's replies."""
    found = []
    for reply in messages(replies):
        if reply.type == (nf.SUBSYSTEM << 8 | _NEWTABLE):
            table: Any = message_classes.nft_table(reply.raw)
            table.decode()
            found.append((int(table["nfgen_family"]), str(table.get_attr("NFTA_TABLE_NAME"))))
    return found


def removed(tables: Iterable[tuple[int, str]]) -> bytes:
    """One transaction that removes these tables."""
    return nf.transaction([m for family, name in tables for m in nf.removal(name, family)])
