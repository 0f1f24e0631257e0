"""One name or several, as a person writes them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator


def as_tuple(value: Any) -> Any:
    """A name alone is a list of one."""
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]
"""One name or a list of them."""
