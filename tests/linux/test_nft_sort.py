"""Marks, priorities and diversions as bytes: pyroute2 decodes what we built."""

from __future__ import annotations

import sys
from typing import Any

from pyroute2.netlink.nfnetlink.nftsocket import nft_chain_msg, nft_table_msg

from chaoskit.linux import netlink, nft, nft_sort
from chaoskit.linux.message_classes import nft_rule_class
from chaoskit.linux.nft_messages import NFPROTO_BRIDGE, NFPROTO_NETDEV

NEWTABLE, DELTABLE, NEWCHAIN, NEWRULE = (10 << 8 | kind for kind in (0, 2, 3, 6))


def decoded(batch: bytes, kind: int, message: type) -> list[Any]:
    found = []
    for raw in (m.raw for m in netlink.messages(batch) if m.type == kind):
        one = message(raw)
        one.decode()
        found.append(one)
    return found


def expressions(batch: bytes) -> list[list[tuple[str, dict[str, Any]]]]:
    """Of each rule: name and attributes of its expressions; values as bytes."""

    def plain(data: Any) -> dict[str, Any]:
        said = {}
        for name, value in data["attrs"]:
            if name.endswith("_DATA"):
                verdict = value.get_attr("NFTA_DATA_VERDICT")
                raw = value.get_attr("NFTA_DATA_VALUE")
                raw = bytes.fromhex(raw.replace(":", "")) if isinstance(raw, str) else raw
                value = verdict.get_attr("NFTA_VERDICT_CODE") if verdict is not None else raw
            said[name] = value
        return said

    rules = decoded(batch, NEWRULE, nft_rule_class())
    return [
        [(e.get_attr("NFTA_EXPR_NAME"), plain(e.get_attr("NFTA_EXPR_DATA"))) for e in rule.get_attr("NFTA_RULE_EXPRESSIONS")]
        for rule in rules
    ]


def word(number: int) -> bytes:
    return number.to_bytes(4, sys.byteorder)


def test_a_mark_is_set_after_the_cuts_and_for_exactly_its_link() -> None:
    batch = nft_sort.marked("t", {("n0e0", "n1e0"): 0xABC001})
    (chain,) = decoded(batch, NEWCHAIN, nft_chain_msg)
    hook = chain.get_attr("NFTA_CHAIN_HOOK")
    assert (chain["nfgen_family"], hook.get_attr("NFTA_HOOK_HOOKNUM")) == (NFPROTO_BRIDGE, 2)
    assert hook.get_attr("NFTA_HOOK_PRIORITY") > -300, "a cut must drop before a frame is marked"
    (rule,) = expressions(batch)
    assert [name for name, _ in rule] == ["meta", "cmp", "meta", "cmp", "immediate", "meta"]
    assert rule[1][1]["NFTA_CMP_DATA"].rstrip(b"\0") == b"n0e0"
    assert rule[3][1]["NFTA_CMP_DATA"].rstrip(b"\0") == b"n1e0"
    assert rule[4][1]["NFTA_IMMEDIATE_DATA"] == word(0xABC001)
    assert (rule[5][1]["NFTA_META_KEY"], rule[5][1]["NFTA_META_SREG"]) == ("NFT_META_MARK", "NFT_REG_1")


def test_a_priority_names_a_class() -> None:
    (rule,) = expressions(nft_sort.prioritised("t", {("a", "b"): 0x1C50002}))
    assert rule[4][1]["NFTA_IMMEDIATE_DATA"] == word(0x1C50002)
    assert rule[5][1]["NFTA_META_KEY"] == "NFT_META_PRIORITY"


def test_a_diversion_takes_marked_frames_at_the_ports_egress_only() -> None:
    batch = nft_sort.diverted("t", "n1e0", [5, 6], 4711)
    (chain,) = decoded(batch, NEWCHAIN, nft_chain_msg)
    hook = chain.get_attr("NFTA_CHAIN_HOOK")
    assert chain["nfgen_family"] == NFPROTO_NETDEV
    assert (hook.get_attr("NFTA_HOOK_HOOKNUM"), hook.get_attr("NFTA_HOOK_DEV")) == (1, "n1e0")
    rules = expressions(batch)
    assert [rule[1][1]["NFTA_CMP_DATA"] for rule in rules] == [word(5), word(6)]
    for rule in rules:
        assert rule[2][1]["NFTA_IMMEDIATE_DATA"] == word(4711)
        assert rule[3] == ("fwd", {"NFTA_FWD_SREG_DEV": "NFT_REG_1"})


def test_undoing_removes_every_table_and_minds_none_that_is_missing() -> None:
    batch = nft_sort.unsorted("t", ["n1e0", "n2e0"])
    tables = [(t["nfgen_family"], t.get_attr("NFTA_TABLE_NAME")) for t in decoded(batch, DELTABLE, nft_table_msg)]
    assert tables == [
        (NFPROTO_BRIDGE, nft.table_name("t")),
        (NFPROTO_NETDEV, nft_sort.diversion_table("t", "n1e0")),
        (NFPROTO_NETDEV, nft_sort.diversion_table("t", "n2e0")),
    ]
    kinds = [m.type for m in netlink.messages(batch) if m.type in (NEWTABLE, DELTABLE)]
    assert kinds == [NEWTABLE, DELTABLE] * 3, "each is made before it is deleted: deleting what is not there would fail all"
    assert len(netlink.expected_acks(batch)) == 1
