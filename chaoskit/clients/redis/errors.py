"""What an error of redis-py says about a command: executed, surely not executed, or unknown.

Redis answers a command with an error instead of executing it, so every error reply to a write proves that nothing was written.
Only a connection that ends, or goes silent, leaves that open.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from redis import exceptions as driver
from redis.asyncio.sentinel import MasterNotFoundError

from chaoskit.clients.failures import outcome_of
from chaoskit.model.history import Certainty, Outcome

_NUMBER = re.compile(r"\bError (-?\d+)\b")

_REPLIES: tuple[tuple[type[Exception], Outcome], ...] = (
    (driver.ReadOnlyError, "wrong_role"),
    (driver.MovedError, "wrong_role"),
    (driver.AskError, "wrong_role"),
    (driver.MasterDownError, "wrong_role"),  # a replica without its master that does not serve stale data
    (driver.BusyLoadingError, "refused"),  # still reading its data set, as a PostgreSQL server that starts up
    (MasterNotFoundError, "unreachable"),  # the driver keeps to itself why no Sentinel names one
    (driver.AuthenticationError, "app_error"),
    (driver.AuthorizationError, "app_error"),
    (driver.MaxConnectionsError, "app_error"),  # said by the pool, not by a server
    (driver.ResponseError, "app_error"),
    (driver.DataError, "app_error"),
)
_FULL = "max number of clients reached"


def failure(error: BaseException, *, sent: bool) -> tuple[Outcome, Certainty]:
    """Outcome and certainty of a command that ended in this error. `sent`: whether a byte of it may have left."""
    for found in _causes(error):  # the Sentinel pool wraps READONLY into a ConnectionError
        for kind, outcome in _REPLIES:
            if isinstance(found, kind):
                return outcome, "fail"
    if _FULL in str(error):
        return "refused", "fail"
    unknown: Certainty = "info" if sent else "fail"
    if isinstance(error, driver.InvalidResponse):
        return "wrong_data", unknown
    if isinstance(error, (driver.TimeoutError, TimeoutError)):
        return "timeout", unknown
    for cause in _causes(error):
        if isinstance(cause, OSError) and (known := outcome_of(cause)) != "app_error":
            return known, unknown
    numbered = _NUMBER.search(str(error))
    if numbered and (known := outcome_of(OSError(int(numbered[1]), ""))) != "app_error":
        return known, unknown
    return ("reset" if isinstance(error, (driver.ConnectionError, EOFError)) else "app_error"), unknown


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
