"""The etcd client against gateways that misbehave as told."""

import json

import pytest

from tests.clients.conversation import http_script, json_response, speaking
from tests.clients.postgres_server import free_port
from tests.clients.probing import config
from tests.clients.scripted_service import silent_port
from tests.clients.using import attempt, one_attempt, use

HEADER = {"cluster_id": "1", "member_id": "2", "revision": "7", "raft_term": "3"}
EMPTY = json_response(200, json.dumps({"header": HEADER}))


def etcd_config(tmp_path, port, **changes):
    return config(tmp_path / "s.sqlite", port, **{"type": "etcd", "operation": "append", **changes})


def is_append(path, body):
    """Not the transaction that begins the count."""
    return path == "/v3/kv/txn" and "CREATE" not in str(body)


def gateway(put):
    """A member that answers ranges with nothing, and says this to a put."""
    return http_script(lambda path, body: put if is_append(path, body) else EMPTY)


def refusal(status, code, text):
    return json_response(status, json.dumps({"error": text, "code": code, "message": text}))


SAID = [
    (EMPTY, "ok", "ok"),
    (refusal(503, 14, "etcdserver: no leader"), "wrong_role", "fail"),
    (refusal(503, 14, "etcdserver: leader changed"), "app_error", "info"),
    (refusal(503, 14, "etcdserver: request timed out, possibly due to previous leader failure"), "timeout", "info"),
    (refusal(504, 4, "context deadline exceeded"), "timeout", "info"),
    (refusal(503, 14, "etcdserver: server stopped"), "reset", "info"),
    (refusal(503, 14, "something new"), "app_error", "info"),
    (refusal(429, 8, "etcdserver: mvcc: database space exceeded"), "app_error", "fail"),
    (refusal(429, 8, "etcdserver: too many requests"), "app_error", "fail"),
    (refusal(403, 7, "etcdserver: permission denied"), "app_error", "fail"),
    (json_response(200, "nothing of etcd"), "wrong_data", "info"),
    (json_response(200, "[]"), "wrong_data", "info"),
    (json_response(200, "{}"), "wrong_data", "info"),
    (b"\x00\x01 nothing of HTTP\r\n\r\n", "wrong_data", "info"),
    (b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"header', "timeout", "info"),
    ("reset", "reset", "info"),
    ("close", "reset", "info"),
    ("hang", "timeout", "info"),
]


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
@pytest.mark.parametrize(("said", "outcome", "certainty"), SAID, ids=[str(n) for n in range(len(SAID))])
def test_what_a_member_says_decides_what_became_of_an_append(tmp_path, client_class, said, outcome, certainty):
    with speaking(gateway(said)) as port:
        answer = one_attempt(etcd_config(tmp_path, port, client_class=client_class))
    assert (answer.outcome, answer.certainty) == (outcome, certainty), answer
    assert answer.node == ("" if outcome == "wrong_role" else "n1")
    if outcome == "ok":
        assert (answer.term, answer.value) == ("3", "7")


def test_refused_and_silent_and_unknown_names_mean_nothing_was_sent(tmp_path):
    refused = one_attempt(etcd_config(tmp_path, free_port()), opened=False)
    assert (refused.outcome, refused.certainty, refused.node) == ("refused", "fail", "")
    with silent_port() as port:
        silent = one_attempt(etcd_config(tmp_path, port), opened=False)
    assert (silent.outcome, silent.certainty) == ("timeout", "fail")
    given = etcd_config(tmp_path, 2379, hosts=(("n1", "no-such-host.invalid"),), deadline_ns=5_000_000_000)
    unknown = one_attempt(given, opened=False)
    assert (unknown.outcome, unknown.certainty) == ("dns", "fail"), unknown


HOSTS = (("n2", "127.0.0.2"), ("n3", "127.0.0.3"))


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
def test_a_member_without_a_leader_leads_on_to_the_next(tmp_path, client_class):
    lonely = gateway(refusal(503, 14, "etcdserver: no leader"))
    with speaking(lonely, "127.0.0.2") as port, speaking(gateway(EMPTY), "127.0.0.3", port):
        answer = one_attempt(etcd_config(tmp_path, port, hosts=HOSTS, client_class=client_class))
    assert (answer.outcome, answer.node) == ("ok", "n3"), answer


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
def test_a_member_that_hangs_costs_one_attempt_and_comes_last_then(tmp_path, client_class):
    with speaking(gateway("hang"), "127.0.0.2") as port, speaking(gateway(EMPTY), "127.0.0.3", port):
        given = etcd_config(tmp_path, port, hosts=HOSTS, client_class=client_class)

        async def work(client):
            return [await attempt(client, given, seq) for seq in range(3)]

        first, *others = use(given, work)
    assert (first.outcome, first.certainty, first.node) == ("timeout", "info", "n2")
    assert [(a.outcome, a.node) for a in others] == [("ok", "n3")] * 2


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
def test_nothing_is_sent_twice(tmp_path, client_class):
    puts = []

    def answer(path, body):
        if not is_append(path, body):
            return EMPTY
        puts.append(body)
        return EMPTY if len(puts) == 1 else "close"

    with speaking(http_script(answer)) as port:
        given = etcd_config(tmp_path, port, client_class=client_class, deadline_ns=1_000_000_000)

        async def work(client):
            return [await attempt(client, given, seq) for seq in range(2)]

        answers = use(given, work)
    assert [a.outcome for a in answers] == ["ok", "reset"]
    assert len(puts) == 2, "aiohttp repeats what broke on a kept connection only for methods that may be repeated"
