"""Probes and watchers that answer from a simulated cluster."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol

from chaoskit.clients.retrying import RetryingClient
from chaoskit.model.history import SAMPLES_DDL
from chaoskit.ports.client import Answer, ClientConfig
from tests.simulated.clock import FakeClock
from tests.simulated.cluster import SimulatedCluster
from tests.simulated.time_loop import FakeTimeLoop


class HasCluster(Protocol):
    """The part of a simulated lab that its agents look at."""

    cluster: SimulatedCluster
    clock: FakeClock


class ProbeAgent:
    """Answers as `python -m chaoskit.clients.probe` would, from the cluster's rules."""

    def __init__(self, lab: HasCluster, config_file: str, dies: bool) -> None:
        self.config = ClientConfig.model_validate_json(Path(config_file).read_text())
        self.name = self.config.client
        self._lab, self._dies = lab, dies
        self._next_ns = lab.clock.monotonic_ns() + 1_000_000
        self._rows: list[tuple[object, ...]] = []
        self._attempts: list[tuple[object, ...]] = []
        self._phase = "running"
        self._streak_ns: int | None = None
        self._last_ok_ns: int | None = None
        self._recent: list[tuple[int, bool]] = []
        self._ok = 0
        self._out_of_reach: list[tuple[int, set[str]]] = []
        """Since when a member of the cluster cannot reach which others."""
        self._reads: list[tuple[object, ...]] = []
        self._read_backs: list[tuple[object, ...]] = []

    def lines(self) -> Sequence[str]:
        now_ns, c = self._lab.clock.monotonic_ns(), self.config
        cluster = self._lab.cluster
        if c.vantage in cluster.members:
            self._out_of_reach.append((now_ns, {m for m in cluster.members if not cluster.reaches(c.vantage, m)}))
        while self._phase == "running" and self._next_ns + c.patience_ns <= now_ns:
            self._attempt(self._next_ns)
            self._next_ns += c.interval_ns // c.probes
        self._recent = [(t, ok) for t, ok in self._recent if t >= now_ns - 5_000_000_000]
        status = {
            "client": self.name, "t_ns": now_ns, "attempts": len(self._rows), "ok": self._ok, "phase": self._phase,
            "streak_since_ns": self._streak_ns, "last_ok_ns": self._last_ok_ns,
            "window": [len(self._recent), sum(ok for _, ok in self._recent)],
        }  # fmt: skip
        return [json.dumps(status)]

    def _attempt(self, t_ns: int) -> None:
        c, node = self.config, self._lab.cluster.serving_at(t_ns)
        if node in next((cut for since_ns, cut in reversed(self._out_of_reach) if since_ns <= t_ns), ()):
            node = None  # the service works, and cannot be reached from there
        seq = len(self._rows)
        token = f"{c.run_id}.{c.client}.{seq}" if c.operation == "append" else None
        ok = node is not None
        end_ns = t_ns + (2_000_000 if ok else c.deadline_ns)
        if c.policy is not None:
            node, end_ns = self._persist(t_ns, seq)
            ok = node is not None
        if ok and token is not None:
            self._lab.cluster.ledger[token] = end_ns
        self._streak_ns = (self._streak_ns or t_ns) if ok else None
        self._last_ok_ns = t_ns if ok else self._last_ok_ns
        # a request's fate is looked up once its patience is over
        self._recent.append((t_ns if c.policy is None else self._lab.clock.monotonic_ns(), ok))
        self._ok += ok
        self._rows.append(
            (c.trial, c.client, seq % c.probes, c.client_class, c.operation, c.vantage, c.target, seq, token,
             t_ns, t_ns + 50_000, t_ns + 500_000 if ok else None, end_ns if ok else None, end_ns,
             "ok" if ok else "timeout", "ok" if ok else "fail", node, "1", None, None, 1, 0, None if ok else "no answer")
        )  # fmt: skip

    def _persist(self, t_ns: int, seq: int) -> tuple[str | None, int]:
        """One request through the real policy engine, on a clock of its own: who answered in the end, and when it ended."""
        loop = FakeTimeLoop(t_ns + 50_000)

        async def operation(token: str) -> Answer:
            node = self._lab.cluster.serving_at(loop.clock())
            if node is None:
                await asyncio.sleep(3600)
            await asyncio.sleep(0.002)
            return Answer(outcome="ok", certainty="ok", node=node or "")

        client = RetryingClient(self.config, operation, lambda row: self._attempts.append(tuple(row)), clock=loop.clock)
        answer = loop.finish(client.attempt(f"{self.config.run_id}.{self.config.client}.0.{seq}"))
        return answer.node or None, loop.clock()

    def tell(self, line: str) -> None:
        c, lab = self.config, self._lab
        self._phase = {"drain": "drained", "read_back": "done"}.get(line, self._phase)
        if line == "read_back" and c.operation == "append":
            now_ns = lab.clock.monotonic_ns()
            tokens = [t for t in lab.cluster.ledger if f".{c.client}." in t]
            for kind, node in (("final", lab.cluster.leader), *(("dump", host) for host, _ in c.hosts)):
                self._read_backs.append((c.trial, c.client, kind, node, now_ns, 1, len(tokens), None))
                self._reads.extend((c.trial, c.client, kind, node, now_ns, token, 1) for token in tokens)

    def exit_code(self) -> int | None:
        return 3 if self._dies else None

    def stop(self, timeout_s: float) -> int:
        with closing(sqlite3.connect(self.config.spool)) as spool, spool:
            spool.execute("PRAGMA synchronous = OFF")  # as real spools
            spool.executescript(SAMPLES_DDL)
            spool.executemany(f"INSERT INTO samples VALUES ({','.join('?' * 23)})", self._rows)
            spool.executemany(f"INSERT INTO attempts VALUES ({','.join('?' * 11)})", self._attempts)
            spool.executemany("INSERT INTO reads VALUES (?,?,?,?,?,?,?)", self._reads)
            spool.executemany("INSERT INTO read_backs VALUES (?,?,?,?,?,?,?,?)", self._read_backs)
        return 0


class WatcherAgent:
    """Answers as `python -m chaoskit.watchers.role` would."""

    name = "roles"

    def __init__(self, lab: HasCluster, config_file: str) -> None:
        self._config = json.loads(Path(config_file).read_text())
        self._lab = lab
        self._rows: list[tuple[object, ...]] = []
        self._before: dict[tuple[str, str], int | None] = {}
        self._asked_ns = lab.clock.monotonic_ns()

    def lines(self) -> Sequence[str]:
        now_ns, c = self._lab.clock.monotonic_ns(), self._lab.cluster
        roles: dict[str, dict[str, int | None]] = {}
        said = []
        for role, nodes in self._config["roles"].items():
            for node in nodes:
                leads = node == c.leader and c._works(node)
                answers = node not in c.off and node not in c.frozen
                state = None if not answers else int(leads if role == "primary" else not leads)
                roles.setdefault(role, {})[node] = state
                if self._before.get((role, node), "never") != state:
                    change = {
                        "kind": "role_changed", "role": role, "node": node, "state": state,
                        "before": self._before.get((role, node)), "between_ns": [self._asked_ns, now_ns],
                    }  # fmt: skip
                    said.append(json.dumps(change))
                    self._before[role, node] = state
                self._rows.append((self._config["trial"], role, node, now_ns - 1_000_000, now_ns, state, None))
        self._asked_ns = now_ns
        return [*said, json.dumps({"kind": "role_beat", "t_ns": now_ns, "roles": roles})]

    def tell(self, line: str) -> None:
        return

    def exit_code(self) -> int | None:
        return None

    def stop(self, timeout_s: float) -> int:
        with closing(sqlite3.connect(self._config["spool"])) as spool, spool:
            spool.execute("PRAGMA synchronous = OFF")  # as real spools
            spool.executescript(SAMPLES_DDL)
            spool.executemany("INSERT INTO roles VALUES (?,?,?,?,?,?,?)", self._rows)
        return 0
