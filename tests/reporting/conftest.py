"""Rendered runs, made once a session: they are only read."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaoskit.reporting.render import render
from tests.reporting.pages import Page, page
from tests.reporting.recorded_runs import Shape, write_run

SHAPES = {
    "passed": Shape(),
    "lost": Shape(lost=60),
    "never": Shape(recovers=False),
    "unverified": Shape(verified=False),
    "dirty": Shape(dirty=("db1: the network cut could not be removed: table busy",)),
    "three": Shape(trials=3, outage_s=27.5),
    "early": Shape(trials=0, incomplete="interrupted during the baseline"),
}


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Variant -> its run directory, with the reports in it."""
    root = tmp_path_factory.mktemp("runs")
    for name, shape in SHAPES.items():
        render(write_run(root / name, shape))
    return {name: root / name for name in SHAPES}


@pytest.fixture(scope="session")
def pages(rendered: dict[str, Path]) -> dict[str, Page]:
    """Variant -> its parsed HTML report."""
    return {name: page((path / "report.html").read_text(encoding="utf-8")) for name, path in rendered.items()}
