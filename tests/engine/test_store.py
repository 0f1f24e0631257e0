"""A run directory is read back as it was recorded, whatever instant its writers were killed at."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from chaoskit.engine.sample_store import SampleFiles
from chaoskit.engine.store import merge_spool, read_events, read_plan, read_run
from chaoskit.model.errors import InputError, RecordingFailed
from chaoskit.model.recorded import TrialRecord
from tests.measures.recorded import client, dump, failed_over, fault, final_read, plan, trial, with_policy
from tests.measures.run_directories import pack_samples, write_database, write_run


def record(index: int = 0, **changes: object) -> TrialRecord:
    orders = client(down=[(2, 7)], not_sent=[(8, 8.05)], tainted=[(9, 9.02)], probes=5)
    readers = client("readers", operation="read", probes=2)
    reads = [dump(orders, "db1", copies={"twice": 2}), final_read(orders)]
    return trial(orders, readers, roles=failed_over(), read_backs=reads, index=index, planned=two_clients(), **changes)  # type: ignore[arg-type]


def two_clients(trials: int = 1):  # type: ignore[no-untyped-def]
    spec = {"type": "postgres", "operation": "append", "rate": "100/s", "endpoint": "write"}
    return plan(trials=trials, clients={"orders": spec, "readers": spec | {"operation": "read"}})


def assert_same(found: TrialRecord, wanted: TrialRecord) -> None:
    assert found.clients.keys() == wanted.clients.keys()
    for name, samples in wanted.clients.items():
        for field in fields(samples):
            mine, other = getattr(found.clients[name], field.name), getattr(samples, field.name)
            if isinstance(other, np.ndarray):
                assert np.array_equal(mine, other), f"{name}.{field.name}"
            else:
                assert mine == other, f"{name}.{field.name}"
    assert [(r.role, r.node) for r in found.roles] == [(r.role, r.node) for r in wanted.roles]
    for mine_role, other_role in zip(found.roles, wanted.roles, strict=True):
        assert np.array_equal(mine_role.state, other_role.state)
        assert np.array_equal(mine_role.t_begin, other_role.t_begin)
    assert list(found.read_backs) == list(wanted.read_backs)
    assert [(f.action, f.began_ns, f.effective_ns, f.heal_began_ns, f.verified, f.gone) for f in found.faults] == [
        (f.action, f.began_ns, f.effective_ns, f.heal_began_ns, f.verified, f.gone) for f in wanted.faults
    ]
    assert (found.baseline_began_ns, found.baseline_ended_ns, found.ended_ns) == (
        wanted.baseline_began_ns, wanted.baseline_ended_ns, wanted.ended_ns,
    )  # fmt: skip


def test_a_run_is_read_back_as_it_was_recorded(tmp_path: Path) -> None:
    wanted = [record(0), record(1, faults=[fault(verified=False)], problems=["the disk was full"])]
    found = list(read_run(write_run(tmp_path / "run", two_clients(2), *wanted)))
    assert [r.index for r in found] == [0, 1]
    for mine, other in zip(found, wanted, strict=True):
        assert_same(mine, other)
    assert found[1].problems == ("the disk was full",)


def test_attempts_come_back_with_their_requests(tmp_path: Path) -> None:
    policy = {"retry": "fixed", "wait": "500ms", "attempts": 4}
    spec = {"type": "postgres", "operation": "append", "rate": "100/s", "deadline": "200ms", "endpoint": "write"}
    planned = plan(clients={"orders": spec | {"policy": policy}})
    wanted = with_policy(client(down=[(2, 3)], not_sent=[(8, 8.05)], probes=10), policy, [0.5] * 3)
    record = trial(wanted, planned=planned)
    for spooled in (False, True):
        (found,) = read_run(write_run(tmp_path / f"run{spooled}", planned, record, spooled=spooled))
        mine, other = found.clients["orders"].attempts, wanted.attempts
        assert mine is not None
        assert other is not None
        assert len(mine) > len(wanted.t_intended)
        for field in fields(other):
            assert np.array_equal(getattr(mine, field.name), getattr(other, field.name)), field.name
        assert found.clients["orders"].policy == wanted.policy
        assert found.clients["orders"].deadline_ns == wanted.deadline_ns


def test_a_run_recorded_before_there_were_policies_has_no_attempts(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", two_clients(), record())
    with closing(sqlite3.connect(run / "samples.sqlite")) as db:
        db.execute("DROP TABLE attempts")
    (found,) = read_run(run)
    assert_same(found, record())
    with SampleFiles.open(run) as files:
        assert len(files.attempts(0, "orders")) == 0


def spooled_run(run: Path, *, packed: bool) -> Path:
    """Nothing merged yet; `packed`: the clients sent on bare sockets."""
    write_run(run, two_clients(), record(), spooled=True)
    if packed:
        for client, probes in (("orders", 5), ("readers", 2)):
            pack_samples(run / "spool" / f"0-{client}.sqlite", probes)
    return run


@pytest.mark.parametrize("packed", [False, True])
def test_what_was_not_merged_yet_is_read_from_the_spool(tmp_path: Path, packed: bool) -> None:
    run = spooled_run(tmp_path / "run", packed=packed)
    assert_same(next(read_run(run)), record())
    assert not (run / "samples.sqlite").exists(), "reading writes nothing"


@pytest.mark.parametrize("packed", [False, True])
def test_merging_moves_everything_once(tmp_path: Path, packed: bool) -> None:
    run = spooled_run(tmp_path / "run", packed=packed)
    assert merge_spool(run) == 3
    assert list((run / "spool").iterdir()) == []
    assert merge_spool(run) == 0
    assert_same(next(read_run(run)), record())


def test_a_merge_killed_between_commit_and_removal_keeps_no_row_twice(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", two_clients(), record(), spooled=True)
    spooled = run / "spool" / "0-orders.sqlite"
    kept = tmp_path / "kept.sqlite"
    os.link(spooled, kept)  # the same inode: what a merge that was killed before the removal leaves
    inode = spooled.stat().st_ino
    merge_spool(run)
    os.link(kept, spooled)
    with closing(sqlite3.connect(run / "samples.sqlite")) as db:
        db.execute("INSERT INTO merged VALUES (?, ?)", (spooled.name, inode))
        db.commit()
    assert_same(next(read_run(run)), record())
    assert merge_spool(run) == 0
    assert not spooled.exists()
    assert_same(next(read_run(run)), record())


def test_a_new_file_of_an_old_name_is_not_mistaken_for_the_merged_one(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", two_clients(), record(), spooled=True)
    merge_spool(run)
    with closing(sqlite3.connect(run / "samples.sqlite")) as db:
        db.execute("INSERT INTO merged VALUES ('1-orders.sqlite', 1)")
        db.commit()
    later = record(1)
    write_database(run / "spool" / "1-orders.sqlite", later, (later.clients["orders"],))
    assert merge_spool(run) == 1
    with SampleFiles.open(run) as files:
        assert len(files.samples(1, "orders")) == len(later.clients["orders"].t_intended)


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
def test_a_merge_killed_anywhere_can_be_repeated(tmp_path: Path, packed: bool) -> None:
    """A process merges and is killed at some instant; whoever merges again has every row exactly once."""
    template = spooled_run(tmp_path / "template", packed=packed)
    code = """
import sys
from pathlib import Path
from chaoskit.engine.store import merge_spool
print('go', flush=True)
merge_spool(Path(sys.argv[1]))
"""
    for attempt in range(6):
        run = tmp_path / f"run{attempt}"
        shutil.copytree(template, run)
        worker = subprocess.Popen([sys.executable, "-c", code, str(run)], stdout=subprocess.PIPE)
        assert worker.stdout is not None
        worker.stdout.readline()
        try:
            worker.wait(0.004 * attempt)
        except subprocess.TimeoutExpired:
            worker.send_signal(signal.SIGKILL)
        worker.wait(10)
        worker.stdout.close()
        assert_same(next(read_run(run)), record())
        merge_spool(run)
        assert_same(next(read_run(run)), record())


def test_a_writer_killed_in_its_transaction_leaves_what_it_committed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", two_clients(), record())
    code = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
from chaoskit.model.history import SAMPLES_DDL
db.executescript(SAMPLES_DDL)
db.execute("INSERT INTO hiccups VALUES (0, 'late', 7, 8)")
db.execute("BEGIN")
db.execute("INSERT INTO hiccups VALUES (0, 'late', 9, 9)")
os.kill(os.getpid(), 9)
"""
    (run / "spool").mkdir()
    subprocess.run([sys.executable, "-c", code, str(run / "spool" / "0-late.sqlite")], check=False)
    assert (run / "spool" / "0-late.sqlite-wal").exists()
    assert next(read_run(run)).hiccups_ns.tolist() == [[7, 8]]
    assert merge_spool(run) == 1
    assert list((run / "spool").iterdir()) == []
    assert next(read_run(run)).hiccups_ns.tolist() == [[7, 8]]


def test_a_file_that_is_no_database_is_a_problem_and_is_kept(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", two_clients(), record(), spooled=True)
    broken = run / "spool" / "0-broken.sqlite"
    broken.write_bytes(b"not a database" * 100)
    assert any("0-broken.sqlite" in p for p in next(read_run(run)).problems)
    with pytest.raises(RecordingFailed, match=r"0-broken\.sqlite"):
        merge_spool(run)
    assert [f.name for f in (run / "spool").iterdir()] == ["0-broken.sqlite"], "the others were merged"


def test_packed_samples_that_cannot_be_read_are_a_problem_and_are_kept(tmp_path: Path) -> None:
    for column, written in (("rows", b"cut off"), ("fates", "[]"), ("client", "{"), ("client", "[1]")):
        run = spooled_run(tmp_path / f"{column}{len(written)}", packed=True)
        with closing(sqlite3.connect(run / "spool" / "0-orders.sqlite")) as db, db:
            db.execute(f"UPDATE packed_samples SET {column} = ? WHERE rowid = 2", (written,))
        assert any("0-orders.sqlite" in p for p in next(read_run(run)).problems)
        with pytest.raises(RecordingFailed, match=r"0-orders\.sqlite could not be merged: packed samples"):
            merge_spool(run)
        assert [f.name for f in (run / "spool").iterdir()] == ["0-orders.sqlite"], "the others were merged"
        with closing(sqlite3.connect(run / "samples.sqlite")) as db:
            assert db.execute("SELECT DISTINCT client FROM samples").fetchall() == [("readers",)], "all of its rows or none"


def test_a_torn_last_line_is_left_out_and_any_other_is_an_error(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", two_clients(), record(), ended=False)
    file = run / "events.jsonl"
    whole = file.read_bytes()
    events = read_events(run)
    for cut in (1, 20, 60):
        file.write_bytes(whole + whole.splitlines()[-1][:-cut])
        assert read_events(run) == events
    lines = whole.splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:3], b'{"t_ns": 1\n', *lines[3:]]))
    with pytest.raises(RecordingFailed, match=r"events\.jsonl:4"):
        read_events(run)


def test_an_incomplete_read_of_a_ledger_is_not_a_good_one(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", two_clients(), record())
    with closing(sqlite3.connect(run / "samples.sqlite")) as db:
        db.execute("DELETE FROM reads WHERE rowid IN (SELECT rowid FROM reads WHERE kind = 'final' LIMIT 5)")
        db.commit()
    (final,) = [r for r in next(read_run(run)).read_backs if r.kind == "final"]
    assert not final.ok
    assert "tokens were recorded" in final.detail


def test_unsorted_rows_come_back_sorted(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", two_clients(), record())
    with closing(sqlite3.connect(run / "samples.sqlite")) as db:
        db.execute("CREATE TABLE other AS SELECT * FROM samples ORDER BY seq % 7, seq DESC")
        db.execute("DELETE FROM samples")
        db.execute("INSERT INTO samples SELECT * FROM other")
        db.execute("UPDATE samples SET error = 'connection timed out' WHERE outcome = 'timeout'")
        db.commit()
    samples = next(read_run(run)).clients["orders"]
    wanted = record().clients["orders"]
    assert np.array_equal(samples.t_intended, wanted.t_intended)
    assert np.array_equal(samples.token, wanted.token)
    assert np.array_equal(samples.error == "connection timed out", wanted.outcome == "timeout")


def test_a_directory_that_is_no_run_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run is recorded here"):
        read_plan(tmp_path)


def test_an_outcome_of_a_later_version_is_not_silently_dropped(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", two_clients(), record())
    with closing(sqlite3.connect(run / "samples.sqlite")) as db:
        db.execute("UPDATE samples SET outcome = 'teleported' WHERE rowid = 1")
        db.commit()
    with pytest.raises(RecordingFailed, match="outcome"):
        next(read_run(run))
