"""Runs faults on a small lab, as whoever starts it, and prints what became of each: `rootless_faults.py PLAN.json FAULTS.json`.

Imports nothing but chaoskit: it runs as a user who may not read the tests.
"""

from __future__ import annotations

import json
import random
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from chaoskit.backends.namespace.backend import NamespaceBackend
from chaoskit.engine.clock import SystemClock
from chaoskit.engine.injecting import seen_within
from chaoskit.engine.scene import LiveScene
from chaoskit.model.lab import LabPlan
from chaoskit.model.steps import STEP


def outcome(lab: Any, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Before, in force, and after each of two heals: whether the evidence says so."""
    fault = entry_points(group="chaoskit.faults")[name].load().model_validate(parameters)
    facts = fault.prepare(LiveScene(lab, lambda _: (), random.Random(1)), ("n0",), name.replace(".", "-"))
    checks = fault.effect(facts)

    def perform(steps: Any) -> None:
        for step in steps:
            lab.perform(STEP.validate_json(STEP.dump_json(step)))

    def holds(side: str, within_s: float) -> tuple[bool, Any]:
        return seen_within(lab, checks, lambda c: getattr(c, side), within_s, SystemClock(), nothing_is=side == "healed")

    perform(fault.heal(facts))
    before, _ = holds("in_force", 0.0)
    perform(fault.inject(facts))
    in_force, evidence = holds("in_force", 5.0)
    perform(fault.heal(facts))
    gone, gone_evidence = holds("healed", 10.0)
    perform(fault.heal(facts))
    again, _ = holds("healed", 10.0)
    return {"before": before, "in_force": in_force, "gone": gone, "again": again, "evidence": [*evidence, *gone_evidence]}


def main(plan_file: str, faults_file: str) -> None:
    plan = LabPlan.model_validate_json(Path(plan_file).read_text())
    lab = NamespaceBackend().up(plan, "rootless", "run", Path("logs"), detached=False, progress=lambda _: None)
    found: dict[str, Any] = {}
    try:
        for name, parameters in json.loads(Path(faults_file).read_text()).items():
            try:
                found[name] = outcome(lab, name, parameters)
            except Exception as error:  # noqa: BLE001 - the test shows what went wrong with which fault
                found[name] = {"error": f"{type(error).__name__}: {error}"}
    finally:
        lab.down()
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
