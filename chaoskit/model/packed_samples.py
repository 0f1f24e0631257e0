"""Rows of `samples` as a probe hands them on by the thousand: one row of `packed_samples` for what one client did in a moment.

To bind and insert each row by itself takes as long as to send it, while the thread that sends asks for the interpreter's lock; so
that work waits until nothing is timed any more. A file of such rows is whole by itself, also when its writer was killed.
"""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

PACKED_DDL = """
CREATE TABLE IF NOT EXISTS packed_samples (client TEXT NOT NULL, fates TEXT NOT NULL, rows BLOB NOT NULL);
"""
"""`client`: JSON of a PackedClient. `fates`: JSON list of Fate: what became of attempts. `rows`: PACKED_ROW after PACKED_ROW."""

PACKED_ROW = struct.Struct("<7q2iB")
"""seq, t_intended, t_send, t_connected, t_first_byte, t_end, late_end (CLOCK_MONOTONIC ns, -1 for none), in_flight, number of the
fate, tainted."""

Fate = tuple[str, str, str | None, str | None, str | None]
"""outcome, certainty, node, value, error"""


class PackedClient(NamedTuple):
    """What is the same in every row of a client."""

    trial: int
    client: str
    client_class: str
    operation: str
    vantage: str
    target: str
    probes: int
    token: str
    """That of an attempt without its number."""


def packed(client: PackedClient, fates: dict[Fate, int], rows: list[bytes]) -> tuple[str, str, bytes]:
    """A row of `packed_samples`; `fates` with the number of each, from 0, in order."""
    return json.dumps(client), json.dumps(list(fates)), b"".join(rows)


def unpacked(client: str, fates: str, rows: bytes) -> Iterator[tuple[Any, ...]]:
    """The rows of `samples`, in the order of its columns, that a row of `packed_samples` stands for."""
    of = PackedClient(*json.loads(client))
    trial, name, probes, token = of.trial, of.client, of.probes, of.token
    before = (of.client_class, of.operation, of.vantage, of.target)
    ends = [((outcome, certainty, node, None, value), error) for outcome, certainty, node, value, error in json.loads(fates)]
    for seq, intended, send, connected, first_byte, end, late, in_flight, fate, tainted in PACKED_ROW.iter_unpack(rows):
        became, error = ends[fate]
        yield (
            trial, name, seq % probes, *before, seq, f"{token}{seq}", intended,
            None if send < 0 else send, None if connected < 0 else connected, None if first_byte < 0 else first_byte,
            None if end < 0 else end, *became, None if late < 0 else late, in_flight, tainted, error,
        )  # fmt: skip


def unpack_into(base: sqlite3.Connection, schema: str) -> None:
    """Write into `samples` of `base` what `packed_samples` of one of its schemas holds, within the caller's transaction.

    sqlite3.DatabaseError, as for any file that is not what it should be, where a row cannot be unpacked.
    """
    insert = f"INSERT INTO main.samples VALUES ({', '.join('?' * 23)})"
    for row in base.execute(f"SELECT client, fates, rows FROM {schema}.packed_samples ORDER BY rowid"):
        try:
            base.executemany(insert, unpacked(*row))
        except (ValueError, TypeError, IndexError, struct.error) as error:
            raise sqlite3.DatabaseError(f"packed samples cannot be read: {error}") from error
