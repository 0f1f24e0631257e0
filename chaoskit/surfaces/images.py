"""`chaoskit image`: images for labs of containers where no registry can be reached."""

from __future__ import annotations

import click

from chaoskit.surfaces.installed import Installed, pass_installed
from chaoskit.surfaces.terminal import say


@click.group()
def image() -> None:
    """Images for labs of containers."""


@image.command()
@click.option("--force", is_flag=True, help="Make it anew, though the engine has it or could pull it.")
@pass_installed
def base(installed: Installed, force: bool) -> None:
    """Have debian:bookworm-slim in the Docker engine, of which nodes and Dockerfiles are made.

    Where the engine has it, nothing is done. Else it is pulled, and where no registry can be reached, made with mmdebstrap.
    """
    from chaoskit.backends.docker import base_image, engine  # late: the SDK is an extra, and slow to import

    found = engine.opened()
    try:
        origin = base_image.base_ready(found, say, anew=force)
    finally:
        found.close()
    say(base_image.said_of(origin), "good")
