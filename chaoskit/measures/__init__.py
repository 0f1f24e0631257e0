"""The measures: pure functions of a recorded trial, each figure with its bounds and its rule."""
