"""The validity gates of a trial, all of them, met or not (MEASUREMENT.md section 8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaoskit.measures.validity import client_gates, trial_gates
from chaoskit.model.recorded import TrialRecord


class Gates:
    """The measure behind `gates` of a trial."""

    name = "gates"

    def measure(self, trial: TrialRecord) -> Mapping[str, Any]:
        """{"gates": tuple[Gate, ...]}: the trial's, then each client's by name."""
        per_client = (gate for _, samples in sorted(trial.clients.items()) for gate in client_gates(trial, samples))
        return {"gates": (*trial_gates(trial), *per_client)}
