"""Signals that end a block where it stands, whatever that block was just doing."""

from __future__ import annotations

import os
import signal

import pytest

from chaoskit.engine.interrupting import Interrupts
from chaoskit.model.errors import Aborted, Interrupted, LabUnavailable


def wrapped_by_a_library(number: signal.Signals) -> None:
    try:
        os.kill(os.getpid(), number)
    except Exception as error:
        raise ValueError("error calling function") from error


@pytest.mark.parametrize(("number", "ending"), [(signal.SIGTERM, Interrupted), (signal.SIGUSR1, Aborted)])
def test_a_signal_is_itself_whatever_a_library_made_of_it(number: signal.Signals, ending: type[Exception]) -> None:
    interrupts = Interrupts()
    with interrupts.installed(), pytest.raises(ending), interrupts.at_once():
        wrapped_by_a_library(number)


def test_an_error_without_a_signal_stays_what_it_is() -> None:
    interrupts = Interrupts()
    with interrupts.installed(), pytest.raises(ValueError, match="mine"), interrupts.at_once():
        raise ValueError("mine")


def cleaned_up_badly() -> None:
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except Interrupted as error:
        raise LabUnavailable("left behind: a mount") from error


def test_what_was_left_behind_is_told_even_after_a_signal() -> None:
    interrupts = Interrupts()
    with interrupts.installed(), pytest.raises(LabUnavailable, match="left behind"), interrupts.at_once():
        cleaned_up_badly()
