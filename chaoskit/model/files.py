"""A file of a node as it was found or is to be: content, owner and mode, complete enough to put it back."""

from __future__ import annotations

import base64
from hashlib import sha256

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from chaoskit.model.record import Record

MOST_BYTES = 1 << 20
"""Larger files are neither read nor written: their content travels in steps and lies in the undo journal."""


class HostFile(Record):
    """A file of this machine, written in an experiment as its path; whoever loads the experiment adds what it holds."""

    path: str
    """As seen from the experiment file."""
    content: str
    """Base64."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "description": "the path of a file, as seen from the experiment file"}


class FileState(Record):
    """One regular file."""

    path: str
    """Absolute, in the node, every symbolic link resolved."""
    content: str
    """Base64."""
    mode: int
    """Permission bits, set-id and sticky bits included."""
    user_id: int
    group_id: int
    mtime_ns: int | None = None
    """Nanoseconds since 1970. None: whenever it is written."""
    xattrs: dict[str, str] = {}
    """Extended attributes (ACLs and capabilities among them) -> value in base64."""
    stands_for: str = ""
    """In a plan only: what it will be, in words, where nobody knows its content before the run."""

    @property
    def data(self) -> bytes:
        return base64.b64decode(self.content)

    @property
    def fingerprint(self) -> str:
        """Content, mode and owner as one word: what a FileQuery reads."""
        if self.stands_for:
            return f"{self.stands_for} mode {self.mode:04o} owner {self.user_id}:{self.group_id}"
        digest = sha256(self.data).hexdigest()[:16]
        return f"sha256:{digest} mode {self.mode:04o} owner {self.user_id}:{self.group_id}"

    def changed(self, data: bytes) -> FileState:
        """The same file with another content, written whenever it is written."""
        return self.model_copy(update={"content": base64.b64encode(data).decode(), "mtime_ns": None})
