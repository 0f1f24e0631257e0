import pytest

from chaoskit.clients.postgres.errors import connect_outcome, statement_failure
from chaoskit.clients.postgres.statements import serves


@pytest.mark.parametrize(
    ("sqlstate", "severity", "expected"),
    [
        ("25006", "ERROR", ("wrong_role", "fail")),
        ("53100", "ERROR", ("app_error", "fail")),  # disk full: the transaction was aborted
        ("42P01", "ERROR", ("app_error", "fail")),
        ("57014", "ERROR", ("app_error", "fail")),  # statement_timeout
        ("40003", "ERROR", ("app_error", "info")),  # statement_completion_unknown
        ("57P01", "FATAL", ("reset", "info")),  # terminated: perhaps after the commit
        ("57P02", "FATAL", ("reset", "info")),
        ("XX000", "PANIC", ("app_error", "info")),
        ("08006", "ERROR", ("reset", "info")),  # a pooler lost its server
        (None, None, ("reset", "info")),
    ],
)
def test_only_an_error_that_aborted_the_transaction_proves_that_nothing_was_applied(sqlstate, severity, expected):
    assert statement_failure(sqlstate, severity, "words") == expected


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ("connection failed: Connection refused", "refused"),
        ("FATAL:  the database system is starting up", "refused"),
        ("FATAL:  the database system is shutting down", "refused"),
        ("FATAL:  sorry, too many clients already", "refused"),
        ("server closed the connection unexpectedly", "reset"),
        ("connection failed: No route to host", "unreachable"),
        ('could not translate host name "x" to address', "dns"),
        ("server does not support SSL, but SSL was required", "tls"),
        ('FATAL:  password authentication failed for user "app"', "app_error"),
    ],
)
def test_a_connection_that_did_not_come_about_has_its_reason(words, outcome):
    assert connect_outcome(words) == outcome


@pytest.mark.parametrize(
    ("attrs", "primary", "read_only_primary", "standby"),
    [
        ("read-write", True, False, False),
        ("primary", True, True, False),
        ("standby", False, False, True),
        ("any", True, True, True),
    ],
)
def test_target_session_attrs_mean_what_libpq_means_by_them(attrs, primary, read_only_primary, standby):
    assert serves(attrs, in_hot_standby=False, read_only=False) is primary
    assert serves(attrs, in_hot_standby=False, read_only=True) is read_only_primary
    assert serves(attrs, in_hot_standby=True, read_only=True) is standby
