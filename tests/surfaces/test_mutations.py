"""Whatever is done to a valid experiment or lab file: a message or a plan, never a traceback."""

from __future__ import annotations

import copy
import io
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tests.depth import examples
from tests.engine.toy import EXPERIMENT, LAB, written
from tests.surfaces.shell import toy

Path_ = tuple[str | int, ...]

pytestmark = pytest.mark.slow

VALUES: list[Any] = [
    *(None, True, 0, -1, 3, 10**30, 1.5, "", " ", "x", "20s", "-5s", "0s", "9" * 400 + "s", "100/s", "1e9/s", "<= 30s", ">= 99%"),
    *("${rate}", "${nothing}", "$${x}", "{{ env.HOME }}", "{{ node }}", "{% for", "../..", "/", "\x00", "é", "198.18.0.0/24"),
    *([], {}, ["db1"], [[]], {"a": {"b": []}}, {"role": "primary"}, {"inject": "power"}),
    *("db1", "primary", "power", "sql", "lab"),
]


def places(data: Any, at: Path_ = ()) -> list[Path_]:
    found = [at] if at else []
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, inner in items:
        found += places(inner, (*at, key))
    return found


EXPERIMENT_DATA = YAML(typ="safe").load(EXPERIMENT)
LAB_DATA = YAML(typ="safe").load(LAB)


def holder(data: Any, at: Path_) -> Any:
    for key in at[:-1]:
        data = data[key]
    return data


def mutated(data: Any, changes: list[tuple[Path_, str, Any]]) -> str:
    result = copy.deepcopy(data)
    for at, what, value in changes:
        try:
            inside = holder(result, at)
            if what == "value":
                inside[at[-1]] = value
            elif what == "delete":
                del inside[at[-1]]
            elif isinstance(inside, dict):
                inside[f"{at[-1]}{value}" if what == "rename" else str(value)] = inside.pop(at[-1])
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took this place away
    stream = io.StringIO()
    YAML().dump(result, stream)
    return stream.getvalue()


def change(data: Any) -> st.SearchStrategy[tuple[Path_, str, Any]]:
    return st.one_of(
        st.tuples(st.sampled_from(places(data)), st.just("value"), st.sampled_from(VALUES)),
        st.tuples(st.sampled_from(places(data)), st.just("delete"), st.none()),
        st.tuples(st.sampled_from(places(data)), st.just("rename"), st.sampled_from(["x", "s", "-", "_"])),
        st.tuples(
            st.sampled_from(places(data)), st.just("swap"), st.sampled_from(["for", "class", "lab", "1", "with", "parameters"])
        ),
    )


def check(experiment: str, lab: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), experiment, lab)
        result = toy("plan", str(path), "--seed", "1")
    assert result.exit_code in (0, 2, 3), result.output
    assert "failed in a way it should not" not in result.stderr, result.stderr
    assert (result.exit_code == 0) == (result.stderr == "")
    if result.exit_code == 2:
        assert "nothing was started" in result.stderr


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(change(EXPERIMENT_DATA), min_size=1, max_size=3))
def test_an_experiment(changes: list[tuple[Path_, str, Any]]) -> None:
    check(mutated(EXPERIMENT_DATA, changes), LAB)


@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(change(LAB_DATA), min_size=1, max_size=3))
def test_a_lab(changes: list[tuple[Path_, str, Any]]) -> None:
    check(EXPERIMENT, mutated(LAB_DATA, changes))


@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(EXPERIMENT)), st.integers(0, 40), st.text(max_size=8))
def test_bytes_cut_out_and_put_in(at: int, length: int, text: str) -> None:
    check(EXPERIMENT[:at] + text + EXPERIMENT[at + length :], LAB)
