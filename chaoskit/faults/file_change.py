from __future__ import annotations

import re
from hashlib import shake_128
from typing import Any, ClassVar

from pydantic import Field, field_validator, model_validator

from chaoskit.linux import procfs
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import FileQuery
from chaoskit.model.files import FileState
from chaoskit.ports.fault import Scene
from chaoskit.ports.file_fault import FileChangeFault

_LEAST_GARBAGE_BYTES = 64


class FileChange(FileChangeFault):
    """Change a file of a node: a wrong value, a lost line, garbage, a truncated file, a wrong owner or mode.

    The file is replaced in one act, so nobody reads half of a change. A symbolic link is followed: its target is changed, the
    link stays. The heal puts back content, owner, mode, extended attributes and modification time as they were, whatever
    happened to the file meanwhile, and starts the lab's services that ran on the node and have ended since. Files of up to
    1 MiB; their former content is kept in the run directory until the heal, and after it.
    """

    NAME = "file.change"
    OUTAGE = "a typing error in a configuration file, a bad roll-out of one, a half-written file, a restore with a wrong owner"
    EXAMPLE: ClassVar = {
        "inject": "file.change",
        "target": {"role": "primary"},
        "with": {"path": "/etc/hosts", "replace": "^198\\.18\\.", "by": "203.0."},
        "at": "10s",
        "for": "30s",
    }

    replace: str | None = None
    """A regular expression; every match becomes `by`. ^ and $ match at each line."""
    by: str = ""
    """May refer to groups of the match: \\1."""
    delete_line: str | None = None
    """A regular expression; lines that match it are removed."""
    garbage: bool = False
    """Bytes that mean nothing, as many as it had and at least 64."""
    truncate_to: int | None = Field(default=None, ge=0)
    """Only this many bytes are left."""
    owner: str | None = None
    """A user of the node, by name or number. The group stays."""
    mode: str | None = None
    """Permission bits in octal, such as "0600"."""

    @field_validator("replace", "delete_line")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern.encode(), re.MULTILINE)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from None
        return pattern

    @field_validator("mode")
    @classmethod
    def _octal(cls, mode: str | None) -> str | None:
        if mode is not None and not re.fullmatch("[0-7]{3,4}", mode):
            raise ValueError('write the permission bits in octal and quotes, such as "0600"')
        return mode

    @model_validator(mode="after")
    def _changes_one_thing(self) -> FileChange:
        edits = [self.replace is not None, self.delete_line is not None, self.garbage, self.truncate_to is not None]
        if sum(edits) > 1:
            raise ValueError("one change of content at a time: replace, delete_line, garbage or truncate_to")
        if not (any(edits) or self.owner or self.mode):
            raise ValueError("say what to change: replace, delete_line, garbage, truncate_to, owner or mode")
        return self

    def _changed(self, scene: Scene, node: str, before: FileState, tag: str) -> FileState:
        update: dict[str, Any] = {}
        if self.owner is not None:
            update["user_id"] = _user_id(scene, node, self.owner)
        if self.mode is not None:
            update["mode"] = int(self.mode, 8)
        if before.stands_for:  # in a plan
            return before.model_copy(update={**update, "stands_for": f"{before.stands_for}, changed as asked"})
        return before.changed(self._content(before.data, node, tag)).model_copy(update=update)

    def _content(self, data: bytes, node: str, tag: str) -> bytes:
        if self.garbage:
            return shake_128(f"{tag}/{node}".encode()).digest(max(len(data), _LEAST_GARBAGE_BYTES))
        if self.truncate_to is not None:
            return data[: self.truncate_to]
        if self.replace is None and self.delete_line is None:
            return data
        found = 0
        if self.replace is not None:
            data, found = re.subn(self.replace.encode(), self.by.encode(), data, flags=re.MULTILINE)
        elif self.delete_line is not None:
            lines = data.splitlines(keepends=True)
            left = [line for line in lines if not re.search(self.delete_line.encode(), line.rstrip(b"\r\n"))]
            data, found = b"".join(left), len(lines) - len(left)
        if not found:
            raise StepFailed(f"{self.path} on {node} has nothing that matches {self.replace or self.delete_line!r}")
        return data


def _user_id(scene: Scene, node: str, owner: str) -> int:
    if owner.isdigit():
        return int(owner)
    passwd = scene.read(FileQuery(node=node, path="/etc/passwd")).file
    accounts = procfs.accounts(passwd.data.decode("utf-8", "surrogateescape")) if passwd is not None else {}
    if owner not in accounts:
        raise StepFailed(f"{node} has no user {owner!r}")
    return accounts[owner].user_id
