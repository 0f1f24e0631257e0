"""The SQL of the ledger and of the reads, and who may serve what."""

from __future__ import annotations

from typing import Literal

TargetSessionAttrs = Literal["read-write", "any", "primary", "standby", "prefer-standby"]

# The timeline a server writes on, or replays. pg_control_checkpoint() would tell the old one until the first checkpoint
# after a promotion. All of these may be called by any role.
TIMELINE = """CASE WHEN pg_is_in_recovery() THEN
 coalesce((SELECT received_tli FROM pg_stat_wal_receiver), (SELECT min_recovery_end_timeline FROM pg_control_recovery()))
 ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END::text"""

SERVER = "CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END"


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def ledger_table(client: str) -> str:
    """The quoted name of a client's ledger."""
    return quoted(f"chaoskit_ledger_{client}")


def create_ledger(table: str) -> str:
    """No primary key and no unique index: a token that was applied twice must be seen twice."""
    return f"CREATE TABLE IF NOT EXISTS {table} (token text NOT NULL, seq bigint NOT NULL, at timestamptz NOT NULL)"


def append(table: str) -> str:
    """Parameters: token, seq. Returns the timeline and what the server is, in the same round trip."""
    return f"INSERT INTO {table} (token, seq, at) VALUES ($1, $2, clock_timestamp()) RETURNING {TIMELINE}, {SERVER}"


def read(query: str) -> str:
    """Returns the timeline, what the server is, and the first column of the first row of `query`."""
    return f"SELECT {TIMELINE}, {SERVER}, (SELECT answer::text FROM ({query}) AS asked(answer) LIMIT 1)"


def index_ledger(table: str, client: str) -> str:
    """Not unique either: it lets `newest` be answered without reading the whole table."""
    return f"CREATE INDEX IF NOT EXISTS {quoted(f'chaoskit_{client}_seq'[:63])} ON {table} (seq)"


def newest(table: str) -> str:
    """Parameter: what the tokens begin with. Returns the timeline, what the server is, and the highest number."""
    return f"SELECT {TIMELINE}, {SERVER}, (SELECT coalesce(max(seq), -1)::text FROM {table} WHERE starts_with(token, $1))"


DEFAULT_QUERY = "SELECT count(*) FROM (SELECT 1 FROM pg_catalog.pg_class LIMIT 10) AS tables"


def ledger_tokens(table: str) -> str:
    """Parameter: what the tokens begin with. Returns token, copies."""
    return f"SELECT token, count(*) FROM {table} WHERE starts_with(token, $1) GROUP BY token"


def serves(attrs: TargetSessionAttrs, in_hot_standby: bool, read_only: bool) -> bool:
    """Whether a server in this state is what libpq's target_session_attrs of that name asks for."""
    if attrs == "read-write":
        return not (in_hot_standby or read_only)
    if attrs == "primary":
        return not in_hot_standby
    if attrs == "standby":
        return in_hot_standby
    return True
