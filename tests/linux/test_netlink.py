"""Framing of netlink messages, and the kernel's answers."""

from __future__ import annotations

import errno
import struct

import pytest
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from chaoskit.linux import netlink, rtnl


def decoded(part: bytes, kind: type = ifinfmsg):  # type: ignore[no-untyped-def]
    message = kind(part)
    message.decode()
    return message


def answer(sequence: int, code: int, text: str = "", *, capped: bool = True) -> bytes:
    """What the kernel sends for a message, with or without the original and an explanation."""
    original = struct.pack("=IHHII", 16 if capped else 36, 16, 5, sequence, 0) + (b"" if capped else bytes(20))
    attribute = struct.pack("=HH", 4 + len(text) + 1, 1) + text.encode() + b"\0" if text else b""
    flags = (netlink.NLM_F_CAPPED if capped else 0) | (netlink.NLM_F_ACK_TLVS if text else 0)
    payload = struct.pack("=i", -code) + original + attribute
    return struct.pack("=IHHII", 16 + len(payload), netlink.NLMSG_ERROR, flags, sequence, 0) + payload


@pytest.mark.parametrize("capped", [True, False])
def test_answers_name_the_message_the_error_and_the_reason(capped: bool) -> None:
    (message,) = netlink.messages(answer(7, errno.EEXIST, "File exists already", capped=capped))
    assert netlink.answer(message) == netlink.Answer(7, errno.EEXIST, "File exists already")


def test_an_acknowledgement_is_errno_0_and_other_messages_are_no_answer() -> None:
    (message,) = netlink.messages(answer(3, 0))
    assert netlink.answer(message) == netlink.Answer(3, 0, "")
    (message,) = netlink.messages(rtnl.loopback())
    assert netlink.answer(message) is None


@pytest.mark.parametrize("length", [0, 15, 1000])
def test_a_length_that_makes_no_sense_is_an_error(length: int) -> None:
    with pytest.raises(ValueError, match="netlink message of"):
        list(netlink.messages(struct.pack("=IHHII", length, 2, 0, 1, 0)))


def test_a_batch_numbers_its_messages_and_keeps_their_order() -> None:
    batch = rtnl.batch(rtnl.loopback(), rtnl.bridge(0), rtnl.address(0, "198.18.0.1", 24))
    assert [message.sequence for message in netlink.messages(batch)] == [1, 2, 3]
    assert netlink.expected_acks(batch) == {1, 2, 3}


def test_a_cable_has_a_fixed_mac_and_fixed_names_at_both_ends() -> None:
    port = (rtnl.port_name(3, 1), rtnl.port_index(3, 1))
    link = decoded(rtnl.cable("eth1", 1, "02:c5:c6:12:00:04", port, 9))
    assert (link.get_attr("IFLA_IFNAME"), link.get_attr("IFLA_ADDRESS"), link["index"]) == ("eth1", "02:c5:c6:12:00:04", 3)
    peer = link.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA").get_attr("VETH_INFO_PEER")
    assert (peer.get_attr("IFLA_IFNAME"), peer["index"], peer.get_attr("IFLA_NET_NS_FD")) == ("n3e1", 1049, 9)


def test_an_address_has_its_prefix_and_broadcast() -> None:
    message = decoded(rtnl.address(0, "198.18.3.9", 22), ifaddrmsg)
    assert (message["prefixlen"], message["index"]) == (22, 2)
    assert message.get_attr("IFA_LOCAL") == "198.18.3.9"
    assert message.get_attr("IFA_BROADCAST") == "198.18.3.255"


def test_ports_and_bridges_never_collide_and_fit_an_interface_name() -> None:
    ports = [(node, at) for node in range(64 * 8) for at in range(rtnl.INTERFACES_PER_NODE)]
    assert len({rtnl.port_index(*port) for port in ports}) == len(ports)
    assert len({rtnl.port_name(*port) for port in ports}) == len(ports)
    assert max(len(rtnl.port_name(*port)) for port in ports) <= 15
    assert {rtnl.bridge_index(number) for number in range(64)}.isdisjoint({rtnl.port_index(*port) for port in ports})
    with pytest.raises(ValueError, match="at most 16"):
        rtnl.port_index(0, 16)
