"""debian:bookworm-slim without a registry: made by mmdebstrap, kept for a week, and put into the engine.

What mmdebstrap makes differs from Docker's own image of that name in nothing that a Dockerfile or a node sees: Debian's base
packages without their documentation, the same PATH and command. Certificate authorities that this machine's owner has added
are in it as well: what a build downloads comes through the same network as here.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Literal

from chaoskit.backends.docker.engine import Engine, told
from chaoskit.backends.docker.images import BASE, has, pulled
from chaoskit.backends.linux_host.state import make_private, state_directory
from chaoskit.model.errors import LabUnavailable

Origin = Literal["there", "pulled", "kept", "made"]
"""Where the image came from: the engine had it, a registry, an archive of an earlier call, or mmdebstrap just now."""
SUITE = "bookworm"
KEPT_FOR_S = 7 * 86400.0
"""An older archive is made again: its packages have been superseded."""
_MAKING_S = 900.0
AUTHORITIES = Path("/usr/local/share/ca-certificates")
_LEFT_OUT = ("/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/doc/*")
_KEPT = ("/usr/share/doc/*/copyright", "/usr/share/locale/locale.alias")
_CHANGES = ['CMD ["bash"]', "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
"""As in Docker's own image of that name; an import has neither by itself."""


def base_ready(engine: Engine, progress: Callable[[str], None], *, anew: bool = False) -> Origin:
    """Have BASE in the engine. `anew`: make it now, whatever is there. LabUnavailable with what is missing."""
    if not anew:
        if has(engine, BASE):
            return "there"
        try:
            pulled(engine, BASE, progress)
            return "pulled"
        except LabUnavailable as error:
            refused = str(error).partition("; `chaoskit image base`")[0]
    else:
        refused = ""
    directory = make_private(state_directory() / "images")
    archive = directory / f"base-{_key()}.tar"
    with _alone(directory / "base.lock"):
        kept = not anew and archive.is_file() and time.time() - archive.stat().st_mtime < KEPT_FOR_S
        if kept:
            progress(f"{BASE} was made before, and is put into the engine")
        else:
            _make(archive, refused, progress)
        _put(engine, archive)
    return "kept" if kept else "made"


def _key() -> str:
    """The same for the same image: an archive that was made in another way is not taken."""
    parts = [*_mmdebstrap("ARCHIVE"), *(f"{file.name} {file.read_text(encoding='utf-8')}" for file in _authorities())]
    return sha256("\0".join(parts).encode()).hexdigest()[:16]


def _authorities() -> list[Path]:
    return sorted(AUTHORITIES.glob("*.crt"))


def _mmdebstrap(archive: str) -> list[str]:
    command = ["mmdebstrap", "--quiet", "--variant=minbase"]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    command += [f"--dpkgopt=path-include={pattern}" for pattern in _KEPT]
    if files := _authorities():
        command += [
            f'--customize-hook=mkdir -p "$1{AUTHORITIES}"',
            f"--customize-hook=copy-in {' '.join(map(str, files))} {AUTHORITIES}",
        ]
    return [*command, SUITE, archive]


def _make(archive: Path, refused: str, progress: Callable[[str], None]) -> None:
    """Have mmdebstrap make the archive; `refused`: why it is not simply pulled."""
    because = f"{refused}; to make it here" if refused else "to make it"
    if shutil.which("mmdebstrap") is None:
        raise LabUnavailable(f"{because} takes mmdebstrap, which is not installed: apt-get install mmdebstrap")
    progress(f"making {BASE} with mmdebstrap from Debian's packages; half a minute or so")
    partial = archive.with_suffix(".partial.tar")
    command = _mmdebstrap(str(partial))
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=_MAKING_S)
        if done.returncode != 0:
            raise LabUnavailable(f"mmdebstrap could not make {BASE}: exit code {done.returncode}", _last(done.stderr))
        partial.replace(archive)
    except subprocess.TimeoutExpired:
        raise LabUnavailable(f"mmdebstrap did not end within {_MAKING_S:g} s: is Debian's mirror reached from here?") from None
    finally:
        partial.unlink(missing_ok=True)


def _last(said: str, lines: int = 25) -> str:
    return "\n".join(said.splitlines()[-lines:])


def _put(engine: Engine, archive: Path) -> None:
    repository, _, tag = BASE.partition(":")
    with told(f"{BASE} could not be put into the engine"):
        said = engine.client.api.import_image(src=str(archive), repository=repository, tag=tag, changes=_CHANGES)
    if not has(engine, BASE):  # what goes wrong while it reads is told in the answer, whose status was sent before
        raise LabUnavailable(f"{BASE} could not be put into the engine", _last(str(said)))


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One at a time: two would make the same archive. The kernel drops the lock with its holder."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def said_of(origin: Origin) -> str:
    """For people: what happened."""
    return {
        "there": f"{BASE} is there already; nothing was done (--force makes it anew)",
        "pulled": f"{BASE} was pulled",
        "kept": f"{BASE} was put into the engine, from the archive of an earlier call (--force makes it anew)",
        "made": f"{BASE} is made",
    }[origin]
