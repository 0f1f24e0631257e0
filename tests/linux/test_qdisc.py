"""HTB and netem as bytes: pyroute2 decodes what we built."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from chaoskit.linux import netlink, qdisc, rtnl

PORT = 1016


def decoded(raw: bytes) -> Any:
    (message,) = netlink.messages(rtnl.batch(raw))
    one = tcmsg(message.raw)
    one.decode()
    return one


def options(raw: bytes) -> dict[int, bytes]:
    """The attributes behind netem's own struct."""
    body = raw[16 + 20 :]
    kind = struct.unpack_from("=H", body)[0]
    body = body[(kind + 3) & ~3 :]
    length = struct.unpack_from("=H", body)[0]
    rest, found = body[4 + 24 : length], {}
    while rest:
        size, number = struct.unpack_from("=HH", rest)
        found[number] = rest[4:size]
        rest = rest[(size + 3) & ~3 :]
    return found


def fixed(raw: bytes) -> tuple[int, ...]:
    """latency, limit, loss, gap, duplicate, jitter of netem's own struct."""
    body = raw[16 + 20 :]
    kind = struct.unpack_from("=H", body)[0]
    return struct.unpack_from("=6I", body, ((kind + 3) & ~3) + 4)


def test_the_root_lets_through_what_names_no_class() -> None:
    message = decoded(qdisc.root(PORT))
    assert (message["index"], message["handle"], message["parent"]) == (PORT, qdisc.MAJOR, 0xFFFFFFFF)
    assert message.get_attr("TCA_KIND") == "htb"
    init = message.get_attr("TCA_OPTIONS").get_attr("TCA_HTB_INIT")
    assert (init["version"], init["defcls"]) == (3, 0)


def test_a_class_is_named_by_the_priority_of_its_frames() -> None:
    message = decoded(qdisc.unlimited_class(PORT, 17))
    assert (message["handle"], message["parent"]) == (qdisc.priority(17), qdisc.MAJOR)
    parms = message.get_attr("TCA_OPTIONS").get_attr("TCA_HTB_PARMS")
    assert parms["rate"] == parms["ceil"] == 0xFFFFFFFF
    assert parms["quantum"] == 200_000


def test_a_delay_is_in_nanoseconds_with_its_table() -> None:
    raw = qdisc.netem(PORT, qdisc.priority(17), delay_s=0.05, jitter_s=0.01, distribution="normal")
    message = decoded(raw)
    assert (message["parent"], message["handle"], message.get_attr("TCA_KIND")) == (qdisc.priority(17), 0, "netem")
    found = options(raw)
    assert struct.unpack("=q", found[10]) == (50_000_000,)
    assert struct.unpack("=q", found[11]) == (10_000_000,)
    assert len(found[2]) == 2 * 4096
    assert 2 not in options(qdisc.netem(PORT, 1, delay_s=0.05, jitter_s=0.01)), "uniform needs none"


def test_random_loss_stands_in_the_struct_and_bursts_in_a_chain() -> None:
    assert fixed(qdisc.netem(PORT, 1, loss_percent=25))[2] == pytest.approx(0xFFFFFFFF / 4, abs=1)
    raw = qdisc.netem(PORT, 1, loss_percent=20, burst_frames=5)
    assert fixed(raw)[2] == 0
    size, kind, begins, ends, spared, lost = struct.unpack("=HHIIII", options(raw)[5])
    assert (size, kind) == (20, 2)
    assert (spared, lost) == (0, 0), "tc shows it as 1-h 100 % and 1-k 0 %: a bad link loses all, a good one none"
    assert begins / 0xFFFFFFFF == pytest.approx(0.05)
    assert ends / 0xFFFFFFFF == pytest.approx(0.2)


def test_overtaking_wrong_bits_and_rates() -> None:
    raw = qdisc.netem(PORT, 1, delay_s=0.01, reorder_percent=10, corrupt_percent=5, rate_bits_per_s=8e6, limit_frames=66)
    assert fixed(raw)[1] == 66
    assert fixed(raw)[3] == 1, "without a gap nothing overtakes"
    found = options(raw)
    assert struct.unpack("=II", found[3])[0] / 0xFFFFFFFF == pytest.approx(0.1)
    assert struct.unpack("=II", found[4])[0] / 0xFFFFFFFF == pytest.approx(0.05)
    assert struct.unpack("=IiIi", found[6]) == (1_000_000, 0, 0, 0)


def test_every_message_asks_for_an_answer() -> None:
    parts = [qdisc.root(PORT), qdisc.unlimited_class(PORT, 1), qdisc.netem(PORT, 1), qdisc.no_class(PORT, 1), qdisc.no_root(PORT)]
    assert netlink.expected_acks(rtnl.batch(*parts)) == frozenset(range(1, 6))
