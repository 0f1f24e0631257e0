"""The helper on an engine's machine, from here: which engine is elsewhere, what goes there, comes back, is asked and heard."""

from __future__ import annotations

import io
import json
import os
import signal
import struct
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaoskit.backends.docker import contexts, elsewhere
from chaoskit.backends.docker.elsewhere import aboard, helper_container, helper_image, layout, listening, machine, parcel
from chaoskit.backends.docker.elsewhere.helper_container import Helper, There
from chaoskit.backends.docker.elsewhere.layout import OrderJson
from chaoskit.backends.docker.elsewhere.listening import Listening
from chaoskit.backends.docker.engine import Engine
from chaoskit.model.container import ContainerSpec
from chaoskit.model.errors import InputError, LabUnavailable, OutOfReach
from chaoskit.model.lab import LabPlan, NodePlan
from tests.live.shop import until

errors = pytest.importorskip("docker").errors


# ---- which engine


@pytest.mark.parametrize(
    ("variables", "config", "url"),
    [
        ({}, None, None),
        ({"DOCKER_HOST": "unix:///run/mine.sock"}, None, None),
        ({"DOCKER_HOST": "tcp://198.18.0.1:2375"}, None, "tcp://198.18.0.1:2375"),
        ({"DOCKER_HOST": "ssh://lab7"}, None, "ssh://lab7"),
        ({}, "no json", None),
        ({}, "{}", None),
    ],
)
def test_which_engine_is_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], config: str | None, url: str | None
) -> None:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    found = elsewhere.other_machine()
    assert (None if found is None else contexts.meant().url) == url
    assert found is None or url in found.where


def test_authorities_of_the_web_do_not_take_the_place_of_the_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tls:
        verify = True

        def configure_client(self, client: Any) -> None:
            client.verify = "the engine's"

    class Client:
        trust_env = True

        def __init__(self) -> None:
            self.proxies: dict[str, str] = {}

    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    client = Client()
    contexts.trusting(Tls(), "tcp://198.18.0.1:2376").configure_client(client)
    assert (client.trust_env, client.verify) == (False, "the engine's")  # type: ignore[attr-defined]
    assert client.proxies["https"] == "http://proxy:3128", "the way there stays as it was"
    assert contexts.trusting(None, "tcp://198.18.0.1:2375") is None


@pytest.mark.parametrize(("name", "value"), [("SOCKET", "docker.sock"), ("SOCKET", "/docker.sock"), ("STATE", "/a:b/c")])
def test_a_place_there_is_an_absolute_path(name: str, value: str) -> None:
    with pytest.raises(LabUnavailable, match=f"CHAOSKIT_ENGINE_{name}={value}: give an absolute path"):
        There.named({f"CHAOSKIT_ENGINE_{name}": value})
    assert There.named({}) == There("/var/run/docker.sock", "/var/tmp/chaoskit-0")


# ---- the image


def test_the_context_is_the_same_for_the_same_chaoskit() -> None:
    context = helper_image.build_context()
    helper_image.build_context.cache_clear()
    assert helper_image.build_context() == context
    with tarfile.open(fileobj=io.BytesIO(context)) as tar:
        names = tar.getnames()
        points = tar.extractfile(next(n for n in names if n.endswith("entry_points.txt")))
        assert points is not None
        assert b"chaoskit.backends" in points.read()
    assert {"Dockerfile", "requirements.txt", "packages/chaoskit/surfaces/entry.py"} <= set(names)
    assert [name for name in names if name.endswith(".pyc") or "/tests/" in name] == []


def test_what_is_installed_here_is_what_is_pinned_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import version

    requirements, constraints = (text.splitlines() for text in helper_image.pinned())
    assert f"click=={version('click')}" in requirements
    assert f"docker=={version('docker')}" in requirements, "the engine is a socket there"
    assert f"urllib3=={version('urllib3')}" in constraints
    assert f"psycopg-binary=={version('psycopg-binary')}" in constraints, "what an extra asks for, where it is asked for"
    for unneeded in ("mypy", "pytest", "patroni", "weasyprint", "hypothesis", "paramiko"):
        assert not [line for line in (*requirements, *constraints) if line.startswith(f"{unneeded}==")]
    before = helper_image.named(helper_image.build_context())
    installed = helper_image._version
    monkeypatch.setattr(helper_image, "_version", lambda name: "99.0" if name == "click" else installed(name))
    helper_image.build_context.cache_clear()
    assert helper_image.named(helper_image.build_context()) != before, "other versions are another image"
    helper_image.build_context.cache_clear()


class BuildApi:
    """An engine that has the base, and builds as it is told."""

    def __init__(self, *answers: dict[str, str], works: bool = True) -> None:
        self.there = {helper_image.BASE}
        self.answers, self.works = answers, works
        self.asked: dict[str, Any] = {}

    def inspect_image(self, name: str) -> dict[str, Any]:
        if name not in self.there:
            raise errors.ImageNotFound(name)
        return {}

    def build(self, **asked: Any) -> Iterator[dict[str, str]]:
        self.asked = asked
        if self.works:
            self.there.add(asked["tag"])
        yield from self.answers


def engine(api: Any) -> Engine:
    return Engine("tcp://198.18.0.1:2376", type("Client", (), {"api": api})())


def test_the_image_is_built_once() -> None:
    api, said = BuildApi({"stream": "Step 1/9 : FROM"}), list[str]()
    name = helper_image.image_ready(engine(api), said.append)
    assert said == [f"building the helper's image {name} on the engine's machine; once, a minute or so", "  Step 1/9 : FROM"]
    assert (api.asked["labels"], api.asked["network_mode"]) == ({"chaoskit.helper": "1"}, "host")
    assert helper_image.image_ready(engine(api), said.append) == name
    assert len(said) == 2, "it is there"


def test_an_image_that_cannot_be_built_says_its_last_lines() -> None:
    lines = [{"stream": f"line {number}\n"} for number in range(40)]
    api = BuildApi(*lines, {"stream": "E: Unable to locate package python3\n"}, {"error": "exit code 100"}, works=False)
    with pytest.raises(LabUnavailable, match="could not be built: exit code 100") as told:
        helper_image.image_ready(engine(api), lambda _: None)
    assert "Unable to locate package" in told.value.evidence
    assert "line 10\n" not in told.value.evidence


# ---- the container


def framed(*parts: tuple[int, bytes]) -> bytes:
    return b"".join(struct.pack(">BxxxL", stream, len(said)) + said for stream, said in parts)


class Connection:
    """That of an exec, as the SDK hands it out."""

    def __init__(self, said: bytes | Any) -> None:
        reader = io.BytesIO(said) if isinstance(said, bytes) else said
        raw = type("Raw", (), {"_fp": type("Fp", (), {"fp": reader})()})()
        self._response = type("Response", (), {"raw": raw})()
        self.given = b""

    def sendall(self, part: bytes) -> None:
        self.given += part


class HelperApi(BuildApi):
    """An engine with helper containers."""

    def __init__(self, refuses: Exception | None = None, socket: str = "") -> None:
        super().__init__()
        self.made: list[dict[str, Any]] = []
        self.removed: list[str] = []
        self.refuses, self.socket = refuses, socket

    def containers(self, all: bool, filters: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"Id": one["name"], "Names": [f"/{one['name']}"], "State": one["state"]} for one in self.made]

    def create_host_config(self, **asked: Any) -> dict[str, Any]:
        return asked

    def create_container(self, image: str, command: list[str], **asked: Any) -> dict[str, str]:
        if self.refuses is not None:
            raise self.refuses
        self.made.append({"image": image, "state": "created", **asked})
        return {"Id": asked["name"]}

    def start(self, container: str) -> None:
        self.made[-1]["state"] = "running"

    def remove_container(self, container: str, **_: Any) -> None:
        self.removed.append(container)

    def exec_create(self, container: str, command: list[str], stdin: bool, environment: dict[str, str]) -> dict[str, str]:
        assert environment[layout.VISITOR]
        return {"Id": command[3]}

    def exec_start(self, exec_id: str, socket: bool) -> Connection:
        answers = {"look": {"errands": [], "labs": [], "socket": self.socket}}
        return Connection(framed((1, json.dumps(answers[exec_id]).encode())))

    def exec_inspect(self, exec_id: str) -> dict[str, Any]:
        return {"Running": False, "ExitCode": 0}


THERE = There("/run/other/docker.sock", "/var/tmp/chaoskit-0")


def test_the_container_has_its_rights_by_name_and_is_found_again() -> None:
    api = HelperApi()
    helper = Helper(engine(api), THERE, "me")
    helper.ready(lambda _: None)
    (made,) = api.made
    host = made["host_config"]
    assert not host.get("privileged")
    assert host["cap_drop"] == ["ALL"]
    assert set(host["cap_add"]) == set(helper_container.CAPABILITIES)
    assert not {"ALL", "SYS_MODULE", "SYS_RAWIO", "SYS_BOOT"} & set(host["cap_add"])
    assert (host["pid_mode"], host["network_mode"], host["CgroupnsMode"]) == ("host", "host", "host")
    assert "/var/tmp/chaoskit-0:/var/tmp/chaoskit-0" in host["binds"]
    assert (host["mounts"][0]["Source"], host["mounts"][0]["BindOptions"]) == ("/run/other", {"NonRecursive": True})
    assert made["environment"]["DOCKER_HOST"] == "unix:///run/other/docker.sock"
    Helper(engine(api), THERE, "me").ready(lambda _: None)
    assert len(api.made) == 1


def test_where_the_engines_socket_is_not_it_says_so() -> None:
    missing = errors.APIError("invalid mount config: bind source path does not exist: /run/other")
    with pytest.raises(LabUnavailable, match="there is no /run/other on the engine's machine: say with CHAOSKIT_ENGINE_SOCKET"):
        Helper(engine(HelperApi(missing)), THERE, "me").ready(lambda _: None)
    with pytest.raises(LabUnavailable, match=r"does not answer on its machine: .*no such file"):
        Helper(engine(HelperApi(socket="/run/other/docker.sock: no such file")), THERE, "me").ready(lambda _: None)


def test_a_container_that_does_not_start_does_not_stay() -> None:
    class Refusing(HelperApi):
        def start(self, container: str) -> None:
            raise errors.APIError("unable to apply caps: operation not permitted")

    api = Refusing()
    with pytest.raises(LabUnavailable, match=r"could not be started: .*unable to apply caps"):
        Helper(engine(api), THERE, "me").ready(lambda _: None)
    assert api.removed == [api.made[0]["name"]]


def test_an_engine_that_permits_nothing_is_told_in_its_words() -> None:
    with pytest.raises(LabUnavailable, match=r"could not be made: .*denied by the site's policy"):
        Helper(engine(HelperApi(errors.APIError("denied by the site's policy"))), THERE, "me").ready(lambda _: None)


def test_a_lab_that_asks_for_more_rights_than_the_helper_has_is_refused() -> None:
    lab = plan_of(cap_add=("SYS_TIME", "CAP_NET_ADMIN"))
    assert elsewhere.beyond_the_helper(lab, {}) == "", "this is no helper"
    assert "n asks for SYS_TIME: the helper" in elsewhere.beyond_the_helper(lab, {layout.TOKEN: "x"})
    assert elsewhere.beyond_the_helper(plan_of(cap_add=("NET_ADMIN",)), {layout.TOKEN: "x"}) == ""


def plan_of(**container: Any) -> LabPlan:
    node = NodePlan(name="n", group="n", interfaces=(), volumes={}, services=(), container=ContainerSpec(**container))
    return LabPlan.model_construct(nodes=(node,))


class Leaving(HelperApi):
    """An engine that ends no answer about a helper which somebody removes meanwhile."""

    def __init__(self, *, removed: bool) -> None:
        super().__init__()
        self.goes = removed
        self.made = [{"name": "helper", "state": "running"}]

    def exec_start(self, exec_id: str, socket: bool) -> Connection:
        if self.goes:
            self.made = []
        raise TimeoutError("The read operation timed out")


@pytest.mark.parametrize("removed", [True, False])
def test_a_helper_that_another_removes_meanwhile_is_no_trouble(monkeypatch: pytest.MonkeyPatch, removed: bool) -> None:
    here = engine(Leaving(removed=removed))
    monkeypatch.setattr(machine.engine, "opened", lambda **_: here)
    monkeypatch.setattr(Engine, "again", lambda self, waits_s: here)
    found = machine.EngineMachine(contexts.Meant("tcp://198.18.0.1:2376"))
    assert found.left() == "", "nobody was asked anything"
    assert found.used()
    why = "the helper container does not answer: The read operation timed out"
    assert found.left() == ("" if removed else f"the helper container stays at tcp://198.18.0.1:2376: {why}")


# ---- what is sent, and comes back


def order(**changes: Any) -> OrderJson:
    plain = OrderJson(
        words=["run"], recording=[], folder="/", roots=[], client="me", records="run", reports="", out="", stays=False
    )  # fmt: skip
    return OrderJson(**{**plain, **changes})  # type: ignore[typeddict-item]


def sent(tmp_path: Path, *roots: Path, reports: Path | None = None, **written: str) -> dict[str, tarfile.TarInfo]:
    with parcel.packed("one", order(roots=[str(root) for root in roots]), reports, written) as file:
        with tarfile.open(fileobj=file) as tar:
            top = f"{layout.ERRANDS}/one/{layout.FILES}{tmp_path}/"
            return {member.name.removeprefix(top): member for member in tar if member.name.startswith(top)}


def test_folders_go_without_what_is_no_part_of_an_experiment(tmp_path: Path) -> None:
    for name in (
        "exp/a.yaml",
        "exp/.git/x",
        "exp/.venv/x",
        "exp/env/pyvenv.cfg",
        "exp/__pycache__/x",
        "exp/reports/r/x",
        "exp/.env",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("content")
    (tmp_path / "beside").write_text("shared")
    (tmp_path / "exp" / "out").symlink_to("../beside")
    (tmp_path / "exp" / "in").symlink_to("a.yaml")
    found = sent(tmp_path, tmp_path / "exp", reports=tmp_path / "exp" / "reports", **{f"{tmp_path}/exp/made.yaml": "title: x"})
    assert set(found) == {"exp", "exp/a.yaml", "exp/.env", "exp/out", "exp/in", "exp/made.yaml"}
    assert found["exp/out"].isreg(), "what a link means is sent where it would lead nowhere there"
    assert found["exp/in"].issym()


def test_too_much_is_refused_with_the_largest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parcel, "MOST_BYTES", 5000)
    (tmp_path / "exp" / "dumps").mkdir(parents=True)
    (tmp_path / "exp" / "a.yaml").write_text("a")
    (tmp_path / "exp" / "dumps" / "big").write_bytes(bytes(6000))
    with pytest.raises(InputError, match="put them into folders of their own") as told:
        sent(tmp_path, tmp_path / "exp")
    assert f"{tmp_path}/exp/dumps" in str(told.value)


def test_what_cannot_be_sent_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        sent(tmp_path, tmp_path / "pipe")
    for place in (Path("/"), Path("/usr"), Path("/var/tmp"), Path("/opt/chaoskit")):
        with pytest.raises(InputError, match="put it into a folder of its own"):
            parcel.roots([place], "/var/tmp/chaoskit-0")
    inner, outer = tmp_path / "a" / "b", tmp_path / "a"
    assert parcel.roots([inner, outer, tmp_path / "c"], "/var/tmp/chaoskit-0") == (outer, tmp_path / "c")


def record(tmp_path: Path, **files: str) -> io.BytesIO:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, text in {"run/environment.json": '{"run_id": "20260101-x"}', **files}.items():
            entry = tarfile.TarInfo(f"{layout.RECORD}/{name}")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
        for name, kind in (("run/link", tarfile.SYMTYPE), ("../../outside", tarfile.REGTYPE)):
            entry = tarfile.TarInfo(f"{layout.RECORD}/{name}")
            entry.type, entry.linkname = kind, "/etc/passwd"
            tar.addfile(entry)
    packed.seek(0)
    return packed


def test_a_run_directory_arrives_whole_under_its_own_name(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    wanted = order(reports=str(reports))
    assert parcel.unpacked(record(tmp_path, **{"run/result.json": "{}"}), "one", wanted) == ([reports / "20260101-x"], [])
    assert sorted(p.name for p in reports.iterdir()) == ["20260101-x"], "nothing half, nothing beside"
    assert sorted(p.name for p in (reports / "20260101-x").iterdir()) == ["environment.json", "result.json"], (
        "no link, nothing outside"
    )
    (reports / "20260101-x" / "mine").touch()
    assert parcel.unpacked(record(tmp_path), "one", wanted) == ([], []), "what is here stays as it is"
    assert (reports / "20260101-x" / "mine").exists()
    elsewhere_here = order(reports=str(reports), out=str(tmp_path / "chosen"))
    assert parcel.unpacked(record(tmp_path), "one", elsewhere_here)[0] == [tmp_path / "chosen"]


def test_a_run_whose_chaoskit_died_stays_there(tmp_path: Path) -> None:
    died = parcel.unpacked(record(tmp_path, **{"run/owner.json": "{}"}), "one", order(reports=str(tmp_path / "reports")))
    assert died == ([], ["20260101-x"])
    assert list((tmp_path / "reports").iterdir()) == []


# ---- listening


class Stream(io.RawIOBase):
    """Says what it has, then waits until it is told to end."""

    def __init__(self, said: bytes) -> None:
        self._said, self.over = io.BytesIO(said), threading.Event()
        self.breaks: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        said = self._said.read(size)
        if not said:
            self.over.wait(10)
            if self.breaks is not None:
                raise self.breaks
        return said


class ExecApi:
    def __init__(self, stream: Stream, **ended: Any) -> None:
        self.stream, self.ended = stream, {"Running": False, "ExitCode": 0, **ended}

    def exec_start(self, exec_id: str, socket: bool) -> Connection:
        return Connection(self.stream)

    def exec_inspect(self, exec_id: str) -> dict[str, Any]:
        return self.ended


class Signals(Iterator[int]):
    def __init__(self, *numbers: int) -> None:
        self.numbers = list(numbers)

    def __next__(self) -> int:
        if not self.numbers:
            raise StopIteration
        return self.numbers.pop(0)


def listened(api: ExecApi, hear: Any = lambda *_: None, *signals: int, hand_on: Any = lambda _: True) -> int:
    here = engine(api)
    return Listening(here, "exec", here, here).ended(hear, Signals(*signals), hand_on)


def test_what_is_said_is_heard_in_its_order_and_the_code_is_the_commands() -> None:
    stream, heard = Stream(framed((2, b"one "), (1, b"{}"), (2, b"two"))), list[tuple[str, bytes]]()
    stream.over.set()
    assert listened(ExecApi(stream, ExitCode=7), lambda *said: heard.append(said)) == 7
    assert heard == [("err", b"one "), ("out", b"{}"), ("err", b"two")]


def test_signals_are_handed_on_in_their_order_once_there_is_somebody() -> None:
    stream, told, asked = Stream(b""), list[int](), 0

    def hand_on(number: int) -> bool:
        nonlocal asked
        asked += 1
        if asked < 3:
            return False  # its process is not there yet
        told.append(number)
        if len(told) == 2:
            stream.over.set()
        return True

    assert listened(ExecApi(stream, ExitCode=130), lambda *_: None, signal.SIGINT, signal.SIGTERM, hand_on=hand_on) == 130
    assert told == [signal.SIGINT, signal.SIGTERM]


def test_a_connection_that_breaks_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Stream(b"")
    broken.breaks = ConnectionResetError("reset by peer")
    broken.over.set()
    with pytest.raises(OutOfReach, match="connection to the engine was lost: reset by peer"):
        listened(ExecApi(broken))
    ended = Stream(b"")
    ended.over.set()
    with pytest.raises(OutOfReach, match="ended the connection while the command ran"):
        listened(ExecApi(ended, Running=True, ExitCode=None))
    monkeypatch.setattr(listening, "LOST_AFTER_S", 0.2)
    silent = Stream(b"")
    with pytest.raises(OutOfReach, match=r"has not answered for 0\.2 s"):
        listened(ExecApi(silent))
    silent.over.set()


# ---- aboard: what runs there


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHAOSKIT_STATE", str(tmp_path / "state"))
    monkeypatch.setenv(layout.TOKEN, "this")
    return tmp_path / "state"


def begun(there: Path, name: str, **processes: tuple[int, int]) -> Path:
    place = there / layout.ERRANDS / name
    (place / layout.RECORD).mkdir(parents=True)
    (place / layout.ORDER).write_text(json.dumps(order()))
    if processes:
        (place / layout.PROCESS).write_text(json.dumps(processes))
    return place


def test_a_helper_that_is_needed_no_more_takes_nothing(there: Path) -> None:
    begun(there, "one")
    assert not aboard.leave(), "an errand waits to be fetched"
    aboard.clear("one")
    (there / layout.ERRANDS / "half" / layout.FILES).mkdir(parents=True)
    assert aboard.leave()
    assert not (there / layout.ERRANDS / "half").exists(), "whoever sent it did not get to its end"
    begun(there, "two")
    assert aboard.carry("two", []) == layout.GONE


def test_the_last_visitor_takes_the_helper_away(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for who in ("one", "two"):
        monkeypatch.setenv(layout.VISITOR, who)
        aboard.visit()
    assert not aboard.leave(), "one may ask more"
    monkeypatch.setenv(layout.VISITOR, "one")
    assert aboard.leave()
    monkeypatch.setenv(layout.VISITOR, "killed")
    aboard.visit()
    os.utime(there / layout.ERRANDS / "visitor-killed", (0, 0))
    monkeypatch.setenv(layout.VISITOR, "three")
    assert aboard.leave(), "who asks no more is not waited for"


def test_a_lab_that_is_up_keeps_the_helper(there: Path) -> None:
    (there / "docker" / "mine").mkdir(parents=True)
    assert aboard.look()["labs"] == ["mine"]
    assert not aboard.leave()


def test_who_runs_is_seen_and_told(there: Path) -> None:
    command = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env={**os.environ, layout.MARK: "one"})
    try:
        place = begun(there, "one", command=(command.pid, aboard.start_ticks(command.pid) or 0))
        (one,) = aboard.seen()
        assert (one["running"], one["held"], one["code"]) == (True, True, None)
        until(lambda: aboard._marked("one"), "its environment, which the kernel shows a moment after its start", 10.0)
        aboard.clear("one")
        assert place.exists(), "what it started is there"
        assert aboard.tell("one", signal.SIGTERM)
        assert command.wait(10) == -signal.SIGTERM
        (one,) = aboard.seen()
        assert not one["running"]
        assert not aboard.tell("other", signal.SIGTERM), "there is nobody to be told"
    finally:
        command.kill()
        command.wait()


def test_files_go_in_and_come_out_by_standard_streams(there: Path, tmp_path: Path) -> None:
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / "a.yaml").write_text("title: x")
    argv = [sys.executable, "-m", "chaoskit.backends.docker.elsewhere.aboard"]
    with parcel.packed("one", order(roots=[str(tmp_path / "exp")]), None, {}) as archive:
        content = archive.read()
    taken = subprocess.run([*argv, "take", str(len(content))], input=content, check=False, timeout=60)
    assert taken.returncode == 0
    place = there / layout.ERRANDS / "one"
    assert (place / layout.FILES / str(tmp_path / "exp" / "a.yaml").lstrip("/")).read_text() == "title: x"
    assert place.stat().st_mode & 0o777 == 0o700
    (place / layout.RECORD / "run").mkdir()
    (place / layout.RECORD / "run" / "environment.json").write_text('{"run_id": "r"}')
    given = subprocess.run([*argv, "give", "one"], capture_output=True, check=False, timeout=60)
    arrived, _ = parcel.unpacked(io.BytesIO(given.stdout), "one", order(reports=str(tmp_path / "reports")))
    assert arrived == [tmp_path / "reports" / "r"]


def test_the_engine_finds_files_where_they_were_sent(there: Path) -> None:
    place = begun(there, "one")
    (place / layout.FILES / "home" / "me").mkdir(parents=True)
    variables = {"CHAOSKIT_STATE": str(there), layout.MARK: "one"}
    assert layout.as_the_engine_sees("/home/me", variables) == str(place / layout.FILES / "home" / "me")
    assert layout.as_the_engine_sees("/srv/of/the/machine", variables) == "/srv/of/the/machine"
    assert layout.as_the_engine_sees("/home/me", {}) == "/home/me", "where nothing was sent"
