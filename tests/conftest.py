"""What holds for every test."""

import os

import pytest
from hypothesis import settings

_LIVE = ("lab", "root", "patroni", "slow", "docker")

# How long one example takes says something about the machine's other work, and nothing about the code.
settings.register_profile("quick", deadline=None, max_examples=20)
settings.register_profile("deep", deadline=None, max_examples=100)
settings.load_profile(os.environ.get("CHAOSKIT_TEST_DEPTH", "quick"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests in real labs may run two at a time, a file at a time: a module's lab is then built once, and its order stays.

    Those that look at all of the machine, or change it, carry the group `machine` and run one after another.
    """
    for item in items:
        if any(item.get_closest_marker(name) for name in _LIVE) and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(str(item.path)))
