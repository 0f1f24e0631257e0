"""A real lab of namespaces: what each step does, and what each query answers."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaoskit.backends.namespace.lab import NamespaceLab
from chaoskit.linux import rtnl
from chaoskit.model.capability import NETWORK_CUT, USERS_MANY, VOLUME_LOSE_UNSYNCED, Survey
from chaoskit.model.check import CommandCheck
from chaoskit.model.errors import LabUnavailable, StepFailed
from chaoskit.model.facts import (
    DroppedQuery,
    ExecQuery,
    NodeStateQuery,
    PageQuery,
    PidFileQuery,
    ProcessesQuery,
    ProcessInfo,
    ProcessStateQuery,
    ReachQuery,
    ServiceQuery,
)
from chaoskit.model.lab import FilePlan
from chaoskit.model.steps import (
    CutLinks,
    Exec,
    Freeze,
    JoinLinks,
    Link,
    PowerOff,
    PowerOn,
    ProcessRef,
    Signal,
    StartService,
    Thaw,
)

from . import plans

pytestmark = pytest.mark.lab

Up = Callable[..., NamespaceLab]


def run(lab: NamespaceLab, node: str, script: str, **options: Any) -> str:
    return lab.perform(Exec(node=node, argv=("sh", "-c", script), **options)).output.strip()


def reach(lab: NamespaceLab, source: str, destination: str, network: str | None = None) -> str | None:
    return lab.read(ReachQuery(source=source, destination=destination, network=network)).value


def state(lab: NamespaceLab, node: str) -> str | None:
    return lab.read(NodeStateQuery(node=node)).value


def seen(question: Callable[[], Any], wanted: Any, within_s: float = 5.0) -> Any:
    """What the question answers, once it is `wanted` or the time is over."""
    deadline = time.monotonic() + within_s
    while (answer := question()) != wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    return answer


def main_of(lab: NamespaceLab, node: str, service: str) -> ProcessInfo:
    found = [p for p in lab.read(ProcessesQuery(node=node)).processes if p.service == service]
    assert found, f"{service} has no process on {node}"
    return found[0]


# ---- nodes


def test_a_node_has_its_own_name_processes_network_and_temporary_files(up: Up) -> None:
    lab = up(plans.bare(2))
    assert run(lab, "n0", "hostname; cat /etc/hostname") == "n0\nn0"
    assert run(lab, "n0", "ls /proc | grep -c '^[0-9]'") in ("4", "5")  # init, sh, ls, grep
    assert run(lab, "n0", "cat /proc/1/comm") == "init"
    assert "198.18.0.1/24" in run(lab, "n0", "cat /proc/net/fib_trie") or "198.18.0.1" in run(lab, "n0", "cat /proc/net/fib_trie")
    assert run(lab, "n0", "stat -c %a /tmp /dev/shm /run/lock") == "1777\n1777\n1777"
    run(lab, "n0", "echo mine > /tmp/file; echo mine > /usr/file")
    with tempfile.NamedTemporaryFile(dir="/tmp") as mine:  # a checkout below /tmp is visible, nothing else there
        seen = run(lab, "n1", f"ls /tmp/file /usr/file {mine.name} 2>&1; true").splitlines()
    assert len(seen) == 3
    assert all(line.endswith("No such file or directory") for line in seen)
    assert not os.path.exists("/usr/file")
    assert run(lab, "n0", "getent hosts n1").split() == ["198.18.0.2", "n1", "n1-lan"]


def test_pid_1_reaps_orphans(up: Up) -> None:
    lab = up(plans.bare(1))
    run(lab, "n0", "(sh -c 'sleep 0.05 & exit 0' &) ; sleep 0.3")
    left = [p for p in lab.read(ProcessesQuery(node="n0")).processes if p.state == "Z"]
    assert left == []


def test_several_networks_have_several_switches(up: Up) -> None:
    both = ("lan", "san")
    lab = up(plans.plan(plans.node("n0", 0, both), plans.node("n1", 1, both), plans.node("n2", 2, ("san",))))
    assert [reach(lab, "n0", "n1", network) for network in both] == ["answered", "answered"]
    assert reach(lab, "n0", "n2") == "answered"
    lab.perform(CutLinks(tag="san", links=(Link(source="n0", destination="n1"),), network="san"))
    assert [reach(lab, "n0", "n1", network) for network in both] == ["answered", "silent"]
    with pytest.raises(StepFailed, match="do not share the network 'lan'"):
        lab.perform(CutLinks(tag="none", links=(Link(source="n0", destination="n2"),), network="lan"))


# ---- services


def test_services_start_in_the_order_of_their_needs_as_their_users_with_their_files(up: Up, tmp_path: Path) -> None:
    file = FilePlan(path="/etc/thing/thing.conf", content="greeting=hello\n", mode=0o640, owner="thinguser")
    late = plans.service(
        "late", "sh", "-c", "id -u; cat /etc/thing/thing.conf; exec sleep 1000", user="thinguser", files=(file,), needs=("web",)
    )
    lab = up(plans.plan(plans.node("n0", 0, services=(late,)), plans.node("n1", 1, services=(plans.web(),))))
    order = [e.data["service"] for e in lab.events() if e.kind == "service.started"]
    assert order == ["web", "late"]
    log = tmp_path / "logs" / "n0" / "late.log"
    assert seen(lambda: log.read_text().splitlines()[1:], ["greeting=hello"]) == ["greeting=hello"]
    user_id = int(log.read_text().splitlines()[0])
    assert user_id > 0
    assert main_of(lab, "n0", "late").user_id == user_id
    assert main_of(lab, "n1", "web").listens == (8000,)
    assert lab.read(ServiceQuery(node="n1", service="web")).value == "running"
    assert run(lab, "n0", "id -un", user="thinguser") == "thinguser"


def test_a_node_that_never_gets_ready_is_an_error_with_evidence_and_nothing_is_left(up: Up, backend: Any) -> None:
    never = CommandCheck(command=("sh", "-c", "echo not yet; exit 1"))
    slow = plans.service("slow", "sh", "-c", "echo my last words; exec sleep 1000", ready=never)
    with pytest.raises(LabUnavailable) as caught:
        up(plans.plan(plans.node("n0", 0, services=(slow,)), within_s=1.0))
    assert "n0: service slow was not ready within 1 s" in str(caught.value)
    assert "not yet" in str(caught.value)
    assert "my last words" in caught.value.evidence
    assert backend.leftovers() == []


def test_a_service_that_dies_while_starting_is_an_error_with_its_exit_code(up: Up, backend: Any) -> None:
    with pytest.raises(LabUnavailable) as caught:
        up(plans.plan(plans.node("n0", 0, services=(plans.service("bad", "sh", "-c", "echo oh no; exit 7"),))))
    assert "n0: service bad ended with exit code 7" in str(caught.value)
    assert "oh no" in caught.value.evidence
    assert backend.leftovers() == []


def test_restart_policies(up: Up) -> None:
    services = tuple(plans.sleeper(policy, restart=policy) for policy in ("never", "on-boot", "always"))
    lab = up(plans.plan(plans.node("n0", 0, services=services)))
    victims = {policy: main_of(lab, "n0", policy) for policy in ("never", "on-boot", "always")}
    lab.perform(Signal(node="n0", processes=tuple(v.ref for v in victims.values()), signal="KILL"))

    def states() -> list[str | None]:
        return [lab.read(ServiceQuery(node="n0", service=policy)).value for policy in victims]

    assert seen(states, ["exited", "exited", "running"]) == ["exited", "exited", "running"]
    assert main_of(lab, "n0", "always").start_ticks >= victims["always"].start_ticks
    exits = {e.data["service"]: e.data["code"] for e in lab.events() if e.kind == "service.exited"}
    assert exits == {"never": -9, "on-boot": -9, "always": -9}
    lab.perform(PowerOff(node="n0"))
    lab.perform(PowerOn(node="n0"))
    assert seen(states, ["exited", "running", "running"]) == ["exited", "running", "running"]
    lab.perform(StartService(node="n0", service="never"))
    assert states() == ["running"] * 3
    lab.perform(StartService(node="n0", service="never"))
    assert sum(p.service == "never" for p in lab.read(ProcessesQuery(node="n0")).processes) == 1


# ---- commands, processes, agents


def test_commands_report_codes_output_and_time(up: Up) -> None:
    lab = up(plans.bare(1))
    assert lab.perform(Exec(node="n0", argv=("sh", "-c", "echo $X; exit 3"), env={"X": "y"}, ok_codes=(3,))).output == "y\n"
    with pytest.raises(StepFailed, match="exit code 3"):
        run(lab, "n0", "exit 3")
    began = time.monotonic()
    with pytest.raises(StepFailed, match=r"did not end within 0.3 s") as caught:
        run(lab, "n0", "echo before; sleep 20", timeout_s=0.3)
    assert "before" in caught.value.evidence
    assert time.monotonic() - began < 10
    with pytest.raises(StepFailed, match="exit code 127"):
        lab.perform(Exec(node="n0", argv=("no-such-program",)))
    with pytest.raises(StepFailed, match="no user 'nosuchuser'"):
        run(lab, "n0", "id", user="nosuchuser")
    with pytest.raises(StepFailed, match="no node 'n9'"):
        run(lab, "n9", "true")
    reading = lab.read(ExecQuery(node="n0", argv=("sh", "-c", "echo seen; exit 4")))
    assert (reading.number, reading.value) == (4, "seen\n")
    assert len(run(lab, "n0", "head -c 3000000 /dev/zero | tr '\\0' x")) < 300_000


def test_signals_hit_exactly_the_process_that_was_meant(up: Up) -> None:
    lab = up(plans.plan(plans.node("n0", 0, services=(plans.sleeper(),))))
    meant = main_of(lab, "n0", "sleeper").ref
    later = ProcessRef(pid=meant.pid, start_ticks=meant.start_ticks + 1)
    done = lab.perform(Signal(node="n0", processes=(later,), signal="KILL"))
    assert "gone already" in done.output
    assert lab.read(ProcessStateQuery(node="n0", process=meant)).value == "running"
    assert lab.read(ProcessStateQuery(node="n0", process=later)).value == "gone"
    lab.perform(Signal(node="n0", processes=(meant,), signal="STOP"))
    assert seen(lambda: lab.read(ProcessStateQuery(node="n0", process=meant)).value, "stopped") == "stopped"
    lab.perform(Signal(node="n0", processes=(meant,), signal="CONT"))
    assert seen(lambda: lab.read(ProcessStateQuery(node="n0", process=meant)).value, "running") == "running"
    lab.perform(Signal(node="n0", processes=(meant,), signal="KILL"))
    assert seen(lambda: lab.read(ProcessStateQuery(node="n0", process=meant)).value, "gone") == "gone"


def test_pid_files_are_read_inside_the_node(up: Up) -> None:
    lab = up(plans.bare(1))
    run(lab, "n0", "printf '4711\\nmore\\n' > /run/x.pid")
    assert lab.read(PidFileQuery(node="n0", path="/run/x.pid")).number == 4711
    assert lab.read(PidFileQuery(node="n0", path="/run/none.pid")).number is None


def test_an_agent_lives_in_a_nodes_network_and_talks_to_us(up: Up, tmp_path: Path) -> None:
    lab = up(plans.bare(2))
    program = "import sys\nfor line in sys.stdin: print('heard', line.strip(), flush=True)\nprint('bye')"
    agent = lab.spawn("echo", "n1", [sys.executable, "-c", program], tmp_path / "agent.log")
    agent.tell("hello")
    heard: list[str] = []
    seen(lambda: heard.extend(agent.lines()) or heard, ["heard hello"])
    assert heard == ["heard hello"]
    lab.perform(PowerOff(node="n1"))
    assert agent.exit_code() is None
    assert agent.stop(5.0) == 0
    assert list(agent.lines()) == ["bye"]
    with pytest.raises(StepFailed):
        agent.tell("more")


def test_an_agent_that_ignores_everything_is_killed(up: Up, tmp_path: Path) -> None:
    lab = up(plans.bare(1))
    agent = lab.spawn("deaf", "n0", ["sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"], tmp_path / "agent.log")
    assert agent.stop(0.2) == -9


def test_an_agent_without_a_node_can_enter_every_network(up: Up, tmp_path: Path) -> None:
    lab = up(plans.bare(2))
    inside = lab.inside()
    assert inside is not None
    script = f"for n in n0 n1; do readlink /proc/$(cat {inside}/$n)/ns/net; done; readlink /proc/self/ns/net"
    agent = lab.spawn("watcher", None, ["sh", "-c", script], tmp_path / "agent.log")
    assert agent.stop(5.0) == 0
    assert len(set(agent.lines())) == 3
    lab.perform(PowerOff(node="n0"))
    assert (inside / "n0").read_text() == ""


# ---- network


def test_a_cut_is_complete_counted_and_undone(up: Up, survey: Survey) -> None:
    if not survey.has(NETWORK_CUT):
        pytest.skip(survey.reason(NETWORK_CUT))
    lab = up(plans.bare(3))
    links = tuple(Link(source=a, destination=b) for a, b in (("n0", "n1"), ("n1", "n0")))
    lab.perform(CutLinks(tag="a/b c", links=links))
    lab.perform(CutLinks(tag="a/b c", links=links))
    assert [reach(lab, a, b) for a, b in (("n0", "n1"), ("n1", "n0"), ("n0", "n2"), ("n2", "n1"))] == [
        "silent",
        "silent",
        "answered",
        "answered",
    ]
    assert (lab.read(DroppedQuery(tag="a/b c")).number or 0) > 0
    assert lab.read(DroppedQuery(tag="other")).number == 0
    lab.perform(JoinLinks(tag="a/b c"))
    assert reach(lab, "n0", "n1") == "answered"
    lab.perform(JoinLinks(tag="a/b c"))


def test_a_one_way_cut_lets_the_other_way_through(up: Up, tmp_path: Path) -> None:
    lab = up(plans.bare(2))
    hear = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 5000)); print('up', flush=True)\n"
    hear += "while True: print(s.recv(100).decode(), flush=True)"
    ears = {n: lab.spawn(n, n, [sys.executable, "-c", hear], tmp_path / "ears.log") for n in ("n0", "n1")}
    heard: dict[str, list[str]] = {"n0": [], "n1": []}

    def listened() -> list[int]:
        for name, ear in ears.items():
            heard[name].extend(ear.lines())
        return [len(heard["n0"]), len(heard["n1"])]

    def say(source: str, address: str, word: str) -> None:
        send = f"import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'{word}', ('{address}', 5000))"
        run(lab, source, f'{sys.executable} -c "{send}"')

    assert seen(listened, [1, 1]) == [1, 1]
    say("n0", "198.18.0.2", "before"), say("n1", "198.18.0.1", "before")
    assert seen(listened, [2, 2]) == [2, 2]
    lab.perform(CutLinks(tag="one-way", links=(Link(source="n0", destination="n1"),)))
    say("n0", "198.18.0.2", "lost"), say("n1", "198.18.0.1", "through")
    assert seen(listened, [3, 2]) == [3, 2]
    time.sleep(0.2)
    assert listened() == [3, 2]
    assert (lab.read(DroppedQuery(tag="one-way")).number or 0) >= 1


def test_a_cut_with_an_impossible_link_changes_nothing(up: Up) -> None:
    lab = up(plans.bare(2))
    links = (Link(source="n0", destination="n1"), Link(source="n0", destination="nobody"))
    with pytest.raises(StepFailed, match="no node 'nobody'"):
        lab.perform(CutLinks(tag="half", links=links))
    assert reach(lab, "n0", "n1") == "answered"


def test_a_cut_outlives_a_reboot_of_the_node_behind_it(up: Up) -> None:
    lab = up(plans.bare(3))
    lab.perform(CutLinks(tag="stay", links=(Link(source="n0", destination="n1"), Link(source="n1", destination="n0"))))
    lab.perform(PowerOff(node="n1"))
    lab.perform(PowerOn(node="n1"))
    assert [reach(lab, "n0", "n1"), reach(lab, "n2", "n1")] == ["silent", "answered"]
    lab.perform(JoinLinks(tag="stay"))
    assert reach(lab, "n0", "n1") == "answered"


# ---- power


def peer_program(address: str) -> str:
    """Connects, and prints what it sees of the connection's end."""
    return f"""
import socket, sys
s = socket.create_connection(('{address}', 7000), 5)
print('connected', flush=True)
s.settimeout(1.5)
try:
    print('closed' if s.recv(10) == b'' else 'data', flush=True)
except TimeoutError:
    print('nothing', flush=True)
except OSError as error:
    print('closed', flush=True)
"""


@pytest.mark.parametrize(("silent", "seen_by_peer"), [(True, "nothing"), (False, "closed")])
def test_peers_see_a_crash_and_do_not_see_a_power_loss(up: Up, tmp_path: Path, silent: bool, seen_by_peer: str) -> None:
    accept = "import socket,time; s = socket.create_server(('', 7000)); c = s.accept(); time.sleep(1000)"
    server = plans.service("server", sys.executable, "-c", accept, user="nobody")
    lab = up(plans.plan(plans.node("n0", 0, services=(server,)), plans.node("n1", 1)))
    assert seen(lambda: main_of(lab, "n0", "server").listens, (7000,)) == (7000,)
    peer = lab.spawn("peer", "n1", [sys.executable, "-c", peer_program("198.18.0.1")], tmp_path / "peer.log")
    words: list[str] = []
    seen(lambda: words.extend(peer.lines()) or len(words), 1)
    assert words == ["connected"]
    lab.perform(PowerOff(node="n0", silent=silent))
    assert state(lab, "n0") == "off"
    seen(lambda: words.extend(peer.lines()) or len(words), 2)
    assert words == ["connected", seen_by_peer]
    assert reach(lab, "n1", "n0") == "silent"
    assert reach(lab, "n0", "n1") == "source_off"
    assert lab.read(ProcessesQuery(node="n0")).processes == ()
    with pytest.raises(StepFailed, match="n0 is off"):
        run(lab, "n0", "true")


def test_a_node_comes_back_as_it_was_without_its_memory(up: Up) -> None:
    lab = up(plans.plan(plans.node("n0", 0, services=(plans.sleeper(),)), plans.node("n1", 1)))
    run(lab, "n0", "echo disk > /var/lib/kept; echo memory > /dev/shm/gone; echo memory > /tmp/gone; echo memory > /run/gone")
    mac = run(lab, "n0", "cat /sys/class/net/eth0/address")
    for _ in range(2):
        lab.perform(PowerOff(node="n0"))
    for _ in range(2):
        lab.perform(PowerOn(node="n0"))
    assert run(lab, "n0", "cat /var/lib/kept; ls /dev/shm /tmp | grep -c gone; ls /run/gone 2>/dev/null; true") == "disk\n0"
    assert run(lab, "n0", "cat /sys/class/net/eth0/address") == mac
    assert reach(lab, "n1", "n0") == "answered"
    assert seen(lambda: lab.read(ServiceQuery(node="n0", service="sleeper")).value, "running") == "running"


def test_a_changed_file_of_a_service_survives_a_reboot(up: Up) -> None:
    file = FilePlan(path="/etc/thing.conf", content="good\n", mode=0o644, owner="root")
    lab = up(plans.plan(plans.node("n0", 0, services=(plans.sleeper(files=(file,)),))))
    run(lab, "n0", "echo bad > /etc/thing.conf")
    lab.perform(PowerOff(node="n0"))
    lab.perform(PowerOn(node="n0"))
    assert run(lab, "n0", "cat /etc/thing.conf") == "bad"


def test_power_loss_takes_what_was_not_flushed_and_nothing_else(up: Up, survey: Survey) -> None:
    if not survey.has(VOLUME_LOSE_UNSYNCED):
        pytest.skip(survey.reason(VOLUME_LOSE_UNSYNCED))
    lab = up(plans.plan(plans.node("n0", 0, volumes=plans.volume())))
    run(lab, "n0", "echo kept > /data/synced; sync /data/synced; echo lost > /data/unsynced")
    lab.perform(PowerOff(node="n0"))
    lab.perform(PowerOn(node="n0"))
    assert run(lab, "n0", "cat /data/synced; cat /data/unsynced 2>/dev/null; true") == "kept"
    run(lab, "n0", "echo late > /data/unsynced")
    lab.perform(PowerOff(node="n0", lose_unsynced=False))
    lab.perform(PowerOn(node="n0"))
    assert run(lab, "n0", "cat /data/unsynced") == "late"


def test_without_loop_devices_a_power_loss_says_that_nothing_was_lost(up: Up, survey: Survey) -> None:
    if survey.has(VOLUME_LOSE_UNSYNCED):
        pytest.skip("this machine can lose unsynced data")
    lab = up(plans.plan(plans.node("n0", 0, volumes=plans.volume())))
    run(lab, "n0", "echo kept > /data/file")
    assert "not lost" in lab.perform(PowerOff(node="n0")).output
    lab.perform(PowerOn(node="n0"))
    assert run(lab, "n0", "cat /data/file") == "kept"


def test_a_volume_belongs_to_its_owner(up: Up, survey: Survey) -> None:
    lab = up(plans.plan(plans.node("n0", 0, volumes=plans.volume("dbuser"))))
    run(lab, "n0", "echo x > /data/file", user="dbuser")
    if survey.has(USERS_MANY):
        assert run(lab, "n0", "stat -c %U /data /data/file") == "dbuser\ndbuser"


# ---- freezing


def test_a_frozen_node_stands_still_answers_ping_and_can_be_entered(up: Up) -> None:
    count = plans.service("count", "sh", "-c", "while :; do echo tick >> /tmp/ticks; sleep 0.01; done")
    lab = up(plans.plan(plans.node("n0", 0, services=(count,)), plans.node("n1", 1)))
    lab.perform(Freeze(node="n0"))
    lab.perform(Freeze(node="n0"))
    assert state(lab, "n0") == "frozen"
    first = run(lab, "n0", "wc -l < /tmp/ticks")
    time.sleep(0.2)
    assert run(lab, "n0", "wc -l < /tmp/ticks") == first
    assert reach(lab, "n1", "n0") == "answered"
    lab.perform(Thaw(node="n0"))
    lab.perform(Thaw(node="n0"))
    assert state(lab, "n0") == "up"
    assert seen(lambda: run(lab, "n0", "wc -l < /tmp/ticks") != first, True)


def test_thawing_leaves_a_process_stopped_that_was_stopped_before(up: Up) -> None:
    lab = up(plans.plan(plans.node("n0", 0, services=(plans.sleeper(),))))
    stopped = main_of(lab, "n0", "sleeper").ref
    lab.perform(Signal(node="n0", processes=(stopped,), signal="STOP"))
    lab.perform(Freeze(node="n0"))
    lab.perform(Thaw(node="n0"))
    assert lab.read(ProcessStateQuery(node="n0", process=stopped)).value == "stopped"


def test_a_frozen_node_can_lose_its_power(up: Up) -> None:
    lab = up(plans.plan(plans.node("n0", 0, services=(plans.sleeper(),), volumes=plans.volume()), plans.node("n1", 1)))
    lab.perform(Freeze(node="n0"))
    lab.perform(PowerOff(node="n0"))
    assert state(lab, "n0") == "off"
    with pytest.raises(StepFailed, match="off"):
        lab.perform(Freeze(node="n0"))
    lab.perform(Thaw(node="n0"))
    lab.perform(PowerOn(node="n0"))
    assert state(lab, "n0") == "up"
    assert seen(lambda: lab.read(ServiceQuery(node="n0", service="sleeper")).value, "running") == "running"


def test_nothing_of_a_lab_can_be_seen_from_the_host(up: Up) -> None:
    before = {name for _, name in socket.if_nameindex()}
    lab = up(plans.bare(2))
    new = {name for _, name in socket.if_nameindex()} - before
    assert new.isdisjoint({rtnl.bridge_name(0), rtnl.port_name(0, 0), rtnl.port_name(1, 0), "eth0"})
    assert lab.lab_id not in Path("/proc/self/mountinfo").read_text()


def test_a_page_is_asked_for_from_within_a_node(up: Up) -> None:
    lab = up(plans.plan(plans.node("n0", 0, services=(plans.web(),)), plans.node("n1", 1)))
    seen = lab.read(PageQuery(node="n1", url="http://n0:8000/"))
    assert (seen.value, seen.data) == ("there", "")
    for url, why in {"http://n0:8000/none": "status 404", "http://n1:8000/": "Connect call failed"}.items():
        seen = lab.read(PageQuery(node="n1", url=url))
        assert seen.value == "not there"
        assert why in seen.data
    lab.perform(PowerOff(node="n1"))
    assert lab.read(PageQuery(node="n1", url="http://n0:8000/")).value == "not there"
