"""The registry: everything that comes by entry point, so that anyone's package can add one.

A group is `faults`, `backends`, `clients`, `watchers`, `measures`, `objectives` or `sections`; the long form
`chaoskit.faults` is understood too. Nothing is imported before it is asked for.
"""

from __future__ import annotations

import difflib
import importlib.metadata
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from chaoskit.model.errors import ChaoskitError, InputError, Problem

GROUPS = ("backends", "clients", "faults", "measures", "objectives", "sections", "watchers")
_PREFIX = "chaoskit."

DEFAULT_BACKEND = "namespace"
"""Where labs are built, and what they are rendered for, when nobody says."""


class BrokenPlugin(ChaoskitError):
    """An installed package offers something that cannot be loaded, or that another package offers already."""


def _installed(group: str) -> Iterable[importlib.metadata.EntryPoint]:
    return importlib.metadata.entry_points(group=group)


class Registry:
    """Entry points by group and name. `find` yields the entry points of a full group name."""

    def __init__(self, find: Callable[[str], Iterable[importlib.metadata.EntryPoint]] = _installed) -> None:
        self._find = find
        self._points: dict[str, dict[str, importlib.metadata.EntryPoint]] = {}
        self._loaded: dict[tuple[str, str], Any] = {}

    def names(self, group: str) -> tuple[str, ...]:
        """Names in a group, sorted. BrokenPlugin where two packages claim one name; ValueError for an unknown group."""
        return tuple(sorted(self._group(group)))

    def load(self, group: str, name: str) -> Any:
        """The class or object behind a name.

        InputError (one Problem, with the allowed names and the nearest spelling) where there is none of that name;
        BrokenPlugin, naming the package, where it cannot be imported.
        """
        short = _short(group)
        if (short, name) in self._loaded:
            return self._loaded[short, name]
        points = self._group(short)
        if name not in points:
            raise InputError([unknown_name(short, name, tuple(sorted(points)))])
        point = points[name]
        try:
            loaded = point.load()
        except Exception as error:  # a plugin may fail in any way while it is imported; the package must be named
            raise BrokenPlugin(
                f"the {short} entry {name!r} ({point.value}) of the package {_package(point)} cannot be loaded: "
                f"{type(error).__name__}: {error}. Repair, upgrade or uninstall {_package(point)}."
            ) from error
        self._loaded[short, name] = loaded
        return loaded

    def all(self, group: str) -> Mapping[str, Any]:
        """Everything in a group, loaded, sorted by name. BrokenPlugin where one of them is broken."""
        return MappingProxyType({name: self.load(group, name) for name in self.names(group)})

    def _group(self, group: str) -> dict[str, importlib.metadata.EntryPoint]:
        short = _short(group)
        if short not in self._points:
            points: dict[str, importlib.metadata.EntryPoint] = {}
            for point in self._find(_PREFIX + short):
                other = points.get(point.name)
                if other is not None:
                    raise BrokenPlugin(
                        f"two packages offer the {short} entry {point.name!r}: {_package(other)} ({other.value}) and "
                        f"{_package(point)} ({point.value}). Uninstall one of them."
                    )
                points[point.name] = point
            self._points[short] = points
        return self._points[short]


def _short(group: str) -> str:
    short = group.removeprefix(_PREFIX)
    if short not in GROUPS:
        raise ValueError(f"{group!r} is not a group of the registry; use one of {', '.join(GROUPS)}")
    return short


def _package(point: importlib.metadata.EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "(unknown package)"


def unknown_name(group: str, name: str, allowed: tuple[str, ...]) -> Problem:
    """The problem of a name that is not in a group, with the nearest right spelling."""
    near = difflib.get_close_matches(name, allowed, n=1, cutoff=0.5)
    return Problem(
        message=f"there is no {group.removesuffix('s')} of this name",
        value=name,
        allowed=allowed,
        nearest=near[0] if near else "",
    )


_DEFAULT = Registry()


def names(group: str) -> tuple[str, ...]:
    """`Registry.names` of what is installed."""
    return _DEFAULT.names(group)


def load(group: str, name: str) -> Any:
    """`Registry.load` of what is installed."""
    return _DEFAULT.load(group, name)


def all(group: str) -> Mapping[str, Any]:
    """`Registry.all` of what is installed."""
    return _DEFAULT.all(group)
