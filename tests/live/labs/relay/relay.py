"""One member of a small cluster that elects a leader: standard library only, no disk, ready in a moment.

    relay.py OWN_ADDRESS SERVICE_PORT STATUS_PORT LEASE_S ADDRESS...

Only the leader listens on SERVICE_PORT; the others refuse, as a standby of many systems does. STATUS_PORT answers always:
/leader with 200 or 503, /standby the other way round, anything else with the term and who leads. A member that has heard of no
leader for LEASE_S stands for the next term; of those in sight, which must be a majority, the first of the list wins. A leader
that has no majority in sight for half of that steps down, and so does one that hears of a later term.
"""

from __future__ import annotations

import asyncio
import sys
import time

PAUSE_S = 0.05


class Member:
    """One of the cluster."""

    def __init__(self, own: str, service_port: int, status_port: int, lease_s: float, all_of_them: list[str]) -> None:
        self.own, self.service_port, self.status_port, self.lease_s = own, service_port, status_port, lease_s
        self.members = all_of_them
        self.term = 0
        self.leads = False
        self.heard = time.monotonic()
        self.backed = time.monotonic()
        self.in_sight: set[str] = {own}
        self.service: asyncio.Server | None = None

    async def live(self) -> None:
        await asyncio.start_server(self.answer_status, "0.0.0.0", self.status_port)
        print(f"{self.own} answers on {self.status_port}", flush=True)
        await asyncio.gather(self.decide(), *(self.watch(peer) for peer in self.members if peer != self.own))

    async def decide(self) -> None:
        while True:
            now = time.monotonic()
            if 2 * len(self.in_sight) > len(self.members):
                self.backed = now
            if self.leads and now - self.backed > self.lease_s / 2:
                await self.step_down("no majority in sight")
            first = next(m for m in self.members if m in self.in_sight)
            if not self.leads and now - self.heard > self.lease_s and self.backed == now and first == self.own:
                await self.lead()
            await asyncio.sleep(PAUSE_S)

    async def lead(self) -> None:
        try:
            service = await asyncio.start_server(self.answer_service, self.own, self.service_port)
        except OSError as error:  # out of descriptors, say: who cannot serve does not lead, and stands again
            print(f"{self.own} cannot lead: {error}", flush=True)
            return
        self.term, self.leads, self.service = self.term + 1, True, service
        print(f"{self.own} leads in term {self.term}", flush=True)

    async def step_down(self, why: str) -> None:
        self.leads, self.heard = False, time.monotonic()
        if self.service is not None:
            self.service.close()
            self.service = None
        print(f"{self.own} steps down: {why}", flush=True)

    async def watch(self, peer: str) -> None:
        while True:
            try:
                async with asyncio.timeout(self.lease_s / 3):  # wait_for of Python 3.11 may swallow the end of this task
                    term, leads = await self.asked(peer)
            except (OSError, TimeoutError, ValueError, IndexError):  # the last two: it closed before it had said all
                self.in_sight.discard(peer)
            else:
                self.in_sight.add(peer)
                if leads and (term > self.term or not self.leads):
                    self.heard = time.monotonic()
                if term > self.term:
                    self.term = term
                    if self.leads:
                        await self.step_down(f"{peer} is in term {term}")
            await asyncio.sleep(PAUSE_S)

    async def asked(self, peer: str) -> tuple[int, bool]:
        reader, writer = await asyncio.open_connection(peer, self.status_port)
        try:
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            words = (await reader.read(4096)).split()
            return int(words[-2]), words[-1] == b"leads"
        finally:
            writer.close()

    async def answer_status(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await self.path(reader)
        good = self.leads if asked == "/leader" else not self.leads if asked == "/standby" else True
        await self.answer(writer, good, f"{self.term} {'leads' if self.leads else 'follows'}")

    async def answer_service(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.path(reader)
        await self.answer(writer, True, f"served by {self.own} in term {self.term}")

    async def path(self, reader: asyncio.StreamReader) -> str:
        first = b""
        try:
            first = await reader.readline()
            while (await reader.readline()).strip():
                pass
        except (OSError, ValueError):
            pass
        words = first.decode("latin-1").split()
        return words[1] if len(words) > 1 else ""

    async def answer(self, writer: asyncio.StreamWriter, good: bool, text: str) -> None:
        body = f"{text}\n".encode()
        status = "200 OK" if good else "503 Service Unavailable"
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        try:
            writer.write(head.encode() + body)
            await writer.drain()
            writer.close()
        except OSError:
            pass


if __name__ == "__main__":
    own, service_port, status_port, lease_s, *everybody = sys.argv[1:]
    asyncio.run(Member(own, int(service_port), int(status_port), float(lease_s), everybody).live())
