"""Labs of what is there already: a key of the lab file that a backend answers by looking. The one thing that loading asks of the
outside, because nothing else knows the nodes; a recorded run holds the answer."""

from __future__ import annotations

from typing import Any

from chaoskit.engine import registry
from chaoskit.engine.document import Document
from chaoskit.engine.explaining import written_names
from chaoskit.model.errors import InputError
from chaoskit.model.lab import LabSpec


def with_what_is_found(document: Document) -> Document:
    """The document, laid over the lab that a backend finds for it; else as it is. InputError, LabUnavailable."""
    if document.data.keys() <= set(written_names(LabSpec)):
        return document  # no key is a backend's: none need be read
    for name in registry.names("backends"):
        backend: Any = registry.load("backends", name)
        key = getattr(backend, "FINDS", "")
        if key and key in document.data:
            return _laid(document, backend, key)
    return document


def _laid(document: Document, backend: Any, key: str) -> Document:
    own_clients = isinstance(document.data.get("clients"), str)
    try:
        found = backend.discovered(document.data[key], with_client_node=not own_clients)
    except InputError as error:
        told = [p for p in error.problems]
        raise InputError(
            [document.problem((key,), p.message, value=p.value, allowed=p.allowed, nearest=p.nearest) for p in told]
        ) from error
    place = document.place((key,))
    made = Document(file=document.file, data=dict(found), sha256=document.sha256, text=document.text)
    made.values[()] = document.place(())
    for name in found:
        made.keys[name,] = made.values[name,] = place
    for name, value in document.data.items():
        if name != key:
            made.lay((name,), value, document, (name,))
    return made
