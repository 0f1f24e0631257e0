"""A Docker engine of a test's own, which may be killed and started again, and a small image made of this machine's Python."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.live.shop import until

BASE = "debian:bookworm-slim"
"""The name that the small image gets: nodes that name none are made of it, and no registry is asked."""
PROGRAMS = ("sh", "sleep", "tail", "cat", "touch", "sync", "true", "rm", "ls", "dd")
_UNUSED = {"test", "idlelib", "ensurepip", "lib2to3", "tkinter", "turtledemo", "__pycache__", "dist-packages", "site-packages"}
_LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
_ETC = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/sh\n",
    "group": "root:x:0:\nnogroup:x:65534:\n",
}


def missing() -> str:
    """What an engine of one's own lacks here; empty where it can be started."""
    if os.geteuid() != 0:
        return "an engine of the test's own needs root"
    if shutil.which("dockerd") is None:
        return "dockerd is missing: apt-get install docker.io"
    return ""


class OwnEngine:
    """dockerd with its data in a directory that nobody else uses."""

    def __init__(self, *options: str, roomy: bool = False) -> None:
        """`roomy`: with room for images that are built, which may be more than /run has."""
        self._options = options
        # not under a directory that nodes of namespaces see, and short: a socket's path has 108 bytes
        self.directory = Path(tempfile.mkdtemp(prefix="chaoskit-engine-", dir="/run"))
        self.data = Path(tempfile.mkdtemp(prefix="chaoskit-engine-", dir="/var/tmp")) if roomy else self.directory / "data"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.directory}/docker.sock"

    def start(self) -> None:
        at = self.directory
        argv = ["dockerd", "--host", self.url, "--data-root", str(self.data), "--exec-root", f"{at}/exec"]
        argv += ["--pidfile", f"{at}/docker.pid", "--exec-opt", "native.cgroupdriver=cgroupfs", "--bridge=none"]
        argv += [f"--cgroup-parent=/{at.name}"]  # its groups can be told from those of other engines
        argv += ["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", *self._options]
        (at / "docker.pid").unlink(missing_ok=True)  # one that was killed leaves it behind
        with (at / "dockerd.log").open("ab") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        until(self._answers, f"an answer of dockerd; see {at}/dockerd.log", 60.0)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.directory / "dockerd.log").read_text()[-2000:]
        with suppress(Exception), self.client() as client:
            return bool(client.ping())
        return False

    def client(self) -> Any:
        """A connection by the SDK."""
        import contextlib

        import docker

        return contextlib.closing(docker.DockerClient(base_url=self.url, timeout=60))

    def kill(self) -> None:
        """SIGKILL to it and to its containerd; its containers run on."""
        assert self.process is not None
        noted = self.directory / "exec" / "containerd" / "containerd.pid"
        containerd = int(noted.read_text())
        self.process.kill()
        self.process.wait()
        with suppress(ProcessLookupError):
            os.kill(containerd, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{containerd}").exists(), "the end of containerd", 10.0)
        noted.unlink(missing_ok=True)  # the next one would wait for whoever has its number

    def end(self) -> None:
        """With every container and network."""
        if self.process is not None:
            if self.process.poll() is not None:
                self.start()  # nobody else can end what it left
            with self.client() as client:
                for container in client.containers.list(all=True):
                    container.remove(force=True, v=True)
                client.networks.prune()  # an engine of our own: nobody else's are there
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
        points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for point in reversed([point for point in points if point.startswith((f"{self.directory}/", f"{self.data}/"))]):
            subprocess.run(["umount", "-l", point], check=False)
        shutil.rmtree(self.directory)
        shutil.rmtree(self.data, ignore_errors=True)
        for group in reversed(self.groups()):
            group.rmdir()

    def groups(self) -> list[Path]:
        """The cgroups of its containers, on whatever hierarchy, parents before children."""
        found = [Path(parent) for parent, _, _ in os.walk("/sys/fs/cgroup") if self.directory.name in Path(parent).parts]
        return sorted(found)

    def import_image(self, name: str = BASE) -> None:
        """Put the small image into it."""
        archive = self.directory / "image.tar"
        pack(archive)
        repository, _, tag = name.partition(":")
        with self.client() as client:
            client.api.import_image_from_file(str(archive), repository=repository, tag=tag)
        archive.unlink()

    def of_somebody_else(self, image: str) -> None:
        """A container that runs, a volume and a network that nobody here may touch."""
        with self.client() as client:
            client.volumes.create("foreign")
            client.networks.create("foreign", driver="bridge")
            client.containers.run(
                image, ["sleep", "10000"], name="foreign", network_mode="none", volumes=["foreign:/data"], detach=True
            )


class FarEngine(OwnEngine):
    """One that is asked over the network: by TLS on a port of the loopback, with certificates on both sides."""

    def __init__(self) -> None:
        super().__init__(roomy=True)
        self.certificates = self.directory / "certificates"
        make_certificates(self.certificates)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        own = {"tlscacert": "ca.pem", "tlscert": "server-cert.pem", "tlskey": "server-key.pem"}
        files = [f"--{name}={self.certificates / file}" for name, file in own.items()]
        self._options = ("--host", f"tcp://127.0.0.1:{self.port}", "--tlsverify", *files)

    def variables(self) -> dict[str, str]:
        """What whoever asks it from another machine has in the environment."""
        return {
            "DOCKER_HOST": f"tcp://127.0.0.1:{self.port}",
            "DOCKER_TLS_VERIFY": "1",
            "DOCKER_CERT_PATH": str(self.certificates),
            "CHAOSKIT_ENGINE_SOCKET": f"{self.directory}/docker.sock",
        }


def make_certificates(folder: Path) -> None:
    """An authority, and what it signed for a server on the loopback and for a client, as Docker's tools call the files."""
    folder.mkdir()
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", *key, "-subj", "/CN=authority", "-days", "2", "-keyout", "ca-key.pem", "-out", "ca.pem")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
    for who, own in (("server", "server-"), ("client", "")):
        openssl("req", *key, "-subj", f"/CN={who}", "-keyout", f"{own}key.pem", "-out", f"{who}.csr")
        signed = ["-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "2", "-extfile", "names"]
        openssl("x509", "-req", "-in", f"{who}.csr", *signed, "-out", f"{own}cert.pem")


def pack(archive: Path) -> None:
    """python3, a shell and a few programs of this machine, with the libraries that they need, as a root file system."""
    library = Path(sysconfig.get_path("stdlib"))
    interpreter = Path("/usr/bin/python3").resolve()
    programs = {f"usr/bin/{name}": Path(str(shutil.which(name))).resolve() for name in PROGRAMS}
    programs |= {"usr/bin/python3": interpreter}
    modules = [file for file in sorted((library / "lib-dynload").glob("*.so")) if "tkinter" not in file.name]
    with tarfile.open(archive, "w") as tar:
        for name, target in _LINKS.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
        for name, source in programs.items():
            tar.add(source, name)
        for shared in sorted(_libraries([*programs.values(), *modules])):
            tar.add(shared.resolve(), f"usr/{shared.relative_to('/').as_posix().removeprefix('usr/')}")
        tar.add(library, f"usr/lib/{library.name}", filter=_wanted)
        for name in ("tmp", "etc", "root", "proc", "sys", "dev", "srv", "var", "run"):
            made = tarfile.TarInfo(name)
            made.type, made.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(made)
        for name, text in _ETC.items():
            with tempfile.NamedTemporaryFile("w") as file:
                file.write(text)
                file.flush()
                tar.add(file.name, f"etc/{name}")


def _wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    name = Path(member.name).name
    return None if name in _UNUSED or name.startswith("config-") or "tkinter" in name else member


def _libraries(files: list[Path]) -> set[Path]:
    said = subprocess.run(["ldd", *map(str, files)], capture_output=True, text=True, check=False).stdout
    words = [word for line in said.splitlines() for word in line.split() if word.startswith("/") and not word.endswith(":")]
    return {Path(word) for word in words}


if __name__ == "__main__":
    pack(Path(sys.argv[1]))
