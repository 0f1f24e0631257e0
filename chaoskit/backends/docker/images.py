"""Where the images of a lab's containers come from: the engine has them, pulls them, builds them, or chaoskit makes the base."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from chaoskit.backends.docker.engine import Engine, told
from chaoskit.model.container import ContainerSpec
from chaoskit.model.errors import LabUnavailable
from chaoskit.model.lab import LabPlan, NodePlan

BASE = "debian:bookworm-slim"
"""The image of a node that names none, and the one that is made here where no registry can be reached."""


def image_of(node: NodePlan) -> str:
    """The name of a node's image; for a build folder one of its own."""
    if node.build is not None:
        special = node.container or ContainerSpec()
        more = [special.dockerfile or "", special.target or "", *sorted(f"{k}={v}" for k, v in special.args.items())]
        told_apart = "\0".join([node.build, *more]) if any(more) else node.build
        return f"chaoskit-built-{sha256(told_apart.encode()).hexdigest()[:12]}:latest"
    return node.image or BASE


def made_ready(engine: Engine, plan: LabPlan, progress: Callable[[str], None]) -> dict[str, dict[str, Any]]:
    """Node -> what its image says of itself (the engine's Config); it is there now. LabUnavailable where one cannot be had."""
    found: dict[str, dict[str, Any]] = {}
    for node in plan.nodes:
        name = image_of(node)
        if name not in found:
            if node.build is not None:
                _build(engine, node.build, name, node.container or ContainerSpec(), progress)
            elif not has(engine, name):
                pulled(engine, name, progress)
            with told(f"the image {name} cannot be read"):
                found[name] = engine.client.api.inspect_image(name)["Config"] or {}
    return {node.name: found[image_of(node)] for node in plan.nodes}


def has(engine: Engine, name: str) -> bool:
    """Whether the engine has an image of this name."""
    import docker.errors

    with told(f"the engine was asked for the image {name}"):
        try:
            engine.client.api.inspect_image(name)
        except docker.errors.ImageNotFound:
            return False
    return True


def pulled(engine: Engine, name: str, progress: Callable[[str], None]) -> None:
    """Have a registry's image in the engine. LabUnavailable in the engine's words."""
    progress(f"pulling {name}")
    advice = "; `chaoskit image base` makes it without a registry" if name == BASE else ""
    try:
        with told(f"the image {name} is not here and cannot be pulled"):
            repository, _, tag = name.rpartition(":")
            engine.client.images.pull(repository or name, tag=tag if repository else "latest")
    except LabUnavailable as error:
        raise LabUnavailable(f"{error}{advice}") from error


def _build(engine: Engine, folder: str, name: str, special: ContainerSpec, progress: Callable[[str], None]) -> None:
    """Build, or find in the engine's cache that nothing has changed. Packages may come over the machine's own network."""
    import docker.errors

    dockerfile = Path(folder) / (special.dockerfile or "Dockerfile")
    if not dockerfile.is_file():
        raise LabUnavailable(f"there is no {dockerfile.name} in {folder}")
    progress(f"building the image of {folder}")
    try:
        with told(f"the image of {folder} could not be built"):
            engine.client.images.build(
                path=folder,
                dockerfile=special.dockerfile,
                target=special.target,
                buildargs=dict(special.args),
                tag=name,
                rm=True,
                forcerm=True,
                network_mode="host",
            )
    except LabUnavailable as error:
        if BASE in dockerfile.read_text(encoding="utf-8", errors="replace") and not has(engine, BASE):
            raise LabUnavailable(
                f"{error}; it begins with {BASE}, which `chaoskit image base` makes without a registry"
            ) from error
        cause = error.__cause__
        said = [str(line.get("stream", line.get("error", ""))) for line in getattr(cause, "build_log", ())]
        if isinstance(cause, docker.errors.BuildError):
            raise LabUnavailable(str(error), "".join(said)[-4000:]) from error
        raise
