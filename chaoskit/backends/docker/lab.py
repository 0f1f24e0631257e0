"""A lab of containers as the engine of experiments sees it."""

from __future__ import annotations

from collections.abc import Sequence

from chaoskit.backends.docker.leaving import removed, still_there
from chaoskit.backends.linux_host.held_lab import HeldLab
from chaoskit.backends.linux_host.state import processes_of, wait_until_gone


class DockerLab(HeldLab):
    """A lab whose nodes are containers of an engine on this machine."""

    def _left(self) -> Sequence[str]:
        url = self._files.read().get("engine")
        if not processes_of(self.lab_id, self._files.family):
            removed(self.lab_id, url)  # its holder was killed: nobody else gives the containers back, and they hold the volumes
        left = wait_until_gone(self._files)
        if not still_there(self.lab_id, url):
            return left
        trouble = removed(self.lab_id, url)
        return [*trouble, *wait_until_gone(self._files), *still_there(self.lab_id, url)]
