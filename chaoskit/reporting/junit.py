"""junit.xml: a suite for the run, a case for each objective of each trial. Failed is a failure, unknown is an error."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree as ET

from chaoskit.model.figures import Figure
from chaoskit.model.result import ObjectiveOutcome
from chaoskit.reporting.findings import findings
from chaoskit.reporting.narrative import downtime_sentence, leader_role, loss_sentence
from chaoskit.reporting.text import clean, elapsed_s
from chaoskit.reporting.view import View


def _cases(view: View) -> list[tuple[str, ObjectiveOutcome]]:
    """(class name, outcome): each trial's objectives, then those of the run that belong to no trial."""
    title = f"chaoskit.{view.result.experiment.title}"
    cases = [
        (f"{title}.trial {trial.index}", outcome.model_copy(update={"trial": trial.index}))
        for trial in view.result.trials
        for outcome in trial.objectives
    ]
    seen = {(o.name, o.subject, o.trial) for _, o in cases}
    cases += [
        (title, o) for o in view.result.objectives if (o.name, o.subject, o.trial) not in seen and (o.trial is None or not cases)
    ]
    return cases


def _extra(view: View, cases: Iterable[ObjectiveOutcome]) -> list[ObjectiveOutcome]:
    """What makes the run bad beyond its objectives: without it, a run that measured nothing would look green."""
    result = view.result
    extra = []
    if result.undo.dirty:
        extra.append(
            ObjectiveOutcome(
                name="undo", target="everything put back", actual="still broken", met=False, reasons=result.undo.dirty
            )
        )
    if result.incomplete:
        extra.append(
            ObjectiveOutcome(
                name="complete", target="the run ends as planned", actual="ended early", met=None, reasons=(result.incomplete,)
            )
        )
    mets = [o.met for o in (*cases, *extra)]
    explained = {"passed": bool(mets), "failed": False in mets, "unknown": None in mets}[result.verdict]
    if not explained:
        met = {"passed": True, "failed": False, "unknown": None}[result.verdict]
        extra.append(ObjectiveOutcome(name="verdict", target="passed", actual=result.verdict, met=met, reasons=result.reasons))
    return extra


def _properties(view: View) -> list[tuple[str, str]]:
    result = view.result
    found = [
        ("run_id", result.run_id),
        ("verdict", result.verdict),
        ("lab", result.lab.name),
        ("backend", result.lab.backend),
        ("seed", str(result.seed)),
        ("report", "report.html"),
        ("downtime", downtime_sentence(view)),
        ("loss", loss_sentence(view)),
    ]
    found += [(f"finding.{f.key}", "; ".join(f.evidence)) for f in findings(result, leader_role(view))]
    for trial in result.trials:
        for name, client in trial.clients.items():
            found += figure_properties(f"trial.{trial.index}.{name}.rto", client.rto)
        if trial.rpo is not None:
            found.append((f"trial.{trial.index}.rpo.acknowledged", str(trial.rpo.acknowledged)))
            found += figure_properties(f"trial.{trial.index}.rpo.lost", trial.rpo.lost)
            found += figure_properties(f"trial.{trial.index}.rpo.window", trial.rpo.window)
    return found


def figure_properties(name: str, figure: Figure) -> list[tuple[str, str]]:
    """A figure as properties of junit.xml: its bounds, or why there are none."""
    if not figure.valid:
        return [(name, f"invalid: {'; '.join(figure.reasons)}")]
    unit = f"_{figure.unit}" if figure.unit == "s" else ""
    found = [
        (f"{name}.{key}{unit}", repr(v))
        for key, v in (("point", figure.point), ("low", figure.low), ("high", figure.high))
        if v is not None
    ]
    found += [(f"{name}.censored", "true")] if figure.censored else []
    return found or [(name, figure.text or "not measured")]


def _element(parent: ET.Element, tag: str, text: str = "", **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, {key: clean(value) for key, value in attributes.items()})
    if text:
        element.text = clean(text)
    return element


def _case(suite: ET.Element, class_name: str, outcome: ObjectiveOutcome) -> None:
    name = " ".join(part for part in (outcome.name, outcome.subject, outcome.target) if part)
    case = _element(suite, "testcase", classname=class_name, name=name, time="0")
    why = "\n".join(outcome.reasons)
    if outcome.met is False:
        _element(case, "failure", why or outcome.actual, message=f"wanted {outcome.target}, got {outcome.actual}", type="missed")
    elif outcome.met is None:
        message = f"wanted {outcome.target}, but it is unknown: {'; '.join(outcome.reasons) or outcome.actual}"
        _element(case, "error", why or outcome.actual, message=message, type="unknown")
    else:
        _element(case, "system-out", f"wanted {outcome.target}, got {outcome.actual}")


def junit_xml(view: View) -> str:
    """The document. Characters that XML does not allow are spelled out."""
    result = view.result
    cases = _cases(view)
    cases += [(f"chaoskit.{result.experiment.title}", o) for o in _extra(view, [o for _, o in cases])]
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(o.met is False for _, o in cases)),
        "errors": str(sum(o.met is None for _, o in cases)),
        "skipped": "0",
        "time": f"{elapsed_s(result.started, result.ended) or 0:.3f}",
    }
    root = ET.Element("testsuites", {"name": "chaoskit", **counts})
    suite = _element(root, "testsuite", name=result.experiment.title, timestamp=result.started, **counts)
    properties = _element(suite, "properties")
    for name, value in _properties(view):
        _element(properties, "property", name=name, value=value)
    for class_name, outcome in cases:
        _case(suite, class_name, outcome)
    if result.reasons:
        _element(suite, "system-out", "\n".join(result.reasons))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'
