"""Blocked and rejected ports as bytes: pyroute2 decodes what we built."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.nfnetlink.nftsocket import nft_chain_msg, nft_rule_msg

from chaoskit.linux import netlink, nft

NEWCHAIN, NEWRULE = 10 << 8 | 3, 10 << 8 | 6
LINK, TRANSPORT = "NFT_PAYLOAD_LL_HEADER", "NFT_PAYLOAD_TRANSPORT_HEADER"


def expressions(batch: bytes) -> list[list[tuple[str, dict[str, Any]]]]:
    """Each rule as its expressions: (name, attributes)."""
    found = []
    for message in netlink.messages(batch):
        if message.type == NEWRULE:
            rule = nft_rule_msg(message.raw)
            rule.decode()
            found.append([(e.get_attr("NFTA_EXPR_NAME"), attributes(e)) for e in rule.get_attr("NFTA_RULE_EXPRESSIONS")])
    return found


def attributes(expression: Any) -> dict[str, Any]:
    data = expression.get_attr("NFTA_EXPR_DATA")
    if data is None:  # pyroute2 does not decode this kind
        return {}
    return {name: value for name, value, *_ in data["attrs"]} if isinstance(data, dict) else {"raw": data}


def compared(data: dict[str, Any]) -> bytes:
    value = data["NFTA_CMP_DATA"].get_attr("NFTA_DATA_VALUE")
    return value if isinstance(value, bytes) else bytes.fromhex(str(value).replace(":", ""))


def hook(batch: bytes) -> int:
    (chain,) = [nft_chain_msg(m.raw) for m in netlink.messages(batch) if m.type == NEWCHAIN]
    chain.decode()
    return int(chain.get_attr("NFTA_CHAIN_HOOK").get_attr("NFTA_HOOK_HOOKNUM"))


port_numbers = st.integers(1, 65535)


@given(st.lists(port_numbers, max_size=4), st.lists(port_numbers, max_size=4))
def test_each_blocked_port_is_a_rule_for_its_protocol_and_destination(tcp: list[int], udp: list[int]) -> None:
    batch = nft.block("t", [("n0e0", "n1e0")], [(port, port) for port in tcp], [(port, port) for port in udp])
    assert hook(batch) == 2  # forward
    seen = []
    for rule in expressions(batch):
        names = [name for name, _ in rule]
        assert names == ["meta", "cmp", "meta", "cmp", "meta", "cmp", "payload", "cmp", "counter", "immediate"]
        data = [d for _, d in rule]
        assert [data[i]["NFTA_META_KEY"] for i in (0, 2, 4)] == ["NFT_META_IIFNAME", "NFT_META_OIFNAME", "NFT_META_L4PROTO"]
        assert [compared(data[i]).rstrip(b"\0") for i in (1, 3)] == [b"n0e0", b"n1e0"]
        place = {key: data[6][f"NFTA_PAYLOAD_{key}"] for key in ("BASE", "OFFSET", "LEN")}
        assert place == {"BASE": TRANSPORT, "OFFSET": 2, "LEN": 2}, "the destination port"
        verdict = data[9]["NFTA_IMMEDIATE_DATA"].get_attr("NFTA_DATA_VERDICT").get_attr("NFTA_VERDICT_CODE")
        assert verdict == "NF_DROP"
        assert all(data[i]["NFTA_CMP_OP"] == "NFT_CMP_EQ" for i in (1, 3, 5, 7))
        seen.append((compared(data[5]), int.from_bytes(compared(data[7]), "big")))
    assert seen == [(b"\x06", port) for port in tcp] + [(b"\x11", port) for port in udp]


@given(port_numbers, port_numbers)
def test_a_range_is_one_rule_from_its_first_port_to_its_last(one: int, two: int) -> None:
    first, last = sorted((one, two))
    (rule,) = expressions(nft.block("t", [("n0e0", "n1e0")], [(first, last)], []))
    compares = [(d["NFTA_CMP_OP"], int.from_bytes(compared(d), "big")) for name, d in rule[7:] if name == "cmp"]
    if first == last:
        assert compares == [("NFT_CMP_EQ", first)]
    else:
        assert compares == [("NFT_CMP_GTE", first), ("NFT_CMP_LTE", last)]
    assert [name for name, _ in rule[-2:]] == ["counter", "immediate"]


def test_rejecting_happens_before_the_way_is_chosen_by_hardware_address_and_as_the_protocol_wants() -> None:
    batch = nft.reject("t", [("n0e0", "02:c5:c6:12:00:0c")], [(5432, 5432)], [(53, 53)])
    assert hook(batch) == 0  # prerouting: the bridge family rejects nowhere later
    for rule, protocol in zip(expressions(batch), (b"\x06", b"\x11"), strict=True):
        names, data = [name for name, _ in rule], [d for _, d in rule]
        assert names == ["meta", "cmp", "payload", "cmp", "meta", "cmp", "payload", "cmp", "counter", "reject"]
        assert {key: data[2][f"NFTA_PAYLOAD_{key}"] for key in ("BASE", "OFFSET", "LEN")} == {"BASE": LINK, "OFFSET": 0, "LEN": 6}
        assert compared(data[3]) == bytes.fromhex("02c5c612000c")
        assert compared(data[5]) == protocol
    tcp, udp = (raw_reject(message.raw) for message in netlink.messages(batch) if message.type == NEWRULE)
    assert tcp == {1: 1}, "NFT_REJECT_TCP_RST"
    assert udp == {1: 2, 2: 1}, "NFT_REJECT_ICMPX_UNREACH, port unreachable"


def raw_reject(rule: bytes) -> dict[int, int]:
    """The attributes of the reject expression, read off the bytes themselves: type is a word, code a byte."""
    at = rule.index(b"reject\0")
    data = rule[at + 8 + 4 :]  # the name is padded to eight bytes, then comes the header of its data
    found = {}
    while len(data) >= 4:
        length, kind = int.from_bytes(data[:2], "little"), int.from_bytes(data[2:4], "little") & 0x3FFF
        if length < 5:
            break
        found[kind] = int.from_bytes(data[4:length], "big")
        data = data[(length + 3) & ~3 :]
    return found
