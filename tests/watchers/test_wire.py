"""What frames say about who has an address: frames of keepalived 2.2.7 and of Linux, as they were recorded on a lab's switch."""

import os
import socket
import time

import pytest

pytest.importorskip("scapy", reason="scapy, which chaoskit needs, is not installed here")

from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import Ether

from chaoskit.watchers import wire
from chaoskit.watchers.wire import ADVERT, GRATUITOUS, REPLY, SOLICITED, UNSOLICITED, Claim

WEB1, WEB2, APP = "02:c5:c6:12:00:0b", "02:c5:c6:12:00:0c", "02:c5:c6:12:00:0d"
VIP = "198.18.0.100"
RECORDED = {
    "an advert of version 2": (
        "01005e00001202c5c612000b080045c0002800030000ff701473c612000be00000122133960100018253c61200640000000000000000",
        (Claim(VIP, WEB1, ADVERT, 51, 150),),
    ),
    "the owner resigns": (
        "01005e00001202c5c612000b080045c0002800050000ff701471c612000be00000122133000100011854c61200640000000000000000",
        (Claim(VIP, WEB1, ADVERT, 51, 0),),
    ),
    "an advert of version 3": (
        "01005e00001202c5c612000b080045c0002000180000ff701466c612000be000001231339601000acb9dc6120064",
        (Claim(VIP, WEB1, ADVERT, 51, 150),),
    ),
    "gratuitous ARP": (
        "ffffffffffff02c5c612000c0806000108000604000102c5c612000cc6120064ffffffffffffc6120064",
        (Claim(VIP, WEB2, GRATUITOUS),),
    ),
    "gratuitous ARP, as an answer to all": (
        "ffffffffffff02c5c612000c0806000108000604000202c5c612000cc612006402c5c612000dc612000d",
        (Claim(VIP, WEB2, GRATUITOUS),),
    ),
    "an answer to one": (
        "02c5c612000d02c5c612000c0806000108000604000202c5c612000cc612006402c5c612000dc612000d",
        (Claim(VIP, WEB2, REPLY),),
    ),
    "a question": ("ffffffffffff02c5c612000d0806000108000604000102c5c612000dc612000d000000000000c6120064", ()),
    "an advert that was forwarded": (
        "01005e00001202c5c612000b080045c00020001800003f701466c612000be000001231339601000acb9dc6120064",
        (),
    ),
    "an advert cut short": ("01005e00001202c5c612000b080045c0002000180000ff701466c612000be00000123133", ()),
}


VIP6 = "fd00:c5::100"


def advertisement(*, solicited: int = 0, hops: int = 255, option: bool = True, target: str = VIP6) -> bytes:
    """What keepalived and Linux (ndisc_notify) send when they take an IPv6 address over."""
    frame = Ether(src=WEB2, dst="33:33:00:00:00:01") / IPv6(src="fe80::c5ff:fec6:c", dst="ff02::1", hlim=hops)
    frame /= ICMPv6ND_NA(R=0, S=solicited, O=1, tgt=target)
    return bytes(frame / ICMPv6NDOptDstLLAddr(lladdr=WEB2) if option else frame)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (advertisement(), (Claim(VIP6, WEB2, UNSOLICITED),)),
        (advertisement(target="fd00:00c5:0:0::0100"), (Claim(VIP6, WEB2, UNSOLICITED),)),
        (advertisement(solicited=1), (Claim(VIP6, WEB2, SOLICITED),)),
        (advertisement(option=False), (Claim(VIP6, WEB2, UNSOLICITED),)),
        (advertisement(hops=64), ()),
        (advertisement()[:60], ()),
    ],
)
def test_what_a_neighbour_advertisement_says(data, said):
    assert wire.claims(Ether(data)) == said


@pytest.mark.parametrize("what", RECORDED)
def test_what_a_frame_says(what):
    data, said = RECORDED[what]
    assert wire.claims(Ether(bytes.fromhex(data))) == said


def test_a_padded_advert_names_no_further_address():
    data = bytes.fromhex(RECORDED["an advert of version 3"][0]).ljust(60, b"\xc6")
    assert [c.address for c in wire.claims(Ether(data))] == [VIP]


def test_a_question_teaches_nobody_anything():
    asked = wire.question(VIP, "02:c6:00:00:00:01")
    assert asked.hex() == "ffffffffffff02c6000000010806000108000604000102c60000000100000000000000000000c6120064"
    assert wire.claims(Ether(asked)) == ()


def test_an_answer_names_the_address_its_owner_and_who_asked():
    assert wire.answer(Ether(bytes.fromhex(RECORDED["an answer to one"][0]))) == (VIP, WEB2, APP)
    assert wire.answer(Ether(bytes.fromhex(RECORDED["gratuitous ARP"][0]))) is None


def test_a_stamp_of_the_wall_clock_becomes_a_bracket_of_the_monotonic_one():
    began = time.monotonic_ns()
    stamp_s = time.time()
    low, high = wire.instants(stamp_s, began - 1)
    assert began - 2_000_000 <= low <= began + 2_000_000
    assert low <= high <= time.monotonic_ns()
    assert high - low < 2_000_000


@pytest.mark.parametrize("set_by_s", [None, 3600, -3600])
def test_without_a_stamp_or_with_a_clock_that_was_set_it_came_since_the_last_look(set_by_s):
    stamp_s = None if set_by_s is None else time.time() + set_by_s
    since = time.monotonic_ns() - 50_000_000
    low, high = wire.instants(stamp_s, since)
    assert low == since
    assert since < high <= time.monotonic_ns()


def test_a_frame_handed_on_by_a_switch_counts_once_and_one_repeated_by_its_sender_each_time():
    echoes = wire.Echoes()

    def heard(port, t_ms, data=b"frame"):
        return wire.Heard(None, data, port, t_ms * 1_000_000, t_ms * 1_000_000)

    seen = [echoes.is_one(h) for h in (heard("n1e0", 0), heard("sw0", 0), heard("n1e0", 1), heard("sw0", 1), heard("n2e0", 80))]
    assert seen == [False, True, False, True, False]


def program_takes(program, data):
    """What the kernel does with a frame under such a program: it runs on any packet socket, here over a datagram pair."""
    mine, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with mine, other:
        code = b"".join(wire.struct.pack("=HBBI", *i) for i in program)
        kept = wire.ctypes.create_string_buffer(code, len(code))
        fields = wire.struct.pack("HxxxxxxP", len(program), wire.ctypes.addressof(kept))
        mine.setsockopt(socket.SOL_SOCKET, 26, fields)
        try:
            other.send(data)
        except PermissionError:  # a datagram socket tells its sender that the filter refused it
            return False
        mine.setblocking(False)
        try:
            return mine.recv(4096) == data
        except BlockingIOError:
            return False


IPV4_TCP = "02c5c612000b02c5c612000d08004500002800010000400600000a0000010a000002"


@pytest.mark.parametrize(
    ("program", "taken"),
    [
        (
            wire.ANNOUNCEMENTS,
            {"gratuitous ARP", "an answer to one", "a question", "an advert of version 2", "an advert of version 3"},
        ),
        (wire.ANSWERS, {"an answer to one"}),
    ],
    ids=["on the switch", "from a node"],
)
def test_the_kernel_lets_through_what_is_looked_for_and_nothing_else(program, taken):
    chosen = ("gratuitous ARP", "an answer to one", "a question", "an advert of version 2", "an advert of version 3")
    frames = {what: bytes.fromhex(RECORDED[what][0]) for what in chosen} | {
        "TCP": bytes.fromhex(IPV4_TCP),
        "short": os.urandom(6),
    }
    assert {what for what, data in frames.items() if program_takes(program, data)} == taken
