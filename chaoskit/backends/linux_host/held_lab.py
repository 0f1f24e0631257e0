"""A lab that a holder on this machine holds, as the engine sees it."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from chaoskit.backends.linux_host import acts, client, rewiring
from chaoskit.backends.linux_host.state import LabFiles, processes_of, wait_until_gone
from chaoskit.backends.linux_host.wire import Refused, unpacked
from chaoskit.linux import nft
from chaoskit.model.errors import LabGone, LabUnavailable, StepFailed
from chaoskit.model.facts import (
    Connection,
    DiskErrorsQuery,
    DroppedQuery,
    ExecQuery,
    LinkQuery,
    ProcessInfo,
    Query,
    Reading,
    VolumeSpeedQuery,
)
from chaoskit.model.files import FileState
from chaoskit.model.history import Event
from chaoskit.model.lab import LabPlan
from chaoskit.model.steps import Exec, Performed, Step

_OUTPUT_KEPT = 4096


class HeldLab:
    """A lab that is up. Any thread may call it. Also a dead man (`arm`, `disarm`)."""

    def __init__(self, files: LabFiles, plan: LabPlan, lab_id: str) -> None:
        self.lab_id, self.plan = lab_id, plan
        self._files = files
        self._wiring = plan
        """The plan with the cables as they are; `plan` is what was planned."""
        self._next_event = 0
        self._down = threading.Lock()

    def _ask(self, message: dict[str, Any], *, fds: Sequence[int] = (), within_s: float = 10.0) -> dict[str, Any]:
        try:
            return client.request(self._files.directory, message, fds=fds, within_s=within_s)
        except Refused as refusal:
            raise StepFailed(str(refusal), refusal.evidence) from refusal
        except LabUnavailable as gone:
            if not processes_of(self.lab_id, self._files.family):
                raise LabGone(f"lab {self.lab_id} is gone: {gone}") from gone
            raise StepFailed(str(gone)) from gone

    def _act(self, step: Step) -> dict[str, Any]:
        try:
            return acts.act(self._wiring, step)
        except Refused as refusal:
            raise StepFailed(str(refusal), refusal.evidence) from refusal

    def perform(self, step: Step) -> Performed:
        within_s = step.timeout_s if isinstance(step, Exec) else 30.0
        answer = self._ask({"op": "act", "act": self._act(step)}, within_s=within_s)
        return Performed(step=step, began_ns=answer["began_ns"], ended_ns=answer["ended_ns"], output=answer["output"])

    def read(self, query: Query) -> Reading:
        try:
            asked = acts.question(self._wiring, query)
        except Refused as refusal:
            raise StepFailed(str(refusal), refusal.evidence) from refusal
        within_s = query.timeout_s if isinstance(query, ExecQuery) else 10.0
        within_s += 2 * query.delay_s if isinstance(query, LinkQuery) else 0.0
        answer = self._ask({"op": "ask", "query": asked}, within_s=within_s)
        if isinstance(query, DroppedQuery):
            return Reading(number=nft.dropped(query.tag, unpacked(answer["dump"])), at_ns=answer["at_ns"])
        if isinstance(query, LinkQuery) and "felt" in answer:
            return Reading(value=query.judged(answer["felt"]), number=answer["felt"], at_ns=answer["at_ns"])
        if "owners" in answer:
            return rewiring.owners_reading(self._wiring, answer)
        if isinstance(query, ExecQuery):
            return Reading(number=answer["code"], value=answer["output"][:_OUTPUT_KEPT], at_ns=answer["at_ns"])
        if isinstance(query, VolumeSpeedQuery | DiskErrorsQuery) and "value" not in answer:
            return Reading(value=query.judged(answer["number"]), number=answer["number"], at_ns=answer["at_ns"])
        file = FileState(**answer["file"]) if "file" in answer else None
        return Reading(
            file=file,
            value=answer.get("value") if file is None else file.fingerprint,
            number=answer.get("number"),
            data=answer.get("data", ""),
            connections=tuple(Connection(**fields) for fields in answer.get("connections", ())),
            processes=tuple(ProcessInfo(**fields) for fields in answer.get("processes", ())),
            at_ns=answer["at_ns"],
        )

    def spawn(self, name: str, node: str | None, argv: Sequence[str], log: Path) -> HeldAgent:
        stdin_reader, stdin_writer = os.pipe()
        stdout_reader, stdout_writer = os.pipe()
        log.parent.mkdir(parents=True, exist_ok=True)
        errors = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        given = [stdin_reader, stdout_writer, errors]
        wanted = {"op": "agent_start", "node": node, "argv": list(argv), "env": dict(os.environ), "directory": os.getcwd()}
        try:
            answer = self._ask(wanted, fds=given)
        except BaseException:
            os.close(stdin_writer)
            os.close(stdout_reader)
            raise
        finally:
            for fd in given:
                os.close(fd)
        return HeldAgent(name, answer["agent"], self._ask, stdin_writer, stdout_reader)

    def inside(self) -> Path | None:
        return self._files.directory / "inside"

    def events(self) -> Sequence[Event]:
        answer = self._ask({"op": "events", "after": self._next_event})
        self._next_event = answer["next"]
        return [Event(**fields) for fields in answer["events"]]

    def status(self) -> dict[str, str]:
        """Node -> up | frozen | off."""
        return dict(self._ask({"op": "status"})["nodes"])

    def arm(self, debt_id: str, heal: Sequence[Step], deadline_s: float) -> None:
        acts = [self._act(step) for step in heal]
        self._ask({"op": "arm", "debt": debt_id, "heal": acts, "deadline_s": deadline_s})

    def disarm(self, debt_id: str) -> None:
        self._ask({"op": "disarm", "debt": debt_id})

    def down(self) -> None:
        with self._down:
            with suppress(LabUnavailable, Refused):
                client.request(self._files.directory, {"op": "down"})
            left = self._left()
            if left:
                raise LabUnavailable(f"lab {self.lab_id} could not be ended", "\n".join(left))

    def _left(self) -> Sequence[str]:
        """What is there yet of a lab that was told to end, once it had its time."""
        return wait_until_gone(self._files)


class HeldAgent:
    """A process of chaoskit's own in a node's network."""

    def __init__(self, name: str, pid: int, ask: Any, stdin: int, stdout: int) -> None:
        self.name = name
        self._pid, self._ask = pid, ask
        self._stdin: int | None = stdin
        self._stdout: int | None = stdout
        self._partial = b""
        self._code: int | None = None
        os.set_blocking(stdout, False)

    def lines(self) -> Sequence[str]:
        if self._stdout is None:
            return ()
        data = [self._partial]
        while True:
            try:
                part = os.read(self._stdout, 1 << 16)
            except BlockingIOError:
                break
            if not part:
                os.close(self._stdout)
                self._stdout = None
                break
            data.append(part)
        *whole, self._partial = b"".join(data).split(b"\n")
        return [line.decode("utf-8", "replace") for line in whole]

    def tell(self, line: str) -> None:
        try:
            if self._stdin is None:
                raise BrokenPipeError("its standard input is closed")
            os.write(self._stdin, line.rstrip("\n").encode() + b"\n")
        except OSError as error:
            raise StepFailed(f"agent {self.name} has ended: {error}") from error

    def exit_code(self) -> int | None:
        if self._code is None:
            self._code = self._ask({"op": "agent_wait", "agent": self._pid, "timeout_s": 0})["code"]
        return self._code

    def _wait(self, timeout_s: float) -> int | None:
        if self._code is None:
            wanted = {"op": "agent_wait", "agent": self._pid, "timeout_s": timeout_s}
            self._code = self._ask(wanted, within_s=timeout_s)["code"]
        return self._code

    def stop(self, timeout_s: float) -> int:
        if self._stdin is not None:
            os.close(self._stdin)
            self._stdin = None
        for signal, patience_s in (("", timeout_s), ("TERM", min(timeout_s, 2.0)), ("KILL", 5.0)):
            if signal:
                self._ask({"op": "agent_signal", "agent": self._pid, "signal": signal})
            code = self._wait(patience_s)
            if code is not None:
                return code
        raise StepFailed(f"agent {self.name} outlives SIGKILL")

    def __del__(self) -> None:
        for fd in (self._stdin, self._stdout):
            if fd is not None:
                with suppress(OSError):
                    os.close(fd)
