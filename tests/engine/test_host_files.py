"""Files of this machine in an experiment: read when it is loaded, and said to be wrong where they are."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from chaoskit.engine.loading import Loaded, load
from chaoskit.engine.registry import Registry
from chaoskit.faults.file_replace import FileReplace
from chaoskit.model.errors import InputError
from tests.engine.toy import LAB, written

EXPERIMENT = """\
title: The wrong version
lab: lab
clients:
  web: {type: http, class: fresh, operation: get, rate: 10/s, deadline: 500ms, endpoint: web}
method:
  - inject: file.replace
    target: {node: db1}
    with: {path: /etc/store.conf, file: versions/wrong.conf}
    at: 1s
    for: 5s
"""


def loaded(folder: Path, experiment: str = EXPERIMENT) -> Loaded:
    lab = LAB.replace("kind: sql", "kind: postgres").replace("kind: web", "kind: http")
    return load(written(folder, experiment, lab=lab), (), Registry())


def test_the_file_is_read_when_the_experiment_is_loaded_and_travels_with_it(tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    wrong = tmp_path / "versions" / "wrong.conf"
    wrong.write_bytes(b"ttl \xff\n")
    found = loaded(tmp_path)
    wrong.unlink()
    (fault,) = found.faults
    assert isinstance(fault, FileReplace)
    assert fault.file is not None
    assert base64.b64decode(fault.file.content) == b"ttl \xff\n"
    again = FileReplace.model_validate(json.loads(json.dumps(found.experiment.method[0].parameters)))
    assert again == fault, "a run makes the fault again from what the plan says"


def test_what_is_wrong_with_it_is_said_once_with_its_place_and_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "wrong.cnf").write_text("x", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        loaded(tmp_path)
    (problem,) = caught.value.problems
    assert (problem.path, problem.nearest, problem.line) == ("method[0].with.file", "wrong.cnf", 8)
    assert "No such file" in problem.message
    (tmp_path / "versions" / "wrong.conf").mkdir()
    with pytest.raises(InputError) as caught:
        loaded(tmp_path)
    assert "directory" in caught.value.problems[0].message
    (tmp_path / "versions" / "wrong.conf").rmdir()
    (tmp_path / "versions" / "wrong.conf").write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(InputError) as caught:
        loaded(tmp_path)
    assert "larger than 1048576 bytes" in caught.value.problems[0].message


def test_a_replacement_comes_from_one_place_that_is_there(tmp_path: Path) -> None:
    for given, why in (
        ("path: /etc/x", "say where the content comes from, once"),
        ("path: /etc/x, content: a, from_node: db2", "say where the content comes from, once"),
        ("path: /etc/x, from_node: db9", "there is no node 'db9' to take a file from"),
        ("path: /etc/x, from_node: db1", "cannot be replaced by itself"),
        ("path: etc/x, content: a", "absolute path"),
    ):
        with pytest.raises(InputError) as caught:
            loaded(tmp_path, EXPERIMENT.replace("path: /etc/store.conf, file: versions/wrong.conf", given))
        assert any(why in p.message for p in caught.value.problems), (given, caught.value.problems)
