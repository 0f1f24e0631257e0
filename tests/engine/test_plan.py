"""Loaded experiment -> plan: instants, targets, steps, and what is refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaoskit.engine.lab_needs import check_lab
from chaoskit.engine.loading import Loaded, load
from chaoskit.engine.planning import plan
from chaoskit.model.capability import NETWORK_CUT, NODE_POWER
from chaoskit.model.errors import CapabilityMissing, InputError
from chaoskit.model.plan import Plan
from chaoskit.model.steps import CutLinks, JoinLinks, PowerOff, PowerOn
from tests.engine.toy import EXPERIMENT, LAB, Sql, ToyRegistry, survey, written


def loaded(folder: Path, experiment: str = EXPERIMENT, lab: str = LAB) -> Loaded:
    return load(written(folder, experiment, lab), ("injection-phase=0s",), ToyRegistry())  # type: ignore[arg-type]


def method(*actions: str, head: str = "") -> str:
    """The toy experiment with another method."""
    start, _, rest = EXPERIMENT.partition("method:\n")
    after = rest[rest.index("objectives:") :]
    return start + head + "method:\n" + "".join(f"  - {{{a}}}\n" for a in actions) + after


def test_a_whole_plan(tmp_path: Path) -> None:
    made = plan(loaded(tmp_path), survey(), seed=7)
    assert [t.index for t in made.trials] == [0, 1]
    first, second = made.trials[0].actions
    assert (first.name, first.fault, first.at_s) == ("power", "power", 10.0)
    assert first.candidates == ("db1", "db2", "db3")
    assert first.inject_preview == (PowerOff(node="db1", silent=True),)
    assert first.heal_preview == (PowerOn(node="db1"),)
    assert any("role primary" in note for note in first.notes)
    assert second.at_s is None
    assert second.candidates == ("db2",)
    assert isinstance(second.inject_preview[0], CutLinks)
    assert {(link.source, link.destination) for link in second.inject_preview[0].links} == {("db2", "app")}
    assert isinstance(second.heal_preview[0], JoinLinks)
    assert made.predicted_rto_s == (18.0, 24.0)
    assert made.seed == 7


def test_the_same_seed_gives_the_same_plan_and_another_another(tmp_path: Path) -> None:
    found = loaded(tmp_path, method("inject: power, target: {role: primary}, at: 10s, phase: 5s"))
    one, same, other = (plan(found, survey(), seed) for seed in (1, 1, 2))
    assert one == same
    drawn = [t.actions[0].at_s for p in (one, other) for t in p.trials]
    assert len(set(drawn)) == 4, "each trial draws its own phase"
    assert all(at is not None and 10 <= at <= 15 for at in drawn)


def test_a_plan_survives_json(tmp_path: Path) -> None:
    made = plan(loaded(tmp_path), survey(), seed=7)
    assert Plan.model_validate_json(made.model_dump_json(by_alias=True)) == made


def test_what_is_known_at_run_time_has_a_placeholder(tmp_path: Path) -> None:
    found = loaded(tmp_path, method("inject: kill, target: {node: db1}, with: {process: {name: store, which: oldest}}"))
    action = plan(found, survey(), seed=1).trials[0].actions[0]
    assert [s.words() for s in action.inject_preview] == ["send KILL on db1 to the oldest process with name store"]
    assert any("known at run time: the oldest process with name store" in note for note in action.notes)
    assert action.at_s == 0, "at the end of the baseline where nothing else is said"


def test_everything_missing_is_named_at_once(tmp_path: Path) -> None:
    lab = LAB + "image: {apt: [haproxy]}\nrequires: {python: [no_such_module], hint: pip install it}\n"
    with pytest.raises(CapabilityMissing) as caught:
        plan(loaded(tmp_path, lab=lab), survey("nothing"), seed=1)
    text = str(caught.value)
    for words in (
        f"{NODE_POWER}: power needs it to end every process; here: install {NODE_POWER}-tools",
        f"{NETWORK_CUT}: cut needs it",
        "packages.debian: the lab pair needs it to install haproxy",
        "'no_such_module' is not installed; pip install it",
        "nothing was started",
        "toy backend (tested)",
    ):
        assert words in text
    assert "volume.lose_unsynced" not in text, "what is not required does not stop a run"
    assert caught.value.exit_code == 3


def test_a_lab_is_checked_by_itself(tmp_path: Path) -> None:
    check_lab(loaded(tmp_path).lab, survey())
    with pytest.raises(CapabilityMissing):
        check_lab(loaded(tmp_path, lab=LAB + "image: {apt: [haproxy]}\n").lab, survey())


def test_programs_of_an_image_are_not_looked_for_here(tmp_path: Path) -> None:
    more = "image: {apt: [haproxy]}\nrequires: {python: [no_such_module], commands: [no-such-command]}\n"
    images = survey().model_copy(update={"programs": "image"})
    built = LAB.replace("services: [store, proxy]}", "services: [store, proxy], build: image}") + more
    check_lab(loaded(tmp_path, lab=built).lab, images)
    with pytest.raises(CapabilityMissing, match="to install haproxy"):
        check_lab(loaded(tmp_path, lab=LAB + more).lab, images)
    with pytest.raises(CapabilityMissing, match="no-such-command"):
        check_lab(loaded(tmp_path, lab=built).lab, survey())


def test_a_driver_that_is_not_installed_is_missed_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sql, "DRIVER", {"no_such_driver": "toysql"}, raising=False)
    with pytest.raises(CapabilityMissing) as caught:
        plan(loaded(tmp_path), survey(), seed=1)
    text = str(caught.value)
    assert "the Python module 'no_such_driver' is not installed; pip install 'chaoskit[toysql]'" in text
    assert "the clients orders, readers need it" in text
    monkeypatch.setattr(Sql, "DRIVER", {"json": "toysql"}, raising=False)
    assert plan(loaded(tmp_path), survey(), seed=1)


def test_an_optional_need_becomes_a_note(tmp_path: Path) -> None:
    action = plan(loaded(tmp_path), survey(NODE_POWER, NETWORK_CUT), seed=1).trials[0].actions[0]
    assert any("without volume.lose_unsynced (to lose data)" in note for note in action.notes)


@pytest.mark.parametrize(
    ("actions", "fight"),
    [
        (("inject: power, target: {node: db1}, for: 10s", "inject: power, target: {node: db1}, at: 5s, for: 1s"), True),
        (("inject: power, target: {node: db1}, for: 10s", "inject: power, target: {group: db}, at: 5s, for: 1s"), True),
        (("inject: power, target: {node: db1}, for: 10s", "inject: power, target: {node: db1}, at: 10s, for: 1s"), False),
        (("inject: power, target: {node: db1}, for: 10s", "inject: power, target: {node: db2}, at: 5s, for: 1s"), False),
        (
            (
                "inject: power, target: {node: db1}, for: 10s",
                "inject: cut, target: {node: db1}, with: {side: {group: app}}, at: 5s, for: 1s",
            ),
            False,
        ),
        (("inject: power, target: {node: db1}", "inject: power, target: {node: db1}, at: 30s, for: 1s"), True),
        (("inject: power, target: {node: db1}, for: 5s, phase: 9s", "inject: power, target: {node: db1}, at: 7s"), True),
        (("inject: power, target: {node: db1}, for: 10s", "inject: power, target: {node: db1}, after: power, for: 1s"), False),
        (("inject: power, target: {role: primary}, for: 10s", "inject: power, target: {role: primary}, at: 5s"), False),
    ],
)
def test_actions_that_would_fight(tmp_path: Path, actions: tuple[str, ...], fight: bool) -> None:
    found = loaded(tmp_path, method(*actions))
    if not fight:
        plan(found, survey(), seed=1)
        return
    with pytest.raises(InputError) as caught:
        plan(found, survey(), seed=1)
    (problem,) = caught.value.problems
    assert "power:db1" in problem.message
    assert problem.path == "method[1]"
    assert problem.line is not None


def test_names_of_actions(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        method(
            "inject: power, target: {node: db1}, for: 1s",
            "inject: power, target: {node: db2}, at: 5s, for: 1s",
            "inject: power, name: last, target: {node: db3}, after: power-2, for: 1s",
        ),
    )
    assert found.actions == ("power", "power-2", "last")


def test_a_count_is_drawn_by_the_seed(tmp_path: Path) -> None:
    found = loaded(tmp_path, method("inject: power, target: {group: db, count: 1}, for: 1s"))
    previews = {plan(found, survey(), seed).trials[0].actions[0].inject_preview for seed in range(20)}
    assert len(previews) == 3
    assert plan(found, survey(), 0).trials[0].actions[0].candidates == ("db1", "db2", "db3")


def shown(folder: Path, *actions: str, head: str = "") -> list[tuple[str, str | float | None, tuple[str, ...]]]:
    """Each planned action: name, when, candidates."""
    made = plan(loaded(folder, method(*actions, head=head)), survey(), seed=1)
    return [
        (a.name, a.at_s if a.at_s is not None else a.action.during or a.action.after, a.candidates)
        for a in made.trials[0].actions
    ]


def test_repetitions_are_planned_one_by_one(tmp_path: Path) -> None:
    assert shown(tmp_path, "inject: power, target: {node: db1}, at: 5s, for: 2s, times: 3, every: 10s") == [
        ("power", 5.0, ("db1",)), ("power-2", 15.0, ("db1",)), ("power-3", 25.0, ("db1",)),
    ]  # fmt: skip
    waiting = "inject: power, target: {node: db1}, when: {role: primary, held_by: nobody}, for: 2s, times: 2"
    assert [(n, w) for n, w, _ in shown(tmp_path, waiting + ", every: 10s")] == [("power", None), ("power-2", "power")]
    made = plan(loaded(tmp_path, method(waiting)), survey(), seed=1).trials[0].actions
    assert [(a.name, a.action.during, a.action.when is not None) for a in made] == [
        ("power", None, True), ("power-2", "power", True),
    ]  # fmt: skip


def test_staggered_nodes_are_planned_one_by_one_where_they_are_known(tmp_path: Path) -> None:
    assert shown(tmp_path, "inject: power, target: {group: db}, at: 5s, for: 2s, stagger: 3s") == [
        ("power", 5.0, ("db1",)), ("power-2", 8.0, ("db2",)), ("power-3", 11.0, ("db3",)),
    ]  # fmt: skip
    made = plan(
        loaded(tmp_path, method("inject: power, target: {role: replica}, at: 5s, for: 2s, stagger: 3s")), survey(), seed=1
    )
    assert [(a.name, a.action.stagger) for a in made.trials[0].actions] == [("power", 3.0)]


def test_a_repetition_never_takes_the_name_of_another_action(tmp_path: Path) -> None:
    actions = (
        "inject: power, target: {node: db1}, for: 1s, times: 2, every: 5s",
        "inject: power, target: {node: db2}, at: 20s, for: 1s",
    )
    assert [(n, c) for n, _, c in shown(tmp_path, *actions)] == [
        ("power", ("db1",)),
        ("power-3", ("db1",)),
        ("power-2", ("db2",)),
    ]


def test_a_repetition_that_would_meet_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="power-2 and power may be in force together and would both hold power:db1"):
        shown(tmp_path, "inject: power, target: {node: db1}, for: 9s, times: 2, every: 5s")


@pytest.mark.parametrize(
    ("radius", "actions", "why"),
    [
        ("max-targets: 1", ("inject: power, target: {group: db}, for: 2s",), "3 nodes under fault at once (db1, db2, db3)"),
        ("max-targets: 1", ("inject: power, target: {group: db, count: 2}, for: 2s",), "takes 2 nodes, and max-targets is 1"),
        (
            "max-targets: 1",
            ("inject: power, target: {node: db1}, for: 9s", "inject: power, target: {node: db2}, at: 5s, for: 2s"),
            "power-2, with power would have 2 nodes under fault at once (db1, db2), and max-targets is 1",
        ),
        (
            "max-targets: 1",
            ("inject: power, target: {node: db1}, for: 9s", "inject: power, target: {not_of: power}, during: power, for: 2s"),
            "power-2, with power would have 4 nodes",
        ),
        ("protected: {nodes: db2}", ("inject: power, target: {node: db2}, for: 2s",), "would hit db2, which is protected"),
        (
            "protected: {nodes: db2}",
            ("inject: power, target: {group: db, count: 1}, for: 2s",),
            "may draw db2, which is protected",
        ),
        ("protected: {groups: db}", ("inject: power, target: {node: db2}, for: 2s",), "is protected with its group db"),
        ("protected: {roles: primary}", ("inject: power, target: {role: primary}, for: 2s",), "targets the role primary"),
        (
            "protected: {nodes: db2}",
            (
                "inject: cut, target: {nodes: [db1, db3]}, with: {side: {node: db2}}, for: 9s",
                "inject: cut, target: {node: app}, with: {side: {node: db2}}, at: 2s, for: 2s",
            ),
            "cut-2 would cut db2 off from every other node",
        ),
    ],
)
def test_a_blast_radius_is_kept_by_the_plan(tmp_path: Path, radius: str, actions: tuple[str, ...], why: str) -> None:
    for place in ("experiment", "lab"):
        block = f"blast-radius: {{{radius}}}\n"
        made = method(*actions, head=block if place == "experiment" else "")
        with pytest.raises(InputError) as caught:
            plan(loaded(tmp_path, made, LAB + (block if place == "lab" else "")), survey(), seed=1)
        (problem,) = caught.value.problems
        assert why in problem.message
        assert problem.line is not None


def test_what_keeps_the_blast_radius_is_planned(tmp_path: Path) -> None:
    head = "blast-radius: {max-targets: 1, protected: {nodes: db3, groups: app, ports: [22]}}\n"
    one_by_one = (
        "inject: power, target: {node: db1}, for: 9s",
        "inject: power, target: {node: db2}, after: power, for: 2s",
        "inject: cut, target: {of: power}, with: {side: {node: db2}}, after: power-2, for: 2s",
    )
    assert [c for _, _, c in shown(tmp_path, *one_by_one, head=head)][:2] == [("db1",), ("db2",)]


def test_the_target_of_an_earlier_action_is_shown(tmp_path: Path) -> None:
    actions = (
        "inject: power, name: first, target: {node: db1}, for: 9s",
        "inject: power, target: {group: db, not_of: first}, during: first, for: 2s",
    )
    second = plan(loaded(tmp_path, method(*actions)), survey(), seed=1).trials[0].actions[1]
    assert second.inject_preview == (PowerOff(node="db2", silent=True), PowerOff(node="db3", silent=True))
