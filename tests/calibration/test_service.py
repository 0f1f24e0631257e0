"""The scripted service does what its kinds say, and says when."""

import json
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from chaoskit.calibration.kinds import KINDS, drawn
from chaoskit.calibration.service import HIT_ADDRESS, SPARED_ADDRESS

DOWN_S = 0.4


@contextmanager
def service(kind, calm_s=0.2, phases_s=(DOWN_S,)):
    told = {"kind": kind, "delay_s": 0.25, "scripts": [{"calm_s": calm_s, "phases_s": phases_s}]}
    argv = [sys.executable, "-m", "chaoskit.calibration.service", json.dumps(told)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process, json.loads(process.stdout.readline())["port"]
    finally:
        process.stdin.close()
        process.stdout.close()
        assert process.wait(5) == 0


def ask(port, address=HIT_ADDRESS, within_s=0.15):
    try:
        with socket.create_connection((address, port), within_s) as connection:
            connection.settimeout(within_s)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return "ok" if connection.recv(100).startswith(b"HTTP/1.1 200") else "closed"
    except OSError as error:
        return type(error).__name__


FELT = {
    "refuse": {"ConnectionRefusedError"},
    "reset": {"ConnectionResetError"},
    "drop": {"TimeoutError"},
    "slow": {"TimeoutError"},
    "half": {"ConnectionResetError"},
    "crash": {"ConnectionRefusedError"},
    "flap": {"ConnectionRefusedError"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_felt_as_it_is_described_and_only_while_the_service_says_so(kind):
    with service(kind) as (process, port):
        assert ask(port) == "ok"
        process.stdin.write("begin\n")
        process.stdin.flush()
        seen = []
        until = time.monotonic_ns() + 1_500_000_000
        while time.monotonic_ns() < until:
            began = time.monotonic_ns()
            seen.append((began, ask(port), time.monotonic_ns()))
            if kind == "half":
                assert ask(port, SPARED_ADDRESS) == "ok"
            time.sleep(0.01)
        told = json.loads(process.stdout.readline())
    ((b0, b1, e0, e1),) = told["phases"]
    assert b0 <= b1 < e0 <= e1
    assert DOWN_S <= (e1 - b0) / 1e9 < DOWN_S + 0.3
    assert {what for asked, what, answered in seen if asked > b1 and answered < e0} == FELT[kind]
    # a client that was connected at the last instant may be cut; one that asked afterwards may not
    assert {what for asked, what, answered in seen if answered < b0 or asked > e1} == {"ok"}


def test_a_dropped_connection_is_neither_refused_nor_unreachable_and_the_kernel_gets_through_when_it_asks_again():
    with service("drop", phases_s=(0.5,)) as (process, port):
        process.stdin.write("begin\n")
        process.stdin.flush()
        time.sleep(0.4)
        began = time.monotonic()
        assert ask(port, within_s=3.0) == "ok"
        assert 0.9 < time.monotonic() - began < 1.5, "the first packet was lost; the kernel sends it again after 1 s"


def test_scripts_are_drawn_by_the_seed_and_leave_s_between_outages():
    one, again, other = (drawn("refuse", 50, seed, 5.0, 0.1, 0.01) for seed in (1, 1, 2))
    assert one == again != other
    assert all(s.calm_s > 5.0 for s in one)
    lengths = [s.phases_s[0] for s in one]
    assert min(lengths) < 0.02
    assert max(lengths) > 0.8
    flaps = drawn("flap", 50, 1, 5.0, 0.1, 0.01)
    assert {len(s.phases_s) for s in flaps} == {5}
    assert all(phase >= 0.03 for s in flaps for phase in s.phases_s), "no dip so short that no attempt need meet it"
    assert all(s.phases_s[1] < 5.0 / 3 for s in flaps)
