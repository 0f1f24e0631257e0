"""`calibrate`: are the figures true on this machine? Outages that are known exactly, measured like any other."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from chaoskit.calibration.kinds import KINDS
from chaoskit.calibration.scoring import KindSummary, Score, scores, summary
from chaoskit.calibration.session import Wanted, expected_s, record_session
from chaoskit.engine.registry import Registry
from chaoskit.model.errors import ChaoskitError, InputError, Problem
from chaoskit.model.units import Duration, Rate
from chaoskit.ports.measure import Measure
from chaoskit.surfaces.installed import Installed, pass_installed
from chaoskit.surfaces.terminal import say, say_json, say_table

MEASURES = ("availability", "gates")
NOT_COVERED = 1


@click.command()
@click.option("--trials", type=click.IntRange(1, 1000), default=30, show_default=True, help="Outages of each kind.")
@click.option(
    "--kind", "kinds", type=click.Choice(list(KINDS)), multiple=True, help="Only this kind; may be repeated. All when left out."
)
@click.option("--rate", default="100/s", show_default=True, metavar="RATE", help="Attempts of each client; d is its inverse.")
@click.option("--within", default="15m", show_default=True, metavar="TIME", help="Stop after this time with what there is.")
@click.option("--seed", type=click.IntRange(0, 2**63), default=None, help="Decides every draw; chosen anew when left out.")
@click.option("--keep", type=click.Path(path_type=Path), default=None, metavar="DIR", help="Keep the recorded session there.")
@click.option("--json", "as_json", is_flag=True, help="The machine's form on stdout, and nothing else there.")
@pass_installed
def calibrate(
    installed: Installed,
    trials: int,
    kinds: Sequence[str],
    rate: str,
    within: str,
    seed: int | None,
    keep: Path | None,
    as_json: bool,
) -> None:
    """Measure outages that are known exactly, and say how often the bounds held the truth.

    A scripted service on loopback breaks in every kind at once, again and again, at random instants, and notes when. The same
    probes, recorder and measures as in any run see it from outside. All kinds side by side take as long as one: about 6 s an
    outage. Nothing but this machine's loopback is touched; no rights are needed.

    Exit 0: the bounds held the truth in each trial that passed its gates; 1: not in all; 3: a kind had no valid trial, or it
    could not be measured.
    """
    wanted = Wanted(
        kinds=tuple(k for k in KINDS if k in kinds or not kinds),
        trials=trials,
        rate=str(_parsed(Rate, "--rate", rate)),
        within_s=float(_parsed(Duration, "--within", within)),
        seed=secrets.randbelow(2**31) if seed is None else seed,
    )

    def progress(text: str) -> None:
        click.echo(text, err=True)

    of_each = f"of each of {len(wanted.kinds)} kinds" if len(wanted.kinds) > 1 else "of one kind"
    progress(f"{trials} {'outage' if trials == 1 else 'outages'} {of_each}, about {Duration(round(expected_s(wanted)))}")
    with ExitStack() as leaving:
        directory = keep or Path(leaving.enter_context(tempfile.TemporaryDirectory(prefix="chaoskit-calibrate-"))) / "session"
        recorded = record_session(wanted, directory, progress)
        found = scores(recorded, _measures(installed.registry))
    told = [summary(kind, found) for kind in wanted.kinds]
    if as_json:
        say_json(_data(wanted, recorded.short, told, found))
    else:
        _say(wanted, recorded.short, told, found)
    if any(s.covered < s.trials for s in told):
        raise SystemExit(NOT_COVERED)
    if any(s.trials == 0 for s in told):
        raise SystemExit(ChaoskitError.exit_code)


def _parsed(unit: type[Rate] | type[Duration], option: str, text: str) -> Rate | Duration:
    try:
        return unit.parse(text)
    except ValueError as error:
        raise InputError([Problem(message=str(error), path=option, value=text)]) from error


def _measures(registry: Registry) -> list[Measure]:
    made: list[Any] = [registry.load("measures", name) for name in MEASURES]
    return [m() if isinstance(m, type) else m for m in made]


def _data(wanted: Wanted, short: bool, told: Sequence[KindSummary], found: Sequence[Score]) -> dict[str, object]:
    return {
        "kinds": [s.data() for s in told],
        "trials": sum(s.trials for s in told),
        "covered": sum(s.covered for s in told),
        "invalid": [s.data() for s in found if s.invalid],
        "not_covered": [s.data() for s in found if not s.covered],
        "outages": [s.data() for s in found],
        "rate": wanted.rate,
        "seed": wanted.seed,
        "time_ran_out": short,
    }


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.2f} ms"


def _say(wanted: Wanted, short: bool, told: Sequence[KindSummary], found: Sequence[Score]) -> None:
    columns = (
        "kind", "trials", "covered", "no attempt met it", "worst error", "edges late", "worst, none late", "width", "widest",
        "truth known to", "invalid",
    )  # fmt: skip
    rows = [
        (
            s.kind, str(s.trials), str(s.covered), str(s.unseen), _ms(s.worst_error_s), str(s.late),
            _ms(s.worst_error_on_time_s), _ms(s.width_s), _ms(s.widest_s),
            _ms(s.truth_uncertainty_s), str(s.invalid),
        )
        for s in told
    ]  # fmt: skip
    say_table(columns, rows)
    say()
    trials, covered = sum(s.trials for s in told), sum(s.covered for s in told)
    strictly = sum(s.strictly for s in told)
    say(
        f"the bounds held the truth in {covered} of {trials} trials that passed their gates "
        f"({strictly} with no allowance for how exactly the truth is known); d = {_ms(told[0].spacing_s)}, seed {wanted.seed}",
        "good" if covered == trials else "bad",
    )
    if short:
        say("the time ran out before all outages were performed", "warn")
    for score in found:
        if not score.covered and not score.invalid:
            say(f"not covered: {score.words()}", "bad")
    for score in found:
        if score.invalid:
            say(f"invalid: {score.words()}", "warn")
