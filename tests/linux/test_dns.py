"""DNS messages, with dnspython as the judge."""

from __future__ import annotations

import pytest
from dns import message
from hypothesis import given
from hypothesis import strategies as st

from chaoskit.linux import dns


def test_a_query_is_what_a_resolver_sends() -> None:
    seen = message.from_wire(dns.query(4711, "DB.example.", "AAAA"))
    assert (seen.id, seen.question[0].to_text()) == (4711, "DB.example. IN AAAA")
    assert dns.asked(dns.query(1, "DB.Example", "A"))[:2] == ("db.example", 1)  # type: ignore[index]
    assert message.from_wire(dns.query(1, "", "A")).question[0].to_text() == ". IN A"
    with pytest.raises(ValueError, match="longer than 63"):
        dns.query(1, "x" * 64, "A")


@pytest.mark.parametrize(("rcode", "words"), [(dns.SERVFAIL, "SERVFAIL"), (dns.NXDOMAIN, "NXDOMAIN")])
def test_a_failure_answers_exactly_what_was_asked(rcode: int, words: str) -> None:
    asked = message.make_query("db.example", "A", use_edns=True)
    answer = dns.failure(asked.to_wire(), rcode)
    assert answer is not None
    seen = message.from_wire(answer)
    assert seen.rcode() == rcode
    assert asked.is_response(seen)
    assert dns.outcome(answer) == words


def test_a_recorded_answer_is_given_under_the_new_number_and_spelling() -> None:
    recorded = dns.address_answer(dns.query(1, "db.example", "A"), "198.18.0.77", ttl_s=5)
    assert recorded is not None
    asked = message.make_query("DB.Example", "A")
    seen = message.from_wire(dns.renumbered(recorded, asked.to_wire()))
    assert asked.is_response(seen)
    assert seen.question[0].name.to_text() == "DB.Example."
    assert [item.to_text() for item in seen.answer[0]] == ["198.18.0.77"]
    assert dns.outcome(recorded) == "NOERROR"


def test_outcomes() -> None:
    assert dns.outcome(b"short") == "malformed"
    assert dns.outcome(dns.failure(dns.query(1, "x", "A"), 0) or b"") == "no_data"
    assert dns.failure(dns.failure(dns.query(1, "x", "A"), 2) or b"", 2) is None, "an answer is not answered"


def test_names_below_a_name() -> None:
    assert dns.is_within("db.example", ["Example."])
    assert dns.is_within("example", ["example"])
    assert not dns.is_within("bad-example", ["example"])


@given(st.binary(max_size=200))
def test_no_message_makes_it_stumble(data: bytes) -> None:
    dns.asked(data)
    dns.failure(data, 2)
    dns.outcome(data)
    dns.renumbered(data, data)
