"""`chaoskit image`: images for labs of containers where no registry can be reached."""

from __future__ import annotations

import click

from chaoskit.surfaces.installed import Installed, pass_installed
from chaoskit.surfaces.terminal import say


@click.group()
def image() -> None:
    """Images for labs of containers."""


@image.command()
@pass_installed
def base(installed: Installed) -> None:
    """Make debian:bookworm-slim with mmdebstrap, where the Docker engine neither has it nor can pull it."""
    from chaoskit.backends.docker import engine, images  # late: the SDK is an extra, and slow to import

    found = engine.opened()
    try:
        made = images.make_base(found, say)
    finally:
        found.close()
    say(f"{images.BASE} {'is made' if made else 'is there'}", "good")
