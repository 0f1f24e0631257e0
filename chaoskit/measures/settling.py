"""Whether service settled at once, as clients met it: the debounced state, flaps, unstable time, stability, raw transitions.

Rules of MEASUREMENT.md section 4. Pure; instants are CLOCK_MONOTONIC ns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chaoskit.measures.outages import Evidence, OutageSpan, evidence, is_down, outage_spans
from chaoskit.measures.recovery import RTO_RULE
from chaoskit.measures.validity import client_gates, unmet_reasons
from chaoskit.measures.wording import between_text, duration_text, invalid, seconds, share_text, unknown
from chaoskit.model.figures import Figure, NagiosScore, Transition
from chaoskit.model.recorded import ClientSamples, TrialRecord

FLAPS_RULE = "debounced DOWN intervals - 1 (DOWN: 2 failures in a row or >= 2 W of failure; UP: S clean); the worst fresh client"
UNSTABLE_RULE = "from the s_F of the first DOWN interval to the s_R of the last after the fault; the longest of the fresh clients"
STABILITY_RULE = (
    f"RTO of the first DOWN interval ({RTO_RULE.split(';')[0]}) by the time from its beginning to the end of the last; "
    "the least of the fresh clients"
)
NAGIOS_RULE = (
    "21 samples, one a second, each the attempt sent last before it; weights of the changes 0.75 (oldest) to 1.25 (newest), "
    "by 20; flapping from 20 % on until below 5 %; the highest of the fresh clients"
)
NAGIOS_SAMPLES = 21
NAGIOS_EVERY_NS = 1_000_000_000
NAGIOS_START, NAGIOS_STOP = 0.20, 0.05
MOST_TRANSITIONS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Settling:
    """One client's outages after the fault."""

    samples: ClientSamples
    seen: Evidence
    down: tuple[OutageSpan, ...]
    """Debounced DOWN intervals."""

    @property
    def flaps(self) -> int:
        return max(len(self.down) - 1, 0)


@dataclass(frozen=True, slots=True)
class SettlingFigures:
    """What all fresh clients together say."""

    flaps: Figure
    unstable_time: Figure
    stability: Figure
    nagios: NagiosScore | None
    transitions: tuple[Transition, ...]
    transition_counts: dict[str, int]


def settling_figures(trial: TrialRecord, began_ns: int) -> SettlingFigures:
    """Figures of the fresh client that had it worst; transitions of every client."""
    raw = {name: transitions(trial, s, began_ns) for name, s in sorted(trial.clients.items())}
    counts = {name: len(found) for name, found in raw.items()}
    kept = sorted((t for found in raw.values() for t in found), key=lambda t: (t.high_s, t.client))[:MOST_TRANSITIONS]
    fresh = [s for _, s in sorted(trial.clients.items()) if s.measures_outages]
    if not fresh:
        why = "there is no fresh client"
        flaps = unknown(why, unit="count", rule=FLAPS_RULE)
        stability = unknown(why, unit="share", rule=STABILITY_RULE)
        return SettlingFigures(flaps, unknown(why, rule=UNSTABLE_RULE), stability, None, tuple(kept), counts)
    reasons = tuple(f"{s.client}: {r}" for s in fresh for r in unmet_reasons(client_gates(trial, s)))
    found = [settling(s, began_ns) for s in fresh]
    scores = [nagios_score(c, began_ns, trial.ended_ns) for c in found]
    nagios = max(scores, key=lambda s: (s.highest.point or 0.0, s.flapping_s))
    return SettlingFigures(
        flaps=invalid(_flaps(found), reasons),
        unstable_time=invalid(_unstable(found), reasons),
        stability=invalid(_stability(found), reasons),
        nagios=nagios.model_copy(update={"highest": invalid(nagios.highest, reasons)}),
        transitions=tuple(kept),
        transition_counts=counts,
    )


def settling(samples: ClientSamples, began_ns: int) -> Settling:
    """The debounced state of one client from the fault on."""
    seen = evidence(samples)
    spans = outage_spans(seen, samples.window_ns, samples.interval_ns)
    after = (s for s in spans if s.first_ok_after is None or s.first_ok_after > began_ns)
    return Settling(samples, seen, tuple(s for s in after if is_down(s, samples.deadline_ns)))


def _flaps(found: Sequence[Settling]) -> Figure:
    worst = max(found, key=lambda c: c.flaps)  # the first of equals
    flaps, n = worst.flaps, len(worst.samples.t_intended)
    text = f"{flaps} ({len(worst.down)} outages of {worst.samples.client})" if flaps else "none"
    return Figure(point=flaps, low=flaps, high=flaps, unit="count", n=n, rule=FLAPS_RULE, text=text)


def _unstable(found: Sequence[Settling]) -> Figure:
    down = [c for c in found if c.down]
    if not down:
        return Figure(point=0.0, low=0.0, high=0.0, rule=UNSTABLE_RULE, text="no lasting outage was seen")
    worst = max(down, key=lambda c: (c.down[-1].first_ok_after is None, c.down[-1].last_failed - c.down[0].first_failed))
    first, last = worst.down[0], worst.down[-1]
    low = seconds(max(last.down_until - first.down_by, 0))
    if last.first_ok_after is None or last.up_by is None:
        reason = f"{worst.samples.client} had not settled when observation ended"
        text = f"more than {duration_text(low)}"
        return Figure(low=low, rule=UNSTABLE_RULE, n=len(worst.down), censored=True, reasons=(reason,), text=text)
    before = first.up_from if first.up_from is not None else first.first_failed
    point, high = seconds(last.first_ok_after - first.first_failed), seconds(last.up_by - before)
    text = between_text(point, low, high)
    return Figure(point=point, low=low, high=high, n=len(worst.down), rule=UNSTABLE_RULE, text=text)


def _stability(found: Sequence[Settling]) -> Figure:
    down = [c for c in found if c.down]
    if not down:
        return unknown("there was no lasting outage to settle from", unit="share", rule=STABILITY_RULE)
    return min((stability(c) for c in down), key=lambda f: (f.valid, f.high if f.high is not None else 1.0))


def stability(client: Settling) -> Figure:
    """RTO_first / unstable_time of one client that was down: 1 where the first recovery was the last.

    The share grows with the end of the first outage and shrinks with the end of the last and with the beginning of both, so its
    bounds are those at the ends of their brackets.
    """
    first, last = client.down[0], client.down[-1]
    n, name = len(client.down), client.samples.client
    if first.first_ok_after is None or first.up_by is None:
        return unknown(f"{name} did not recover even once", unit="share", rule=STABILITY_RULE)
    if first.last_ok_before is None or first.up_from is None:
        return unknown(f"nothing of {name} was ok before the outage", unit="share", rule=STABILITY_RULE)
    if n == 1:
        return Figure(point=1.0, low=1.0, high=1.0, unit="share", n=1, rule=STABILITY_RULE, text="100 % (down once)")
    begin, end = (first.last_ok_before + first.first_failed) / 2, (first.last_failed + first.first_ok_after) / 2
    high = min((first.up_by - first.up_from) / max(last.down_until - first.up_from, 1), 1.0)
    if last.first_ok_after is None or last.up_by is None:
        reason = f"{name} had not settled when observation ended"
        text = f"at most {share_text(round(high, 6))}"
        return Figure(low=0.0, high=round(high, 9), unit="share", n=n, rule=STABILITY_RULE, reasons=(reason,), text=text)
    low = first.low_ns / (last.up_by - first.down_by)
    point = (end - begin) / ((last.last_failed + last.first_ok_after) / 2 - begin)
    text = f"{point * 100:.3g} % ({low * 100:.3g} to {high * 100:.3g} %; {name})"
    return Figure(
        point=round(point, 9), low=round(low, 9), high=round(high, 9), unit="share", n=n, rule=STABILITY_RULE, text=text
    )


def transitions(trial: TrialRecord, samples: ClientSamples, began_ns: int) -> tuple[Transition, ...]:
    """Every change between ok and failed from the fault on, undebounced; each lies between two sends."""
    zero = trial.baseline_ended_ns if trial.baseline_ended_ns is not None else trial.started_ns
    seen = evidence(samples)
    changed = np.flatnonzero(seen.ok[1:] != seen.ok[:-1]) + 1
    # What was under way when the fault began may have been sent up to W before.
    changed = changed[seen.sent[changed] >= began_ns - samples.deadline_ns]
    return tuple(
        Transition(
            client=samples.client,
            to="ok" if seen.ok[i] else "failed",
            low_s=seconds(int(seen.sent[i - 1]) - zero),
            high_s=seconds(int(seen.sent[i]) - zero),
        )
        for i in changed.tolist()
    )


def nagios_shares(states: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The percent state change, as a share, after each sample from the 21st on, as Nagios weighs its last 21 checks."""
    changes = (states[1:] != states[:-1]).astype(np.float64)
    weights = np.linspace(0.75, 1.25, NAGIOS_SAMPLES - 1)
    if len(changes) < len(weights):
        return np.empty(0)
    return np.convolve(changes, weights[::-1], mode="valid") / len(weights)


def nagios_score(client: Settling, began_ns: int, ended_ns: int) -> NagiosScore:
    """The familiar secondary: sampled from 20 s before the fault, so that its first score counts what followed the fault."""
    count = max((ended_ns - began_ns) // NAGIOS_EVERY_NS + 1, 0)
    at = began_ns + NAGIOS_EVERY_NS * np.arange(1 - NAGIOS_SAMPLES, count, dtype=np.int64)
    last = np.searchsorted(client.seen.sent, at, side="right") - 1
    name = client.samples.client
    at, last = at[last >= 0], last[last >= 0]
    shares = nagios_shares(client.seen.ok[last])
    if len(shares) == 0:
        why = unknown(f"fewer than {NAGIOS_SAMPLES} samples of {name}", unit="share", rule=NAGIOS_RULE)
        return NagiosScore(client=name, highest=why, flapping_s=0.0, starts=0)
    flapping, starts, spent = False, 0, 0
    for share in shares.tolist():
        began = not flapping and share >= NAGIOS_START
        flapping = began or (flapping and share >= NAGIOS_STOP)
        starts += began
        spent += flapping
    highest = round(float(shares.max()), 9)
    text = f"{share_text(highest)} ({name})" if highest else "0 %"
    return NagiosScore(
        client=name,
        highest=Figure(point=highest, low=highest, high=highest, unit="share", n=len(shares), rule=NAGIOS_RULE, text=text),
        flapping_s=spent * NAGIOS_EVERY_NS / 1e9,
        starts=starts,
        flapping_at_end=flapping,
    )
