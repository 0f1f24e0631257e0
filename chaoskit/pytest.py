"""For test files: fixtures made to measure. Everything else of the plugin is there without any import. See docs/pytest.md."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

from chaoskit.surfaces.python.lab import Lab

Scope = Literal["session", "package", "module", "class", "function"]


def lab_fixture(
    path: str | Path,
    *,
    scope: Scope = "module",
    name: str | None = None,
    variant: str | None = None,
    settings: Mapping[str, Any] | None = None,
    backend: str | None = None,
) -> Callable[..., Iterator[Lab]]:
    """A fixture that builds a lab and ends it whatever happens: `cluster = lab_fixture("labs/patroni", scope="module")`.

    `path` is a folder with lab.yaml, or such a file, beside the file that calls this or below pytest's root.
    """
    folder = Path(sys._getframe(1).f_globals.get("__file__", ".")).absolute().parent

    @pytest.fixture(scope=scope, name=name)
    def built(request: pytest.FixtureRequest) -> Iterator[Lab]:
        from chaoskit.surfaces.pytest_plugin.fixtures import held_lab

        with held_lab(request.config, folder, path, variant=variant, settings=settings, backend=backend) as lab:
            yield lab

    return built
