from __future__ import annotations

from typing import ClassVar

from chaoskit.model.capability import FILE_EDIT, Need
from chaoskit.model.steps import RemoveFile, Step
from chaoskit.ports.fault import Facts
from chaoskit.ports.file_fault import FileFault


class FileDelete(FileFault):
    """Delete a file of a node. Who has it open keeps it; who opens it next finds nothing.

    A symbolic link is followed: its target is deleted, the link stays and points to nothing. The heal puts back content, owner,
    mode, extended attributes and modification time, and starts the lab's services that ran on the node and have ended since.
    Regular files of up to 1 MiB; directories are refused.
    """

    NAME = "file.delete"
    OUTAGE = "an operator's rm, a clean-up job that takes too much, a package upgrade that removes a configuration file"
    BECOMES = "deleted"
    EXAMPLE: ClassVar = {
        "inject": "file.delete",
        "target": {"role": "primary"},
        "with": {"path": "/etc/hosts"},
        "at": "10s",
        "for": "30s",
    }

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=FILE_EDIT, why="to read, remove and write files inside the node"),)

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(RemoveFile(node=node, path=facts.files[node].path) for node in facts.nodes)

    def _in_force(self, facts: Facts, node: str) -> str:
        return "absent"
