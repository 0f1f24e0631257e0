"""Which containers a lab file means, and what it becomes: each container a node, each of its engine's bridges a network."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from chaoskit.backends.docker import engine
from chaoskit.backends.docker.engine import Engine, told
from chaoskit.model.errors import InputError, Problem

HOST = "host"
"""The node that clients run in where the lab file names none: whoever shares the engine's own network."""
_PROJECT, _SERVICE, _NUMBER = "com.docker.compose.project", "com.docker.compose.service", "com.docker.compose.container-number"
_KEYS = ("names", "label", "project")
_NO_MAC = "00:00:00:00:00:00"
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_-]{0,30}")


def discovered(wanted: Any, *, with_host: bool) -> dict[str, Any]:
    """The lab of the containers that `wanted` names, as a lab file would say it. InputError, LabUnavailable."""
    asked = _asked(wanted)
    found = engine.opened()
    try:
        with told("the engine's containers could not be listed"):
            listed = found.client.api.containers(all=False)
        chosen = _chosen(asked, listed)
        with told("a container cannot be inspected"):
            inspected = [found.client.api.inspect_container(one["Id"]) for one in chosen]
            names = {n for one in inspected for n in one["NetworkSettings"]["Networks"]}
            networks = {n: found.client.api.inspect_network(n) for n in sorted(names)}
        return _lab(found, asked, inspected, networks, with_host=with_host)
    finally:
        found.close()


def _asked(wanted: Any) -> dict[str, Any]:
    asked = {"names": [wanted]} if isinstance(wanted, str) else {"names": wanted} if isinstance(wanted, list) else wanted
    if not isinstance(asked, dict) or not asked:
        raise InputError([Problem(message="names containers: a list of names, or {project: ...}, {label: ...}, {names: [...]}")])
    for key in asked:
        if key not in _KEYS:
            near = get_close_matches(str(key), _KEYS, n=1)
            nearest = near[0] if near else ""
            raise InputError([Problem(message="not understood here", value=str(key), allowed=_KEYS, nearest=nearest)])
    lists = {key: [value] if isinstance(value, str) else list(value) for key, value in asked.items()}
    return {key: [str(one) for one in value] for key, value in lists.items()}


def _name(container: Mapping[str, Any]) -> str:
    return str(container["Names"][0]).lstrip("/")


def _chosen(asked: Mapping[str, Sequence[str]], listed: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Running containers, in the order in which they are named, else by name. InputError for what names none."""
    running = sorted(listed, key=_name)
    by_name = {_name(one): one for one in running}
    chosen: dict[str, dict[str, Any]] = {}
    problems = []

    def several(key: str, what: str, label: str, given: str) -> None:
        for_all = [one for one in running if _labelled(one, label)]
        if not for_all:
            have = tuple(sorted({one["Labels"].get(_PROJECT, "") for one in running} - {""})) if key == "project" else ()
            near = get_close_matches(given, have, n=1)
            message = f"no running container {what}"
            problems.append(Problem(message=message, value=given, allowed=have, nearest=near[0] if near else ""))
        chosen.update({one["Id"]: one for one in for_all})

    for name in asked.get("names", ()):
        same = by_name.get(name) or next((one for one in running if len(name) >= 12 and one["Id"].startswith(name)), None)
        if same is None:
            near = get_close_matches(name, by_name, n=1)
            message = "there is no running container of this name"
            problems.append(Problem(message=message, value=name, allowed=tuple(by_name), nearest=near[0] if near else ""))
        else:
            chosen[same["Id"]] = same
    for project in asked.get("project", ()):
        several("project", "is of this Compose project", f"{_PROJECT}={project}", project)
    for label in asked.get("label", ()):
        several("label", "has this label", label, label)
    if problems:
        raise InputError(problems)
    return list(chosen.values())


def _labelled(container: Mapping[str, Any], label: str) -> bool:
    name, equals, value = label.partition("=")
    labels = container.get("Labels") or {}
    return name in labels and (not equals or labels[name] == value)


def _lab(
    found: Engine,
    asked: Mapping[str, Sequence[str]],
    inspected: Sequence[dict[str, Any]],
    networks: Mapping[str, dict[str, Any]],
    *,
    with_host: bool,
) -> dict[str, Any]:
    bridges = {name: (_identifier(name), one) for name, one in networks.items() if one["Driver"] == "bridge" and _subnet(one)}
    groups: dict[str, list[dict[str, Any]]] = {}
    ours = [one for one in inspected if engine.LAB in (one["Config"]["Labels"] or {})]
    if ours:
        message = "this container is of a lab of chaoskit's own: name that lab instead"
        raise InputError([Problem(message=message, value=one["Name"].lstrip("/")) for one in ours])
    for one in inspected:
        if of_machine := [key for key in ("PidMode", "NetworkMode") if one["HostConfig"].get(key) == "host"]:
            message = f"this container shares its engine's machine ({of_machine[0]}: host), which would be hit with it"
            raise InputError([Problem(message=message, value=one["Name"].lstrip("/"))])
        labels = one["Config"]["Labels"] or {}
        wanted = labels.get(_SERVICE) if not asked.get("names") else None
        groups.setdefault(_identifier(wanted or one["Name"].lstrip("/")), []).append(one)
    nodes: dict[str, Any] = {}
    for group, members in groups.items():
        members.sort(key=lambda one: int((one["Config"]["Labels"] or {}).get(_NUMBER, "0")))
        specs = [_running(found, one, bridges) for one in members]
        shared = dict.fromkeys(i["network"] for spec in specs for i in spec["interfaces"])
        nodes[group] = {"networks": list(shared), "running": specs, **({"count": len(members)} if len(members) > 1 else {})}
    lab: dict[str, Any] = {
        "name": _identifier((asked.get("project") or ["containers"])[0]),
        "backend": "running",
        "networks": {short: {"subnet": _subnet(one)} for short, one in bridges.values()},
        "nodes": nodes,
    }
    if with_host:
        lab["nodes"][HOST] = {"networks": list(lab["networks"]), "running": [_host(found, bridges)]}
        lab |= {"clients": HOST, "blast-radius": {"protected": {"nodes": [HOST]}}}
    return lab


def _running(found: Engine, one: Mapping[str, Any], bridges: Mapping[str, tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    places = one["NetworkSettings"]["Networks"]
    return {
        "engine": found.url,
        "id": one["Id"],
        "name": one["Name"].lstrip("/"),
        "removed_when_ended": bool(one["HostConfig"].get("AutoRemove")),
        "interfaces": [
            {"network": bridges[n][0], "address": p["IPAddress"], "prefix": p["IPPrefixLen"], "mac": p["MacAddress"]}
            for n, p in places.items()
            if n in bridges and p.get("IPAddress")
        ],
    }


def _host(found: Engine, bridges: Mapping[str, tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    interfaces = []
    for short, one in bridges.values():
        subnet = ipaddress.ip_network(_subnet(one))
        gateway = next((c.get("Gateway") for c in one["IPAM"]["Config"] if c.get("Gateway")), None) or str(subnet[1])
        interfaces.append({"network": short, "address": gateway.partition("/")[0], "prefix": subnet.prefixlen, "mac": _mac(one)})
    return {"engine": found.url, "interfaces": interfaces}


def bridge_of(network: Mapping[str, Any]) -> str:
    """The device of an engine's bridge network."""
    given = (network.get("Options") or {}).get("com.docker.network.bridge.name")
    return str(given or f"br-{network['Id'][:12]}")


def _mac(network: Mapping[str, Any]) -> str:
    """Of the bridge itself, by which containers reach their engine's machine; it is asked for where that is this one."""
    try:
        return Path("/sys/class/net", bridge_of(network), "address").read_text(encoding="ascii").strip()
    except OSError:
        return _NO_MAC


def _subnet(network: Mapping[str, Any]) -> str:
    """Its IPv4 subnet; empty where it has none."""
    return next((c["Subnet"] for c in network["IPAM"]["Config"] or () if ":" not in c.get("Subnet", ":")), "")


def _identifier(name: str) -> str:
    """A container's or network's name as a lab has names."""
    made = re.sub(r"[^a-z0-9_-]", "-", name.lower())
    made = made if made[:1].isalpha() else f"c-{made}"
    return made[:31].rstrip("-") if _IDENTIFIER.fullmatch(made[:31]) else "containers"
