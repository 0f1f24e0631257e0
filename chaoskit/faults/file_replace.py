from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import ClassVar

from pydantic import Field, model_validator

from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import FileQuery
from chaoskit.model.files import MOST_BYTES, FileState, HostFile
from chaoskit.model.lab import LabSpec
from chaoskit.ports.fault import Scene
from chaoskit.ports.file_fault import FileChangeFault


class FileReplace(FileChangeFault):
    """Replace the content of a file of a node by another file's: the wrong version of a configuration, a script or a library.

    The content is written in the experiment, comes from a file beside it, or from a node of the lab. Owner, mode and extended
    attributes stay; the modification time is that of the replacement. The file is replaced in one act: who has it open keeps
    the old one. A symbolic link is followed: its target is replaced, the link stays. The heal puts it back to the byte, with
    owner, mode, extended attributes and modification time, and starts the lab's services that ran on the node and have ended
    since. Files of up to 1 MiB.
    """

    NAME = "file.replace"
    OUTAGE = (
        "the wrong version of a configuration rolled out, one host's file copied onto another, an old one restored from a backup"
    )
    EXAMPLE: ClassVar = {
        "inject": "file.replace",
        "target": {"role": "primary"},
        "with": {"path": "/etc/hosts", "content": "198.18.0.99 db1\n"},
        "at": "10s",
        "for": "30s",
    }

    content: str | None = None
    """The text itself."""
    file: HostFile | None = None
    """A file of this machine, its path as seen from the experiment file. It is read when the experiment is loaded."""
    from_node: str | None = None
    """A node of the lab whose file is taken, as it is at the instant of the injection."""
    from_path: str | None = Field(default=None, pattern="^/")
    """Absolute path of what is taken, on `from_node` or on the target itself; left out: `path`."""

    @model_validator(mode="after")
    def _comes_from_one_place(self) -> FileReplace:
        given = [self.content is not None, self.file is not None, (self.from_node or self.from_path) is not None]
        if sum(given) != 1:
            raise ValueError("say where the content comes from, once: content, file, or from_node and from_path")
        return self

    def misfits(self, lab: LabSpec, nodes: Sequence[str]) -> Iterator[str]:
        if self.from_node is None:
            return
        if self.from_node not in lab.node_names():
            yield f"there is no node {self.from_node!r} to take a file from; nodes: {', '.join(lab.node_names())}"
        elif tuple(nodes) == (self.from_node,) and self.from_path in (None, self.path):
            yield f"{self.path} of {self.from_node} cannot be replaced by itself; name another from_node or a from_path"

    def _changed(self, scene: Scene, node: str, before: FileState, tag: str) -> FileState:
        if self.file is not None:
            data, stands_for = base64.b64decode(self.file.content), ""
        elif self.content is not None:
            data, stands_for = self.content.encode(), ""
        else:
            source, path = self.from_node or node, self.from_path or self.path
            reading = scene.read(FileQuery(node=source, path=path))
            taken = reading.file
            if taken is None:
                raise StepFailed(f"{path} on {source} cannot be taken: it is {reading.value}")
            data, stands_for = taken.data, f"{path} of {source}, {taken.stands_for}" if taken.stands_for else ""
        if len(data) > MOST_BYTES:
            raise StepFailed(f"the content for {self.path} is larger than {MOST_BYTES} bytes")
        return before.changed(data).model_copy(update={"stands_for": stands_for})
