"""The command line: one group; each command lives in a module of its own kind."""

from __future__ import annotations

from typing import Any

import click

from chaoskit import __version__
from chaoskit.surfaces.baselining import baseline_group
from chaoskit.surfaces.calibrate import calibrate
from chaoskit.surfaces.catalogue import clients, faults
from chaoskit.surfaces.comparing import compare_runs
from chaoskit.surfaces.doctor import doctor
from chaoskit.surfaces.endings import Surface
from chaoskit.surfaces.history import history
from chaoskit.surfaces.images import image
from chaoskit.surfaces.installed import Installed
from chaoskit.surfaces.labs import lab
from chaoskit.surfaces.measuring import measure
from chaoskit.surfaces.noting import note
from chaoskit.surfaces.reading import plan, validate
from chaoskit.surfaces.reports import report
from chaoskit.surfaces.running import recover, run
from chaoskit.surfaces.schema import schema
from chaoskit.surfaces.starting import init

COMMANDS: tuple[click.Command, ...] = (
    run,
    validate,
    plan,
    lab,
    note,
    measure,
    report,
    compare_runs,
    history,
    baseline_group,
    recover,
    faults,
    clients,
    doctor,
    calibrate,
    image,
    schema,
    init,
)


@click.group(cls=Surface, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="chaoskit")
@click.option("--debug", is_flag=True, help="Show where in the code an error came from.")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """Break a cluster on purpose, and measure the recovery time and data loss it really has.

    Begin with `chaoskit doctor`, then `chaoskit init DIR`.

    \b
    Exit codes:
      0    every objective met
      1    an objective missed
      2    bad input or usage
      3    verdict unknown, or no lab
      4    a heal failed: still broken
      130  interrupted, after healing
    """
    installed = context.ensure_object(Installed)
    installed.debug = debug


for command in COMMANDS:
    cli.add_command(command)


def main(args: list[str] | None = None) -> Any:
    """The entry point `chaoskit`."""
    return cli.main(args)


if __name__ == "__main__":
    main()
