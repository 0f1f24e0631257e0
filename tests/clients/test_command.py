"""The command client: exit codes, deadlines, ledgers."""

import os
import time
from pathlib import Path

import psutil
import pytest

from chaoskit.model.errors import InputError, LabUnavailable
from tests.clients.probing import config
from tests.clients.using import attempt, one_attempt, token, use


def command_config(tmp_path, *command, **options):
    return config(
        tmp_path / "s.sqlite", 80, type="command", operation=options.pop("operation", "run"),
        hosts=(("n1", "127.0.0.7"),), directory=str(tmp_path), options={"command": command, **options},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("code", "outcome", "certainty"), [(0, "ok", "ok"), (3, "ok", "ok"), (4, "app_error", "fail"), (1, "app_error", "info")]
)
def test_the_exit_code_decides(tmp_path, code, outcome, certainty):
    given = command_config(tmp_path, "sh", "-c", f"echo one; echo two; exit {code}", ok_codes=[0, 3], fail_codes=[4])
    answer = one_attempt(given)
    assert (answer.outcome, answer.certainty, answer.node) == (outcome, certainty, "n1")
    assert "two" in answer.value + answer.error


def test_a_signal_leaves_it_unknown_and_a_missing_program_does_not(tmp_path):
    killed = one_attempt(command_config(tmp_path, "sh", "-c", "kill -9 $$"))
    assert (killed.outcome, killed.certainty) == ("app_error", "info")
    assert "-9" in killed.error
    missing = one_attempt(command_config(tmp_path, "no-such-program"))
    assert (missing.outcome, missing.certainty) == ("app_error", "fail")


def test_words_are_replaced_and_no_shell_is_started(tmp_path):
    given = command_config(tmp_path, "echo", "{token} {node} {address}:{port} $HOME;{other}")
    assert one_attempt(given).value == f"{token(given, 0)} n1 127.0.0.7:80 $HOME;{{other}}"


def test_it_runs_in_the_experiments_folder(tmp_path):
    assert one_attempt(command_config(tmp_path, "pwd")).value == str(tmp_path)


def test_at_the_deadline_it_is_killed_with_all_it_started(tmp_path):
    given = command_config(tmp_path, "sh", "-c", f"sleep 77 & echo $! > {tmp_path}/child; wait")
    answer = one_attempt(given)
    assert (answer.outcome, answer.certainty) == ("timeout", "info")
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 5
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_finds_no_room_was_not_begun(tmp_path):
    given = command_config(tmp_path, "sh", "-c", f"echo {{token}} >> {tmp_path}/begun; sleep 5", at_once=1)

    async def work(client):
        import asyncio

        return await asyncio.gather(*(attempt(client, given, seq) for seq in range(2)))

    answers = use(given, work)
    assert sorted(a.certainty for a in answers) == ["fail", "info"]
    assert (tmp_path / "begun").read_text() == f"{token(given, 0)}\n"


def test_a_ledger_of_commands(tmp_path):
    given = command_config(
        tmp_path, "sh", "-c", "echo {token} >> ledger", operation="append", read_back=["cat", "ledger"],
        dump=["sh", "-c", "grep . ledger | head -1"],
    )  # fmt: skip

    async def work(client):
        for seq in (0, 1, 1):
            assert (await attempt(client, given, seq)).outcome == "ok"
        with (tmp_path / "ledger").open("a") as ledger:
            ledger.write("another.run.0.1\n")
        return await client.read_back(), await client.dump("n9", "127.0.0.9")

    final, dump = use(given, work)
    assert (final.ok, final.copies) == (True, {token(given, 0): 1, token(given, 1): 2})
    assert (dump.node, dump.copies) == ("n9", {token(given, 0): 1})


def test_a_ledger_that_cannot_be_read_is_unknown(tmp_path):
    given = command_config(tmp_path, "true", operation="append", read_back=["false"], dump=["no-such-program"])

    async def work(client):
        return await client.read_back(), await client.dump("n1", "")

    final, dump = use(given, work)
    assert (final.ok, dump.ok) == (False, False)
    assert "exit code 1" in final.detail


def test_a_ledger_without_a_way_to_read_it_is_refused(tmp_path):
    with pytest.raises(InputError, match="append needs read_back and dump"):
        one_attempt(command_config(tmp_path, "true", operation="append"))


def test_inside_nodes_needs_a_way_in(tmp_path):
    with pytest.raises(LabUnavailable, match="gives no way in"):
        one_attempt(command_config(tmp_path, "true", runs="inside"))


@pytest.mark.skipif(os.geteuid() != 0, reason="entering namespaces needs root")
def test_inside_a_node_that_is_off_or_gone(tmp_path):
    folder = tmp_path / "inside"
    folder.mkdir()
    (folder / "n1").write_text("")
    given = command_config(tmp_path, "true", runs="inside").model_copy(update={"inside": str(folder)})
    answer = one_attempt(given)
    assert (answer.outcome, answer.certainty, answer.node) == ("unreachable", "fail", "")
    Path(folder / "n1").write_text(str(os.getpid()))
    assert one_attempt(given).outcome == "ok"


def test_the_newest_write_of_a_ledger_is_told_by_its_number(tmp_path):
    given = command_config(tmp_path, "printf", "words\\nr1.orders.0.12\\n", operation="newest", ledger="orders")
    assert one_attempt(given).value == "12"
