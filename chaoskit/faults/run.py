from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from chaoskit.model.capability import COMMAND_EXEC, Need
from chaoskit.model.facts import Check, ExecQuery
from chaoskit.model.steps import Exec, Step
from chaoskit.model.units import Duration
from chaoskit.ports.fault import Facts, Fault


class Run(Fault):
    """Run a command in the target, and another one to undo it: for what the catalogue lacks, and for planned operations."""

    NAME = "run"
    OUTAGE = "whatever the command does: a switchover, a maintenance step, an operator's slip"
    EXAMPLE: ClassVar = {
        "inject": "run",
        "target": {"role": "primary"},
        "with": {
            "command": ["touch", "/tmp/drained"],
            "verify": ["test", "-e", "/tmp/drained"],
            "undo": ["rm", "-f", "/tmp/drained"],
        },
        "at": "10s",
        "for": "10s",
    }

    command: tuple[str, ...] = Field(min_length=1)
    """Program and arguments; no shell."""
    verify: tuple[str, ...] = Field(min_length=1)
    """Exits with 0 once the command has taken effect. Without evidence there is no verdict, so it must be given."""
    undo: tuple[str, ...] = ()
    """Puts things back; must be harmless when run twice, or without `command`. Empty: there is nothing to undo."""
    gone: tuple[str, ...] = ()
    """Exits with 0 once the effect is gone."""
    user: str = "root"
    """Who runs them in the node."""
    timeout: Duration = Duration(30.0)
    """For each of them."""

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=COMMAND_EXEC, why="to run a command inside the node"),)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"run:{node}:{' '.join(self.command)}" for node in nodes)

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(self._exec(node, self.command) for node in facts.nodes)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(self._exec(node, self.undo) for node in facts.nodes) if self.undo else ()

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        checks = [
            Check(
                query=self._query(node, self.verify),
                answer="number",
                in_force=("0",),
                means=f"{' '.join(self.verify)!r} holds on {node}",
            )
            for node in facts.nodes
        ]
        if self.gone:
            checks += [
                Check(
                    query=self._query(node, self.gone),
                    answer="number",
                    healed=("0",),
                    means=f"{' '.join(self.gone)!r} holds on {node}",
                )
                for node in facts.nodes
            ]
        return tuple(checks)

    def _exec(self, node: str, argv: tuple[str, ...]) -> Exec:
        return Exec(node=node, argv=argv, user=self.user, timeout_s=float(self.timeout))

    def _query(self, node: str, argv: tuple[str, ...]) -> ExecQuery:
        return ExecQuery(node=node, argv=argv, user=self.user, timeout_s=float(self.timeout))
