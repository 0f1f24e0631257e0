"""What the shell starts. It imports nothing before Ctrl-C is looked after: reading all modules takes a moment."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """The command line. Ctrl-C ends it with 130 and one word, also before any command has begun."""
    try:
        from chaoskit.surfaces.cli import main as command_line
    except KeyboardInterrupt:
        os.write(2, b"interrupted\n")
        sys.exit(130)
    command_line()
