"""Findings: what stands out in the figures, computed by stated rules and never guessed, each with its evidence.

docs/findings.md says what each means; a test holds that page against the titles here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from chaoskit.model.result import Result
from chaoskit.reporting import finding_rules as rules
from chaoskit.reporting.finding_rules import Case
from chaoskit.reporting.text import percent

MEDIAN_TRIALS, TAIL_TRIALS = 6, 59
"""Trials that a 95 % interval of the median, and of a p95, take."""
REFERENCE_PAGE = "docs/findings.md"


@dataclass(frozen=True, slots=True)
class Finding:
    key: str
    """Also its anchor in docs/findings.md."""
    title: str
    evidence: tuple[str, ...]
    """One entry a trial or client."""
    anchor: str
    """The section that shows it."""
    advice: str

    @property
    def reference(self) -> str:
        return f"{REFERENCE_PAGE}#{self.key}"


@dataclass(frozen=True, slots=True)
class Rule:
    title: str
    holds: Callable[[Case], Iterator[str]]
    anchor: str
    advice: str

    @property
    def key(self) -> str:
        """The title as GitHub makes an anchor of a heading."""
        kept = "".join(c for c in self.title.lower() if c.isalnum() or c in " -")
        return kept.replace(" ", "-")


RULES: tuple[Rule, ...] = (
    Rule(
        "Service never came back",
        rules.never_back,
        "timeline",
        "Hold observation longer, and see in the logs what the cluster waits for.",
    ),
    Rule(
        "No failover",
        rules.no_failover,
        "timeline",
        "See in the logs of the nodes that were left why none took over: quorum, fencing, priorities, a lock that was kept.",
    ),
    Rule(
        "Service came back only after the heal",
        rules.after_heal,
        "timeline",
        "That is no failover RTO. Hold the fault longer than the predicted recovery, and see why no other node took over.",
    ),
    Rule(
        "Acknowledged writes lost with synchronous replication",
        rules.lost_though_synchronous,
        "losses",
        "Check what the setting promises when the standby is away.",
    ),
    Rule(
        "Acknowledged writes lost",
        rules.lost,
        "losses",
        "That is what the settings allow: say whether the business does, and hold it against an objective of its own (rpo).",
    ),
    Rule(
        "Two owners at once",
        rules.two_owners,
        "stability",
        "Check fencing and how an isolated leader steps down; cut the leader off instead of killing it.",
    ),
    Rule(
        "Clients never reconnected",
        rules.never_reconnected,
        "clients",
        "Look for connections without a time-out, pools without a check, and names that are resolved once.",
    ),
    Rule(
        "Slower than the settings predict",
        rules.slower,
        "waterfall",
        "Compare the phases with the settings: one of them does not do what it says.",
    ),
    Rule(
        "Faster than the settings predict",
        rules.faster,
        "waterfall",
        "Vary the injection's phase: the detector may have been lucky, or the prediction is wrong.",
    ),
    Rule(
        "A second outage at failback",
        rules.at_failback,
        "timeline",
        "Decide who leads after a repair: many clusters need not fail back, and can wait for a quiet hour.",
    ),
    Rule(
        "A second outage before the heal",
        rules.second_outage,
        "timeline",
        "See what the new leader waited for: a second election, a cache, a standby that had to catch up.",
    ),
    Rule(
        "Retry storm",
        rules.retry_storm,
        "behaviour",
        "Wait longer between retries, with jitter, and give up earlier: the retries hit a service that is trying to come back.",
    ),
    Rule(
        "Pooled clients come back late",
        rules.slow_reconnect,
        "clients",
        "Shorten the pool's connect time-out and its check of idle connections, then compare the clients again.",
    ),
    Rule(
        "Detection dominates",
        rules.detection_dominates,
        "waterfall",
        "Shorter detection settings buy most; measure what they cost in false alarms with a short hang.",
    ),
    Rule(
        "Unstable leadership",
        rules.unstable,
        "stability",
        "Repeat with a longer hold, and with a slow network instead of a dead node.",
    ),
)
"""In order of weight."""


def findings(result: Result, leader: str | None = None) -> tuple[Finding, ...]:
    """Every rule that holds in some trial, in order of weight. `leader`: the role whose holder leads, where the lab has one."""
    found = []
    many = len(result.trials) > 1
    for rule in RULES:
        said = [(t, e) for t in result.trials for e in rule.holds(Case(t, result, leader))]
        if said:
            evidence = tuple(f"trial {t.index}: {e}" if many else e for t, e in said)
            found.append(Finding(rule.key, rule.title, evidence, rule.anchor, rule.advice))
    return tuple(found)


def trials_needed(result: Result) -> str:
    """What the number of trials does not allow to say; empty where it suffices."""
    done = len(result.trials)
    if not done or done >= TAIL_TRIALS:
        return ""
    reached = 1 - 0.95**done
    said = f"{done} {'trial' if done == 1 else 'trials'}"
    if done < MEDIAN_TRIALS:
        return f"{said}: a 95 % interval of the median takes {MEDIAN_TRIALS}, a p95 with 95 % confidence {TAIL_TRIALS}."
    return f"{said}: the largest value bounds the p95 with {percent(reached, 0)} confidence; 95 % takes {TAIL_TRIALS}."
