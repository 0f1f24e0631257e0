"""The endpoints of a lab: does a client type speak their kind, and know their keys?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError

from chaoskit.engine.document import Document, Keys
from chaoskit.engine.explaining import problems_of, written_names
from chaoskit.engine.registry import Registry
from chaoskit.engine.spelling import nearest, unknown
from chaoskit.model.errors import Problem
from chaoskit.model.lab import EndpointSpec, LabSpec


def endpoint_problems(lab: LabSpec, document: Document, registry: Registry) -> Iterator[Problem]:
    """Endpoints against the client type that speaks their kind."""
    kinds = registry.names("clients")
    for name, endpoint in lab.endpoints.items():
        keys: Keys = ("endpoints", name)
        if endpoint.kind not in kinds:
            yield unknown(document, (*keys, "kind"), "client type", endpoint.kind, kinds)
            continue
        options: type[BaseModel] = registry.load("clients", endpoint.kind).EndpointOptions
        extra: Mapping[str, Any] = endpoint.model_extra or {}
        try:
            options.model_validate(extra)
        except ValidationError as error:
            for problem in problems_of(error, options, document, keys, extra):
                if problem.message == "unknown key":
                    allowed = (*written_names(EndpointSpec), *written_names(options))
                    problem = replace(problem, allowed=allowed, nearest=nearest(problem.value, allowed))
                yield problem
