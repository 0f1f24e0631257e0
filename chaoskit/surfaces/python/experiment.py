"""Experiments that are built in Python: the same model as a file's, checked, planned, run and judged in the same way."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from chaoskit.model.errors import HealFailed, InputError, Problem
from chaoskit.model.plan import Plan
from chaoskit.surfaces.conducting import Request
from chaoskit.surfaces.python.by_hand import HEAL, INJECT, Fault, RunByHand, by_hand
from chaoskit.surfaces.python.conductor import Conductor, Say, say_to_stderr
from chaoskit.surfaces.python.lab import Lab
from chaoskit.surfaces.python.outcome import RunResult

LONGEST = "10min"
"""A fault that is injected by hand waits, and is held, for so long at most."""
TARGETS = ("node", "nodes", "group", "role", "of", "not_of", "count", "all")


@dataclass(frozen=True)
class Options:
    """How runs are carried out, where a call does not say otherwise."""

    backend: str | None = None
    """Which kind of lab: `namespace` where left out."""
    reports: Path = field(default_factory=lambda: Path(os.environ.get("CHAOSKIT_REPORTS", "reports")))
    """Where run directories are kept."""
    repeat: int | None = None
    """Trials; what the experiment says where left out."""
    seed: int | None = None
    """Decides every draw; the experiment's, or a new one, where left out."""
    keep_lab: bool = False
    """Leave the last trial's lab up."""
    overrides: tuple[str, ...] = ()
    """`name=value`, as with `chaoskit run --set`."""
    say: Say = say_to_stderr
    """Gets a line of progress at a time."""

    def request(self, experiment: Path, text: str | None = None, on: Lab | None = None, out: Path | None = None) -> Request:
        """What the process that carries it out is asked."""
        return Request(
            experiment=experiment,
            text=text,
            overrides=self.overrides,
            repeat=self.repeat,
            backend=on.backend if on is not None else self.backend,
            seed=self.seed,
            out=out,
            reports=self.reports.absolute(),
            keep_lab=self.keep_lab,
            on_lab=on.id if on is not None else None,
        )


def run_request(request: Request, say: Say) -> RunResult:
    """Carry a run out. InputError, CapabilityMissing, LabUnavailable; HealFailed where something is still broken."""
    with Conductor(request, say) as conductor:
        ended = conductor.conducted()
    result = RunResult.of(ended)
    if ended.heal_failed or ended.result.undo.dirty:
        left = "; ".join(ended.result.undo.dirty) or ended.ended_by
        raise HealFailed(f"something is still broken, try `chaoskit recover`: {left}; report: {result.report}")
    return result


def plan_request(request: Request, say: Say) -> Plan:
    """Everything that would happen. Starts nothing."""
    with Conductor(request, say, act="plan") as conductor:
        return conductor.planned()


@dataclass
class Experiment:
    """What is to be run. Nothing is started, and nothing but names is checked, before `plan`, `run` or `running`.

    Every value is what the key of that name has in an experiment file (docs/experiment-reference.md): `"500ms"`, `"50/s"`.
    """

    title: str
    lab: str | Path | Lab
    """A lab's file or folder; or a lab that is up, which is used and left up."""
    description: str = ""
    tags: Sequence[str] = ()
    baseline: str = "30s"
    """Clean operation before the first fault."""
    recovery: str = "60s"
    """How long clients may take to be back after the last heal."""
    steady_state: Mapping[str, Any] = field(default_factory=dict)
    """What must hold before anything is broken, as `steady-state-hypothesis` has it."""
    variant: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the lab, where it is given by its path."""
    folder: Path | None = None
    """Where relative paths start; the current directory where left out."""
    options: Options = field(default_factory=Options)
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further keys of an experiment file, such as `{"abort-when": ...}`."""
    clients: dict[str, dict[str, Any]] = field(default_factory=dict, init=False)
    objectives: dict[str, Any] = field(default_factory=dict, init=False)
    faults: list[Fault] = field(default_factory=list, init=False)

    def client(self, name: str, *, type: str, **keys: Any) -> None:
        """Who keeps using the cluster meanwhile: `client("orders", type="http", operation="get", rate="50/s", endpoint="web")`.

        Keys are those of a client in an experiment file; `client_class` is its `class`; a trailing `_` is taken off (`from_`).
        """
        self._new(name, self.clients, "client")
        self.clients[name] = {"type": type, **{_key(key): value for key, value in keys.items()}}

    def promise(self, **limits: Any) -> None:
        """Objectives, such as `promise(rto="<= 30s", rpo={"writes": 0}, flaps=0)`: they decide the verdict."""
        self.objectives |= limits

    def fault(self, kind: str, *, name: str | None = None, lasting: str | None = None, **keys: Any) -> Fault:
        """Something that is broken: `fault("node.power_off", role="primary")`. `chaoskit faults` lists the kinds.

        Targets are `node`, `nodes`, `group`, `role`, `of`, `not_of`, `count`, `all`; `with_` holds the fault's parameters;
        further keys are those of an entry of `method` (`at`, `after`, `when`, `until` ...), `lasting` is its `for`. One that is
        told neither `at`, `after`, `during` nor `when` is injected by hand, or, by `run`, as soon as the baseline is over.
        """
        chosen = name or kind.replace(".", "-").replace("_", "-")
        self._new(chosen, {fault.name: fault for fault in self.faults}, "fault")
        target = {key: keys.pop(key) for key in TARGETS if key in keys}
        action = {"inject": kind, "name": chosen, **({"target": target} if target else {})}
        action |= {_key(key): value for key, value in keys.items()} | ({"for": lasting} if lasting is not None else {})
        self.faults.append(Fault(chosen, action))
        return self.faults[-1]

    @staticmethod
    def _new(name: str, known: Mapping[str, Any], what: str) -> None:
        if name in known:
            raise InputError([Problem(message=f"there is a {what} of this name already; give another name", value=name)])

    # -- run -----------------------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """Everything that would happen, checked; starts nothing. InputError with every problem, CapabilityMissing."""
        return plan_request(self._request(self.data()), self.options.say)

    def run(self) -> RunResult:
        """Run it to its end, by the clock. Waits for that."""
        return run_request(self._request(self.data()), self.options.say)

    @contextmanager
    def running(self) -> Iterator[RunByHand]:
        """Run it, and inject its faults by hand: the block begins when the baseline is over, and the run ends after it.

        Everything is checked and planned before anything starts, the faults included. A block that raises ends the run at once;
        everything is healed in any case.
        """
        data = self.data()
        hand = [fault.name for fault in self.faults if fault.by_hand]
        for action in data["method"]:
            if action["name"] in hand:
                name = action["name"]
                action |= {"when": {"file": INJECT.format(name)}, "within": LONGEST, "until": {"file": HEAL.format(name)}}
                action.setdefault("for", LONGEST)
        with by_hand(self._request(data), hand, self.options.say) as run:
            yield run

    def data(self) -> dict[str, Any]:
        """As an experiment file has it."""
        lab: Any = str(self.lab)
        variant, settings = self.variant, dict(self.settings)
        if isinstance(self.lab, Lab):
            lab, variant, settings = str(self.lab.path), self.lab.variant, dict(self.lab.settings)
        if variant is not None or settings:
            lab = {"path": lab, **({"variant": variant} if variant else {}), **({"settings": settings} if settings else {})}
        given: dict[str, Any] = {
            "title": self.title,
            "description": self.description,
            "tags": list(self.tags),
            "lab": lab,
            "clients": {name: dict(keys) for name, keys in self.clients.items()},
            "steady-state-hypothesis": dict(self.steady_state),
            "baseline": self.baseline,
            "method": [dict(fault.action) for fault in self.faults],
            "recovery": self.recovery,
            "objectives": dict(self.objectives),
            **self.more,
        }
        return {key: value for key, value in given.items() if value not in ("", [], {}) or key in ("title", "method")}

    def _request(self, data: Mapping[str, Any]) -> Request:
        """The file that it would stand in names it in messages, and is where relative paths start."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")[:40] or "experiment"
        text = io.StringIO()
        writer: Any = YAML(typ="safe", pure=True)
        writer.default_flow_style, writer.sort_base_mapping_type_on_output = False, False
        writer.dump(_plain(data), text)
        place = (self.folder or Path.cwd()) / f"{slug}.yaml (from Python)"
        return self.options.request(place, text.getvalue(), self.lab if isinstance(self.lab, Lab) else None)


def _key(name: str) -> str:
    """A key that is a word of Python's own is written with `_` behind it."""
    return {"client_class": "class"}.get(name, name.removesuffix("_"))


def _plain(value: Any) -> Any:
    """As YAML has it: paths are text, tuples are lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value
