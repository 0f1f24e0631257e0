"""The machine of an engine that is reached over the network: commands are carried out there, in a helper container."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import IO

from chaoskit.backends.docker import contexts, engine
from chaoskit.backends.docker.elsewhere import layout, parcel
from chaoskit.backends.docker.elsewhere.helper_container import Helper, There, command
from chaoskit.backends.docker.elsewhere.helper_image import image_is_there
from chaoskit.backends.docker.elsewhere.layout import OrderJson
from chaoskit.backends.docker.elsewhere.listening import Listening
from chaoskit.backends.docker.engine import told
from chaoskit.model.errors import LabUnavailable, OutOfReach
from chaoskit.ports.elsewhere import Ended, Errand, Hear, Unfinished

_LEAVING_S = 8
"""How long the question may take whether anybody still needs the helper."""
_HEALS = (
    "it goes on there and heals by itself. Once the engine answers again, `chaoskit recover` with the same DOCKER_HOST heals "
    "what is left, and fetches what was recorded"
)


def client_id() -> str:
    """Whose errands these are: this machine's user's. Those of others are neither fetched nor healed from here."""
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except OSError:
        machine = os.uname().nodename
    return sha256(f"{machine}\0{os.getuid()}".encode()).hexdigest()[:12]


class EngineMachine:
    """Implements `ports.elsewhere.Elsewhere`. A context: it closes its connections."""

    def __init__(self, which: contexts.Meant) -> None:
        self._which = which
        self._there = There.named()
        self._visitor = secrets.token_hex(6)
        self._opened: list[engine.Engine] = []
        self._known: Helper | None = None
        self.where = which.named

    def __enter__(self) -> EngineMachine:
        return self

    def __exit__(self, *error: object) -> None:
        for one in self._opened:
            one.close()

    def _engine(self, *, patient: bool = False) -> engine.Engine:
        """`patient`: for answers that may take their time, such as what a long run says."""
        waits_s = None if patient else engine.TIMEOUT_S
        made = self._opened[0].again(waits_s) if self._opened else engine.opened(waits_s=waits_s)
        self._opened.append(made)
        return made

    def _helper(self) -> Helper:
        if self._known is None:
            self._known = Helper(self._engine(), self._there, self._visitor)
        return self._known

    def _ready(self, progress: Callable[[str], None] = lambda _: None) -> Helper:
        """The helper; it runs."""
        helper = self._helper()
        if not helper.id:
            patient = Helper(self._engine(patient=True), self._there, self._visitor)  # an image takes its time
            patient.ready(progress)
            helper.id = patient.id
        return helper

    def prepared(self) -> bool:
        return image_is_there(self._engine())

    def used(self) -> bool:
        return bool(self._helper().all())

    def ready(self, progress: Callable[[str], None]) -> None:
        self._ready(progress)

    def carried_out(self, errand: Errand, hear: Hear, signals: Iterator[int]) -> Ended:
        made = time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + secrets.token_hex(3)
        record = f"{self._there.state}/{layout.ERRANDS}/{made}/{layout.RECORD}"
        told_where = {"": (), "run": ("--out", f"{record}/{layout.RUN}"), "folder": ("--reports", record)}
        order = OrderJson(
            words=list(errand.words),
            recording=list(told_where[errand.records]),
            folder=str(errand.folder),
            roots=[str(path) for path in parcel.roots(errand.places, self._there.state)],
            client=client_id(),
            records=errand.records,
            reports=str(errand.reports or ""),
            out=str(errand.out or ""),
            stays=errand.stays,
        )
        with parcel.packed(made, order, errand.reports, errand.written) as archive:
            helper = self._taken(archive)
            code = self._listened(helper, made, (), errand.variables, hear, signals)
            if code == layout.GONE:  # another chaoskit has said that this helper is needed no more
                helper.forget()
                helper = self._taken(archive)
                code = self._listened(helper, made, (), errand.variables, hear, signals)
        return self._closed(helper, made, order, code)

    def _taken(self, archive: IO[bytes]) -> Helper:
        """A helper that has the archive. One that another chaoskit removes meanwhile is replaced, once."""
        size = archive.seek(0, os.SEEK_END)
        for last in (False, True):
            helper = self._ready()
            archive.seek(0)
            try:
                helper.exchanged(("take", str(size)), lambda _: None, archive)
                break
            except LabUnavailable:
                if last or helper.is_there():
                    raise
                helper.id = ""
        return helper

    def _listened(
        self,
        helper: Helper,
        errand: str,
        words: Sequence[str],
        variables: Mapping[str, str],
        hear: Hear,
        signals: Iterator[int],
    ) -> int:
        asked = command("carry", errand, *([json.dumps(list(words))] if words else []))
        with told("the command cannot be started on the engine's machine"):
            made = helper.engine.client.api.exec_create(helper.id, asked, environment={**variables, **helper.visitor})

        def hand_on(number: int) -> bool:
            try:
                helper.asked("tell", errand, str(number))
            except LabUnavailable:
                return False
            return True

        try:
            return Listening(self._engine(patient=True), made["Id"], helper.engine, self._engine()).ended(hear, signals, hand_on)
        except OutOfReach as error:
            raise OutOfReach(f"{self.where}: {error}; {_HEALS}") from error

    def _closed(self, helper: Helper, errand: str, order: OrderJson, code: int) -> Ended:
        """Bring back what an errand recorded, and forget it, unless something of it goes on."""
        if not order["records"]:
            helper.asked("clear", errand)
            return Ended(code=code)
        held = next((one["held"] for one in helper.look()["errands"] if one["id"] == errand), False)
        if held and order["stays"]:
            return Ended(code=code)
        brought, died = self._fetched(helper, errand, order)
        if not died and not held:
            helper.asked("clear", errand)
        return Ended(code=code, brought=tuple(brought), died=tuple(died))

    def _fetched(self, helper: Helper, errand: str, order: OrderJson) -> tuple[list[Path], list[str]]:
        with tempfile.TemporaryFile() as archive:
            helper.exchanged(("give", errand), archive.write)
            archive.seek(0)
            return parcel.unpacked(archive, errand, order)

    def unfinished(self) -> Sequence[Unfinished]:
        if not self.used():
            return ()
        helper = self._ready()
        return tuple(
            Unfinished(
                id=one["id"],
                words=tuple(one["order"]["words"]),
                running=one["running"] or (one["held"] and one["order"]["stays"]),
                stays=one["order"]["stays"],
            )
            for one in helper.look()["errands"]
            if one["order"]["client"] == client_id()
        )

    def fetched(self, left: Unfinished) -> Ended:
        helper = self._ready()
        if (order := self._order(helper, left)) is None:
            return Ended(code=0)  # another chaoskit fetched it meanwhile
        try:
            return self._closed(helper, left.id, order, 0)
        except LabUnavailable:
            if self._order(helper, left) is None:
                return Ended(code=0)
            raise

    def _order(self, helper: Helper, left: Unfinished) -> OrderJson | None:
        return next((one["order"] for one in helper.look()["errands"] if one["id"] == left.id), None)

    def recovered(self, left: Unfinished, hear: Hear, signals: Iterator[int]) -> Ended:
        helper = self._ready()
        order = self._order(helper, left)
        if order is None:
            return Ended(code=0)
        words = ("recover", f"{self._there.state}/{layout.ERRANDS}/{left.id}/{layout.RECORD}", "--json")
        code = self._listened(helper, left.id, words, {}, hear, signals)
        return self._closed(helper, left.id, order, code)

    def left(self) -> str:
        if not self._opened:
            return ""
        helper = self._helper()
        try:
            there = helper.all()
            helper.id = helper.id or next((one["Id"] for one in there if one["State"] == "running"), "")
            if not there or not helper.id:
                return ""
            briefly = Helper(self._opened[0].again(_LEAVING_S), self._there, self._visitor)
            briefly.id = helper.id
            if briefly.asked("leave").strip() == "true":
                helper.remove_all()
        except LabUnavailable as error:
            # another chaoskit may have said so at the same time, and have removed it under this one's question
            return f"the helper container stays at {self.where}: {error}" if self._still_there(helper) else ""
        return ""

    def _still_there(self, helper: Helper) -> bool:
        try:
            return helper.is_there()
        except LabUnavailable:
            return True
