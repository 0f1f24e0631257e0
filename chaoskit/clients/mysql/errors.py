"""What an error of MySQL or MariaDB says about a statement: applied, surely not applied, or unknown.

Every statement here is a transaction of its own, so an error of the server rolled it back. The exceptions are errors that end the
session, and those of the commit itself. Numbers: MySQL's server error reference and MariaDB's error codes.
"""

from __future__ import annotations

from collections.abc import Iterator

from chaoskit.clients.failures import outcome_of
from chaoskit.model.history import Certainty, Outcome

_WRONG_ROLE = {
    1047: "WSREP has not yet prepared node for application use",
    1290: "the server is running with the --read-only option",
    1792: "cannot execute statement in a read only transaction",
    1836: "running in read-only mode",
}
_REFUSED = {
    1040: "too many connections",
    1129: "host is blocked",
    1203: "user already has more than max_user_connections",
    1226: "user has exceeded a resource limit",
}
_SESSION_ENDED = {
    1053: "server shutdown in progress",
    1077: "normal shutdown",
    1079: "shutdown complete",
    1080: "forcing close of thread",
    1152: "aborted connection",
    1184: "new aborted connection",
    1317: "query execution was interrupted",
    1927: "connection was killed",
    3169: "session was killed",
    4031: "disconnected because of inactivity",
}
_COMMIT_UNKNOWN = {
    1026: "error writing file",
    1030: "got error from storage engine",
    1180: "got error during COMMIT",
    1196: "some non-transactional changed tables could not be rolled back",
    3100: "error on observer while running replication hook",
}
_CLIENTS_OWN = range(2000, 3000)
"""Numbers of the client library: nothing was said by a server."""
_LOST = (2006, 2013, 2055)
_MALFORMED = (2014, 2027)


def failure(error: BaseException, *, sent: bool) -> tuple[Outcome, Certainty]:
    """Outcome and certainty of a statement that ended in this error. `sent`: whether a byte of it may have left."""
    unknown: Certainty = "info" if sent else "fail"
    number = error.args[0] if error.args and isinstance(error.args[0], int) and not isinstance(error, OSError) else None
    if number is None or number in _CLIENTS_OWN:
        return _network(error, number), unknown
    if number in _WRONG_ROLE:
        return "wrong_role", "fail"
    if number in _REFUSED:
        return "refused", "fail"
    if number in _SESSION_ENDED:
        return ("reset" if sent else "refused"), unknown
    return "app_error", unknown if number in _COMMIT_UNKNOWN else "fail"


def _network(error: BaseException, number: int | None) -> Outcome:
    for cause in _causes(error):
        if isinstance(cause, (OSError, EOFError)) and (found := outcome_of(cause)) != "app_error":
            return found
    if number in _LOST:
        return "reset"
    return "wrong_data" if number is None or number in _MALFORMED else "app_error"


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
