"""From a lab's plan to what a holder of namespaces builds."""

from __future__ import annotations

import os
from pathlib import Path

from chaoskit.backends.linux_host.drawing import accounts_needed, drawn_lab, hosts_text
from chaoskit.backends.linux_host.wire import Blueprint
from chaoskit.backends.namespace import rootfs, trees
from chaoskit.backends.namespace.image import layer
from chaoskit.model.lab import LabPlan


def blueprint(plan: LabPlan, lab_id: str, run_id: str, directory: Path, logs: Path, image: Path | None = None) -> Blueprint:
    """Everything a holder needs, computed from the plan and from where this machine keeps its programs.

    `image`: the file of a package image, whose layers lie over the host's directories.
    """
    mountinfo = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    programs = trees.interpreter_directories()
    seen, hollow = trees.host_trees(mountinfo, programs), list[str]()
    if os.geteuid() != 0:
        seen, hollow = trees.around_mounts(seen, mountinfo, programs)
    path = ":".join(dict.fromkeys([*rootfs.SYSTEM_PATH.split(":"), f"{programs[0]}/bin"]))
    return {
        **drawn_lab(plan, lab_id, run_id, directory, logs, path),
        "hosts": hosts_text(plan),
        "trees": [{"path": tree, "lower": [*([layer(f"{directory}/image", tree)] if image else []), tree]} for tree in seen],
        "hollow": hollow,
        "links": trees.root_links(),
        "image": str(image or ""),
        "users": sorted(accounts_needed(plan)),
    }
