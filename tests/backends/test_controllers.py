"""Which cgroup directories limit a node, on both versions, made by hand here; a real kernel is asked in the live tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaoskit.backends.linux_host.controllers import Group, LabGroups, noted_groups, v1_places
from chaoskit.backends.linux_host.wire import Refused

HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
39 31 0:36 /docker/abc /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""


def test_a_place_on_v1_is_the_makers_own_position_as_it_is_mounted_here() -> None:
    own = "9:name=systemd:/\n8:pids:/docker/abc/deep\n4:memory:/api/52\n1:cpu,cpuacct:/\n0::/\n"
    assert v1_places(HYBRID, own) == {
        "cpu": Path("/sys/fs/cgroup/cpu,cpuacct"),
        "memory": Path("/sys/fs/cgroup/memory/api/52"),
        "pids": Path("/sys/fs/cgroup/pids/deep"),
    }


def test_a_position_outside_of_what_is_mounted_is_no_place() -> None:
    assert v1_places(HYBRID, "8:pids:/docker/abcdef\n4:memory:/\n") == {"memory": Path("/sys/fs/cgroup/memory")}


def test_a_pure_v2_machine_has_no_v1_place() -> None:
    assert v1_places("41 31 0:38 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n", "0::/user.slice\n") == {}


def lab_on_v2(tmp_path: Path, handed_on: str) -> tuple[LabGroups, Path]:
    lab, node = tmp_path / "lab", tmp_path / "lab" / "n0"
    node.mkdir(parents=True)
    (lab / "cgroup.controllers").write_text(handed_on)
    groups = LabGroups("lab", {}, tmp_path / "noted")
    groups.unified = lab
    groups.add("n0", node)
    return groups, node


def test_on_v2_the_nodes_group_is_limited_and_the_scheduler_left_alone_afterwards(tmp_path: Path) -> None:
    groups, node = lab_on_v2(tmp_path, "cpu memory pids io")
    enabled = tmp_path / "lab" / "cgroup.subtree_control"
    assert groups.find("n0", "memory") == Group(node, "memory", 2)
    assert (groups.find("n0", "cpu"), groups.joined("n0"), groups.directories()) == (None, [], [])
    group = groups.take("n0", node, "cpu", list)
    assert enabled.read_text() == "+cpu"
    group.set_limit(0.25)
    assert (node / "cpu.max").read_text() == "25000 100000"
    assert group.limit() == 0.25
    group.set_limit(None)
    assert (node / "cpu.max").read_text() == "max 100000"
    assert group.limit() is None
    groups.release("n0", "cpu")
    assert enabled.read_text() == "-cpu"
    groups.release("n0", "memory")
    assert groups.find("n0", "memory") is not None


@pytest.mark.parametrize(("controller", "file"), [("memory", "memory.max"), ("pids", "pids.max")])
def test_numbers_on_v2(tmp_path: Path, controller: str, file: str) -> None:
    groups, node = lab_on_v2(tmp_path, "memory pids")
    group = groups.find("n0", controller)
    assert group is not None
    group.set_limit(8192)
    assert ((node / file).read_text(), group.limit()) == ("8192", 8192)
    group.set_limit(None)
    assert ((node / file).read_text(), group.limit()) == ("max", None)


def test_a_controller_that_is_not_handed_on_says_what_to_do(tmp_path: Path) -> None:
    groups, node = lab_on_v2(tmp_path, "pids")
    assert groups.find("n0", "memory") is None
    with pytest.raises(Refused, match=r"controller cpu cannot be used: .* echo \+cpu > .*/cgroup.subtree_control"):
        groups.take("n0", node, "cpu", list)
    assert "memory" in groups.lacking


def test_groups_on_v1_are_noted_before_they_are_made(tmp_path: Path) -> None:
    places = {"memory": tmp_path / "memory", "pids": tmp_path / "nowhere" / "pids"}
    places["memory"].mkdir()
    (tmp_path / "nowhere").write_text("no directory")
    groups = LabGroups("lab", places, tmp_path / "noted")
    groups.add("n0", None)
    assert groups.joined("n0") == [tmp_path / "memory" / "lab" / "n0"]
    assert noted_groups(tmp_path / "noted") == [tmp_path / "memory" / "lab", tmp_path / "nowhere" / "pids" / "lab"]
    assert "pids" in groups.lacking
