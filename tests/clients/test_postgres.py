"""The PostgreSQL client against real servers: a primary and a streaming standby on loopback."""

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from chaoskit.clients.catalogue import open_client
from chaoskit.ports.client import Answer, ClientConfig, ClientType
from tests.clients.postgres_server import PostgresServer, free_port, missing, postgres_folder
from tests.clients.probing import ProbeProcess, config, rows

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]

W = 0.4
CLASSES = ("fresh", "pooled")


@pytest.fixture(scope="module")
def primary() -> Iterator[PostgresServer]:
    with postgres_folder() as folder:
        server = PostgresServer(folder / "primary")
        server.create()
        server.start(max_connections="40", wal_level="replica")
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def standby(primary: PostgresServer) -> Iterator[PostgresServer]:
    server = PostgresServer(primary.folder.parent / f"standby-{time.monotonic_ns()}")
    server.copy_as_standby(primary)
    server.start(max_connections="40")
    try:
        yield server
    finally:
        server.stop()


def client_config(tmp_path, *servers: PostgresServer | int, **changes: Any) -> ClientConfig:
    """A client of these servers; each has a loopback address of its own but they listen on 127.0.0.1, so one port each."""
    ports = [server if isinstance(server, int) else server.port for server in servers]
    assert len(set(ports)) == 1, "one endpoint has one port"
    given: dict[str, Any] = {
        "type": "postgres",
        "operation": "append",
        "run_id": f"r{time.monotonic_ns()}",
        "deadline_ns": int(W * 1e9),
    }
    return config(tmp_path / "s.sqlite", ports[0], **{**given, **changes})


def use(given: ClientConfig, work: Callable[[ClientType], Coroutine[Any, Any, Any]]) -> Any:
    """Open a client, do `work` with it, close it; nothing of it may be left in the loop."""

    async def main() -> Any:
        client = open_client(given)
        await client.open()
        try:
            return await work(client)
        finally:
            await client.close()
            await asyncio.sleep(0.1)
            assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    return asyncio.run(main())


async def attempt(client: ClientType, given: ClientConfig, seq: int) -> Answer:
    """One attempt, cancelled at W as a probe does; it must be back at once."""
    task = asyncio.ensure_future(client.attempt(f"{given.run_id}.{given.client}.{given.trial}.{seq}"))
    timer = asyncio.get_running_loop().call_later(W, task.cancel)
    began = time.monotonic()
    answer = await task
    timer.cancel()
    assert time.monotonic() - began < W + 0.5
    return answer


def one_attempt(given: ClientConfig) -> Answer:
    return use(given, lambda client: attempt(client, given, 0))


def sql(server: PostgresServer, *statements: str) -> list[Any]:
    """Run statements as an administrator; the last one's rows."""
    with psycopg.connect(f"host=127.0.0.1 port={server.port} user=postgres dbname=postgres", autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


@pytest.mark.parametrize("client_class", [*CLASSES, "direct"])
def test_an_append_is_acknowledged_by_a_named_node_and_read_back(tmp_path, primary, client_class):
    given = client_config(tmp_path, primary, client_class=client_class, target="n1")

    async def work(client: ClientType):
        answers = [await attempt(client, given, seq) for seq in range(3)]
        await attempt(client, given, 2)  # the same token again must be counted, not swallowed
        return answers, await client.read_back(), await client.dump("n1", "127.0.0.1")

    answers, final, dump = use(given, work)
    assert {(a.outcome, a.certainty, a.node, a.term, a.value) for a in answers} == {("ok", "ok", "n1", "1", "primary")}
    token = f"{given.run_id}.orders.0."
    assert final.copies == {f"{token}0": 1, f"{token}1": 1, f"{token}2": 2}
    assert (final.ok, final.node) == (True, "n1")
    assert dump.copies == final.copies


def test_the_ledger_has_no_index_that_could_hide_a_duplicate(tmp_path, primary):
    one_attempt(client_config(tmp_path, primary, client="plain-one"))
    assert sql(primary, "SELECT indisunique FROM pg_index WHERE indrelid = '\"chaoskit_ledger_plain-one\"'::regclass") == [
        (False,)
    ]


@pytest.mark.parametrize("client_class", CLASSES)
def test_the_newest_write_of_a_ledger_is_told_by_its_number(tmp_path, primary, client_class):
    given = client_config(tmp_path, primary, client="counted")
    options = {"ledger": "counted"}
    reading = client_config(
        tmp_path, primary, client="readers", run_id=given.run_id, operation="newest", options=options, client_class=client_class,
        target="db1",
    )  # fmt: skip

    async def work(client):
        for seq in (0, 9, 10, 8):
            await attempt(client, given, seq)

    use(given, work)
    answer = one_attempt(reading)
    assert (answer.outcome, answer.value) == ("ok", "10"), answer
    assert one_attempt(reading.model_copy(update={"run_id": "another"})).value == "-1"


@pytest.mark.parametrize("client_class", CLASSES)
def test_a_read_tells_who_answered_and_what(tmp_path, primary, client_class):
    given = client_config(tmp_path, primary, operation="read", client_class=client_class, options={"query": "SELECT 6 * 7"})
    answer = one_attempt(given)
    assert (answer.outcome, answer.node, answer.term, answer.value) == ("ok", "n1", "1", "42")


def test_a_standby_is_the_wrong_role_for_writers_and_serves_readers(tmp_path, standby):
    writer = client_config(tmp_path, standby, operation="read")
    answer = one_attempt(writer)
    assert (answer.outcome, answer.certainty) == ("wrong_role", "fail")
    reader = one_attempt(client_config(tmp_path, standby, operation="read", endpoint={"target_session_attrs": "any"}))
    assert (reader.outcome, reader.term) == ("ok", "1")
    prefers = one_attempt(client_config(tmp_path, standby, operation="read", endpoint={"target_session_attrs": "prefer-standby"}))
    assert prefers.outcome == "ok"


def test_an_append_to_a_standby_asked_directly_is_surely_not_applied(tmp_path, primary, standby):
    on_primary = client_config(tmp_path, primary, client="direct_one")
    use(on_primary, lambda client: attempt(client, on_primary, 0))  # makes the ledger, which the standby then has too
    given = client_config(tmp_path, standby, client="direct_one", client_class="direct", target="n1")

    async def work() -> Answer:
        return await attempt(open_client(given), given, 0)

    deadline = time.monotonic() + 10
    while (answer := asyncio.run(work())).error.startswith("42P01") and time.monotonic() < deadline:
        time.sleep(0.1)  # the table is still on its way
    assert (answer.outcome, answer.certainty, answer.node) == ("wrong_role", "fail", "n1"), answer


def test_a_promoted_standby_answers_with_the_new_timeline(tmp_path, standby):
    given = client_config(tmp_path, standby, operation="read")
    sql(standby, "SELECT pg_promote()")
    answer = one_attempt(given)
    assert (answer.outcome, answer.term, answer.value.isdigit()) == ("ok", "2", True)


def test_a_read_only_primary_is_the_wrong_role(tmp_path, primary):
    given = client_config(tmp_path, primary)

    async def work(client: ClientType) -> Answer:
        await asyncio.to_thread(
            sql, primary, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf(), pg_sleep(0.3)"
        )
        return await attempt(client, given, 0)

    try:
        answer = use(given, work)
    finally:
        sql(
            primary,
            "SET default_transaction_read_only = off",
            "ALTER SYSTEM RESET default_transaction_read_only",
            "SELECT pg_reload_conf(), pg_sleep(0.3)",
        )
    assert (answer.outcome, answer.certainty) == ("wrong_role", "fail")
    assert "read-only" in answer.error


def test_a_dead_host_is_passed_over_within_the_deadline(tmp_path, primary):
    hosts = (("dead", "127.0.0.7"), ("alive", "127.0.0.1"))
    given = client_config(tmp_path, primary, hosts=hosts)
    answer = one_attempt(given)
    assert (answer.outcome, answer.node) == ("ok", "alive")


def test_a_host_that_accepts_and_never_speaks_costs_its_share_and_no_more(tmp_path, primary):
    with socket.socket() as mute:
        mute.bind(("127.0.0.8", primary.port))
        mute.listen(16)
        given = client_config(tmp_path, primary, operation="read", hosts=(("mute", "127.0.0.8"), ("alive", "127.0.0.1")))
        answers = use(given, lambda client: _several(client, given, 2))
    assert [(a.outcome, a.node) for a in answers] == [("ok", "alive"), ("ok", "alive")]


async def _several(client: ClientType, given: ClientConfig, count: int) -> list[Answer]:
    return [await attempt(client, given, seq) for seq in range(count)]


def test_nothing_listens_and_nothing_is_there(tmp_path, primary):
    refused = one_attempt(client_config(tmp_path, free_port(), operation="read"))
    assert (refused.outcome, refused.certainty) == ("refused", "fail")
    no_database = one_attempt(client_config(tmp_path, primary, operation="read", endpoint={"database": "nowhere"}))
    assert (no_database.outcome, no_database.certainty) == ("app_error", "fail")
    assert "nowhere" in no_database.error


@pytest.mark.parametrize("operation", ["append", "read"])
def test_too_many_connections_are_a_refusal(tmp_path, primary, operation):
    given = client_config(tmp_path, primary, operation=operation)

    async def work(client: ClientType) -> Answer:
        held = []
        try:
            while True:
                held.append(await psycopg.AsyncConnection.connect(f"host=127.0.0.1 port={primary.port} user=postgres"))
        except psycopg.OperationalError:
            return await attempt(client, given, 0)
        finally:
            for connection in held:
                await connection.close()

    answer = use(given, work)
    assert (answer.outcome, answer.certainty) == ("refused", "fail"), answer


@pytest.mark.parametrize("client_class", CLASSES)
@pytest.mark.parametrize("whole", [True, False], ids=["all processes", "postmaster only"])
def test_a_frozen_server_costs_the_deadline_and_leaks_nothing(tmp_path, primary, client_class, whole):
    given = client_config(tmp_path, primary, client_class=client_class, options={"pool_size": 4})

    async def work(client: ClientType):
        before = await _several(client, given, 2)
        (primary.signal_all if whole else primary.signal_postmaster)(signal.SIGSTOP)
        try:
            descriptors = len(os.listdir("/proc/self/fd"))
            frozen = await asyncio.gather(*(attempt(client, given, 10 + seq) for seq in range(30)))
            left = len(os.listdir("/proc/self/fd")) - descriptors
        finally:
            primary.signal_all(signal.SIGCONT)
        deadline = time.monotonic() + 15
        while (after := await attempt(client, given, 99)).outcome != "ok":
            assert time.monotonic() < deadline, after
        return before, frozen, left

    before, frozen, left = use(given, work)
    assert {a.outcome for a in before} == {"ok"}
    if client_class == "fresh" or whole:
        assert {a.outcome for a in frozen} == {"timeout"}
    if client_class == "fresh":
        assert {a.certainty for a in frozen} == {"fail"}, "nothing was sent: the server never came to accept a session"
        assert left <= 0
    else:
        assert left <= 4, "at most one cancel request a pooled connection"


@pytest.mark.parametrize("client_class", CLASSES)
def test_a_commit_that_no_standby_confirms_is_unknown(tmp_path, primary, client_class):
    given = client_config(tmp_path, primary, client_class=client_class, options={"pool_size": 2})

    async def work(client: ClientType):
        await asyncio.to_thread(_synchronous, primary, "ghost")
        try:
            waiting = await attempt(client, given, 0)
            cancelled = await _while(attempt(client, given, 1), lambda: _end_waiters(primary, "pg_cancel_backend"))
            terminated = await _while(attempt(client, given, 2), lambda: _end_waiters(primary, "pg_terminate_backend"))
        finally:
            await asyncio.to_thread(_synchronous, primary, "")
        return waiting, cancelled, terminated, await client.read_back()

    waiting, cancelled, terminated, final = use(given, work)
    assert (waiting.outcome, waiting.certainty) == ("timeout", "info")
    assert cancelled.certainty == "info", "the server said success, but no standby has it"
    assert "synchronous replication" in cancelled.error
    assert terminated.certainty == "info"
    assert len(final.copies) == 3, "each of them was applied: none may be called failed"


def _synchronous(server: PostgresServer, names: str) -> None:
    sql(
        server,
        "SET synchronous_commit = local",
        f"ALTER SYSTEM SET synchronous_standby_names = '{names}'",
        "SELECT pg_reload_conf(), pg_sleep(0.3)",
    )


async def _while(work: Coroutine[Any, Any, Answer], act: Callable[[], None]) -> Answer:
    thread = threading.Thread(target=act)
    thread.start()
    try:
        return await work
    finally:
        await asyncio.to_thread(thread.join)


def _end_waiters(server: PostgresServer, function: str) -> None:
    """Again and again: the sessions of earlier attempts wait as well, though their client has gone."""
    deadline = time.monotonic() + W / 2
    while time.monotonic() < deadline:
        sql(server, f"SELECT {function}(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        time.sleep(0.02)


@pytest.mark.parametrize("client_class", CLASSES)
def test_after_a_crash_under_load_no_acknowledged_write_is_missing_and_no_failed_one_is_there(tmp_path, primary, client_class):
    given = client_config(
        tmp_path, primary, client_class=client_class, client="crash", interval_ns=50_000_000, window_ns=1_000_000_000
    )
    probe = ProbeProcess(given)
    try:
        probe.wait_for("running")
        time.sleep(1.0)
        primary.kill()
        time.sleep(0.7)
        primary.start(max_connections="40", wal_level="replica")
        time.sleep(4.0 if client_class == "pooled" else 1.0)
        probe.tell("drain")
        probe.wait_for("drained")
        probe.tell("read_back")
        probe.wait_for("done", within_s=60)
        code, _, errors = probe.end()
    finally:
        probe.kill()
    assert code == 0, errors
    assert rows(probe.spool, "SELECT kind, ok, detail FROM read_backs") == [("final", 1, None), ("dump", 1, None)]
    found = {kind: set(rows(probe.spool, f"SELECT token FROM reads WHERE kind = '{kind}'")) for kind in ("final", "dump")}
    by = {c: set(rows(probe.spool, f"SELECT token FROM samples WHERE certainty = '{c}'")) for c in ("ok", "fail", "info")}
    outcomes = dict(rows(probe.spool, "SELECT outcome, count(*) FROM samples GROUP BY 1"))
    assert len(by["ok"]) > 150, outcomes
    assert by["fail"], outcomes
    assert by["ok"] - found["final"] == set(), "acknowledged with fsync on, and lost"
    assert by["fail"] & found["final"] == set(), "called surely not applied, and there"
    assert found["final"] - by["ok"] - by["info"] == set(), "never attempted, and there"
    assert found["dump"] == found["final"]
    if client_class == "fresh":
        assert outcomes.get("refused", 0) > 10, outcomes


def test_what_was_called_not_applied_is_not_sent_afterwards(tmp_path, primary, monkeypatch):
    """The pool may hand over a connection at the very deadline and swallow the cancellation (asyncio.wait_for before 3.12)."""
    given = client_config(tmp_path, primary, client_class="pooled", options={"pool_size": 2})

    async def work(client: ClientType):
        hand_over = AsyncConnectionPool.getconn

        async def at_the_deadline(pool: Any, timeout: float | None = None) -> Any:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            return await hand_over(pool, timeout)

        monkeypatch.setattr(AsyncConnectionPool, "getconn", at_the_deadline)
        answer = await attempt(client, given, 0)
        await asyncio.sleep(0.5)  # time enough for a statement that should not be sent
        monkeypatch.undo()
        return answer, await attempt(client, given, 1), await client.read_back()

    late, next_one, final = use(given, work)
    assert (late.outcome, late.certainty) == ("timeout", "fail")
    assert next_one.outcome == "ok", "the connection went back to the pool"
    assert final.copies == {f"{given.run_id}.orders.0.1": 1}


def test_a_ledger_that_cannot_be_read_is_a_row_that_says_so(tmp_path, primary):
    given = client_config(tmp_path, primary)

    async def work(client: ClientType):
        return await client.dump("n9", "127.0.0.9")

    dump = use(given, work)
    assert (dump.ok, dump.copies, dump.node) == (False, {}, "n9")
    assert "refused" in dump.detail


def test_a_service_that_cannot_be_opened_fails_with_the_reason(tmp_path, monkeypatch):
    probe = ProbeProcess(client_config(tmp_path, free_port(), options={"pool_sze": 3}))
    code, status, _ = probe.end()
    assert (code, status.phase) == (2, "failed")
    assert "did you mean 'pool_size'?" in status.last_error
