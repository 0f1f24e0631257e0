"""The etcd client against a real cluster of three on loopback."""

import signal
import time

import pytest

from tests.clients.etcd_server import EtcdCluster, missing
from tests.clients.postgres_server import free_port
from tests.clients.probing import config
from tests.clients.using import attempt, one_attempt, token, use

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]


@pytest.fixture
def cluster(tmp_path):
    made = EtcdCluster(tmp_path, free_port(), free_port())
    made.start()
    try:
        yield made
    finally:
        made.stop()


def etcd_config(tmp_path, cluster, **changes):
    given = {
        "type": "etcd",
        "operation": "append",
        "run_id": f"r{time.monotonic_ns()}",
        "hosts": tuple(cluster.addresses.items()),
    }
    return config(tmp_path / "s.sqlite", cluster.port, **{**given, "deadline_ns": 500_000_000, **changes})


def test_what_is_acknowledged_is_read_back_and_lies_on_every_member(tmp_path, cluster):
    for client_class in ("fresh", "pooled", "direct"):
        given = etcd_config(tmp_path, cluster, client_class=client_class, target="m2")

        async def work(client, given=given):
            answers = [await attempt(client, given, seq) for seq in (0, 1, 1)]
            final = await client.read_back()
            return answers, final, [await client.dump(*host) for host in cluster.addresses.items()]

        answers, final, dumps = use(given, work)
        assert {(a.outcome, a.certainty) for a in answers} == {("ok", "ok")}
        assert {a.node for a in answers} == {"m2" if client_class == "direct" else "m1"}
        assert all(int(a.term) >= 2 for a in answers)
        wanted = {token(given, 0): 1, token(given, 1): 2}
        assert final.copies == wanted, "what was put twice is seen twice"
        deadline = time.monotonic() + 5
        while any(d.copies != wanted for d in dumps):
            assert time.monotonic() < deadline, dumps
            dumps = use(given, lambda client: _dumps(client, cluster))
        assert [d.node for d in dumps] == ["m1", "m2", "m3"]


async def _dumps(client, cluster):
    return [await client.dump(*host) for host in cluster.addresses.items()]


def test_without_a_majority_nothing_is_acknowledged_and_a_member_says_so(tmp_path, cluster):
    given = etcd_config(tmp_path, cluster)

    async def work(client):
        first = await attempt(client, given, 0)
        cluster.kill("m2")
        cluster.kill("m3")
        deadline = time.monotonic() + 15
        seq = 1
        outcomes = []
        while (last := await attempt(client, given, seq)).certainty != "fail":
            outcomes.append((last.outcome, last.certainty))
            seq += 1
            assert time.monotonic() < deadline, last
        assert not (await client.read_back()).ok, "no strong read without a majority"
        own = await client.dump("m1", "127.0.0.1")
        return first, outcomes, last, own

    first, outcomes, last, own = use(given, work)
    assert first.outcome == "ok"
    assert set(outcomes) <= {("timeout", "info"), ("app_error", "info")}, outcomes
    assert last.outcome == "wrong_role", f"it knows no leader, and says so before anything is proposed: {last}"
    assert own.ok, "a dump asks the member alone"
    assert token(given, 0) in own.copies
    stale = etcd_config(
        tmp_path, cluster, operation="read", options={"consistency": "serializable"}, hosts=(("m1", "127.0.0.1"),)
    )
    assert one_attempt(stale, opened=False).outcome == "ok", "a serializable read asks the member alone"
    strong = etcd_config(tmp_path, cluster, operation="read", hosts=(("m1", "127.0.0.1"),))
    assert one_attempt(strong, opened=False).outcome == "wrong_role"


def test_a_stopped_member_is_passed_over_after_one_attempt(tmp_path, cluster):
    given = etcd_config(tmp_path, cluster)

    async def work(client):
        cluster.stand_still("m1")
        deadline = time.monotonic() + 20  # it may have been the leader
        answers = [await attempt(client, given, 0)]
        while answers[-1].outcome != "ok" and time.monotonic() < deadline:
            answers.append(await attempt(client, given, len(answers)))
        return answers

    answers = use(given, work)
    assert (answers[0].outcome, answers[0].certainty, answers[0].node) == ("timeout", "info", "m1")
    assert answers[-1].outcome == "ok", [(a.outcome, a.node, a.error) for a in answers]
    assert answers[-1].node in ("m2", "m3")
    cluster.signal("m1", signal.SIGCONT)


@pytest.mark.parametrize("consistency", ["linearizable", "serializable"])
def test_the_newest_write_of_a_ledger_is_told_by_its_number(tmp_path, cluster, consistency):
    given = etcd_config(tmp_path, cluster)
    options = {"ledger": "orders", "consistency": consistency}
    reading = given.model_copy(update={"client": "readers", "operation": "newest", "options": options})
    assert one_attempt(reading).value == "-1"

    async def work(client):
        for seq in (0, 9, 10, 8):
            assert (await attempt(client, given, seq)).outcome == "ok"
        return await client.read_back()

    assert set(use(given, work).copies) == {token(given, seq) for seq in (0, 8, 9, 10)}
    time.sleep(0.3)  # a member that is asked for itself may lag
    answer = one_attempt(reading)
    assert (answer.outcome, answer.certainty, answer.value) == ("ok", "ok", "10"), "not the last to arrive, and no text order"
