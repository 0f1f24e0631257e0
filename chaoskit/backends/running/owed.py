"""What a lab of running containers has broken and not yet put back, on the disk before it is done, for whoever comes after us."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path

from chaoskit.backends.linux_host import transport
from chaoskit.backends.linux_host.wire import Refused
from chaoskit.linux import netlink, nft_host, rtnl

PAUSED, ENDED, DOWN = "paused", "ended", "down"
"""Containers that were paused, containers that were killed, and ports that were taken down."""
_ENODEV = 19


class Owed:
    """A file of one lab; each change is there before this returns."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "owed.json"

    def all(self) -> dict[str, list[str]]:
        try:
            found: dict[str, list[str]] = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return found

    def add(self, what: str, names: Iterable[str]) -> None:
        found = self.all()
        self._write({**found, what: sorted({*found.get(what, []), *names})})

    def paid(self, what: str, names: Iterable[str]) -> None:
        found = self.all()
        self._write({**found, what: sorted({*found.get(what, [])} - {*names})})

    def _write(self, found: dict[str, list[str]]) -> None:
        beside = self._file.with_suffix(".new")
        beside.write_text(json.dumps(found), encoding="utf-8")
        beside.replace(self._file)


def clear_network(mark: str, down: Iterable[str]) -> None:
    """Remove every table of a lab, and the devices of its relays, and bring its ports up; in the engine's network. Refused."""
    tables = [(family, name) for family, name in _tables() if name.startswith(mark)]
    # of a relay, the table that swallows what comes in by its device is named after that device
    devices = [name.rpartition("_")[2] for family, name in tables if family == _NETDEV]
    if tables:
        transport.send_batch(netlink.NETLINK_NETFILTER, nft_host.removed(tables))
    for device in devices:
        if device.startswith("ck") and len(device) == _RELAY_NAME:
            transport.send_batch(netlink.NETLINK_ROUTE, rtnl.batch(rtnl.removed(device)), tolerate=(_ENODEV,))
    for port in down:
        transport.send_batch(netlink.NETLINK_ROUTE, rtnl.batch(rtnl.set_named(port, up=True)), tolerate=(_ENODEV,))


_NETDEV = 5
_RELAY_NAME = len("ck00000000o")


def _tables() -> list[tuple[int, str]]:
    with contextlib.suppress(Refused):
        return nft_host.tables_in(transport.dump(netlink.NETLINK_NETFILTER, nft_host.all_tables()))
    return []


def left_of(mark: str) -> list[str]:
    """Tables of a lab that are there yet, in words; in the calling process's network."""
    return [f"nftables table {name}" for _, name in _tables() if name.startswith(mark)]
