"""What a holder is told: pure, from the plan."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from chaoskit.backends.linux_host import acts, drawing, shaping
from chaoskit.backends.linux_host.wire import Refused, unpacked
from chaoskit.backends.namespace import rootfs, trees
from chaoskit.linux import nft, procfs
from chaoskit.model.facts import ReachQuery
from chaoskit.model.steps import CutLinks, Exec, JoinLinks, Link, PowerOff

from . import plans

BOTH = ("lan", "san")
PLAN = plans.plan(plans.node("a", 0, BOTH), plans.node("b", 1, BOTH), plans.node("c", 2, ("san",)))


def test_a_link_is_cut_on_every_network_that_both_share() -> None:
    cut = CutLinks(tag="t", links=(Link(source="a", destination="b"), Link(source="c", destination="b")))
    assert shaping.cut_pairs(PLAN, cut) == [("n0e0", "n1e0"), ("n0e1", "n1e1"), ("n2e0", "n1e1")]


def test_a_cut_on_one_network_leaves_the_other() -> None:
    cut = CutLinks(tag="t", links=(Link(source="a", destination="b"),), network="san")
    assert shaping.cut_pairs(PLAN, cut) == [("n0e1", "n1e1")]


def test_links_that_are_not_there_are_refused() -> None:
    for link, network, words in (
        (Link(source="a", destination="c"), "lan", "do not share the network 'lan'"),
        (Link(source="a", destination="x"), None, "no node 'x'"),
    ):
        with pytest.raises(Refused, match=words):
            shaping.cut_pairs(PLAN, CutLinks(tag="t", links=(link,), network=network))


def test_joining_tolerates_a_cut_that_is_not_there() -> None:
    act = acts.act(PLAN, JoinLinks(tag="t"))
    assert list(act["cut"]["tolerate"]) == [errno.ENOENT]
    assert unpacked(act["cut"]["batch"]) == nft.join("t")


def test_other_steps_go_as_they_are() -> None:
    assert acts.act(PLAN, PowerOff(node="a")) == {"act": "power_off", "node": "a", "silent": True, "lose_unsynced": True}
    assert acts.act(PLAN, Exec(node="a", argv=("true",)))["argv"] == ["true"]


@pytest.mark.parametrize(
    ("source", "destination", "network", "address", "device"),
    [
        ("a", "b", None, "198.18.0.2", "eth0"),
        ("a", "b", "san", "198.18.1.2", "eth1"),
        ("c", "b", None, "198.18.1.2", "eth0"),
        ("c", "b", "lan", "198.18.0.2", None),
    ],
)
def test_a_reach_probe_takes_the_shared_network(
    source: str, destination: str, network: str | None, address: str, device: str | None
) -> None:
    asked = acts.question(PLAN, ReachQuery(source=source, destination=destination, network=network))
    assert (asked["address"], asked["device"]) == (address, device)


def test_hosts_names_every_address() -> None:
    lines = drawing.hosts_text(PLAN).splitlines()
    assert "198.18.0.1 a a-lan" in lines
    assert "198.18.1.1 a-san" in lines
    assert "198.18.1.3 c c-san" in lines


def test_missing_users_are_added_once_with_ids_of_their_own() -> None:
    passwd, group = rootfs.with_accounts(
        "root:x:0:0::/root:/bin/sh\nx:x:800:800::/:/bin/sh\n", "root:x:0:\nold:x:50:\n", ["old", "new"]
    )
    accounts = procfs.accounts(passwd)
    assert accounts["old"].group_id == 50
    assert len({account.user_id for account in accounts.values()}) == 4
    assert f"new:x:{accounts['new'].group_id}:" in group.splitlines()
    assert rootfs.with_accounts(passwd, group, ["old", "new"]) == (passwd, group)


def test_directories_a_node_sees(tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("programs")
    (place / "venv").mkdir()
    seen = trees.host_trees("", [str(place / "venv"), str(place / "venv"), "/usr/lib", "/nonexistent"])
    assert str(place / "venv") in seen
    assert "/usr/lib" not in seen
    assert "/nonexistent" not in seen
    assert seen == sorted(seen)


def test_a_file_system_mounted_below_a_system_directory_is_seen_too() -> None:
    info = "1 0 8:1 / /usr/share rw - ext4 /dev/sdb rw\n2 0 0:9 / /usr/bin rw - overlay x rw\n3 0 8:2 / /home rw - ext4 y rw\n"
    seen = trees.host_trees(info, [])
    assert "/usr/share" in seen
    assert "/usr/bin" not in seen
    assert "/home" not in seen


def test_without_root_a_tree_is_taken_apart_around_a_mount(tmp_path: Path) -> None:
    """An overlay in a user namespace cannot lie over a directory that has a mount beneath it."""
    for name in ("lib/engine/data", "lib/dpkg", "log"):
        (tmp_path / name).mkdir(parents=True)
    info = f"1 0 8:1 / {tmp_path}/lib/engine/data rw - tmpfs none rw\n"
    whole = [str(tmp_path), "/usr"]
    assert trees.around_mounts(whole, "", []) == (sorted(whole), [])
    seen, hollow = trees.around_mounts(whole, info, [])
    assert seen == sorted(["/usr", f"{tmp_path}/lib/dpkg", f"{tmp_path}/log"])
    assert hollow == [str(tmp_path), f"{tmp_path}/lib", f"{tmp_path}/lib/engine"]


def test_a_file_system_of_its_own_is_seen_beside_what_it_lies_in(tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    info = f"1 0 8:1 / {tmp_path}/share rw - ext4 /dev/sdb rw\n"
    seen, hollow = trees.around_mounts([str(tmp_path), f"{tmp_path}/share"], info, [])
    assert (seen, hollow) == ([f"{tmp_path}/share"], [str(tmp_path)])


def test_overlay_paths_are_escaped() -> None:
    assert rootfs.escaped("/a:b,c\\d") == "/a\\:b\\,c\\\\d"
