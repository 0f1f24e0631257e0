"""What this machine and its engine let a lab of containers do."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from chaoskit.backends.docker import engine, first_process
from chaoskit.backends.linux_host.survey import EVERYTHING, take_survey
from chaoskit.model import capability as names
from chaoskit.model.capability import Capability, Survey
from chaoskit.model.errors import LabUnavailable
from chaoskit.model.lab import LabSpec

_NOT_YET = {
    names.PACKAGES_DEBIAN: "packages belong into the image: name an `image:` or a `build:` folder with a Dockerfile",
}
MODE = "local engine"


def surveyed(backend: str, lab: LabSpec) -> Survey:
    """As on a lab of namespaces, whose faults these are, but for what containers do not have. Starts nothing."""
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(why_not)
        here = take_survey(backend, lab)  # a process of its own: the engine answers meanwhile
        why = asked.result()
    if why:
        found = tuple(Capability(name=name, present=False, reason=why) for name in (*EVERYTHING, names.CONTAINER_IMAGE))
        return Survey(backend=backend, mode="", programs="image", capabilities=found)
    lacking = {name: Capability(name=name, present=False, reason=reason) for name, reason in _NOT_YET.items()}
    offered = (*here.capabilities, Capability(name=names.CONTAINER_IMAGE, present=True))
    can = tuple(lacking.get(c.name, c) for c in offered)
    return Survey(backend=backend, mode=MODE, programs="image", capabilities=can)


def why_not() -> str:
    """ "" where labs of containers can be built here, else why not and what to do."""
    if why := why_not_by_us():
        return why
    try:
        found = engine.opened()
        try:
            return engine.why_not_here(found)
        finally:
            found.close()
    except LabUnavailable as error:
        return str(error)


def why_not_by_us() -> str:
    """The same, whatever engine there is."""
    if os.geteuid() != 0:
        return "chaoskit must be root to act on containers' namespaces"
    if os.uname().machine != first_process.MACHINE:
        return f"the first process of containers is written for {first_process.MACHINE}, this is {os.uname().machine}"
    return ""
