"""Which questions say nothing while another fault is in force."""

from __future__ import annotations

import pytest

from chaoskit.engine.spoiling import spoils
from chaoskit.model.facts import Check, NodeStateQuery, ReachQuery
from chaoskit.model.steps import CutLinks, Freeze, Link, SetLink, Step

CUT = CutLinks(tag="t", links=(Link(source="a", destination="b"),))
REACH = Check(query=ReachQuery(source="c", destination="d"), means="c hears d")
BACK = Check(query=ReachQuery(source="b", destination="a"), means="b hears a")
STATE = Check(query=NodeStateQuery(node="a"), means="a is up")


@pytest.mark.parametrize(
    ("nodes", "steps", "check", "own", "spoilt"),
    [
        (("c",), (), REACH, (), True),
        (("a",), (CUT,), REACH, (), False),
        (("x",), (CUT,), BACK, (), True),  # a question and its answer take the link both ways
        (("x",), (CUT,), STATE, (), False),
        (("x",), (SetLink(node="d", up=False),), REACH, (), True),  # a switch that dies hits more than its target
        (("x",), (Freeze(node="e"),), REACH, (), False),
        (("c",), (), REACH, ("c",), False),
        (("x",), (CUT,), BACK, ("b",), False),
    ],
)
def test_a_question_is_spoilt(
    nodes: tuple[str, ...], steps: tuple[Step, ...], check: Check, own: tuple[str, ...], spoilt: bool
) -> None:
    assert spoils(nodes, steps, check, own) is spoilt
