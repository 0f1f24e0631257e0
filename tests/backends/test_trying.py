"""What a survey remembers of what the kernel said, and for how long."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chaoskit.backends.linux_host import trying

SAID = {"namespaces": "", "netem": "no such qdisc"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """The directories that a scratch process was started for."""
    seen: list[Path] = []

    def tried(directory: Path) -> trying.Answers:
        seen.append(directory)
        return dict(SAID)

    monkeypatch.setenv("CHAOSKIT_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(trying, "_tried", tried)
    return seen


def test_the_same_question_within_a_minute_is_asked_once(asked: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    assert trying.answers(()) == trying.answers(()) == SAID
    assert len(asked) == 1
    later = trying._now_ns() + 60 * 10**9
    monkeypatch.setattr(trying, "_now_ns", lambda: later)
    assert trying.answers(()) == SAID
    assert len(asked) == 2, "a minute later it is asked again"


def test_what_may_change_an_answer_is_not_remembered_over(
    asked: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trying.answers(())
    trying.answers(("kernel/osrelease",))
    assert len(asked) == 2, "another setting decides"
    program = tmp_path / "mkfs.ext4"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(trying, "PROGRAM_PATH", str(tmp_path))
    trying.answers(("kernel/osrelease",))
    assert len(asked) == 3, "mkfs.ext4 was installed"
    monkeypatch.setattr(trying, "_FILES", (*trying._FILES[1:], __file__))
    trying.answers(("kernel/osrelease",))
    assert len(asked) == 4, "modules, mounts or the boot are others"


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"situation": 1}', json.dumps({"situation": "x", "at_ns": "y", "answers": 3})]
)
def test_a_damaged_memory_is_none(asked: list[Path], damage: str, tmp_path: Path) -> None:
    trying.answers(())
    (tmp_path / "state" / "trials.json").write_text(damage)
    assert trying.answers(()) == SAID
    assert len(asked) == 2
    assert trying.answers(()) == SAID
    assert len(asked) == 2, "it is written anew"


def test_a_state_directory_of_somebody_else_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CHAOSKIT_STATE", str(tmp_path / "file"))
    assert "cannot be used" in trying.answers(())["namespaces"]
