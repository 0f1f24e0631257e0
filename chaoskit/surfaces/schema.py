"""`schema`: JSON Schema of the files, from the code, ready for editors."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import click
from pydantic import BaseModel

from chaoskit.engine.explaining import written_name
from chaoskit.engine.registry import Registry
from chaoskit.model.experiment import INLINE_LABS, Experiment
from chaoskit.model.lab import LabSpec
from chaoskit.model.names import as_tuple
from chaoskit.model.result import Result
from chaoskit.ports.client import ClientType
from chaoskit.ports.fault import Fault
from chaoskit.surfaces.documentation import field_docs, summary
from chaoskit.surfaces.installed import Installed, pass_installed
from chaoskit.surfaces.terminal import say_json

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_BOUND = {"type": "string", "pattern": r"^\s*(<=|>=|==|<|>)\s*\S", "description": "a limit, such as <= 30s or >= 99.9%"}
_REFERENCE = {"type": "string", "pattern": r"^\$\{[^{}]+\}$", "description": "a name of `configuration`"}


@click.command()
@click.argument("which", type=click.Choice(["experiment", "lab", "result"]), default="experiment")
@pass_installed
def schema(installed: Installed, which: str) -> None:
    """Print the JSON Schema of a file, for editors and other programs."""
    made = {"experiment": experiment_schema, "lab": lab_schema, "result": result_schema}[which]
    say_json(made(installed.registry))


def experiment_schema(registry: Registry) -> dict[str, Any]:
    """Of experiment.yaml, with the faults, clients and objectives that are installed."""
    made = _schema(Experiment, "chaoskit experiment")
    definitions = made["$defs"]
    inline = [{"type": "object", "required": [key], "description": "the lab itself, instead of its path"} for key in INLINE_LABS]
    ways = [{"type": "string"}, {"$ref": "#/$defs/LabChoice"}, *inline]
    made["properties"]["lab"] = {"anyOf": ways, "description": "folder or file"}
    _documented(made, Experiment)
    _with_faults(definitions, registry)
    _with_clients(definitions, registry)
    objectives = {}
    for name in registry.names("objectives"):
        objective = registry.load("objectives", name)
        objectives[name] = {"description": f"{summary(objective)} As in: {name}: {objective.example}".strip()}
    made["properties"]["objectives"].update(properties=objectives, additionalProperties=False)
    return _with_references(made)


def lab_schema(registry: Registry) -> dict[str, Any]:
    """Of lab.yaml."""
    made = _schema(LabSpec, "chaoskit lab")
    made["properties"]["compose"] = {
        "anyOf": [{"type": "string"}, {"type": "object", "required": ["file"]}],
        "description": "A Compose file that says what the lab is made of; see docs/docker.md.",
    }
    made["properties"]["containers"] = {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "object", "minProperties": 1}],
        "description": "Containers that run already, by name, label or Compose project; see docs/docker.md.",
    }
    made["anyOf"] = [{"required": made.pop("required")}, {"required": ["compose"]}, {"required": ["containers"]}]
    endpoint = made["$defs"]["EndpointSpec"]
    endpoint["properties"]["kind"]["enum"] = list(registry.names("clients"))
    endpoint["allOf"] = []
    for name in registry.names("clients"):
        kind: type[ClientType] = registry.load("clients", name)
        own = _nested(kind.EndpointOptions, made["$defs"])
        endpoint["allOf"].append(_when("kind", name, {"properties": own.get("properties", {})}))
    return made


def result_schema(registry: Registry) -> dict[str, Any]:
    """Of result.json."""
    return _schema(Result, "chaoskit result", mode="serialization")


def _schema(model: type[BaseModel], title: str, mode: Any = "validation") -> dict[str, Any]:
    made = model.model_json_schema(by_alias=True, mode=mode)
    made.setdefault("$defs", {})
    definitions = made["$defs"]
    for name, definition in definitions.items():
        found = _model_named(name, model)
        if found is not None:
            _documented(definition, found)
    if "Bound" in definitions and mode == "validation":
        definitions["Bound"] = dict(_BOUND)
    if mode == "validation":
        _one_or_many(made, model)
    return {"$schema": DIALECT, **made, "title": title}


def _models(model: type[BaseModel], found: dict[str, type[BaseModel]] | None = None) -> dict[str, type[BaseModel]]:
    """Every record that a record is made of, by name."""
    known = {} if found is None else found
    if model.__name__ in known:
        return known
    known[model.__name__] = model
    for info in model.model_fields.values():
        pending: list[Any] = [info.annotation]
        while pending:
            annotation = pending.pop()
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                _models(annotation, known)
            pending += getattr(annotation, "__args__", ())
    return known


def _model_named(name: str, root: type[BaseModel]) -> type[BaseModel] | None:
    return _models(root).get(name)


def _documented(definition: dict[str, Any], model: type[BaseModel]) -> None:
    """Put the docstrings under fields into the schema."""

    docs = field_docs(model)
    for name, info in model.model_fields.items():
        target = definition.get("properties", {}).get(written_name(name, info))
        if target is not None and name in docs:
            target["description"] = docs[name]


def _one_or_many(made: dict[str, Any], model: type[BaseModel]) -> None:
    """A list of names may be written as one name."""
    for name, record in _models(model).items():
        definition = made if record is model else made["$defs"].get(name, {})
        for field, info in record.model_fields.items():
            if any(getattr(m, "func", None) is as_tuple for m in info.metadata):
                properties = definition.get("properties", {})
                many = properties.get(written_name(field, info))
                if many is not None:
                    inner = {k: v for k, v in many.items() if k not in ("title", "default", "description")}
                    rest = {k: v for k, v in many.items() if k in ("title", "default", "description")}
                    properties[written_name(field, info)] = {"anyOf": [{"type": "string"}, inner], **rest}


def _nested(model: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a plugin's record, with its own definitions moved to the top."""
    made = _schema(model, model.__name__)
    made.pop("$schema")
    for name, definition in made.pop("$defs").items():
        definitions.setdefault(name, definition)
    _documented(made, model)
    made.pop("title", None)
    return made


def _when(key: str, value: str, then: Mapping[str, Any]) -> dict[str, Any]:
    return {"if": {"properties": {key: {"const": value}}, "required": [key]}, "then": dict(then)}


def _with_faults(definitions: dict[str, Any], registry: Registry) -> None:
    action = definitions["Action"]
    action["properties"]["inject"]["enum"] = list(registry.names("faults"))
    action["allOf"] = []
    for name in registry.names("faults"):
        kind: type[Fault] = registry.load("faults", name)
        own = _nested(kind, definitions)
        own["description"] = summary(kind)
        then: dict[str, Any] = {"properties": {"with": own}}
        if own.get("required"):
            then["required"] = ["with"]
        action["allOf"].append(_when("inject", name, then))


def _with_clients(definitions: dict[str, Any], registry: Registry) -> None:
    client = definitions["ClientSpec"]
    client["properties"]["type"]["enum"] = list(registry.names("clients"))
    client["allOf"] = []
    for name in registry.names("clients"):
        kind: type[ClientType] = registry.load("clients", name)
        own = _nested(kind.Options, definitions)
        properties = {
            **own.get("properties", {}),
            "operation": {"enum": list(kind.OPERATIONS)},
            "class": {"enum": list(kind.CLASSES)},
        }
        client["allOf"].append(_when("type", name, {"properties": properties}))


def _with_references(made: dict[str, Any]) -> dict[str, Any]:
    """Numbers and switches may come from `configuration`."""

    def widened(node: Any) -> Any:
        if isinstance(node, list):
            return [widened(item) for item in node]
        if not isinstance(node, dict):
            return node
        if node.get("type") in ("integer", "number", "boolean"):
            kept = {k: v for k, v in node.items() if k in ("title", "default", "description")}
            inner = {k: v for k, v in node.items() if k not in kept}
            return {**kept, "anyOf": [inner, dict(_REFERENCE)]}
        return {key: widened(value) for key, value in node.items()}

    widened_schema: dict[str, Any] = widened(copy.deepcopy(made))
    return widened_schema
