"""`policies:` of a client: each becomes a client of its own before anything else looks at the experiment."""

from __future__ import annotations

import copy
from typing import Any

from chaoskit.engine.document import Document, Keys
from chaoskit.model.errors import Problem


def lay_out_policies(document: Document) -> list[Problem]:
    """Replace each client that has several policies by one client a policy, `CLIENT-POLICY`; what is wrong with their names.

    What is written wrong is left as it stands: validation tells why. Problems of a client made so are told where its parts
    were written.
    """
    clients = document.data.get("clients") if isinstance(document.data, dict) else None
    if not isinstance(clients, dict):
        return []
    problems: list[Problem] = []
    made: dict[str, Any] = {}
    for name, client in clients.items():
        if not _has_several(client):
            made[name] = client
            continue
        for policy, entry in client["policies"].items():
            ours, keys = f"{name}-{policy}", ("clients", name, "policies", policy)
            if ours in clients or ours in made:
                problems.append(document.problem(keys, f"this policy would be the client {ours!r}, which there is", of_key=True))
                continue
            made[ours] = _laid_out(client, entry or {})
            document.moved["clients", ours] = lambda rest, n=name, p=policy, e=entry: _written(n, p, e or {}, rest)  # type: ignore[misc]
    document.data["clients"] = made
    return problems


def _has_several(client: Any) -> bool:
    if not isinstance(client, dict) or "policy" in client:
        return False
    policies = client.get("policies")
    return (
        isinstance(policies, dict)
        and bool(policies)
        and all(isinstance(n, str) and (e is None or _is_entry(e)) for n, e in policies.items())
    )


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("with", {}), dict)


def _laid_out(client: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    own = {key: copy.deepcopy(value) for key, value in client.items() if key != "policies"}
    different = copy.deepcopy(entry.get("with", {}))
    return {**own, **different, "policy": {key: value for key, value in entry.items() if key != "with"}}


def _written(name: str, policy: str, entry: dict[str, Any], rest: Keys) -> Keys:
    """Where a part of such a client was written."""
    here: Keys = ("clients", name, "policies", policy)
    if not rest:
        return here
    if rest[0] == "policy":
        return (*here, *rest[1:])
    if rest[0] in entry.get("with", {}):
        return (*here, "with", *rest)
    return ("clients", name, *rest)
