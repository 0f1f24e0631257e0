"""When answers arrived on bare sockets, and who may be kept waiting for them."""

import socket
import time

from chaoskit.clients.wire.arrivals import CONTROL_BYTES, arrived_ns, ask_for_stamps
from chaoskit.clients.wire.connections import Connections
from chaoskit.clients.wire.sending import WireSender
from tests.clients.probing import config
from tests.clients.scripted_service import ScriptedService
from tests.clients.wired import MS, PLAIN, sent


def exchanged(read_after_s, *, stamped):
    """(when the answer was sent, when it is said to have arrived, when it was read) of bytes that lay unread for a while."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        if stamped:
            ask_for_stamps(client)
        server, _ = listener.accept()
        with server:
            time.sleep(0.05)  # the kernel begins to stamp a moment after it was asked the first time
            before = time.monotonic_ns()
            server.sendall(b"answer")
            time.sleep(read_after_s)
            buffer = bytearray(100)
            _, control, _, _ = client.recvmsg_into([buffer], CONTROL_BYTES)
            return before, arrived_ns(control, 0), time.monotonic_ns(), control


def test_what_lay_unread_says_since_when():
    before, at, read, control = exchanged(0.3, stamped=True)
    assert before <= at < before + 150 * MS, "a busy machine may be late with it, but not as late as the reading"
    assert read - before >= 300 * MS
    later = before + 100 * MS
    assert arrived_ns(control, later) == later, "never before its request left, whatever the wall clock did"


def test_what_carries_no_stamp_says_nothing():
    assert exchanged(0, stamped=False)[1] is None
    assert arrived_ns([(socket.SOL_SOCKET, socket.SCM_RIGHTS, bytes(16)), (socket.SOL_SOCKET, 35, b"short")], 0) is None


def test_answers_that_are_read_with_the_next_attempt_count_from_their_arrival(tmp_path):
    """At 600/s the loop wakes every 1.7 ms, to send; what it reads then came much earlier."""
    with ScriptedService() as service:
        found, _ = sent(config(tmp_path / "s", service.port, interval_ns=100 * MS, probes=60, **PLAIN), for_s=1.0)
    took = sorted(r["t_end"] - r["t_send"] for r in found if r["outcome"] == "ok")
    assert len(took) > 500
    assert took[len(took) // 4] < 1.2 * MS
    assert all(r["t_first_byte"] == r["t_end"] for r in found if r["outcome"] == "ok")


def test_an_answer_within_w_is_one_however_late_it_is_read(tmp_path, monkeypatch):
    """The sending thread stands still for 40 ms with W = 30 ms. What came meanwhile was in time, and is read before W counts."""
    read_until, stalls = WireSender._read_until, []

    def slow(self, wake_ns):
        if self._flying and self._sequence > 20 and len(stalls) < 3:
            stalls.append(self._sequence)
            time.sleep(0.04)
        return read_until(self, wake_ns)

    monkeypatch.setattr(WireSender, "_read_until", slow)
    with ScriptedService() as service:
        found, _ = sent(
            config(tmp_path / "s", service.port, interval_ns=100 * MS, probes=60, deadline_ns=30 * MS, **PLAIN), for_s=1.0
        )
    assert len(stalls) == 3
    under_way = [r for r in found if r["seq"] + 1 in stalls]
    assert [r["outcome"] for r in under_way] == ["ok"] * 3
    assert all(r["t_end"] - r["t_send"] < 30 * MS for r in under_way)


def test_what_comes_without_a_stamp_is_read_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("chaoskit.clients.wire.connections.ask_for_stamps", lambda made: None)
    with ScriptedService() as service:
        found, _ = sent(config(tmp_path / "s", service.port, interval_ns=100 * MS, probes=60, **PLAIN), for_s=1.0)
    took = sorted(r["t_end"] - r["t_send"] for r in found if r["outcome"] == "ok")
    assert took[len(took) // 4] < 1.2 * MS


def test_after_a_stall_answers_are_read_between_parts_of_what_is_due(tmp_path, monkeypatch):
    """100 attempts are due at once; they go out in parts, and the answers to one part make room for the next."""
    send_due, begin, read_until, did = WireSender._send_due, Connections.begin, WireSender._read_until, []

    def slow(self, now):
        if self._sequence > 300 and "stalled" not in did:
            did.append("stalled")
            time.sleep(0.1)
            now = time.monotonic_ns()
        send_due(self, now)

    monkeypatch.setattr(WireSender, "_send_due", slow)
    monkeypatch.setattr(Connections, "begin", lambda self, attempts: (did.append(len(attempts)), begin(self, attempts)))
    monkeypatch.setattr(WireSender, "_read_until", lambda self, wake_ns: (did.append("read"), read_until(self, wake_ns))[1])
    with ScriptedService() as service:
        given = config(tmp_path / "s", service.port, interval_ns=100 * MS, probes=100, deadline_ns=250 * MS, **PLAIN)
        found, _ = sent(given, for_s=1.0)
    after = did[did.index("stalled") :]
    assert after[1:6] == [32, "read", 32, "read", 32]
    assert sum(r["t_send"] - r["t_intended"] > 20 * MS for r in found if r["t_send"]) > 50
    assert {r["outcome"] for r in found} == {"ok"}
