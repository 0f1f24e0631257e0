"""Which processes are meant, as data."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import field_validator, model_validator

from chaoskit.model.record import Record


class ProcessCriteria(Record):
    """Which processes of a node. Several keys narrow each other down."""

    name: str | None = None
    """The kernel's name of the process (comm), such as postgres."""
    pattern: str | None = None
    """A regular expression searched for in the command line."""
    pid_file: str | None = None
    """A file in the node whose first number is the process."""
    port: int | None = None
    """A TCP port it listens on."""
    service: str | None = None
    """A service of the lab: its main process and all its descendants."""
    which: Literal["all", "oldest", "newest"] = "all"
    """Of those that match. For a daemon that forks workers, `oldest` is the one in charge."""

    @field_validator("pattern")
    @classmethod
    def _pattern_compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from None
        return pattern

    @model_validator(mode="after")
    def _names_something(self) -> ProcessCriteria:
        if not any((self.name, self.pattern, self.pid_file, self.port, self.service)):
            raise ValueError("name the process by one of: name, pattern, pid_file, port, service")
        return self

    def __str__(self) -> str:
        said = self.model_dump(exclude_none=True, exclude={"which"})
        return ("" if self.which == "all" else f"the {self.which} with ") + ", ".join(f"{k} {v}" for k, v in said.items())
