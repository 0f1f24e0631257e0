"""The directory of a lab is there whole or not at all, whatever moment making it is interrupted at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chaoskit.backends.linux_host.building import claimed
from chaoskit.backends.linux_host.state import LabFiles
from chaoskit.model.errors import Interrupted, LabUnavailable

from . import plans


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LabFiles:
    monkeypatch.setenv("CHAOSKIT_STATE", str(tmp_path / "state"))
    return LabFiles("one")


def claim(files: LabFiles, logs: Path) -> list[str]:
    """The labs that were swept."""
    swept: list[str] = []

    def sweep(lab_id: str) -> list[str]:
        swept.append(lab_id)
        for file in files.directory.iterdir():
            file.unlink()
        files.directory.rmdir()
        return []

    with pytest.raises(Interrupted), claimed(files, plans.plan(plans.node("n0", 0)), "run", logs, sweep, detached=False):
        raise AssertionError("it was interrupted before")
    return swept


def interrupted(*_: Any, **__: Any) -> None:
    raise Interrupted("interrupted by SIGTERM")


@pytest.mark.parametrize("step", ["write_text", "rename"])
def test_interrupted_before_it_is_there(step: str, files: LabFiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Path, step, interrupted)
    assert claim(files, tmp_path / "logs") == []
    assert list(files.directory.parent.iterdir()) == []


def test_interrupted_when_it_has_just_come_to_be(files: LabFiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    renamed = Path.rename

    def and_then(self: Path, target: Path) -> Path:
        renamed(self, target)
        raise Interrupted("interrupted by SIGTERM")

    monkeypatch.setattr(Path, "rename", and_then)
    assert claim(files, tmp_path / "logs") == ["one"]
    assert list(files.directory.parent.iterdir()) == []


def test_a_lab_of_somebody_else_is_not_swept(files: LabFiles, tmp_path: Path) -> None:
    files.claim(owner=[1, 1])
    swept: list[str] = []
    with (
        pytest.raises(LabUnavailable, match="there is a lab one already"),
        claimed(
            files, plans.plan(plans.node("n0", 0)), "run", tmp_path / "logs", lambda lab: swept.append(lab) or [], detached=False
        ),
    ):
        raise AssertionError("it is taken")
    assert swept == []
    assert files.read() == {"owner": [1, 1]}
