"""The DNS client against name servers that say as told."""

import contextlib
import socket
import threading
import time

import pytest

pytest.importorskip("dns", reason="dnspython is not installed: pip install 'chaoskit[dns]'")

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from chaoskit.model.errors import InputError
from tests.clients.conversation import speaking
from tests.clients.probing import config
from tests.clients.scripted_service import silent_port
from tests.clients.using import one_attempt


def dns_config(tmp_path, port, **options):
    changes = {name: options.pop(name) for name in ("hosts", "client_class", "target") if name in options}
    given = {"type": "dns", "operation": "query", "options": {"name": "www.example.test", **options}}
    return config(tmp_path / "s.sqlite", port, **{**given, **changes})


def answered(wire: bytes, say: str) -> bytes:
    """The answer of a name server to a question: addresses, a code, or something worse."""
    query = dns.message.from_wire(wire)
    answer = dns.message.make_response(query)
    if say in ("NXDOMAIN", "SERVFAIL", "REFUSED"):
        answer.set_rcode(dns.rcode.from_text(say))
    elif say == "truncated":
        answer.flags |= dns.flags.TC
    elif say == "other question":
        answer = dns.message.make_response(dns.message.make_query("other.test", "A"))
        answer.id = query.id
    elif say != "empty":
        kind = "AAAA" if ":" in say else "A"
        answer.answer.append(dns.rrset.from_text(query.question[0].name, 2, "IN", kind, *say.split()))
    return answer.to_wire()


@contextlib.contextmanager
def name_server(say: str, address: str = "127.0.0.1", port: int = 0):
    """It answers over UDP; `strangers`: first with a number that nobody asked."""
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.bind((address, port))
    asked: list[bytes] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                wire, peer = line.recvfrom(4096)
                if not wire:
                    return
                asked.append(wire)
                if say == "silent":
                    continue
                if say == "garbage":
                    line.sendto(wire[:2] + b"nothing of DNS", peer)
                    continue
                if say == "strangers":
                    line.sendto(bytes([wire[0] ^ 1]) + answered(wire, "192.0.2.66")[1:], peer)
                line.sendto(answered(wire, "192.0.2.7" if say == "strangers" else say), peer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield line.getsockname()[1], asked
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", line.getsockname())
        thread.join(2)
        line.close()


@pytest.mark.parametrize(
    ("say", "outcome", "certainty", "value"),
    [
        ("192.0.2.7", "ok", "ok", "192.0.2.7"),
        ("192.0.2.8 192.0.2.7", "ok", "ok", "192.0.2.7, 192.0.2.8"),
        ("strangers", "ok", "ok", "192.0.2.7"),
        ("192.0.2.9", "wrong_data", "fail", "192.0.2.9"),
        ("NXDOMAIN", "app_error", "fail", ""),
        ("SERVFAIL", "app_error", "fail", ""),
        ("REFUSED", "app_error", "fail", ""),
        ("empty", "app_error", "fail", ""),
        ("2001:db8::1", "app_error", "fail", ""),
        ("truncated", "app_error", "fail", ""),
        ("other question", "wrong_data", "fail", ""),
        ("garbage", "wrong_data", "fail", ""),
        ("silent", "timeout", "fail", ""),
    ],
)
def test_code_and_content_decide(tmp_path, say, outcome, certainty, value):
    with name_server(say) as (port, asked):
        answer = one_attempt(dns_config(tmp_path, port, expect=["192.0.2.7", "192.0.2.8"]))
    assert (answer.outcome, answer.certainty, answer.value) == (outcome, certainty, value), answer
    assert len(asked) == 1, "asked once"


def test_a_port_that_nobody_listens_on_is_refused_and_not_a_time_out(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    answer = one_attempt(dns_config(tmp_path, port))
    assert (answer.outcome, answer.certainty) == ("refused", "fail")


def test_a_silent_server_leads_on_to_the_next_which_comes_first_then(tmp_path):
    hosts = (("n2", "127.0.0.2"), ("n3", "127.0.0.3"))
    with name_server("silent", "127.0.0.2") as (port, _), name_server("192.0.2.7", "127.0.0.3", port):
        answer = one_attempt(dns_config(tmp_path, port, hosts=hosts))
    assert (answer.outcome, answer.node) == ("ok", "n3")


def test_the_other_kinds_of_records(tmp_path):
    with name_server("2001:db8::1") as (port, asked):
        assert one_attempt(dns_config(tmp_path, port, record="AAAA")).value == "2001:db8::1"
        assert dns.message.from_wire(asked[0]).flags & dns.flags.RD
        assert one_attempt(dns_config(tmp_path, port, record="AAAA", recursion=False)).outcome == "ok"
        assert not dns.message.from_wire(asked[1]).flags & dns.flags.RD


@pytest.mark.parametrize(
    ("how", "outcome"), [("answer", "ok"), ("reset", "reset"), ("close", "reset"), ("half", "reset"), ("hang", "timeout")]
)
def test_over_tcp(tmp_path, how, outcome):
    def script(line):
        wire = line.read(int.from_bytes(line.read(2), "big"))
        said = answered(wire, "192.0.2.7")
        if how == "answer":
            line.say(len(said).to_bytes(2, "big") + said[:9])
            time.sleep(0.05)
            line.say(said[9:])
        elif how == "half":
            line.say(len(said).to_bytes(2, "big") + said[:9])
            line.end("close")
        else:
            line.end(how)

    with speaking(script) as port:
        answer = one_attempt(dns_config(tmp_path, port, transport="tcp"))
    assert answer.outcome == outcome, answer


def test_tcp_to_a_silent_host_is_a_time_out(tmp_path):
    with silent_port() as port:
        assert one_attempt(dns_config(tmp_path, port, transport="tcp")).outcome == "timeout"


def test_a_name_that_is_none_is_refused(tmp_path):
    with pytest.raises(InputError, match="no name of DNS"):
        one_attempt(dns_config(tmp_path, 53, name="a..b"))
