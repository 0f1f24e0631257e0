"""The picture of the lab: every node and network, what led, what was hit; nothing where the plan says nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chaoskit.model.figures import AddressFigures, AddressInterval, Figure
from chaoskit.reporting.charts.topology import NODE_HEIGHT, NODE_WIDTH, Topology, topology
from chaoskit.reporting.render import render
from tests.reporting.pages import page
from tests.reporting.recorded_runs import OBSERVED_S, Shape, trial_of, write_run
from tests.simulated.plans import lab_plan, routed_plan


def drawn(plan: Any, **changes: Any) -> Topology:
    trial = trial_of(Shape(), 1).model_copy(update=changes)
    made = topology({"lab_plan": json.loads(plan.model_dump_json(by_alias=True))}, trial, "primary")
    assert made is not None
    return made


def test_nodes_show_what_they_held_when_the_fault_was_injected_and_what_hit_them() -> None:
    nodes = {n.name: n for n in drawn(lab_plan()).nodes}
    assert set(nodes) == {"db1", "db2", "db3", "app"}
    assert (nodes["db1"].fault, nodes["db1"].leads, nodes["db1"].roles) == ("node.power_off", True, "primary")
    assert (nodes["db2"].fault, nodes["db2"].leads) == ("", False), "it leads later"
    assert nodes["app"].is_client


def test_the_words_say_what_the_picture_shows() -> None:
    summary = drawn(lab_plan()).summary
    assert summary.startswith("4 nodes on lan: db1 on lan, held primary when the fault was injected, hit by node.power_off;")


def test_a_router_reaches_both_of_its_networks() -> None:
    made = drawn(routed_plan())
    assert [b.name for b in made.buses] == ["lan", "far"]
    router = next(n for n in made.nodes if n.name == "db1")
    reached = {
        b.name for b in made.buses for w in made.wires if abs(w.x - router.x - NODE_WIDTH / 2) < 40 and b.y in (w.top, w.bottom)
    }
    assert reached == {"lan", "far"}
    assert next(n for n in made.nodes if n.name == "app").y > made.buses[1].y


def test_boxes_do_not_overlap_and_lie_inside() -> None:
    plan = lab_plan()
    many = plan.model_copy(update={"nodes": tuple(plan.nodes[0].model_copy(update={"name": f"n{i}"}) for i in range(15))})
    made = drawn(many)
    boxes = [(n.x, n.y) for n in made.nodes]
    assert len(boxes) == 15
    assert all(abs(a[0] - b[0]) >= NODE_WIDTH or abs(a[1] - b[1]) >= NODE_HEIGHT for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(x + NODE_WIDTH <= made.width and y + NODE_HEIGHT <= made.height for x, y in boxes)


def test_floating_addresses_say_who_had_them_before_the_fault() -> None:
    figure = Figure(point=0)
    owners = (AddressInterval(owner="db1", from_s=-30, until_s=10), AddressInterval(owner="db2", from_s=10.0, until_s=OBSERVED_S))
    vip = AddressFigures(address="198.18.0.100", moves=figure, dual_owner_time=figure, no_owner_time=figure, owners=owners)
    assert drawn(lab_plan(), addresses={"vip": vip}).addresses == ("vip 198.18.0.100: db1",)


def test_a_plan_without_nodes_or_with_too_many_is_not_drawn(tmp_path: Path) -> None:
    trial = trial_of(Shape(), 1)
    for plan in (
        {},
        {"lab_plan": None},
        {"lab_plan": {"nodes": [], "networks": {}}},
        {"lab_plan": {"nodes": [1, 2], "networks": 3}},
    ):
        assert topology(plan, trial, None) is None
    crowd = [{"name": f"n{i}", "interfaces": [{"network": "lan"}]} for i in range(61)]
    assert topology({"lab_plan": {"nodes": crowd, "networks": {"lan": ""}}}, trial, None) is None
    run = write_run(tmp_path / "run")
    (run / "plan.json").write_text("{}")
    render(run, ("html",))
    assert "topology" not in {e.attributes.get("id") for e in page((run / "report.html").read_text()).all("section")}
