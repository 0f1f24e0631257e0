"""Connection strings for libpq."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaoskit.clients.hosts import Host

APPLICATION = "chaoskit"


@dataclass(frozen=True, slots=True)
class Access:
    """Who connects to what."""

    database: str
    user: str
    password: str
    sslmode: str

    def parameters(self) -> dict[str, str]:
        """The libpq parameters that are the same for every host."""
        given = {
            "dbname": self.database,
            "user": self.user,
            "password": self.password,
            "sslmode": self.sslmode,
            "gssencmode": "disable",
            "application_name": APPLICATION,
        }
        return {name: value for name, value in given.items() if value}


def to_one(access: Access, host: Host, address: str) -> str:
    """To one host at a resolved address. Its name stays, for certificates."""
    return _text({**access.parameters(), "host": host.address, "hostaddr": address, "port": str(host.port)})


def to_many(access: Access, hosts: Sequence[Host], further: dict[str, str]) -> str:
    """To several hosts in this order, resolved by the driver."""
    listed = {"host": ",".join(host.address for host in hosts), "port": ",".join(str(host.port) for host in hosts)}
    return _text({**access.parameters(), **listed, **further})


def _text(parameters: dict[str, str]) -> str:
    return " ".join(f"{name}='{_escaped(value)}'" for name, value in parameters.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")
