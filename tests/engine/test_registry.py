"""The registry finds, loads and refuses entry points."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from chaoskit.engine import registry
from chaoskit.engine.registry import BrokenPlugin, Registry
from chaoskit.model.errors import InputError


def _registry(*points: tuple[str, str]) -> Registry:
    found = [EntryPoint(name=name, value=value, group="chaoskit.faults") for name, value in points]
    return Registry(lambda group: [p for p in found if p.group == group])


def test_names_are_sorted_and_nothing_is_imported_for_them() -> None:
    made = _registry(("b", "no.such.module:Thing"), ("a", "json:dumps"))
    assert made.names("faults") == ("a", "b")


def test_load_returns_the_object_and_takes_both_spellings_of_the_group() -> None:
    import json

    made = _registry(("a", "json:dumps"))
    assert made.load("faults", "a") is json.dumps
    assert made.load("chaoskit.faults", "a") is json.dumps
    assert dict(made.all("faults")) == {"a": json.dumps}


def test_unknown_name_says_the_nearest_spelling() -> None:
    with pytest.raises(InputError) as raised:
        _registry(("node.power_off", "json:dumps")).load("faults", "node.poweroff")
    (problem,) = raised.value.problems
    assert problem.nearest == "node.power_off"
    assert problem.allowed == ("node.power_off",)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("value", ["no.such.module:Thing", "json:no_such_attribute"])
def test_a_broken_plugin_is_an_error_that_says_which(value: str) -> None:
    made = _registry(("a", value))
    with pytest.raises(BrokenPlugin, match=r"'a'.*cannot be loaded"):
        made.load("faults", "a")
    with pytest.raises(BrokenPlugin):
        made.all("faults")


def test_two_packages_with_one_name_are_refused() -> None:
    with pytest.raises(BrokenPlugin, match="two packages"):
        _registry(("a", "json:dumps"), ("a", "json:loads")).names("faults")


def test_an_unknown_group_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="objectives"):
        Registry().names("fault")


def test_what_is_installed_is_found_and_names_its_package() -> None:
    assert "node.power_off" in registry.names("faults")
    with pytest.raises(InputError) as raised:
        registry.load("faults", "node.power_of")
    assert raised.value.problems[0].nearest == "node.power_off"
