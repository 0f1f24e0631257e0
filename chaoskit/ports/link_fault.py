"""What faults on the quality of links share: whose links, which way, and how the dose is asked for and felt."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

from chaoskit.model.capability import NETWORK_SHAPE, Need
from chaoskit.model.errors import StepFailed
from chaoskit.model.experiment import Selector
from chaoskit.model.facts import Check, LinkQuery
from chaoskit.model.lab import LabSpec
from chaoskit.model.record import Record
from chaoskit.model.steps import JoinLinks, Link, LinkShape, ShapeLinks, Step
from chaoskit.ports.candidates import candidate_nodes
from chaoskit.ports.fault import Facts, Fault, Scene
from chaoskit.ports.links import Direction, directed, with_peers


class Dose(Record):
    """One figure by which a shape is felt: the query's own fields, and what is asked in words ("50 ms")."""

    query: dict[str, str | int | float]
    words: str


class LinkFault(Fault):
    """A fault that gives the target's links another quality. A subclass says which, and what is to be felt of it."""

    direction: Direction = "both"
    """`in`: frames to the target; `out`: frames from it; `both`: each way, so that a question and its answer are both hit."""
    peers: Selector | None = None
    """Only between the target and these nodes; everybody when left out."""
    network: str | None = None
    """One network of the lab; all of them when left out."""

    @abstractmethod
    def shape(self) -> LinkShape:
        """Pure."""

    @abstractmethod
    def doses(self) -> tuple[Dose, ...]:
        """Pure."""

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=NETWORK_SHAPE, why="to treat the frames of chosen links on the lab's switch"),)

    def misfits(self, lab: LabSpec, nodes: Sequence[str]) -> Iterator[str]:
        for machine in lab.machines():
            hit = [n for n in nodes if n != machine and self._may_meet(lab, n, machine)]
            if hit:
                others = ", ".join(n for n in lab.node_names() if n not in (machine, *hit)) or "none here"
                yield (
                    f"frames between {', '.join(hit)} and {machine} are not shaped, because {machine} is the network of the "
                    f"engine's machine itself; name other `peers` ({others})"
                )

    def _may_meet(self, lab: LabSpec, node: str, machine: str) -> bool:
        shared = set(lab.networks_of(node)) & set(lab.networks_of(machine))
        if not shared or (self.network is not None and self.network not in shared):
            return False
        # `of`: what an earlier action hit, and nothing hits the engine's machine
        return self.peers is None or (self.peers.of is None and machine in candidate_nodes(self.peers, lab))

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        # not `links:`: a link may be cut while it is shaped, and the cut wins
        return tuple(f"shape:{node}" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = with_peers(super().prepare(scene, nodes, tag), scene, self.peers)
        if not self.links(facts):
            raise StepFailed(f"{', '.join(nodes)}: no link to any of the peers")
        return facts

    def links(self, facts: Facts) -> tuple[Link, ...]:
        """The directed links it shapes."""
        return directed(facts.shared, self.direction)

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return (ShapeLinks(tag=facts.tag, links=self.links(facts), network=self.network, shape=self.shape()),)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return (JoinLinks(tag=facts.tag),)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        shape = self.shape()
        under_way_s = shape.delay_s + 4 * shape.jitter_s + 0.2 * bool(shape.rate_bits_per_s)
        checks = []
        for link in self.links(facts):
            for dose in self.doses():
                query = LinkQuery.model_validate(
                    {
                        "source": link.source,
                        "destination": link.destination,
                        "network": self.network,
                        "delay_s": under_way_s,
                        **dose.query,
                    }
                )
                checks.append(
                    Check(
                        query=query,
                        in_force=("as_asked",),
                        healed=("none",),
                        asked=query.expected,
                        unit=query.unit,
                        means=f"from {link.source} to {link.destination}: {dose.words}",
                    )
                )
        return tuple(checks)
