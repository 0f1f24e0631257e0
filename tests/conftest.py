"""What holds for every test."""

import os

from hypothesis import settings

# How long one example takes says something about the machine's other work, and nothing about the code.
settings.register_profile("quick", deadline=None, max_examples=20)
settings.register_profile("deep", deadline=None, max_examples=100)
settings.load_profile(os.environ.get("CHAOSKIT_TEST_DEPTH", "quick"))
