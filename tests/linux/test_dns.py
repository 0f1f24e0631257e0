"""DNS messages, with dnspython as the judge."""

from __future__ import annotations

import pytest
from dns import flags, message
from hypothesis import example, given
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


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """A query with some bytes overwritten, longer or shorter: near enough to a message to come far."""
    whole = bytearray(message.make_query("db1.Example", "A", use_edns=draw(st.booleans())).to_wire())
    telling = st.sampled_from([2, 3, 4, 5, 12, 16, 24])  # flags, number of questions, lengths of labels
    for at in draw(st.lists(st.one_of(telling, st.integers(0, len(whole) - 1)), max_size=2)):
        whole[at] = draw(st.integers(0, 255))
    whole += draw(st.binary(max_size=200))
    return bytes(whole[: draw(st.integers(0, len(whole)))])


@given(st.one_of(st.binary(max_size=200), _damaged()))
@example(dns.query(1, "", "A")[:12] + b"\x40" + b"x" * 64 + b"\0\0\1\0\1")  # a label of one byte too many
def test_any_message_is_answered_in_full_or_not_at_all(data: bytes) -> None:
    assert dns.outcome(data) in {*dns.RCODES.values(), "no_data", "malformed", *(f"RCODE{n}" for n in range(6, 16))}
    assert dns.renumbered(data, b"\1\2" + data[2:])[:2] == b"\1\2"
    found = dns.asked(data)
    answer = dns.failure(data, dns.SERVFAIL)
    if found is None:
        assert answer is None
        return
    name, kind, end = found
    assert answer is not None
    assert answer[12:] == data[12:end]
    assert data[end - 4 : end - 2] == kind.to_bytes(2, "big")
    seen = message.from_wire(answer, question_only=True)
    assert (seen.id, seen.rcode(), bool(seen.flags & flags.QR)) == (int.from_bytes(data[:2], "big"), dns.SERVFAIL, True)
    assert ".".join(label.decode("latin-1").lower() for label in seen.question[0].name.labels[:-1]) == name
