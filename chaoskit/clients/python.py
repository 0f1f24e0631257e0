"""The Python client type: a function beside the experiment, called for each attempt."""

from __future__ import annotations

import importlib
import inspect
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field

from chaoskit.clients import newest
from chaoskit.clients.failures import describe, outcome_of
from chaoskit.clients.hosts import Host, hosts_of
from chaoskit.clients.options import validated
from chaoskit.clients.overseen import Overseer, Use
from chaoskit.clients.threads import DaemonThreads
from chaoskit.model.errors import InputError, Problem
from chaoskit.model.record import Record
from chaoskit.ports.client import Answer, ClientConfig, Intended, Tokens

_NAME = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
_UNREADABLE = "append needs read_back and dump: functions that return the tokens there are"


@dataclass(frozen=True, slots=True)
class Call:
    """What the function is given."""

    token: str
    """Unique; what `append` must append. Empty when a ledger is read."""
    node: str
    address: str
    port: int | None
    hosts: tuple[tuple[str, str], ...]
    """(node, address) of all hosts of the endpoint."""
    deadline_s: float
    options: Mapping[str, Any] = field(default_factory=dict)
    """The experiment's `with`."""


class PythonOptions(Record):
    """Keys of a `python` client in the experiment."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    call: str = Field(pattern=_NAME)
    """`module:function`; the module lies beside the experiment's file, or is installed. The function may be asynchronous."""
    read_back: str = Field(default="", pattern=f"{_NAME}|^$")
    """`append`: a function that returns every token there is, as a strong read tells."""
    dump: str = Field(default="", pattern=f"{_NAME}|^$")
    """`append`: the same for the content of the node it is given."""
    parameters: dict[str, Any] = Field(default={}, alias="with")
    """Handed to the functions as they are."""
    ledger: str = ""
    """`newest`: the client whose ledger is read."""
    at_once: Annotated[int, Field(ge=1, le=500)] = 32
    """Threads for a function that is not asynchronous."""


class PythonEndpointOptions(Record):
    """Keys of an endpoint of kind `python` in the lab: none."""


class PythonClient:
    """A function of yours, called once for each attempt with a `Call` (token, node, address, port, hosts, deadline_s, options).

    It returns True or nothing for yes, False for "surely not done", any other value for yes with that value, or a whole `Answer`.
    What it raises is an outcome: ConnectionRefusedError and an unknown name are sure, everything else may have taken effect.
    An asynchronous function is cancelled at W. Any other runs in a thread, which at W is left alone until it returns.
    """

    TYPE: ClassVar[str] = "python"
    OPERATIONS: ClassVar[dict[str, str]] = {
        "call": "call the function",
        "newest": newest.ABOUT + ": its last token, or that one's number; None where it is empty",
        "append": "the same for a function that appends the token; read back by `read_back`, and by `dump` on each node",
    }
    CLASSES: ClassVar[tuple[str, ...]] = ("fresh", "pooled", "direct")
    LEDGER: ClassVar[frozenset[str]] = frozenset({"append"})
    Options: ClassVar[type[Record]] = PythonOptions
    EndpointOptions: ClassVar[type[Record]] = PythonEndpointOptions

    def __init__(self, config: ClientConfig) -> None:
        """InputError for wrong keys, and where a function is not there."""
        self._options = validated(PythonOptions, config.options, f"clients.{config.client}")
        validated(PythonEndpointOptions, config.endpoint, f"endpoints.{config.target}")
        options = self._options
        if config.operation == "append" and not (options.read_back and options.dump):
            raise InputError([Problem(path=f"clients.{config.client}", message=_UNREADABLE)])
        if config.directory and config.directory not in sys.path:
            sys.path.insert(0, config.directory)
        self._config = config
        self._read_prefix = newest.ledger_prefix(config, options.ledger)
        self._hosts = hosts_of(config, 0)
        self._call = _function(options.call, f"clients.{config.client}.call")
        self._read_back = _function(options.read_back, f"clients.{config.client}.read_back") if options.read_back else None
        self._dump = _function(options.dump, f"clients.{config.client}.dump") if options.dump else None
        self._threads = DaemonThreads(options.at_once, "python")
        self._overseer = Overseer()

    @classmethod
    def objections(cls, intended: Intended) -> Iterator[str]:
        """A ledger that nobody can read proves nothing."""
        if intended.operation in cls.LEDGER and not (intended.options.get("read_back") and intended.options.get("dump")):
            yield _UNREADABLE

    async def open(self) -> None:
        """Nothing to prepare: that is the module's affair."""

    async def attempt(self, token: str) -> Answer:
        """One call."""
        use = Use()
        return await self._overseer.attempt(self._attempt(token, use), use)

    async def read_back(self) -> Tokens:
        """What the function `read_back` returns."""
        return await self._tokens(self._read_back, self._hosts[0])

    async def dump(self, node: str, address: str) -> Tokens:
        """What the function `dump` returns for that node."""
        return await self._tokens(self._dump, Host(node, address, self._hosts[0].port))

    async def close(self) -> None:
        """Threads that hang are left alone."""
        await self._overseer.close()
        self._threads.close()

    async def _attempt(self, token: str, use: Use) -> Answer:
        host = self._hosts[0]
        use.node = host.node
        try:
            found = await self._called(self._call, self._given(host, token), use)
        except (ConnectionRefusedError, socket.gaierror) as error:
            return use.answer(outcome_of(error), "fail", describe(error))
        except Exception as error:  # noqa: BLE001 - whatever a user's function raises is what it has to say
            return use.answer(outcome_of(error), "info", describe(error))
        if isinstance(found, Answer):
            return found
        if found is False:
            return use.answer("app_error", "fail", "it returned False")
        if self._config.operation == "newest":
            return use.answer("ok", "ok", value=newest.number_said(found, self._read_prefix))
        return use.answer("ok", "ok", value="" if found in (None, True) else str(found)[:200])

    async def _tokens(self, function: Callable[[Call], Any] | None, host: Host) -> Tokens:
        if function is None:
            return Tokens(ok=False, node=host.node, detail="there is no function that reads the ledger")
        try:
            found = await self._called(function, self._given(host, ""), Use())
        except Exception as error:  # noqa: BLE001 - as above: it could not be read
            return Tokens(ok=False, node=host.node, detail=describe(error))
        if isinstance(found, Tokens):
            return found
        if isinstance(found, str) or not isinstance(found, Iterable):
            return Tokens(ok=False, node=host.node, detail=f"it returned {type(found).__name__}, not tokens")
        prefix = f"{self._config.run_id}.{self._config.client}.{self._config.trial}."
        counted = Counter(found)  # of a mapping: its counts
        return Tokens(ok=True, node=host.node, copies={str(t): int(n) for t, n in counted.items() if str(t).startswith(prefix)})

    async def _called(self, function: Callable[[Call], Any], call: Call, use: Use) -> Any:
        if inspect.iscoroutinefunction(function):
            use.begin()
            return await function(call)

        def in_thread() -> Any:
            use.begin()
            return function(call)

        return await self._threads.run(in_thread)

    def _given(self, host: Host, token: str) -> Call:
        config = self._config
        return Call(token, host.node, host.address, config.port, config.hosts, config.deadline_ns / 1e9, self._options.parameters)


def _function(name: str, path: str) -> Callable[[Call], Any]:
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:  # a user's module may fail in any way while it is imported
        raise InputError([Problem(path=path, message=f"it cannot be had: {describe(error)}", value=name)]) from error
    if not callable(found):
        raise InputError([Problem(path=path, message="it is no function", value=name)])
    checked: Callable[[Call], Any] = found
    return checked
