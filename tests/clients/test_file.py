"""The file client, on folders of this machine that stand for a node's."""

import os
import threading

import pytest

from chaoskit.clients.threads import DaemonThreads
from chaoskit.model.errors import LabUnavailable
from tests.clients.probing import config
from tests.clients.using import attempt, one_attempt, token, use


@pytest.fixture
def inside(tmp_path):
    """Two "nodes" whose root is this process's, and one that is off."""
    folder = tmp_path / "inside"
    folder.mkdir()
    (folder / "n1").write_text(str(os.getpid()))
    (folder / "n2").write_text(str(os.getpid()))
    (folder / "n3").write_text("")
    (tmp_path / "data").mkdir()
    return folder


def file_config(tmp_path, inside, **changes):
    given = {"type": "file", "operation": "append", "inside": str(inside), "options": {"folder": str(tmp_path / "data")}}
    return config(tmp_path / "s.sqlite", None, **{**given, **changes})


@pytest.mark.parametrize("client_class", ["fresh", "pooled", "direct"])
def test_what_is_acknowledged_is_read_back(tmp_path, inside, client_class):
    given = file_config(tmp_path, inside, client_class=client_class, target="n1")

    async def work(client):
        answers = [await attempt(client, given, seq) for seq in (0, 1, 1)]
        return answers, await client.read_back(), await client.dump("n1", "")

    answers, final, dump = use(given, work)
    assert {(a.outcome, a.certainty, a.node) for a in answers} == {("ok", "ok", "n1")}, answers
    assert final.copies == dump.copies == {token(given, 0): 1, token(given, 1): 2}


def test_a_torn_line_is_no_token_and_hides_none(tmp_path, inside):
    given = file_config(tmp_path, inside)
    ledger = tmp_path / "data" / "chaoskit-ledger-orders"
    ledger.write_text(f"\n{token(given, 1)[:-1]}")  # the beginning of token 1 looks like another one

    async def work(client):
        await attempt(client, given, 2)
        return await client.read_back()

    assert use(given, work).copies == {token(given, 2): 1}


def test_nodes_that_are_off_and_folders_that_are_not_there_lead_on(tmp_path, inside):
    given = file_config(tmp_path, inside, hosts=(("n3", ""), ("n1", "")))
    assert one_attempt(given).node == "n1"
    off = one_attempt(file_config(tmp_path, inside, hosts=(("n3", ""),)))
    assert (off.outcome, off.certainty, off.node) == ("unreachable", "fail", "")
    gone = one_attempt(file_config(tmp_path, inside, options={"folder": str(tmp_path / "nowhere")}))
    assert (gone.outcome, gone.certainty) == ("app_error", "fail")


def test_a_ledger_that_is_gone_is_unknown_and_not_empty(tmp_path, inside):
    given = file_config(tmp_path, inside)

    async def work(client):
        before = await client.read_back()
        await attempt(client, given, 0)
        (tmp_path / "data" / "chaoskit-ledger-orders").unlink()
        return before, await client.read_back(), await client.dump("n3", "")

    before, after, off = use(given, work)
    assert (before.ok, before.copies) == (True, {})
    assert not after.ok
    assert (off.ok, off.detail) == (False, "the node is off")


@pytest.mark.parametrize(
    ("call", "error", "outcome", "certainty"),
    [
        ("write", 28, "app_error", "fail"),  # no space: nothing was written
        ("write", 5, "app_error", "info"),
        ("fsync", 5, "app_error", "info"),
        ("fsync", 28, "app_error", "info"),  # the data may lie there all the same
        ("fsync", 107, "reset", "info"),
        ("open", 30, "wrong_role", "fail"),
        ("open", 5, "app_error", "fail"),
    ],
)
def test_what_the_kernel_says_decides(tmp_path, inside, monkeypatch, call, error, outcome, certainty):
    ledger = tmp_path / "data" / "chaoskit-ledger-orders"
    ledger.touch()
    real = getattr(os, call)

    def failing(first, *arguments):
        path = os.readlink(f"/proc/self/fd/{first}") if isinstance(first, int) else str(first)
        if path.endswith(ledger.name):
            raise OSError(error, os.strerror(error))
        return real(first, *arguments)

    monkeypatch.setattr(os, call, failing)
    answer = one_attempt(file_config(tmp_path, inside))
    assert (answer.outcome, answer.certainty) == (outcome, certainty), answer


@pytest.mark.parametrize("client_class", ["fresh", "pooled"])
@pytest.mark.parametrize(("call", "certainty"), [("open", "fail"), ("fsync", "info")])
def test_a_call_that_hangs_is_a_time_out_and_never_writes_afterwards_what_it_said_it_did_not(
    tmp_path, inside, monkeypatch, call, certainty, client_class
):
    ledger = tmp_path / "data" / "chaoskit-ledger-orders"
    ledger.touch()
    hangs = threading.Event()
    real = getattr(os, call)

    def hanging(first, *arguments):
        path = os.readlink(f"/proc/self/fd/{first}") if isinstance(first, int) else str(first)
        if path.endswith(ledger.name):
            hangs.wait(10)
        return real(first, *arguments)

    monkeypatch.setattr(os, call, hanging)
    given = file_config(tmp_path, inside, client_class=client_class)

    async def work(client):
        answer = await attempt(client, given, 0)
        hangs.set()
        second = await attempt(client, given, 1)
        return answer, second, await client.read_back()

    answer, second, final = use(given, work)
    assert (answer.outcome, answer.certainty) == ("timeout", certainty)
    assert second.outcome == "ok"
    assert set(final.copies) == {token(given, 1), *([token(given, 0)] if certainty == "info" else [])}


def test_attempts_that_find_every_thread_hanging_were_not_begun(tmp_path, inside, monkeypatch):
    (tmp_path / "data" / "chaoskit-ledger-orders").touch()
    hangs = threading.Event()
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: real(handle) if hangs.wait(10) else None)
    given = file_config(tmp_path, inside, options={"folder": str(tmp_path / "data"), "threads": 1})

    async def work(client):
        answers = [await attempt(client, given, seq) for seq in range(2)]
        hangs.set()
        last = await attempt(client, given, 2)
        return answers, last, await client.read_back()

    (hung, waited), last, final = use(given, work)
    assert (hung.certainty, waited.certainty, last.outcome) == ("info", "fail", "ok")
    assert set(final.copies) == {token(given, 0), token(given, 2)}


def test_a_read_reads(tmp_path, inside):
    (tmp_path / "data" / "chaoskit").write_text("hello")
    assert one_attempt(file_config(tmp_path, inside, operation="read")).value == "hello"


def test_a_lab_without_a_way_in_is_refused(tmp_path):
    with pytest.raises(LabUnavailable, match="gives no way in"):
        one_attempt(file_config(tmp_path, ""))


def test_threads_are_made_when_needed_and_no_more_than_allowed():
    import asyncio

    threads = DaemonThreads(2, "test")
    seen: set[str] = set()
    barrier = threading.Barrier(2, timeout=5)

    def one() -> None:
        seen.add(threading.current_thread().name)
        barrier.wait()

    async def main() -> None:
        await asyncio.gather(*(threads.run(one) for _ in range(6)))

    asyncio.run(main())
    assert seen == {"test-1", "test-2"}
    threads.close()


def test_the_newest_write_of_a_ledger_is_told_by_its_number(tmp_path, inside):
    given = file_config(tmp_path, inside)
    options = {**given.options, "ledger": "orders"}
    reading = given.model_copy(update={"client": "readers", "operation": "newest", "options": options})
    assert one_attempt(reading).outcome != "ok", "there is no ledger yet"

    async def work(client):
        for seq in (0, 9, 10, 8):
            await attempt(client, given, seq)

    use(given, work)
    with (tmp_path / "data" / "chaoskit-ledger-orders").open("a") as ledger:
        ledger.write(f"\n{token(given, 11)}")
    assert one_attempt(reading).value == "10", "a torn line is no write"
