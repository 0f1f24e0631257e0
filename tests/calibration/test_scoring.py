"""What calibration makes of a session: recorded trials written by hand, whose truth is known."""

from dataclasses import replace

import pytest

from chaoskit.calibration.scoring import scores, summary
from chaoskit.calibration.session import Recorded, Truth, labels_of
from chaoskit.measures.availability import Availability
from chaoskit.measures.gates import Gates
from tests.measures.recorded import client, ns, plan, trial

OUTAGES = ((2.0, 2.4), (12.003, 13.001), (25.0, 25.004))
MEASURES = (Availability(), Gates())
SHORT_BASELINE = plan(baseline="4s")


def truths(kind, spans):
    return tuple(
        Truth(kind=kind, index=i, phases=((ns(b), ns(b) + 1000, ns(e), ns(e) + 1000),)) for i, (b, e) in enumerate(spans)
    )


def recorded(*clients, kind="refuse", spans=OUTAGES):
    record = trial(*clients, planned=SHORT_BASELINE, faults=(), read_backs=())
    planned = SHORT_BASELINE.trials[0].actions[0].model_copy(update={"name": "scripted"})
    made = SHORT_BASELINE.model_copy(update={"trials": (SHORT_BASELINE.trials[0].model_copy(update={"actions": (planned,)}),)})
    return Recorded(replace(record, plan=made), truths(kind, spans), short=False)


def seen(name="refuse", spans=OUTAGES, **changes):
    return client(name, down=spans, operation="get", refusals=True, **changes)


def test_true_measures_cover_every_truth_within_the_spacing():
    found = scores(recorded(seen()), MEASURES)
    assert [s.index for s in found] == [0, 1, 2]
    assert all(s.covered and not s.invalid for s in found), [s.words() for s in found]
    assert [s.truth_s for s in found] == pytest.approx([0.4, 0.998, 0.004], abs=1e-5)
    told = summary("refuse", found)
    assert (told.trials, told.covered, told.invalid) == (3, 3, 0)
    assert told.worst_error_s <= 0.0101
    assert told.width_s == pytest.approx(0.024, abs=0.0011), "2 d, and the 2 ms that attempts took at either edge"


class Lying(Availability):
    """An RTO that is shorter than it was, in the product's favour."""

    def __init__(self, less_s):
        self.less_s = less_s

    def measure(self, trial):
        ((name, figures),) = super().measure(trial)["clients"].items()
        rto = figures.rto
        shorter = {k: v - self.less_s for k in ("point", "low", "high") if (v := getattr(rto, k)) is not None}
        return {"clients": {name: figures.model_copy(update={"rto": rto.model_copy(update=shorter)})}}


@pytest.mark.parametrize("less_s", [0.03, 0.2])
def test_a_measure_that_is_wrong_by_more_than_its_bounds_is_found_out(less_s):
    found = scores(recorded(seen()), (Lying(less_s), Gates()))
    assert not any(s.covered for s in found)
    assert summary("refuse", found).covered == 0


def test_an_outage_that_no_attempt_met_is_covered_by_shorter_than():
    spans = ((2.001, 2.006),)
    (score,) = scores(recorded(seen(spans=spans), spans=spans), MEASURES)
    assert score.point_s is None
    assert score.covered
    assert summary("refuse", [score]).unseen == 1


def test_a_gate_takes_a_trial_out_and_shows_what_it_would_have_said():
    ruined = seen(tainted=[(12.0, 12.5)])
    found = scores(recorded(ruined), MEASURES)
    assert [bool(s.invalid) for s in found] == [False, True, False]
    told = summary("refuse", found)
    assert (told.trials, told.covered, told.invalid) == (2, 2, 1)
    assert "tainted attempts" in told.invalid_reasons
    assert "measured" in found[1].words()
    assert found[1].high_s is not None


def half(hit_spans, spared_spans):
    """The truth is that one vantage was down from 2 to 3 s, and the other never."""
    spans = ((2.0, 3.0),)
    seen_by = zip(labels_of("half"), (hit_spans, spared_spans), strict=True)
    clients = [seen(label, spans, vantage=label.partition("@")[2]) for label, spans in seen_by]
    (score,) = scores(recorded(*clients, kind="half", spans=spans), MEASURES)
    return score


def test_half_the_vantages_are_judged_by_what_any_most_and_all_of_them_met():
    score = half(((2.0, 3.0),), ())
    assert score.covered
    assert score.truth_s == pytest.approx(1.0, abs=1e-5)
    assert score.error_s <= 0.0101


@pytest.mark.parametrize("spared", [((2.2, 2.3),), ((2.0, 3.0),), ((2.9, 3.4),)])
def test_the_vantage_that_was_spared_must_have_met_nothing(spared):
    assert not half(((2.0, 3.0),), spared).covered


def test_half_a_lie_about_lost_time_is_found_out(monkeypatch):
    from chaoskit.measures import vantages

    honest = vantages.lost_time
    monkeypatch.setattr(
        "chaoskit.measures.availability.lost_time",
        lambda *told: (f := honest(*told)).model_copy(update={"low": f.low / 2, "high": f.high / 2}),
    )
    assert not half(((2.0, 3.0),), ()).covered


def test_flaps_are_one_outage_from_the_first_failure_to_the_lasting_return():
    dips = ((2.0, 2.3), (3.1, 3.4), (4.0, 4.2))
    phases = tuple((ns(b), ns(b), ns(e), ns(e)) for b, e in dips)
    one = Recorded(recorded(seen("flap", dips)).record, (Truth(kind="flap", index=0, phases=phases),), short=False)
    (score,) = scores(one, MEASURES)
    assert score.truth_s == pytest.approx(2.2)
    assert score.covered


def test_an_attempt_that_was_long_on_its_way_at_the_edge_widens_the_bounds_and_spoils_nothing():
    samples = seen(spans=OUTAGES[:1])
    first, quick = scores(recorded(samples, spans=OUTAGES[:1]), MEASURES)[0], samples
    edge = int(samples.ok.argmin())  # the first that failed
    back = edge + int(samples.ok[edge:].argmax())
    send = samples.t_send.copy()
    send[back] -= 8_000_000  # sent 8 ms before the return, and arrived after it
    (score,) = scores(recorded(replace(quick, t_send=send), spans=OUTAGES[:1]), MEASURES)
    assert score.covered
    assert not score.invalid
    assert score.high_s == pytest.approx(first.high_s), "its answer is what proves the return, not its send"


def test_a_late_attempt_at_an_edge_makes_the_point_less_exact_and_is_told_apart():
    samples = seen(spans=OUTAGES[:1])
    edge = int(samples.ok.argmin())
    send, end = samples.t_send.copy(), samples.t_end.copy()
    send[edge] += 9_000_000
    end[edge] += 9_000_000
    told = summary("refuse", scores(recorded(replace(samples, t_send=send, t_end=end), spans=OUTAGES[:1]), MEASURES))
    assert (told.trials, told.covered, told.late) == (1, 1, 1)
    assert told.worst_error_s is not None
    assert told.worst_error_on_time_s is None
    on_time = summary("refuse", scores(recorded(seen()), MEASURES))
    assert on_time.late == 0
    assert on_time.worst_error_on_time_s == on_time.worst_error_s <= 0.0101


def test_breaking_that_took_longer_than_half_of_d_leaves_no_truth_to_compare_with():
    made = recorded(seen(spans=OUTAGES[:1]), spans=OUTAGES[:1])
    began, ended = (ns(s) for s in OUTAGES[0])
    long = (Truth(kind="refuse", index=0, phases=((began - 20_000_000, began, ended, ended),)),)
    (score,) = scores(replace(made, truths=long), MEASURES)
    assert [reason.split(":")[0] for reason in score.invalid] == ["the truth is not known well enough"]
