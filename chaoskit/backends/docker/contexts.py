"""Which engine is meant, as Docker's own tools decide it: DOCKER_HOST, else DOCKER_CONTEXT, else the context they are set to.

Without any of them it is the socket of this machine. With each goes its TLS: DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, or the
context's own files.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from chaoskit.model.errors import LabUnavailable

LOCAL = ("unix://", "/", "npipe://")


@dataclass(frozen=True)
class Meant:
    """An engine, and who says so."""

    url: str
    tls: Any = None
    """The SDK's TLS configuration."""
    said_by: str = ""

    @property
    def named(self) -> str:
        return f"{self.url} ({self.said_by})" if self.said_by else self.url


def meant(url: str | None = None) -> Meant:
    """The engine that is meant: at `url`, else as Docker's own tools have it. LabUnavailable for a context that is not there."""
    from docker.context import ContextAPI
    from docker.utils import kwargs_from_env

    given = os.environ.get("DOCKER_HOST")
    if url is not None and url != given:
        return _same_context(url)
    if given:
        found = kwargs_from_env()
        return Meant(given, found.get("tls"), "DOCKER_HOST")
    chosen = os.environ.get("DOCKER_CONTEXT")
    said_by = "DOCKER_CONTEXT" if chosen else "the current context"
    context = ContextAPI.get_context(chosen) if chosen else ContextAPI.get_current_context()
    if context is None:
        raise LabUnavailable(_no_context(chosen or str(ContextAPI.get_current_context_name()), said_by, _contexts()))
    return Meant(str(context.Host), context.TLSConfig, f"{said_by}, {context.Name}")


def elsewhere() -> Meant | None:
    """The engine that is meant, where it is reached over the network; None where by a socket of this machine, or where the SDK
    is missing. LabUnavailable as in `meant`."""
    if not _told_at_all():
        return None  # whoever has told Docker's tools nothing need not wait for the SDK
    try:
        which = meant()
    except ImportError:
        return None
    return None if which.url.startswith(LOCAL) else which


def _told_at_all() -> bool:
    given = os.environ.get("DOCKER_HOST")
    if given:
        return not given.startswith(LOCAL)
    if os.environ.get("DOCKER_CONTEXT"):
        return True
    folder = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    try:
        with open(f"{folder}/config.json", encoding="utf-8") as file:
            return bool(json.load(file).get("currentContext", "default") != "default")
    except (OSError, ValueError, AttributeError):
        return False  # none, or one that says nothing: Docker's tools then take this machine's socket


def trusting(tls: Any, url: str) -> Any:
    """The TLS configuration, such that certificate authorities which the environment names for the web (REQUESTS_CA_BUNDLE)
    do not take the place of the engine's own."""
    if tls is None or not getattr(tls, "verify", None):
        return tls
    import requests.utils

    configure = tls.configure_client

    def configured(client: Any) -> None:
        configure(client)
        client.proxies.update(requests.utils.get_environ_proxies(url.replace("tcp://", "https://", 1)))
        client.trust_env = False

    tls.configure_client = configured
    return tls


def _same_context(url: str) -> Meant:
    """An engine that was found before: the TLS files of the context that leads to it, where one does."""
    from docker.context import ContextAPI

    if url.startswith(LOCAL):
        return Meant(url)
    for context in ContextAPI.contexts():
        if str(context.Host) == url:
            return Meant(url, context.TLSConfig, f"the context {context.Name}")
    return Meant(url)


def _contexts() -> tuple[str, ...]:
    from docker.context import ContextAPI

    return tuple(str(context.Name) for context in ContextAPI.contexts())


def _no_context(name: str, said_by: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"there is no Docker context {name!r}, which {said_by} names{hint} Contexts: {', '.join(known) or 'none'}"
