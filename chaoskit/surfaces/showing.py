"""A run while it goes on: a few live lines on a terminal, one line an event in a pipe."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import IO, Any, cast

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from chaoskit.model.history import Event
from chaoskit.ports.client import ClientStatus
from chaoskit.ports.progress import Snapshot
from chaoskit.surfaces.terminal import printable

REFRESH_PER_S = 8


def event_words(event: Event) -> str | None:
    """An event in words, or None for those nobody needs to see while a run goes on."""
    if event.kind == "role.changed" and event.data.get("state") == "yes":
        return f"{event.data['node']} now holds the role {event.data['role']}"
    words = _WORDS.get(event.kind)
    return None if words is None else words(event.data, ", ".join(event.data.get("nodes", ())))


def _held(roles: Mapping[str, Any]) -> str:
    return ", ".join(f"{role} {' '.join(nodes) or '(nobody)'}" for role, nodes in roles.items())


def _phase(said: Mapping[str, Any]) -> str:
    phase_s = said.get("injection_phase_s")
    return f", injection phase {phase_s:.3f} s" if phase_s else ""


def _lasted(said: Mapping[str, Any]) -> str:
    return f"{said.get('took_s', 0):.1f} s"


_WORDS: Mapping[str, Callable[[Mapping[str, Any], str], str]] = {
    "trial.started": lambda said, _: f"trial {said.get('index', 0) + 1} begins (seed {said.get('seed')}{_phase(said)})",
    "lab.creating": lambda said, _: f"building the lab {said.get('lab_id')}",
    "lab.joined": lambda said, _: f"using the lab {said.get('lab_id')}, which is up already",
    "lab.reset": lambda said, _: f"the lab is as it was before the first trial, after {_lasted(said)}",
    "lab.up": lambda said, _: f"every service runs after {_lasted(said)}",
    "lab.ready": lambda said, _: f"the lab is ready: {_held(said.get('roles', {}))}",
    "baseline.started": lambda said, _: "steady; the clean baseline begins",
    "baseline.ended": lambda said, _: "the baseline is over; the method begins",
    "action.waiting": lambda said, _: f"{said.get('action')} waits until {said.get('what')}",
    "action.triggered": lambda said, _: f"{said.get('action')} is triggered: {said.get('details')}",
    "action.skipped": lambda said, _: f"{said.get('action')} is NOT injected: {said.get('reason')}",
    "fault.injecting": lambda said, nodes: f"injecting {said.get('fault')} on {nodes}",
    "fault.effect": lambda said, nodes: (
        f"{said.get('fault')} on {nodes}: {'its effect was seen' if said.get('verified') else 'NO effect was seen'}"
    ),
    "fault.healing": lambda said, nodes: f"healing {said.get('fault')} on {nodes}",
    "fault.gone": lambda said, nodes: f"{said.get('fault')} on {nodes} is {'gone' if said.get('verified') else 'STILL THERE'}",
    "fault.heal_failed": lambda said, nodes: f"HEALING FAILED: {said.get('fault')} on {nodes}: {said.get('error')}",
    "service.exited": lambda said, _: f"{said.get('service')} on {said.get('node')} ended with code {said.get('code')}",
    "container.died": lambda said, _: (
        f"the container of {said.get('node')} ended with exit code {said.get('exit_code')}, by {said.get('by')}"
    ),
    "container.oom": lambda said, _: f"a process of {said.get('node')} was killed for want of memory",
    "container.started": lambda said, _: (
        f"the container of {said.get('node')} was started by {said.get('by')}: {said.get('then')}"
    ),
    "container.health": lambda said, _: f"the container of {said.get('node')} is {said.get('status')}",
    "engine.lost": lambda said, _: f"the engine {said.get('engine')} does not answer: {said.get('why')}",
    "engine.back": lambda said, _: f"the engine {said.get('engine')} answers again",
    "clients.recovered": lambda said, _: "every client is back",
    "recovery.timeout": lambda said, _: f"not back in time: {', '.join(said.get('clients', ()))} {said.get('roles', '')}",
    "ledgers.read": lambda said, _: "the ledgers are read back",
    "abort": lambda said, _: f"ABORTED: {said.get('reason')}",
    "problem": lambda said, _: f"problem: {said.get('message')}",
    "note": lambda said, _: f"note: {said.get('text')}",
    "lab.down": lambda said, _: "the lab is gone",
    "run.decided": lambda said, _: (
        f"decided after {said.get('carried_out')} of {said.get('planned')} trials: {said.get('reason')}"
    ),
}
"""Event -> words, from its data and its nodes."""


class Display(io.TextIOBase):
    """Standard error as long as somebody reads it. When its reader or terminal went away, the run goes on in silence."""

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._gone = False

    def write(self, text: str, /) -> int:
        try:
            return len(text) if self._gone else self._stream.write(text)
        except OSError:
            self._gone = True
            return len(text)

    def flush(self) -> None:
        try:
            if not self._gone:
                self._stream.flush()
        except OSError:
            self._gone = True

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding


class PlainProgress:
    """One line an event, on stderr, with seconds since the start: for a pipe, a log, a CI job."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._holding: dict[str, set[str]] = {}
        self._display = cast(IO[str], Display())

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return

    def event(self, event: Event) -> None:
        words = event_words(event)
        if words is not None and not (event.kind == "role.changed" and self._is_known(event)):
            self.message(words)

    def _is_known(self, event: Event) -> bool:
        """A node that only fell silent for a moment holds its role as before: nobody needs to read that again."""
        holding = self._holding.setdefault(str(event.data.get("role")), set())
        node, state = str(event.data.get("node")), event.data.get("state")
        known = state == "yes" and node in holding
        if state == "yes":
            holding.add(node)
        elif state == "no":
            holding.discard(node)
        return known

    def snapshot(self, snapshot: Snapshot) -> None:
        return

    def message(self, text: str) -> None:
        click.echo(printable(f"{time.monotonic() - self._began:7.1f}s  {text}"), file=self._display)


class QuietProgress(PlainProgress):
    """Says nothing."""

    def message(self, text: str) -> None:
        return


class LiveProgress(PlainProgress):
    """Events scroll by; below them, how things stand."""

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(file=self._display, highlight=False)
        self._live = Live(console=self._console, refresh_per_second=REFRESH_PER_S, transient=True)

    def __enter__(self) -> LiveProgress:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def message(self, text: str) -> None:
        stamp = Text(f"{time.monotonic() - self._began:7.1f}s  ", style="dim")
        bad = any(word in text for word in ("NO effect", "STILL THERE", "FAILED", "ABORTED", "problem:"))
        self._console.print(stamp + Text(printable(text), style="bold red" if bad else ""))

    def snapshot(self, snapshot: Snapshot) -> None:
        self._live.update(self._picture(snapshot))

    def _picture(self, now: Snapshot) -> Group:
        clock = f"{now.phase_s:.0f} s" + (f" of {now.phase_of_s:.0f} s" if now.phase_of_s else "")
        head = Text.assemble((f" {now.phase} ", "reverse"), f"  {clock}")
        if now.method_s is not None:
            head.append(f"  ·  {now.method_s:.1f} s into the method", style="dim")
        if now.trials > 1:
            head.append(f"  ·  trial {now.trial + 1} of {now.trials}", style="dim")
        lines = [Text(""), head]
        if now.faults:
            lines.append(Text("   in force  " + "; ".join(now.faults), style="bold yellow"))
        for role, nodes in list(now.roles.items())[:1]:
            holders = [node for node, holds in nodes.items() if holds]
            style = "" if len(holders) == 1 else "bold red"
            lines.append(Text(f"   {role}  {', '.join(holders) or 'nobody'}", style=style))
        width = max((len(name) for name in now.clients), default=0)
        lines.extend(_client_line(name, status, width) for name, status in now.clients.items())
        for line in lines:
            line.truncate(self._console.width, overflow="ellipsis")
        return Group(*lines)


def _client_line(name: str, status: ClientStatus, width: int) -> Text:
    attempts, ok = status.window
    up = status.streak_since_ns is not None
    state = status.phase if status.phase != "running" else "up" if up else "DOWN"
    line = Text(f"   {name:<{width}}  ")
    line.append(f"{state:<8}", style="green" if up else "bold red")
    line.append(f" {ok}/{attempts} ok in 5 s")
    if not up and status.last_ok_ns is not None:
        line.append(f"  for {(status.t_ns - status.last_ok_ns) / 1e9:.1f} s", style="bold red")
    if not up and status.last_error:
        line.append(f"  {printable(status.last_error)}", style="dim")
    return line
