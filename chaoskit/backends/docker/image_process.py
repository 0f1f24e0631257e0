"""What an image starts by itself, as a service of the lab: entrypoint, arguments, user, directory and health check. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaoskit.backends.linux_host.wire import ServiceJson
from chaoskit.model.errors import LabUnavailable
from chaoskit.model.lab import NodePlan, ServicePlan

_ASKED_EVERY_S = 0.5
"""A health check is asked so often, or as often as the image says if that is more: a lab wants to be ready soon."""
_USUAL_TIMEOUT_S = 30.0


def served(node: NodePlan, service: ServiceJson, image: Mapping[str, Any], name: str) -> None:
    """Fill in what a service takes from its node's image (the engine's Config of it). LabUnavailable where that says nothing."""
    plan = next(one for one in node.services if one.name == service["name"])
    service["env"] = {**environment(image), **service["env"]}
    if not service["argv"]:
        service["argv"] = _argv(node, plan, image, name)
    of_image = not plan.argv or not plan.user
    service["user"] = service["user"] or str(image.get("User") or "root")
    service["directory"] = service["directory"] or str(image.get("WorkingDir") or "/")
    if of_image and service["ready"] is None and plan.health:
        service["ready"] = health(image)


def environment(image: Mapping[str, Any]) -> dict[str, str]:
    return dict(entry.partition("=")[::2] for entry in image.get("Env") or [])


def _argv(node: NodePlan, plan: ServicePlan, image: Mapping[str, Any], name: str) -> list[str]:
    entrypoint, command = list(image.get("Entrypoint") or []), list(image.get("Cmd") or [])
    if plan.arguments is not None:
        command = list(plan.arguments)
    if not entrypoint and not command:
        raise LabUnavailable(
            f"{node.name}: the image {name} starts nothing by itself: name a command for the service {plan.name}"
        )
    return entrypoint + command


def health(image: Mapping[str, Any]) -> dict[str, Any] | None:
    """The image's health check as a `ready` check; None where it has none."""
    given = image.get("Healthcheck") or {}
    test = list(given.get("Test") or [])
    if len(test) < 2 or test[0] not in ("CMD", "CMD-SHELL"):
        return None
    shell = list(image.get("Shell") or ["/bin/sh", "-c"])
    return {
        "command": [*shell, test[1]] if test[0] == "CMD-SHELL" else test[1:],
        "user": "root",
        "as_service": True,
        "every_s": min(_ASKED_EVERY_S, (given.get("Interval") or 1e18) / 1e9),
        "timeout_s": (given.get("Timeout") or 0) / 1e9 or _USUAL_TIMEOUT_S,
    }
