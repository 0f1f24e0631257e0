"""What the shell starts. It imports nothing before Ctrl-C is looked after: reading all modules takes a moment."""

from __future__ import annotations

import gc
import os
import signal
import sys

INTERRUPTED = 130


def main() -> None:
    """The command line. Ctrl-C ends it with 130 and one word, also before any command has begun, and however often it comes."""
    gc.disable()  # what modules make while they are read stays; `endings` begins collecting again when they are
    try:
        from chaoskit.surfaces.cli import main as command_line

        command_line()
    except SystemExit:
        _hear_no_more()
        raise
    except KeyboardInterrupt:
        _hear_no_more()
        os.write(2, b"interrupted\n")
        sys.exit(INTERRUPTED)


def _hear_no_more() -> None:
    """All is healed and said; a signal that comes while the interpreter tidies up would make it a death by signal."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()  # nothing is left to be found unused: looking for it took longer than most commands


if __name__ == "__main__":
    main()
