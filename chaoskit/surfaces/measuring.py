"""`measure`: a recorded run again, as figures before anything is judged."""

from __future__ import annotations

from pathlib import Path

import click

from chaoskit.engine.measuring import MEASURES_FILE, measure_run
from chaoskit.engine.recorded_plan import unknown_fields
from chaoskit.model.figures import Figure
from chaoskit.model.result import TrialMeasures
from chaoskit.surfaces.options import JSON, REPORTS
from chaoskit.surfaces.running import existing_run
from chaoskit.surfaces.terminal import say, say_table


@click.command()
@click.argument("run_directory", metavar="RUN", type=click.Path(path_type=Path))
@REPORTS
@JSON
def measure(run_directory: Path, reports: Path, as_json: bool) -> int:
    """Measure a recorded run again, and print its figures. RUN is a run directory or the name of one in --reports.

    Writes measures.json; --json prints the same bytes. Nothing is judged or rendered: `chaoskit report RUN` does that.
    """
    directory = existing_run(run_directory, reports)
    if left_out := unknown_fields(directory):
        click.echo(f"another version of chaoskit recorded this run; left out of its plan: {', '.join(left_out)}", err=True)
    trials = measure_run(directory)
    if as_json:
        click.echo((directory / MEASURES_FILE).read_bytes(), nl=False)
        return 0
    for trial in trials:
        say(f"trial {trial.index}, {trial.baseline_s:.1f} s of baseline, {trial.observed_s:.1f} s after it", "head")
        say_table(("  of", "figure", "value", "n", "rule"), [(f"  {of}", *rest) for of, *rest in _rows(trial)])
        for gate in trial.gates:
            if not gate.met:
                say(f"  not met: {gate.client or 'trial'}: {gate.name}: {gate.seen}; wanted {gate.wanted}", "warn")
        for problem in trial.problems:
            say(f"  problem: {problem}", "warn")
    return 0


def _rows(trial: TrialMeasures) -> list[tuple[str, str, str, str, str]]:
    """(of, figure, value, n, rule)."""
    named: list[tuple[str, str, Figure]] = []
    for name, client in trial.clients.items():
        named += [(name, key, getattr(client, key)) for key in ("rto", "user_rto", "fault_rto", "availability")]
        named += [(name, "reconnect", client.reconnect)] if client.reconnect is not None else []
    for of, records in (("ledgers", trial.rpo), ("cluster", trial.flapping)):
        fields = {} if records is None else {key: getattr(records, key) for key in type(records).model_fields}
        named += [(of, key, figure) for key, figure in fields.items() if isinstance(figure, Figure)]
    named += [("phase", phase.name, phase.at) for phase in trial.phases]
    return [(of, key, _words(figure), str(figure.n), figure.rule) for of, key, figure in named]


def _words(figure: Figure) -> str:
    if not figure.valid:
        return f"invalid: {'; '.join(figure.reasons)}" if figure.reasons else "invalid"
    return figure.text or f"{figure.point} {figure.unit} ({figure.low} to {figure.high})"
