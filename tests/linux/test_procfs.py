"""Readers of /proc text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoskit.linux import procfs

TAIL = "S 1 4711 4711 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\n\0"), min_size=1, max_size=15))
def test_a_name_may_hold_anything(name: str) -> None:
    seen = procfs.stat(f"4711 ({name}) {TAIL}")
    assert (seen.pid, seen.name, seen.state, seen.parent, seen.start_ticks) == (4711, name, "S", 1, 987654)


def test_our_own_stat_is_read() -> None:
    seen = procfs.stat(Path("/proc/self/stat").read_text())
    assert (seen.pid, seen.parent) == (os.getpid(), os.getppid())
    assert seen.start_ticks > 0


@pytest.mark.parametrize("text", ["", "4711 sleep S", "x (y) S 1"])
def test_what_is_no_stat_is_an_error(text: str) -> None:
    with pytest.raises((ValueError, IndexError)):
        procfs.stat(text)


def test_numbers_in_nested_namespaces() -> None:
    assert procfs.namespace_pids("Name:\tx\nNSpid:\t300\t12\t1\nNSpgid:\t1\n") == (300, 12, 1)
    assert procfs.namespace_pids("Name:\tx\n") == ()


def test_listeners_of_both_families() -> None:
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    listen = "   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 4242 1 0 100 0 0 10 0\n"
    other = "   1: 0100007F:1F91 00000000:0000 01 00000000:00000000 00:00000000 00000000  0 0 4243 1 0 100 0 0 10 0\n"
    assert procfs.listening_sockets(head + listen + other) == {4242: 8080}
    assert procfs.listening_sockets("") == {}


def test_mounts_with_blanks_and_without_optional_fields() -> None:
    text = "25 1 8:1 / / rw,relatime shared:1 master:2 - ext4 /dev/sda1 rw\n"
    text += "26 25 0:5 /sub /a\\040b ro - tmpfs tmpfs rw,size=4k\n"
    first, second = procfs.mounts(text)
    assert (first.point, first.kind, first.source, first.options) == ("/", "ext4", "/dev/sda1", ("rw", "relatime"))
    assert (second.point, second.root, second.kind) == ("/a b", "/sub", "tmpfs")


def test_accounts_and_groups() -> None:
    passwd = "root:x:0:0:root:/root:/bin/bash\npg:x:26:27::/var/lib/pg:/bin/sh\n# no account\n+nis\npg:x:99:99::/other:/bin/sh\n"
    assert procfs.accounts(passwd)["pg"] == procfs.Account("pg", 26, 27, "/var/lib/pg", "/bin/sh")
    assert set(procfs.accounts(passwd)) == {"root", "pg"}
    assert procfs.supplementary_groups("a:x:1:pg,b\nb:x:2:\nc:x:3:b,pg\n", "pg") == (1, 3)


def test_a_free_id_is_free() -> None:
    assert procfs.free_id(set()) == 800
    assert procfs.free_id({800, 801, 803}) == 802


def test_the_unified_cgroup_among_the_others() -> None:
    assert procfs.unified_cgroup("4:memory:/x\n0::/user.slice/session\n") == "/user.slice/session"
    assert procfs.unified_cgroup("4:memory:/x\n") is None


def test_the_largest_subordinate_range_counts() -> None:
    text = "ann:100000:1000\nbob:200000:65536\n1000:300000:2000\nann:broken\n"
    assert procfs.subordinate_range(text, "ann", 1000) == (300000, 2000)
    assert procfs.subordinate_range(text, "bob", 5) == (200000, 65536)
    assert procfs.subordinate_range(text, "eve", 5) is None


def test_limits_as_the_kernel_shows_them() -> None:
    text = (
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        "Max cpu time              unlimited            unlimited            seconds   \n"
        "Max open files            1024                 524288               files     \n"
        "Max realtime timeout      unlimited            unlimited            us        \n"
    )
    found = procfs.limits(text)
    assert found["Max open files"] == ("1024", "524288")
    assert found["Max cpu time"] == ("unlimited", "unlimited")


def test_positions_in_v1_hierarchies() -> None:
    assert procfs.controller_cgroups("4:cpu,cpuacct:/a:b\n3:name=x:/\n0::/c\n") == {
        "cpu": "/a:b",
        "cpuacct": "/a:b",
        "name=x": "/",
    }


def test_available_memory() -> None:
    assert procfs.available_bytes("MemTotal: 10 kB\nMemAvailable:    2048 kB\n") == 2 << 20
    with pytest.raises(ValueError, match="does not say"):
        procfs.available_bytes("MemTotal: 10 kB\n")
