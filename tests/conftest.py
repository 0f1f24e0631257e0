"""What holds for every test."""

from hypothesis import settings

# how long one example takes says something about the machine's other work, and nothing about the code
settings.register_profile("chaoskit", deadline=None)
settings.load_profile("chaoskit")
