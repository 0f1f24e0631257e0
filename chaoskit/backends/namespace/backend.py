"""The namespace backend: labs without a daemon, as root or rootless."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from chaoskit.backends.linux_host import client, state
from chaoskit.backends.linux_host.building import claimed, found_plan, leftover, start_holder, swept
from chaoskit.backends.linux_host.state import LabFiles
from chaoskit.backends.linux_host.survey import take_survey
from chaoskit.backends.namespace import blueprint
from chaoskit.backends.namespace.image import package_image
from chaoskit.backends.namespace.lab import NamespaceLab
from chaoskit.model.capability import Survey
from chaoskit.model.lab import LabPlan, LabSpec
from chaoskit.ports.lab import Leftover

_HOLDER = "chaoskit.backends.namespace.holder"
_BUILD_S = 60.0


class NamespaceBackend:
    """Labs in Linux namespaces: no daemon, nothing on the host changed, everything gone with one process."""

    name = "namespace"

    def survey(self, lab: LabSpec) -> Survey:
        return take_survey(self.name, lab)

    def up(
        self, plan: LabPlan, lab_id: str, run_id: str, logs: Path, *, detached: bool, progress: Callable[[str], None]
    ) -> NamespaceLab:
        files, logs = LabFiles(lab_id), logs.absolute()
        with claimed(files, plan, run_id, logs, self.sweep, detached=detached) as record:
            image = self._image(files, plan, progress) if plan.image.apt else None
            # the holder needs the standard library and this package only, and starts sooner without the rest (-S)
            with start_holder(files, record, _HOLDER, "-S") as ours:
                drawn = blueprint.blueprint(plan, lab_id, run_id, files.directory, logs, image)
                client.send(ours, {"op": "boot", "blueprint": drawn})
                client.final_answer(ours, lab_id, float(plan.ready.within) + _BUILD_S, progress)
        return NamespaceLab(files, plan, lab_id)

    def _image(self, files: LabFiles, plan: LabPlan, progress: Callable[[str], None]) -> Path:
        """The lab's own name for the package image: its loop device can then be told from other labs'."""
        made = package_image(state.state_directory() / "images", plan.image.apt, progress)
        linked = files.directory / "image.ext4"
        os.link(made, linked)
        return linked

    def attach(self, lab_id: str) -> NamespaceLab:
        files = LabFiles(lab_id)
        return NamespaceLab(files, found_plan(files), lab_id)

    def leftovers(self) -> Sequence[Leftover]:
        known = {*state.labs_on_disk(), *state.labs_in_cgroups(), *state.labs_in_processes()}
        return [leftover(self.name, LabFiles(lab_id)) for lab_id in sorted(known)]

    def sweep(self, lab_id: str) -> Sequence[str]:
        trouble = state.kill_processes(lab_id)
        return [*trouble, *swept(LabFiles(lab_id))]
