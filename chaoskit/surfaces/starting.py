"""`init`: a commented starter, never over anything that is there."""

from __future__ import annotations

from pathlib import Path

import click

from chaoskit.model.errors import InputError, Problem
from chaoskit.surfaces.terminal import say, say_json

EXPERIMENT = """\
# One fault on one lab, and what it must not cost.   chaoskit validate experiment.yaml
#                                                    chaoskit plan experiment.yaml      (shows every step, starts nothing)
#                                                    chaoskit run experiment.yaml
title: One of two web servers loses power

# A folder with a lab.yaml, or such a file; relative to this file. Settings and variants of the lab can be chosen here:
#   lab: {path: lab, settings: {port: 8081}}
lab: lab

# Names for ${name} below; `--set rate=20/s` overrides.
configuration:
  rate: 50/s

# Who keeps using the cluster meanwhile. class fresh: a new connection for each attempt, which measures the outage itself;
# class pooled: a real driver with its pool, which measures what users of that driver feel.   chaoskit clients
clients:
  visitors: {type: http, class: fresh, operation: get, rate: "${rate}", deadline: 500ms, endpoint: web}

# What is normal. It must hold before anything is broken.
steady-state-hypothesis:
  clients:
    visitors: {success: ">= 99.9%", for: 5s}

baseline: 10s        # clean operation before the fault; 30s or more for figures you want to quote

# What is broken, when, for how long.   chaoskit faults; chaoskit faults node.power_off
method:
  - inject: node.power_off
    target: {node: web1}      # or {group: web, count: 1}, or {role: ...} where the lab names roles
    at: 5s                    # after the baseline; or after: <name of an earlier action>
    phase: 1s                 # a random extra wait up to this long, so that no timer of the cluster is always hit alike
    for: 15s                  # then it is healed; without for: as soon as the clients are back

recovery: 60s        # how long clients may take to be back; later counts as not recovered

# What was promised. Measured RTO is compared with its bounds, not with a point.
objectives:
  rto: "<= 2s"

# Ends the run early, and heals.
abort-when:
  clients:
    visitors: {down_for: ">= 60s"}

repeat: 1            # trials
"""

LAB = """\
# A lab: what a person would draw on a whiteboard. Two web servers, and a node for the clients.
name: web-pair
description: Two equal web servers; clients try one, then the other.

nodes:
  web: {count: 2, services: [web]}        # web1, web2
  app: {}                                 # clients run here
clients: app

settings: {port: 8080}

# Commands, files and checks are templates; `chaoskit` documents the names they may use: settings, node, address, peers, ...
services:
  web:
    command: ["{{ bin }}/python", -m, http.server, "{{ settings.port }}", --bind, "{{ address }}", --directory, /srv]
    directory: /
    files:
      /srv/index.html: {content: "{{ node }}\\n", mode: "0644"}
    ready: {http: "http://{{ address }}:{{ settings.port }}/"}

endpoints:
  web: {kind: http, hosts: web, port: 8080}

ready: {within: 30s}
"""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="The machine's form on stdout, and nothing else there.")
def init(folder: Path, as_json: bool) -> None:
    """Write a commented experiment and a small lab into DIR. What is there already is never touched."""
    files = {folder / "experiment.yaml": EXPERIMENT, folder / "lab" / "lab.yaml": LAB}
    there = [path for path in files if path.exists() or path.is_symlink()]
    if there:
        raise InputError(
            [Problem(message="is there already, and is left alone; name another folder", file=str(p)) for p in there]
        )
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise InputError([Problem(message=f"cannot write here: {error.strerror}", file=str(error.filename or folder))]) from error
    labs = sorted(str(p.parent) for p in Path("labs").glob("*/lab.yaml"))
    if as_json:
        say_json({"written": [str(p) for p in files], "labs": labs})
        return
    for path in files:
        say(f"wrote {path}", "good")
    say(f"next: chaoskit plan {folder / 'experiment.yaml'}")
    if labs:
        say(f"labs that are here already: {', '.join(labs)}")
