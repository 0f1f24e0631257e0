"""The switch of a lab has a number of its own in the process that holds it, whatever had that before."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, os, sys
from chaoskit.backends.linux_host.node import SWITCH_FD, reserve_switch

taken = json.loads(sys.argv[1])
reader, writer = os.pipe()
if taken:
    os.dup2(reader, SWITCH_FD)
    reader = SWITCH_FD
before = set(os.listdir("/proc/self/fd"))
moved, owner = reserve_switch(reader, -1)
os.write(writer, b"x")
print(json.dumps({
    "heard": os.read(moved, 1).decode(),
    "owner": owner,
    "switch": os.readlink(f"/proc/self/fd/{SWITCH_FD}") == os.readlink("/proc/self/ns/net"),
    "inherited": os.get_inheritable(SWITCH_FD),
    "more": len(set(os.listdir("/proc/self/fd")) - before),
}))
"""


@pytest.mark.parametrize("taken", [False, True])
def test_what_had_the_number_goes_on_under_another(taken: bool) -> None:
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(taken)], check=True, capture_output=True, text=True, timeout=30
    )
    assert json.loads(said.stdout) == {"heard": "x", "owner": -1, "switch": True, "inherited": False, "more": 1}
