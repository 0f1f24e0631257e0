"""The file client type: append and fsync on a volume of a node."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from chaoskit.agents.entrances import NodeOff, node_root
from chaoskit.clients import newest
from chaoskit.clients.failures import ConnectFailed, describe, most_telling, outcome_of
from chaoskit.clients.hosts import Host, HostOrder, hosts_of
from chaoskit.clients.options import validated
from chaoskit.clients.overseen import Overseer, Use
from chaoskit.clients.threads import DaemonThreads
from chaoskit.model.errors import LabUnavailable
from chaoskit.model.history import Outcome
from chaoskit.model.record import Record
from chaoskit.ports.client import Answer, ClientConfig, Tokens

_ENDS = " ."
"""A token that was cut off in the middle is told from a whole one by what must follow it."""
_NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EBADF, errno.EFBIG)
_READ_BYTES = 4096
_TAIL_BYTES = 65536
"""Holds the writes that may overtake each other at a ledger's end."""


class FileOptions(Record):
    """Keys of a `file` client in the experiment."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    folder: str = Field(pattern="^/")
    """The folder on the volume, as the node sees it. No symbolic link with an absolute target may lead there."""
    file: str = Field(default="chaoskit", pattern="^[^/]+$")
    """The file in it that `read` reads."""
    ledger: str = ""
    """`newest`: the client whose ledger is read."""
    threads: Annotated[int, Field(ge=1, le=500)] = 32
    """How many attempts may hang in the kernel at once; the next ones wait, and where W comes first they were not begun."""


class FileEndpointOptions(Record):
    """Keys of an endpoint of kind `file` in the lab: none."""


class FileClient:
    """A file on a volume, as the processes of its node see it.

    `fresh`: open, append, fsync, close, on the first host that lets it be opened; the one that served last comes first.
    `pooled`: each thread keeps it open until an error. `direct`: fresh, on one node.
    An attempt that hangs in the kernel is a time-out at W; its thread stays until the kernel lets it go. The client is no process
    of the node: it feels what happens to the volume, not what happens to the node's processes or network.
    """

    TYPE: ClassVar[str] = "file"
    OPERATIONS: ClassVar[dict[str, str]] = {
        "append": "append a unique token to a file and fsync it",
        "newest": newest.ABOUT,
        "read": "open a file and read its first 4 KiB",
    }
    CLASSES: ClassVar[tuple[str, ...]] = ("fresh", "pooled", "direct")
    LEDGER: ClassVar[frozenset[str]] = frozenset({"append"})
    Options: ClassVar[type[Record]] = FileOptions
    EndpointOptions: ClassVar[type[Record]] = FileEndpointOptions

    def __init__(self, config: ClientConfig) -> None:
        """InputError for wrong keys."""
        options = validated(FileOptions, config.options, f"clients.{config.client}")
        validated(FileEndpointOptions, config.endpoint, f"endpoints.{config.target}")
        self._config = config
        self._inside = Path(config.inside) if config.inside else None
        self._order = HostOrder(hosts_of(config, 0))
        self._folder = options.folder.lstrip("/")
        self._ledger = f"chaoskit-ledger-{config.client}"
        read = f"chaoskit-ledger-{options.ledger}" if config.operation == "newest" else options.file
        self._name = self._ledger if config.operation == "append" else read
        self._read_prefix = newest.ledger_prefix(config, options.ledger)
        self._overseer = Overseer()
        self._threads = DaemonThreads(options.threads, "file")
        self._keep = config.client_class == "pooled"
        self._of_thread = threading.local()
        self._acknowledged = False

    async def open(self) -> None:
        """LabUnavailable where this lab gives no way into its nodes."""
        if self._inside is None:
            raise LabUnavailable("the file client needs a lab whose nodes can be entered; this one gives no way in")

    async def attempt(self, token: str) -> Answer:
        """One append, or one read."""
        use = Use()
        return await self._overseer.attempt(self._threads.run(lambda: self._attempt(token, use)), use)

    async def read_back(self) -> Tokens:
        """The ledger as the first host has it that can be asked."""
        found = Tokens(ok=False, node="", detail="no host")
        for host in self._order:
            found = await self._threads.run(lambda host=host: self._read_ledger(host.node))  # type: ignore[misc]
            if found.ok:
                break
        return found

    async def dump(self, node: str, address: str) -> Tokens:
        """The ledger as that node sees it."""
        return await self._threads.run(lambda: self._read_ledger(node))

    async def close(self) -> None:
        """Threads that hang are left to the kernel."""
        await self._overseer.close()
        self._threads.close()

    # -- in a thread -----------------------------------------------------------------------------------------------------

    def _attempt(self, token: str, use: Use) -> Answer:
        failures: list[tuple[str, ConnectFailed]] = []
        for host in self._order:
            use.node = host.node
            try:
                handle = self._opened(host)
            except NodeOff:
                failures.append((host.node, ConnectFailed("unreachable", "the node is off")))
                continue
            except OSError as error:
                failures.append((host.node, ConnectFailed(_outcome(error), describe(error))))
                continue
            answer = self._used(handle, host, token, use)
            if answer.outcome == "ok":
                self._order.served(host)
            return answer
        telling = most_telling(failures)
        return use.broken(telling.outcome, telling.text)

    def _used(self, handle: int, host: Host, token: str, use: Use) -> Answer:
        use.t_connected = time.monotonic_ns()
        whole = False
        try:
            use.begin()
            if self._config.operation == "read":
                value = os.pread(handle, _READ_BYTES, 0).decode(errors="replace")[:200]
                answer = use.answer("ok", "ok", value=value)
            elif self._config.operation == "newest":
                answer = use.answer("ok", "ok", value=self._newest(handle))
            else:
                answer = self._appended(handle, token, use)
            whole = answer.outcome == "ok"
            return answer
        except OSError as error:
            return use.answer(_outcome(error), "info", describe(error))
        finally:
            if not (self._keep and whole):
                self._kept().pop(host.node, None)
                os.close(handle)

    def _appended(self, handle: int, token: str, use: Use) -> Answer:
        # A line break before it, so that the rest of a torn line ends there.
        record = f"\n{token}{_ENDS}\n".encode()
        try:
            written = os.write(handle, record)
        except OSError as error:
            if error.errno not in _NOT_WRITTEN:
                raise
            return use.answer(_outcome(error), "fail", describe(error))
        if written < len(record):
            return use.answer("app_error", "info", f"{written} of {len(record)} bytes were written")
        os.fsync(handle)
        self._acknowledged = True
        return use.answer("ok", "ok")

    def _newest(self, handle: int) -> str:
        tail = os.pread(handle, _TAIL_BYTES, max(0, os.fstat(handle).st_size - _TAIL_BYTES)).decode(errors="replace")
        lines = (line for line in tail.split("\n") if line.endswith(_ENDS))
        return newest.newest_number((line.removesuffix(_ENDS) for line in lines), self._read_prefix)

    def _kept(self) -> dict[str, int]:
        """This thread's open files: shared ones could be closed by one thread, and their numbers reused, while another writes."""
        kept: dict[str, int] = self._of_thread.__dict__.setdefault("kept", {})
        return kept

    def _opened(self, host: Host) -> int:
        if host.node in self._kept():
            return self._kept()[host.node]
        path = self._path(host.node)
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if self._config.operation != "append" else self._appendable(path)
        if self._keep:
            self._kept()[host.node] = handle
        return handle

    def _appendable(self, path: Path) -> int:
        try:
            return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)  # without it a crash may take the file whose content was flushed
        finally:
            os.close(folder)
        return handle

    def _path(self, node: str) -> Path:
        if self._inside is None:
            raise NodeOff(node)
        return node_root(self._inside, node) / self._folder / self._name

    def _read_ledger(self, node: str) -> Tokens:
        prefix = f"{self._config.run_id}.{self._config.client}.{self._config.trial}."
        copies: Counter[str] = Counter()
        try:
            with (self._path(node).parent / self._ledger).open(encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    token = line.rstrip("\n")
                    if token.startswith(prefix) and token.endswith(_ENDS):
                        copies[token.removesuffix(_ENDS)] += 1
        except NodeOff:
            return Tokens(ok=False, node=node, detail="the node is off")
        except FileNotFoundError as error:
            # Gone, or its volume is not mounted: which of them cannot be told from here.
            if self._acknowledged:
                return Tokens(ok=False, node=node, detail=describe(error))
        except OSError as error:
            return Tokens(ok=False, node=node, detail=describe(error))
        return Tokens(ok=True, node=node, copies=dict(copies))


def _outcome(error: OSError) -> Outcome:
    if error.errno == errno.EROFS:
        return "wrong_role"  # as a server that became read-only
    if error.errno == errno.ESTALE:
        return "reset"
    return outcome_of(error)
