from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from chaoskit.linux import dns
from chaoskit.model.capability import NETWORK_ANSWER, NETWORK_PORTS, Need
from chaoskit.model.errors import StepFailed
from chaoskit.model.experiment import Selector
from chaoskit.model.facts import ActivityQuery, Check, DroppedQuery, NameQuery
from chaoskit.model.steps import AnswerNames, Cease, JoinLinks, Link, Step
from chaoskit.ports.fault import Facts, Fault, Scene

_SEEN = {"timeout": "timeout", "servfail": "SERVFAIL", "nxdomain": "NXDOMAIN", "stale": "NOERROR"}
_NO_SUCH_ADDRESS = "192.0.2.53"
_REAL = ("NOERROR", "no_data", "NXDOMAIN", "SERVFAIL", "REFUSED", "NOTIMP", "FORMERR")

Name = Annotated[str, Field(min_length=1, max_length=253)]


class NetworkDnsFailure(Fault):
    """Let DNS fail for some nodes: no answer, a failure, a denial, or the answers of yesterday.

    The target's queries to port 53 of the lab's DNS servers are dropped on the switch, and answered there in the server's place;
    the servers themselves notice nothing. What a resolver on the target has in its cache it still answers. The evidence is a real
    query from the target through the network.
    """

    NAME = "network.dns_failure"
    OUTAGE = "a DNS server that is overloaded, broken or cut off from its source; an expired zone; a record that nobody updated"
    EXAMPLE: ClassVar = {
        "inject": "network.dns_failure",
        "target": {"role": "primary"},
        "with": {"response": "servfail"},
        "at": "10s",
        "for": "30s",
    }

    response: Literal["timeout", "servfail", "nxdomain", "stale"] = "timeout"
    """`timeout`: no answer at all; `servfail`: the server says that it failed; `nxdomain`: it says that there is no such name;
    `stale`: it answers as it did when the fault began, whatever has changed since."""
    names: tuple[Name, ...] = ()
    """Only these names and what is below them, over UDP only; for `stale` exactly these names, whose addresses are looked up when
    the fault begins. Every name, over TCP too, when left out; `stale` needs some."""
    servers: Selector | None = None
    """Only queries to these nodes; to every node of the lab that answers DNS when left out."""
    network: str | None = None
    """One network of the lab; all of them when left out."""

    def needs(self) -> tuple[Need, ...]:
        return (
            Need(capability=NETWORK_PORTS, why="to drop queries on the lab's switch"),
            Need(capability=NETWORK_ANSWER, why="to answer them in the server's place"),
        )

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"links:{node}" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        if self.response == "stale" and not self.names:
            raise StepFailed(f"{self.NAME}: `stale` needs the `names` whose answers are to be kept")
        facts = super().prepare(scene, nodes, tag)
        wanted = scene.resolve(self.servers) if self.servers is not None else scene.nodes
        links = [Link(source=n, destination=s) for n in nodes for s in wanted if s in facts.shared.get(n, ())]
        probe, links = self._probe(scene, links, tag)
        records = {} if self.response != "stale" else self._recorded(scene, links[0], probe)
        return facts.model_copy(update={"cut": tuple(links), "probe": probe, "records": records})

    def _asked(self, link: Link, name: str, transport: Literal["udp", "tcp"] = "udp") -> NameQuery:
        return NameQuery(node=link.source, server=link.destination, name=name, transport=transport, network=self.network)

    def _probe(self, scene: Scene, links: Sequence[Link], tag: str) -> tuple[str, list[Link]]:
        """A name that tells the fault from the servers' own answers, and the links on which a server answers it."""
        nobodys = f"{tag.lower()}.invalid"
        candidates = [nobodys] if self.response == "stale" else self.names or ["", "localhost"]
        told: dict[str, str | None] = {}
        for name in candidates:
            seen = {link: scene.read(self._asked(link, name)).value for link in links}
            told |= {f"{name or '.'} at {link.destination}": value for link, value in seen.items()}
            answering = [link for link, value in seen.items() if value in _REAL]
            if answering and not any(seen[link] == _SEEN[self.response] for link in answering):
                return name, answering
        said = "; ".join(f"{what}: {value}" for what, value in told.items())
        raise StepFailed(f"{self.NAME}: no DNS server answers in a way that could be told from the fault", said)

    def _recorded(self, scene: Scene, link: Link, probe: str) -> dict[str, str]:
        """Name, blank, type -> the answer of now; and one for a name that no server has, by which the fault is told."""
        records = {}
        for name in self.names:
            for record in ("A", "AAAA"):
                query = NameQuery(node=link.source, server=link.destination, name=name, record=record, network=self.network)
                reading = scene.read(query)
                if not reading.data:
                    raise StepFailed(f"{self.NAME}: {link.destination} gives no answer for {name} to keep: {reading.value}")
                records[_key(name, record)] = reading.data
        made = dns.address_answer(dns.query(0, probe, "A"), _NO_SUCH_ADDRESS)
        return records | {_key(probe, "A"): base64.b64encode(made or b"").decode()}

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return (
            AnswerNames(
                tag=facts.tag,
                links=facts.cut,
                response="none" if self.response == "timeout" else self.response,
                names=self.names if self.response != "stale" else tuple(key.rpartition(" ")[0] for key in facts.records),
                answers=facts.records,
                network=self.network,
            ),
        )

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return (Cease(tag=facts.tag), JoinLinks(tag=facts.tag))

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        seen = _SEEN[self.response]
        transports: tuple[Literal["udp", "tcp"], ...] = ("udp",) if self.names else ("udp", "tcp")
        checks = [
            Check(
                query=self._asked(link, facts.probe, transport),
                in_force=(seen,),
                healed=tuple(value for value in _REAL if value != seen) if transport == "udp" else (),
                means=f"{link.source} asks {link.destination} for {facts.probe or 'the root'} over {transport.upper()}: {seen}",
            )
            for link in facts.cut
            for transport in transports
        ]
        rules = Check(
            query=DroppedQuery(tag=facts.tag), answer="number", healed=("0",), means="queries were dropped on the switch"
        )
        goes_on = Check(query=ActivityQuery(tag=facts.tag), healed=("none", "ended"), means="queries are answered on the switch")
        return (*checks, rules, goes_on)


def _key(name: str, record: str) -> str:
    return f"{name.rstrip('.').lower()} {dns.TYPES[record]}"
