"""The report for programs: what people are told, as JSON, with the whole result."""

from __future__ import annotations

import json
from typing import Any

from chaoskit.reporting.findings import findings, trials_needed
from chaoskit.reporting.narrative import downtime_sentence, leader_role, loss_sentence, objectives_sentence
from chaoskit.reporting.suggestions import suggestions
from chaoskit.reporting.view import View

SCHEMA = "chaoskit.report/1"


def report_json(view: View) -> str:
    """Verdict, sentences, findings with evidence and reference, suggestions, and `result`, which is result.json."""
    leader = leader_role(view)
    found = findings(view.result, leader)
    said: dict[str, Any] = {
        "schema": SCHEMA,
        "run_id": view.result.run_id,
        "title": view.result.experiment.title,
        "verdict": view.result.verdict,
        "objectives": objectives_sentence(view),
        "downtime": downtime_sentence(view),
        "loss": loss_sentence(view),
        "findings": [
            {
                "key": f.key,
                "title": f.title,
                "evidence": f.evidence,
                "advice": f.advice,
                "reference": f.reference,
                "section": f.anchor,
            }
            for f in found
        ],
        "trials_needed": trials_needed(view.result),
        "suggestions": [
            {"title": s.title, "why": s.why, "command" if s.is_command else "method": s.line}
            for s in suggestions(view, found, leader)
        ],
        "not_shown": view.notes,
        "result": view.result.model_dump(mode="json", by_alias=True),
    }
    return json.dumps(said, indent=1, ensure_ascii=False) + "\n"
