"""Sites with a router between them, as a lab file draws them."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaoskit.model.errors import InputError
from tests.engine.test_load_lab import loaded

SITES = """
name: sites
networks: {east: {}, west: {}, wan: {}}
nodes:
  router: {networks: [east, wan], forwards: true, routes: {west: gate}}
  gate: {networks: [wan, west], forwards: true, routes: {east: router}}
  a: {count: 2, networks: [east], routes: {west: router, wan: router}}
  b: {networks: [west], routes: {east: gate}}
"""


def test_routes_lead_through_the_routers_address_on_the_nodes_own_network(tmp_path: Path) -> None:
    plan = loaded(tmp_path, SITES).rendered.plan
    via = {node.name: {route.subnet: route.via for route in node.routes} for node in plan.nodes}
    east, west, wan = (plan.networks[name] for name in ("east", "west", "wan"))
    assert via == {
        "router": {west: plan.address("gate", "wan")},
        "gate": {east: plan.address("router", "wan")},
        "a1": {west: plan.address("router", "east"), wan: plan.address("router", "east")},
        "a2": {west: plan.address("router", "east"), wan: plan.address("router", "east")},
        "b": {east: plan.address("gate", "west")},
    }
    assert [node.name for node in plan.nodes if node.forwards] == ["router", "gate"]


@pytest.mark.parametrize(
    ("old", "new", "group", "words"),
    [
        ("west: router, wan: router", "north: router", "a", "there is no network 'north'"),
        ("west: router, wan: router", "east: router", "a", "are on east themselves"),
        ("west: router, wan: router", "west: rooter", "a", "there is no node 'rooter'"),
        ("west: router, wan: router", "west: a", "a", "there is no node 'a'; a route leads through one node"),
        ("[east, wan], forwards: true", "[east, wan]", "a", "router does not forward"),
        ("west: router, wan: router", "west: gate", "a", "gate is on no network of a"),
        ("forwards: true, routes: {west: gate}", "forwards: true", "a", "router is not on west, and has no route to it"),
    ],
)
def test_a_route_that_leads_nowhere(tmp_path: Path, old: str, new: str, group: str, words: str) -> None:
    assert old in SITES
    with pytest.raises(InputError) as caught:
        loaded(tmp_path, SITES.replace(old, new))
    found = [p for p in caught.value.problems if p.path.startswith(f"nodes.{group}.routes")]
    assert found, caught.value
    assert words in found[0].message
    assert found[0].line
