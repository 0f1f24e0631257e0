"""The client types that are installed, and what each of them offers."""

from __future__ import annotations

from importlib.metadata import entry_points

from chaoskit.model.errors import InputError, Problem
from chaoskit.model.record import Record
from chaoskit.ports.client import ClientConfig, ClientType

GROUP = "chaoskit.clients"


class ClientTypeInfo(Record):
    """What a client type offers, for lists and the reference."""

    type: str
    about: str
    operations: dict[str, str]
    classes: tuple[str, ...]
    ledger: tuple[str, ...]
    """Operations that append tokens which must survive."""
    options: dict[str, str]
    """Key -> its description."""
    endpoint_options: dict[str, str]


def client_type(name: str) -> type[ClientType]:
    """The client type of that name. InputError with the names there are; ImportError where its driver is not installed."""
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in found:
        raise InputError([Problem(message="unknown client type", value=name, allowed=tuple(sorted(found)))])
    loaded: type[ClientType] = found[name].load()
    return loaded


def information(kind: type[ClientType]) -> ClientTypeInfo:
    """The catalogue entry of a client type, from its own declarations."""
    return ClientTypeInfo(
        type=kind.TYPE,
        about=(kind.__doc__ or "").strip(),
        operations=dict(kind.OPERATIONS),
        classes=kind.CLASSES,
        ledger=tuple(sorted(kind.LEDGER)),
        options=_descriptions(kind.Options),
        endpoint_options=_descriptions(kind.EndpointOptions),
    )


def open_client(config: ClientConfig) -> ClientType:
    """The client of a configuration, not yet opened. InputError where the configuration asks for what its type has not."""
    kind = client_type(config.type)
    problems = [
        Problem(
            path=f"clients.{config.client}.{key}",
            message=f"the {config.type} client has no such {key}",
            value=value,
            allowed=allowed,
        )
        for key, value, allowed in (
            ("operation", config.operation, tuple(kind.OPERATIONS)),
            ("class", config.client_class, kind.CLASSES),
        )
        if value not in allowed
    ]
    if problems:
        raise InputError(problems)
    return kind(config)


def _descriptions(record: type[Record]) -> dict[str, str]:
    return {name: field.description or "" for name, field in record.model_fields.items()}
