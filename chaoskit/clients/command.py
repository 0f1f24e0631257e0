"""The command client type: a program for each attempt, whose exit code decides."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from chaoskit.agents.entrances import NodeOff, init_process
from chaoskit.clients import newest
from chaoskit.clients.failures import describe
from chaoskit.clients.hosts import Host, hosts_of
from chaoskit.clients.options import validated
from chaoskit.clients.overseen import Overseer, Use
from chaoskit.linux import procfs
from chaoskit.model.errors import InputError, LabUnavailable, Problem
from chaoskit.model.record import Record
from chaoskit.ports.client import Answer, ClientConfig, Intended, Tokens

_READ_WITHIN_S = 10.0
_SAID = 200
_JOIN = 'echo 0 > "$0" && exec "$@"'
"""A shell of its own joins the node's group: the group may be frozen, and whoever joins it stands still at once."""
_UNREADABLE = "append needs read_back and dump: commands that print the tokens there are"


class CommandOptions(Record):
    """Keys of a `command` client in the experiment."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    command: tuple[str, ...] = Field(min_length=1)
    """Program and arguments. `{token}`, `{node}`, `{address}` and `{port}` in them are replaced; nothing else is, and no shell
    is started."""
    runs: Literal["beside", "inside"] = "beside"
    """`beside` the client: this machine's programs and files, in the client's own network, from the experiment's folder; the host
    is the endpoint's first. `inside` the host, with its files, processes and network: the endpoint's first that is on."""
    ok_codes: tuple[int, ...] = (0,)
    """Exit codes that mean yes."""
    fail_codes: tuple[int, ...] = ()
    """Exit codes that mean: surely not done. Every other one leaves it unknown for `append`."""
    read_back: tuple[str, ...] = ()
    """`append`: a command that prints every token there is, a line each, as a strong read tells."""
    dump: tuple[str, ...] = ()
    """`append`: the same for the node's own content."""
    ledger: str = ""
    """`newest`: the client whose ledger is read."""
    at_once: Annotated[int, Field(ge=1, le=200)] = 20
    """Programs that run at the same time; an attempt that finds no room waits, and where W comes first it was not begun."""


class CommandEndpointOptions(Record):
    """Keys of an endpoint of kind `command` in the lab: none."""


class CommandClient:
    """A program for each attempt: its exit code decides, the last line it prints is kept. At W it is killed with all it started.

    The cost of a program's start is part of every latency, and starting one holds the others up: for tens a second, no more.
    """

    TYPE: ClassVar[str] = "command"
    OPERATIONS: ClassVar[dict[str, str]] = {
        "run": "run the command",
        "newest": newest.ABOUT + ": the command's last line is its last token, or that one's number",
        "append": "the same for a command that appends {token}; read back by `read_back`, and by `dump` on each node",
    }
    CLASSES: ClassVar[tuple[str, ...]] = ("fresh", "direct")
    LEDGER: ClassVar[frozenset[str]] = frozenset({"append"})
    Options: ClassVar[type[Record]] = CommandOptions
    EndpointOptions: ClassVar[type[Record]] = CommandEndpointOptions

    def __init__(self, config: ClientConfig) -> None:
        """InputError for wrong keys."""
        self._options = validated(CommandOptions, config.options, f"clients.{config.client}")
        validated(CommandEndpointOptions, config.endpoint, f"endpoints.{config.target}")
        if config.operation == "append" and not (self._options.read_back and self._options.dump):
            raise InputError([Problem(path=f"clients.{config.client}", message=_UNREADABLE)])
        self._config = config
        self._inside = Path(config.inside) if config.inside else None
        self._hosts = hosts_of(config, 0)
        self._room = asyncio.Semaphore(self._options.at_once)
        self._overseer = Overseer()

    @classmethod
    def objections(cls, intended: Intended) -> Iterator[str]:
        """A ledger that nobody can read proves nothing."""
        if intended.operation in cls.LEDGER and not (intended.options.get("read_back") and intended.options.get("dump")):
            yield _UNREADABLE

    async def open(self) -> None:
        """LabUnavailable where the command is to run inside nodes, and they cannot be entered."""
        if self._options.runs == "inside" and (self._inside is None or shutil.which("nsenter") is None):
            why = "this lab gives no way in" if self._inside is None else "nsenter (util-linux) is not installed"
            raise LabUnavailable("the command cannot run inside nodes", why)

    async def attempt(self, token: str) -> Answer:
        """One run of the command."""
        use = Use()
        return await self._overseer.attempt(self._attempt(token, use), use)

    async def read_back(self) -> Tokens:
        """What the command `read_back` prints."""
        found = Tokens(ok=False, node="", detail="no host")
        for host in self._hosts if self._options.runs == "inside" else self._hosts[:1]:
            found = await self._tokens(self._options.read_back, host)
            if found.ok:
                break
        return found

    async def dump(self, node: str, address: str) -> Tokens:
        """What the command `dump` prints for that node."""
        return await self._tokens(self._options.dump, Host(node, address, self._hosts[0].port))

    async def close(self) -> None:
        """Kill what still runs."""
        await self._overseer.close()

    async def _attempt(self, token: str, use: Use) -> Answer:
        async with self._room:
            argv: list[str] = []
            off: list[str] = []
            for host in self._hosts if self._options.runs == "inside" else self._hosts[:1]:
                try:
                    argv = self._argv(self._options.command, host, token)
                    use.node = host.node
                    break
                except (NodeOff, OSError):
                    off.append(host.node)
            if not argv:
                return use.broken("unreachable", f"off: {', '.join(off)}")
            try:
                use.begin()
                code, said = await _ended(argv, self._directory())
            except OSError as error:
                return use.answer("app_error", "fail", f"it could not be run: {describe(error)}")
        last = said.strip().rpartition("\n")[2][:_SAID]
        if code in self._options.ok_codes:
            if self._config.operation == "newest":
                last = newest.number_said(last, newest.ledger_prefix(self._config, self._options.ledger))
            return use.answer("ok", "ok", value=last)
        sure = code in self._options.fail_codes
        return use.answer("app_error", "fail" if sure else "info", f"exit code {code}: {last}")

    async def _tokens(self, command: Sequence[str], host: Host) -> Tokens:
        prefix = f"{self._config.run_id}.{self._config.client}.{self._config.trial}."
        try:
            async with asyncio.timeout(_READ_WITHIN_S):
                code, said = await _ended(self._argv(command, host, ""), self._directory())
        except NodeOff:
            return Tokens(ok=False, node=host.node, detail="the node is off")
        except (OSError, TimeoutError) as error:
            return Tokens(ok=False, node=host.node, detail=describe(error))
        if code not in self._options.ok_codes:
            return Tokens(ok=False, node=host.node, detail=f"exit code {code}: {said[-_SAID:]}")
        lines = (line.strip() for line in said.splitlines())
        return Tokens(ok=True, node=host.node, copies=dict(Counter(line for line in lines if line.startswith(prefix))))

    def _argv(self, command: Sequence[str], host: Host, token: str) -> list[str]:
        """NodeOff, OSError."""
        words = {"{token}": token, "{node}": host.node, "{address}": host.address, "{port}": str(host.port or "")}
        argv = []
        for word in command:
            for name, value in words.items():
                word = word.replace(name, value)
            argv.append(word)
        if self._options.runs == "beside" or self._inside is None:
            return argv
        process = init_process(self._inside, host.node)
        enter = ["nsenter", "-t", str(process), "-m", "-n", "-p", "-u", "-i", "-r", "-w", "--", *argv]
        group = _group_of(process)
        return ["sh", "-c", _JOIN, str(group), *enter] if group is not None else enter

    def _directory(self) -> str | None:
        return self._config.directory or None


def _group_of(process: int) -> Path | None:
    """The file to join a node's control group by, so that what happens to the node's processes happens to the command.

    None where nodes have no group of their own, or it may not be written.
    """
    theirs = procfs.unified_cgroup(Path(f"/proc/{process}/cgroup").read_text())
    if theirs in (None, "/", procfs.unified_cgroup(Path("/proc/self/cgroup").read_text())):
        return None
    for mounted in procfs.mounts(Path("/proc/self/mountinfo").read_text()):
        file = Path(mounted.point) / str(theirs).lstrip("/") / "cgroup.procs"
        if mounted.kind == "cgroup2" and os.access(file, os.W_OK):
            return file
    return None


async def _ended(argv: Sequence[str], directory: str | None) -> tuple[int, str]:
    """Exit code and output of a program, killed with its group when this is cancelled. OSError where it cannot be started."""
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        cwd=directory, start_new_session=True,
    )  # fmt: skip
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode or 0, said.decode(errors="replace")
