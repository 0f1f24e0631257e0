"""The services of a lab's nodes: starting them in the order of their needs, watching them, starting them again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaoskit.backends.linux_host import asking, census
from chaoskit.backends.linux_host.department import Department, Handler
from chaoskit.backends.linux_host.node import Command, Node, start_in_node
from chaoskit.backends.linux_host.processes import Json, Nursery, PipeText
from chaoskit.backends.linux_host.wire import LabJson, Refused, ServiceJson

_OUTPUT_LIMIT_BYTES = 256 * 1024
_LAST_LINES = 30
_RESTART_AFTER_S = (0.2, 0.4, 0.8, 1.6, 3.2, 5.0)
_STEADY_S = 10.0
_KILL_DEADLINE_S = 5.0


@dataclass
class Service:
    """One service on one node."""

    node: Node
    plan: ServiceJson
    log: Path
    pid: int = 0
    exit_code: int | None = None
    started: bool = False
    started_at: float = 0.0
    restarts: int = 0
    generation: int = 0
    """Counts the node's boots, so that a restart planned before a power cycle does not happen after it."""
    held: bool = False
    """Stopped on purpose: nobody starts it again by himself until the node boots."""
    disabled: bool = False
    """Nobody starts it again by himself, neither at boot nor after its exit."""
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def stays_down(self) -> bool:
        """Whether nobody starts it by himself."""
        return self.held or self.disabled

    @property
    def name(self) -> str:
        return self.plan["name"]

    @property
    def state(self) -> str:
        if self.pid:
            return "running"
        return "exited" if self.started else "never_started"

    def last_lines(self) -> str:
        """The end of its log."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - 8192))
                lines = file.read().decode("utf-8", "replace").splitlines()[-_LAST_LINES:]
        except OSError as error:
            return f"({self.log}: {error.strerror})"
        return "\n".join(lines) or "(its log is empty)"


class Supervisor(Department):
    """Starts and watches every service of a lab."""

    def __init__(self, lab: LabJson, nursery: Nursery, say: Callable[..., None]) -> None:
        self._lab, self._nursery, self._say = lab, nursery, say
        self.services: dict[tuple[str, str], Service] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, node: Node) -> None:
        directory = Path(self._lab["logs"], node.name)
        directory.mkdir(parents=True, exist_ok=True)
        for plan in node.plan["services"]:
            self.services[node.name, plan["name"]] = Service(node, plan, directory / f"{plan['name']}.log")

    def of(self, node: str) -> list[Service]:
        return [service for (owner, _), service in self.services.items() if owner == node]

    def mains(self, node: str) -> dict[int, str]:
        """Main process (the holder's number) -> service."""
        return {service.pid: service.name for service in self.of(node) if service.pid}

    def find(self, node: str, name: str) -> Service:
        service = self.services.get((node, name))
        if service is None:
            raise Refused(f"{node} has no service {name!r}; it has {', '.join(s.name for s in self.of(node)) or 'none'}")
        return service

    def start(self, service: Service) -> None:
        """Start a service that does not run. Refused where its node is off."""
        service.held = False
        if service.pid:
            return
        node, plan = service.node, service.plan
        groups = node.limiting()
        if node.cgroup is not None:
            groups = [node.cgroup / service.name, *groups]
            with contextlib.suppress(FileExistsError):
                groups[0].mkdir()
        log = os.open(service.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            env = {
                **plan["env"],
                "CHAOSKIT_NODE": node.name,
                "CHAOSKIT_SERVICE": service.name,
                "CHAOSKIT_LAB": self._lab["lab_id"],
            }
            command = Command(plan["argv"], plan["user"], env, plan["directory"], self._lab["path"])
            service.pid = start_in_node(node, command, log, groups=groups)
        finally:
            os.close(log)
        service.started, service.exit_code, service.started_at = True, None, time.monotonic()
        self._nursery.forget(service.pid)
        self._say("service.started", node=node.name, service=service.name, pid=service.pid)
        self._spawn(self._watch(service, self._nursery.expect(service.pid)))

    async def _watch(self, service: Service, ended: asyncio.Future[int]) -> None:
        code = await ended
        service.pid, service.exit_code = 0, code
        if service.node.state == "off" or service.node.busy:
            return
        self._say("service.exited", node=service.node.name, service=service.name, code=code)
        again = service.plan["restart"] == "always" or (service.plan["restart"] == "on-failure" and code != 0)
        if again and not service.stays_down:
            await self._start_again(service)

    async def _start_again(self, service: Service) -> None:
        if time.monotonic() - service.started_at > _STEADY_S:
            service.restarts = 0
        delay = _RESTART_AFTER_S[min(service.restarts, len(_RESTART_AFTER_S) - 1)]
        service.restarts += 1
        generation = service.generation
        await asyncio.sleep(delay)
        while service.node.state == "frozen" or service.node.mending:
            await asyncio.sleep(0.1)
        if service.generation == generation and service.node.state == "up" and not (service.pid or service.stays_down):
            self.start(service)

    async def stop(self, service: Service, grace_s: float) -> str:
        """End a service and keep it down; how it ended, in words. Refused where it outlives SIGKILL."""
        node = service.node
        if node.state == "off":
            raise Refused(f"{node.name} is off: there is no {service.name} to stop")
        service.held = True
        main, how = service.pid, "TERM"
        if main:
            os.kill(main, signal.SIGTERM)
            if not await _passed(lambda: not service.pid, grace_s):
                how = f"KILL after {grace_s:g} s"
        killed: set[int] = set()

        def ended() -> bool:
            killed.update(left := census.of_service(node, service.name, main))
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not left and not service.pid

        if not await _passed(ended, _KILL_DEADLINE_S):
            left = census.of_service(node, service.name, main)
            raise Refused(f"{node.name}: {len(left)} processes of {service.name} outlive SIGKILL", str(list(left.values())))
        if not main and not killed:
            return "it did not run"
        return how + (f"; {len(killed)} more were killed" if killed and how == "TERM" else "")

    def questions(self) -> dict[str, Handler]:
        """What it can be asked, by name."""
        return {"service_enabled": self._ask_enabled}

    def acts(self) -> dict[str, Handler]:
        """What it can be told, by name."""
        return {"start_service": self._act_start, "stop_service": self._act_stop, "set_service": self._act_set}

    async def _act_start(self, act: Json) -> Json:
        service = self.find(act["node"], act["service"])
        # one that has just died is about to be noticed: it does not run
        await _passed(lambda: not (service.pid and census.is_dead(service.pid)), _KILL_DEADLINE_S)
        self.start(service)
        return {"output": f"pid {census.inner_number(service.pid)}"}

    async def _act_stop(self, act: Json) -> Json:
        return {"output": await self.stop(self.find(act["node"], act["service"]), act["grace_s"])}

    async def _act_set(self, act: Json) -> Json:
        service = self.find(act["node"], act["service"])
        output = "it was so already" if service.disabled != act["enabled"] else ""
        service.disabled = not act["enabled"]
        return {"output": output}

    async def _ask_enabled(self, query: Json) -> Json:
        service = self.find(query["node"], query["service"])
        if service.plan["restart"] == "never":
            return {"value": "never"}
        return {"value": "disabled" if service.disabled else "enabled"}

    def node_ended(self, node: Node) -> None:
        """The node went off: nothing of it is ready, and no planned restart counts any more."""
        for service in self.of(node.name):
            service.generation += 1
            service.held = False
            service.ready.clear()

    def boot(self, node: str) -> None:
        """Start what a booting node starts; where one needs another of the same node, once that is ready."""
        for service in self.of(node):
            if service.plan["restart"] != "never" and not service.disabled:
                self._spawn(self._boot_one(service, service.generation))

    async def _boot_one(self, service: Service, generation: int) -> None:
        local = {s.name: s for s in self.of(service.node.name)}
        for name in service.plan["needs"]:
            if name in local:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(local[name].ready.wait(), self._lab["within_s"])
        if service.generation != generation or service.node.state == "off" or service.stays_down:
            return
        self.start(service)
        with contextlib.suppress(Refused):
            await self.until_ready(service, self._lab["within_s"], strict=False)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._say("problem", message=f"a service's supervision ended: {error}")

    async def bring_up(self, progress: Callable[[str], None]) -> None:
        """Start every service once those it needs, lab-wide, are ready. Refused with evidence for the first that fails."""
        tasks = [asyncio.create_task(self._bring_up_one(service, progress)) for service in self.services.values()]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _bring_up_one(self, service: Service, progress: Callable[[str], None]) -> None:
        for (_, name), other in self.services.items():
            if name in service.plan["needs"] and other is not service:
                await other.ready.wait()
        self.start(service)
        await self.until_ready(service, self._lab["within_s"], strict=True)
        progress(f"{service.node.name}: {service.name} is ready")

    async def until_ready(self, service: Service, within_s: float, *, strict: bool) -> None:
        """Wait for its `ready` check. Refused when it ends meanwhile (`strict`), or is not ready in time."""
        where = f"{service.node.name}: service {service.name}"
        check = service.plan["ready"]
        deadline = time.monotonic() + within_s
        if check is None:
            await asyncio.sleep(0.05)  # one that dies at once is noticed
        seen = "" if check is None else "it was never asked"
        generation = service.generation
        while check is not None or strict:
            if (
                not service.pid
                and service.plan["restart"] not in ("always", "on-failure")
                and (strict or service.generation != generation)
            ):
                message = f"{where} ended with exit code {service.exit_code} while starting"
                raise Refused(message, f"last lines of {service.log}:\n{service.last_lines()}")
            if check is None or not (seen := await self.asked(service.node, check, service.plan)):
                break
            if time.monotonic() > deadline or service.generation != generation:
                raise Refused(f"{where} was not ready within {within_s:g} s; last seen: {seen}", service.last_lines())
            await asyncio.sleep(check["every_s"])
        service.ready.set()

    async def asked(self, node: Node, check: dict[str, Any], of: ServiceJson | None = None) -> str:
        """ "" when the check says yes, else what it saw. `of`: the service whose `ready` check it is."""
        if node.state == "off":
            return "the node is off"
        if "http" in check:
            return await asking.http_answers(node.init, check["http"], self._lab["addresses"], check["timeout_s"])
        if "tcp" in check:
            own = self._lab["addresses"].get(node.name, "127.0.0.1")
            return await asking.tcp_answers(node.init, own, check["tcp"], check["timeout_s"])
        user, env, directory = check["user"], {}, "/"
        if of is not None and check.get("as_service"):
            user, env, directory = of["user"], of["env"], of["directory"]
        code, output, _ = await self.execute(node, check["command"], user, env, check["timeout_s"], directory)
        return "" if code == 0 else f"{check['command'][0]}: exit code {code}: {output[-200:].strip()}"

    async def execute(
        self, node: Node, argv: list[str], user: str, env: dict[str, str], timeout_s: float, directory: str = "/"
    ) -> tuple[int | None, str, int]:
        """(exit code or None where the time was over, both outputs, process number) of a command run in a node."""
        output = PipeText(_OUTPUT_LIMIT_BYTES)
        try:
            variables = {**env, "CHAOSKIT_NODE": node.name, "CHAOSKIT_LAB": self._lab["lab_id"]}
            pid = start_in_node(node, Command(argv, user, variables, directory, self._lab["path"]), output.writer)
        except BaseException:
            os.close(output.writer)
            os.close(output.reader)
            raise
        self._nursery.forget(pid)
        ended = self._nursery.expect(pid)
        output.listen()
        try:
            code = await asyncio.wait_for(asyncio.shield(ended), timeout_s)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, 9)
            await asyncio.wait_for(ended, 5.0)
            return None, await output.finish(0.2), pid
        return code, await output.finish(0.5), pid


async def _passed(test: Callable[[], bool], within_s: float) -> bool:
    """Whether the test comes true in time."""
    deadline = time.monotonic() + within_s
    while not test():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.005)
    return True
