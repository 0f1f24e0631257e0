"""Attempts on bare sockets: they tell the same as those of the libraries, and keep every rule of the open loop."""

import itertools
import os
import socket
import threading
import time
from collections import Counter

import pytest

from chaoskit.clients.catalogue import open_client
from chaoskit.clients.hosts import Host, HostOrder
from chaoskit.clients.wire.attempt import WireAttempt
from chaoskit.clients.wire.http import HttpExchange, get_request, header
from tests.clients.probing import config
from tests.clients.scripted_service import ScriptedService, silent_port
from tests.clients.test_http_and_tcp import answers
from tests.clients.wired import MS, PLAIN, sent


@pytest.mark.parametrize("mode", ["answer", "hang", "reset", "truncate", "error", "garbage"])
def test_each_fate_is_told_as_the_library_tells_it(tmp_path, mode):
    with ScriptedService(mode) as service:
        (known,) = answers(config(tmp_path / "a", service.port))
        found, _ = sent(config(tmp_path / "b", service.port, deadline_ns=100 * MS))
    assert len(found) > 20
    told = Counter((r["outcome"], r["certainty"], r["node"], r["value"] or "") for r in found)
    ((fate, count),) = told.most_common(1)
    assert fate == (known.outcome, known.certainty, known.node, known.value)
    assert count > 0.7 * len(found), f"on a busy machine some may run into W: {told}"


def test_refused_means_nothing_was_sent(tmp_path):
    with ScriptedService() as service:
        service.refuse()
        found, tally = sent(config(tmp_path / "s", service.port))
    assert {(r["outcome"], r["certainty"], r["node"]) for r in found} == {("refused", "fail", None)}
    assert "Connection refused" in found[0]["error"]
    assert (tally.attempts, tally.ok) == (len(found), 0)


@pytest.mark.parametrize(("kind", "operation"), [("http", "get"), ("tcp", "connect")])
def test_a_silent_host_costs_w_and_leaves_nothing_open(tmp_path, kind, operation):
    with silent_port() as port:
        before = len(os.listdir("/proc/self/fd"))
        found, _ = sent(config(tmp_path / "s", port, type=kind, operation=operation, deadline_ns=80 * MS))
        assert len(os.listdir("/proc/self/fd")) <= before + 4, "the loop's own three, and the spool's"
    assert {(r["outcome"], r["certainty"]) for r in found} == {("timeout", "fail")}
    assert all(r["t_end"] - r["t_intended"] >= 80 * MS for r in found)
    assert [r["seq"] for r in found] == list(range(len(found))), "none was kept back, and none recorded twice"


@pytest.mark.parametrize(("kind", "operation"), [("http", "get"), ("tcp", "connect")])
def test_the_next_host_is_tried_and_the_one_that_served_comes_first(tmp_path, kind, operation):
    with ScriptedService() as service:
        hosts = (("dead", "127.0.0.9"), ("alive", "127.0.0.1"))
        found, _ = sent(config(tmp_path / "s", service.port, type=kind, operation=operation, hosts=hosts))
    assert {(r["outcome"], r["node"]) for r in found} == {("ok", "alive")}


def test_all_hosts_failed_names_all_and_the_most_telling_outcome(tmp_path):
    with silent_port() as port:
        hosts = (("silent", "127.0.0.1"), ("gone", "127.0.0.9"))
        options = {"connect_timeout": "30ms"}
        found, _ = sent(config(tmp_path / "s", port, hosts=hosts, options=options, deadline_ns=200 * MS))
    assert {r["outcome"] for r in found} == {"timeout"}
    assert all("silent: not connected within 30 ms" in r["error"] and "gone: " in r["error"] for r in found[:10])


def test_instants_are_in_order_and_tokens_are_those_of_the_open_loop(tmp_path):
    with ScriptedService() as service:
        found, tally = sent(config(tmp_path / "s", service.port))
    for r in found:
        assert r["t_intended"] <= r["t_send"] <= r["t_connected"] <= r["t_first_byte"] <= r["t_end"]
        assert r["token"] == f"r1.orders.0.{r['seq']}"
    gaps = {b["t_intended"] - a["t_intended"] for a, b in itertools.pairwise(found)}
    assert gaps == {10 * MS}
    assert tally.ok == len(found)


def test_fresh_connects_for_each_attempt_and_plain_keeps_its_connections(tmp_path):
    with ScriptedService() as service:
        found, _ = sent(config(tmp_path / "a", service.port))
        assert service.accepted == len(found)
    with ScriptedService() as service:
        found, _ = sent(config(tmp_path / "b", service.port, **PLAIN))
        assert service.accepted <= 3 < len(found) == service.requests
    assert {r["outcome"] for r in found} == {"ok"}
    assert found[-1]["t_connected"] is None, "it was connected long before"


def test_a_kept_connection_that_the_server_closed_meanwhile_harms_nobody(tmp_path):
    """It answers twice on each connection, then closes it without having said so."""
    served = []

    def answer_twice(connection):
        with connection:
            for _ in range(2):
                if not connection.recv(4096):
                    break
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                served.append(1)

    def serve(listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer_twice, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        found, _ = sent(config(tmp_path / "s", listener.getsockname()[1], **PLAIN))
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(2)
    assert {r["outcome"] for r in found} == {"ok"}
    assert len(served) == len(found) > 20


def test_a_late_answer_is_noted_and_the_attempt_has_failed_at_w(tmp_path):
    with ScriptedService() as service:
        found, tally = sent(
            config(tmp_path / "s", service.port, deadline_ns=50 * MS, in_flight=30),
            for_s=1.0,
            meanwhile=lambda: service.stall(0.2),
        )
    late = [r for r in found if r["late_end"] is not None]
    assert len(late) > 5
    assert {(r["outcome"], r["certainty"], r["t_end"] - r["t_intended"]) for r in late} == {("timeout", "ok", 50 * MS)}
    assert all(50 * MS < r["late_end"] - r["t_intended"] < 400 * MS for r in late)
    assert tally.attempts == len(found)
    assert tally.ok == sum(r["outcome"] == "ok" for r in found)


def test_only_so_many_are_left_to_themselves_and_kept_connections_never(tmp_path):
    with ScriptedService("hang") as service:
        found, _ = sent(config(tmp_path / "s", service.port, deadline_ns=50 * MS, **PLAIN))
    tried = [r for r in found if r["t_send"] is not None]
    assert len(tried) > 20
    assert {(r["outcome"], r["certainty"], r["late_end"]) for r in tried} == {("timeout", "info", None)}


def test_too_many_in_flight_are_recorded_as_not_sent(tmp_path):
    with ScriptedService("hang") as service:
        found, _ = sent(config(tmp_path / "s", service.port, in_flight=5, deadline_ns=300 * MS))
    not_sent = [r for r in found if r["outcome"] == "not_sent"]
    assert not_sent
    late = "this process woke up after the deadline"  # where the machine is busy
    assert all(r["t_send"] is None for r in not_sent)
    assert any("5 attempts in flight" in r["error"] and r["in_flight"] == 5 for r in not_sent)
    assert all("5 attempts in flight" in r["error"] or r["error"] == late for r in not_sent)
    assert [r["seq"] for r in found] == list(range(len(found))), "every intended instant has its row"


def test_a_slow_answer_within_w_is_degraded_beyond_the_slo(tmp_path):
    with ScriptedService() as service:
        given = config(tmp_path / "s", service.port, slo_ns=60 * MS)
        found, _ = sent(given, for_s=0.8, meanwhile=lambda: service.stall(0.15))
    slow = [r for r in found if r["t_end"] - r["t_intended"] > 60 * MS and r["outcome"] != "timeout"]
    assert slow
    assert {r["outcome"] for r in slow} == {"degraded"}
    assert found[-1]["outcome"] == "ok"


def test_tcp_closes_without_a_reset_even_when_the_server_speaks_first(tmp_path):
    ends = []

    def greet(listener):
        for _ in range(3):
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"220 banner\r\n" * 100)
                try:
                    while connection.recv(4096):
                        pass
                    ends.append("fin")
                except ConnectionResetError:
                    ends.append("reset")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=greet, args=(listener,), daemon=True)
        thread.start()
        found, _ = sent(config(tmp_path / "s", listener.getsockname()[1], type="tcp", operation="connect", probes=1), for_s=0.25)
        thread.join(1)
    assert ends[:2] == ["fin", "fin"]
    assert found[0]["outcome"] == "ok"
    assert found[0]["t_first_byte"] is None


@pytest.mark.parametrize(
    "changes",
    [
        {"endpoint": {"tls": True}},
        {"hosts": (("web", "web.example"),)},
        {"options": {"sessions": 3}},
        {"client_class": "pooled"},
    ],
)
def test_what_needs_more_than_a_socket_is_left_to_the_library(tmp_path, changes):
    assert open_client(config(tmp_path / "s", 80, **changes)).wire() is None


# -- reading answers, byte by byte ----------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=1\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + OK
UNTIL_CLOSED = b"HTTP/1.0 200 OK\r\n\r\nhello"


def exchange(told):
    def judge(attempt, status, head, body):
        told.append((status, body))

    return HttpExchange(HostOrder([Host("n", "127.0.0.1", 80)]), b"GET", 1, 1, judge)


@pytest.mark.parametrize(
    ("answer", "closes", "keeps"),
    [(OK, False, True), (CHUNKED, False, True), (INTERIM, False, True), (UNTIL_CLOSED, True, False)],
)
def test_an_answer_is_read_whole_however_it_comes_in_pieces(answer, closes, keeps):
    for step in (1, 2, 7, 1000):
        told, attempt = [], WireAttempt(0, 0, 0)
        reader = exchange(told)
        pieces = [answer[i : i + step] for i in range(0, len(answer), step)]
        said = [reader.read(attempt, piece) for piece in pieces]
        if closes:
            assert not told
            said.append(reader.read(attempt, b""))
        assert said[:-1] == [None] * (len(said) - 1)
        assert said[-1] is keeps
        assert told == [(200, b"hello")]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b"", "reset"), (b"HTTP/1.1 200 OK\r\nContent-Le", "reset"), (OK[:-1], "reset"), (CHUNKED[:-9], "reset"),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n", "app_error"), (b"a\r\n\r\n", "app_error"),
        (b"HTTP/1.1 200 " + b"x" * 70000, "app_error"),
    ],
)  # fmt: skip
def test_what_is_no_whole_answer_is_none(answer, outcome):
    told, attempt = [], WireAttempt(0, 0, 0)
    reader = exchange(told)
    if (answer and reader.read(attempt, answer) is None) or not answer:
        reader.read(attempt, b"")
    assert not told
    assert (attempt.outcome, attempt.certainty) == (outcome, "info")


def test_a_server_that_says_it_closes_is_not_kept_and_no_content_has_no_body():
    told = []
    assert exchange(told).read(WireAttempt(0, 0, 0), OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")) is False
    assert exchange(told).read(WireAttempt(0, 0, 0), b"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n") is True
    assert told == [(200, b"hello"), (204, b"")]


def test_requests_and_headers():
    assert get_request("h:8080", "/a?b", keep=True).startswith(b"GET /a?b HTTP/1.1\r\nHost: h:8080\r\n")
    assert b"Connection: close" in get_request("h", "/", keep=False)
    head = b"HTTP/1.1 200 OK\r\nX-Node: web2 \r\nX-Nodes: no\r\n"
    assert header(head, "x-node") == "web2"
    assert header(head, "missing") == ""


def test_the_loop_is_late_by_less_than_a_millisecond_at_500_a_second(tmp_path):
    with ScriptedService() as service:
        found, _ = sent(config(tmp_path / "s", service.port, interval_ns=100 * MS, probes=50, **PLAIN), for_s=1.0)
    late = sorted(r["t_send"] - r["t_intended"] for r in found)
    assert late[len(late) // 2] < 5 * MS, "a busy machine may be late; that it is late by nature would show"
    assert time.monotonic_ns() > found[-1]["t_end"]
