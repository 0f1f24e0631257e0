"""What is put into a node before its services start: volumes' owners, users' homes, files. Runs inside the node.

Standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from chaoskit.backends.linux_host.node import account_of
from chaoskit.backends.linux_host.wire import FileJson, NodeJson, Refused


def furnish(plan: NodeJson, *, single_user: bool, first_boot: bool) -> None:
    """Volumes' owners, users' homes and the services' files, from inside the node."""

    def give(path: str, owner: str) -> None:
        account = account_of(owner)
        if account is None:
            raise Refused(f"{plan['name']}: no user {owner!r} for {path}")
        if not single_user:
            os.chown(path, account.user_id, account.group_id)

    if first_boot:
        for volume in plan["volumes"]:
            give(volume["mount"], volume["owner"])
        for user in sorted({s["user"] for s in plan["services"]} - {"root"}):
            account = account_of(user)
            if account is None:
                raise Refused(f"{plan['name']}: no user {user!r} to run a service")
            home = account.home
            if not os.path.isdir(home) and home not in ("/nonexistent", "/"):
                os.makedirs(home)
                give(home, user)
    for service in plan["services"]:
        for file in service["files"]:
            _put(file, give)


def _put(file: FileJson, give: Callable[[str, str], None]) -> None:
    """Write a file unless it is there: what a fault changed in it survives a reboot. New directories are its owner's."""
    path = file["path"]
    if os.path.lexists(path):
        return
    missing = []
    parent = os.path.dirname(path)
    while not os.path.isdir(parent):
        missing.append(parent)
        parent = os.path.dirname(parent)
    for directory in reversed(missing):
        os.mkdir(directory, 0o755)
        give(directory, file["owner"])
    with open(path, "w", encoding="utf-8") as out:
        out.write(file["content"])
    os.chmod(path, file["mode"])
    give(path, file["owner"])
