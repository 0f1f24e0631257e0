"""However a lab ends, nothing of it stays: no process, mount, loop device, cgroup, or file."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chaoskit.backends.namespace.backend import NamespaceBackend
from chaoskit.backends.namespace.lab import NamespaceLab
from chaoskit.model.errors import LabUnavailable, StepFailed
from chaoskit.model.facts import NodeStateQuery, ReachQuery
from chaoskit.model.steps import CutLinks, Exec, JoinLinks, Link, PowerOff, PowerOn

from . import plans

pytestmark = pytest.mark.lab

Up = Callable[..., NamespaceLab]

CUT = CutLinks(tag="cut", links=(Link(source="n0", destination="n1"), Link(source="n1", destination="n0")))

OWNER = """
import json, sys, time
from pathlib import Path
from chaoskit.backends.namespace.backend import NamespaceBackend
from chaoskit.model.lab import LabPlan
from chaoskit.model.steps import STEP
wanted = json.loads(Path(sys.argv[1]).read_text())
print("starting", flush=True)
lab = NamespaceBackend().up(
    LabPlan.model_validate(wanted["plan"]), wanted["lab_id"], "run", Path(wanted["logs"]), detached=False, progress=lambda _: None
)
if wanted["steps"]:
    lab.arm("debt", [STEP.validate_python(s) for s in wanted["heal"]], 60.0)
for step in wanted["steps"]:
    lab.perform(STEP.validate_python(step))
print("up", flush=True)
time.sleep(60)
"""


def traces(state: Path) -> list[str]:
    """Everything on this machine that belongs to labs of this state directory."""
    found = [f"file {path}" for path in sorted(state.glob("labs/*"))]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str(state).encode() in (entry / "cmdline").read_bytes() and entry.name != str(os.getpid()):
                    found.append(f"process {entry.name}")
            except OSError:
                continue
    for loop in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            if str(state) in loop.read_text():
                found.append(str(loop))
        except OSError:
            continue
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(state) in line]
    return found


def cgroups(state: Path) -> list[str]:
    """The groups of labs of this state directory, on whatever hierarchy; others may have labs of the same names."""
    mark = f"chaoskit-{hashlib.sha256(str(state).encode()).hexdigest()[:6]}-"
    walked = os.walk("/sys/fs/cgroup")  # unlike glob, it minds no directory that vanishes meanwhile
    return sorted(f"{parent}/{name}" for parent, names, _ in walked for name in names if name.startswith(mark))


def eventually(question: Callable[[], bool], within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while not (answer := question()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return answer


@pytest.fixture
def state(backend: NamespaceBackend, tmp_path: Path) -> Iterator[Path]:
    """The state directory; at the end of the test nothing may belong to it."""
    yield tmp_path / "state"
    assert traces(tmp_path / "state") == []
    assert cgroups(tmp_path / "state") == []


def rich_plan():  # type: ignore[no-untyped-def]
    kinds: list[Any] = ["programmable" if os.geteuid() == 0 else "ext4-loop", "ext4-loop", "ext4-loop"]
    nodes = [plans.node(f"n{n}", n, volumes=plans.volume(kind=k), services=(plans.sleeper(),)) for n, k in enumerate(kinds)]
    return plans.plan(*nodes)


class Owner:
    """A chaoskit process of its own that owns a lab."""

    def __init__(self, tmp_path: Path, lab_id: str, steps: list[dict[str, object]], heal: list[dict[str, object]]) -> None:
        wanted = {"plan": rich_plan().model_dump(mode="json"), "lab_id": lab_id, "logs": str(tmp_path / "logs")}
        file = tmp_path / "wanted.json"
        file.write_text(json.dumps({**wanted, "steps": steps, "heal": heal}))
        self.process = subprocess.Popen([sys.executable, "-c", OWNER, str(file)], stdout=subprocess.PIPE, text=True)

    def said(self, word: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == word

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def test_down_leaves_nothing(backend: NamespaceBackend, state: Path, tmp_path: Path) -> None:
    lab = backend.up(rich_plan(), "test-ending-down", "run", tmp_path / "logs", detached=False, progress=lambda _: None)
    assert traces(state) != []
    if os.geteuid() == 0:
        assert any("test-ending-down" in group for group in cgroups(state)), "the search finds what is there"
    (owned,) = backend.leftovers()
    assert (owned.lab_id, owned.run_id, owned.owner_alive) == ("test-ending-down", "run", True)
    with pytest.raises(LabUnavailable, match="there is a lab test-ending-down already"):
        backend.up(rich_plan(), "test-ending-down", "run", tmp_path / "logs", detached=False, progress=lambda _: None)
    assert lab.read(NodeStateQuery(node="n0")).value == "up"
    lab.down()
    lab.down()
    assert traces(state) == []
    assert cgroups(state) == []
    assert backend.leftovers() == []
    with pytest.raises(StepFailed, match="is gone"):
        lab.read(NodeStateQuery(node="n0"))


def test_a_killed_holder_takes_everything_with_it(backend: NamespaceBackend, state: Path, tmp_path: Path) -> None:
    lab = backend.up(rich_plan(), "test-ending-holder", "run", tmp_path / "logs", detached=True, progress=lambda _: None)
    holder = int((state / "labs" / "test-ending-holder" / "holder").read_text().split()[0])
    children = Path(f"/proc/{holder}/task/{holder}/children").read_text().split()
    assert len(children) >= 6
    os.kill(holder, signal.SIGKILL)
    assert eventually(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
    with pytest.raises(StepFailed):
        lab.read(NodeStateQuery(node="n0"))
    (left,) = backend.leftovers()
    assert not left.owner_alive
    assert list(backend.sweep("test-ending-holder")) == []
    assert list(backend.sweep("test-ending-holder")) == []


def test_an_owner_that_dies_is_healed_after_and_its_lab_ends(backend: NamespaceBackend, state: Path, tmp_path: Path) -> None:
    steps = [CUT.model_dump(mode="json"), PowerOff(node="n2").model_dump(mode="json")]
    heal = [JoinLinks(tag="cut").model_dump(mode="json"), PowerOn(node="n2").model_dump(mode="json")]
    owner = Owner(tmp_path, "test-ending-owner", steps, heal)
    owner.said("starting"), owner.said("up")
    attached = backend.attach("test-ending-owner")
    assert attached.read(NodeStateQuery(node="n2")).value == "off"
    log = state / "labs" / "test-ending-owner" / "holder.log"
    owner.kill()
    assert eventually(lambda: "healing debt" in log.read_text() and not [t for t in traces(state) if t.startswith("process")])
    assert "problem" not in log.read_text()
    (left,) = backend.leftovers()
    assert not left.owner_alive
    assert list(backend.sweep("test-ending-owner")) == []


@pytest.mark.slow
def test_an_owner_killed_at_any_moment_leaves_nothing_that_a_sweep_does_not_find(
    backend: NamespaceBackend, state: Path, tmp_path: Path
) -> None:
    chance = random.Random(7)
    for round_number in range(15):
        owner = Owner(tmp_path, f"test-ending-{round_number}", [CUT.model_dump(mode="json")], [])
        owner.said("starting")
        time.sleep(chance.uniform(0.0, 0.5))
        owner.kill()
        for left in backend.leftovers():
            assert list(backend.sweep(left.lab_id)) == []
        assert eventually(lambda: traces(state) == []), traces(state)


def test_a_detached_lab_outlives_its_maker_and_heals_when_a_deadline_passes(
    backend: NamespaceBackend, state: Path, tmp_path: Path
) -> None:
    backend.up(rich_plan(), "test-ending-detached", "run", tmp_path / "logs", detached=True, progress=lambda _: None)
    lab = backend.attach("test-ending-detached")
    assert lab.plan == rich_plan()
    lab.arm("kept", [JoinLinks(tag="cut")], 60.0)
    lab.perform(CUT)
    lab.disarm("kept")
    lab.arm("late", [JoinLinks(tag="cut")], 0.3)
    assert lab.read(ReachQuery(source="n0", destination="n1")).value == "silent"
    assert eventually(lambda: lab.read(ReachQuery(source="n0", destination="n1")).value == "answered", 3.0)
    assert any("late" in event.data.get("text", "") for event in lab.events())
    assert lab.perform(Exec(node="n1", argv=("hostname",))).output == "n1\n"
    (found,) = backend.leftovers()
    assert found.owner_alive
    lab.down()
    with pytest.raises(LabUnavailable, match="there is no lab"):
        backend.attach("test-ending-detached")


def test_a_half_made_directory_is_swept(backend: NamespaceBackend, state: Path) -> None:
    (state / "labs" / "test-ending-half").mkdir(parents=True)
    (left,) = backend.leftovers()
    assert (left.lab_id, left.owner_alive) == ("test-ending-half", False)
    assert list(backend.sweep("test-ending-half")) == []


def test_a_lab_that_is_being_made_is_never_an_orphan(
    backend: NamespaceBackend, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sweeps beside it, at whatever moment, sees an owner or nothing."""
    orphans: list[str] = []

    def watched(path: Path, *args: object, **options: object) -> None:
        orphans.extend(left.lab_id for left in backend.leftovers() if not left.owner_alive)
        mkdir(path, *args, **options)  # type: ignore[arg-type]
        orphans.extend(left.lab_id for left in backend.leftovers() if not left.owner_alive)

    mkdir, write = Path.mkdir, Path.write_text

    def writing(path: Path, *args: object, **options: object) -> int:
        orphans.extend(left.lab_id for left in backend.leftovers() if not left.owner_alive)
        return write(path, *args, **options)  # type: ignore[arg-type]

    for number, detached in enumerate((False, True)):
        lab_id = f"test-ending-made-{number}"
        with monkeypatch.context() as patch:
            patch.setattr(Path, "mkdir", watched)
            patch.setattr(Path, "write_text", writing)
            backend.up(plans.bare(1), lab_id, "run", tmp_path / "logs", detached=detached, progress=lambda _: None).down()
    assert orphans == []


def test_one_that_was_killed_while_it_made_a_lab_leaves_an_orphan(backend: NamespaceBackend, state: Path) -> None:
    nobody = subprocess.Popen(["true"])
    nobody.wait()
    (state / "labs" / f".new-test-ending-{nobody.pid}").mkdir(parents=True)
    (state / "labs" / f".new-test-ending-{os.getpid()}").mkdir()
    (left,) = backend.leftovers()
    assert left.lab_id == f".new-test-ending-{nobody.pid}"
    assert list(backend.sweep(left.lab_id)) == []
    (state / "labs" / f".new-test-ending-{os.getpid()}").rmdir()


def test_labs_of_another_state_directory_are_not_ours(
    up: Up, backend: NamespaceBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = up(plans.bare(1))
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("CHAOSKIT_STATE", str(tmp_path / "elsewhere"))
        assert backend.leftovers() == []
        assert list(backend.sweep(lab.lab_id)) == []
    assert lab.read(NodeStateQuery(node="n0")).value == "up"


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_all_of_this_also_rootless(tmp_path: Path) -> None:
    """The live tests once more, as an unprivileged user with an interpreter which that user can execute.

    Something is mounted beneath /var and over a file of /etc, as on a machine with a container engine and within a container.
    """
    interpreter = _interpreter_for_others()
    place = Path("/var/tmp") / f"chaoskit-rootless-{os.getpid()}"
    packages, home = place / "packages", place / "home"
    try:
        home.mkdir(parents=True)
        os.chown(home, 1000, 1000)
        _copy_packages(packages)
        shutil.copytree(Path(__file__).parent, place / "tests" / "backends", ignore=shutil.ignore_patterns("__pycache__"))
        (place / "pytest.ini").write_text("[pytest]\nmarkers =\n  lab\n  root\n  slow\n")
        become = f"setpriv --reuid=1000 --regid=1000 --clear-groups -- env -i HOME={home} PATH=/usr/bin:/bin:/usr/sbin"
        python = f"PYTHONPATH={packages} PYTHONDONTWRITEBYTECODE=1 {interpreter} -m pytest -q -p no:cacheprovider"
        files = "tests/backends/test_namespace_lab.py tests/backends/test_namespace_endings.py"
        (place / "mounted").mkdir()
        mounts = f"mount -t tmpfs none {place}/mounted && mount --bind /etc/hosts /etc/hosts"
        become = f'unshare --mount -- sh -c "{mounts} && exec \\"$@\\"" sh {become}'
        command = [*shlex.split(f"{become} {python} --basetemp={home}/tmp {files} -m"), "lab and not slow"]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=110, check=False)
        print(done.stdout[-6000:], done.stderr[-2000:])
        assert done.returncode == 0
        assert "passed" in done.stdout
    finally:
        shutil.rmtree(place)


def _interpreter_for_others() -> str:
    wanted = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    if not os.access(wanted, os.X_OK):
        pytest.skip(f"{wanted} is missing, and {sys.executable} cannot be executed by another user")
    return wanted


def _copy_packages(target: Path) -> None:
    """Only what the tests import; the whole environment would be half a gigabyte."""
    import pydantic

    import chaoskit

    site = Path(pydantic.__file__).parent.parent
    names = (
        "pydantic pydantic_core annotated_types typing_inspection pyroute2 pr2modules pytest _pytest pluggy iniconfig packaging"
    )
    target.mkdir(parents=True)
    for name in [*names.split(), "pygments"]:
        if (site / name).is_dir():
            shutil.copytree(site / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for module in ("typing_extensions.py", "py.py"):
        shutil.copy(site / module, target)
    shutil.copytree(Path(chaoskit.__file__).parent, target / "chaoskit", ignore=shutil.ignore_patterns("__pycache__"))
