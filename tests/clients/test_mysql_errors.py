"""The MySQL client against servers that misbehave as told."""

import pytest

pytest.importorskip("aiomysql", reason="aiomysql is not installed: pip install 'chaoskit[mysql]'")

from tests.clients.conversation import speaking
from tests.clients.mysql_server import OK, mysql_script, packets, refusal
from tests.clients.postgres_server import free_port
from tests.clients.probing import config
from tests.clients.scripted_service import silent_port
from tests.clients.using import attempt, one_attempt, use


def mysql_config(tmp_path, port, **changes):
    return config(tmp_path / "s.sqlite", port, **{"type": "mysql", "operation": "append", **changes})


async def first_append(given):
    """One attempt without making the ledger: the scripted servers have no tables."""
    from chaoskit.clients.catalogue import open_client

    client = open_client(given)
    try:
        return await attempt(client, given)
    finally:
        await client.close()


SAID = [
    (OK, "ok", "ok"),
    (refusal(1290, "The MySQL server is running with the --read-only option"), "wrong_role", "fail"),
    (refusal(1836, "Running in read-only mode"), "wrong_role", "fail"),
    (refusal(1792, "Cannot execute statement in a READ ONLY transaction"), "wrong_role", "fail"),
    (refusal(1047, "WSREP has not yet prepared node for application use", "08S01"), "wrong_role", "fail"),
    (refusal(1213, "Deadlock found when trying to get lock", "40001"), "app_error", "fail"),
    (refusal(1205, "Lock wait timeout exceeded"), "app_error", "fail"),
    (refusal(1146, "Table 'test.t' doesn't exist", "42S02"), "app_error", "fail"),
    (refusal(1180, "Got error 28 during COMMIT"), "app_error", "info"),
    (refusal(1053, "Server shutdown in progress", "08S01"), "reset", "info"),
    (refusal(1927, "Connection was killed", "70100"), "reset", "info"),
    (refusal(1317, "Query execution was interrupted", "70100"), "reset", "info"),
    ("reset", "reset", "info"),
    ("close", "reset", "info"),
    ("hang", "timeout", "info"),
]


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
@pytest.mark.parametrize(("said", "outcome", "certainty"), SAID, ids=[str(n) for n in range(len(SAID))])
def test_what_a_server_says_decides_what_became_of_an_append(tmp_path, client_class, said, outcome, certainty):
    with speaking(mysql_script(said)) as port:
        answer = one_attempt(mysql_config(tmp_path, port, client_class=client_class), opened=False)
    assert (answer.outcome, answer.certainty, answer.node) == (outcome, certainty, "n1"), answer


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (refusal(1040, "Too many connections", "08004"), "refused"),
        (refusal(1045, "Access denied", "28000"), "app_error"),
        (refusal(1053, "Server shutdown in progress", "08S01"), "refused"),
        (b"nothing of MySQL", "wrong_data"),
    ],
)
def test_who_is_not_let_in_has_sent_nothing(tmp_path, client_class, said, outcome):
    def script(line):
        packets(line, 0, said)
        line.end("close")

    with speaking(script) as port:
        answer = one_attempt(mysql_config(tmp_path, port, client_class=client_class), opened=False)
    assert (answer.outcome, answer.certainty, answer.node) == (outcome, "fail", ""), answer


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
def test_refused_silent_and_unknown_names_mean_nothing_was_sent(tmp_path, client_class):
    refused = one_attempt(mysql_config(tmp_path, free_port(), client_class=client_class), opened=False)
    assert (refused.outcome, refused.certainty, refused.node) == ("refused", "fail", ""), refused
    with silent_port() as port:
        silent = one_attempt(mysql_config(tmp_path, port, client_class=client_class), opened=False)
    assert (silent.outcome, silent.certainty) == ("timeout", "fail"), silent
    named = {"hosts": (("n1", "no-such-host.invalid"),), "deadline_ns": 5_000_000_000}
    unknown = one_attempt(mysql_config(tmp_path, 3306, client_class=client_class, **named), opened=False)
    assert (unknown.outcome, unknown.certainty) == ("dns", "fail"), unknown


@pytest.mark.parametrize("ending", ["hang", "reset", "close"])
def test_a_host_that_does_not_greet_leads_on_to_the_next(tmp_path, ending):
    with speaking(lambda line: line.end(ending), "127.0.0.2") as port, speaking(mysql_script(OK), "127.0.0.3", port):
        answer = one_attempt(mysql_config(tmp_path, port, hosts=(("n2", "127.0.0.2"), ("n3", "127.0.0.3"))), opened=False)
    assert (answer.outcome, answer.node) == ("ok", "n3"), answer


def test_a_read_only_host_is_passed_over(tmp_path):
    hosts = (("n2", "127.0.0.2"), ("n3", "127.0.0.3"))
    with speaking(mysql_script(OK, read_only=True), "127.0.0.2") as port, speaking(mysql_script(OK), "127.0.0.3", port):
        assert one_attempt(mysql_config(tmp_path, port, hosts=hosts), opened=False).node == "n3"
        alone = one_attempt(mysql_config(tmp_path, port, hosts=hosts[:1]), opened=False)
        assert (alone.outcome, alone.certainty) == ("wrong_role", "fail")


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
def test_nothing_is_sent_twice(tmp_path, client_class):
    statements = []
    with speaking(mysql_script("close", seen=statements.append)) as port:
        given = mysql_config(tmp_path, port, client_class=client_class, deadline_ns=1_000_000_000)
        assert one_attempt(given, opened=False).outcome == "reset"
    assert [s.split()[0] for s in statements].count("INSERT") == 1


def test_a_pool_of_several_hosts_is_refused(tmp_path):
    from chaoskit.model.errors import InputError

    with pytest.raises(InputError, match="knows one server"):
        use(mysql_config(tmp_path, 1, client_class="pooled", hosts=(("a", "127.0.0.1"), ("b", "127.0.0.2"))), lambda _: None)
