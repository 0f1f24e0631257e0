"""Files of a real node: changed, deleted, and put back to the byte."""

from __future__ import annotations

import base64
import random
import sys
from collections.abc import Callable
from typing import Any

import pytest

from chaoskit.backends.namespace.lab import NamespaceLab
from chaoskit.engine.clock import SystemClock
from chaoskit.engine.injecting import seen_within
from chaoskit.engine.scene import LiveScene
from chaoskit.faults.file_change import FileChange
from chaoskit.faults.file_delete import FileDelete
from chaoskit.faults.file_replace import FileReplace
from chaoskit.model.capability import USERS_MANY, Survey
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import FileQuery, ServiceQuery
from chaoskit.model.files import HostFile
from chaoskit.model.lab import FilePlan
from chaoskit.model.steps import STEP, Exec, RemoveFile, Step, WriteFile
from chaoskit.ports.fault import Facts, Fault

from . import plans

pytestmark = pytest.mark.lab

Up = Callable[..., NamespaceLab]
CONF = "/tmp/thing/thing.conf"
EVERYTHING = f"stat -c '%a %u:%g %s %.Y' {CONF}; sha256sum {CONF}; getfattr -d {CONF} 2>/dev/null; ls -A /tmp/thing"


def run(lab: NamespaceLab, script: str) -> str:
    return lab.perform(Exec(node="n0", argv=("sh", "-c", script))).output.strip()


def performed(lab: NamespaceLab, steps: tuple[Step, ...]) -> None:
    for step in steps:
        lab.perform(STEP.validate_json(STEP.dump_json(step)))


def prepared(lab: NamespaceLab, fault: Fault) -> Facts:
    return fault.prepare(LiveScene(lab, lambda _: (), random.Random(1)), ("n0",), "tag")


def bites(lab: NamespaceLab, fault: Fault, facts: Facts) -> bool:
    return seen_within(lab, fault.effect(facts), lambda c: c.in_force, 0.3, SystemClock())[0]


def gone(lab: NamespaceLab, fault: Fault, facts: Facts) -> bool:
    return seen_within(lab, fault.effect(facts), lambda c: c.healed, 0.3, SystemClock())[0]


@pytest.fixture
def lab(up: Up) -> NamespaceLab:
    made = up(plans.bare(1))
    run(made, f"mkdir /tmp/thing; printf 'port = 5432\\nhost = a\\xff\\n' > {CONF}; chmod 640 {CONF}; touch -d 2001-02-03 {CONF}")
    return made


@pytest.mark.parametrize(
    ("change", "content"),
    [
        ({"replace": "^port = (\\d+)$", "by": "port = \\g<1>0"}, "port = 54320\nhost = a\\xff\n"),
        ({"delete_line": "^port"}, "host = a\\xff\n"),
        ({"truncate_to": 4}, "port"),
        ({"mode": "0000"}, "port = 5432\nhost = a\\xff\n"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_change_is_what_was_asked_for_and_comes_back_to_the_byte(
    lab: NamespaceLab, change: dict[str, Any], content: str
) -> None:
    before = run(lab, EVERYTHING)
    fault = FileChange.model_validate({"path": CONF, **change})
    facts = prepared(lab, fault)
    assert not bites(lab, fault, facts)
    performed(lab, fault.heal(facts))
    assert run(lab, EVERYTHING) == before, "healing without injecting changes nothing"
    performed(lab, fault.inject(facts))
    assert bites(lab, fault, facts)
    assert run(lab, f"printf '{content}' | cmp - {CONF} && stat -c %a {CONF}") == ("0" if "mode" in change else "640")
    assert not gone(lab, fault, facts)
    for _ in range(2):
        performed(lab, fault.heal(facts))
        assert gone(lab, fault, facts)
        assert run(lab, EVERYTHING) == before


def test_a_wrong_owner_locks_its_user_out(lab: NamespaceLab, survey: Survey) -> None:
    if not survey.has(USERS_MANY):
        pytest.skip(survey.reason(USERS_MANY))
    run(lab, f"chmod 755 /tmp/thing; chmod 600 {CONF}; chown nobody {CONF}")
    before = run(lab, EVERYTHING)
    fault = FileChange(path=CONF, owner="root")
    facts = prepared(lab, fault)
    read = Exec(node="n0", argv=("cat", CONF), user="nobody", ok_codes=(0, 1))
    assert "port" in lab.perform(read).output
    performed(lab, fault.inject(facts))
    assert "denied" in lab.perform(read).output
    performed(lab, fault.heal(facts))
    assert "port" in lab.perform(read).output
    assert run(lab, EVERYTHING) == before
    with pytest.raises(StepFailed, match="no user 'somebodyelse'"):
        prepared(lab, FileChange(path=CONF, owner="somebodyelse"))


def test_a_service_that_cannot_start_with_a_garbled_file_runs_again_after_the_heal(up: Up) -> None:
    server = plans.service("server", "sh", "-c", ". /etc/server.conf && exec sleep $seconds", restart="always")
    file = FilePlan(path="/etc/server.conf", content="seconds=1000\n", mode=0o644, owner="root")
    lab = up(plans.plan(plans.node("n0", 0, services=(server.model_copy(update={"files": (file,)}),))))
    fault = FileChange(path="/etc/server.conf", garbage=True, reload=("pkill", "-x", "sleep"))
    facts = prepared(lab, fault)
    assert facts.services == {"n0": ("server",)}
    performed(lab, fault.inject(facts))
    assert bites(lab, fault, facts)
    assert run(lab, "sleep 0.5; pgrep -cx sleep || true") == "0", "it starts again and again, and ends"
    performed(lab, fault.heal(facts))
    assert gone(lab, fault, facts)
    assert lab.read(ServiceQuery(node="n0", service="server")).value == "running"
    assert run(lab, "cat /etc/server.conf; cat /proc/$(pgrep -ox sleep)/cmdline | tr '\\0' ' '") == "seconds=1000\nsleep 1000"


def test_a_deleted_file_is_gone_and_comes_back_through_its_link(lab: NamespaceLab) -> None:
    run(lab, f"ln -s {CONF} /tmp/link")
    before = run(lab, EVERYTHING)
    fault = FileDelete(path="/tmp/link")
    facts = prepared(lab, fault)
    assert facts.files["n0"].path == CONF
    performed(lab, fault.inject(facts))
    assert bites(lab, fault, facts)
    assert run(lab, f"test ! -e {CONF} && readlink /tmp/link") == CONF
    for _ in range(2):
        performed(lab, fault.heal(facts))
        assert run(lab, EVERYTHING) == before
    assert gone(lab, fault, facts)


def test_what_is_no_regular_file_is_refused_and_nothing_done(lab: NamespaceLab) -> None:
    run(lab, "mkfifo /tmp/fifo; ln -s loop /tmp/loop; head -c 1048577 /dev/zero > /tmp/large; ln -s /tmp/nowhere /tmp/dangling")
    for path, why in {
        "/tmp/none": "absent",
        "/tmp/dangling": "absent",
        "/tmp": "a directory",
        "/tmp/fifo": "not a regular file",
        "/dev/null": "not a regular file",
        "/tmp/loop": "a loop of symbolic links",
        "/tmp/large": "larger than 1048576 bytes",
    }.items():
        with pytest.raises(StepFailed, match=f"it is {why}"):
            prepared(lab, FileChange(path=path, truncate_to=0))
        with pytest.raises(StepFailed, match=f"it is {why}"):
            prepared(lab, FileDelete(path=path))
    file = lab.read(FileQuery(node="n0", path=CONF)).file
    assert file is not None
    with pytest.raises(StepFailed, match="/tmp is a directory"):
        lab.perform(WriteFile(node="n0", file=file.model_copy(update={"path": "/tmp"})))
    with pytest.raises(StepFailed, match="/tmp is a directory"):
        lab.perform(RemoveFile(node="n0", path="/tmp"))
    with pytest.raises(StepFailed, match="No such file"):
        lab.perform(WriteFile(node="n0", file=file.model_copy(update={"path": "/tmp/none/here"})))
    with pytest.raises(StepFailed, match="nothing that matches 'zebra'"):
        prepared(lab, FileChange(path=CONF, replace="zebra"))
    with pytest.raises(StepFailed, match="already as it would be"):
        prepared(lab, FileChange(path=CONF, mode="0640"))


def test_a_file_is_replaced_by_anothers_content_and_comes_back_with_its_time_and_attributes(up: Up) -> None:
    lab = up(plans.bare(2))
    run(lab, f"mkdir /tmp/thing; printf 'port = 5432\\n' > {CONF}; chmod 4750 {CONF}; touch -d 2001-02-03 {CONF}")
    attributes = f"import os; os.setxattr('{CONF}', 'user.note', b'kept\\xff'); print(os.listxattr('{CONF}'))"
    marked = lab.perform(Exec(node="n0", argv=(sys.executable, "-c", attributes))).output
    assert "user.note" in marked
    with_attributes = (
        f"{EVERYTHING}; {sys.executable} -c \"import os; print([(n, os.getxattr('{CONF}', n)) for n in os.listxattr('{CONF}')])\""
    )
    other = "mkdir /tmp/thing; printf 'port = 1\\nfrom the other node\\n' > /tmp/thing/thing.conf"
    lab.perform(Exec(node="n1", argv=("sh", "-c", other)))
    run(lab, "printf 'a copy' > /tmp/copy")
    before = run(lab, with_attributes)
    host = HostFile(path="wrong.conf", content=base64.b64encode(b"\x00\xffbinary").decode())
    for changes, content in (
        ({"content": "port = 9\n"}, b"port = 9\n"),
        ({"content": ""}, b""),
        ({"file": host}, b"\x00\xffbinary"),
        ({"from_node": "n1"}, b"port = 1\nfrom the other node\n"),
        ({"from_path": "/tmp/copy"}, b"a copy"),
    ):
        fault = FileReplace.model_validate({"path": CONF, **changes})
        facts = prepared(lab, fault)
        assert not bites(lab, fault, facts)
        performed(lab, fault.inject(facts))
        assert bites(lab, fault, facts)
        now = lab.read(FileQuery(node="n0", path=CONF)).file
        assert now is not None
        assert (now.data, now.mode, now.user_id) == (content, 0o4750, 0)
        assert now.xattrs == facts.files["n0"].xattrs
        for _ in range(2):
            performed(lab, fault.heal(facts))
            assert gone(lab, fault, facts)
            assert run(lab, with_attributes) == before
    with pytest.raises(StepFailed, match="/tmp/none on n1 cannot be taken: it is absent"):
        prepared(lab, FileReplace(path=CONF, from_node="n1", from_path="/tmp/none"))
    with pytest.raises(StepFailed, match="already as it would be"):
        prepared(lab, FileReplace(path=CONF, content="port = 5432\n"))
