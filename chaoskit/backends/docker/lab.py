"""A lab of containers as the engine of experiments sees it."""

from __future__ import annotations

from collections.abc import Sequence

from chaoskit.backends.docker.leaving import removed, still_there
from chaoskit.backends.linux_host.held_lab import HeldLab
from chaoskit.backends.linux_host.state import processes_of, thaw_volumes, wait_until_gone


class DockerLab(HeldLab):
    """A lab whose nodes are containers of an engine on this machine."""

    def _left(self) -> Sequence[str]:
        url = self._files.read().get("engine")

        def containers() -> list[str]:
            return still_there(self.lab_id, url)

        if not processes_of(self.lab_id, self._files.family):
            # its holder was killed: nobody else gives the containers back, and they hold the volumes, which may hang
            thaw_volumes(self._files)
            removed(self.lab_id, url)
        left = wait_until_gone(self._files, containers)
        if not left:
            return left
        removed(self.lab_id, url)
        return wait_until_gone(self._files, containers)
