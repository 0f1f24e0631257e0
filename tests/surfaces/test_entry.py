"""Ctrl-C ends the program with 130, once it is healed and said, however often it comes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import NoReturn

import pytest

from chaoskit.surfaces import cli, entry


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def ended(monkeypatch: pytest.MonkeyPatch, by: BaseException) -> object:
    def command_line() -> NoReturn:
        raise by

    monkeypatch.setattr(cli, "main", command_line)
    with pytest.raises(SystemExit) as ending:
        entry.main()
    return ending.value.code


def test_after_an_interruption_another_one_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ended(monkeypatch, SystemExit(130)) == 130
    signal.raise_signal(signal.SIGINT)


def test_one_that_comes_while_the_first_is_being_told_is_the_same(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert ended(monkeypatch, KeyboardInterrupt()) == 130
    assert capfd.readouterr().err == "interrupted\n"
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("code", [0, 1, 3, 4])
def test_a_signal_after_all_is_said_changes_no_verdict(
    monkeypatch: pytest.MonkeyPatch, code: int, number: signal.Signals
) -> None:
    assert ended(monkeypatch, SystemExit(code)) == code
    signal.raise_signal(number)
