"""Talking to a holder: one request a connection, so that any thread and any process may ask at any time."""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chaoskit.backends.linux_host.wire import Refused, line
from chaoskit.model.errors import LabUnavailable

_ANSWER_SLACK_S = 30.0
"""How much longer than the work itself an answer may take: a machine under a fault test is busy."""


def connected(directory: Path, timeout_s: float = 2.0) -> socket.socket:
    """A connection to the lab's holder. LabUnavailable where nobody listens."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            connection.connect(f"/proc/self/fd/{fd}/socket")
        finally:
            os.close(fd)
    except OSError as error:
        connection.close()
        raise LabUnavailable(f"the lab {directory.name} does not answer: {error.strerror}", str(directory)) from error
    return connection


def request(directory: Path, message: dict[str, Any], *, fds: Sequence[int] = (), within_s: float = 10.0) -> dict[str, Any]:
    """Ask and wait for the final answer. Refused where the holder declines; LabUnavailable where it is gone."""
    with connected(directory) as connection:
        send(connection, message, fds)
        return final_answer(connection, directory.name, within_s)


def send(connection: socket.socket, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
    data = memoryview(line(message))
    connection.settimeout(_ANSWER_SLACK_S)
    try:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sent = connection.sendmsg([data], ancillary)
        if sent < len(data):  # the holder may have answered and hung up by now
            connection.sendall(data[sent:])
    except OSError as error:
        raise LabUnavailable(f"the lab's holder took no request: {error}") from error


def final_answer(
    connection: socket.socket, lab_id: str, within_s: float, progress: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Read progress lines up to the final one."""
    connection.settimeout(within_s + _ANSWER_SLACK_S)
    try:
        with connection.makefile("rb") as lines:
            for raw in lines:
                answer: dict[str, Any] = json.loads(raw)
                if "progress" in answer:
                    progress(answer["progress"])
                elif answer.get("ok"):
                    return answer
                else:
                    raise Refused(answer.get("error", "?"), answer.get("evidence", ""))
    except TimeoutError:
        raise LabUnavailable(f"the holder of lab {lab_id} gave no answer in {within_s + _ANSWER_SLACK_S:g} s") from None
    except OSError as error:
        raise LabUnavailable(f"the holder of lab {lab_id} hung up: {error}") from error
    raise LabUnavailable(f"the holder of lab {lab_id} ended before it answered")
