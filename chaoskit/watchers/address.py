"""Who has a floating address, seen on the wire: every announcement that passes the switch, and who answers when asked.

`python -m chaoskit.watchers.address CONFIG.json`, in the lab's own network, where the switch is. Standard input: `stop`, or its
end. Standard output: OwnersChanged, AddressAnnounced and AddressBeat.
Exit codes: 0 done, 2 the configuration is wrong, 3 the observations could not be recorded.

Two places see two things. The switch sees every announcement, also one that reaches nobody because the link behind it is cut.
Who would answer a client is seen from where clients are: so "who has it?" is asked in a node of the address's network, ten times
a second, and all answers count. Two of them are two owners.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from chaoskit.agents.lines import CommandReader, ReportWriter, log_line
from chaoskit.agents.spool import Spool
from chaoskit.model.errors import RecordingFailed
from chaoskit.model.record import Record
from chaoskit.ports.watcher import AddressAnnounced, AddressBeat, AddressWatchConfig, OwnersChanged, WatchedAddress
from chaoskit.watchers.namespaces import NodeNetworks, NodeOff
from chaoskit.watchers.process import run_watcher
from chaoskit.watchers.wire import (
    ADVERT,
    ANNOUNCEMENTS,
    ANSWERS,
    REPLIES,
    Claim,
    Echoes,
    Heard,
    WireSocket,
    answer,
    claims,
    question,
)

EVERY_NS = 100_000_000
ROUNDS_OPEN = 5
"""A round's answers are awaited for so many rounds; a later one is recorded all the same, as long as its asker is known."""
_ROUNDS_KNOWN = 32
_TELL_AGAIN_NS = 3_000_000_000
"""Gratuitous ARP comes in volleys; each volley is told once."""
_SILENT_NS = 5_000_000_000
"""Who has not advertised for so long begins anew."""
_BEAT_NS = 1_000_000_000
_FLUSH_WITHIN_S = 10.0


@dataclass(slots=True)
class _Round:
    """One question of one asker, under a hardware address of its own."""

    t_asked: int
    answered: dict[str, list[str]] = field(default_factory=dict)
    """Address -> owners."""
    closed: bool = False


class _Asker:
    """Asks from one node about the floating addresses of one of its networks."""

    def __init__(self, node: str, device: str, watched: list[WatchedAddress], networks: NodeNetworks) -> None:
        self.node, self.device, self.watched = node, device, watched
        self._networks = networks
        self._controls = sorted({c for w in watched for c in w.controls})
        self._socket: WireSocket | None = None
        self._inside: int | None = None
        self._turn = 0
        self._salt = os.urandom(4)
        self.rounds: dict[str, _Round] = {}
        """Made-up hardware address -> the question asked under it; the newest last."""

    def ask(self, ready: asyncio.AbstractEventLoop, received: object) -> str:
        """Ask one round; why that was not possible, else nothing."""
        try:
            inside = self._networks.init_process(self.node)
            if self._socket is None or inside != self._inside:
                self.close(ready)
                self._socket = self._networks.made_in(self.node, lambda: WireSocket(ANSWERS, self.device))
                self._inside = inside
                ready.add_reader(self._socket.fileno(), received, self)  # type: ignore[arg-type]
            own = f"02:c6:{self._salt[0]:02x}:{self._salt[1]:02x}:{self._salt[2]:02x}:{self._turn % _ROUNDS_KNOWN:02x}"
            self.rounds.pop(own, None)
            self.rounds[own] = _Round(time.monotonic_ns())
            control = self._controls[self._turn % len(self._controls)] if self._controls else None
            self._turn += 1
            for address in (*(w.address for w in self.watched), *((control,) if control else ())):
                self._socket.outs.send(question(address, own))
        except NodeOff:
            self.close(ready)
            return f"{self.node} is off"
        except OSError as error:
            self.close(ready)
            return error.strerror or str(error)
        return ""

    def answers(self) -> list[Heard]:
        """What came in; nothing more where the interface is gone."""
        found: list[Heard] = []
        try:
            found.extend(self._socket.heard() if self._socket is not None else ())
        except OSError as error:
            log_line(f"{self.node}: {error}")
        return found

    def close(self, ready: asyncio.AbstractEventLoop) -> None:
        if self._socket is not None:
            ready.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None


class AddressWatcher:
    """Listens on the switch, and asks at fixed instants; a late answer never delays the next question."""

    TYPE: ClassVar[str] = "address"
    Config: ClassVar[type[Record]] = AddressWatchConfig

    def __init__(self, config: AddressWatchConfig, reports: ReportWriter) -> None:
        self._config, self._reports = config, reports
        self._networks = NodeNetworks(Path(config.inside) if config.inside else None)
        self._names = {w.address: w.name for w in config.addresses}
        places = dict.fromkeys((w.asker, w.device) for w in config.addresses if w.asker)
        self._askers = [
            _Asker(node, device, [w for w in config.addresses if (w.asker, w.device) == (node, device)], self._networks)
            for node, device in places
        ]
        self._owners: dict[str, tuple[str, ...]] = {}
        self._missed: dict[tuple[str, str], int] = {}
        self._asked_ns: dict[str, int] = {}
        self._told: dict[tuple[str, str, str], tuple[int, tuple[int | None, int | None]]] = {}
        self._behind: dict[str, str] = {}
        """Port of the switch -> the node behind it, learnt from its own hardware address."""
        self._echoes = Echoes()
        self._failure = ""

    async def watch(self) -> int:
        """Observe until told to stop; the exit code. RecordingFailed where it cannot start to record, OSError to listen."""
        loop = asyncio.get_running_loop()
        commands = CommandReader(loop)
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, commands.stopping.set)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the orchestrator decides what ends when

        def recording_failed(why: str) -> None:
            self._failure = why
            loop.call_soon_threadsafe(commands.stopping.set)

        self._spool = Spool(Path(self._config.spool), recording_failed)
        switch = WireSocket(ANNOUNCEMENTS)
        loop.add_reader(switch.fileno(), self._listen, switch)
        began = time.monotonic_ns()
        tasks = [loop.create_task(self._ask_for_ever(asker, began)) for asker in self._askers]
        tasks.append(loop.create_task(self._beat_for_ever(began)))
        await commands.stopping.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        loop.remove_reader(switch.fileno())
        switch.close()
        for asker in self._askers:
            for round_ in asker.rounds.values():
                self._close_round(asker, round_)
            asker.close(loop)
        self._networks.close()
        try:
            self._spool.close(_FLUSH_WITHIN_S)
        except RecordingFailed as error:
            self._failure = str(error)
            log_line(str(error))
        self._report_beat()
        return 3 if self._failure else 0

    # -- announcements, on the switch -----------------------------------------------------------------------------------

    def _listen(self, switch: WireSocket) -> None:
        try:
            for heard in switch.heard():
                if self._echoes.is_one(heard):
                    continue
                if (node := self._config.macs.get(heard.frame.src)) is not None:
                    self._behind[heard.port] = node
                for claim in claims(heard.frame):
                    if claim.address in self._names and not self._is_answer_to_us(heard):
                        self._note(claim, heard)
        except OSError as error:
            log_line(f"a port of the switch: {error}")  # it went down; the others are still listened to

    def _is_answer_to_us(self, heard: Heard) -> bool:
        return any(heard.frame.dst in asker.rounds for asker in self._askers)

    def _note(self, claim: Claim, heard: Heard) -> None:
        owner = self._config.macs.get(claim.mac) or self._behind.get(heard.port) or claim.mac
        between = (heard.t_low, heard.t_high)
        row = (self._config.trial, claim.address, owner, claim.mac, claim.how, *between, claim.vrid, claim.priority)
        self._spool.put("address_announcements", row)
        key, said = (claim.address, owner, claim.how), (claim.vrid, claim.priority)
        at_ns, before = self._told.get(key, (0, None))
        if claim.how == ADVERT:
            news = said != before or heard.t_high - at_ns > _SILENT_NS
        else:
            news = claim.how not in REPLIES and heard.t_high - at_ns > _TELL_AGAIN_NS
        # adverts repeat themselves all the time; what is told is who begins, or says something else
        self._told[key] = (heard.t_high, said) if news or claim.how == ADVERT else (at_ns, said)
        if news:
            told = AddressAnnounced(
                name=self._names[claim.address], address=claim.address, owner=owner, how=claim.how, between_ns=between,
                vrid=claim.vrid, priority=claim.priority,
            )  # fmt: skip
            self._reports.put(told.model_dump_json())

    # -- questions, from a node ------------------------------------------------------------------------------------------

    async def _ask_for_ever(self, asker: _Asker, began: int) -> None:
        loop = asyncio.get_running_loop()
        turn, why_not = 0, ""
        while True:
            await asyncio.sleep((began + turn * EVERY_NS - time.monotonic_ns()) / 1e9)
            why = asker.ask(loop, self._answered)
            if why and why != why_not:
                log_line(f"{asker.node} cannot ask: {why}")
            why_not = why
            for round_ in list(asker.rounds.values())[: -ROUNDS_OPEN or None]:
                self._close_round(asker, round_)
            turn = max(turn + 1, (time.monotonic_ns() - began) // EVERY_NS)

    def _answered(self, asker: _Asker) -> None:
        for heard in asker.answers():
            said = answer(heard.frame)
            round_ = asker.rounds.get(said[2]) if said is not None else None
            if said is None or round_ is None:
                continue
            owner = self._config.macs.get(said[1], said[1])
            round_.answered.setdefault(said[0], []).append(owner)
            answered_ns = max(heard.t_high, round_.t_asked)
            self._spool.put("address_answers", (self._config.trial, said[0], round_.t_asked, answered_ns, owner))

    def _close_round(self, asker: _Asker, round_: _Round) -> None:
        """Whoever has not answered by now does not have it; but one silence alone may be a lost frame."""
        if round_.closed:
            return
        round_.closed = True
        for watched in asker.watched:
            address = watched.address
            owners = set(round_.answered.get(address, ()))
            if not owners:
                self._spool.put("address_answers", (self._config.trial, address, round_.t_asked, None, None))
            before = self._owners.get(address)
            for node in before or ():
                self._missed[address, node] = 0 if node in owners else self._missed.get((address, node), 0) + 1
            now = tuple(sorted(owners | {n for n in before or () if self._missed[address, n] == 1}))
            if now != before:
                between = (self._asked_ns.get(address, round_.t_asked), time.monotonic_ns())
                told = OwnersChanged(name=watched.name, address=address, owners=now, before=before, between_ns=between)
                self._reports.put(told.model_dump_json())
            else:
                self._asked_ns[address] = round_.t_asked
            self._owners[address] = now

    # -- beats -----------------------------------------------------------------------------------------------------------

    async def _beat_for_ever(self, began: int) -> None:
        beat = 0
        while True:
            self._report_beat()
            self._spool.put("clocks", (self._config.trial, self.TYPE, time.monotonic_ns(), time.time_ns()))
            beat = max(beat + 1, (time.monotonic_ns() - began) // _BEAT_NS)
            await asyncio.sleep((began + beat * _BEAT_NS - time.monotonic_ns()) / 1e9)

    def _report_beat(self) -> None:
        owners = {self._names[address]: nodes for address, nodes in self._owners.items()}
        self._reports.put(AddressBeat(t_ns=time.monotonic_ns(), owners=owners, failure=self._failure).model_dump_json())


def main(argv: list[str]) -> int:
    """Run the watcher that a configuration file describes; the exit code."""
    return run_watcher(argv, "chaoskit.watchers.address", AddressWatchConfig, AddressWatcher, AddressBeat, owners={})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
