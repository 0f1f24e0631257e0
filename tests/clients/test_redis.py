"""The Redis client against real servers: a master, a replica, and a Sentinel on loopback."""

import contextlib
import signal
import tempfile
import time
from pathlib import Path

import pytest

from tests.clients.probing import ProbeProcess, config, rows
from tests.clients.redis_server import RedisServer, missing
from tests.clients.using import attempt, one_attempt, token, use

pytest.importorskip("redis", reason="redis-py is not installed: pip install 'chaoskit[redis]'")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]


def _until(question, within_s=20.0):
    deadline = time.monotonic() + within_s
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextlib.contextmanager
def server(tmp_path, name="master", address="127.0.0.1", port=None, sentinel="", **settings):
    made = RedisServer(tmp_path / name, address=address, port=port, sentinel=sentinel)
    made.start(**settings)
    try:
        yield made
    finally:
        made.stop()


def redis_config(tmp_path, port, **changes):
    given = {"type": "redis", "operation": "append", "run_id": f"r{time.monotonic_ns()}"}
    return config(tmp_path / "s.sqlite", port, **{**given, **changes})


@pytest.mark.parametrize("client_class", ["fresh", "pooled", "direct"])
def test_an_append_is_acknowledged_by_a_named_node_and_read_back(tmp_path, client_class):
    with server(tmp_path) as master:
        given = redis_config(tmp_path, master.port, client_class=client_class, target="n1")

        async def work(client):
            answers = [await attempt(client, given, seq) for seq in (0, 1, 2, 2)]
            return answers, await client.read_back(), await client.dump("n1", "127.0.0.1")

        answers, final, dump = use(given, work)
    assert {(a.outcome, a.certainty, a.node) for a in answers} == {("ok", "ok", "n1")}
    prefix = f"{given.run_id}.orders.0."
    assert final.copies == {f"{prefix}0": 1, f"{prefix}1": 1, f"{prefix}2": 2}, "what was applied twice is seen twice"
    assert (final.ok, final.node) == (True, "n1")
    assert dump.copies == final.copies


def test_a_read_tells_what_it_found(tmp_path):
    with server(tmp_path) as master:
        master.ask("SET greeting hello")
        for client_class in ("fresh", "pooled"):
            given = redis_config(
                tmp_path, master.port, client_class=client_class, operation="read", options={"command": "GET greeting"}
            )
            assert one_attempt(given).value == "hello"


def test_a_replica_keeps_the_ledger_and_refuses_writes(tmp_path):
    with server(tmp_path, address="127.0.0.2") as master:
        with server(tmp_path, "replica", "127.0.0.3", master.port, replicaof=f"127.0.0.2 {master.port}") as replica:
            _until(lambda: b"master_link_status:up" in replica.ask("INFO replication"))
            hosts = (("n3", "127.0.0.3"), ("n2", "127.0.0.2"))
            given = redis_config(tmp_path, master.port, hosts=hosts, options={"wait_replicas": 1})

            async def work(client):
                return await attempt(client, given), await client.dump("n3", "127.0.0.3")

            answer, dump = use(given, work)
            assert (answer.outcome, answer.node) == ("ok", "n2"), answer
            assert (dump.node, dump.copies) == ("n3", {f"{given.run_id}.orders.0.0": 1}), "WAIT found it there"
            written = one_attempt(redis_config(tmp_path, master.port, hosts=hosts, client_class="direct", target="n3"))
            assert (written.outcome, written.certainty) == ("wrong_role", "fail")
            pooled = redis_config(tmp_path, master.port, hosts=hosts[:1], client_class="pooled")
            assert one_attempt(pooled).outcome == "wrong_role"


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
def test_a_stopped_server_is_a_time_out_that_may_still_take_effect(tmp_path, client_class):
    with server(tmp_path) as master:
        given = redis_config(tmp_path, master.port, client_class=client_class)

        async def work(client):
            first = await attempt(client, given, 0)
            master.stand_still()
            stopped = await attempt(client, given, 1)
            master.signal(signal.SIGCONT)
            return first, stopped, await attempt(client, given, 2)

        first, stopped, after = use(given, work)
    assert (first.outcome, after.outcome) == ("ok", "ok"), after
    # a fresh connection is accepted by the kernel, but nothing of the append was sent before the server told its role
    assert (stopped.outcome, stopped.certainty) == ("timeout", "fail" if client_class == "fresh" else "info")


def test_through_a_real_sentinel(tmp_path):
    with server(tmp_path, address="127.0.0.2") as master:
        lines = f"sentinel monitor mymaster 127.0.0.2 {master.port} 1\n"
        with server(tmp_path, "sentinel", sentinel=lines) as sentinel:
            endpoint = {"sentinel": "mymaster", "sentinel_hosts": ["127.0.0.1"], "sentinel_port": sentinel.port}
            for client_class in ("fresh", "pooled"):
                given = redis_config(
                    tmp_path, master.port, hosts=(("n2", "127.0.0.2"),), client_class=client_class, endpoint=endpoint
                )
                answer = one_attempt(given)
                assert (answer.outcome, answer.node) == ("ok", "n2"), answer
                assert use(given, lambda client: client.read_back()).ok


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
def test_when_sentinels_promote_a_replica_the_client_follows_and_the_ledger_tells_what_was_lost(tmp_path, client_class):
    """The master is cut off from its replica, acknowledges more, and dies: that is what asynchronous replication loses."""
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(server(tmp_path, address="127.0.0.2"))
        replica = stack.enter_context(
            server(
                tmp_path,
                "replica",
                "127.0.0.3",
                master.port,
                replicaof=f"127.0.0.2 {master.port}",
                replica_announce_ip="127.0.0.3",
            )
        )
        _until(lambda: b"master_link_status:up" in replica.ask("INFO replication"))
        lines = (
            f"sentinel monitor mymaster 127.0.0.2 {master.port} 1\nsentinel down-after-milliseconds mymaster 500\n"
            "sentinel failover-timeout mymaster 3000\n"
        )
        sentinel = stack.enter_context(server(tmp_path, "sentinel", sentinel=lines))
        _until(lambda: b"127.0.0.3" in sentinel.ask("SENTINEL REPLICAS mymaster"))
        endpoint = {"sentinel": "mymaster", "sentinel_hosts": ["127.0.0.1"], "sentinel_port": sentinel.port}
        hosts = (("n2", "127.0.0.2"), ("n3", "127.0.0.3"))
        given = redis_config(tmp_path, master.port, hosts=hosts, client_class=client_class, endpoint=endpoint)

        async def work(client):
            kept = await attempt(client, given, 0)
            _until(lambda: not replica.ask("DBSIZE").strip().endswith(b":0"))
            replica.ask("REPLICAOF 127.0.0.9 1")  # a master that is not there
            lost = await attempt(client, given, 1)
            master.kill()
            answers = []
            deadline = time.monotonic() + 20
            while not answers or answers[-1].outcome != "ok":
                answers.append(await attempt(client, given, 2 + len(answers)))
                assert time.monotonic() < deadline, answers[-1]
            return kept, lost, answers, await client.read_back()

        kept, lost, answers, final = use(given, work)
    assert [(a.outcome, a.node) for a in (kept, lost)] == [("ok", "n2")] * 2
    assert answers[-1].node == "n3"
    assert {a.outcome for a in answers[:-1]} <= {"refused", "reset", "wrong_role", "unreachable"}
    assert set(final.copies) == {token(given, 0), token(given, len(answers) + 1)}


def test_a_probe_measures_it_and_reads_back_what_it_acknowledged():
    with tempfile.TemporaryDirectory() as folder:
        tmp_path = Path(folder)
        with server(tmp_path) as master:
            probe = ProbeProcess(redis_config(tmp_path, master.port))
            probe.wait_for("running")
            time.sleep(1.0)
            probe.tell("read_back")
            probe.wait_for("done")
            assert probe.end()[0] == 0
            acked = rows(probe.spool, "SELECT token FROM samples WHERE certainty = 'ok' ORDER BY token")
            assert len(acked) > 50
            assert acked == rows(probe.spool, "SELECT token FROM reads WHERE kind = 'final' ORDER BY token")
            assert acked == rows(probe.spool, "SELECT token FROM reads WHERE kind = 'dump' ORDER BY token")


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
def test_the_newest_write_of_a_ledger_is_told_by_its_number(tmp_path, client_class):
    with server(tmp_path) as master:
        given = redis_config(tmp_path, master.port)
        reading = given.model_copy(
            update={"client": "readers", "client_class": client_class, "operation": "newest", "options": {"ledger": "orders"}}
        )
        assert one_attempt(reading).value == "-1"

        async def work(client):
            for seq in (0, 9, 10, 8):
                await attempt(client, given, seq)

        use(given, work)
        answer = one_attempt(reading)
    assert (answer.outcome, answer.certainty, answer.value) == ("ok", "ok", "10"), "not the last to arrive, and no text order"
