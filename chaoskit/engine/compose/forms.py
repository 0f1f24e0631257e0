"""The many ways in which Compose lets people write one thing, each brought into one form. ValueError with what is right."""

from __future__ import annotations

import re
import shlex
from typing import Any

from chaoskit.model.units import Duration

_SIZES = {"": 1, "b": 1, "k": 1024, "kb": 1024, "m": 1024**2, "mb": 1024**2, "g": 1024**3, "gb": 1024**3}


def words(value: Any) -> list[str]:
    """A command: a list as it is, a text split as a shell would, without being given to one."""
    if isinstance(value, str):
        return shlex.split(value)
    return texts(value)


def texts(value: Any) -> list[str]:
    """One text or a list of them."""
    values = value if isinstance(value, list) else [value]
    for one in values:
        if isinstance(one, (dict, list)) or one is None:
            raise ValueError("a text, or a list of texts")
    return [text(one) for one in values]


def text(value: Any) -> str:
    """A scalar as Compose hands it on."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        raise ValueError("a text")
    return "" if value is None else str(value)


def pairs(value: Any) -> dict[str, str | None]:
    """A mapping, or a list of NAME=VALUE; None for a name without a value."""
    if isinstance(value, dict):
        return {str(name): None if one is None else text(one) for name, one in value.items()}
    found: dict[str, str | None] = {}
    for one in texts(value):
        name, equals, rest = one.partition("=")
        found[name] = rest if equals else None
    return found


def size_bytes(value: Any) -> int:
    """`64m`, `1gb`, or a number of bytes."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(value))
    if match is None or match.group(2).lower() not in _SIZES:
        raise ValueError("a size, such as 64m or 1gb")
    return int(float(match.group(1)) * _SIZES[match.group(2).lower()])


def seconds(value: Any) -> float:
    """`1m30s`, `500ms`."""
    try:
        return float(Duration.parse(value))
    except ValueError:
        raise ValueError("a duration, such as 1m30s or 500ms") from None


def whole(value: Any) -> int:
    """A whole number, which a variable makes a text."""
    if isinstance(value, bool) or not re.fullmatch(r"-?\d+", str(value)):
        raise ValueError("a whole number")
    return int(value)


def number(value: Any) -> float:
    """A number, which a variable makes a text."""
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    except (TypeError, ValueError):
        raise ValueError("a number") from None


def flag(value: Any) -> bool:
    """True or false, which a variable makes a text."""
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    raise ValueError("true or false")


def mount(value: Any) -> dict[str, Any]:
    """`[SOURCE:]TARGET[:MODE]`, or the long form: {type, source, target, read_only, options}."""
    if isinstance(value, dict):
        return _long_mount(value)
    parts = text(value).split(":")
    if len(parts) > 3 or not parts[-1]:
        raise ValueError("SOURCE:TARGET:MODE, such as ./site:/usr/share/site:ro")
    if len(parts) == 1:
        return {"type": "volume", "source": "", "target": parts[0], "read_only": False, "options": ""}
    source, target = parts[:2]
    mode = parts[2].split(",") if len(parts) == 3 else []
    unknown = [one for one in mode if one not in ("ro", "rw", "z", "Z", "cached", "delegated", "consistent", "nocopy")]
    if unknown:
        raise ValueError(f"the modes ro, rw, z, Z; not {unknown[0]!r}")
    kind = "bind" if source.startswith(("/", ".", "~")) else "volume"
    return {"type": kind, "source": source, "target": target, "read_only": "ro" in mode, "options": ""}


def _long_mount(value: dict[str, Any]) -> dict[str, Any]:
    kind = value.get("type")
    if kind not in ("bind", "volume", "tmpfs"):
        raise ValueError(f"type bind, volume or tmpfs; not {kind!r}")
    if not isinstance(value.get("target"), str):
        raise ValueError("a target, which is an absolute path")
    unknown = set(value) - {"type", "source", "target", "read_only", "bind", "volume", "tmpfs", "consistency"}
    if unknown:
        raise ValueError(f"the keys type, source, target, read_only, tmpfs; not {sorted(unknown)[0]!r}")
    if kind == "bind" and not value.get("source"):
        raise ValueError("a source, which is a path of this machine")
    size = (value.get("tmpfs") or {}).get("size") if kind == "tmpfs" else None
    return {
        "type": kind,
        "source": text(value.get("source")),
        "target": value["target"],
        "read_only": flag(value.get("read_only", False)),
        "options": f"size={size_bytes(size)}" if size is not None else "",
    }


def ulimit(value: Any) -> dict[str, int]:
    """One number for both, or {soft, hard}."""
    if isinstance(value, dict):
        if set(value) != {"soft", "hard"}:
            raise ValueError("one number, or both soft and hard")
        return {"soft": whole(value["soft"]), "hard": whole(value["hard"])}
    return {"soft": whole(value), "hard": whole(value)}


def restart(value: Any) -> str:
    """A restart policy -> when a lab starts a service again."""
    name = {False: "no"}.get(value, value) if isinstance(value, bool) else value
    known = {"no": "on-boot", "always": "always", "unless-stopped": "always", "on-failure": "on-failure"}
    if name not in known:
        hint = " without a count" if str(name).startswith("on-failure:") else ""
        raise ValueError(f"one of no, always, unless-stopped, on-failure{hint}")
    return known[name]


def literal(value: str) -> str:
    """A text in which nothing is a template."""
    if not any(mark in value for mark in ("{{", "{%", "{#")):
        return value
    if "endraw" in value:
        raise ValueError("a text without {% endraw %}, which ends what a template leaves alone")
    return "{% raw %}" + value + "{% endraw %}"
