"""What steps on links, connections, addresses, routers and names do to a simulated cluster, and what questions show.

db2 is a DNS server; in a lab with a router db1 is one, and app is behind it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from chaoskit.linux import dns
from chaoskit.model.facts import (
    Connection,
    ConnectionsQuery,
    FlapsQuery,
    ForwardingQuery,
    NameQuery,
    NeighbourQuery,
    OwnersQuery,
    Reading,
)
from chaoskit.model.steps import AnnounceAddress, AnswerNames, FlapLink, ResetConnections, SetAddress, SetForwarding
from tests.simulated.activities import begin
from tests.simulated.cluster import SimulatedCluster

SERVER = "db2"
NODE_ADDRESSES = {f"198.18.0.{11 + i}": name for i, name in enumerate(("db1", "db2", "db3", "app"))}


def flap(c: SimulatedCluster, step: FlapLink) -> None:
    begin(c, step.tag, step.node, "flap")


def flaps(c: SimulatedCluster, query: FlapsQuery) -> Reading:
    goes_on = any(k[0] == "activity" and k[2] == query.node and v == "flap" for k, v in c.marks.items())
    return Reading(value="flapping" if goes_on else "steady", number=4.0 if goes_on else 0.0)


def reset(c: SimulatedCluster, step: ResetConnections) -> None:
    c.resets[step.node] = c.resets.get(step.node, 0) + 1
    if step.every_s is not None:
        begin(c, step.tag, step.node, "reset")


def connections(c: SimulatedCluster, query: ConnectionsQuery) -> Reading:
    there = [Connection(local="198.18.0.11:5432", remote="198.18.0.14:40000", inode=100 + c.resets.get(query.node, 0))]
    found = tuple(one for one in there if query.of is None or one in query.of)
    return Reading(connections=found, number=float(len(found)), value="some" if found else "none")


def set_address(c: SimulatedCluster, step: SetAddress) -> None:
    c.marks.pop(("address", step.node, step.address), None)
    if step.present:
        c.marks["address", step.node, step.address] = True


def announce(c: SimulatedCluster, step: AnnounceAddress) -> None:
    return


def owners(c: SimulatedCluster, query: OwnersQuery) -> Reading:
    held = {NODE_ADDRESSES[query.address], *(k[1] for k in c.marks if k[0] == "address" and k[2] == query.address)}
    return Reading(value=" ".join(sorted(held)), number=len(held))


def neighbour(c: SimulatedCluster, query: NeighbourQuery) -> Reading:
    others = [k[1] for k in c.marks if k[0] == "address" and k[2] == query.address]
    return Reading(value=others[0] if others else NODE_ADDRESSES[query.address])


def set_forwarding(c: SimulatedCluster, step: SetForwarding) -> None:
    c.marks.pop(("does not forward", step.node), None)
    if not step.on:
        c.marks["does not forward", step.node] = True


def forwarding(c: SimulatedCluster, query: ForwardingQuery) -> Reading:
    return Reading(value="off" if ("does not forward", query.node) in c.marks else "on")


def answer_names(c: SimulatedCluster, step: AnswerNames) -> None:
    begin(c, step.tag, "", "names")
    c.names[step.tag] = step


def name(c: SimulatedCluster, query: NameQuery) -> Reading:
    if query.server != SERVER:
        return Reading(value="refused")
    asked = dns.query(1, query.name, query.record)
    true = dns.address_answer(asked, "198.18.0.99") if not query.name.endswith(".invalid") else dns.failure(asked, dns.NXDOMAIN)
    for tag, step in c.names.items():
        if ("activity", tag, "") in c.marks:
            kept = step.answers.get(f"{query.name} {dns.TYPES[query.record]}")
            if step.response != "stale":
                return Reading(value={"none": "timeout"}.get(step.response, step.response.upper()))
            return Reading(value="NOERROR") if kept else Reading(value=dns.outcome(true or b""))
    return Reading(value=dns.outcome(true or b""), data=base64.b64encode(true or b"").decode())


DEEDS: dict[str, Callable[[SimulatedCluster, Any], None]] = {
    "flap_link": flap,
    "reset_connections": reset,
    "set_address": set_address,
    "announce_address": announce,
    "set_forwarding": set_forwarding,
    "answer_names": answer_names,
}
ANSWERS: dict[str, Callable[[SimulatedCluster, Any], Reading]] = {
    "flaps": flaps,
    "connections": connections,
    "owners": owners,
    "neighbour": neighbour,
    "forwarding": forwarding,
    "name": name,
}
