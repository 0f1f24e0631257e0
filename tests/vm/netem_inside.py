"""Runs inside the virtual machine: every aspect of a link shaped by the kernel's netem, felt, and gone again."""

from __future__ import annotations

import subprocess
from pathlib import Path

from chaoskit.backends.linux_host.state import processes_of
from chaoskit.backends.namespace.backend import NamespaceBackend
from chaoskit.backends.namespace.lab import NamespaceLab
from chaoskit.model.capability import NETWORK_SHAPE
from chaoskit.model.facts import LinkQuery
from chaoskit.model.lab import LabSpec, NodeGroup
from chaoskit.model.steps import JoinLinks, Link, LinkShape, ShapeLinks
from tests.backends import plans

LAB = "in-a-vm"
SHAPES: tuple[tuple[LinkShape, LinkQuery], ...] = tuple(
    (shape, LinkQuery.model_validate({"source": "n0", "destination": "n1", "aspect": aspect, "expected": expected, **more}))
    for shape, aspect, expected, more in (
        (LinkShape(delay_s=0.05), "delay", 0.05, {"delay_s": 0.05, "probes": 40}),  # an emulated machine is a millisecond late
        (LinkShape(delay_s=0.2), "delay", 0.2, {"delay_s": 0.2, "probes": 40}),
        (LinkShape(loss_percent=20), "loss", 20, {}),
        (LinkShape(loss_percent=20, burst_frames=5), "loss", 20, {"burst_frames": 5, "probes": 3000}),
        (LinkShape(duplicate_percent=10), "duplicate", 10, {}),
        (LinkShape(delay_s=0.1, reorder_percent=10), "reorder", 10, {"delay_s": 0.1}),
        (LinkShape(corrupt_percent=10), "corrupt", 10, {}),
    )
)


def queues(lab: NamespaceLab) -> list[str]:
    """The switch's queueing disciplines and classes."""
    for pid in processes_of(lab.lab_id):
        inside = ["nsenter", f"--net=/proc/{pid}/ns/net"]
        if " n0e0@" in subprocess.run([*inside, "ip", "-o", "link"], capture_output=True, text=True, check=False).stdout:
            shown = [
                subprocess.run([*inside, "tc", *words.split()], capture_output=True, text=True, check=True).stdout
                for words in ("qdisc show", "class show dev n1e0")
            ]
            return sorted("".join(shown).splitlines())
    raise AssertionError("no process of the lab is in its switch's network")


def main() -> None:
    backend = NamespaceBackend()
    survey = backend.survey(LabSpec(name="vm", nodes={"n": NodeGroup()}))
    print(f"network.shape: {survey.has(NETWORK_SHAPE)}, {survey.reason(NETWORK_SHAPE)}", flush=True)
    assert "netem" in survey.reason(NETWORK_SHAPE)
    lab = backend.up(plans.bare(3), LAB, "run", Path("/root/logs"), detached=False, progress=print)
    wrong = []
    try:
        before = queues(lab)
        for shape, query in SHAPES:
            lab.perform(ShapeLinks(tag="t", links=(Link(source="n0", destination="n1"),), shape=shape))
            netem = any("netem" in line for line in queues(lab))
            felt, other = lab.read(query), lab.read(query.model_copy(update={"source": "n1", "destination": "n0"}))
            lab.perform(JoinLinks(tag="t"))
            after = lab.read(query)
            same = queues(lab) == before
            print(
                query.aspect, query.expected, "felt", felt.number, felt.value, other.value, after.value, netem, same, flush=True
            )
            by_netem = netem or query.aspect == "duplicate"  # which netem would do on both sides of the queue
            if (felt.value, other.value, after.value) != ("as_asked", "none", "none") or not (same and by_netem):
                wrong.append(query.aspect)
    finally:
        lab.down()
    print("NETEM AS ASKED" if not wrong else f"NOT AS ASKED: {wrong}", flush=True)


if __name__ == "__main__":
    main()
