"""tests/with_docker.sh: a command runs with an engine or without, its exit code stays, and an engine of its own ends with it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "with_docker.sh"
DOCKERD = """#!/bin/sh
for word; do case $before in --pidfile) echo $$ >"$word"; echo $$ >{noted} ;; esac; before=$word; done
{says}
exec sleep 60
"""


def run(tmp_path: Path, dockerd: str, command: str) -> subprocess.CompletedProcess[str]:
    """With no engine that answers, and a dockerd of the test's own, or none."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "id", "mktemp", "setsid", "mkdir", "grep", "seq", "sleep", "tail", "cat", "rm", "umount", "dirname"):
        (programs / name).symlink_to(f"/usr/bin/{name}")
    if dockerd:
        program = programs / "dockerd"
        program.write_text(dockerd)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    env = {**os.environ, "PATH": str(programs), "TMPDIR": str(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    return subprocess.run(
        ["/bin/sh", str(SCRIPT), str(Path(sys.executable).parent), "sh", "-c", command],
        env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_without_an_engine_the_command_runs_all_the_same(tmp_path: Path) -> None:
    done = run(tmp_path, "", "echo ran; exit 7")
    assert (done.returncode, done.stdout) == (7, "ran\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts an engine")
def test_an_engine_of_its_own_ends_with_the_command_and_leaves_nothing(tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    done = run(tmp_path, DOCKERD.format(noted=noted, says='echo "API listen on it"'), 'echo "ran with $DOCKER_HOST"; exit 7')
    assert done.returncode == 7, done
    assert f"ran with unix://{tmp_path}/chaoskit-docker." in done.stdout
    assert not Path(f"/proc/{noted.read_text().strip()}/root").exists(), "it still runs"
    assert list(tmp_path.glob("chaoskit-docker.*")) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts an engine")
def test_an_engine_that_does_not_start_is_told_and_stops_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, '#!/bin/sh\necho "no cgroups here"\nexit 1\n', "echo ran; exit 0")
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert "no cgroups here" in done.stderr
    assert "tests that need one are skipped" in done.stderr
    assert list(tmp_path.glob("chaoskit-docker.*")) == []
