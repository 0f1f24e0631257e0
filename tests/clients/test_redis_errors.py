"""The Redis client against servers that misbehave as told."""

import socket

import pytest

from tests.clients.conversation import MASTER, REPLICA, redis_commands, redis_script, speaking
from tests.clients.postgres_server import free_port
from tests.clients.probing import config
from tests.clients.scripted_service import silent_port
from tests.clients.using import attempt, one_attempt, use

pytest.importorskip("redis", reason="redis-py is not installed: pip install 'chaoskit[redis]'")


def redis_config(tmp_path, port, **changes):
    return config(tmp_path / "s.sqlite", port, **{"type": "redis", "operation": "append", **changes})


SAID = [
    (b":1\r\n", "ok", "ok"),
    (b"-READONLY You can't write against a read only replica.\r\n", "wrong_role", "fail"),
    (b"-MOVED 42 127.0.0.1:7000\r\n", "wrong_role", "fail"),
    (b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n", "wrong_role", "fail"),
    (b"-LOADING Redis is loading the dataset in memory\r\n", "refused", "fail"),
    (b"-ERR max number of clients reached\r\n", "refused", "fail"),
    (b"-NOREPLICAS Not enough good replicas to write.\r\n", "app_error", "fail"),
    (b"-OOM command not allowed when used memory > 'maxmemory'.\r\n", "app_error", "fail"),
    (b"-MISCONF Redis is configured to save RDB snapshots\r\n", "app_error", "fail"),
    (b"-NOAUTH Authentication required.\r\n", "app_error", "fail"),
    (b"-CLUSTERDOWN The cluster is down\r\n", "app_error", "fail"),
    (b"nothing of Redis\r\n", "wrong_data", "info"),
    ("reset", "reset", "info"),
    ("close", "reset", "info"),
    ("hang", "timeout", "info"),
]


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
@pytest.mark.parametrize(("reply", "outcome", "certainty"), SAID, ids=lambda v: str(v)[:16])
def test_what_a_server_says_decides_what_became_of_an_append(tmp_path, client_class, reply, outcome, certainty):
    with speaking(redis_script(RPUSH=reply)) as port:
        answer = one_attempt(redis_config(tmp_path, port, client_class=client_class))
    assert (answer.outcome, answer.certainty, answer.node) == (outcome, certainty, "n1"), answer


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
def test_half_a_reply_and_then_nothing_is_unknown(tmp_path, client_class):
    def script(line):
        for command in redis_commands(line):
            if command[0] == "RPUSH":
                line.say(b":1")
                line.end("reset")
            line.say(MASTER)

    with speaking(script) as port:
        answer = one_attempt(redis_config(tmp_path, port, client_class=client_class))
    assert (answer.outcome, answer.certainty) == ("reset", "info"), answer


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
def test_refused_means_nothing_was_sent(tmp_path, client_class):
    answer = one_attempt(redis_config(tmp_path, free_port(), client_class=client_class), opened=False)
    assert (answer.outcome, answer.certainty, answer.node) == ("refused", "fail", ""), answer


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
def test_a_silent_host_is_a_time_out_before_anything_was_sent(tmp_path, client_class):
    with silent_port() as port:
        answer = one_attempt(redis_config(tmp_path, port, client_class=client_class), opened=False)
    assert (answer.outcome, answer.certainty) == ("timeout", "fail"), answer


def test_an_unknown_name_is_dns(tmp_path):
    given = redis_config(tmp_path, 6379, hosts=(("n1", "no-such-host.invalid"),), deadline_ns=5_000_000_000)
    answer = one_attempt(given, opened=False)
    assert (answer.outcome, answer.certainty) == ("dns", "fail"), answer


def test_a_frozen_server_that_still_accepts_connections_leads_on_to_the_next(tmp_path):
    """Its kernel completes the handshake; that it tells no role is seen before anything of the operation was sent."""
    with speaking(lambda line: line.end("hang"), "127.0.0.2") as port, speaking(redis_script(RPUSH=b":1\r\n"), "127.0.0.3", port):
        hosts = (("n2", "127.0.0.2"), ("n3", "127.0.0.3"))
        given = redis_config(tmp_path, port, hosts=hosts)

        async def work(client):
            return [await attempt(client, given, seq) for seq in range(2)]

        first, second = use(given, work)
    assert [(a.outcome, a.node) for a in (first, second)] == [("ok", "n3")] * 2
    assert second.t_connected is not None


def test_a_replica_is_passed_over_for_the_master(tmp_path):
    with speaking(redis_script(REPLICA), "127.0.0.2") as port, speaking(redis_script(), "127.0.0.3", port):
        given = redis_config(tmp_path, port, hosts=(("n2", "127.0.0.2"), ("n3", "127.0.0.3")))
        assert one_attempt(given).node == "n3"
        alone = redis_config(tmp_path, port, hosts=(("n2", "127.0.0.2"),))
        answer = one_attempt(alone, opened=False)
        assert (answer.outcome, answer.certainty) == ("wrong_role", "fail")
        reader = redis_config(tmp_path, port, hosts=(("n2", "127.0.0.2"),), operation="read", endpoint={"role": "any"})
        assert one_attempt(reader).outcome == "ok"


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
def test_too_few_replicas_are_no_acknowledgement(tmp_path, client_class):
    options = {"wait_replicas": 2}
    for reply, outcome, certainty in ((b":1\r\n", "app_error", "info"), (b":2\r\n", "ok", "ok"), ("reset", "reset", "info")):
        with speaking(redis_script(RPUSH=b":1\r\n", WAIT=reply)) as port:
            answer = one_attempt(redis_config(tmp_path, port, client_class=client_class, options=options))
        assert (answer.outcome, answer.certainty) == (outcome, certainty), answer


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
def test_nothing_is_sent_twice(tmp_path, client_class):
    sent = []

    def script(line):
        for command in redis_commands(line):
            if command[0] == "RPUSH":
                sent.append(command[2])
                line.end("close")
            line.say(MASTER)

    with speaking(script) as port:
        given = redis_config(tmp_path, port, client_class=client_class, deadline_ns=2_000_000_000)
        assert one_attempt(given).outcome == "reset"
    assert len(sent) == 1, "the driver's retry would have hidden the outage"


def sentinel_script(address: str, port: int):
    """It names a master, to `fresh` by GET-MASTER-ADDR-BY-NAME and to redis-py's pool by MASTERS."""
    state = ["name", "mymaster", "ip", address, "port", str(port), "flags", "master", "num-other-sentinels", "0"]

    def script(line):
        for command in redis_commands(line):
            words = state if command[1].upper() == "MASTERS" else [address, str(port)]
            head = b"*1\r\n" if command[1].upper() == "MASTERS" else b""
            line.say(head + f"*{len(words)}\r\n".encode() + b"".join(f"${len(w)}\r\n{w}\r\n".encode() for w in words))

    return script


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
def test_sentinels_name_the_master(tmp_path, client_class):
    hosts = (("n2", "127.0.0.2"), ("n3", "127.0.0.3"))
    with speaking(redis_script(RPUSH=b":1\r\n"), "127.0.0.3") as port, speaking(sentinel_script("127.0.0.3", port)) as sentinel:
        endpoint = {"sentinel": "mymaster", "sentinel_hosts": ["127.0.0.1"], "sentinel_port": sentinel}
        answer = one_attempt(redis_config(tmp_path, port, hosts=hosts, client_class=client_class, endpoint=endpoint))
    assert (answer.outcome, answer.node) == ("ok", "n3"), answer


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
def test_a_master_that_was_demoted_is_the_wrong_role_also_behind_sentinels(tmp_path, client_class):
    demoted = redis_script(REPLICA, RPUSH=b"-READONLY You can't write against a read only replica.\r\n")
    with speaking(demoted, "127.0.0.3") as port, speaking(sentinel_script("127.0.0.3", port)) as sentinel:
        endpoint = {"sentinel": "mymaster", "sentinel_hosts": ["127.0.0.1"], "sentinel_port": sentinel}
        given = redis_config(tmp_path, port, hosts=(("n3", "127.0.0.3"),), client_class=client_class, endpoint=endpoint)
        answer = one_attempt(given, opened=False)
    assert (answer.outcome, answer.certainty) == ("wrong_role", "fail"), answer


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
def test_no_sentinel_that_answers_means_nothing_was_sent(tmp_path, client_class):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound but not listening: refused
        endpoint = {"sentinel": "mymaster", "sentinel_hosts": ["127.0.0.1"], "sentinel_port": held.getsockname()[1]}
        answer = one_attempt(redis_config(tmp_path, 6379, client_class=client_class, endpoint=endpoint), opened=False)
    assert answer.certainty == "fail"
    assert answer.outcome == ("refused" if client_class == "fresh" else "unreachable"), answer
