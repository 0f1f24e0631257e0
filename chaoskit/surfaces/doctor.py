"""`doctor`: what this machine can do, what it lacks, and what to install. Starts and changes nothing."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from chaoskit import __version__
from chaoskit.engine.lab_loading import load_lab
from chaoskit.engine.lab_needs import lab_needs
from chaoskit.engine.registry import DEFAULT_BACKEND
from chaoskit.model.capability import Survey
from chaoskit.model.errors import ChaoskitError
from chaoskit.reporting.pdf import why_no_pdf
from chaoskit.surfaces.catalogue import surveys
from chaoskit.surfaces.installed import Installed, pass_installed
from chaoskit.surfaces.labs_elsewhere import surveys_there
from chaoskit.surfaces.terminal import say, say_json, say_table

LEAST_FREE_BYTES = 2 * 1024**3
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(\[[^\]]*\])?\s*([^;]*)(?:;\s*(.*))?$")


@click.command()
@click.option("--labs", "folder", type=click.Path(path_type=Path), default=Path("labs"), help="Where labs lie (default: ./labs).")
@click.option("--json", "as_json", is_flag=True, help="The machine's form on stdout, and nothing else there.")
@pass_installed
def doctor(installed: Installed, folder: Path, as_json: bool) -> None:
    """Say what works on this machine, what does not, and what to install. Starts nothing.

    Exit 0: a lab can be built here; 3: it cannot, and the reason is said.
    """
    found = diagnosis(installed, folder)
    if as_json:
        say_json(found)
    else:
        _say(found)
    if found["problems"]:
        raise SystemExit(ChaoskitError.exit_code)


def diagnosis(installed: Installed, labs: Path) -> dict[str, Any]:
    """Everything doctor knows. `problems` is empty where labs can be built here."""
    problems: list[str] = []
    packages = list(_packages())
    problems += [f"{p['name']} is missing: pip install {p['name']}" for p in packages if not p["extra"] and not p["version"]]
    here = surveys_there(installed, surveys(installed))
    if not here:
        problems.append("no backend is installed")
    default = here.get(DEFAULT_BACKEND)
    if isinstance(default, str):
        problems.append(default)
    disks = list(_disks())
    problems += [f"{d['what']} ({d['path']}) has {d['free_gib']:.1f} GiB free; a lab wants 2" for d in disks if d["low"]]
    return {
        "chaoskit": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": packages,
        "backends": {name: _backend(survey) for name, survey in here.items()},
        "disks": disks,
        "labs": [_lab(path, installed, here) for path in sorted(labs.glob("*/lab.yaml"))],
        "pdf": why_no_pdf(),
        "problems": problems,
    }


def _packages() -> Iterator[dict[str, Any]]:
    """What chaoskit depends on, by its own metadata, with the version found (none: not installed)."""
    try:
        required = importlib.metadata.requires("chaoskit") or []
    except importlib.metadata.PackageNotFoundError:
        return
    for line in required:
        match = _REQUIREMENT.match(line)
        if match is None:
            continue
        name, _, wanted, marker = match.groups()
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", marker or "")
        if name == "chaoskit" or (extra and extra.group(1) == "dev"):
            continue
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            version = ""
        yield {"name": name, "wanted": wanted.strip(), "version": version, "extra": extra.group(1) if extra else ""}


def _backend(survey: Survey | str) -> dict[str, Any]:
    if isinstance(survey, str):
        return {"mode": "", "error": survey, "capabilities": []}
    return {"mode": survey.mode, "error": "", "capabilities": [c.model_dump() for c in survey.capabilities]}


def _disks() -> Iterator[dict[str, Any]]:
    for what, path in (("temporary files", Path(tempfile.gettempdir())), ("this folder", Path.cwd())):
        free = shutil.disk_usage(path).free
        yield {"what": what, "path": str(path), "free_gib": round(free / 1024**3, 2), "low": free < LEAST_FREE_BYTES}


def _lab(path: Path, installed: Installed, here: dict[str, Survey | str]) -> dict[str, Any]:
    """One lab file: is it right, and is what it requires here?"""
    found: dict[str, Any] = {"path": str(path), "name": path.parent.name, "lacks": [], "error": "", "backends": {}}
    try:
        lab = load_lab(path, registry=installed.registry)
        found["name"] = lab.file.spec.name
        found["lacks"] = [m.reason for m in lab.rendered.missing]
        for name, survey in here.items():
            if isinstance(survey, Survey):
                needs = [n.capability for n in lab_needs(lab, survey) if n.required]
                found["backends"][name] = [capability for capability in needs if not survey.has(capability)]
    except ChaoskitError as error:
        found["error"] = str(error)
    return found


def _say(found: dict[str, Any]) -> None:
    say(f"chaoskit {found['chaoskit']}, Python {found['python']} ({found['executable']}), {found['system']}", "head")
    for disk in found["disks"]:
        say(f"  {disk['free_gib']:.1f} GiB free for {disk['what']} ({disk['path']})", "bad" if disk["low"] else "")
    say()
    say("packages", "head")
    for extra in sorted({p["extra"] for p in found["packages"]}):
        listed = [p for p in found["packages"] if p["extra"] == extra]
        lacking = [p["name"] for p in listed if not p["version"]]
        label = f"extra {extra}" if extra else "required"
        if lacking:
            hint = f"pip install 'chaoskit[{extra}]'" if extra else "pip install chaoskit"
            say(f"  {label}: {', '.join(lacking)} missing; {hint}", "warn" if extra else "bad")
        else:
            say(f"  {label}: all here ({', '.join(p['name'] + ' ' + p['version'] for p in listed)})", "good")
    say(f"  reports as PDF: {found['pdf'] or 'can be made'}", "warn" if found["pdf"] else "good")
    for name, backend in found["backends"].items():
        say()
        say(f"backend {name}{': ' + backend['mode'] if backend['mode'] else ''}", "head")
        if backend["error"]:
            say(f"  {backend['error']}", "bad")
        reasons = {c["reason"] for c in backend["capabilities"]}
        if len(reasons) == 1 and not any(c["present"] for c in backend["capabilities"]):
            say(f"  nothing of it can be used: {reasons.pop()}", "warn")
            continue
        rows = [("  yes" if c["present"] else "  no", c["name"], c["reason"]) for c in backend["capabilities"]]
        if rows:
            say_table((), rows, widths_fixed=2)
    if found["labs"]:
        say()
        say("labs", "head")
    for lab in found["labs"]:
        lacks = [*lab["lacks"], *(f"{c} on the {b} backend" for b, cs in lab["backends"].items() for c in cs)]
        state = lab["error"] or ("; ".join(f"lacks: {x}" for x in lacks) if lacks else "all it requires is here")
        say(f"  {lab['name']} ({lab['path']}): {state}", "bad" if lab["error"] else "warn" if lacks else "good")
    say()
    for problem in found["problems"]:
        say(f"problem: {problem}", "bad")
    if not found["problems"]:
        say("a lab can be built here", "good")
