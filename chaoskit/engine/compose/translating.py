"""What a Compose file says, as a lab file would say it: services become groups of nodes that run what their image starts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaoskit.engine.compose import forms, keys
from chaoskit.engine.compose.service import ServiceTranslator
from chaoskit.engine.document import Document, Keys, shown
from chaoskit.engine.spelling import nearest
from chaoskit.model.errors import Problem

CLIENTS = "clients"
DEFAULT_NETWORK = "default"
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")


@dataclass
class Translator:
    """Translates one Compose file; collects every problem."""

    document: Document
    folder: Path
    """Paths in the file start here."""
    variables: Mapping[str, str]
    profiles: tuple[str, ...]
    reserved: tuple[str, ...] = ()
    """Groups that the lab file beside it has."""
    placed: bool = False
    """Whether that lab file says where clients run."""
    problems: list[Problem] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.made = Document(file=self.document.file, data={})
        data = self.document.data
        self.services: dict[str, Any] = data.get("services") if isinstance(data.get("services"), dict) else {}
        self.networks: dict[str, Any] = data.get("networks") if isinstance(data.get("networks"), dict) else {}
        self.volumes: dict[str, Any] = data.get("volumes") if isinstance(data.get("volumes"), dict) else {}

    # ---- telling

    def wrong(self, where: Keys, message: str, **more: Any) -> None:
        self.problems.append(self.document.problem(where, message, **more))

    def read(self, where: Keys, form: Callable[[Any], Any], default: Any = None) -> Any:
        """What stands there, in one form; the default where it is left out, and where it is wrong, which is said."""
        found, value = self.document.lookup(where)
        if not found or value is None:
            return default
        try:
            return form(value)
        except (ValueError, TypeError) as error:
            self.wrong(where, f"write {error}", value=shown(value))
            return default

    def put(self, where: Keys, value: Any, source: Keys) -> None:
        self.made.put(where, value, self.document.place(source))

    def judge(self, where: Keys, understood: tuple[str, ...], ignored: Mapping[str, str], refused: Mapping[str, str]) -> None:
        """Say which keys of a mapping are refused, and why."""
        found: Any = self.document.lookup(where)[1]
        for name in found if isinstance(found, dict) else ():
            if name in refused:
                self.wrong((*where, name), f"not supported: {refused[name]}", of_key=True, value=name)
            elif name not in understood and name not in ignored and not str(name).startswith("x-"):
                known = (*understood, *ignored)
                more = {"value": str(name), "allowed": understood, "nearest": nearest(str(name), known)}
                self.wrong((*where, name), "Compose has no such key, or not here", of_key=True, **more)

    # ---- the file

    def lab(self, default_name: str) -> Document:
        """The lab; what is wrong is in `problems`."""
        self.judge((), keys.UNDERSTOOD_AT_TOP, keys.IGNORED_AT_TOP, keys.REFUSED_AT_TOP)
        self.made.put((), {"name": default_name, "backend": "docker"}, self.document.place(()))
        if not self.services:
            self.wrong(("services",), "the file has no services", value="")
            return self.made
        on = [name for name in self.services if self._is_on(name)]
        if not on:
            self.wrong(("services",), "every service is of a profile that is not on: name one under `profiles`", value="")
        used: list[str] = []
        for name in on:
            if not _NAME.fullmatch(name):
                message = "a node's name starts with a lower-case letter and has at most 31 lower-case letters, digits, - and _"
                self.wrong(("services", name), message, of_key=True, value=name)
            elif not isinstance(self.services[name], dict):
                self.wrong(("services", name), "a service is a mapping (key: value)")
            else:
                used += ServiceTranslator(self, name, on).translate()
        self._networks(dict.fromkeys(used))
        self._clients(on)
        self._unused_volumes()
        return self.made

    def _is_on(self, name: str) -> bool:
        wanted = self.read(("services", name, "profiles"), forms.texts, [])
        deploy: Any = self.document.lookup(("services", name, "deploy"))[1]
        place: Keys = ("services", name, "scale")
        if isinstance(deploy, dict) and "replicas" in deploy:
            place = ("services", name, "deploy", "replicas")
        return self.read(place, forms.whole, 1) != 0 and (not wanted or bool({*wanted, "*"} & {*self.profiles}))

    def _networks(self, used: Mapping[str, None]) -> None:
        for name in used:
            where: Keys = ("networks", name)
            given = self.networks.get(name)
            self.put(("networks", name), {}, where)
            if given is None:
                continue
            understood = ("ipam", "driver", "name", "labels", "internal", "attachable", "driver_opts", "enable_ipv4")
            refused = {
                "external": "a lab has networks of its own; containers that run already are another kind of lab",
                "enable_ipv6": "labs have IPv4 only",
            }
            self.judge(where, understood, {}, {k: v for k, v in refused.items() if (given or {}).get(k)} if given else {})
            if given.get("driver") not in (None, "bridge", "default"):
                self.wrong((*where, "driver"), "not supported: every network is a switch of the lab's own", allowed=("bridge",))
            self._subnet(where, name)

    def _subnet(self, where: Keys, name: str) -> None:
        configs: Any = self.document.lookup((*where, "ipam", "config"))[1]
        if configs is None:
            return
        if not isinstance(configs, list) or len(configs) != 1 or not isinstance(configs[0], dict):
            self.wrong((*where, "ipam", "config"), "write one entry with a subnet")
            return
        place: Keys = (*where, "ipam", "config", 0)
        self.judge(place, ("subnet", "gateway", "ip_range", "aux_addresses"), {}, {})
        if (subnet := self.read((*place, "subnet"), forms.text)) is not None:
            self.put(("networks", name, "subnet"), subnet, (*place, "subnet"))

    def _clients(self, on: list[str]) -> None:
        """A node for the clients, of an image that is there anyway: nothing of the image runs in it."""
        first = next((s for s in on if s in (self.made.data.get("nodes") or {})), None)
        if first is None:
            return
        group = self.made.data["nodes"][first]
        if self.placed or CLIENTS in self.services or CLIENTS in self.reserved:
            return
        like: dict[str, Any] = {key: group[key] for key in ("image", "build") if key in group}
        build = {k: v for k, v in (group.get("container") or {}).items() if k in ("dockerfile", "target", "args")}
        self.put(("nodes", CLIENTS), {**like, **({"container": build} if build else {})}, ("services", first))
        self.put(("clients",), CLIENTS, ("services", first))

    def _unused_volumes(self) -> None:
        for name, given in self.volumes.items():
            where: Keys = ("volumes", name)
            refused = {"external": "a lab has volumes of its own", "driver_opts": "mount a folder under the service's `volumes`"}
            if isinstance(given, dict):
                self.judge(where, ("driver", "name", "labels"), {}, {k: v for k, v in refused.items() if given.get(k)})
                if given.get("driver") not in (None, "local"):
                    self.wrong((*where, "driver"), "not supported: volumes are on this machine", allowed=("local",))
