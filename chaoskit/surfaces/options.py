"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

EXPERIMENT = click.argument("experiment", type=click.Path(path_type=Path))
SET = click.option(
    "--set", "overrides", multiple=True, metavar="NAME=VALUE",
    help="Override a name of `configuration`, or a place such as clients.orders.rate or lab.settings.ttl. May be repeated.",
)  # fmt: skip
JSON = click.option("--json", "as_json", is_flag=True, help="The machine's form on stdout, and nothing else there.")
BACKEND = click.option(
    "--backend", default=None, metavar="NAME", help="Which kind of lab (default: what the lab says, else namespace)."
)
SEED = click.option("--seed", type=click.IntRange(0, 2**63), default=None, help="Decides every draw; chosen anew when left out.")

FAILURES_PER_YEAR = click.option(
    "--failures-per-year", type=click.FloatRange(0, 1e6, min_open=True), default=None, metavar="N",
    help="How often this happens: with the mean RTO it gives the yearly downtime.",
)  # fmt: skip
AVAILABILITY_TARGET = click.option(
    "--availability-target", default=None, metavar="SHARE", help="Such as 99.99%: the error budget that it is held against."
)

MAX_TARGETS = click.option(
    "--max-targets", type=click.IntRange(1), default=None, metavar="N",
    help="At most so many nodes under fault at once; where experiment or lab allow fewer, that holds.",
)  # fmt: skip

REPORTS = click.option(
    "--reports", type=click.Path(path_type=Path, file_okay=False), default=Path("reports"), envvar="CHAOSKIT_REPORTS",
    show_default=True, help="Where run directories are kept.",
)  # fmt: skip
