"""Errands: short pieces of Python that run with a node's own view of the file system, and bring back what they saw.

A child of the holder enters the node's mount namespace; it is no process of the node and not in its cgroup, so it works in a
frozen node too. Where the file system hangs, it is given up and told to die, which it does when the file system goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterable

from chaoskit.backends.linux_host import syscalls
from chaoskit.backends.linux_host.node import Node
from chaoskit.backends.linux_host.processes import Json, Nursery, PipeText
from chaoskit.backends.linux_host.wire import Refused

_ANSWER_LIMIT_BYTES = 4 << 20


class Hangs(Refused):
    """An errand did not end in time. `ended` is done when its process has."""

    def __init__(self, message: str, ended: asyncio.Future[int]) -> None:
        self.ended = ended
        super().__init__(message)


async def inside(
    nursery: Nursery, node: Node, errand: Callable[[], Json], what: str, within_s: float, *, keep: Iterable[int] = ()
) -> Json:
    """What the errand returns, run at the node's root as uid 0. Refused with its words where it fails; Hangs."""
    if not node.init:
        raise Refused(f"{node.name} is off")
    place = f"/proc/{node.init}/ns/mnt"

    def entered() -> Json:
        fd = os.open(place, os.O_RDONLY)
        syscalls.setns(fd, syscalls.CLONE_NEWNS)
        os.chdir("/")
        return errand()

    return await beside(nursery, node, entered, what, within_s, keep=keep)


async def beside(
    nursery: Nursery, node: Node, errand: Callable[[], Json], what: str, within_s: float, *, keep: Iterable[int] = ()
) -> Json:
    """What the errand returns, run with the holder's view, which numbers processes as the holder does. Refused; Hangs."""
    output = PipeText(_ANSWER_LIMIT_BYTES)

    def body() -> int:
        try:
            answer = {"done": errand()}
        except (OSError, Refused, ValueError) as error:
            answer = {"failed": {"why": str(error)}}
        with os.fdopen(output.writer, "wb") as pipe:
            pipe.write(json.dumps(answer).encode())
        return 0

    pid, ended = nursery.fork(body, keep=[output.writer, *keep])
    output.listen()
    try:
        code = await asyncio.wait_for(asyncio.shield(ended), within_s)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        raise Hangs(f"{node.name}: {what} did not end within {within_s:g} s", ended) from None
    finally:
        text = await output.finish(1.0 if ended.done() else 0)
    if code != 0:
        raise Refused(f"{node.name}: {what} ended with exit code {code}")
    answer: Json = json.loads(text)
    if "failed" in answer:
        raise Refused(f"{node.name}: {what}: {answer['failed']['why']}")
    done: Json = answer["done"]
    return done
