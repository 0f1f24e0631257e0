"""What the commands work with: what is installed, found once and handed to every command."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from chaoskit.engine.registry import DEFAULT_BACKEND, Registry
from chaoskit.engine.spelling import nearest
from chaoskit.model.errors import InputError, Problem

if TYPE_CHECKING:  # read when a backend is asked for
    from chaoskit.ports.lab import Backend


@dataclass
class Installed:
    """Passed to commands as click's `obj`; tests give their own."""

    registry: Registry = field(default_factory=Registry)
    debug: bool = False

    def backend(self, name: str | None) -> Backend:
        """The backend of that name, or the default one. InputError with those there are."""
        names = self.registry.names("backends")
        chosen = name or (names[0] if len(names) == 1 else DEFAULT_BACKEND)
        if chosen not in names:
            message = f"no backend {chosen!r} is installed"
            raise InputError(
                [Problem(message=message, path="--backend", value=chosen, allowed=names, nearest=nearest(chosen, names))]
            )
        made: Any = self.registry.load("backends", chosen)
        made = made() if inspect.isclass(made) else made
        backend: Backend = made
        return backend


pass_installed = click.make_pass_decorator(Installed, ensure=True)
