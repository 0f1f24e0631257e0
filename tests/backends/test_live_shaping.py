"""Shaped links of real labs, felt by real sockets of the nodes."""

from __future__ import annotations

import os
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaoskit.backends.linux_host.state import processes_of
from chaoskit.backends.namespace.lab import NamespaceLab
from chaoskit.model.capability import NETWORK_SHAPE, Survey
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import LinkQuery, ReachQuery, Reading
from chaoskit.model.steps import CutLinks, Exec, JoinLinks, Link, LinkShape, PowerOff, PowerOn, ShapeLinks

from . import plans

pytestmark = pytest.mark.lab

Up = Callable[..., NamespaceLab]


@pytest.fixture(autouse=True)
def _able(survey: Survey) -> None:
    if not survey.has(NETWORK_SHAPE):
        pytest.skip(survey.reason(NETWORK_SHAPE))


def shape(lab: NamespaceLab, *ways: str, tag: str = "t", **fields: Any) -> None:
    """`ways` such as "n0>n1"."""
    links = tuple(Link(source=way.split(">")[0], destination=way.split(">")[1]) for way in ways)
    lab.perform(ShapeLinks(tag=tag, links=links, shape=LinkShape(**fields)))


def felt(lab: NamespaceLab, way: str, aspect: str, expected: float, **fields: Any) -> Reading:
    source, destination = way.split(">")
    query = {"source": source, "destination": destination, "aspect": aspect, "expected": expected, **fields}
    return lab.read(LinkQuery.model_validate(query))


def python(lab: NamespaceLab, node: str, code: str, timeout_s: float = 30.0) -> str:
    return lab.perform(Exec(node=node, argv=(sys.executable, "-c", code), timeout_s=timeout_s)).output


def address(lab: NamespaceLab, node: str) -> str:
    return lab.plan.addresses()[node]


CONNECT = """
import socket, time
for _ in range(2):
    began = time.monotonic()
    made = socket.create_connection(({address!r}, 8000), 5)
    print(time.monotonic() - began)
    asked = []
    for _ in range(5):
        began = time.monotonic()
        made.send(b"GET /no-such HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        answer = made.recv(65536)
        asked.append(time.monotonic() - began)
        if b"lose" in answer:
            break
print(min(asked))
"""


def test_a_tcp_client_feels_the_delay_of_both_ways(up: Up) -> None:
    lab = up(plans.plan(plans.node("n0", 0, services=(plans.web(),)), plans.node("n1", 1)))
    ask = CONNECT.format(address=address(lab, "n0"))
    fresh_s, again_s, _ = (float(word) for word in python(lab, "n1", ask).split())
    assert max(fresh_s, again_s) < 0.03
    shape(lab, "n0>n1", "n1>n0", delay_s=0.05)
    _, again_s, pooled_s = (float(word) for word in python(lab, "n1", ask).split())
    assert 0.1 <= again_s < 0.106, "a connection is made after one round trip"
    assert 0.1 <= pooled_s < 0.11, "an open connection's question and answer take one, too"
    lab.perform(JoinLinks(tag="t"))
    _, again_s, pooled_s = (float(word) for word in python(lab, "n1", ask).split())
    assert max(again_s, pooled_s) < 0.03


def test_one_way_and_one_link_are_meant_exactly(up: Up) -> None:
    lab = up(plans.bare(3))
    shape(lab, "n0>n1", delay_s=0.05)
    assert felt(lab, "n0>n1", "delay", 0.05, delay_s=0.05).value == "as_asked"
    for way in ("n1>n0", "n0>n2", "n2>n0", "n2>n1", "n1>n2"):
        assert felt(lab, way, "delay", 0.05).value == "none", way


def test_two_tags_hold_at_once_and_one_link_has_one_shape(up: Up) -> None:
    lab = up(plans.bare(3))
    shape(lab, "n0>n1", tag="one", delay_s=0.05)
    shape(lab, "n2>n1", tag="two", delay_s=0.01)
    with pytest.raises(StepFailed, match="has a shape already, of one"):
        shape(lab, "n0>n1", tag="three", delay_s=0.02)
    assert felt(lab, "n0>n1", "delay", 0.05, delay_s=0.05).value == "as_asked"
    assert felt(lab, "n2>n1", "delay", 0.01, delay_s=0.01).value == "as_asked"
    lab.perform(JoinLinks(tag="one"))
    assert felt(lab, "n0>n1", "delay", 0.05).value == "none"
    assert felt(lab, "n2>n1", "delay", 0.01, delay_s=0.01).value == "as_asked"
    shape(lab, "n2>n1", tag="two", delay_s=0.05)
    assert felt(lab, "n2>n1", "delay", 0.05, delay_s=0.05).value == "as_asked", "the same tag again replaces its shape"


def test_a_cut_of_a_shaped_link_wins(up: Up) -> None:
    lab = up(plans.bare(2))
    shape(lab, "n0>n1", "n1>n0", delay_s=0.005)
    assert lab.read(ReachQuery(source="n0", destination="n1")).value == "answered"
    lab.perform(CutLinks(tag="cut", links=(Link(source="n0", destination="n1"),)))
    assert lab.read(ReachQuery(source="n0", destination="n1")).value == "silent"
    assert felt(lab, "n0>n1", "delay", 0.005, delay_s=0.005).number is None
    lab.perform(JoinLinks(tag="cut"))
    assert felt(lab, "n0>n1", "delay", 0.005, delay_s=0.005).value == "as_asked"


def test_a_rebooted_node_comes_back_behind_its_shape(up: Up) -> None:
    lab = up(plans.bare(2))
    shape(lab, "n0>n1", "n1>n0", delay_s=0.02)
    lab.perform(PowerOff(node="n1"))
    assert felt(lab, "n0>n1", "delay", 0.02).value == "destination_off"
    lab.perform(PowerOn(node="n1"))
    assert felt(lab, "n0>n1", "delay", 0.02, delay_s=0.02).value == "as_asked"
    assert felt(lab, "n1>n0", "delay", 0.02, delay_s=0.02).value == "as_asked"
    lab.perform(PowerOff(node="n1"))
    lab.perform(JoinLinks(tag="t"))
    lab.perform(PowerOn(node="n1"))
    assert felt(lab, "n0>n1", "delay", 0.02).value == "none"


def test_a_node_that_is_off_when_its_link_is_shaped_boots_behind_the_shape(up: Up) -> None:
    lab = up(plans.bare(2))
    lab.perform(PowerOff(node="n1"))
    shape(lab, "n0>n1", delay_s=0.02)
    lab.perform(PowerOn(node="n1"))
    assert felt(lab, "n0>n1", "delay", 0.02, delay_s=0.02).value == "as_asked"


def relays(lab: NamespaceLab) -> list[int]:
    return [pid for pid in processes_of(lab.lab_id) if Path(f"/proc/{pid}/comm").read_text().strip() == "chaoskit-relay"]


def test_a_relay_that_dies_cuts_its_links_and_the_lab_says_so(up: Up) -> None:
    lab = up(plans.bare(2))
    shape(lab, "n0>n1", delay_s=0.005)
    if not relays(lab):
        pytest.skip("this kernel shapes links itself")
    (pid,) = relays(lab)
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    problems: list[str] = []
    while not problems and time.monotonic() < deadline:
        problems = [event.data["message"] for event in lab.events() if event.kind == "problem"]
        time.sleep(0.05)
    assert "they are cut until it is healed" in problems[0]
    assert felt(lab, "n0>n1", "delay", 0.005, delay_s=0.005).value == "other"
    assert lab.read(ReachQuery(source="n0", destination="n1")).value == "silent"
    lab.perform(JoinLinks(tag="t"))
    assert felt(lab, "n0>n1", "delay", 0.005).value == "none"
    assert not relays(lab)


def test_what_is_underway_when_it_heals_still_arrives(up: Up) -> None:
    lab = up(plans.bare(2))
    shape(lab, "n0>n1", delay_s=2.0)
    began = time.monotonic()
    answer: list[Reading] = []
    asking = threading.Thread(target=lambda: answer.append(felt(lab, "n0>n1", "loss", 50, delay_s=2.0, probes=200)))
    asking.start()
    time.sleep(0.5)
    lab.perform(JoinLinks(tag="t"))
    asking.join()
    assert answer[0].number == 0.0
    assert time.monotonic() - began < 2.0, "they were sent on at once"


def test_scattered_delays_scatter(up: Up) -> None:
    lab = up(plans.bare(2))
    shape(lab, "n0>n1", delay_s=0.02, jitter_s=0.01)
    medians = [felt(lab, "n0>n1", "delay", 0.02, delay_s=0.03, jitter_s=0.01, probes=1).number for _ in range(20)]
    known = [m for m in medians if m is not None]
    assert len(known) == 20
    assert min(known) >= 0.01
    assert max(known) <= 0.032
    assert statistics.pstdev(known) > 0.003


RECEIVE = """
import socket, sys, time
listening = socket.create_server(("", 5001))
listening.settimeout(20)
made, _ = listening.accept()
made.settimeout({patience})
room, got, began = bytearray(1 << 20), 0, time.monotonic()
try:
    while n := made.recv_into(room):
        got += n
except TimeoutError:
    pass
print(got, time.monotonic() - began)
"""
SEND = """
import socket, time
deadline = time.monotonic() + 10
while True:
    try:
        made = socket.create_connection(({address!r}, 5001), 5)
        break
    except ConnectionRefusedError:
        assert time.monotonic() < deadline
        time.sleep(0.02)
made.settimeout({patience})
end = time.monotonic() + {seconds}
try:
    while time.monotonic() < end:
        made.send(bytes({chunk}))
except TimeoutError:
    pass
made.close()
"""


def stream(lab: NamespaceLab, seconds: float, chunk: int = 1 << 18, patience: float = 10.0) -> float:
    """Mbit/s of one TCP stream from n0 to n1."""
    heard: list[str] = []
    hearing = threading.Thread(target=lambda: heard.append(python(lab, "n1", RECEIVE.format(patience=patience))))
    hearing.start()
    python(lab, "n0", SEND.format(address=address(lab, "n1"), seconds=seconds, chunk=chunk, patience=patience))
    hearing.join()
    got, lasted = heard[0].split()
    return int(got) * 8e-6 / float(lasted)


def test_a_stream_lives_under_delay(up: Up) -> None:
    lab = up(plans.bare(2))
    shape(lab, "n0>n1", "n1>n0", delay_s=0.01)
    assert stream(lab, 2.0) > 50
    assert not [event for event in lab.events() if event.kind == "problem"]


def test_a_stream_keeps_to_the_rate(up: Up) -> None:
    lab = up(plans.bare(2))
    shape(lab, "n0>n1", rate_bits_per_s=8e6, queue_bytes=100_000)
    assert 4 < stream(lab, 3.0) < 8.4


def test_a_black_hole_swallows_a_stream_and_not_its_connection(up: Up) -> None:
    lab = up(plans.bare(2))
    shape(lab, "n0>n1", largest_bytes=1400)
    assert stream(lab, 1.0, chunk=1 << 18, patience=1.0) == 0, "it was accepted, and then nothing came"
    lab.perform(JoinLinks(tag="t"))
    shape(lab, "n0>n1", largest_bytes=1499)
    assert stream(lab, 0.5, patience=1.0) == 0
    lab.perform(JoinLinks(tag="t"))
    assert stream(lab, 0.5) > 10


BAD_CHECKSUMS = """
for line in open("/proc/net/snmp"):
    if line.startswith("Tcp:"):
        values = line.split()
print(values[-1])
"""


def test_corrupt_packets_are_noticed_by_tcp_and_its_bytes_stay_right(up: Up) -> None:
    lab = up(plans.bare(2))
    before = int(python(lab, "n1", BAD_CHECKSUMS))
    shape(lab, "n0>n1", corrupt_percent=5)
    assert stream(lab, 2.0, chunk=10_000) > 0.01
    assert int(python(lab, "n1", BAD_CHECKSUMS)) > before


HEAR = """
import socket, time
made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B6))
made.bind(("eth0", 0x88B6))
made.settimeout(0.2)
open("/tmp/hears", "w")
end, heard = time.monotonic() + 2.0, 0
while time.monotonic() < end:
    try:
        heard += made.recv(2048)[:6] == bytes.fromhex({mac!r})
    except TimeoutError:
        pass
print(heard)
"""
SPEAK = """
import socket
made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
made.bind(("eth0", 0))
for _ in range({count}):
    made.send(bytes.fromhex({to!r}) + bytes.fromhex({mac!r}) + (0x88B6).to_bytes(2, "big") + bytes(60))
"""


def hear(lab: NamespaceLab, node: str, mac: str, heard: dict[str, str]) -> None:
    heard[node] = python(lab, node, HEAR.format(mac=mac))


def test_frames_follow_an_address_that_moves(up: Up) -> None:
    lab = up(plans.bare(3))
    shape(lab, "n0>n1", "n0>n2", delay_s=0.1)
    moving, asker = "02aabbccddee", "02aabbccdd01"
    for owner, other in (("n1", "n2"), ("n2", "n1")):
        python(lab, owner, SPEAK.format(to="ff" * 6, mac=moving, count=1))  # as a gratuitous ARP does
        heard: dict[str, str] = {}
        ears = [threading.Thread(target=hear, args=(lab, node, moving, heard)) for node in (owner, other)]
        for ear in ears:
            ear.start()
        time.sleep(1.0)
        python(lab, "n0", SPEAK.format(to=moving, mac=asker, count=20))
        for ear in ears:
            ear.join()
        assert {node: int(count) for node, count in heard.items()} == {owner: 20, other: 0}


PING6 = """
import os, socket, struct, time
made = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.getprotobyname("ipv6-icmp"))
made.settimeout(3)
scope = socket.if_nametoindex("eth0")
for number in range(2):
    began = time.monotonic()
    made.sendto(struct.pack("!BBHHH", 128, 0, 0, 77, number), ("ff02::1", 0, 0, scope))
    while True:
        data, sender = made.recvfrom(2048)
        if data[0] == 129 and sender[0].split("%")[0] == {theirs!r} and struct.unpack("!H", data[6:8])[0] == number:
            break
    print(time.monotonic() - began)
"""
OWN6 = """
for line in open("/proc/net/if_inet6"):
    words = line.split()
    if words[-1] == "eth0":
        import ipaddress
        print(ipaddress.ip_address(int(words[0], 16)))
"""
ARP = """
import socket, struct, time
made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
made.bind(("eth0", 0x0806))
made.settimeout(3)
mac = made.getsockname()[4]
began = time.monotonic()
ask = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, mac, socket.inet_aton({own!r}), bytes(6), socket.inet_aton({asked!r}))
made.send(b"\\xff" * 6 + mac + bytes([8, 6]) + ask)
while made.recv(2048)[20:22] != bytes([0, 2]):
    pass
print(time.monotonic() - began)
"""


def test_arp_and_ipv6_are_delayed_alike(up: Up) -> None:
    lab = up(plans.bare(2))
    shape(lab, "n0>n1", "n1>n0", delay_s=0.05)
    took_s = float(python(lab, "n0", ARP.format(own=address(lab, "n0"), asked=address(lab, "n1"))))
    assert 0.1 <= took_s < 0.12
    time.sleep(3)  # an address of its own is tentative at first
    theirs = python(lab, "n1", OWN6).strip()
    if not theirs:
        pytest.skip("this kernel has no IPv6")
    took = [float(word) for word in python(lab, "n0", PING6.format(theirs=theirs)).split()]
    assert 0.1 <= took[1] < 0.13, "a question to all, the switch itself included, and the answer of one"
