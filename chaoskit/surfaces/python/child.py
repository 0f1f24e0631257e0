"""The process that carries out an experiment for a Python program: `python -m chaoskit.surfaces.python.child`.

It reads an Order on standard input and writes an Answer to standard output; progress goes to standard error. Standard input
stays open as long as the program wants the run: its end, by closing or by the program's death in whatever way, is taken like
SIGTERM, so that everything is healed and judged. Its signals are its own: a time-out or a Ctrl-C in the program cannot cut a
heal short.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from types import FrameType

from chaoskit.model.errors import ChaoskitError
from chaoskit.surfaces.conducting import conducted, loaded_and_planned
from chaoskit.surfaces.installed import Installed
from chaoskit.surfaces.python.messages import Answer, Order, Refusal
from chaoskit.surfaces.showing import PlainProgress

ASK_AGAIN_S = 0.5
NOTHING_STARTED = 130


class ToldProgress(PlainProgress):
    """Plain lines; knows when the run has started."""

    def __init__(self) -> None:
        super().__init__()
        self.has_started = False

    def __enter__(self) -> ToldProgress:
        self.has_started = True
        return self

    def ending(self, number: int, frame: FrameType | None) -> None:
        """A SIGTERM outside the run itself: before it nothing is there to heal, after it the judging is finished."""
        if not self.has_started:
            os._exit(NOTHING_STARTED)


def main() -> None:
    """Carry out one order."""
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever else prints to standard output is no answer
    progress = ToldProgress()
    signal.signal(signal.SIGTERM, progress.ending)
    order = Order.model_validate_json(_line())
    threading.Thread(target=_watch_for_the_end, daemon=True).start()
    answer = _carried_out(order, progress)
    with os.fdopen(answers, "w", encoding="utf-8") as out:
        out.write(answer.model_dump_json(by_alias=True) + "\n")


def _line() -> bytes:
    """The first line of standard input, read without a buffer that could swallow its end."""
    said = b""
    while not said.endswith(b"\n") and (part := os.read(0, 1)):
        said += part
    return said


def _watch_for_the_end() -> None:
    """Again and again: between two parts of the run one signal alone might find nobody who minds it."""
    while os.read(0, 4096):
        pass
    while True:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(ASK_AGAIN_S)


def _carried_out(order: Order, progress: ToldProgress) -> Answer:
    installed = Installed()
    try:
        if order.act == "plan":
            return Answer(plan=loaded_and_planned(order.request, installed)[1])
        return Answer(conducted=conducted(order.request, installed, progress))
    except ChaoskitError as error:
        return Answer(refused=Refusal.of(error, str(error)))
    except Exception as error:  # noqa: BLE001 - whatever it was, the program on the other side must hear of it
        traceback.print_exception(error)
        return Answer(refused=Refusal.of(error, f"chaoskit failed in a way it should not: {error}"))


if __name__ == "__main__":
    main()
