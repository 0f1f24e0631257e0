"""The ICMP client on loopback, where its sockets may be made."""

import socket

import pytest

from chaoskit.clients.icmp import _checksum, _heard, _packet, _socket
from chaoskit.model.errors import LabUnavailable
from tests.clients.probing import config
from tests.clients.using import one_attempt


def may() -> bool:
    try:
        _socket(socket.AF_INET).close()
    except PermissionError:
        return False
    return True


needs_sockets = pytest.mark.skipif(not may(), reason="this user may make neither ping nor raw sockets")


def icmp_config(tmp_path, *addresses, **options):
    hosts = tuple((f"n{number}", address) for number, address in enumerate(addresses, 1))
    return config(tmp_path / "s.sqlite", None, type="icmp", operation="echo", hosts=hosts, options=options)


@needs_sockets
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("size", [16, 57, 9000])
def test_a_host_that_is_there_answers(tmp_path, address, size):
    answer = one_attempt(icmp_config(tmp_path, address, size_bytes=size))
    assert (answer.outcome, answer.certainty, answer.node) == ("ok", "ok", "n1"), answer
    assert answer.t_first_byte is not None


@needs_sockets
@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_RAW])
def test_either_kind_of_socket_will_do(tmp_path, monkeypatch, kind):
    try:
        socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP).close()
    except PermissionError:
        pytest.skip("this user may not make this kind of socket")
    real = socket.socket

    def only(family=-1, type=-1, proto=-1, fileno=None):
        if type in (socket.SOCK_DGRAM, socket.SOCK_RAW) and type != kind and proto == socket.IPPROTO_ICMP:
            raise PermissionError
        return real(family, type, proto, fileno)

    monkeypatch.setattr(socket, "socket", only)
    assert one_attempt(icmp_config(tmp_path, "127.0.0.1")).outcome == "ok"


@needs_sockets
def test_a_network_without_a_route_is_unreachable(tmp_path):
    answer = one_attempt(icmp_config(tmp_path, "2001:db8:0:dead::1"))
    assert (answer.outcome, answer.certainty) in {("unreachable", "fail"), ("timeout", "fail")}


def test_no_socket_at_all_is_said_before_anything_is_measured(tmp_path, monkeypatch):
    def none(*_):
        raise PermissionError

    monkeypatch.setattr(socket.socket, "__init__", none)
    import asyncio

    from chaoskit.clients.catalogue import open_client

    client = open_client(icmp_config(tmp_path, "127.0.0.1"))
    work = client.open()
    with pytest.raises(LabUnavailable, match="ICMP may not be sent here"):
        work.send(None)
    assert not asyncio.iscoroutinefunction(client)


def test_a_packet_checks_out_and_is_read_back_with_and_without_its_ip_header():
    packet = _packet(8, 7, 3, b"abc")
    assert _checksum(packet) == 0, "the sum over a packet with its checksum"
    assert _heard(packet, socket.AF_INET, raw=False) == (8, 0, b"abc")
    assert _heard(b"\x45" + bytes(19) + packet, socket.AF_INET, raw=True) == (8, 0, b"abc")
    assert _heard(b"\x45", socket.AF_INET, raw=True)[0] == -1
