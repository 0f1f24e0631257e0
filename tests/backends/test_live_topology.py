"""Resets, refusals, names, owners and routers in a real lab, felt by real sockets of a program in a node."""

from __future__ import annotations

import random
import sys
import time
from typing import Any

import pytest

from chaoskit.backends.namespace.lab import NamespaceLab
from chaoskit.engine.clock import SystemClock
from chaoskit.engine.injecting import seen_within
from chaoskit.engine.scene import LiveScene
from chaoskit.faults.network_connection_reset import NetworkConnectionReset
from chaoskit.faults.network_dns_failure import NetworkDnsFailure
from chaoskit.faults.network_duplicate_ip import NetworkDuplicateIp
from chaoskit.faults.network_link_flap import NetworkLinkFlap
from chaoskit.faults.network_port_block import NetworkPortBlock
from chaoskit.faults.network_router_failure import NetworkRouterFailure
from chaoskit.model.capability import NETWORK_ANSWER, NETWORK_REJECT, NETWORK_RESET, Survey
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import ActivityQuery, ConnectionsQuery, NeighbourQuery, ReachQuery
from chaoskit.model.lab import RoutePlan
from chaoskit.model.steps import Exec, FlapLink, PowerOff, PowerOn
from chaoskit.ports.fault import Facts, Fault

from . import plans
from .conftest import Up

pytestmark = pytest.mark.lab

ECHO = """
import socket, socketserver, threading
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(100):
            self.request.sendall(data)
socketserver.ThreadingTCPServer.allow_reuse_address = True
tcp = socketserver.ThreadingTCPServer(("0.0.0.0", 7000), Echo)
threading.Thread(target=tcp.serve_forever, daemon=True).start()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("0.0.0.0", 7001))
while True:
    data, sender = udp.recvfrom(100)
    udp.sendto(data, sender)
"""
CLIENT = """
import errno, os, socket, sys, time
from pathlib import Path
host, ready, go = "198.18.0.1", Path("/tmp/ready"), Path("/tmp/go")
held = socket.create_connection((host, 7000), 2)
held.settimeout(2)
held.sendall(b"one")
held.recv(3)
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asking.settimeout(2)
asking.connect((host, 7001))
ready.touch()
end = time.monotonic() + 20
while not go.exists() and time.monotonic() < end:
    time.sleep(0.01)
def told(body):
    began = time.monotonic()
    try:
        said = body() or "nothing"
    except OSError as error:
        said = errno.errorcode.get(error.errno, type(error).__name__)
    return f"{said} {'at once' if time.monotonic() - began < 0.5 else 'late'}"
def again():
    held.sendall(b"two")
    return held.recv(3).decode()
def fresh():
    with socket.create_connection((host, 7000), 2) as made:
        made.sendall(b"new")
        return made.recv(3).decode()
def datagram():
    asking.send(b"who")
    return asking.recv(3).decode()
Path("/tmp/said").write_text(", ".join((told(again), told(fresh), told(datagram))))
"""


def echo() -> Any:
    return plans.service("echo", sys.executable, "-c", ECHO, ready=plans.TcpCheck(tcp=7000))


def client() -> Any:
    return plans.service("client", sys.executable, "-c", CLIENT, restart="never", needs=("echo",))


def scene(lab: NamespaceLab) -> LiveScene:
    return LiveScene(lab, lambda _: (), random.Random(1))


def done(lab: NamespaceLab, steps: Any) -> list[str]:
    return [lab.perform(step).output for step in steps]


def proven(lab: NamespaceLab, fault: Fault, facts: Facts, side: str) -> list[str]:
    """What is wrong with the evidence."""
    _, rows = seen_within(lab, fault.effect(facts), lambda c: getattr(c, side), 5.0, SystemClock())
    return [f"{row['means']}: {row['seen']}" for row in rows if not row["holds"]]


def shell(lab: NamespaceLab, node: str, command: str) -> str:
    return lab.perform(Exec(node=node, argv=("sh", "-c", command), timeout_s=15)).output.strip()


def felt(lab: NamespaceLab) -> str:
    """What becomes of the client's old connection, a new one, and a datagram."""
    shell(lab, "n1", "touch /tmp/go")
    return shell(lab, "n1", "for i in $(seq 1 500); do test -s /tmp/said && break; sleep 0.02; done; cat /tmp/said")


def connected(up: Up, **more: Any) -> NamespaceLab:
    lab = up(plans.plan(plans.node("n0", 0, services=(echo(),), **more), plans.node("n1", 1, services=(client(),))))
    shell(lab, "n1", "for i in $(seq 1 500); do test -e /tmp/ready && break; sleep 0.02; done; test -e /tmp/ready")
    return lab


def test_without_a_fault_the_client_is_served(up: Up) -> None:
    assert felt(connected(up)) == "two at once, new at once, who at once"


def test_rejected_ports_refuse_at_once_and_reset_what_is_established(up: Up, survey: Survey) -> None:
    if not survey.has(NETWORK_REJECT):
        pytest.skip(survey.reason(NETWORK_REJECT))
    lab = connected(up)
    fault = NetworkPortBlock(ports=(7000,), udp_ports=(7001,), action="reject")
    facts = fault.prepare(scene(lab), ("n0",), "reject")
    assert done(lab, fault.inject(facts))[0].startswith("refused by ")
    assert felt(lab) == "ECONNRESET at once, ECONNREFUSED at once, ECONNREFUSED at once"
    assert proven(lab, fault, facts, "in_force") == []
    done(lab, fault.heal(facts))
    assert proven(lab, fault, facts, "healed") == []
    assert lab.read(ReachQuery(source="n1", destination="n0", tcp_port=7000)).value == "answered"


def test_a_node_that_reboots_finds_its_ports_rejected_still(up: Up, survey: Survey) -> None:
    if not survey.has(NETWORK_REJECT):
        pytest.skip(survey.reason(NETWORK_REJECT))
    lab = up(plans.plan(plans.node("n0", 0, services=(echo(),)), plans.node("n1", 1)))
    fault = NetworkPortBlock(ports=(7000,), action="reject")
    facts = fault.prepare(scene(lab), ("n0",), "reject")
    done(lab, fault.inject(facts))
    for node in ("n0", "n1"):
        done(lab, (PowerOff(node=node, lose_unsynced=False), PowerOn(node=node)))
        assert lab.read(ReachQuery(source="n1", destination="n0", tcp_port=7000, timeout_s=2)).value == "refused"
    done(lab, fault.heal(facts))
    deadline = time.monotonic() + 10
    while (seen := lab.read(ReachQuery(source="n1", destination="n0", tcp_port=7000)).value) != "answered":
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)


def test_reset_connections_end_at_both_ends_and_new_ones_are_made(up: Up, survey: Survey) -> None:
    if not survey.has(NETWORK_RESET):
        pytest.skip(survey.reason(NETWORK_RESET))
    lab = connected(up)
    with pytest.raises(StepFailed, match="no such established connection"):
        NetworkConnectionReset(ports=(7002,)).prepare(scene(lab), ("n0",), "reset")
    fault = NetworkConnectionReset(ports=(7000,))
    facts = fault.prepare(scene(lab), ("n0",), "reset")
    (there,) = facts.connections["n0"]
    (far,) = lab.read(ConnectionsQuery(node="n1")).connections
    assert (there.local, there.remote) == (far.remote, far.local)
    assert proven(lab, fault, facts, "in_force") != []
    assert done(lab, fault.inject(facts)) == ["1 connections"]
    assert proven(lab, fault, facts, "in_force") == []
    assert lab.read(ConnectionsQuery(node="n1", of=(far,))).value == "none"
    assert felt(lab) == "ECONNRESET at once, new at once, who at once"


def test_names_fail_for_a_resolver_in_the_node_and_are_true_again_afterwards(up: Up, survey: Survey) -> None:
    if not survey.has(NETWORK_ANSWER):
        pytest.skip(survey.reason(NETWORK_ANSWER))
    lab = up(
        plans.plan(
            plans.node("n0", 0), plans.node("n1", 1, services=(plans.names("db.example 198.18.0.77\nup.example 198.18.0.78\n"),))
        )
    )
    shell(lab, "n0", "echo 'nameserver 198.18.0.2\noptions timeout:1 attempts:1' > /etc/resolv.conf")

    def asked(name: str = "db.example") -> str:
        look = f"import socket\ntry: print(socket.gethostbyname('{name}'))\nexcept OSError as error: print(error.args[0])"
        return shell(lab, "n0", f'{sys.executable} -c "{look}"')

    assert asked() == "198.18.0.77"
    seen = {}
    for response in ("timeout", "servfail", "nxdomain", "stale"):
        fault = NetworkDnsFailure(response=response, names=("db.example",) if response == "stale" else ())  # type: ignore[arg-type]
        facts = fault.prepare(scene(lab), ("n0",), "names")
        shell(lab, "n1", "echo 'db.example 198.18.0.99\nup.example 198.18.0.78' > /srv/zone")
        done(lab, fault.inject(facts))
        assert proven(lab, fault, facts, "in_force") == [], response
        seen[response] = asked()
        if response == "stale":
            assert asked("up.example") == "198.18.0.78", "what is not named passes"
        done(lab, fault.heal(facts))
        assert proven(lab, fault, facts, "healed") == [], response
        assert asked() == "198.18.0.99"
        shell(lab, "n1", "echo 'db.example 198.18.0.77\nup.example 198.18.0.78' > /srv/zone")
    again, no_name = "-3", "-2"  # EAI_AGAIN, EAI_NONAME
    assert seen == {"timeout": again, "servfail": again, "nxdomain": no_name, "stale": "198.18.0.77"}


def test_neighbours_of_a_duplicated_address_believe_the_wrong_node_and_then_the_right_one_again(up: Up) -> None:
    lab = up(plans.bare(4))
    for peer in ("n2", "n3"):  # its kernel resolves the address
        shell(lab, peer, f"{sys.executable} -c \"import socket; socket.socket(2, 2).sendto(b'x', ('198.18.0.1', 9))\"; sleep 0.2")
    fault = NetworkDuplicateIp.model_validate({"owner": {"node": "n0"}})
    facts = fault.prepare(scene(lab), ("n1",), "twice")

    def believed() -> list[str | None]:
        place = {"network": "lan", "address": "198.18.0.1"}
        return [lab.read(NeighbourQuery(node=peer, **place)).value for peer in ("n2", "n3")]

    assert believed() == ["n0", "n0"]
    done(lab, fault.inject(facts))
    assert proven(lab, fault, facts, "in_force") == []
    assert believed() == ["n1", "n1"]
    done(lab, fault.heal(facts))
    assert proven(lab, fault, facts, "healed") == []
    assert believed() == ["n0", "n0"]
    assert [lab.read(ReachQuery(source=peer, destination="n0")).value for peer in ("n1", "n2", "n3")] == ["answered"] * 3


def test_a_link_flaps_as_often_as_it_should_and_bears_that_its_node_is_off(up: Up) -> None:
    lab = up(plans.bare(2))
    fault = NetworkLinkFlap.model_validate({"period": "200ms", "down": 25})
    facts = fault.prepare(scene(lab), ("n0",), "flap")
    began = time.monotonic()
    done(lab, fault.inject(facts))
    with pytest.raises(StepFailed, match="goes on already"):
        lab.perform(FlapLink(tag="flap-n0", node="n0", period_s=1, down_share=0.5))
    done(lab, (PowerOff(node="n0", lose_unsynced=False),))
    time.sleep(0.5)
    done(lab, (PowerOn(node="n0"),))
    time.sleep(1.0)
    assert proven(lab, fault, facts, "in_force") == []
    flaps, took_s = lab.read(ActivityQuery(tag="flap-n0")).number or 0, time.monotonic() - began
    assert 0.8 * took_s / 0.2 - 1 <= flaps <= took_s / 0.2 + 1
    done(lab, fault.heal(facts))
    assert proven(lab, fault, facts, "healed") == []
    assert lab.read(ActivityQuery(tag="flap-n0")).value == "ended"


def test_a_router_between_two_sites_stops_forwarding_and_looks_well(up: Up) -> None:
    east = {"routes": (RoutePlan(subnet=plans.SUBNETS["san"], via="198.18.0.1"),)}
    west = {"routes": (RoutePlan(subnet=plans.SUBNETS["lan"], via="198.18.1.1"),)}
    router = plans.node("n0", 0, ("lan", "san"), forwards=True)
    lab = up(plans.plan(router, plans.node("n1", 1, **east), plans.node("n2", 2, ("san",), services=(echo(),), **west)))
    fetch = "import socket; s = socket.create_connection(('198.18.1.3', 7000), 1); s.sendall(b'hi'); print(s.recv(9).decode())"

    def fetched() -> str:
        return shell(lab, "n1", f'{sys.executable} -c "{fetch}" 2>&1 | tail -1')

    assert fetched() == "hi"
    fault = NetworkRouterFailure()
    with pytest.raises(StepFailed, match="n1 does not forward"):
        fault.prepare(scene(lab), ("n1",), "router")
    facts = fault.prepare(scene(lab), ("n0",), "router")
    done(lab, fault.inject(facts))
    assert proven(lab, fault, facts, "in_force") == []
    assert fetched().startswith("TimeoutError")
    done(lab, (PowerOff(node="n0", lose_unsynced=False), PowerOn(node="n0")))
    done(lab, fault.heal(facts))
    assert proven(lab, fault, facts, "healed") == []
    assert fetched() == "hi"
