"""The Python client: what a function returns and raises, and its ledger."""

import sys
import threading

import pytest

from chaoskit.model.errors import InputError
from tests.clients.probing import config
from tests.clients.using import attempt, one_attempt, token, use

MODULE = """
import asyncio, socket, threading
from chaoskit.ports.client import Answer

ledger = []
gate = threading.Event()

def say(call):
    what = call.options.get("say")
    if isinstance(what, str) and what.startswith("raise "):
        raise {"refused": ConnectionRefusedError("no"), "reset": ConnectionResetError("gone"), "late": TimeoutError("late"),
               "dns": socket.gaierror(-2, "unknown name"), "own": KeyError("own")}[what[6:]]
    if what == "answer":
        return Answer(outcome="wrong_role", certainty="fail", node="elsewhere")
    return what

async def say_async(call):
    return say(call)

async def sleep(call):
    await asyncio.sleep(60)

def hang(call):
    gate.wait(10)
    ledger.append(call.token)

def append(call):
    ledger.append(call.token)

def tokens(call):
    return ledger + ["another.run"]

def broken(call):
    raise OSError("cannot")

def what(call):
    return f"{call.node} {call.address} {call.port} {call.deadline_s} {len(call.hosts)}"

number = 7
"""


@pytest.fixture
def module(tmp_path):
    name = f"mine_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    yield name
    sys.modules.pop(name, None)
    if str(tmp_path) in sys.path:
        sys.path.remove(str(tmp_path))


def python_config(tmp_path, call, operation="call", **options):
    return config(
        tmp_path / "s.sqlite", 80, type="python", operation=operation, directory=str(tmp_path), options={"call": call, **options}
    )


@pytest.mark.parametrize("function", ["say", "say_async"])
@pytest.mark.parametrize(
    ("what", "outcome", "certainty", "value"),
    [
        (None, "ok", "ok", ""),
        (True, "ok", "ok", ""),
        (42, "ok", "ok", "42"),
        (False, "app_error", "fail", ""),
        ("answer", "wrong_role", "fail", ""),
        ("raise refused", "refused", "fail", ""),
        ("raise dns", "dns", "fail", ""),
        ("raise reset", "reset", "info", ""),
        ("raise late", "timeout", "info", ""),
        ("raise own", "app_error", "info", ""),
    ],
)
def test_what_a_function_says_is_an_outcome(tmp_path, module, function, what, outcome, certainty, value):
    answer = one_attempt(python_config(tmp_path, f"{module}:{function}", **{"with": {"say": what}}))
    assert (answer.outcome, answer.certainty, answer.value) == (outcome, certainty, value), answer


def test_it_is_told_where_to_go(tmp_path, module):
    assert one_attempt(python_config(tmp_path, f"{module}:what")).value == "n1 127.0.0.1 80 0.3 1"


@pytest.mark.parametrize("function", ["sleep", "hang"])
def test_the_deadline_holds_whatever_it_does(tmp_path, module, function):
    given = python_config(tmp_path, f"{module}:{function}")

    async def work(client):
        answer = await attempt(client, given)
        sys.modules[module].gate.set()
        return answer

    answer = use(given, work)
    assert (answer.outcome, answer.certainty) == ("timeout", "info")


def test_what_finds_no_thread_was_not_called(tmp_path, module):
    given = python_config(tmp_path, f"{module}:hang", at_once=1)

    async def work(client):
        answers = [await attempt(client, given, seq) for seq in range(2)]
        sys.modules[module].gate.set()
        answers.append(await attempt(client, given, 2))
        return answers

    assert [a.certainty for a in use(given, work)] == ["info", "fail", "ok"]
    assert sys.modules[module].ledger == [token(given, 0), token(given, 2)]


def test_a_ledger_of_functions(tmp_path, module):
    given = python_config(tmp_path, f"{module}:append", operation="append", read_back=f"{module}:tokens", dump=f"{module}:broken")

    async def work(client):
        for seq in (0, 1, 1):
            assert (await attempt(client, given, seq)).outcome == "ok"
        return await client.read_back(), await client.dump("n2", "")

    final, dump = use(given, work)
    assert (final.ok, final.copies) == (True, {token(given, 0): 1, token(given, 1): 2})
    assert (dump.ok, dump.node) == (False, "n2")


@pytest.mark.parametrize(
    ("call", "words"),
    [("no_such_module_here:f", "it cannot be had"), ("{m}:nothing", "it cannot be had"), ("{m}:number", "no function")],
)
def test_a_function_that_is_not_there_is_refused_before_anything_is_called(tmp_path, module, call, words):
    with pytest.raises(InputError, match=words):
        one_attempt(python_config(tmp_path, call.replace("{m}", module)))


def test_it_runs_in_threads_of_the_process_and_leaves_none_waiting(tmp_path, module):
    before = threading.active_count()
    one_attempt(python_config(tmp_path, f"{module}:append"))
    assert threading.active_count() <= before + 1


@pytest.mark.parametrize(
    ("said", "value"),
    [
        (None, "-1"),
        (7, "7"),
        ("12", "12"),
        ("r1.orders.0.5", "5"),
        (["r1.orders.0.9", "r1.orders.0.10", "x"], "10"),
        ("odd", "-1"),
    ],
)
def test_the_newest_write_of_a_ledger_is_told_by_its_number(tmp_path, module, said, value):
    options = {"call": f"{module}:say", "with": {"say": said}, "ledger": "orders"}
    given = config(tmp_path / "s.sqlite", 80, type="python", operation="newest", client="readers", options=options,
                   directory=str(tmp_path))  # fmt: skip
    assert one_attempt(given).value == value
