"""Reading a ledger back: the strong final read until it is stable, then each node's own content."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from chaoskit.agents.spool import Spool
from chaoskit.clients.bounded import result_or_error
from chaoskit.clients.failures import describe
from chaoskit.ports.client import ClientConfig, ClientType, Tokens

STABLE_FOR_S = 1.0
FINAL_WITHIN_S = 30.0
DUMP_WITHIN_S = 10.0
_ONE_READ_S = 10.0
_RETRY_AFTER_S = 0.5

Read = Callable[[], Coroutine[Any, Any, Tokens]]


async def read_back(config: ClientConfig, client: ClientType, spool: Spool) -> list[str]:
    """Write the final read and every node's dump to the spool; returns what could not be read, for people.

    Takes at most FINAL_WITHIN_S + DUMP_WITHIN_S and two reads more.
    """
    final = await final_tokens(client.read_back)
    _record(config, spool, "final", final)
    dumps = await asyncio.gather(*(_dump(client, node, address, final) for node, address in config.behind or config.hosts))
    for dump in dumps:
        _record(config, spool, "dump", dump)
    found = [("final read", final), *((f"dump of {dump.node}", dump) for dump in dumps)]
    return [f"{what}: {tokens.detail}" for what, tokens in found if not tokens.ok]


async def final_tokens(
    read: Read, *, stable_for_s: float = STABLE_FOR_S, within_s: float = FINAL_WITHIN_S, one_read_s: float = _ONE_READ_S
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
