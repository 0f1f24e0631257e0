"""DNS questions and what an answer says, by dnspython."""

from __future__ import annotations

import random

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from chaoskit.model.errors import InputError, Problem


class Question:
    """One question, asked again and again under other numbers."""

    def __init__(self, name: str, record: str, recursion: bool, edns_bytes: int, path: str) -> None:
        """InputError where the name is none."""
        try:
            self._name = dns.name.from_text(name)
        except dns.exception.DNSException as error:
            raise InputError([Problem(path=f"{path}.name", message=f"no name of DNS: {error}", value=name)]) from error
        self._kind = dns.rdatatype.from_text(record)
        self._query = dns.message.make_query(self._name, self._kind, use_edns=0, payload=edns_bytes)
        if not recursion:
            self._query.flags &= ~dns.flags.RD

    def message(self) -> tuple[int, bytes]:
        """Its number, and its bytes."""
        self._query.id = number = random.getrandbits(16)
        return number, self._query.to_wire()

    def judged(self, number: int, said: bytes) -> tuple[str, list[str] | None]:
        """(what is wrong with it, the records); records None where it is no answer to this question at all."""
        try:
            answer = dns.message.from_wire(said)
        except (dns.exception.DNSException, ValueError, IndexError) as error:
            return f"no answer of DNS: {type(error).__name__}: {error}", None
        self._query.id = number
        if not self._query.is_response(answer):
            return "an answer to another question", None
        if answer.rcode() != dns.rcode.NOERROR:
            return dns.rcode.to_text(answer.rcode()), []
        if answer.flags & dns.flags.TC:
            return "the answer was truncated; use transport: tcp", []
        records = [item.to_text() for found in answer.answer if found.rdtype == self._kind for item in found]
        return ("" if records else f"no {dns.rdatatype.to_text(self._kind)} record came"), sorted(records)
