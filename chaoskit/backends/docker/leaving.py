"""Finding and removing what labs of containers leave, by their labels."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from chaoskit.backends.docker import contexts, engine
from chaoskit.backends.linux_host import state
from chaoskit.model.errors import LabUnavailable

FAMILY = "docker"


def mark() -> str:
    """The label of everything that belongs to this state directory: labs of others are not ours to see or sweep."""
    return sha256(str(state.state_directory()).encode()).hexdigest()[:12]


def labelled(url: str | None = None, lab_id: str | None = None) -> list[dict[str, Any]]:
    """Containers of ours on an engine. LabUnavailable where it does not answer.

    None on one elsewhere: they are looked after on its machine.
    """
    if url is None and contexts.elsewhere() is not None:
        return []
    found = engine.opened(url)
    try:
        wanted = {"chaoskit_state": mark()} | ({"chaoskit_lab": lab_id} if lab_id is not None else {})
        return found.containers(**wanted)
    finally:
        found.close()


def still_there(lab_id: str, url: str | None) -> list[str]:
    """In words: containers and volumes of a lab, or that nobody could tell."""
    try:
        there = [f"container {c['Names'][0].lstrip('/')}" for c in labelled(url, lab_id)]
        return there + [f"volume {v['Name']}" for v in volumes(url, lab_id)]
    except LabUnavailable as error:
        return [f"containers of {lab_id} may be there yet: {error}"]


def volumes(url: str | None = None, lab_id: str | None = None) -> list[dict[str, Any]]:
    """Volumes of ours on an engine, as `labelled`."""
    if url is None and contexts.elsewhere() is not None:
        return []
    found = engine.opened(url)
    try:
        wanted = [f"{engine.STATE}={mark()}", *([f"{engine.LAB}={lab_id}"] if lab_id is not None else [])]
        with engine.told("the engine's volumes could not be listed"):
            return list(found.client.api.volumes(filters={"label": wanted})["Volumes"] or [])
    finally:
        found.close()


def removed(lab_id: str, url: str | None) -> list[str]:
    """Remove a lab's containers, then its volumes; what could not be, with the reason."""
    try:
        ids = [c["Id"] for c in labelled(url, lab_id)]
        if not ids and not volumes(url, lab_id):
            return []
        found = engine.opened(url)
        try:
            return found.remove(ids) or found.remove_volumes([v["Name"] for v in volumes(url, lab_id)])
        finally:
            found.close()
    except LabUnavailable as error:
        return [f"containers of {lab_id} may be there yet: {error}"]
