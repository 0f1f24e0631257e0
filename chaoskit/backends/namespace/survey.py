"""What this machine lets a lab of namespaces do, found by trying it in a scratch process."""

from __future__ import annotations

from chaoskit.model.capability import Survey
from chaoskit.model.lab import LabSpec


def take_survey(backend: str, lab: LabSpec) -> Survey:
    return Survey(backend=backend, mode="", capabilities=())
