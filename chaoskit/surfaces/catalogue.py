"""`faults` and `clients`: what is installed, explained from its own code."""

from __future__ import annotations

import base64
import io
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
from ruamel.yaml import YAML

from chaoskit.engine.document import Document
from chaoskit.engine.labfile import LabFile
from chaoskit.engine.previewing import PreviewScene
from chaoskit.engine.registry import DEFAULT_BACKEND
from chaoskit.engine.rendering import render_lab
from chaoskit.model.capability import Survey
from chaoskit.model.errors import ChaoskitError, StepFailed
from chaoskit.model.experiment import Action, ClientSpec
from chaoskit.model.facts import (
    CarrierQuery,
    ClockQuery,
    Connection,
    ConnectionsQuery,
    ExecQuery,
    FileQuery,
    ForwardingQuery,
    NameQuery,
    OwnersQuery,
    ProcessesQuery,
    ProcessInfo,
    Query,
    ReachQuery,
    Reading,
    ServiceEnabledQuery,
    VolumeQuery,
    VolumeSpeedQuery,
)
from chaoskit.model.files import FileState
from chaoskit.model.lab import LabPlan, LabSpec
from chaoskit.model.source import SourceFile
from chaoskit.ports.client import ClientType
from chaoskit.ports.fault import Fault
from chaoskit.surfaces.documentation import parameters, summary
from chaoskit.surfaces.installed import Installed, pass_installed
from chaoskit.surfaces.terminal import say, say_json, say_table

EXAMPLE_LAB = LabSpec.model_validate(
    {
        "name": "example",
        "nodes": {"db": {"count": 3, "services": ["database"]}, "app": {}},
        "services": {"database": {"command": ["database"]}},
        "drain": {
            "do": ["touch", "/var/lib/maintenance"],
            "undo": ["rm", "-f", "/var/lib/maintenance"],
            "shown": ["test", "-e", "/var/lib/maintenance"],
        },
        "roles": {role: {"http": "http://{{ address }}:8008/" + role} for role in ("primary", "replica")},
    }
)
"""Three nodes with a role and one for clients: enough to show what a fault would do."""

_EXAMPLE_FILE = FileState(
    path="", content=base64.b64encode(b"198.18.0.11 db1\n198.18.0.12 db2\n").decode(), mode=0o644, user_id=0, group_id=0
)

_EXAMPLE_USE = {
    "limit": Reading(value="1024:524288", number=40),
    "room": Reading(number=42),
    "quota": Reading(value="unlimited", number=64),
}
"""Kind of query -> what a process or node of the example may use, and uses."""

JSON = click.option("--json", "as_json", is_flag=True, help="The machine's form on stdout, and nothing else there.")


_ROUTER = {"networks": ["lan", "far"], "forwards": True}
EXAMPLE_SITES = EXAMPLE_LAB.model_validate(
    EXAMPLE_LAB.model_dump(exclude_unset=True)
    | {
        "networks": {"lan": {}, "far": {}},
        "nodes": {
            "router": _ROUTER,
            "db": {"count": 3, "networks": ["lan"], "services": ["database"], "routes": {"far": "router"}},
            "app": {"networks": ["far"], "routes": {"lan": "router"}},
        },
    }
)
"""The same with the clients behind a router."""
_EXAMPLE_SERVER = "db2"


def example_lab(action: Action) -> LabSpec:
    """The lab that has what a fault's own example names."""
    known = action.target.node is None or action.target.node in EXAMPLE_LAB.node_names()
    return EXAMPLE_LAB if known else EXAMPLE_SITES


def example_plan(lab: LabSpec = EXAMPLE_LAB) -> LabPlan:
    """An example lab, rendered."""
    nowhere = Document(file="", data=lab.model_dump(mode="json"))
    return render_lab(LabFile(lab, nowhere, Path(), SourceFile(path="", sha256="")), DEFAULT_BACKEND).plan


class _ExampleScene(PreviewScene):
    """Answers as a lab would on which one process runs: the one the fault's own example looks for."""

    def __init__(self, plan: LabPlan, wanted: Mapping[str, Any]) -> None:
        super().__init__(plan, random.Random(0))
        self._wanted = wanted

    def read(self, query: Query) -> Reading:
        if isinstance(query, FileQuery):
            return Reading(file=_EXAMPLE_FILE.model_copy(update={"path": query.path}), value="")
        if isinstance(query, VolumeQuery):
            return Reading(value="works")
        if isinstance(query, ClockQuery):
            return Reading(value="true")
        if query.kind in _EXAMPLE_USE:
            return _EXAMPLE_USE[query.kind]
        if isinstance(query, VolumeSpeedQuery):
            return Reading(value="faster")
        if isinstance(query, ServiceEnabledQuery):
            return Reading(value="enabled")
        if isinstance(query, ExecQuery):
            return Reading(value="", number=1)
        if isinstance(query, ConnectionsQuery):
            one = Connection(local="198.18.0.11:5432", remote="198.18.0.14:40000", inode=4711)
            return Reading(connections=(one,), value="some", number=1.0)
        if isinstance(query, OwnersQuery):
            return Reading(value=next(n for n in self.nodes if self.address_of(n, query.network) == query.address), number=1.0)
        if isinstance(query, NameQuery):
            return Reading(value="no_data" if query.server == _EXAMPLE_SERVER else "refused")
        if isinstance(query, (CarrierQuery, ForwardingQuery, ReachQuery)):
            return super().read(query)
        process = self._wanted.get("process")
        named = process if isinstance(process, Mapping) else {}
        name = str(named.get("name") or named.get("pattern") or "database")
        info = ProcessInfo(
            pid=4711, parent=1, name=name, command=(name,), state="S", start_ticks=1000,
            listens=(int(named["port"]),) if "port" in named else (), service=named.get("service") or "database",
        )  # fmt: skip
        init = ProcessInfo(pid=1, parent=0, name="init", command=("init",), state="S", start_ticks=1)
        return Reading(value="running", number=4711, processes=(init, info) if isinstance(query, ProcessesQuery) else ())


def example_fault(kind: type[Fault]) -> Fault:
    """The fault of a type's own example."""
    return kind.model_validate(kind.EXAMPLE.get("with", {}))


def example_steps(kind: type[Fault]) -> tuple[list[str], list[str]]:
    """(inject, heal) of a type's own example, in words, on a lab of three nodes."""
    action = Action.model_validate(dict(kind.EXAMPLE))
    fault = example_fault(kind)
    scene = _ExampleScene(example_plan(example_lab(action)), action.parameters)
    try:
        facts = fault.prepare(scene, scene.resolve(action.target), "example")
    except StepFailed as error:
        return [f"known at run time: {error}"], []
    return [s.words() for s in fault.inject(facts)], [s.words() for s in fault.heal(facts)]


def surveys(installed: Installed) -> dict[str, Survey | str]:
    """Backend -> what it can do here for any lab, or why it cannot say."""
    found: dict[str, Survey | str] = {}
    for name in installed.registry.names("backends"):
        try:
            found[name] = installed.backend(name).survey(EXAMPLE_LAB)
        except ChaoskitError as error:
            found[name] = str(error)
    return found


def _runs_on(fault: Fault, here: Mapping[str, Survey | str]) -> dict[str, list[str]]:
    """Backend -> the required capabilities it lacks here."""
    lacking: dict[str, list[str]] = {}
    for name, survey in here.items():
        if isinstance(survey, str):
            lacking[name] = ["(unknown)"]
            continue
        lacking[name] = [n.capability for n in fault.needs() if n.required and not survey.has(n.capability)]
    return lacking


def _backend_words(lacking: Mapping[str, list[str]]) -> str:
    return ", ".join(name if not lacks else f"{name} (not here: {', '.join(lacks)})" for name, lacks in lacking.items()) or "-"


def fault_data(name: str, kind: type[Fault], here: Mapping[str, Survey | str]) -> dict[str, Any]:
    """Everything to be said about a fault, for programs and pages."""
    fault = example_fault(kind)
    inject, heal = example_steps(kind)
    return {
        "name": name,
        "summary": summary(kind),
        "description": (kind.__doc__ or "").strip(),
        "outage": kind.OUTAGE,
        "one_shot": kind.ONE_SHOT,
        "needs": [n.model_dump() for n in fault.needs()],
        "backends": {b: {"runs": not lacks, "lacks": lacks} for b, lacks in _runs_on(fault, here).items()},
        "parameters": list(parameters(kind)),
        "example": dict(kind.EXAMPLE),
        "example_steps": {"inject": inject, "heal": heal},
    }


@click.command()
@click.argument("name", required=False)
@JSON
@pass_installed
def faults(installed: Installed, name: str | None, as_json: bool) -> None:
    """List the faults, or explain one: parameters, steps, undo, what it needs, an example."""
    here = surveys(installed)
    if name is not None:
        data = fault_data(name, installed.registry.load("faults", name), here)
        if as_json:
            say_json(data)
        else:
            _say_fault(data, installed)
        return
    kinds: Mapping[str, type[Fault]] = installed.registry.all("faults")
    listed = [fault_data(n, kind, here) for n, kind in kinds.items()]
    if as_json:
        say_json(listed)
        return
    rows = [
        (
            d["name"],
            d["summary"],
            ", ".join(n["capability"] + ("" if n["required"] else "?") for n in d["needs"]),
            _backend_words({b: x["lacks"] for b, x in d["backends"].items()}),
        )
        for d in listed
    ]
    say_table(("fault", "what it does", "needs (?: not required)", "backends"), rows)
    say()
    say("`chaoskit faults NAME` explains one.")


def _say_fault(data: Mapping[str, Any], installed: Installed) -> None:
    say(data["name"], "head")
    for paragraph in data["description"].split("\n\n"):
        say(" ".join(paragraph.split()))
    say()
    say(f"Stands for: {data['outage']}")
    if data["one_shot"] and data["example_steps"]["heal"]:
        say("Nothing stays in force after it; healing makes good what it broke.")
    say()
    say("parameters (under `with:`)", "head")
    _say_parameters(data["parameters"])
    say()
    say("needs", "head")
    for need in data["needs"]:
        say(f"  {need['capability']}{'' if need['required'] else ' (not required)'}: {need['why']}")
    say(f"  runs on: {_backend_words({b: x['lacks'] for b, x in data['backends'].items()})}")
    say()
    say("example", "head")
    say(_yaml([data["example"]], "  "))
    say("which, on a lab of db1, db2, db3 (db1 the primary) and app, would", "head")
    for step in data["example_steps"]["inject"]:
        say(f"  - {step}")
    say("and to heal it", "head")
    for step in data["example_steps"]["heal"] or ["nothing: it leaves nothing in force"]:
        say(f"  - {step}")


def _say_parameters(rows: Iterable[Mapping[str, str]]) -> None:
    listed = [(f"  {r['name']}", r["type"], r["default"], r["meaning"]) for r in rows]
    if listed:
        say_table(("  key", "value", "default", "meaning"), listed)
    else:
        say("  none")


def _yaml(data: Any, indent: str) -> str:
    stream = io.StringIO()
    writer = YAML()
    writer.default_flow_style = None
    writer.dump(data, stream)
    return "\n".join(indent + line for line in stream.getvalue().rstrip().split("\n"))


def client_data(name: str, kind: type[ClientType]) -> dict[str, Any]:
    """Everything to be said about a client type."""
    return {
        "type": name,
        "summary": summary(kind),
        "description": (kind.__doc__ or "").strip(),
        "operations": dict(kind.OPERATIONS),
        "ledger_operations": sorted(kind.LEDGER),
        "classes": list(kind.CLASSES),
        "options": list(parameters(kind.Options)),
        "endpoint_options": list(parameters(kind.EndpointOptions)),
        "common": list(parameters(ClientSpec)),
    }


@click.command()
@click.argument("type_", metavar="[TYPE]", required=False)
@JSON
@pass_installed
def clients(installed: Installed, type_: str | None, as_json: bool) -> None:
    """List the client types, or explain one: operations, classes, keys of client and endpoint."""
    if type_ is not None:
        data = client_data(type_, installed.registry.load("clients", type_))
        if as_json:
            say_json(data)
        else:
            _say_client(data)
        return
    kinds: Mapping[str, type[ClientType]] = installed.registry.all("clients")
    listed = [client_data(name, kind) for name, kind in kinds.items()]
    if as_json:
        say_json(listed)
        return
    rows = [(d["type"], d["summary"], ", ".join(d["operations"]), ", ".join(d["classes"])) for d in listed]
    say_table(("type", "what it speaks", "operations", "classes"), rows)
    say()
    say("`chaoskit clients TYPE` explains one.")


def _say_client(data: Mapping[str, Any]) -> None:
    say(data["type"], "head")
    say(data["description"].replace("\n    ", "\n"))
    say()
    say("operations", "head")
    for operation, meaning in data["operations"].items():
        ledger = " (a ledger: what it was promised must survive)" if operation in data["ledger_operations"] else ""
        say(f"  {operation}: {meaning}{ledger}")
    say(f"classes: {', '.join(data['classes'])}")
    for title, key in (
        ("keys of the client, besides those of every client", "options"),
        ("keys of an endpoint of this kind, besides kind, hosts, address and port", "endpoint_options"),
        ("keys of every client", "common"),
    ):
        say()
        say(title, "head")
        _say_parameters(data[key])
