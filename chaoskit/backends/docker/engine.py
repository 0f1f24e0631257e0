"""The Docker engine, through the Docker SDK: found as Docker's own tools find it, asked for images and containers.

The SDK is an extra (`pip install 'chaoskit[docker]'`) and is imported late: whoever only lists labs does not wait for it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import struct
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from chaoskit.backends.docker import contexts
from chaoskit.linux.late_package import unread
from chaoskit.model.errors import LabUnavailable

LAB, RUN, NODE, STATE = "chaoskit.lab", "chaoskit.run", "chaoskit.node", "chaoskit.state"
"""Labels of everything that is made."""
TIMEOUT_S = 30
"""How long one answer may take."""
_ENDED_WITHIN_S = 15.0
_AT_ONCE = 8


def _read_sdk() -> None:
    """Import the SDK, where there is one, without the SSH library that it would read and, told to use `ssh`, never uses.

    Reading that takes as long as reading the SDK.
    """
    if "docker" not in sys.modules:
        with unread("paramiko"), contextlib.suppress(ImportError):  # whoever needs the SDK says that it is missing
            importlib.import_module("docker")


@contextlib.contextmanager
def told(what: str) -> Iterator[None]:
    """What the engine or the way to it refuses is LabUnavailable, in the engine's words."""
    _read_sdk()
    import docker.errors
    import requests.exceptions
    import urllib3.exceptions

    sdk = (
        docker.errors.DockerException,
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
    )  # of a broken stream
    try:
        yield
    except (*sdk, OSError) as error:
        said = getattr(error, "explanation", None) or error
        raise LabUnavailable(f"{what}: {said}") from error


@dataclass
class Engine:
    """A connection to an engine."""

    url: str
    client: Any
    given: Mapping[str, Any] = field(default_factory=dict)
    """How the client was made."""

    def again(self, waits_s: float | None) -> Engine:
        """Another connection to the same engine, which is asked neither for its version nor whether it is there."""
        import docker

        version = self.client.api._version
        return Engine(self.url, docker.DockerClient(**self.given, timeout=waits_s, version=version), self.given)

    def close(self) -> None:
        self.client.close()

    def containers(self, **labels: str) -> list[Any]:
        """Containers with these labels, running or not."""
        wanted = [f"{key.replace('_', '.')}={value}" for key, value in labels.items()]
        with told("the engine's containers could not be listed"):
            found: list[Any] = self.client.api.containers(all=True, filters={"label": wanted})
        return found

    def containers_named(self, ids: Iterable[str]) -> list[Any]:
        """What the engine knows of these containers, without those that are gone."""
        import docker.errors

        found = []
        with told("a container could not be looked at"):
            for one in ids:
                with contextlib.suppress(docker.errors.NotFound):
                    found.append(self.client.api.inspect_container(one))
        return found

    def start(self, container: str) -> int:
        """Start a container that has ended; its first process, as this machine numbers it. LabUnavailable."""
        with told("the container could not be started"):
            self._until_ended(container)
        return self.first_start(container)

    def first_start(self, container: str) -> int:
        """The same of one that has never run."""
        with told("the container could not be started"):
            self.client.api.start(container)
            state = self.client.api.inspect_container(container)["State"]
        if not state["Running"]:
            raise LabUnavailable(f"the container ended at once: exit code {state['ExitCode']} {state['Error']}".rstrip())
        return int(state["Pid"])

    def _until_ended(self, container: str) -> None:
        """The engine notices the end of a container a moment after the kernel."""
        deadline = time.monotonic() + _ENDED_WITHIN_S
        while self.client.api.inspect_container(container)["State"]["Running"]:
            if time.monotonic() > deadline:
                raise LabUnavailable(f"the engine still calls it running after {_ENDED_WITHIN_S:g} s")
            time.sleep(0.01)

    def remove(self, containers: Sequence[str]) -> list[str]:
        """Remove them, running or not, with their anonymous volumes; what could not be, with the reason."""
        if not containers:
            return []
        with ThreadPoolExecutor(min(_AT_ONCE, len(containers))) as threads:
            return [said for said in threads.map(self._remove, containers) if said]

    def _remove(self, container: str) -> str:
        import docker.errors

        try:
            with told(f"container {container[:12]}"), contextlib.suppress(docker.errors.NotFound):
                self.client.api.remove_container(container, force=True, v=True)
        except LabUnavailable as error:
            return str(error)
        return ""

    def remove_volumes(self, volumes: Sequence[str]) -> list[str]:
        """Remove volumes that no container uses any more; what could not be, with the reason."""
        import docker.errors

        trouble = []
        for volume in volumes:
            try:
                with told(f"volume {volume}"):
                    try:
                        self.client.api.remove_volume(volume)
                    except docker.errors.NotFound:
                        continue
            except LabUnavailable as error:
                trouble.append(str(error))
        return trouble


def warmed() -> None:
    """Import the SDK, and what it imports when it is used first: a process that forks spares each child half a second."""
    _read_sdk()
    import docker
    import docker.errors
    import requests.exceptions  # noqa: F401

    docker.DockerClient(base_url="unix:///dev/null", version="1.41").close()  # given a version, it asks nobody


def opened(url: str | None = None, *, waits_s: float | None = TIMEOUT_S) -> Engine:
    """An engine that answers: at `url`, else as Docker's own tools find it (see `contexts`). LabUnavailable with the reason.

    `waits_s`: how long one answer may take; None: for ever.
    """
    _read_sdk()
    try:
        import docker
    except ImportError:
        raise LabUnavailable("the Docker SDK for Python is missing: pip install 'chaoskit[docker]'") from None
    with told("no Docker engine is named that could be asked"):
        which = contexts.meant(url)
    over_ssh = which.url.startswith("ssh://")
    with told(f"no Docker engine answers at {which.named}"):
        tls = contexts.trusting(which.tls, which.url)
        given = {"base_url": which.url, "tls": tls, "use_ssh_client": over_ssh}
        client: Any = docker.DockerClient(**given, timeout=waits_s)
        client.ping()
    return Engine(which.url, client, given)


def why_not_here(engine: Engine) -> str:
    """ "" where the engine's containers are processes of this machine's kernel that we may act on; else why not."""
    if not engine.url.startswith(contexts.LOCAL):
        return f"the engine at {engine.url} is not on this machine, and faults act there: commands go there by themselves"
    with told("the engine does not describe itself"):
        info = engine.client.info()
    if info.get("KernelVersion") != os.uname().release or info.get("OSType") != "linux":
        return f"the engine runs on another kernel ({info.get('OperatingSystem')}, {info.get('KernelVersion')})"
    if not peer(engine.url):
        return f"the engine behind {engine.url} is in another process namespace than chaoskit: run both on the same machine"
    options = " ".join(info.get("SecurityOptions") or ())
    for option in ("rootless", "userns"):
        if f"name={option}" in options:
            return f"the engine maps users ({option}), which is not supported yet"
    return ""


def peer(url: str) -> int:
    """The process that listens there; 0 where it is out of sight."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect("/" + url.removeprefix("unix://").lstrip("/"))
        except OSError:
            return 0
        raw = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid: int = struct.unpack("3i", raw)[0]
    return pid
