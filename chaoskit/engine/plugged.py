"""Watchers of installed packages that an experiment names: started by their entry point, listened to while the trial runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chaoskit.model.plan import Plan
from chaoskit.ports.lab import Agent, Lab
from chaoskit.ports.watcher import Observed, PluggedWatchConfig

WATCHER_RUNNER = "chaoskit.watchers.run"
"""Run as a process of its own inside the lab; the engine never imports it."""
OWN = ("address", "role")
"""Watchers of chaoskit's own, which are started for what the lab names, and with a configuration of their own."""


class PluggedListener:
    """Starts every watcher of the experiment and keeps what they say."""

    def __init__(self, plan: Plan, lab: Lab) -> None:
        self._plan, self._lab = plan, lab
        self.agents: dict[str, Agent] = {}

    def start(self, spool: Path, log: Callable[[str], Path], trial: int) -> None:
        """From now on each of them watches. Nothing where the experiment names none."""
        inside = self._lab.inside()
        for name, spec in self._plan.experiment.watch.watchers.items():
            config = PluggedWatchConfig(
                name=name,
                type=spec.type,
                trial=trial,
                inside=None if inside is None else str(inside),
                nodes=self._plan.lab_plan.addresses(),
                options=dict(spec.model_extra or {}),
            )
            file = spool / f"{trial}-watcher-{name}.json"
            file.write_text(config.model_dump_json(), encoding="utf-8")
            argv = (sys.executable, "-m", WATCHER_RUNNER, spec.type, str(file))
            self.agents[name] = self._lab.spawn(f"watcher {name}", None, argv, log(f"watcher-{name}"))

    def poll(self, odd: Callable[[str, str], None]) -> Iterator[dict[str, Any]]:
        """The data of an event for each thing observed since the last call; never blocks. `odd` gets (name, line) of no sense."""
        for name, agent in self.agents.items():
            for line in agent.lines():
                try:
                    observed = Observed.model_validate_json(line)
                except ValidationError:
                    odd(name, line)
                    continue
                yield {"watcher": name, **observed.model_dump(mode="json", exclude={"kind"})}
