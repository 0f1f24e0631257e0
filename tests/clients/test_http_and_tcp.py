import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from chaoskit.clients.catalogue import open_client
from chaoskit.model.errors import InputError
from chaoskit.ports.client import Answer, ClientConfig, ClientType
from tests.clients.probing import config
from tests.clients.scripted_service import ScriptedService, silent_port

DEADLINE_S = 0.3


def answers(given: ClientConfig, count: int = 1, between: Callable[[], object] = lambda: None) -> list[Answer]:
    """What a client answers to so many attempts one after the other, each cancelled at the deadline as a probe does."""

    async def main() -> list[Answer]:
        client: ClientType = open_client(given)
        await client.open()
        found = []
        for number in range(count):
            if number:
                between()
            found.append(await _attempt(client, number))
        await client.close()
        await asyncio.sleep(0.1)
        assert [t for t in asyncio.all_tasks() if t is not asyncio.current_task()] == []
        return found

    return asyncio.run(main())


async def _attempt(client: ClientType, number: int) -> Answer:
    task = asyncio.ensure_future(client.attempt(f"r1.orders.0.{number}"))
    asyncio.get_running_loop().call_later(DEADLINE_S, task.cancel)
    began = time.monotonic()
    answer = await task
    assert time.monotonic() - began < DEADLINE_S + 1.0
    return answer


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
@pytest.mark.parametrize(
    ("mode", "outcome", "certainty"),
    [
        ("answer", "ok", "ok"),
        ("hang", "timeout", "info"),
        ("reset", "reset", "info"),
        ("truncate", "reset", "info"),
        ("error", "app_error", "fail"),
    ],
)
def test_http_tells_what_became_of_a_request(tmp_path, client_class, mode, outcome, certainty):
    with ScriptedService(mode) as service:
        (answer,) = answers(config(tmp_path / "s", service.port, client_class=client_class))
    assert (answer.outcome, answer.certainty) == (outcome, certainty), answer
    assert answer.node == "n1"


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
def test_http_refused_means_nothing_was_sent(tmp_path, client_class):
    with ScriptedService() as service:
        service.refuse()
        (answer,) = answers(config(tmp_path / "s", service.port, client_class=client_class))
    assert (answer.outcome, answer.certainty, answer.node) == ("refused", "fail", "")


STICKY = {"node_header": "X-Node", "sessions": 2, "sticky": True}


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
def test_each_user_keeps_his_cookie_and_his_server(tmp_path, client_class):
    with ScriptedService("balance") as service:
        found = answers(config(tmp_path / "s", service.port, client_class=client_class, options=STICKY), count=6)
    assert [(a.outcome, a.node) for a in found] == [("ok", "web1"), ("ok", "web2")] * 3


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
def test_a_user_who_is_moved_has_lost_his_session_once(tmp_path, client_class):
    with ScriptedService("balance") as service:
        given = config(tmp_path / "s", service.port, client_class=client_class, options=STICKY)
        steps = iter(range(1, 100))

        def lose_a_server():
            if next(steps) == 2:  # both users have been served once
                service.servers.remove("web1")

        found = answers(given, count=6, between=lose_a_server)
    assert [a.outcome for a in found] == ["ok", "ok", "wrong_data", "ok", "ok", "ok"]
    moved = found[2]
    assert (moved.certainty, moved.error) == ("fail", f"the session moved from web1 to {moved.node}")
    assert [a.node for a in found[2::2]] == [moved.node] * 2
    assert [a.node for a in found[1::2]] == ["web2"] * 3


def test_without_users_a_fresh_client_brings_no_cookie(tmp_path):
    with ScriptedService("balance") as service:
        found = answers(config(tmp_path / "s", service.port, options={"node_header": "X-Node"}), count=3)
    assert [a.node for a in found] == ["web1", "web2", "web3"]


def test_a_pooled_client_without_users_keeps_one_cookie_for_all(tmp_path):
    with ScriptedService("balance") as service:
        given = config(tmp_path / "s", service.port, client_class="pooled", options={"node_header": "X-Node"})
        found = answers(given, count=3)
    assert [a.node for a in found] == ["web1"] * 3


def test_sticky_without_users_is_refused(tmp_path):
    with pytest.raises(InputError) as refused:
        open_client(config(tmp_path / "s", 1, options={"sticky": True}))
    assert "say how many users there are, as in sessions: 10" in str(refused.value)


def test_http_instants_are_in_order(tmp_path):
    before = time.monotonic_ns()
    with ScriptedService() as service:
        (answer,) = answers(config(tmp_path / "s", service.port))
    assert answer.t_connected is not None
    assert answer.t_first_byte is not None
    assert before < answer.t_connected < answer.t_first_byte < time.monotonic_ns()


def test_http_checks_status_body_and_names_the_node(tmp_path):
    with ScriptedService() as service:
        (good,) = answers(config(tmp_path / "s", service.port, options={"expect_body": "hel+o", "node_header": "X-Node"}))
        (body,) = answers(config(tmp_path / "s", service.port, options={"expect_body": "goodbye"}))
        (status,) = answers(config(tmp_path / "s", service.port, options={"expect_status": 204}))
    assert (good.outcome, good.node) == ("ok", "alpha")
    assert (body.outcome, body.value) == ("wrong_data", "hello 1")
    assert (status.outcome, status.value) == ("app_error", "200")


def test_fresh_connects_each_time_and_pooled_keeps_its_connection(tmp_path):
    with ScriptedService() as service:
        answers(config(tmp_path / "s", service.port), count=3)
        assert service.accepted == 3
        answers(config(tmp_path / "s", service.port, client_class="pooled", options={"pool_size": 1}), count=3)
        assert service.accepted == 4


def test_a_request_that_never_got_a_thread_is_not_sent_afterwards(tmp_path):
    holding_s = 6 * DEADLINE_S
    with ScriptedService("hang") as service:
        options = {"pool_size": 1}
        given = config(tmp_path / "s", service.port, client_class="pooled", options=options, deadline_ns=round(holding_s * 1e9))

        async def main() -> tuple[Answer, Answer]:
            client = open_client(given)
            await client.open()
            first = asyncio.ensure_future(client.attempt("r1.orders.0.0"))
            while service.requests == 0:
                await asyncio.sleep(0.001)
            # long before the first lets go of the thread, so that a test that wakes up late cannot make it free in time
            second = await _attempt(client, 1)
            found = await first, second
            await asyncio.sleep(3 * DEADLINE_S)
            await client.close()
            return found

        first, second = asyncio.run(main())
        assert (first.outcome, first.certainty) == ("timeout", "info"), first
        assert (second.outcome, second.certainty) == ("timeout", "fail"), second
        assert service.requests == 1


def test_a_request_whose_deadline_is_over_is_not_sent_though_nobody_could_cancel_it(tmp_path):
    """A thread gets free while the event loop is held up: only the clock can say that it is too late."""
    with ScriptedService() as service:
        options = {"pool_size": 1}
        given = config(tmp_path / "s", service.port, client_class="pooled", options=options, deadline_ns=round(DEADLINE_S * 1e9))

        async def main() -> Answer:
            client: Any = open_client(given)
            await client.open()
            client._way._threads.submit(time.sleep, 2 * DEADLINE_S)
            asked = asyncio.ensure_future(client.attempt("r1.orders.0.0"))
            await asyncio.sleep(0)
            time.sleep(3 * DEADLINE_S)
            answer = await asked
            await client.close()
            return answer

        answer = asyncio.run(main())
        assert (answer.outcome, answer.certainty) == ("timeout", "fail"), answer
        assert service.requests == 0


@pytest.mark.parametrize(("kind", "operation"), [("http", "get"), ("tcp", "connect")])
def test_the_next_host_is_tried_when_one_does_not_let_itself_be_connected(tmp_path, kind, operation):
    with ScriptedService() as service:
        given = config(
            tmp_path / "s", service.port, type=kind, operation=operation, hosts=(("dead", "127.0.0.9"), ("alive", "127.0.0.1"))
        )
        first, second = answers(given, count=2)
    assert (first.outcome, first.node) == ("ok", "alive")
    assert second.node == "alive"


@pytest.mark.parametrize(("kind", "operation"), [("http", "get"), ("tcp", "connect")])
def test_a_silent_host_costs_the_deadline_and_leaves_nothing_open(tmp_path, kind, operation):
    with silent_port() as port:
        before = len(os.listdir("/proc/self/fd"))
        found = answers(config(tmp_path / "s", port, type=kind, operation=operation, deadline_ns=250_000_000), count=3)
        assert len(os.listdir("/proc/self/fd")) <= before
    assert {(a.outcome, a.certainty) for a in found} == {("timeout", "fail")}


def test_tcp_handshakes_with_a_service_that_never_answers(tmp_path):
    with ScriptedService("hang") as service:
        (answer,) = answers(config(tmp_path / "s", service.port, type="tcp", operation="connect"))
        assert (answer.outcome, answer.node) == ("ok", "n1")
        service.refuse()
        (refused,) = answers(config(tmp_path / "s", service.port, type="tcp", operation="connect"))
    assert (refused.outcome, refused.certainty) == ("refused", "fail")


def test_tcp_closes_without_a_reset_even_when_the_server_speaks_first(tmp_path):
    ends: list[str] = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 banner\r\n" * 100)
        try:
            await reader.read()
            ends.append("fin")
        except ConnectionResetError:
            ends.append("reset")
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        client = open_client(config(tmp_path / "s", server.sockets[0].getsockname()[1], type="tcp", operation="connect"))
        assert (await client.attempt("r.c.0.0")).outcome == "ok"
        await asyncio.sleep(0.3)
        await client.close()
        server.close()

    asyncio.run(main())
    assert ends == ["fin"]


def test_wrong_keys_name_the_nearest_right_one_and_all_at_once(tmp_path):
    with pytest.raises(InputError) as caught:
        open_client(config(tmp_path / "s", 1, options={"pth": "/", "expect_status": 9}))
    text = str(caught.value)
    assert "did you mean 'path'?" in text
    assert "clients.orders.expect_status" in text


def test_unknown_types_operations_and_classes_are_refused_with_what_there_is(tmp_path):
    with pytest.raises(InputError, match="postgres"):
        open_client(config(tmp_path / "s", 1, type="postgre"))
    with pytest.raises(InputError) as caught:
        open_client(config(tmp_path / "s", 1, operation="put", client_class="leased"))
    assert "get" in str(caught.value)
    assert "pooled" in str(caught.value)


def test_names_that_do_not_resolve_are_dns_failures(tmp_path, monkeypatch):
    def nowhere(*_: object, **__: object) -> Awaitable[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    given = config(tmp_path / "s", 1, type="tcp", operation="connect", hosts=(("n1", "nowhere.invalid"),))
    (answer,) = answers(given)
    assert (answer.outcome, answer.certainty) == ("dns", "fail")
