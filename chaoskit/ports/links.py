"""What faults have in common that hit the links between a target and its peers: whose links, and which way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from chaoskit.model.experiment import Selector
from chaoskit.model.steps import Link
from chaoskit.ports.fault import Facts, Scene

Direction = Literal["both", "in", "out"]
"""As the target sees it."""


def with_peers(facts: Facts, scene: Scene, peers: Selector | None) -> Facts:
    """The facts with only these peers of each target; with all of them where none are named."""
    if peers is None:
        return facts
    meant = scene.resolve(peers)
    return facts.model_copy(update={"shared": {n: tuple(p for p in near if p in meant) for n, near in facts.shared.items()}})


def directed(shared: Mapping[str, Sequence[str]], direction: Direction = "both") -> tuple[Link, ...]:
    """The links between each target and its peers, one each way. `in`: those to the target; `out`: those from it."""
    pairs: set[tuple[str, str]] = set()
    for node, peers in shared.items():
        pairs |= {(node, peer) for peer in peers} if direction != "in" else set()
        pairs |= {(peer, node) for peer in peers} if direction != "out" else set()
    return tuple(Link(source=a, destination=b) for a, b in sorted(pairs))
