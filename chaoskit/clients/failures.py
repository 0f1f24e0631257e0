"""What a failure of the network means as an outcome."""

from __future__ import annotations

import errno
import os
import socket
import ssl

from chaoskit.model.history import Outcome

_BY_ERRNO: dict[int, Outcome] = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.ECONNABORTED: "reset",
    errno.EPIPE: "reset",
    errno.ENOTCONN: "reset",
    errno.ESHUTDOWN: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTDOWN: "unreachable",
    errno.ENETDOWN: "unreachable",
    errno.EADDRNOTAVAIL: "unreachable",
    errno.ETIMEDOUT: "timeout",
}

_BY_TEXT = {os.strerror(number): outcome for number, outcome in _BY_ERRNO.items()}


class ConnectFailed(Exception):
    """No connection came about, so nothing was sent."""

    def __init__(self, outcome: Outcome, text: str) -> None:
        self.outcome: Outcome = outcome
        self.text = text
        super().__init__(text)


def outcome_of(error: BaseException) -> Outcome:
    """The outcome that an exception of the socket layer stands for; `app_error` where it is none of the network's."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, socket.gaierror):
        return "dns"
    if isinstance(error, ssl.SSLError):
        return "tls"
    if isinstance(error, EOFError):
        return "reset"
    if isinstance(error, OSError) and error.errno is not None:
        return _BY_ERRNO.get(error.errno, "app_error")
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, ConnectionError):  # asyncio's own come without a number
        return "reset"
    return "app_error"


def outcome_of_text(text: str) -> Outcome | None:
    """The same for a library that only tells the kernel's words; None where they are not in `text`."""
    for words, outcome in _BY_TEXT.items():
        if words in text:
            return outcome
    return None


def describe(error: BaseException) -> str:
    """One line for the record."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


_TELLING: tuple[Outcome, ...] = (
    "wrong_role",
    "wrong_data",
    "app_error",
    "tls",
    "timeout",
    "reset",
    "refused",
    "unreachable",
    "dns",
)


def most_telling(failures: list[tuple[str, ConnectFailed]]) -> ConnectFailed:
    """One failure for (host, failure) of every host tried: the outcome of the one that came furthest, with the words of all."""
    outcome = min((failed.outcome for _, failed in failures), key=_TELLING.index)
    return ConnectFailed(outcome, "; ".join(f"{host}: {failed.text}" for host, failed in failures))
