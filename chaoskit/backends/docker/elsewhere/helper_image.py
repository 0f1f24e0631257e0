"""The helper's image: Debian, Python, this very chaoskit, and what it depends on in the versions that are installed here.

It is made on the engine's machine from a context that is put together in memory. Its name is the digest of that context: the same
chaoskit finds the image again, another one makes its own.
"""

from __future__ import annotations

import functools
import importlib.metadata
import io
import re
import tarfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import chaoskit
from chaoskit.backends.docker.base_image import base_ready
from chaoskit.backends.docker.elsewhere.layout import PYTHON, SOURCES
from chaoskit.backends.docker.engine import Engine, told
from chaoskit.backends.docker.images import BASE, has
from chaoskit.model.errors import LabUnavailable

LABEL = "chaoskit.helper"
REPOSITORY = "chaoskit-helper"
PACKAGES = (
    "ca-certificates",  # what pip downloads is checked against them
    "e2fsprogs",  # mkfs.ext4: the file systems of volumes
    "python3",
    "python3-venv",
)
"""Debian's, each with what it is for where its name does not say so."""
LEFT_OUT = frozenset({"dev", "patroni", "pdf"})
"""Extras that nothing there needs: tests, servers that labs bring in their images, reports as PDF."""
PLAIN = frozenset({"docker"})
"""Wanted without their extras: the engine is a socket there, and nothing of ssh is needed."""
_REQUIREMENT = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?[^;]*(?:;\s*(.*))?$")
_EXTRAS = re.compile(r"[A-Za-z0-9._-]+")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)")
_SAID = 25
"""Lines of a build that failed which are shown."""
_DOCKERFILE = f"""\
FROM {BASE}
RUN apt-get update && apt-get install -y --no-install-recommends {" ".join(PACKAGES)} && rm -rf /var/lib/apt/lists/*
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements.txt constraints.txt /opt/chaoskit/
RUN python3 -m venv /opt/chaoskit && {PYTHON} -m pip install --no-cache-dir --progress-bar off \\
    -r /opt/chaoskit/requirements.txt -c /opt/chaoskit/constraints.txt
COPY packages {SOURCES}
RUN {PYTHON} -m compileall -q {SOURCES}
ENV PYTHONPATH={SOURCES}
"""
"""What changes least comes first: another chaoskit with the same dependencies costs a second."""


def named(context: bytes) -> str:
    """The name of the image that is built from it."""
    return f"{REPOSITORY}:{sha256(context).hexdigest()[:16]}"


def image_is_there(engine: Engine) -> bool:
    """Whether the image of this chaoskit need not be built any more."""
    return has(engine, named(build_context()))


def image_ready(engine: Engine, progress: Callable[[str], None]) -> str:
    """Have the image in the engine; its name. LabUnavailable with the last lines of what could not be built."""
    context = build_context()
    name = named(context)
    if not has(engine, name):
        base_ready(engine, progress)
        _build(engine, context, name, progress)
    return name


def _build(engine: Engine, context: bytes, name: str, progress: Callable[[str], None]) -> None:
    progress(f"building the helper's image {name} on the engine's machine; once, a minute or so")
    said: list[str] = []
    failed = ""
    with told("the helper's image could not be built"):
        answers = engine.client.api.build(
            fileobj=io.BytesIO(context),
            custom_context=True,
            tag=name,
            labels={LABEL: "1"},
            rm=True,
            forcerm=True,
            network_mode="host",  # packages may come over the machine's own network, as in labs' builds
            use_config_proxy=True,
            decode=True,
        )
        for answer in answers:
            text = str(answer.get("stream", "") or answer.get("error", ""))
            said += text.splitlines()
            if text.startswith("Step "):
                progress(f"  {text.strip()[:100]}")
            failed = failed or str(answer.get("error", ""))
    if failed or not has(engine, name):
        raise LabUnavailable(f"the helper's image could not be built: {failed}", "\n".join(said[-_SAID:]))


# ---- the context


@functools.cache
def build_context() -> bytes:
    """The same bytes for the same chaoskit and the same dependencies."""
    requirements, constraints = pinned()
    files = {"Dockerfile": _DOCKERFILE, "requirements.txt": requirements, "constraints.txt": constraints}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, text in files.items():
            _add(tar, name, text.encode())
        for name, content in _own_files():
            _add(tar, f"packages/{name}", content)
    return packed.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    tar.addfile(entry, io.BytesIO(content))


def _own_files() -> Iterator[tuple[str, bytes]]:
    """This package, and what says which commands and plugins it has."""
    package = Path(chaoskit.__file__).parent
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
            yield f"chaoskit/{path.relative_to(package).as_posix()}", path.read_bytes()
    own = importlib.metadata.distribution("chaoskit")
    for name in ("METADATA", "entry_points.txt"):
        yield f"chaoskit-{chaoskit.__version__}.dist-info/{name}", (own.read_text(name) or "").encode()


def pinned() -> tuple[str, str]:
    """(requirements: what chaoskit and packages that extend it ask for; constraints: everything below that) as pip reads them."""
    wanted: dict[str, str] = {}
    for name, extras, extra in _required("chaoskit"):
        if extra not in LEFT_OUT and (version := _version(name)):
            kept = extras if name not in PLAIN else ""
            wanted[name] = f"{name}{f'[{kept}]' if kept else ''}=={version}"
    for name, version in _extending():
        wanted[name] = f"{name}=={version}"
    below: dict[str, str] = {}
    ask = [(name, _EXTRAS.findall(line.partition("==")[0])[1:]) for name, line in wanted.items()]
    while ask:
        name, asked = ask.pop()
        if (name in below and not asked) or not (version := _version(name)):
            continue
        below[name] = f"{name}=={version}"
        needs = [(one, _EXTRAS.findall(more)) for one, more, extra in _required(name) if not extra or extra in asked]
        ask += [(one, more) for one, more in needs if one not in below]
    return "".join(f"{line}\n" for line in sorted(wanted.values())), "".join(f"{line}\n" for line in sorted(below.values()))


def _required(name: str) -> list[tuple[str, str, str]]:
    """(distribution, its extras, the extra of `name` that asks for it)."""
    found = []
    for line in importlib.metadata.requires(name) or ():
        if match := _REQUIREMENT.match(line):
            extra = _EXTRA.search(match.group(3) or "")
            found.append((_normal(match.group(1)), match.group(2) or "", extra.group(1) if extra else ""))
    return [one for one in found if one[0] != _normal(name)]


def _extending() -> Iterator[tuple[str, str]]:
    """Other packages that add faults, clients and the like, of those that an index has."""
    for found in importlib.metadata.distributions():
        name = _normal(str(found.metadata["Name"]))
        extends = any(point.group.startswith("chaoskit.") for point in found.entry_points)
        if extends and name != "chaoskit" and found.read_text("direct_url.json") is None:
            yield name, found.version


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
