"""Fresh connections go out from a port that was left alone for longest, where the kernel lets a socket say so."""

import errno
import itertools
import socket
import threading

import pytest

from chaoskit.clients.wire import source_ports
from chaoskit.clients.wire.source_ports import SourcePorts
from tests.clients.probing import config
from tests.clients.wired import sent

MS = 1_000_000


@pytest.fixture
def limited():
    """A kernel in which a socket may limit its ports."""
    with socket.socket() as made:
        try:
            made.setsockopt(socket.IPPROTO_IP, 51, bytes(4))
        except OSError:
            pytest.skip("this kernel has no IP_LOCAL_PORT_RANGE (Linux 6.3)")


def port_of(ports, to):
    with socket.socket() as made:
        ports.take(made)
        code = made.connect_ex(to)
        if code == errno.EADDRNOTAVAIL and ports.take_any(made):
            code = made.connect_ex(to)
        assert code == 0
        return made.getsockname()[1]


def test_ports_follow_one_another(limited):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ports = SourcePorts(5 * MS)
        used = [port_of(ports, listener.getsockname()) for _ in range(20)]
    steps = [b - a for a, b in itertools.pairwise(used)]
    assert sum(step == 1 for step in steps) >= 14, f"but for those that somebody else has: {used}"


def test_the_last_port_is_followed_by_the_first(limited, tmp_path, monkeypatch):
    (tmp_path / "range").write_text("50000\t50002\n")
    monkeypatch.setattr(source_ports, "_RANGE_FILE", tmp_path / "range")
    ports = SourcePorts(60_000 * MS)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.2", 0)) as other:
        round_one, round_two = ([port_of(ports, to.getsockname()) for _ in range(3)] for to in (one, other))
    assert sorted(round_one) == [50000, 50001, 50002]
    assert round_two == round_one


def test_a_port_that_is_taken_costs_no_attempt(limited, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.connect(listener.getsockname())
        taken = other.getsockname()[1]
        (tmp_path / "range").write_text(f"{taken}\t{taken}\n")
        monkeypatch.setattr(source_ports, "_RANGE_FILE", tmp_path / "range")
        assert port_of(SourcePorts(70_000 * MS), listener.getsockname()) != taken


def test_where_ports_would_come_round_within_a_minute_or_the_kernel_is_older_it_takes_any(tmp_path, monkeypatch):
    with socket.socket() as made:
        assert not SourcePorts(MS).take_any(made)
        with monkeypatch.context() as without_proc:
            without_proc.setattr(source_ports, "_RANGE_FILE", tmp_path / "none")
            assert not SourcePorts(5 * MS).take_any(made)
        monkeypatch.setattr(source_ports, "_IP_LOCAL_PORT_RANGE", 9999)
        ports = SourcePorts(5 * MS)
        ports.take(made)
        assert not ports.take_any(made)


def test_a_client_takes_them_in_turn(limited, tmp_path):
    came_from = []

    def serve(listener):
        while True:
            try:
                connection, (_, port) = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            came_from.append(port)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        found, _ = sent(config(tmp_path / "s", listener.getsockname()[1]))
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(2)
    assert len(came_from) == len(found) > 20
    assert sum(b - a == 1 for a, b in itertools.pairwise(came_from)) > 0.7 * len(found)
