"""What a PostgreSQL error says about the statement: applied, surely not applied, or unknown.

SQLSTATEs: PostgreSQL's documentation, appendix A. Startup rejections carry no SQLSTATE through libpq, only the server's words.
"""

from __future__ import annotations

from chaoskit.clients.failures import outcome_of_text
from chaoskit.model.history import Certainty, Outcome

READ_ONLY = "25006"
_COMPLETION_UNKNOWN = "40003"

_REFUSED_AT_START = (
    "the database system is",  # starting up, shutting down, in recovery mode, not yet accepting connections (57P03)
    "too many clients already",  # 53300
    "remaining connection slots are reserved",  # 53300
    "too many connections for",  # 53300, of one role or database
)
_RESET = (
    "server closed the connection unexpectedly",
    "connection to server was lost",
    "unexpected EOF",
    "no connection to the server",
)
_TLS = ("SSL", "certificate", "TLS")
_DNS = ("could not translate host name", "failed to resolve host")
_TIMEOUT = ("timeout expired",)


def connect_outcome(text: str) -> Outcome:
    """The outcome for libpq's words about a connection that did not come about. Nothing was applied in any case."""
    for words, outcome in (
        (_REFUSED_AT_START, "refused"),
        (_RESET, "reset"),
        (_DNS, "dns"),
        (_TIMEOUT, "timeout"),
        (_TLS, "tls"),
    ):
        if any(word in text for word in words):
            return outcome  # type: ignore[return-value]  # the literals above
    return outcome_of_text(text) or "app_error"


def statement_failure(sqlstate: str | None, severity: str | None, text: str) -> tuple[Outcome, Certainty]:
    """Outcome and certainty for an error after the statement was sent. `severity` not localised, as in ERROR or FATAL.

    An ERROR of the server aborted the (single-statement) transaction, so it proves that nothing was applied. When the session
    itself ended (57P01 and the like, a reset, no SQLSTATE at all) the commit may have gone through before.
    """
    if sqlstate == READ_ONLY:
        return "wrong_role", "fail"
    if sqlstate is None:
        return outcome_of_text(text) or "reset", "info"
    if sqlstate.startswith("08"):  # connection exception: a pooler in between lost its server
        return "reset", "info"
    if severity == "ERROR" and sqlstate != _COMPLETION_UNKNOWN:
        return "app_error", "fail"
    return ("reset" if sqlstate.startswith("57P") else "app_error"), "info"


UNREPLICATED = "the server warned while it committed"
"""An acknowledgement with a warning: with synchronous replication, "canceling wait for synchronous replication" is followed by
success although no standby has the transaction. An INSERT into the ledger warns of nothing else, so every warning counts."""
