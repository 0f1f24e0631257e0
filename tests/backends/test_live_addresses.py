"""Two nodes take an address from each other: what is seen of it on the wire of a real lab, and what is made of it."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("scapy", reason="scapy, which chaoskit needs, is not installed here")

from chaoskit.backends.namespace.lab import NamespaceLab
from chaoskit.engine.address_store import address_samples
from chaoskit.engine.addressing import AddressListener
from chaoskit.engine.sample_store import SampleFiles
from chaoskit.measures.addresses import address_figures
from chaoskit.model.steps import CutLinks, JoinLinks, Link, PowerOff, PowerOn, SetAddress
from tests.measures import recorded

from . import plans
from .conftest import Up

pytestmark = pytest.mark.lab
VIP = "198.18.0.77"


def hold(lab: NamespaceLab, node: str, present: bool) -> int:
    """Give the address to a node, or take it away; when that was done."""
    return lab.perform(SetAddress(node=node, network="lan", address=VIP, present=present)).ended_ns


def test_who_has_an_address_is_seen_on_the_wire(up: Up, tmp_path: Path) -> None:
    scratch = plans.bare(3).model_copy(update={"floating": {"vip": VIP}, "clients": ("n2",)})
    lab = up(scratch)
    plan = recorded.plan().model_copy(update={"lab_plan": scratch})
    listener = AddressListener(plan, lab)
    spool = tmp_path / "run" / "spool"
    spool.mkdir(parents=True)
    listener.start(spool, tmp_path / "watcher.log", 0)
    events = []

    def until(*owners: str) -> None:
        end = time.monotonic() + 20
        while listener.owners.get("vip") != owners:
            events.extend(listener.poll(pytest.fail))
            assert time.monotonic() < end, f"{listener.owners}, wanted {owners}; {(tmp_path / 'watcher.log').read_text()}"
            time.sleep(0.02)

    until()
    hold(lab, "n0", True)
    until("n0")
    began_ns = time.monotonic_ns()
    both_ns = hold(lab, "n1", True)
    until("n0", "n1")
    one_ns = hold(lab, "n0", False)
    until("n1")
    cut = tuple(Link(source=a, destination=b) for a, b in (("n1", "n2"), ("n2", "n1")))
    cut_ns = lab.perform(CutLinks(links=cut, tag="t")).ended_ns
    until()
    joined_ns = lab.perform(JoinLinks(tag="t")).began_ns
    until("n1")
    lab.perform(PowerOff(node="n2"))  # whoever asks is gone: nothing is known, and nobody is said to be without an owner
    time.sleep(1.5)
    lab.perform(PowerOn(node="n2"))
    time.sleep(1.5)
    assert listener.agent is not None
    assert listener.agent.stop(10) == 0
    ended_ns = time.monotonic_ns()

    with SampleFiles.open(tmp_path / "run") as files:
        (seen,) = address_samples(files, 0, plan)
    fault = replace(recorded.fault(), began_ns=began_ns, injected_ns=began_ns, effective_ns=began_ns)
    found = address_figures(replace(recorded.trial(faults=[fault]), ended_ns=ended_ns), seen)
    dual, none = found.dual_owner_time, found.no_owner_time
    assert dual.low is not None and dual.high is not None and none.low is not None and none.high is not None  # noqa: PT018
    assert dual.low <= (one_ns - both_ns) / 1e9 <= dual.high
    assert none.low > 0, "a cut node has the address, and nobody where clients are hears of it"
    assert none.low <= (joined_ns - cut_ns) / 1e9 + 0.3
    assert none.high - none.low > 1.0, "the time without an asker is not known to be one with an owner"
    assert seen.t_asked[-1] > joined_ns + 2_500_000_000, "a rebooted node asks again"
    told = [data for kind, data in events if kind == "address.announced"]
    assert {(t["owner"], t["how"]) for t in told} >= {("n0", "gratuitous ARP"), ("n1", "gratuitous ARP")}
    first = next(t for t in told if t["owner"] == "n1")
    assert began_ns < first["between_ns"][0] <= first["between_ns"][1] < one_ns
    assert first["between_ns"][1] - first["between_ns"][0] < 5_000_000, "the kernel's stamp, not the instant of reading"


ANNOUNCE = """
import socket, sys
made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
made.bind(("eth0", 0))
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "go":
        made.send(bytes.fromhex(sys.argv[1]))
        print("sent", flush=True)
"""


def test_announcements_of_an_ipv6_address_are_seen_on_the_wire(up: Up, tmp_path: Path) -> None:
    """n0 announces it, then n1: a floor of one move, and nothing is claimed of owners that nobody asked."""
    from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6
    from scapy.layers.l2 import Ether

    scratch = plans.bare(3).model_copy(update={"clients": ("n2",)})
    lab = up(scratch)
    plan = recorded.plan(watch={"addresses": {"vip6": "FD00:C5::0100"}}).model_copy(update={"lab_plan": scratch})
    listener = AddressListener(plan, lab)
    spool = tmp_path / "run" / "spool"
    spool.mkdir(parents=True)
    listener.start(spool, tmp_path / "watcher.log", 0)
    script = tmp_path / "announce.py"
    script.write_text(ANNOUNCE)
    senders = {}
    for node in ("n0", "n1"):
        mac = scratch.node(node).interfaces[0].mac
        frame = Ether(src=mac, dst="33:33:00:00:00:01") / IPv6(src="fe80::1", dst="ff02::1", hlim=255)
        frame /= ICMPv6ND_NA(R=0, S=0, O=1, tgt="fd00:c5::100") / ICMPv6NDOptDstLLAddr(lladdr=mac)
        senders[node] = lab.spawn(
            f"announcer {node}", node, (sys.executable, str(script), bytes(frame).hex()), tmp_path / "a.log"
        )
    told: list[tuple[str, dict[str, object]]] = []

    def said(node: str, count: int) -> None:
        end = time.monotonic() + 20
        while sum(kind == "address.announced" and data["owner"] == node for kind, data in told) < count:
            told.extend(listener.poll(pytest.fail))
            senders[node].tell("go")
            assert time.monotonic() < end, f"{told}; {(tmp_path / 'watcher.log').read_text()}; {(tmp_path / 'a.log').read_text()}"
            time.sleep(0.1)

    said("n0", 1)
    began_ns = time.monotonic_ns()
    said("n1", 1)
    for sender in senders.values():
        sender.stop(5)
    assert listener.agent is not None
    assert listener.agent.stop(10) == 0
    with SampleFiles.open(tmp_path / "run") as files:
        (seen,) = address_samples(files, 0, plan)
    assert {a.how for a in seen.announcements} == {"unsolicited neighbour advertisement"}
    fault = replace(recorded.fault(), began_ns=began_ns, injected_ns=began_ns, effective_ns=began_ns)
    found = address_figures(replace(recorded.trial(faults=[fault]), ended_ns=time.monotonic_ns()), seen)
    assert (found.moves.point, found.moves.low, found.moves.high) == (None, 1, None)
    assert "n0 \u2192 n1" in found.moves.text
    assert not found.dual_owner_time.valid
    assert found.takeover is not None
    assert found.takeover.low is not None
    assert found.takeover.low >= 0
