"""What holds for every test."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parents[1]

# How long one example takes says something about the machine's other work, and nothing about the code.
settings.register_profile("quick", deadline=None, max_examples=20)
settings.register_profile("deep", deadline=None, max_examples=100)
settings.load_profile(os.environ.get("CHAOSKIT_TEST_DEPTH", "quick"))


# A shell that starts this in the background has it ignore Ctrl-C, and so would every program under test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class ByFile(LoadScopeScheduling):
    """Tests in real labs, two at a time: those of a file stay together, so a module's lab is built once and their order stays.

    Those that look at all of the machine, and those with containers, which look at the engine's networks, are never side by side.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "machine" if _of_the_machine((ROOT / file).read_text(encoding="utf-8")) else file


def _of_the_machine(source: str) -> bool:
    return "mark.docker" in source or 'xdist_group("machine")' in source


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile | None:
    """With `--dist loadgroup`, whose own way asks items for names that pytest 9 no longer lets it change."""
    return ByFile(config, log) if config.getvalue("dist") == "loadgroup" else None
