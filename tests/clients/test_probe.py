"""A probe as the engine runs it: its own process, told by lines, its evidence in the spool."""

import itertools
import os
import resource
import signal
import time
from pathlib import Path

import pytest

from chaoskit.model.policy import RetryPolicy
from tests.clients.probing import ProbeProcess, config, rows
from tests.clients.scripted_service import ScriptedService

MS = 1_000_000


def test_no_intended_instant_is_skipped_and_no_answer_is_waited_for_beyond_the_deadline(tmp_path):
    with ScriptedService() as service:
        probe = ProbeProcess(config(tmp_path / "s.sqlite", service.port))
        probe.wait_for("running")
        time.sleep(0.5)
        service.stall(1.0)
        time.sleep(1.5)
        probe.tell("drain")
        probe.wait_for("drained")
        code, status, _ = probe.end()
    assert (code, status.phase) == (0, "done")
    intended = rows(probe.spool, "SELECT t_intended FROM samples ORDER BY t_intended")
    assert len(intended) > 150
    assert {b - a for a, b in itertools.pairwise(intended)} == {10 * MS}, "100/s, whatever the answers did"
    assert rows(probe.spool, "SELECT seq FROM samples ORDER BY t_intended") == list(range(len(intended)))
    waited = rows(probe.spool, "SELECT t_end - t_intended, tainted FROM samples WHERE outcome = 'timeout'")
    assert len(waited) > 50, "a second of stall at 100/s with W = 0.3 s times out about 70"
    assert all(300 * MS <= wait < 400 * MS or tainted for wait, tainted in waited)
    # the answers came when the stall ended: each is noted, and none made the attempt ok
    answered = rows(probe.spool, "SELECT certainty, late_end - t_intended FROM samples WHERE outcome = 'timeout'")
    assert {certainty for certainty, _ in answered} == {"ok"}
    assert all(late is not None and 300 * MS < late < 1500 * MS for _, late in answered)
    assert rows(probe.spool, "SELECT count(*) FROM samples WHERE t_send < t_intended") == [0]


def test_every_column_is_filled_and_tokens_are_unique(tmp_path):
    with ScriptedService() as service:
        probe = ProbeProcess(config(tmp_path / "s.sqlite", service.port, trial=3, slo_ns=1))
        probe.wait_for("running")
        time.sleep(1.3)
        probe.tell("stop")
        assert probe.end()[0] == 0
    one = rows(
        probe.spool, "SELECT trial, client, class, operation, vantage, target, node, outcome, certainty FROM samples LIMIT 1"
    )
    assert one == [(3, "orders", "fresh", "get", "app", "web", "n1", "degraded", "ok")], "slower than the SLO of 1 ns"
    assert rows(probe.spool, "SELECT token FROM samples WHERE seq = 0") == ["r1.orders.3.0"]
    assert rows(probe.spool, "SELECT count(*) - count(DISTINCT token) FROM samples") == [0]
    assert set(rows(probe.spool, "SELECT probe FROM samples")) == set(range(10))
    disordered = "t_send < t_intended OR t_connected < t_send OR t_first_byte < t_connected OR t_end < t_first_byte"
    assert rows(probe.spool, f"SELECT count(*) FROM samples WHERE {disordered}") == [0]
    assert len(rows(probe.spool, "SELECT * FROM clocks WHERE worker = 'orders'")) >= 2


def test_too_many_in_flight_are_recorded_as_not_sent(tmp_path):
    with ScriptedService("hang") as service:
        probe = ProbeProcess(config(tmp_path / "s.sqlite", service.port, in_flight=5))
        probe.wait_for("running")
        time.sleep(0.8)
        probe.tell("stop")
        assert probe.end()[0] == 0
    assert rows(probe.spool, "SELECT max(in_flight) FROM samples WHERE outcome != 'not_sent'") == [4]
    assert set(rows(probe.spool, "SELECT certainty || t_send IS NULL FROM samples WHERE outcome = 'not_sent'")) == {1}
    counts = dict(rows(probe.spool, "SELECT outcome, count(*) FROM samples GROUP BY 1"))
    assert counts["not_sent"] > counts["timeout"] > 0
    seqs = rows(probe.spool, "SELECT seq FROM samples ORDER BY 1")
    assert seqs == list(range(len(seqs)))


def test_a_killed_probe_leaves_its_evidence(tmp_path):
    with ScriptedService() as service:
        probe = ProbeProcess(config(tmp_path / "s.sqlite", service.port))
        probe.wait_for("running")
        time.sleep(1.5)
        killed_ns = time.monotonic_ns()
        probe.kill()
    last = rows(probe.spool, "SELECT max(t_end) FROM samples")[0]
    assert killed_ns - last < 600 * MS, "a commit comes at least every 250 ms; the rest is this machine's slack"


def test_what_the_process_itself_slept_through_is_tainted_and_never_blamed_on_the_service(tmp_path):
    with ScriptedService() as service:
        probe = ProbeProcess(config(tmp_path / "s.sqlite", service.port))
        probe.wait_for("running")
        time.sleep(0.3)
        probe.process.send_signal(signal.SIGSTOP)
        time.sleep(0.8)
        probe.process.send_signal(signal.SIGCONT)
        time.sleep(0.5)
        probe.tell("stop")
        assert probe.end()[0] == 0
    assert max(rows(probe.spool, "SELECT stall_ns FROM hiccups")) > 500 * MS
    not_ok = rows(probe.spool, "SELECT outcome, tainted FROM samples WHERE outcome NOT IN ('ok', 'degraded')")
    assert ("not_sent", 1) in not_ok
    assert {tainted for _, tainted in not_ok} == {1}
    assert rows(probe.spool, "SELECT count(*) FROM samples WHERE tainted = 0 AND outcome = 'ok'")[0] > 40
    seqs = rows(probe.spool, "SELECT seq FROM samples ORDER BY 1")
    assert seqs == list(range(len(seqs)))


def test_all_of_its_threads_are_as_urgent_as_its_first(tmp_path):
    """An ordinary one that waits for a processor while it holds the interpreter's lock would keep the sending one waiting."""
    with ScriptedService() as service:
        probe = ProbeProcess(config(tmp_path / "s.sqlite", service.port))
        probe.wait_for("running")
        threads = {
            int(task.name): (task / "comm").read_text().strip() for task in Path(f"/proc/{probe.process.pid}/task").iterdir()
        }
        urgent = {tid: (os.sched_getscheduler(tid), os.sched_getparam(tid).sched_priority) for tid in threads}
        _, _, said = probe.end()
    assert len(threads) >= 6, threads  # the loop, commands, reports, spool, hiccups, attempts
    assert len(set(urgent.values())) == 1, urgent
    policy, _ = urgent[probe.process.pid]
    assert (policy & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO) == ("SCHED_FIFO" not in said), (policy, said)


def test_a_spool_that_cannot_grow_fails_loudly(tmp_path):
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))

    with ScriptedService() as service:
        probe = ProbeProcess(config(tmp_path / "s.sqlite", service.port, interval_ns=20 * MS), preexec_fn=limit)
        status = probe.wait_for("failed")
        code, last, errors = probe.end()
    assert code == 3
    assert "s.sqlite" in status.last_error
    assert last.phase == "failed"
    assert "cannot record" in errors


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"type": "htp"}, "unknown client type"),
        ({"options": {"pth": "/x"}}, "did you mean 'path'?"),
        ({"endpoint": {"tsl": True}}, "did you mean 'tls'?"),
        ({"operation": "put"}, "get"),
    ],
)
def test_a_wrong_configuration_fails_with_the_reason_before_anything_is_sent(tmp_path, changes, words):
    with ScriptedService() as service:
        probe = ProbeProcess(config(tmp_path / "s.sqlite", service.port, **changes))
        code, status, errors = probe.end()
        assert service.accepted == 0
    assert (code, status.phase) == (2, "failed")
    assert words in status.last_error
    assert words in errors


def test_commands_it_does_not_know_are_said_and_ignored(tmp_path):
    with ScriptedService() as service:
        probe = ProbeProcess(config(tmp_path / "s.sqlite", service.port))
        probe.wait_for("running")
        probe.tell("drian")
        probe.tell("read_back")
        assert probe.wait_for("done").phase == "done", "no ledger: nothing to read back"
        code, _, errors = probe.end()
    assert code == 0
    assert "'drian'" in errors


def test_a_terminate_signal_ends_it_in_order_and_ctrl_c_does_not(tmp_path):
    with ScriptedService() as service:
        probe = ProbeProcess(config(tmp_path / "s.sqlite", service.port))
        probe.wait_for("running")
        os.kill(probe.process.pid, signal.SIGINT)
        time.sleep(0.3)
        assert probe.process.poll() is None
        os.kill(probe.process.pid, signal.SIGTERM)
        assert probe.process.wait(10) == 0
        assert probe.end()[1].phase == "done"


def test_a_policy_brings_requests_through_a_stall_and_each_attempt_is_recorded(tmp_path):
    policy = RetryPolicy.model_validate({"retry": "fixed", "wait": "100ms", "give_up_after": "4s"})
    with ScriptedService() as service:
        given = config(tmp_path / "s.sqlite", service.port, deadline_ns=200_000_000, interval_ns=500_000_000, policy=policy)
        probe = ProbeProcess(given)
        probe.wait_for("running")
        time.sleep(0.5)
        service.stall(1.0)
        time.sleep(2.0)
        probe.tell("stop")
        assert probe.end()[0] == 0
    outcomes = dict(rows(probe.spool, "SELECT outcome, count(*) FROM samples GROUP BY 1"))
    assert set(outcomes) == {"ok"}, "no user was turned away"
    worst = rows(probe.spool, "SELECT max(t_end - t_intended) FROM samples")[0]
    tries = dict(rows(probe.spool, "SELECT outcome, count(*) FROM attempts GROUP BY 1"))
    assert worst > 600_000_000
    assert tries["ok"] == outcomes["ok"]
    assert tries["timeout"] > 10
    assert rows(probe.spool, "SELECT count(*) FROM attempts WHERE attempt > 1 AND waited_ns != 100000000") == [0]
    whole = "SELECT count(*) FROM samples JOIN attempts USING (trial, client, seq) WHERE attempt = 1 AND samples.outcome = 'ok'"
    assert rows(probe.spool, whole) == [outcomes["ok"]]
