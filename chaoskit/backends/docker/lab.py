"""A lab of containers as the engine of experiments sees it."""

from __future__ import annotations

from collections.abc import Sequence

from chaoskit.backends.docker.leaving import still_there
from chaoskit.backends.linux_host.held_lab import HeldLab
from chaoskit.backends.linux_host.state import wait_until_gone


class DockerLab(HeldLab):
    """A lab whose nodes are containers of an engine on this machine."""

    def _left(self) -> Sequence[str]:
        record = self._files.read()
        return [*wait_until_gone(self._files), *still_there(self.lab_id, record.get("engine"))]
