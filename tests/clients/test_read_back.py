import asyncio
import time

from chaoskit.agents.spool import Spool
from chaoskit.clients.readback import Returns, final_tokens, read_back
from chaoskit.ports.client import Tokens
from tests.clients.probing import config, rows


def scripted(*reads: Tokens | Exception):
    """A read that returns each of these once, then the last for ever."""
    left = list(reads)

    async def read() -> Tokens:
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, Exception):
            raise found
        return found

    return read


def tokens(*names: str) -> Tokens:
    return Tokens(ok=True, node="db1", copies={name: 1 for name in names})


def final(*reads: Tokens | Exception, within_s: float = 3.0) -> Tokens:
    return asyncio.run(final_tokens(scripted(*reads), stable_for_s=0.1, within_s=within_s, one_read_s=0.2))


def test_a_read_counts_only_when_a_later_one_says_the_same():
    assert final(tokens("a"), tokens("a", "b")).copies == {"a": 1, "b": 1}


def test_failed_reads_in_between_start_over():
    assert final(tokens("a"), OSError("gone"), Tokens(ok=False, node="", detail="no leader"), tokens("b")).copies == {"b": 1}


def test_what_never_settles_is_no_answer():
    growing = [tokens(*(str(n) for n in range(count))) for count in range(50)]
    found = final(*growing, within_s=1.2)
    assert not found.ok
    assert "kept changing" in found.detail


def test_an_unreadable_ledger_is_not_an_empty_one():
    found = final(ValueError("a driver's own defect"), within_s=0.7)
    assert not found.ok
    assert "a driver's own defect" in found.detail
    assert found.copies == {}


class TwoNodes:
    """A ledger whose second node lost a write and whose third cannot be asked."""

    async def read_back(self) -> Tokens:
        return tokens("a", "b")

    async def dump(self, node: str, address: str) -> Tokens:
        if node == "db3":
            return Tokens(ok=False, node=node, detail="refused")
        return tokens("a", "b") if node == "db1" else tokens("a")


def test_the_rows_tell_lost_from_unreadable(tmp_path, monkeypatch):
    monkeypatch.setattr("chaoskit.clients.readback.DUMP_WITHIN_S", 0.1)
    spool = Spool(tmp_path / "s.sqlite", lambda _: None)
    given = config(tmp_path / "s.sqlite", 1, hosts=(("db1", "127.0.0.1"), ("db2", "127.0.0.2"), ("db3", "127.0.0.3")))
    unread = asyncio.run(read_back(given, TwoNodes(), spool))
    spool.close(5.0)
    assert unread == ["dump of db3: refused"]
    assert rows(tmp_path / "s.sqlite", "SELECT kind, node, ok, tokens, detail FROM read_backs ORDER BY kind, node") == [
        ("dump", "db1", 1, 2, None),
        ("dump", "db2", 1, 1, None),
        ("dump", "db3", 0, 0, "refused"),
        ("final", "db1", 1, 2, None),
    ]
    assert rows(tmp_path / "s.sqlite", "SELECT token FROM reads WHERE node = 'db2'") == ["a"]


def test_two_reads_agree_for_the_clients_window_before_they_count(tmp_path):
    asked: list[float] = []

    class Steady(TwoNodes):
        async def read_back(self) -> Tokens:
            asked.append(time.monotonic())
            return tokens("a", "b")

        async def dump(self, node: str, address: str) -> Tokens:
            return tokens("a", "b")

    spool = Spool(tmp_path / "s.sqlite", lambda _: None)
    given = config(tmp_path / "s.sqlite", 1, window_ns=2_000_000_000)
    assert asyncio.run(read_back(given, Steady(), spool)) == []
    spool.close(5.0)
    assert asked[-1] - asked[0] >= 2.0


class Returning:
    """A node that refuses at first, and is rewound soon after it answers."""

    def __init__(self) -> None:
        self.asked = 0

    async def dump(self, node: str, address: str) -> Tokens:
        self.asked += 1
        if self.asked <= 2:
            raise ConnectionRefusedError("refused")
        return tokens("a", "its own") if self.asked == 3 else tokens("a")


def returned(tmp_path, client, *nodes: str, for_s: float):
    spool = Spool(tmp_path / "s.sqlite", lambda _: None)
    given = config(tmp_path / "s.sqlite", 1, hosts=(("db1", "127.0.0.1"), ("db2", "127.0.0.2")))

    async def work() -> None:
        returns = Returns(given, client, spool)
        returns.watch(nodes)
        await asyncio.sleep(for_s)
        await returns.end()

    asyncio.run(work())
    spool.close(5.0)
    return rows(tmp_path / "s.sqlite", "SELECT kind, node, ok, tokens FROM read_backs")


def test_a_node_that_comes_back_is_read_once_before_anything_is_taken_from_it(tmp_path):
    assert returned(tmp_path, Returning(), "db1", "not-mine", for_s=1.0) == [("rejoined", "db1", 1, 2)]
    assert rows(tmp_path / "s.sqlite", "SELECT token FROM reads ORDER BY 1") == ["a", "its own"]


def test_one_that_does_not_come_back_is_said_not_to_have_been_read(tmp_path):
    assert returned(tmp_path, TwoNodes(), "db3", for_s=0.3) == []
    (tmp_path / "s.sqlite").unlink()

    class Dead:
        async def dump(self, node: str, address: str) -> Tokens:
            raise ConnectionRefusedError("refused")

    assert returned(tmp_path, Dead(), "db2", for_s=0.3) == [("rejoined", "db2", 0, 0)]
    (detail,) = rows(tmp_path / "s.sqlite", "SELECT detail FROM read_backs")
    assert "refused" in detail
