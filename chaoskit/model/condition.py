"""Conditions on the cluster while a method runs: what an action waits for (`when`), or is held until (`until`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, field_validator, model_validator

from chaoskit.model.record import Record
from chaoskit.model.units import Duration

ANYONE, ANYONE_ELSE, NOBODY = "anyone", "anyone_else", "nobody"
MOST_COMMAND_S = 10.0


class LogLine(Record):
    """A line in the log of one of the lab's services."""

    service: str
    """Whose log."""
    says: str = Field(min_length=1)
    """A regular expression searched for in each new line."""
    node: str | None = None
    """Only on this node; on any where left out."""

    @field_validator("says")
    @classmethod
    def _compiles(cls, says: str) -> str:
        try:
            re.compile(says)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return says


class Probe(Record):
    """A command that is run, or a page that is asked for, again and again. Give one of `command` and `http`."""

    command: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Program and arguments; no shell. It should only read. Exit code 0 is yes."""
    http: str | None = None
    """A URL. A status of 2xx is yes; another one, or no answer, is no. In a node, host names are those of the lab's nodes."""
    node: str | None = Field(default=None, validation_alias=AliasChoices("on", "node"), serialization_alias="on")
    """The node it runs in, or is asked from; on the machine that chaoskit runs on, in the run directory, where left out."""
    every: Duration = Duration(1.0)
    """From the end of one to the start of the next."""
    timeout: Duration = Duration(2.0)
    """At most 10s. One that is not done by then counts as failed. Nothing else is asked while one in a node runs."""

    @field_validator("timeout")
    @classmethod
    def _bounded(cls, timeout: Duration) -> Duration:
        if not 0 < timeout <= MOST_COMMAND_S:
            raise ValueError(f"more than 0 and at most {MOST_COMMAND_S:g}s, so that heals keep their time")
        return timeout

    @field_validator("http")
    @classmethod
    def _is_a_page(cls, url: str | None) -> str | None:
        if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
            raise ValueError("write a whole URL, such as http://db1:8008/health")
        return url

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Probe:
        if (self.command is None) == (self.http is None):
            raise ValueError("one of command and http")
        return self

    @property
    def yes(self) -> str:
        """What it does when the answer is yes."""
        return "exits with 0" if self.http is None else "answers with a status of 2xx"

    def __str__(self) -> str:
        what = self.http if self.command is None else repr(" ".join(self.command))
        return f"{what} {f'on {self.node}' if self.node else 'on this machine'}"


class Condition(Record):
    """Something that may happen, or hold. Give exactly one of `role`, `client`, `log`, `probe`, `file`, `all` and `any`."""

    role: str | None = None
    """A role of the lab, with `gained_by` or `held_by`."""
    gained_by: str | None = None
    """`anyone_else` than who held it when the wait began, `anyone` who did not hold it, or a node."""
    held_by: str | None = None
    """`nobody`, `anyone`, or a node."""
    client: str | None = None
    """A client of the experiment, with `is`."""
    state: Literal["down", "back"] | None = Field(
        default=None, validation_alias=AliasChoices("is", "state"), serialization_alias="is"
    )
    """`down`: its last attempts failed; `back`: they failed since the wait began, and succeed again for its window S."""
    log: LogLine | None = None
    """A line that a service writes to its log."""
    probe: Probe | None = None
    """A command that exits with 0, or a page that answers."""
    file: Annotated[str, Field(min_length=1)] | None = None
    """A file that is there on the machine chaoskit runs on; a relative one lies in the run directory. For triggers by hand."""
    all: Annotated[tuple[Condition, ...], Field(min_length=2)] | None = None
    """Several conditions: holds when each has happened since the wait began, or holds at that instant."""
    any: Annotated[tuple[Condition, ...], Field(min_length=2)] | None = None
    """Several conditions: holds as soon as one of them does."""
    lasting: Duration = Field(default=Duration(0), validation_alias=AliasChoices("for", "lasting"), serialization_alias="for")
    """How long it must hold without a break (`held_by`, `is: down`, `probe`, `file`)."""

    @model_validator(mode="after")
    def _is_one_thing(self) -> Condition:
        if sum(x is not None for x in (self.role, self.client, self.log, self.probe, self.file, self.all, self.any)) != 1:
            raise ValueError("one of role, client, log, probe, file, all and any")
        if self.file is not None and "\0" in self.file:
            raise ValueError("names no file")
        if self.role is not None and (self.gained_by is None) == (self.held_by is None):
            raise ValueError("with a role, give one of gained_by and held_by")
        if self.role is None and (self.gained_by or self.held_by):
            raise ValueError("gained_by and held_by belong to a role")
        if (self.client is None) != (self.state is None):
            raise ValueError("a client and what it is (is: down, or is: back) belong together")
        if self.lasting and self.parts:
            raise ValueError("for: belongs to each of the conditions within, where it can last")
        if self.lasting and (self.gained_by or self.state == "back" or self.log):
            raise ValueError("for: belongs to what can last: held_by, is: down, probe and file")
        return self

    @property
    def parts(self) -> tuple[Condition, ...]:
        """The conditions that it is made of; none where it is a single one."""
        return self.all or self.any or ()

    def singles(self) -> Iterator[Condition]:
        """Every single condition in it; itself where it is one."""
        if not self.parts:
            yield self
        for part in self.parts:
            yield from part.singles()

    def __str__(self) -> str:
        lasting = f" for {self.lasting}" if self.lasting else ""
        if self.parts:
            within = (f"({part})" if part.parts else str(part) for part in self.parts)
            return (" and " if self.all else " or ").join(within)
        if self.role is not None and self.gained_by is not None:
            who = {ANYONE: "a node that did not hold it", ANYONE_ELSE: "another node"}.get(self.gained_by, self.gained_by)
            return f"{who} gains the role {self.role}"
        if self.role is not None:
            return f"{ {ANYONE: 'a node'}.get(str(self.held_by), self.held_by) } holds the role {self.role}{lasting}"
        if self.client is not None:
            return f"the client {self.client} is {self.state}{lasting}"
        if self.log is not None:
            where = f" on {self.log.node}" if self.log.node else ""
            return f"the log of {self.log.service}{where} says {self.log.says!r}"
        if self.file is not None:
            return f"the file {self.file} is there{lasting}"
        return f"{self.probe} {self.probe.yes if self.probe else ''}{lasting}"
