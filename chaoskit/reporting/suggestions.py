"""What to try next: computed from what the lab has, what the run broke, what stood out, and which faults are installed."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, NamedTuple

from chaoskit.reporting.finding_rules import synchronous_settings
from chaoskit.reporting.findings import MEDIAN_TRIALS, Finding
from chaoskit.reporting.text import seconds
from chaoskit.reporting.view import View

SHOWN_MAX = 5
FAULT_GROUP = "chaoskit.faults"
LEAST_HOLD_S, HOLD_FACTOR = 20.0, 1.5
"""A fault is held so much longer than recovery is predicted, or was measured, to take: a shorter one may heal first."""
FAIL_STOP = ("node.power_off", "node.crash", "node.reboot", "process.kill", "service.stop", "service.disable")


@dataclass(frozen=True, slots=True)
class Suggestion:
    title: str
    why: str
    line: str
    """An entry of `method`, or a command."""
    is_command: bool = False


@dataclass(frozen=True, slots=True)
class _Run:
    """What suggestions rest on."""

    view: View
    found: frozenset[str]
    """Keys of findings."""
    faults: frozenset[str]
    """Installed."""
    leader: str | None

    @property
    def lab(self) -> Mapping[str, Any]:
        lab = self.view.plan.get("lab")
        return lab if isinstance(lab, dict) else {}

    @property
    def method(self) -> list[Mapping[str, Any]]:
        experiment = self.view.plan.get("experiment")
        method = experiment.get("method") if isinstance(experiment, dict) else None
        return [a for a in method or () if isinstance(a, dict)]

    @property
    def tried(self) -> frozenset[str]:
        return frozenset(str(a.get("inject")) for a in self.method)

    @property
    def groups(self) -> Mapping[str, Mapping[str, Any]]:
        nodes = self.lab.get("nodes")
        return {str(n): g for n, g in nodes.items() if isinstance(g, dict)} if isinstance(nodes, dict) else {}

    @property
    def hold_s(self) -> float:
        """How long a fault has to be held for a failover to happen meanwhile; a multiple of 5 s."""
        predicted = self.view.result.predicted_rto_s
        measured = [
            c.rto.high for t in self.view.result.trials for c in t.clients.values() if c.rto.valid and c.rto.high is not None
        ]
        wanted = max([LEAST_HOLD_S, *([predicted[1] * HOLD_FACTOR] if predicted else []), *(m * HOLD_FACTOR for m in measured)])
        return math.ceil(wanted / 5) * 5.0

    def volume(self, *kinds: str) -> str | None:
        """A volume of the nodes that may lead: the first of the first group that has any; of these kinds where given."""
        volumes = [v for g in self.groups.values() for v in (g.get("volumes") or {}).items()]
        return next((str(name) for name, v in volumes if not kinds or (isinstance(v, dict) and v.get("kind") in kinds)), None)

    def target(self) -> str | None:
        """Whoever leads; in a lab without a leader one node of the largest group with services."""
        if self.leader is not None:
            return f"{{role: {self.leader}}}"
        serving = [(int(g.get("count") or 1), name) for name, g in self.groups.items() if g.get("services")]
        many = max(serving, default=None)
        return f"{{group: {many[1]}, count: 1}}" if many is not None and many[0] > 1 else None

    def entry(self, fault: str, target: str | None = None, hold_s: float | None = None, parameters: str = "") -> str | None:
        """An entry of `method`; None where the fault is not installed or nothing can be hit."""
        where = target or self.target()
        if fault not in self.faults or where is None:
            return None
        given = f", with: {{{parameters}}}" if parameters else ""
        return f"- {{inject: {fault}, target: {where}{given}, at: 10s, for: {hold_s or self.hold_s:g}s}}"


class _Idea(NamedTuple):
    title: str
    why: str
    entry: str | None
    """None: it cannot be had here."""
    again: bool = False
    """Worth it although the run injected that fault already."""


def _after_findings(run: _Run) -> Iterator[_Idea]:
    """What follows from what stood out."""
    predicted = run.view.result.predicted_rto_s
    if run.found & {"service-came-back-only-after-the-heal", "no-failover"}:
        held = [f.healed_s - f.injected_s for t in run.view.result.trials for f in t.faults if f.healed_s and f.injected_s]
        longest = max(held, default=0.0)
        fault = next(iter(run.method), {}).get("inject")
        if predicted is not None and longest < predicted[1] * HOLD_FACTOR:
            why = f"it was held for {seconds(longest, 1)}, and the settings predict up to {seconds(predicted[1], 1)}"
            yield _Idea("Hold the fault longer", why, run.entry(str(fault)), again=True)
        else:
            why = "nobody took over: see whether anybody does when the leader says goodbye"
            yield _Idea("Take the leader away gently", why, run.entry("node.drain") if _has_drain(run) else None)
    if run.found & {"two-owners-at-once", "acknowledged-writes-lost-with-synchronous-replication"}:
        why = "a leader that is cut off and still served is the worst case of what was seen"
        yield _Idea("Leave the old leader with its clients", why, run.entry("network.partition", parameters="clients: everyone"))
    if "detection-dominates" in run.found and predicted is not None:
        short = max(1.0, float(math.floor(predicted[0] / 4)))
        why = f"shorter detection settings are bought with false alarms: a hang of {short:g} s must not cost a leader"
        yield _Idea("A hang too short to matter", why, run.entry("node.hang", hold_s=short), again=True)
    if "a-second-outage-at-failback" in run.found and (other := _other_role(run)) is not None:
        why = "a node that comes back must not be felt where it never led"
        entry = run.entry("node.power_off", target=f"{{role: {other}, count: 1}}")
        yield _Idea("The return of a node by itself", why, entry, again=True)


def _has_drain(run: _Run) -> bool:
    return bool(run.lab.get("drain")) or any(g.get("drain") for g in run.groups.values())


def _other_role(run: _Run) -> str | None:
    """A role that the lab needs and that is not the leader's."""
    ready = run.lab.get("ready")
    roles = ready.get("roles") if isinstance(ready, dict) else None
    return next((str(r) for r, n in (roles or {}).items() if r != run.leader and n), None)


def _not_tried(run: _Run) -> Iterator[_Idea]:
    """Other ways in which the same part fails, the nearest to what was tried first."""
    only_stopped = run.tried <= set(FAIL_STOP)
    volume = run.volume()
    synchronous = synchronous_settings(run.view.result.lab.settings)
    if only_stopped:
        yield _Idea(
            "Cut it off instead of stopping it",
            "a node that lives and is not heard may go on serving: only a cut shows two owners",
            run.entry("network.partition"),
        )
        yield _Idea(
            "Hang it instead of stopping it",
            "a node that hangs keeps its connections open, and wakes up believing what it believed",
            run.entry("node.hang"),
        )
    else:
        yield _Idea("Take its power", "the plainest failure, to hold the others against", run.entry("node.power_off"))
    if volume is not None:
        why = f"a disk that does not answer is no dead node: health checks often pass on a volume such as {volume}"
        yield _Idea("Let its disk hang", why, run.entry("storage.hang", parameters=f"volume: {volume}"))
    programmable = run.volume("programmable")
    if synchronous and programmable is not None:
        why = f"with {synchronous[0]} set every acknowledged write must survive a power cut of all nodes at once"
        yield _Idea("Power cut on disks that lie", why, run.entry("storage.lying", parameters=f"volume: {programmable}"))
    why = "a link that is half broken makes detectors flap"
    yield _Idea("Lose a fifth of its packets", why, run.entry("network.loss", parameters="percent: 20"))
    router = next((name for name, g in run.groups.items() if g.get("forwards")), None)
    if router is not None:
        why = f"all that passes between them passes {router}"
        yield _Idea("The router between the networks", why, run.entry("network.router_failure", target=f"{{group: {router}}}"))


def _alone(run: _Run) -> Iterator[_Idea]:
    """Parts that nothing stands in for."""
    hit = {n for t in run.view.result.trials for f in t.faults for n in f.target}
    for name, group in run.groups.items():
        if int(group.get("count") or 1) == 1 and group.get("services") and name not in hit:
            why = f"{name} is one node: what it does, nobody else can take over"
            entry = run.entry("node.power_off", target=f"{{node: {name}}}")
            yield _Idea(f"Take {name} away", why, entry, again=True)


def suggestions(view: View, found: Sequence[Finding], leader: str | None) -> tuple[Suggestion, ...]:
    """The next experiments, those that follow from findings first. Empty where there is no plan to compute them from."""
    faults = frozenset(point.name for point in entry_points(group=FAULT_GROUP))
    run = _Run(view, frozenset(f.key for f in found), faults, leader)
    if not run.method:
        return ()
    made: dict[str, Suggestion] = {}
    for idea in (*_after_findings(run), *_alone(run), *_not_tried(run)):
        if idea.entry is not None and (idea.again or _fault_of(idea.entry) not in run.tried):
            made.setdefault(idea.entry, Suggestion(idea.title, idea.why, idea.entry))
    done = len(view.result.trials)
    again = []
    if 0 < done < MEDIAN_TRIALS:
        why = f"{done} {'trial' if done == 1 else 'trials'}: from {MEDIAN_TRIALS} on the median has a 95 % interval"
        command = f"chaoskit run {shlex.quote(view.result.experiment.path)} --repeat {MEDIAN_TRIALS}"
        again = [Suggestion("The same again, more often", why, command, is_command=True)]
    return (*list(made.values())[: SHOWN_MAX - len(again)], *again)


def _fault_of(entry: str) -> str:
    return entry.partition("inject: ")[2].partition(",")[0]
