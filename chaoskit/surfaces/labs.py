"""`chaoskit lab`: a lab by itself, to look around in, to try a configuration, to break by hand."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from chaoskit.engine.clock import SystemClock
from chaoskit.engine.run_directory import new_run_id
from chaoskit.engine.spelling import nearest
from chaoskit.model.errors import InputError, LabUnavailable, Problem
from chaoskit.ports.lab import Backend, Lab, Leftover
from chaoskit.surfaces.elsewhere import away, forwarded, machine_in_use
from chaoskit.surfaces.installed import Installed, pass_installed
from chaoskit.surfaces.options import BACKEND, JSON, REPORTS
from chaoskit.surfaces.terminal import say, say_json, say_table

LAB_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,47}"
"""It names a directory and control groups."""
LAB_NAME_WORDS = "at most 48 letters, digits, '-', '_' and '.', and begins with a letter or digit"


@click.group()
def lab() -> None:
    """Build a lab and keep it: up, status, exec, down."""


@lab.command()
@click.argument("path", metavar="LAB", type=click.Path(path_type=Path))
@click.option("--variant", default=None, help="Which of the lab's variants.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Change a setting of the lab. May be repeated.")
@click.option("--name", default=None, help="The lab's id; made up when left out.")
@BACKEND
@REPORTS
@JSON
@pass_installed
def up(
    installed: Installed,
    path: Path,
    variant: str | None,
    settings: tuple[str, ...],
    name: str | None,
    backend: str | None,
    reports: Path,
    as_json: bool,
) -> int:
    """Build the lab, wait until it is ready, and leave it up. Logs go to a folder in --reports."""
    # late: whoever looks at a lab or ends it need not read what checks one
    from chaoskit.engine.lab_loading import load_lab
    from chaoskit.engine.lab_needs import check_lab
    from chaoskit.surfaces.standing import raised_lab

    loaded = load_lab(path, variant, _settings(settings), installed.registry, backend)
    chosen = installed.backend(backend or loaded.file.spec.backend)
    with away(chosen) as found:
        if found is not None:
            return int(_far().lab_raised(found, loaded, path, reports))
    check_lab(loaded, chosen.survey(loaded.file.spec))
    run_id = new_run_id(f"lab {loaded.file.spec.name}", SystemClock().wall_ns())
    lab_id = name or f"{loaded.file.spec.name}-{run_id[-4:]}"
    if not re.fullmatch(LAB_NAME, lab_id):
        raise InputError([Problem(message=f"a lab's name is {LAB_NAME_WORDS}", path="--name", value=lab_id)])
    logs = (reports / run_id).absolute() / "logs"
    try:
        logs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"the folder for the lab's logs cannot be made: {error.strerror}"
        raise InputError([Problem(message=message, path="--reports", value=str(logs.parent))]) from error
    _, roles = raised_lab(loaded, chosen, lab_id, run_id, logs, _quietly if as_json else _say_err, detached=True)
    if as_json:
        addresses = loaded.rendered.plan.addresses()
        say_json({"lab_id": lab_id, "backend": chosen.name, "nodes": addresses, "roles": roles, "logs": str(logs)})
        return 0
    say(f"{lab_id} is up", "good")
    for role, nodes in roles.items():
        say(f"  {role}: {', '.join(nodes)}")
    say(f"  chaoskit lab status {lab_id} · chaoskit lab exec {lab_id} NODE -- COMMAND · chaoskit lab down {lab_id}")
    return 0


def _settings(given: Sequence[str]) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InputError([Problem(message="write it as NAME=VALUE, such as ttl=10s", path="--set", value=text)])
        changed[name] = {"true": True, "false": False}.get(value, int(value) if value.isdigit() else value)
    return changed


@lab.command()
@click.argument("lab_id", required=False)
@JSON
@pass_installed
def status(installed: Installed, lab_id: str | None, as_json: bool) -> int:
    """What is up: every lab of this machine, or the nodes and services of one."""
    if lab_id is None:
        found = [left for backend in _backends(installed) for left in backend.leftovers()]
        trouble = ""
        try:
            with machine_in_use(installed) as there:
                found += _far().labs_there(there) if there is not None else []
        except LabUnavailable as error:
            trouble = str(error)
        if as_json:
            say_json({"labs": [left.model_dump(mode="json") for left in found]})
        elif not found:
            say("no lab is up")
        else:
            rows = [(left.lab_id, left.backend, "up" if left.owner_alive else "orphaned", left.run_id) for left in found]
            say_table(("lab", "backend", "state", "run"), rows)
        if trouble:
            _say_err(f"the labs of another machine are not known: {trouble}")
        return LabUnavailable.exit_code if trouble else 0
    if (code := _elsewhere(installed, lab_id)) is not None:
        return code
    from chaoskit.model.facts import NodeStateQuery, ServiceQuery  # late: `up` asks nothing

    made, _ = _attached(installed, lab_id)
    services = {
        node.name: {s.name: made.read(ServiceQuery(node=node.name, service=s.name)).value or "unknown" for s in node.services}
        for node in made.plan.nodes
    }
    states = {node.name: made.read(NodeStateQuery(node=node.name)).value or "unknown" for node in made.plan.nodes}
    addresses = made.plan.addresses()
    if as_json:
        nodes = [{"node": n, "address": addresses[n], "state": states[n], "services": services[n]} for n in states]
        say_json({"lab_id": lab_id, "nodes": nodes})
    else:
        rows = [(n, addresses[n], states[n], ", ".join(f"{s} {how}" for s, how in services[n].items())) for n in states]
        say_table(("node", "address", "state", "services"), rows)
    return 0


@lab.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("lab_id")
@click.argument("node")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--user", default="root", show_default=True, help="Who runs it in the node.")
@click.option("--timeout", "timeout_s", default=60.0, show_default=True, help="Seconds after which it is ended.")
@pass_installed
def exec_(installed: Installed, lab_id: str, node: str, command: tuple[str, ...], user: str, timeout_s: float) -> int:
    """Run a command in a node of a lab that is up; ends with its exit code."""
    if (code := _elsewhere(installed, lab_id)) is not None:
        return code
    from chaoskit.model.facts import ExecQuery

    made, _ = _attached(installed, lab_id)
    names = [n.name for n in made.plan.nodes]
    if node not in names:
        message = f"the lab {lab_id} has no such node"
        raise InputError([Problem(message=message, value=node, allowed=tuple(names), nearest=nearest(node, names))])
    reading = made.read(ExecQuery(node=node, argv=command, user=user, timeout_s=timeout_s))
    sys.stdout.write(reading.value or "")
    return int(reading.number) if reading.number is not None else LabUnavailable.exit_code


@lab.command()
@click.argument("lab_ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every lab of this machine that was built with `lab up` or kept.")
@JSON
@pass_installed
def down(installed: Installed, lab_ids: tuple[str, ...], everything: bool, as_json: bool) -> int:
    """End labs and everything in them."""
    known = {left.lab_id: (backend, left) for backend in _backends(installed) for left in backend.leftovers()}
    chosen = tuple(known) if everything else lab_ids
    if not chosen and not everything:
        raise click.UsageError("name a lab, or give --all")
    unknown = [lab_id for lab_id in chosen if lab_id not in known]
    remains: dict[str, list[str]] = {}
    if unknown or everything:
        with machine_in_use(installed) as there:
            also = [left.lab_id for left in _far().labs_there(there)] if there is not None else []
            missing = [lab_id for lab_id in unknown if lab_id not in also]
            if missing:
                raise no_such_lab(missing[0], (*known, *also))
            if there is not None and (unknown or also):
                remains |= _far().brought_down(there, unknown, everything=everything)
    remains |= {lab_id: list(_end(*known[lab_id])) for lab_id in chosen if lab_id in known}
    if as_json:
        say_json({"down": [lab_id for lab_id, left in remains.items() if not left], "remains": remains})
    else:
        for lab_id, left in remains.items():
            say(f"{lab_id} is gone" if not left else f"{lab_id}: still there: {'; '.join(left)}", "good" if not left else "bad")
    return 4 if any(remains.values()) else 0


def _end(backend: Backend, left: Leftover) -> Sequence[str]:
    return backend.sweep(left.lab_id)


def _backends(installed: Installed) -> list[Backend]:
    return [installed.backend(name) for name in installed.registry.names("backends")]


def _far() -> Any:
    """What is done on other machines: read where there is one."""
    from chaoskit.surfaces import labs_elsewhere

    return labs_elsewhere


def _elsewhere(installed: Installed, lab_id: str) -> int | None:
    """The command on another machine, where this one has no such lab and something of ours is there."""
    here = any(lab_id == left.lab_id for backend in _backends(installed) for left in backend.leftovers())
    return None if here else forwarded(installed)


def _attached(installed: Installed, lab_id: str) -> tuple[Lab, Backend]:
    known: list[str] = []
    for backend in _backends(installed):
        ids = [left.lab_id for left in backend.leftovers()]
        if lab_id in ids:
            return backend.attach(lab_id), backend
        known += ids
    raise no_such_lab(lab_id, known)


def no_such_lab(lab_id: str, known: Iterable[str], path: str = "") -> InputError:
    """With the labs that there are, and the nearest."""
    names = tuple(sorted(known))
    message = "there is no such lab" if names else "there is no such lab: none is up (`chaoskit lab up LAB` builds one)"
    return InputError([Problem(message=message, path=path, value=lab_id, allowed=names, nearest=nearest(lab_id, names))])


def _say_err(text: str) -> None:
    click.echo(text, err=True)


def _quietly(text: str) -> None:
    del text
