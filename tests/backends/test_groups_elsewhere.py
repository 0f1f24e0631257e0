"""A lab's limiting groups are found again by who stands elsewhere in the hierarchy than who made them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chaoskit.backends.linux_host import state
from chaoskit.backends.linux_host.controllers import own_v1_places
from chaoskit.backends.namespace.backend import NamespaceBackend

from . import plans

pytestmark = [pytest.mark.lab, pytest.mark.root]


MAKER = """
import os, sys
from pathlib import Path
Path(sys.argv[1], "cgroup.procs").write_text("0")
from chaoskit.backends.namespace.backend import NamespaceBackend
from chaoskit.model.lab import LabPlan
plan = LabPlan.model_validate_json(Path(sys.argv[2]).read_text())
NamespaceBackend().up(plan, sys.argv[3], "run", Path(sys.argv[2]).parent, detached=True, progress=lambda _: None)
"""


def test_groups_of_a_lab_that_was_made_elsewhere_and_killed_are_swept(backend: NamespaceBackend, tmp_path: Path) -> None:
    place = own_v1_places().get("memory")
    if place is None or os.geteuid() != 0:
        pytest.skip("needs root, and the memory controller on a cgroup v1 hierarchy")
    elsewhere = place / f"test-elsewhere-{os.getpid()}"
    elsewhere.mkdir()
    try:
        (tmp_path / "plan.json").write_text(plans.plan(plans.node("n0", 0)).model_dump_json())
        argv = [sys.executable, "-c", MAKER, str(elsewhere), str(tmp_path / "plan.json"), "elsewhere"]
        subprocess.run(argv, check=True, timeout=60)
        assert len(list(elsewhere.glob("chaoskit-*-elsewhere/n0"))) == 1
        for pid in state.processes_of("elsewhere"):
            os.kill(pid, signal.SIGKILL)
        (leftover,) = (left for left in backend.leftovers() if left.lab_id == "elsewhere")
        assert any(str(elsewhere) in what for what in leftover.what)
        assert not backend.sweep("elsewhere")
        assert list(elsewhere.glob("chaoskit-*")) == []
    finally:
        assert not backend.sweep("elsewhere")
        deadline = time.monotonic() + 5
        while (elsewhere / "cgroup.procs").read_text().split() and time.monotonic() < deadline:
            time.sleep(0.02)
        elsewhere.rmdir()
