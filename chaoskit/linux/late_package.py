"""Packages that read far more than is used of them: one is read in parts, another when somebody uses it.

`pyroute2` reads all it has as soon as one module of it is imported, which takes longer than drawing a small lab. A stand-in
takes the package's place: its modules are found as ever, and the package itself is read once something of its own is
wanted, by whoever that is. (`importlib.util.LazyLoader` would read it for its modules as well.)
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class _ReadWhenWanted(ModuleType):
    """A package whose own code has not run yet."""

    def __getattr__(self, name: str) -> Any:
        """Of what is not there yet: a module of the package, or what its own code makes."""
        spec = self.__spec__
        assert spec is not None
        assert spec.loader is not None
        inner = f"{self.__name__}.{name}"
        if not name.startswith("__") and importlib.util.find_spec(inner) is not None:
            return importlib.import_module(inner)
        self.__class__ = ModuleType  # type: ignore[assignment]
        try:
            spec.loader.exec_module(self)
        except BaseException:
            self.__class__ = _ReadWhenWanted
            raise
        return getattr(self, name)


def read_in_parts(package: str) -> None:
    """From now on `import package.module` reads that module alone. Nothing where the package is read already, or not installed.

    For packages whose modules do not need the package's own code.
    """
    if package in sys.modules or (spec := importlib.util.find_spec(package)) is None:
        return
    module = _ReadWhenWanted(package)
    module.__spec__, module.__loader__, module.__package__, module.__file__ = spec, spec.loader, package, spec.origin
    module.__path__ = list(spec.submodule_search_locations or ())
    sys.modules.setdefault(package, module)


class _ReadWhenUsed(ModuleType):
    """What others hold of a package that they imported and that nobody has read."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def unread(package: str) -> Iterator[None]:
    """What is imported meanwhile may import this package, which is read once they use it. Nothing where it is not installed.

    For packages whose modules need the package's own code; afterwards it can be imported as ever.
    """
    if package in sys.modules or importlib.util.find_spec(package) is None:
        yield
        return
    sys.modules[package] = _ReadWhenUsed(package)
    try:
        yield
    finally:
        del sys.modules[package]
