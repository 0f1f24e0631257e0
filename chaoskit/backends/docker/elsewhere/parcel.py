"""What is sent to the helper and brought back: archives of folders at their absolute paths, bounded in size."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from chaoskit.backends.docker.elsewhere import layout
from chaoskit.backends.docker.elsewhere.layout import OrderJson
from chaoskit.model.errors import InputError, LabUnavailable, Problem

MOST_BYTES = 64 * 1024 * 1024
MOST_FILES = 5000
_IN_MEMORY_BYTES = 16 * 1024 * 1024
_OWN = (
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/opt",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var",
    "/var/run",
)
_NEVER = frozenset({"__pycache__", "node_modules"})
OWNER = "owner.json"
"""In a run directory whose chaoskit has not ended."""
ARRIVING = ".arriving-"


def roots(places: Iterable[Path], state: str) -> tuple[Path, ...]:
    """The places without those that lie in another one. InputError for one that would hide the helper's own files."""
    found: list[Path] = []
    for place in sorted({Path(os.path.abspath(p)) for p in places}):
        kept = (state, layout.PYTHON, layout.SOURCES)
        if str(place) in _OWN or any(Path(path).is_relative_to(place) for path in kept):
            message = "what lies here cannot be sent to the engine's machine: put it into a folder of its own"
            raise InputError([Problem(message=message, value=str(place))])
        if not any(place.is_relative_to(other) for other in found):
            found.append(place)
    return tuple(found)


def packed(errand: str, order: OrderJson, reports: Path | None, written: Mapping[str, str]) -> IO[bytes]:
    """The archive that makes the errand's folder. `reports`: a folder that is left out. `written`: files that lie nowhere here.

    InputError where it is too much, or no file.
    """
    file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 - whoever sends it closes it
    with tarfile.open(fileobj=file, mode="w") as tar:
        top = f"{layout.ERRANDS}/{errand}"
        for name in (layout.ERRANDS, top, f"{top}/{layout.FILES}", f"{top}/{layout.RECORD}"):
            _directory(tar, name, 0o700)
        bound = _Bound()
        for root in order["roots"]:
            for path in _below(Path(root), reports, bound):
                _put(tar, _meant(path, order["roots"]), f"{top}/{layout.FILES}{path}")
        for name, text in written.items():
            _add(tar, f"{top}/{layout.FILES}{name}", text.encode(), 0o600)
        _add(tar, f"{top}/{layout.ORDER}", json.dumps(order).encode(), 0o600)
    file.seek(0)
    return file


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))


def _meant(path: Path, sent: Iterable[str]) -> Path:
    """What a link means, where that is not sent along by itself."""
    if not path.is_symlink():
        return path
    real = path.resolve()
    along = str(path) not in sent and any(real.is_relative_to(root) for root in sent)
    return path if along or not (real.is_file() or str(path) in sent) else real


def _directory(tar: tarfile.TarFile, name: str, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    tar.addfile(entry)


def _put(tar: tarfile.TarFile, path: Path, name: str) -> None:
    try:
        entry = tar.gettarinfo(str(path), name)
        if entry is None or not (entry.isreg() or entry.isdir() or entry.issym()):
            raise OSError(errno.EINVAL, "neither a file nor a folder")
        if entry.isreg():
            with path.open("rb") as content:
                tar.addfile(entry, content)
        else:
            tar.addfile(entry)
    except OSError as error:
        raise InputError(
            [Problem(message=f"cannot be sent to the engine's machine: {error.strerror}", value=str(path))]
        ) from error


class _Bound:
    """Counts what is sent."""

    def __init__(self) -> None:
        self.bytes, self.files = 0, 0
        self.largest: dict[Path, int] = {}

    def add(self, root: Path, path: Path, size: int) -> None:
        self.bytes += size
        self.files += 1
        inside = path.relative_to(root).parts
        below = root / inside[0] if inside else root
        self.largest[below] = self.largest.get(below, 0) + size
        if self.bytes > MOST_BYTES or self.files > MOST_FILES:
            most = sorted(self.largest, key=lambda one: -self.largest[one])[:3]
            message = (
                f"more than {MOST_BYTES >> 20} MiB or {MOST_FILES} files lie beside the experiment or its lab, which are sent "
                "to the engine's machine: put them into folders of their own"
            )
            raise InputError(
                [Problem(message=message, value=", ".join(f"{p} ({self.largest[p] >> 10} KiB so far)" for p in most))]
            )


def _below(root: Path, left_out: Path | None, bound: _Bound) -> Iterator[Path]:
    """Everything in a folder, it first, without hidden folders, caches, environments of Python and what is left out."""
    if not os.path.lexists(root):
        return
    bound.add(root, root, 0 if root.is_dir() else root.lstat().st_size)
    yield root
    if not root.is_dir():
        return
    for directory, folders, files in os.walk(root):
        here = Path(directory)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and name not in _NEVER and here / name != left_out
            and not (here / name / "pyvenv.cfg").exists()
        )  # fmt: skip
        for name in (*folders, *sorted(files)):
            path = here / name
            bound.add(root, path, 0 if path.is_dir() else path.lstat().st_size)
            yield path


# ---- the way back


def unpacked(archive: IO[bytes], errand: str, order: OrderJson) -> tuple[list[Path], list[str]]:
    """Put what an errand recorded where it belongs here: (the directories that arrived, names of those whose chaoskit died).

    Each appears whole or not at all; what is here already stays as it is. LabUnavailable where it cannot be written.
    """
    reports = Path(order["out"]).parent if order["out"] else Path(order["reports"])
    scratch = reports / f"{ARRIVING}{errand}-{os.getpid()}"
    arrived, died = [], []
    try:
        reports.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(scratch, ignore_errors=True)
        with tarfile.open(fileobj=archive) as tar:
            layout.trust(tar)
            tar.extractall(scratch, members=[member for member in tar if _harmless(member)])
        for directory in sorted(path for path in (scratch / layout.RECORD).iterdir() if path.is_dir()):
            name = _run_id(directory) if order["records"] == "run" else directory.name
            place = Path(order["out"]) if order["out"] else reports / (name or errand)
            if (directory / OWNER).exists():
                died.append(name or errand)
            elif not _holds(place):
                directory.rename(place)
                arrived.append(place)
        return arrived, died
    except (OSError, ValueError, tarfile.TarError) as error:
        raise LabUnavailable(f"what the run recorded cannot be written to {reports}: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _harmless(member: tarfile.TarInfo) -> bool:
    """A plain file or directory below where it is put. A run directory holds nothing else."""
    if (member.isreg() or member.isdir()) and not member.name.startswith("/") and ".." not in Path(member.name).parts:
        member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
        return True
    return False


def _run_id(directory: Path) -> str:
    """What the run calls itself; empty where it died before it said so."""
    try:
        return Path(str(json.loads((directory / "environment.json").read_text(encoding="utf-8"))["run_id"])).name
    except (FileNotFoundError, KeyError):
        return ""


def _holds(path: Path) -> bool:
    return path.is_dir() and any(path.iterdir())
