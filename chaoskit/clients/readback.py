"""Reading a ledger back: the strong final read until it is stable, then each node's own content."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from chaoskit.agents.spool import Spool
from chaoskit.clients.bounded import result_or_error
from chaoskit.clients.failures import describe
from chaoskit.ports.client import ClientConfig, ClientType, Tokens

STABLE_FOR_AT_MOST_S = 10.0
"""Two reads S apart must agree, but a client that sends once a minute is not waited for that long."""
FINAL_WITHIN_S = 30.0
REJOINED_WITHIN_S = 20.0
DUMP_WITHIN_S = 10.0
_ONE_READ_S = 10.0
_RETRY_AFTER_S = 0.5
_ASK_RETURNED_EVERY_S = 0.1
_ASK_RETURNED_FOR_S = 1.0

Read = Callable[[], Coroutine[Any, Any, Tokens]]


async def read_back(config: ClientConfig, client: ClientType, spool: Spool) -> list[str]:
    """Write the final read and every node's dump to the spool; returns what could not be read, for people.

    Takes at most FINAL_WITHIN_S + DUMP_WITHIN_S and two reads more.
    """
    stable_for_s = min(config.window_ns / 1e9, STABLE_FOR_AT_MOST_S)
    final = await final_tokens(client.read_back, stable_for_s=stable_for_s)
    _record(config, spool, "final", final)
    dumps = await asyncio.gather(*(_dump(client, node, address, final) for node, address in config.behind or config.hosts))
    for dump in dumps:
        _record(config, spool, "dump", dump)
    found = [("final read", final), *((f"dump of {dump.node}", dump) for dump in dumps)]
    return [f"{what}: {tokens.detail}" for what, tokens in found if not tokens.ok]


async def final_tokens(
    read: Read, *, stable_for_s: float, within_s: float = FINAL_WITHIN_S, one_read_s: float = _ONE_READ_S
) -> Tokens:
    """The first of two identical strong reads at least `stable_for_s` apart; not ok where none came `within_s`."""
    began = time.monotonic()
    last: Tokens | None = None
    last_at = began
    problem = "no read succeeded"
    while time.monotonic() - began < within_s:
        tokens = await _bounded(read, one_read_s, "")
        now = time.monotonic()
        if not tokens.ok:
            last, problem = None, tokens.detail
        elif last is None or last.copies != tokens.copies:
            problem = "no read yet" if last is None else f"it kept changing: {len(last.copies)} then {len(tokens.copies)} tokens"
            last, last_at = tokens, now
        elif now - last_at >= stable_for_s:
            return tokens
        await asyncio.sleep(_RETRY_AFTER_S)
    return Tokens(ok=False, node="", detail=f"no two identical reads {stable_for_s:g} s apart within {within_s:g} s: {problem}")


class Returns:
    """Reads a node's own content as soon as it can be asked again after a fault, before the cluster rewinds or resyncs it."""

    def __init__(self, config: ClientConfig, client: ClientType, spool: Spool) -> None:
        self._config, self._client, self._spool = config, client, spool
        self._addresses = dict(config.behind or config.hosts)
        self._watching: dict[str, asyncio.Task[None]] = {}

    def watch(self, nodes: Iterable[str]) -> None:
        """From now on, until each was read once; a node that is none of this client's is left out."""
        for node in nodes:
            if node in self._addresses:
                if node in self._watching:
                    self._watching[node].cancel()
                self._watching[node] = asyncio.ensure_future(self._read(node, self._addresses[node]))

    async def end(self) -> None:
        """Wait for none any longer; what was not read is recorded as such."""
        for task in self._watching.values():
            task.cancel()
        await asyncio.gather(*self._watching.values(), return_exceptions=True)
        self._watching.clear()

    async def _read(self, node: str, address: str) -> None:
        found = Tokens(ok=False, node=node, detail="it was not asked")
        began = time.monotonic()
        try:
            while not found.ok and time.monotonic() - began < REJOINED_WITHIN_S:
                found = await _bounded(lambda: self._client.dump(node, address), _ASK_RETURNED_FOR_S, node)
                if not found.ok:
                    await asyncio.sleep(_ASK_RETURNED_EVERY_S)
        finally:
            _record(self._config, self._spool, "rejoined", found.model_copy(update={"node": node}))


async def _dump(client: ClientType, node: str, address: str, final: Tokens) -> Tokens:
    """That node's content, as soon as it equals the final read, or what it was when the time was up."""
    began = time.monotonic()
    while True:
        tokens = await _bounded(lambda: client.dump(node, address), _ONE_READ_S, node)
        settled = tokens.ok and (not final.ok or tokens.copies == final.copies)
        if settled or time.monotonic() - began >= DUMP_WITHIN_S:
            return tokens.model_copy(update={"node": node})
        await asyncio.sleep(_RETRY_AFTER_S)


async def _bounded(read: Read, within_s: float, node: str) -> Tokens:
    found = await result_or_error(read(), within_s)
    if isinstance(found, BaseException):
        return Tokens(ok=False, node=node, detail=describe(found))
    return found


def _record(config: ClientConfig, spool: Spool, kind: str, tokens: Tokens) -> None:
    now = time.monotonic_ns()
    copies = tokens.copies if tokens.ok else {}
    spool.put(
        "read_backs",
        (config.trial, config.client, kind, tokens.node, now, int(tokens.ok), sum(copies.values()), tokens.detail or None),
    )
    for token, count in copies.items():
        spool.put("reads", (config.trial, config.client, kind, tokens.node, now, token, count))
