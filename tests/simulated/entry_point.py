"""The simulated backend as an installed package would bring it, for processes that are started by tests.

`installed_in(folder)` writes the package's metadata; with that folder on PYTHONPATH the backend `simulated` is there. It is told
to misbehave by the environment variable CHAOSKIT_SIMULATED (JSON), and tells what it built in CHAOSKIT_SIMULATED_LABS.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chaoskit.model import capability
from chaoskit.model.capability import Capability, Survey
from chaoskit.model.lab import LabPlan, LabSpec
from tests.simulated.clock import FakeClock
from tests.simulated.cluster import SimulatedCluster
from tests.simulated.lab import SimulatedBackend, SimulatedLab

ROOT = Path(__file__).resolve().parents[2]
KNOBS, LABS = "CHAOSKIT_SIMULATED", "CHAOSKIT_SIMULATED_LABS"
LAB = {
    "name": "simulated",
    "nodes": {"db": {"count": 3, "services": ["database"]}, "app": {}},
    "services": {"database": {"command": ["database"]}},
    "clients": "app",
    "leader": "primary",
    "roles": {"primary": {"http": "http://x/primary"}, "replica": {"http": "http://x/replica"}},
    "endpoints": {"write": {"kind": "postgres", "hosts": "db", "port": 5432}},
    "ready": {"roles": {"primary": 1, "replica": 2}, "within": "60s"},
}


def installed_in(folder: Path) -> dict[str, str]:
    """Install it in a folder; the environment variables under which it is found."""
    metadata = folder / "chaoskit_simulated-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: chaoskit-simulated\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[chaoskit.backends]\nsimulated = tests.simulated.entry_point:InstalledSimulation\n"
    )
    return {"PYTHONPATH": os.pathsep.join((str(folder), str(ROOT))), LABS: str(folder / "labs.jsonl")}


class PacedClock(FakeClock):
    """So many seconds pass in each real one, so that whoever acts from outside has time to."""

    def __init__(self, pace: float) -> None:
        super().__init__()
        self._pace = pace

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self._pace:
            time.sleep(seconds / self._pace)


class ToldLab(SimulatedLab):
    """Writes down when it ends."""

    def down(self) -> None:
        if not self.is_down:
            tell(down=self.lab_id, off=sorted(self.cluster.off), frozen=sorted(self.cluster.frozen))
        super().down()


class InstalledSimulation(SimulatedBackend):
    """`deaf`, `failing`, `never_up`, `probe_dies` as in SimulatedBackend; `failover_s`, `replication_lag_s`; `pace`; `lacks`:
    capabilities that this machine has not."""

    def __init__(self) -> None:
        self.knobs: Mapping[str, Any] = json.loads(os.environ.get(KNOBS, "{}"))
        cluster = {k: v for k, v in self.knobs.items() if k in ("failover_s", "replication_lag_s")}
        super().__init__(PacedClock(self.knobs.get("pace", 0)), lambda: SimulatedCluster(**cluster))
        self.deaf, self.failing = set(self.knobs.get("deaf", ())), set(self.knobs.get("failing", ()))
        self.never_up, self.probe_dies = self.knobs.get("never_up", ""), self.knobs.get("probe_dies", False)

    def survey(self, lab: LabSpec) -> Survey:
        lacks = self.knobs.get("lacks", ())
        names = sorted(v for k, v in vars(capability).items() if k.isupper() and isinstance(v, str))
        return Survey(
            backend=self.name,
            capabilities=tuple(
                Capability(name=n, present=n not in lacks, reason="this simulated machine has it not" if n in lacks else "")
                for n in names
            ),
        )

    def up(
        self, plan: LabPlan, lab_id: str, run_id: str, logs: Path, *, detached: bool, progress: Callable[[str], None]
    ) -> SimulatedLab:
        made = super().up(plan, lab_id, run_id, logs, detached=detached, progress=progress)
        made.__class__ = ToldLab
        tell(up=lab_id, pid=os.getpid(), detached=detached, at_s=time.monotonic())
        return made


def tell(**said: Any) -> None:
    """One line into the file that tells of labs."""
    with Path(os.environ[LABS]).open("a") as file:
        file.write(json.dumps(said) + "\n")


def told(environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """What was told of labs."""
    file = Path(environment[LABS])
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
