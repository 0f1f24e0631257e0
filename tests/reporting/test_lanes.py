"""Lanes of the time line keep apart what was seen from what lies between two answers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from chaoskit.model.figures import AddressFigures, AddressInterval, Figure
from chaoskit.reporting.charts.timeline import timeline
from chaoskit.reporting.reader import recorded_view
from chaoskit.reporting.render import template
from tests.reporting.recorded_runs import Shape, write_run


def test_between_two_answers_for_an_address_its_owner_is_uncertain(tmp_path: Path) -> None:
    view = recorded_view(write_run(tmp_path / "run", Shape()), template)
    figure = Figure(point=0)
    owners = (AddressInterval(owner="db1", from_s=-15, until_s=10), AddressInterval(owner="db2", from_s=13.5, until_s=75))
    vip = AddressFigures(address="198.18.0.100", moves=figure, dual_owner_time=figure, no_owner_time=figure, owners=owners)
    trial = view.trials[0]
    shown = dataclasses.replace(trial, result=trial.result.model_copy(update={"addresses": {"vip": vip}}))
    lanes = {row.node: row for row in timeline(shown, "primary").owners}
    assert [b.kind for b in lanes["db1"].blocks] == ["yes", "unsure"]
    assert [b.kind for b in lanes["db2"].blocks] == ["yes"], "it kept it to the end of observation"
    seen, unsure = lanes["db1"].blocks
    axis_s = shown.until_s - shown.from_s
    assert abs(float(unsure.width.rstrip("%")) - 100 * 3.5 / axis_s) < 0.01
    assert abs(float(unsure.x.rstrip("%")) - float(seen.x.rstrip("%")) - float(seen.width.rstrip("%"))) < 0.01
