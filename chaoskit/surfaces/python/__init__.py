"""Experiments from Python: run files, build experiments, hold labs, read results. `chaoskit.api` is its front door."""
