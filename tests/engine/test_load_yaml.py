"""YAML that is read, with positions, and YAML that is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chaoskit.engine.yaml_source import MAX_BYTES, any_document, parsed_document, read_document
from chaoskit.model.errors import InputError, Problem


def refused(text: str) -> tuple[Problem, ...]:
    with pytest.raises(InputError) as caught:
        parsed_document(text, "file.yaml")
    return caught.value.problems


def refused_file(path: Path) -> Problem:
    with pytest.raises(InputError) as caught:
        read_document(path)
    return caught.value.problems[0]


def test_positions_of_keys_and_values() -> None:
    document = parsed_document("a: 1\nlist:\n  - x: yes\n    'y z': {k: [10, 20]}\n", "f")
    assert document.data == {"a": 1, "list": [{"x": "yes", "y z": {"k": [10, 20]}}]}
    place = document.place(("list", 0, "y z", "k", 1))
    assert (place.line, place.column) == (4, 21)
    key = document.place(("list", 0, "x"), of_key=True)
    assert (key.line, key.column) == (3, 5)
    missing = document.place(("list", 0, "nothing", "here"))
    assert (missing.line, missing.column) == (3, 5), "the nearest enclosing place stands in"


def test_yaml_1_2_scalars() -> None:
    data = parsed_document("on: no\noctal: 0o17\nday: 2024-01-01\nempty:\nf: 1.5\ntime: 1:30\n", "f").data
    assert data == {"on": "no", "octal": 15, "day": "2024-01-01", "empty": None, "f": 1.5, "time": "1:30"}


def test_aliases_and_merge_keys_keep_their_places() -> None:
    document = parsed_document("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\nsame: *b\n", "f")
    assert document.data["use"] == {"y": 3, "x": 1}
    assert document.data["same"] == {"x": 1, "y": 2}
    assert document.place(("use", "x")).line == 1


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("a: 1\n\tb: 2\n", 2, 1, "tab"),
        ("a: [1,\n", 2, 1, "before a bracket"),
        ("a: 'x\n", 2, 1, "before a bracket or quote"),
        ("a: b: c\n", 1, 5, "in quotes"),
        ("{a: 1}}\n", 1, 7, "not valid YAML"),
        ("a: \x01\n", 1, 4, "U+0001"),
        ("- a\n", 1, 1, "holds a list"),
        ("just text\n", 1, 1, "single value"),
        ("", 1, 1, "empty"),
        ("# nothing\n", 1, 1, "empty"),
        ("a: 1\n---\nb: 2\n", 2, 1, "second YAML document"),
        ("a: *nowhere\n", 1, 4, "no anchor"),
        ("a: &a [*a]\n", 1, 8, "inside its own anchor"),
        ("a: !!python/object/apply:os.system [id]\n", 1, 4, "tags are not allowed"),
        ("a: !secret x\n", 1, 4, "tags are not allowed"),
        ("a: !!binary aGk=\n", 1, 4, "tags are not allowed"),
        ("a: .inf\n", 1, 4, "finite"),
        ("a: 99999999999999999999\n", 1, 4, "64 bits"),
        ("a: " + "9" * 9000 + "\n", 1, 4, "YAML int"),
        ("1: x\n", 1, 1, "must be text"),
        ("[a]: x\n", 1, 1, "plain text"),
        ("<<: 1\n", 1, 5, "mappings only"),
        ("a: " + "[" * 200 + "\n", 1, 44, "levels deep"),
        ("- " * 3000 + "x\n", 1, 83, "levels deep"),
        ("%YAML 3.0\n---\na: 1\n", 1, 1, "version"),
    ],
)
def test_refused_with_place(text: str, line: int, column: int, words: str) -> None:
    problem = refused(text)[0]
    assert words in problem.message
    assert (problem.file, problem.line, problem.column) == ("file.yaml", line, column)


def test_every_duplicate_key_is_named() -> None:
    first, second = refused("a: 1\nb: {c: 1, c: 2}\na: 3\n")
    assert {first.path, second.path} == {"a", "b.c"}
    assert {(first.line, first.column), (second.line, second.column)} == {(3, 1), (2, 11)}


def test_an_alias_bomb_is_stopped_before_it_expands() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in zip("abcdefghi", "bcdefghij", strict=True)]
    assert "aliases of this file expand" in refused("\n".join(lines))[0].message


@pytest.mark.slow
def test_too_many_values_are_refused() -> None:
    assert "more than" in refused("a: [" + "1," * 60_000 + "]")[0].message


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(50 * 1024 * 1024)
    problem = refused_file(path)
    assert str(50 * 1024 * 1024) in problem.message
    assert str(MAX_BYTES) in problem.message


def test_bytes_that_are_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"a: 1\nb: \xff\xfe\n")
    problem = refused_file(path)
    assert "UTF-8" in problem.message
    assert (problem.line, problem.column) == (2, 4)


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text("a: 1\n")
    assert "directory" in refused_file(tmp_path).message
    missing = refused_file(tmp_path / "experimnt.yaml")
    assert missing.nearest == "experiment.yaml"
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refused_file(tmp_path / "pipe").message


def test_any_value_may_stand_in_an_override() -> None:
    assert any_document("[1, x]", "--set").data == [1, "x"]
    assert any_document("20s", "--set").data == "20s"
