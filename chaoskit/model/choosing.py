"""Choosing processes by what is known of them. Pure, standard library only: the lab's holder chooses by it as well."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any


def chosen(
    criteria: Mapping[str, Any], processes: Sequence[Mapping[str, Any]], pid_in_file: int | None
) -> list[Mapping[str, Any]]:
    """Those that match, oldest first. PID 1 of a node is never among them: ending it is a node fault.

    `criteria`: fields of ProcessCriteria; `processes`: fields of ProcessInfo each; `pid_in_file`: what the pid file says.
    """
    found = [process for process in processes if process["pid"] != 1 and _matches(criteria, process, pid_in_file)]
    found.sort(key=lambda process: (process["start_ticks"], process["pid"]))
    if criteria["which"] == "oldest":
        return found[:1]
    return found[-1:] if criteria["which"] == "newest" else found


def _matches(criteria: Mapping[str, Any], process: Mapping[str, Any], pid_in_file: int | None) -> bool:
    pattern, port = criteria["pattern"], criteria["port"]
    return (
        process["state"] != "Z"
        and criteria["name"] in (None, process["name"])
        and (pattern is None or re.search(pattern, " ".join(process["command"])) is not None)
        and (criteria["pid_file"] is None or process["pid"] == pid_in_file)
        and (port is None or port in process["listens"])
        and criteria["service"] in (None, process["service"])
    )
