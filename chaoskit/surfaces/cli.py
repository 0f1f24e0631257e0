"""The command line: one group; each command lives in a module of its own kind."""

from __future__ import annotations

from typing import Any

import click

from chaoskit import __version__
from chaoskit.surfaces.endings import Deferred, Surface
from chaoskit.surfaces.installed import Installed

COMMANDS = {
    "run": Deferred(
        "chaoskit.surfaces.running",
        "run",
        "Build the lab, break it, measure, put everything back, and write a report.",
    ),
    "validate": Deferred(
        "chaoskit.surfaces.reading",
        "validate",
        "Check an experiment and its lab; start nothing.",
    ),
    "plan": Deferred(
        "chaoskit.surfaces.reading",
        "plan",
        "Show what a run would do: timeline, steps, how each is undone, what is missing here.",
    ),
    "lab": Deferred(
        "chaoskit.surfaces.labs",
        "lab",
        "Build a lab and keep it: up, status, exec, down.",
    ),
    "note": Deferred(
        "chaoskit.surfaces.noting",
        "note",
        "Note what you see, from a second terminal, in the run that goes on: it lands on the report's time line.",
    ),
    "measure": Deferred(
        "chaoskit.surfaces.measuring",
        "measure",
        "Measure a recorded run again, and print its figures.",
    ),
    "report": Deferred(
        "chaoskit.surfaces.reports",
        "report",
        "Measure, judge and render a recorded run again.",
    ),
    "compare": Deferred(
        "chaoskit.surfaces.comparing",
        "compare_runs",
        "Tell whether B is worse than A by more than a tolerance, from the trials of recorded runs.",
    ),
    "history": Deferred(
        "chaoskit.surfaces.history",
        "history",
        "List recorded runs, the newest first: when, what, verdict, RTO, lost writes.",
    ),
    "baseline": Deferred(
        "chaoskit.surfaces.baselining",
        "baseline_group",
        "Name runs that later ones are held against: `compare --baseline`, `run --against`.",
    ),
    "recover": Deferred(
        "chaoskit.surfaces.running",
        "recover",
        "Heal and remove what dead runs left behind: RUN directories, or all in --reports, and every orphaned lab.",
    ),
    "faults": Deferred(
        "chaoskit.surfaces.catalogue",
        "faults",
        "List the faults, or explain one: parameters, steps, undo, what it needs, an example.",
    ),
    "clients": Deferred(
        "chaoskit.surfaces.catalogue",
        "clients",
        "List the client types, or explain one: operations, classes, keys of client and endpoint.",
    ),
    "doctor": Deferred(
        "chaoskit.surfaces.doctor",
        "doctor",
        "Say what works on this machine, what does not, and what to install.",
    ),
    "calibrate": Deferred(
        "chaoskit.surfaces.calibrate",
        "calibrate",
        "Measure outages that are known exactly, and say how often the bounds held the truth.",
    ),
    "image": Deferred(
        "chaoskit.surfaces.images",
        "image",
        "Images for labs of containers.",
    ),
    "schema": Deferred(
        "chaoskit.surfaces.schema",
        "schema",
        "Print the JSON Schema of a file, for editors and other programs.",
    ),
    "init": Deferred(
        "chaoskit.surfaces.starting",
        "init",
        "Write a commented experiment and a small lab into DIR.",
    ),
}
"""In the order in which one works."""


@click.group(cls=Surface, deferred=COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
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


def main(args: list[str] | None = None) -> Any:
    """The entry point `chaoskit`."""
    return cli.main(args)


if __name__ == "__main__":
    main()
