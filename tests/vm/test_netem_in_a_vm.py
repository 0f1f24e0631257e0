"""Links shaped by sch_netem, in a virtual machine: many kernels of labs' hosts lack it, and then only the relay is tested."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.vm, pytest.mark.root, pytest.mark.timeout(900)]

HERE = Path(__file__).parent


@pytest.mark.skipif(
    "CHAOSKIT_VM_CACHE" not in os.environ, reason="a directory for kernel and initrd is missing: `make vm` gives one"
)
def test_every_aspect_is_as_asked_and_gone_again(tmp_path: Path) -> None:
    script = tmp_path / "inside.sh"
    environment = "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root CHAOSKIT_STATE=/root/state"
    script.write_text(f"{environment}\ncd {HERE.parents[1]}\nexec {sys.executable} -m tests.vm.netem_inside\n")
    argv = [HERE / "machine.sh", os.environ["CHAOSKIT_VM_CACHE"], script]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=850)
    print(done.stdout[-6000:], done.stderr[-2000:])
    if done.returncode == 77:
        pytest.skip(done.stdout.strip())
    assert "NETEM AS ASKED" in done.stdout
