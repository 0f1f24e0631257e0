"""What may be done to containers that run already."""

from __future__ import annotations

import os

from chaoskit.backends.docker import engine
from chaoskit.backends.linux_host.survey import EVERYTHING, take_survey
from chaoskit.model import capability as names
from chaoskit.model.capability import Capability, Survey
from chaoskit.model.errors import LabUnavailable
from chaoskit.model.lab import LabSpec

_VOLUMES = "the volumes of a container that runs are not chaoskit's: a lab of its own has volumes that can fail"
_REFUSED = {
    names.NETWORK_REJECT: "on bridges of others packets are dropped, not answered: leave `reject` out",
    names.NETWORK_ADDRESS: "the engine hands out the addresses of containers",
    names.NETWORK_FORWARDING: "the engine's machine is the router between its bridges",
    names.NETWORK_ANSWER: "on bridges of others nobody is answered for",
    names.SERVICE_CONTROL: "what runs in a container is its own: use node.crash, node.power_off or process faults",
    names.VOLUME_LOSE_UNSYNCED: _VOLUMES,
    names.VOLUME_FAIL: _VOLUMES,
    names.VOLUME_PROGRAM: _VOLUMES,
    names.PACKAGES_DEBIAN: "nothing is installed in a container that runs",
}
MODE = "containers of others"


def surveyed(backend: str, lab: LabSpec) -> Survey:
    """As on other labs of this machine, but for what is the containers' own. Starts nothing."""
    if why := why_not():
        found = tuple(Capability(name=name, present=False, reason=why) for name in EVERYTHING)
        return Survey(backend=backend, mode="", programs="image", capabilities=found)
    refused = dict(_REFUSED)
    running = [spec for group in lab.nodes.values() for spec in group.running]
    if passing := [spec.name for spec in running if spec.removed_when_ended]:
        refused[names.NODE_POWER] = f"{', '.join(passing)}: started with --rm, so that nothing could be started again"
    lacking = {name: Capability(name=name, present=False, reason=reason) for name, reason in refused.items()}
    frozen = Capability(name=names.NODE_FREEZE, present=True, reason="by the engine's pause")
    here = take_survey(backend, lab).capabilities
    can = tuple(frozen if c.name == names.NODE_FREEZE else lacking.get(c.name, c) for c in here)
    return Survey(backend=backend, mode=MODE, programs="image", capabilities=can)


def why_not() -> str:
    """ "" where containers of this machine can be broken, else why not and what to do."""
    if os.geteuid() != 0:
        return "chaoskit must be root to act on containers' namespaces"
    try:
        found = engine.opened()
        try:
            return engine.why_not_here(found)
        finally:
            found.close()
    except LabUnavailable as error:
        return str(error)
