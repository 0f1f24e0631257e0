"""Cuts as bytes: pyroute2 decodes what we built, and counters are read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.nfnetlink.nftsocket import nft_chain_msg, nft_rule_msg, nft_table_msg

from chaoskit.linux import netlink, nft

BATCH_BEGIN, BATCH_END = 0x10, 0x11
NEWTABLE, DELTABLE, NEWCHAIN, NEWRULE = (10 << 8 | kind for kind in (0, 2, 3, 6))


def kinds(batch: bytes) -> list[int]:
    return [message.type for message in netlink.messages(batch)]


def rules(batch: bytes) -> list[dict[str, object]]:
    """Each rule as {meta key: port name} plus its verdict."""
    found = []
    for message in netlink.messages(batch):
        if message.type != NEWRULE:
            continue
        rule = nft_rule_msg(message.raw)
        rule.decode()
        decoded: dict[str, object] = {}
        key = ""
        for expression in rule.get_attr("NFTA_RULE_EXPRESSIONS"):
            name, data = expression.get_attr("NFTA_EXPR_NAME"), expression.get_attr("NFTA_EXPR_DATA")
            if name == "meta":
                key = data.get_attr("NFTA_META_KEY")
            elif name == "cmp":
                assert data.get_attr("NFTA_CMP_OP") == "NFT_CMP_EQ"
                value = data.get_attr("NFTA_CMP_DATA").get_attr("NFTA_DATA_VALUE")
                raw = value if isinstance(value, bytes) else bytes.fromhex(str(value).replace(":", ""))
                assert len(raw) == 16
                decoded[key] = raw.rstrip(b"\0").decode()
            elif name == "immediate":
                verdict = data.get_attr("NFTA_IMMEDIATE_DATA").get_attr("NFTA_DATA_VERDICT")
                decoded["verdict"] = verdict.get_attr("NFTA_VERDICT_CODE")
            else:
                decoded[name] = True
        found.append(decoded)
    return found


def test_a_cut_is_one_transaction_of_one_table() -> None:
    batch = nft.cut("fault-1", [("n0e0", "n1e0"), ("n1e0", "n0e0")])
    assert kinds(batch) == [BATCH_BEGIN, NEWTABLE, DELTABLE, NEWTABLE, NEWCHAIN, NEWRULE, NEWRULE, BATCH_END]
    for message in netlink.messages(batch):
        if message.type in (NEWTABLE, DELTABLE):
            table = nft_table_msg(message.raw)
            table.decode()
            assert table.get_attr("NFTA_TABLE_NAME") == nft.table_name("fault-1")
            assert table["nfgen_family"] == nft.NFPROTO_BRIDGE
        if message.type == NEWCHAIN:
            chain = nft_chain_msg(message.raw)
            chain.decode()
            hook = chain.get_attr("NFTA_CHAIN_HOOK")
            assert (hook.get_attr("NFTA_HOOK_HOOKNUM"), hook.get_attr("NFTA_HOOK_PRIORITY")) == (2, -300)


def test_a_first_cut_deletes_nothing_and_must_be_the_first() -> None:
    batch = nft.first_cut("fault-1", [("n0e0", "n1e0"), ("n1e0", "n0e0")])
    assert kinds(batch) == [BATCH_BEGIN, NEWTABLE, NEWCHAIN, NEWRULE, NEWRULE, BATCH_END]
    (table,) = [message for message in netlink.messages(batch) if message.type == NEWTABLE]
    assert table.flags & netlink.NLM_F_EXCL
    assert rules(batch) == rules(nft.cut("fault-1", [("n0e0", "n1e0"), ("n1e0", "n0e0")]))


def test_the_last_message_of_a_transaction_asks_for_an_answer() -> None:
    batch = nft.cut("t", [("a", "b")])
    last = [message for message in netlink.messages(batch) if message.type == NEWRULE][-1]
    assert netlink.expected_acks(batch) == {last.sequence}
    assert len(netlink.expected_acks(nft.join("t"))) == 1


ports = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=15)


@given(st.lists(st.tuples(ports, ports), max_size=20))
def test_every_directed_pair_becomes_one_counting_drop(pairs: list[tuple[str, str]]) -> None:
    wanted = [
        {"NFT_META_IIFNAME": came_in, "NFT_META_OIFNAME": leaves, "counter": True, "verdict": "NF_DROP"}
        for came_in, leaves in pairs
    ]
    assert rules(nft.cut("t", pairs)) == wanted


def test_silence_drops_what_comes_in_and_what_would_leave() -> None:
    assert rules(nft.silence("t", ["n0e0"])) == [
        {"NFT_META_IIFNAME": "n0e0", "counter": True, "verdict": "NF_DROP"},
        {"NFT_META_OIFNAME": "n0e0", "counter": True, "verdict": "NF_DROP"},
    ]


def test_a_port_name_that_no_interface_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than 15"):
        nft.cut("t", [("x" * 16, "y")])


@given(st.text(max_size=80), st.text(max_size=80))
def test_table_names_are_legal_and_tell_tags_apart(one: str, two: str) -> None:
    names = nft.table_name(one), nft.table_name(two)
    assert all(name.isascii() and name.replace("_", "a").isalnum() and len(name) <= 64 for name in names)
    assert (names[0] == names[1]) == (one == two)


def counted_rule(table: str, packets: int) -> bytes:
    """A rule as the kernel would send it back."""
    counter = {"attrs": [("NFTA_COUNTER_BYTES", packets * 64), ("NFTA_COUNTER_PACKETS", packets)]}
    message = nft_rule_msg()
    message["attrs"] = [
        ("NFTA_RULE_TABLE", table),
        ("NFTA_RULE_EXPRESSIONS", [{"attrs": [("NFTA_EXPR_NAME", "counter"), ("NFTA_EXPR_DATA", counter)]}]),
    ]
    message["header"]["type"] = NEWRULE
    message.encode()
    return bytes(message.data)


def test_dropped_frames_are_summed_over_the_cuts_own_rules() -> None:
    replies = counted_rule(nft.table_name("t"), 3) + counted_rule(nft.table_name("t"), 4) + counted_rule("other", 100)
    assert nft.dropped("t", replies) == 7
    assert nft.dropped("none", replies) == 0
    assert nft.dropped("t", b"") == 0
