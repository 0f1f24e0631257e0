"""Folders of run directories: indexed, asked, held against baselines, and pruned."""
