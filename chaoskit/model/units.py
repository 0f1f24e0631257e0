"""Quantities as people write them ("500ms", "512MiB", "100/s", "<= 30s"), kept in one base unit each."""

from __future__ import annotations

import math
import re
from typing import Any, ClassVar, Literal, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from chaoskit.model.record import Record

_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-zµ]+)")


def _parts(text: str, units: dict[str, float], example: str) -> float:
    """Sum of the number-unit parts of `text`, in the base unit. Raises ValueError with the allowed units."""
    stripped = text.strip()
    total, end = 0.0, 0
    for match in _PART.finditer(stripped):
        if stripped[end : match.start()].strip():
            break
        if match.group(2) not in units:
            raise ValueError(f"unknown unit {match.group(2)!r}; use one of {', '.join(units)}, as in {example}")
        total += float(match.group(1)) * units[match.group(2)]
        end = match.end()
    if end == 0 or stripped[end:].strip():
        raise ValueError(f"{text!r} is not a number with a unit ({', '.join(units)}), as in {example}")
    if not math.isfinite(total):
        raise ValueError(f"too large; write it as in {example}")
    return total


class _Quantity(float):
    """A float that remembers how it is written. Subclasses name the units."""

    UNITS: ClassVar[dict[str, float]] = {}
    EXAMPLE: ClassVar[str] = ""
    WHAT: ClassVar[str] = ""

    @classmethod
    def parse(cls, value: object) -> Self:
        """The quantity for text such as EXAMPLE, or for a quantity already made. ValueError otherwise."""
        if isinstance(value, cls):
            return value
        if isinstance(value, bool) or not isinstance(value, str):
            raise ValueError(f"a {cls.WHAT} needs its unit: write {cls.EXAMPLE}")
        return cls(_parts(value, cls.UNITS, cls.EXAMPLE))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "description": f"a {cls.WHAT}, such as {cls.EXAMPLE}", "examples": [cls.EXAMPLE]}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class Duration(_Quantity):
    """A length of time in seconds."""

    UNITS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
    EXAMPLE = "500ms"
    WHAT = "duration"

    def __str__(self) -> str:
        seconds = float(self)
        if seconds != 0 and abs(seconds) < 1:
            return f"{seconds * 1000:.10g}ms"
        return f"{seconds:.10g}s"

    @property
    def ns(self) -> int:
        """Whole nanoseconds."""
        return round(float(self) * 1e9)


class Size(_Quantity):
    """A number of bytes."""

    UNITS = {
        "B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9,
        "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3,
    }  # fmt: skip
    EXAMPLE = "512MiB"
    WHAT = "size"

    def __str__(self) -> str:
        for unit in ("GiB", "MiB", "KiB"):
            if float(self) >= self.UNITS[unit] and float(self) % self.UNITS[unit] == 0:
                return f"{float(self) / self.UNITS[unit]:.10g}{unit}"
        return f"{float(self):.15g}B"


class Rate(_Quantity):
    """Operations per second; more than zero."""

    UNITS = {"s": 1.0, "m": 1 / 60, "min": 1 / 60, "h": 1 / 3600}
    EXAMPLE = "100/s"
    WHAT = "rate"

    @classmethod
    def parse(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*/\s*(s|m|min|h)\s*", value) if isinstance(value, str) else None
        if match is None:
            raise ValueError(f"a rate says how many per time: write {cls.EXAMPLE}")
        rate = float(match.group(1)) * cls.UNITS[match.group(2)]
        if not math.isfinite(rate):
            raise ValueError(f"too large; write it as in {cls.EXAMPLE}")
        if rate <= 0:
            raise ValueError("a rate of 0 would probe nothing and so prove nothing; use more than 0, such as 10/s")
        return cls(rate)

    def __str__(self) -> str:
        return f"{float(self):.10g}/s"


class BitRate(_Quantity):
    """How much passes a line, in bits per second."""

    UNITS = {"bit/s": 1.0, "kbit/s": 1e3, "Mbit/s": 1e6, "Gbit/s": 1e9}
    EXAMPLE = "10Mbit/s"
    WHAT = "bit rate"

    @classmethod
    def parse(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kMG]?bit/s)\s*", value) if isinstance(value, str) else None
        if match is None:
            raise ValueError(f"a bit rate needs its unit ({', '.join(cls.UNITS)}): write {cls.EXAMPLE}")
        return cls(float(match.group(1)) * cls.UNITS[match.group(2)])

    def __str__(self) -> str:
        for unit in ("Gbit/s", "Mbit/s", "kbit/s"):
            if float(self) >= self.UNITS[unit]:
                return f"{float(self) / self.UNITS[unit]:.10g}{unit}"
        return f"{float(self):.15g}bit/s"


class Fraction(_Quantity):
    """A share between 0 and 1, written as a percentage."""

    EXAMPLE = "99.9%"
    WHAT = "percentage"

    @classmethod
    def parse(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", value) if isinstance(value, str) else None
        if match is None or not 0 <= float(match.group(1)) <= 100:
            raise ValueError("a percentage lies between 0% and 100%: write 99.9%")
        return cls(round(float(match.group(1)) / 100, 12))

    def __str__(self) -> str:
        return f"{float(self) * 100:.10g}%"


class Offset(_Quantity):
    """A length of time forwards or backwards, in seconds."""

    UNITS = Duration.UNITS
    EXAMPLE = "+1h"
    WHAT = "step forwards or backwards"

    @classmethod
    def parse(cls, value: object) -> Self:
        if isinstance(value, cls) or not isinstance(value, str):
            return super().parse(value)
        sign, rest = cls._signed(value)
        return cls(sign * _parts(rest, cls.UNITS, cls.EXAMPLE))

    @staticmethod
    def _signed(text: str) -> tuple[int, str]:
        stripped = text.strip()
        return (-1 if stripped.startswith("-") else 1), stripped.removeprefix("-" if stripped.startswith("-") else "+")

    def __str__(self) -> str:
        return f"{'-' if self < 0 else '+'}{Duration(abs(self))}"


class Drift(Offset):
    """How much faster (or slower) a clock runs than the true one, in parts per million."""

    UNITS = {"ppm": 1.0, "%": 10_000.0}
    EXAMPLE = "+500ppm"
    WHAT = "rate of a clock, faster or slower"

    @classmethod
    def parse(cls, value: object) -> Self:
        if isinstance(value, cls) or not isinstance(value, str):
            return super().parse(value)
        match = re.fullmatch(r"\s*([+-]?)(\d+(?:\.\d+)?)\s*(ppm|%)\s*", value)
        if match is None:
            raise ValueError(f"{value!r} is no rate of a clock: write +500ppm, or -1%")
        return cls(float(f"{match.group(1)}{match.group(2)}") * cls.UNITS[match.group(3)])

    def __str__(self) -> str:
        return f"{float(self):+.10g}ppm"


Operator = Literal["<=", "<", ">=", ">", "=="]


class Bound(Record):
    """A limit on a number, such as "<= 30s" (seconds), ">= 99.9%" (a fraction) or "<= 2" (a count)."""

    operator: Operator
    limit: float
    text: str

    @classmethod
    def parse(cls, value: object, quantity: type[_Quantity] | None = None) -> Bound:
        """A bound from text or a bare count (meaning "at most"). `quantity` names the unit expected, None a bare number."""
        if isinstance(value, Bound):
            return value
        if isinstance(value, dict) and value.keys() == {"operator", "limit", "text"}:
            return cls(**value)  # read back from plan.json
        if quantity is None and isinstance(value, (int, float)) and not isinstance(value, bool):
            return cls(operator="<=", limit=float(value), text=f"<= {value}")
        match = re.fullmatch(r"\s*(<=|>=|==|<|>)\s*(\S.*?)\s*", value) if isinstance(value, str) else None
        example = f"<= {quantity.EXAMPLE}" if quantity else "<= 2"
        if match is None:
            raise ValueError(f"a limit starts with <=, <, >=, > or ==, as in {example!r}")
        if quantity is not None:
            limit = float(quantity.parse(match.group(2)))
        else:
            try:
                limit = float(match.group(2))
            except ValueError:
                raise ValueError(f"{match.group(2)!r} is not a number; write it as in {example!r}") from None
        if not math.isfinite(limit):
            raise ValueError(f"{match.group(2)!r} is not a finite number; write it as in {example!r}")
        operator: Any = match.group(1)
        return cls(operator=operator, limit=limit, text=f"{operator} {match.group(2)}")

    def holds(self, number: float) -> bool:
        """Whether `number` keeps the bound."""
        return {
            "<=": number <= self.limit,
            "<": number < self.limit,
            ">=": number >= self.limit,
            ">": number > self.limit,
            "==": number == self.limit,
        }[self.operator]

    @property
    def is_ceiling(self) -> bool:
        """True where smaller is better, so that the figure's upper bound decides."""
        return self.operator in ("<=", "<", "==")
