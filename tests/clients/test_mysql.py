"""The MySQL client against a real MariaDB on loopback."""

import signal
import tempfile
import time
from pathlib import Path

import pytest

pytest.importorskip("aiomysql", reason="aiomysql is not installed: pip install 'chaoskit[mysql]'")

from tests.clients.mysql_server import MariaServer, missing
from tests.clients.postgres_server import free_port
from tests.clients.probing import ProbeProcess, config, rows
from tests.clients.using import attempt, one_attempt, token, use

GALERA = Path("/usr/lib/galera/libgalera_smm.so")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]


@pytest.fixture(scope="module")
def server():
    with tempfile.TemporaryDirectory() as folder:  # a socket's path must stay short
        made = MariaServer(Path(folder))
        made.create()
        made.start()
        try:
            yield made
        finally:
            made.stop()


def mysql_config(tmp_path, server, **changes):
    given = {"type": "mysql", "operation": "append", "run_id": f"r{time.monotonic_ns()}", "deadline_ns": 500_000_000}
    return config(tmp_path / "s.sqlite", server.port, **{**given, **changes})


@pytest.mark.parametrize("client_class", ["fresh", "pooled", "direct"])
def test_an_append_is_acknowledged_by_a_named_node_and_read_back(tmp_path, server, client_class):
    given = mysql_config(tmp_path, server, client_class=client_class, target="n1")

    async def work(client):
        answers = [await attempt(client, given, seq) for seq in (0, 1, 1)]
        return answers, await client.read_back(), await client.dump("n1", "127.0.0.1")

    answers, final, dump = use(given, work)
    assert {(a.outcome, a.certainty, a.node) for a in answers} == {("ok", "ok", "n1")}, answers
    assert final.copies == {token(given, 0): 1, token(given, 1): 2}, "what was applied twice is seen twice"
    assert (final.ok, final.node, dump.node) == (True, "n1", "n1")
    assert dump.copies == final.copies


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
def test_a_read_tells_what_it_found(tmp_path, server, client_class):
    given = mysql_config(tmp_path, server, client_class=client_class, operation="read", options={"query": "SELECT 6 * 7"})
    assert one_attempt(given).value == "42"


def test_a_read_only_server_is_the_wrong_role_and_still_tells_its_ledger(tmp_path, server):
    given = mysql_config(tmp_path, server)
    assert one_attempt(given).outcome == "ok"
    server.run("SET GLOBAL read_only = 1")
    try:
        answer = one_attempt(given, opened=False)
        assert (answer.outcome, answer.certainty) == ("wrong_role", "fail")
        assert not use(given, lambda client: client.read_back(), opened=False).ok, "no writable server to ask"
        dump = use(given, lambda client: client.dump("n1", "127.0.0.1"), opened=False)
        assert dump.copies == {token(given, 0): 1}
        reader = mysql_config(tmp_path, server, operation="read", endpoint={"role": "any"})
        assert one_attempt(reader).outcome == "ok"
    finally:
        server.run("SET GLOBAL read_only = 0")


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
def test_a_stopped_server_costs_the_deadline_and_no_more(tmp_path, server, client_class):
    given = mysql_config(tmp_path, server, client_class=client_class)

    async def work(client):
        first = await attempt(client, given, 0)
        server.stand_still()
        try:
            stopped = await attempt(client, given, 1)
        finally:
            server.signal(signal.SIGCONT)
        return first, stopped, await attempt(client, given, 2)

    first, stopped, after = use(given, work)
    assert (first.outcome, after.outcome) == ("ok", "ok"), after
    assert (stopped.outcome, stopped.certainty) == ("timeout", "fail" if client_class == "fresh" else "info")


@pytest.mark.skipif(not GALERA.exists(), reason="galera-4 is not installed: apt-get install galera-4")
def test_a_galera_node_without_its_cluster_is_the_wrong_role_and_still_tells_its_own_ledger(tmp_path):
    with tempfile.TemporaryDirectory() as folder:
        node = MariaServer(Path(folder))
        node.create()
        peers = f"--wsrep-node-address=127.0.0.1:{free_port()}"
        wsrep = ("--wsrep-on=ON", f"--wsrep-provider={GALERA}", "--binlog-format=ROW", "--innodb-autoinc-lock-mode=2",
                 "--wsrep-cluster-address=gcomm://", peers, "--wsrep-sst-method=rsync")  # fmt: skip
        node.start(*wsrep)
        try:
            given = mysql_config(tmp_path, node)

            async def work(client):
                first = await attempt(client, given, 0)
                # as a node that finds itself in the minority
                node.run("SET GLOBAL wsrep_cluster_address = 'gcomm://127.0.0.9:1?pc.wait_prim=no'")
                alone = await attempt(client, given, 1)
                return first, alone, await client.read_back(), await client.dump("n1", "127.0.0.1")

            first, alone, final, dump = use(given, work)
        finally:
            node.stop()
    assert (first.outcome, first.certainty) == ("ok", "ok")
    assert (alone.outcome, alone.certainty) == ("wrong_role", "fail"), alone
    assert not final.ok
    assert dump.copies == {token(given, 0): 1}, dump


def test_a_lock_held_by_another_is_a_time_out_that_may_take_effect(tmp_path, server):
    import pymysql

    given = mysql_config(tmp_path, server)
    assert one_attempt(given).outcome == "ok"
    with pymysql.connect(host="127.0.0.1", port=server.port, user="root", database="test") as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLES `chaoskit_ledger_orders` READ")
        answer = one_attempt(given, opened=False)
        assert (answer.outcome, answer.certainty) == ("timeout", "info"), answer


def test_a_probe_measures_it_and_reads_back_what_it_acknowledged(tmp_path, server):
    probe = ProbeProcess(mysql_config(tmp_path, server))
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
def test_the_newest_write_of_a_ledger_is_told_by_its_number(tmp_path, server, client_class):
    given = mysql_config(tmp_path, server)
    reading = given.model_copy(
        update={"client": "readers", "client_class": client_class, "operation": "newest", "options": {"ledger": "orders"}}
    )

    async def work(client):
        for seq in (0, 9, 10, 8):
            await attempt(client, given, seq)

    use(given, work)
    answer = one_attempt(reading)
    assert (answer.outcome, answer.value) == ("ok", "10"), "not the last to arrive, and no text order"
    assert one_attempt(reading.model_copy(update={"run_id": "another"})).value == "-1"
