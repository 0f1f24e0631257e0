"""One service of a Compose file -> a group of nodes and the service that runs on them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaoskit.engine.compose import forms, keys
from chaoskit.engine.compose.interpolation import BadVariable, env_file
from chaoskit.engine.document import Keys
from chaoskit.engine.spelling import nearest

if TYPE_CHECKING:
    from chaoskit.engine.compose.translating import Translator

_ASKED_EVERY_S = 0.5
"""A health check is asked so often while the lab starts, or as often as it says if that is more."""
_CHECK_INTERVAL_S, _CHECK_TIMEOUT_S = 30.0, 30.0
_DEFAULT_NETWORK = "default"


class ServiceTranslator:
    """Translates one service."""

    def __init__(self, of: Translator, name: str, on: list[str]) -> None:
        self.of, self.name, self.on = of, name, on
        self.here: Keys = ("services", name)
        self.group: Keys = ("nodes", name)
        self.service: Keys = ("services", name)

    def translate(self) -> list[str]:
        """Put it into the lab; the networks it uses."""
        of = self.of
        of.judge(self.here, keys.UNDERSTOOD, keys.IGNORED, keys.REFUSED)
        if self._read("privileged", forms.flag, False):
            of.wrong((*self.here, "privileged"), "nothing is privileged: name what it needs under cap_add")
        of.put(self.group, {"services": [self.name]}, self.here)
        of.put(self.service, {}, self.here)
        self._image()
        self._command()
        self._environment()
        self._health()
        self._needs()
        self._container()
        self._mounts()
        count = self._count()
        if count != 1:
            of.put((*self.group, "count"), count, self.here)
            self._put("aliases", [self.name], self.here)
        return self._networks(count)

    # ---- telling

    def _read(self, key: str, form: Callable[[Any], Any], default: Any = None) -> Any:
        return self.of.read((*self.here, key), form, default)

    def _put(self, key: str, value: Any, source: Keys) -> None:
        self.of.put((*self.group, key), value, source)

    def _contain(self, key: str, value: Any, source: str) -> None:
        self.of.put((*self.group, "container", key), value, (*self.here, source))

    # ---- parts

    def _image(self) -> None:
        of, given = self.of, self.of.services[self.name]
        build = given.get("build")
        if build is None and not given.get("image"):
            of.wrong(self.here, "the service names neither an image nor a build folder", value="", allowed=("image", "build"))
            return
        if build is None:
            self._put("image", self._read("image", forms.text), (*self.here, "image"))
            return
        where: Keys = (*self.here, "build")
        if isinstance(build, dict):
            of.judge(where, keys.UNDERSTOOD_OF_BUILD, keys.IGNORED_OF_BUILD, keys.REFUSED_OF_BUILD)
            context = of.read((*where, "context"), forms.text, ".")
            for key in ("dockerfile", "target"):
                if (value := of.read((*where, key), forms.text)) is not None:
                    of.put((*self.group, "container", key), value, (*where, key))
            args = self._valued(of.read((*where, "args"), forms.pairs, {}))
            if args:
                of.put((*self.group, "container", "args"), args, (*where, "args"))
        else:
            context = self._read("build", forms.text, ".")
        if "://" in context or context.startswith("git@"):
            of.wrong(where, "not supported: a folder of this machine is built, nothing is fetched", value=context)
            return
        folder = of.folder / context
        if not folder.is_dir():
            beside = tuple(sorted(p.name for p in of.folder.iterdir() if p.is_dir()))[:20]
            of.wrong(where, f"there is no such folder: {folder}", allowed=beside, nearest=nearest(context, beside))
            return
        self._put("build", str(folder.resolve()), where)

    def _command(self) -> None:
        given = self.of.services[self.name]
        command = self._read("command", forms.words)
        entrypoint = self._read("entrypoint", forms.words)
        if entrypoint is not None and given.get("entrypoint") is not None:
            whole = [*entrypoint, *(command or [])]
            if not whole:
                self.of.wrong((*self.here, "entrypoint"), "it takes the image's entrypoint away; name a command")
                return
            self._serve("command", [self._literal(one, "command") for one in whole], "entrypoint")
            # what the image says of user and directory holds all the same
            self._serve("user", self._read("user", forms.text, ""), "user")
            self._serve("directory", self._read("working_dir", forms.text, ""), "working_dir")
        else:
            if command is not None:
                self._serve("arguments", [self._literal(one, "command") for one in command], "command")
            for key, source in (("user", "user"), ("directory", "working_dir")):
                if (value := self._read(source, forms.text)) is not None:
                    self._serve(key, value, source)
        policy: Keys = (*self.here, "deploy", "restart_policy", "condition")
        swarm = {"none": "on-boot", "on-failure": "on-failure", "any": "always"}
        restart = self.of.read(policy, partial(_one_of, swarm)) or self._read("restart", forms.restart)
        if restart is not None:
            self._serve("restart", restart, "restart")

    def _serve(self, key: str, value: Any, source: str) -> None:
        self.of.put((*self.service, key), value, (*self.here, source))

    def _literal(self, value: str, key: str) -> str:
        try:
            return forms.literal(value)
        except ValueError as error:
            self.of.wrong((*self.here, key), f"write {error}")
            return ""

    def _valued(self, found: dict[str, str | None]) -> dict[str, str]:
        """A name without a value takes it from the environment, and is left out where that has none."""
        known = {name: self.of.variables.get(name) if value is None else value for name, value in found.items()}
        return {name: value for name, value in known.items() if value is not None}

    def _environment(self) -> None:
        found: dict[str, str | None] = {}
        listed: Any = self.of.document.lookup((*self.here, "env_file"))[1]
        entries = listed if isinstance(listed, list) else [listed] if listed is not None else []
        for at, entry in enumerate(entries):
            where: Keys = (*self.here, "env_file", at) if isinstance(listed, list) else (*self.here, "env_file")
            path, required = (entry.get("path"), entry.get("required", True)) if isinstance(entry, dict) else (entry, True)
            file = self.of.folder / str(path)
            if not file.is_file():
                if required:
                    self.of.wrong(where, f"there is no such file: {file}")
                continue
            try:
                found |= env_file(file.read_text(encoding="utf-8"), self.of.variables)
            except (BadVariable, OSError, UnicodeDecodeError) as error:
                self.of.wrong(where, f"{file}: {error}")
        found |= self._read("environment", forms.pairs, {})
        env = {name: self._literal(value, "environment") for name, value in self._valued(found).items()}
        if env:
            self._serve("env", env, "environment")

    def _health(self) -> None:
        where: Keys = (*self.here, "healthcheck")
        given: Any = self.of.document.lookup(where)[1]
        if given is None:
            return
        understood = ("test", "interval", "timeout", "retries", "start_period", "start_interval", "disable")
        self.of.judge(where, understood, {}, {})
        if not isinstance(given, dict):
            self.of.wrong(where, "a health check is a mapping (key: value)")
            return
        test = given.get("test")
        if self.of.read((*where, "disable"), forms.flag, False) or test in ("NONE", ["NONE"]):
            self._serve("health", False, "healthcheck")
            return
        if test is None:
            return
        argv = ["CMD-SHELL", test] if isinstance(test, str) else self.of.read((*where, "test"), forms.texts, [])
        if len(argv) < 2 or argv[0] not in ("CMD", "CMD-SHELL") or (argv[0] == "CMD-SHELL" and len(argv) != 2):
            self.of.wrong((*where, "test"), 'write a text, ["CMD", program, ...], ["CMD-SHELL", text] or ["NONE"]')
            return
        command = argv[1:] if argv[0] == "CMD" else ["/bin/sh", "-c", argv[1]]
        interval_s = self.of.read((*where, "interval"), forms.seconds, _CHECK_INTERVAL_S)
        timeout_s = self.of.read((*where, "timeout"), forms.seconds, _CHECK_TIMEOUT_S)
        ready = {
            "command": [self._literal(one, "healthcheck") for one in command],
            "every": f"{min(interval_s, _ASKED_EVERY_S):g}s",
            "timeout": f"{timeout_s:g}s",
            "as-service": True,
        }
        self._serve("ready", ready, "healthcheck")

    def _needs(self) -> None:
        where: Keys = (*self.here, "depends_on")
        given: Any = self.of.document.lookup(where)[1]
        needed: list[str] = []
        for at, name in enumerate(given if isinstance(given, (list, dict)) else ()):
            place: Keys = (*where, name) if isinstance(given, dict) else (*where, at)
            if name not in self.of.services:
                names = tuple(self.of.services)
                self.of.wrong(
                    place, "there is no such service", value=str(name), allowed=names, nearest=nearest(str(name), names)
                )
                continue
            how = (given[name] or {}) if isinstance(given, dict) else {}
            if isinstance(given, dict):
                self.of.judge(place, ("condition", "required", "restart"), {}, {})
            condition = how.get("condition", "service_started")
            if condition not in ("service_started", "service_healthy"):
                allowed = ("service_started", "service_healthy")
                self.of.wrong((*place, "condition"), "not supported", value=str(condition), allowed=allowed)
            elif name in self.on:
                needed.append(str(name))
            elif how.get("required", True):
                self.of.wrong(place, f"{name} is of a profile that is not on, or has no replicas", value=str(name))
        if needed:
            self._serve("needs", needed, "depends_on")

    def _container(self) -> None:
        of = self.of
        for key in ("hostname",):
            if (value := self._read(key, forms.text)) is not None:
                self._contain(key, value, key)
        for key in ("cap_add", "cap_drop"):
            if (names := self._read(key, forms.texts)) is not None:
                if key == "cap_add" and any(n.upper() in ("ALL", "CAP_ALL") for n in names):
                    of.wrong((*self.here, key), "nothing is privileged: name the capabilities that it needs", value="ALL")
                self._contain(key, [n.upper().removeprefix("CAP_") for n in names], key)
        for key in ("sysctls", "labels"):
            if (found := self._read(key, forms.pairs)) is not None:
                self._contain(key, {name: value or "" for name, value in found.items()}, key)
        for key, source, form in (
            ("memory", "mem_limit", forms.size_bytes),
            ("shm_size", "shm_size", forms.size_bytes),
            ("cpus", "cpus", forms.number),
            ("pids", "pids_limit", forms.whole),
            ("read_only", "read_only", forms.flag),
        ):
            if (value := self._read(source, form)) is not None:
                self._contain(key, f"{value}B" if form is forms.size_bytes else value, source)
        self._deploy()
        limits: Any = of.document.lookup((*self.here, "ulimits"))[1]
        if isinstance(limits, dict):
            found = {name: of.read((*self.here, "ulimits", name), forms.ulimit) for name in limits}
            self._contain("ulimits", {name: one for name, one in found.items() if one is not None}, "ulimits")

    def _deploy(self) -> None:
        where: Keys = (*self.here, "deploy")
        self.of.judge(where, keys.UNDERSTOOD_OF_DEPLOY, keys.IGNORED_OF_DEPLOY, {})
        limits: Keys = (*where, "resources", "limits")
        self.of.judge(limits, ("cpus", "memory", "pids"), {}, {"devices": "no device of this machine is handed to a lab"})
        for key, form in (("memory", forms.size_bytes), ("cpus", forms.number), ("pids", forms.whole)):
            if (value := self.of.read((*limits, key), form)) is not None:
                self.of.put((*self.group, "container", key), f"{value}B" if key == "memory" else value, (*limits, key))

    def _mounts(self) -> None:
        binds, volumes, tmpfs = [], [], {}
        listed: Any = self.of.document.lookup((*self.here, "volumes"))[1] or []
        for at in range(len(listed)):
            where: Keys = (*self.here, "volumes", at)
            found = self.of.read(where, forms.mount)
            if found is None:
                continue
            target, source, read_only = found["target"], found["source"], found["read_only"]
            if not target.startswith("/"):
                self.of.wrong(where, "where a volume is seen is an absolute path")
            elif found["type"] == "tmpfs":
                tmpfs[target] = found["options"]
            elif found["type"] == "bind":
                binds += [{"source": str(path), "target": target, "read_only": read_only} for path in self._bound(where, source)]
            elif source and source not in self.of.volumes:
                names = tuple(self.of.volumes)
                message = "no volume of this name is declared under the file's `volumes`"
                self.of.wrong(where, message, value=source, allowed=names, nearest=nearest(source, names))
            else:
                volumes.append({"name": source, "target": target, "read_only": read_only})
        for one in self._read("tmpfs", forms.texts, []):
            path, _, options = one.partition(":")
            tmpfs[path] = options
        for key, value in (("binds", binds), ("engine_volumes", volumes), ("tmpfs", tmpfs)):
            if value:
                self._contain(key, value, "volumes")

    def _bound(self, where: Keys, source: str) -> list[Path]:
        path = self.of.folder / Path(source).expanduser()
        if not path.exists():
            self.of.wrong(where, f"there is no such file or folder: {path}", value=source)
            return []
        return [path.resolve()]

    def _count(self) -> int:
        deploy = self.of.read((*self.here, "deploy", "replicas"), forms.whole)
        count: int = self._read("scale", forms.whole, 1) if deploy is None else deploy
        if not 1 <= count <= 64:
            self.of.wrong(self.here, f"{count} replicas: a lab has 1 to 64 of a kind", value=str(count))
            return 1
        return count

    def _networks(self, count: int) -> list[str]:
        where: Keys = (*self.here, "networks")
        given: Any = self.of.document.lookup(where)[1]
        if given is None:
            given = [_DEFAULT_NETWORK]
        names: list[str] = []
        aliases: list[str] = [self.name] if count != 1 else []
        for at, name in enumerate(given if isinstance(given, (list, dict)) else ()):
            place: Keys = (*where, name) if isinstance(given, dict) else (*where, at)
            if name not in self.of.networks and name != _DEFAULT_NETWORK:
                known = (*self.of.networks, _DEFAULT_NETWORK)
                message = "no network of this name is declared under the file's `networks`"
                self.of.wrong(place, message, value=str(name), allowed=known, nearest=nearest(str(name), known))
                continue
            names.append(name)
            if not isinstance(given, dict) or given[name] is None:
                continue
            refused = {
                "ipv6_address": "labs have IPv4 only",
                "link_local_ips": "not supported",
                "mac_address": "addresses of the hardware are chaoskit's own",
                "interface_name": "interfaces are eth0, eth1 ... in the order of the networks",
            }
            self.of.judge(place, ("aliases", "ipv4_address", "priority", "gw_priority", "driver_opts"), {}, refused)
            aliases += self.of.read((*place, "aliases"), forms.texts, [])
            if (address := self.of.read((*place, "ipv4_address"), forms.text)) is not None:
                self.of.put((*self.group, "addresses", name), address, (*place, "ipv4_address"))
        self._put("networks", names, where)
        if aliases:
            self._put("aliases", list(dict.fromkeys(aliases)), where)
        return names


def _one_of(known: dict[str, str], value: Any) -> str:
    if value not in known:
        raise ValueError(f"one of {', '.join(known)}")
    return known[value]
