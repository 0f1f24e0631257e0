"""The helper container: with the rights that faults need on its machine, each by its name, and nothing more."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePosixPath
from typing import IO, Any

from chaoskit.backends.docker.elsewhere import layout
from chaoskit.backends.docker.elsewhere.helper_image import LABEL, image_ready
from chaoskit.backends.docker.elsewhere.listening import frames, send
from chaoskit.backends.docker.engine import Engine, told
from chaoskit.model.errors import LabUnavailable

STATE_LABEL = f"{LABEL}.state"
SOCKET_VARIABLE, STATE_VARIABLE = "CHAOSKIT_ENGINE_SOCKET", "CHAOSKIT_ENGINE_STATE"
CAPABILITIES = {
    "SYS_ADMIN": "enter and make namespaces, mount volumes, set names",
    "NET_ADMIN": "switches, cables, nftables, shapes of links",
    "NET_RAW": "packet sockets: relays, address watchers, answers in a node's name",
    "SYS_PTRACE": "enter the namespaces of containers' processes, give them false clocks",
    "KILL": "signals to processes of other users",
    "SYS_CHROOT": "enter the mount namespaces of containers",
    "SYS_NICE": "the probes' real-time priority",
    "DAC_OVERRIDE": "files of other users, in nodes and control groups",
    "DAC_READ_SEARCH": "the same, where only reading is meant",
    "CHOWN": "owners of files and volumes",
    "FOWNER": "modes of files of other users",
    "FSETID": "set-user-ID bits of files that are put back",
    "MKNOD": "nodes of loop devices that /dev lacks",
    "SETUID": "services run as their own users",
    "SETGID": "the same, for groups",
    "SETPCAP": "services have no more than their containers' capabilities",
    "SETFCAP": "for services: containers have it by default",
    "NET_BIND_SERVICE": "for services: containers have it by default",
    "AUDIT_WRITE": "for services: containers have it by default",
}
"""Capability -> what it is for. A process in a lab's container never has more than both this list and its container allow."""
DEVICES = {
    "c 10:237 rw": "/dev/loop-control",
    "b 7:* rwm": "loop devices: file systems of volumes",
    "c 10:229 rw": "/dev/fuse: programmable disks",
    "c 10:200 rw": "/dev/net/tun: relays",
}
"""Rule -> device; all others stay closed, although /dev is seen."""


@dataclass(frozen=True)
class There:
    """Places on the engine's machine."""

    socket: str
    state: str

    @classmethod
    def named(cls, environment: Mapping[str, str] = os.environ) -> There:
        """As the environment says, else where they mostly are. LabUnavailable for what is no absolute path."""
        found = cls(
            environment.get(SOCKET_VARIABLE) or "/var/run/docker.sock", environment.get(STATE_VARIABLE) or "/var/tmp/chaoskit-0"
        )
        for variable, path in ((SOCKET_VARIABLE, found.socket), (STATE_VARIABLE, found.state)):
            if not path.startswith("/") or ":" in path or len(PurePosixPath(path).parts) < 3:
                raise LabUnavailable(f"{variable}={path}: give an absolute path on the engine's machine, below a directory")
        return found

    @property
    def mark(self) -> str:
        return sha256(f"{self.state}\0{self.socket}".encode()).hexdigest()[:12]


class Helper:
    """The helper container of one engine, one state directory there and one chaoskit."""

    def __init__(self, engine: Engine, there: There, visitor: str) -> None:
        """`visitor`: who asks; nothing is taken away from under one who asked a moment ago."""
        self.engine, self.there = engine, there
        self.visitor = {layout.VISITOR: visitor}
        self.id = ""

    def all(self) -> list[dict[str, Any]]:
        """Helper containers of this state directory, also those of other chaoskits."""
        with told("the engine's containers could not be listed"):
            wanted = [f"{STATE_LABEL}={self.there.mark}"]
            found: list[dict[str, Any]] = self.engine.client.api.containers(all=True, filters={"label": wanted})
        return found

    def ready(self, progress: Callable[[str], None]) -> None:
        """Have the container run. LabUnavailable with what its machine lacks."""
        image = image_ready(self.engine, progress)
        name = f"chaoskit-helper-{image.partition(':')[2]}-{self.there.mark}"
        mine = [one for one in self.all() if f"/{name}" in one["Names"]]
        self.id = mine[0]["Id"] if mine else self._made(image, name)
        if mine and mine[0]["State"] == "running":
            return
        try:
            with told("the helper container could not be started"):
                self.engine.client.api.start(self.id)
        except LabUnavailable:
            self.engine.remove([self.id])  # it never ran: the next command makes another one
            raise
        why = self.look()["socket"]
        if why:
            advice = f"say with {SOCKET_VARIABLE} where it is there"
            raise LabUnavailable(f"the engine's own socket does not answer on its machine: {why}; {advice}")

    def _made(self, image: str, name: str) -> str:
        import docker.errors
        from docker.types import Mount

        api, there = self.engine.client.api, self.there
        folder = str(PurePosixPath(there.socket).parent)
        near = Mount(folder, folder, type="bind")
        # mounts below it stay out of here: those of other containers would be held after their end
        near["BindOptions"] = {"NonRecursive": True}
        host = api.create_host_config(
            binds=[*(f"{path}:{path}" for path in ("/dev", "/sys", "/sys/fs/cgroup")), f"{there.state}:{there.state}"],
            mounts=[near],
            network_mode="host",
            pid_mode="host",
            cap_drop=["ALL"],
            cap_add=list(CAPABILITIES),
            security_opt=["seccomp=unconfined", "apparmor=unconfined", "label=disable"],
            device_cgroup_rules=list(DEVICES),
            restart_policy={"Name": "no"},
        )
        host |= {"CgroupnsMode": "host", "MaskedPaths": [], "ReadonlyPaths": []}  # the SDK has no word for them
        try:
            with told("the helper container could not be made"):
                made = api.create_container(
                    image,
                    ["sleep", "infinity"],
                    name=name,
                    host_config=host,
                    environment={
                        "CHAOSKIT_STATE": there.state,
                        "DOCKER_HOST": f"unix://{there.socket}",
                        layout.TOKEN: secrets.token_hex(8),
                    },
                    labels={LABEL: "1", STATE_LABEL: there.mark},
                )
        except LabUnavailable as error:
            if isinstance(error.__cause__, docker.errors.APIError) and "bind source path does not exist" in str(error):
                raise LabUnavailable(
                    f"there is no {folder} on the engine's machine: say with {SOCKET_VARIABLE} where the engine's own socket is"
                ) from error
            raise
        return str(made["Id"])

    # ---- asking

    def look(self) -> layout.LookJson:
        """What is there."""
        found: layout.LookJson = json.loads(self.asked("look"))
        return found

    def asked(self, *words: str) -> str:
        """What the helper answers. LabUnavailable where it fails."""
        answer = bytearray()
        self.exchanged(words, answer.extend)
        return answer.decode("utf-8", "replace")

    def exchanged(self, words: Sequence[str], hear: Callable[[bytes], object], given: IO[bytes] | None = None) -> None:
        """Have the helper do something, with what is `given` on its standard input. LabUnavailable where it fails.

        Not the engine's own way to copy files: for that it mounts anew all that the container sees, a whole /dev and /sys.
        """
        api, err = self.engine.client.api, bytearray()
        with told("the helper container does not answer"):
            made = api.exec_create(self.id, command(*words), stdin=given is not None, environment=self.visitor)
            connection = api.exec_start(made["Id"], socket=True)
            if given is not None:
                send(connection, given)
            for stream, said in frames(connection):
                (hear if stream == "out" else err.extend)(said)
            code = api.exec_inspect(made["Id"])["ExitCode"]
        if code != 0:
            evidence = err.decode("utf-8", "replace")[-2000:]
            raise LabUnavailable(f"the helper container could not do {words[0]!r}: exit code {code}", evidence)

    def is_there(self) -> bool:
        """Whether the container is there and runs."""
        return any(one["Id"] == self.id and one["State"] == "running" for one in self.all())

    def forget(self) -> None:
        """Remove this container, which takes no errands any more; the next one is another."""
        self.engine.remove([self.id])
        self.id = ""

    def remove_all(self) -> None:
        """Every helper container of this state directory. LabUnavailable where one stays."""
        if trouble := self.engine.remove([one["Id"] for one in self.all()]):
            raise LabUnavailable(f"the helper stays on the engine's machine: {'; '.join(trouble)}")


def command(*words: str) -> Sequence[str]:
    """How the helper is asked."""
    return [layout.PYTHON, "-m", "chaoskit.backends.docker.elsewhere.aboard", *words]
