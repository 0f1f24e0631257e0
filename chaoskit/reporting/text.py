"""Numbers, instants and text from outside, as people read them: in HTML, in Markdown and in XML."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

NARROW_SPACE = "\u202f"
NO_BREAK = "\u00a0"
WORD_JOINER = "\u2060"

_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)
_MARKDOWN = re.compile(r"([\\`*\[\]<>|~&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|^\s*[#+=-])")


def clean(text: str) -> str:
    """Text without characters that could hide, reorder or break what follows: they are spelled out, as in `\\x1b`.

    Control characters are not allowed in XML; bidirectional overrides could make a log line read as something else.
    """
    return _UNPRINTABLE.sub(lambda match: f"\\x{ord(match.group()):02x}", text)


def one_line(text: str, limit: int = 400) -> str:
    """`text` cleaned, on one line, and cut at `limit` characters with the number of those left out."""
    flat = " ".join(clean(text).split())
    return flat if len(flat) <= limit else f"{flat[:limit]}… ({len(flat) - limit} more characters)"


def markdown(text: object) -> str:
    """Text as Markdown that shows exactly that text: no emphasis, link, HTML, table cell or mention comes out of it."""
    flat = one_line(str(text), limit=2000)
    # GitHub turns @name into a mention and http://… into a link even where nothing is marked up.
    flat = flat.replace("@", f"@{WORD_JOINER}").replace("://", f":{WORD_JOINER}//")
    return _MARKDOWN.sub(r"\\\1", flat)


def code(text: object) -> str:
    """Text as a Markdown code span, also safe in a table cell."""
    flat = one_line(str(text), limit=2000).replace("|", "\\|")
    if not flat:
        return ""
    longest = max((len(run) for run in re.findall(r"`+", flat)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{pad}{flat}{pad}{fence}"


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    """A Markdown table. Cells are Markdown already; `right` names the columns aligned to the right."""
    rights = set(right)
    lines = [
        "| " + " | ".join(headers) + " |",
        "|" + "|".join(" ---: " if i in rights else " --- " for i in range(len(headers))) + "|",
    ]
    lines += ["| " + " | ".join(cell or " " for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def count(number: float | int | None) -> str:
    """A whole number with thin spaces between groups of three from five digits on; "–" for None."""
    if number is None:
        return "–"
    whole = round(number)
    digits = f"{abs(whole):,}".replace(",", NARROW_SPACE) if abs(whole) >= 10_000 else str(abs(whole))
    return f"−{digits}" if whole < 0 else digits


def number(value: float | None, decimals: int = 2) -> str:
    """At most `decimals` decimals, no trailing zeros; "–" for None."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "∞"
    if value == round(value):
        return count(value)
    return _trimmed(f"{value:.{decimals}f}").replace("-", "−")


def _trimmed(digits: str) -> str:
    """Without the zeros at the end of its decimals; those of a whole number stay."""
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def percent(share: float | None, decimals: int = 2) -> str:
    """A share between 0 and 1. Never rounds up to 100 % or down to 0 %: 0.99999 stays below 100 %."""
    if share is None:
        return "–"
    value = share * 100
    while decimals < 6 and share not in (0, 1) and round(value, decimals) in (0.0, 100.0):
        decimals += 1
    return _trimmed(f"{value:.{decimals if share not in (0, 1) else 0}f}") + f"{NO_BREAK}%"


def resolution(low: float | None, high: float | None) -> int:
    """Decimals of a second worth printing for a figure with these bounds."""
    if low is None or high is None or high <= low:
        return 2
    return max(1, min(3, math.ceil(-math.log10(high - low) - 1e-6) + 1))


def seconds(value: float | None, decimals: int | None = None) -> str:
    """A length of time given in seconds: "412 ms" below one second, else "19.3 s"; "–" for None."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "∞"
    magnitude = abs(value)
    if magnitude == 0:
        return f"0{NO_BREAK}s"
    if magnitude < 0.9995 and decimals is None:
        milli = value * 1000
        text = f"{milli:.0f}" if magnitude >= 0.01 else f"{milli:.2g}"
        return text.replace("-", "−") + f"{NO_BREAK}ms"
    text = f"{value:.{2 if decimals is None else decimals}f}"
    return text.replace("-", "−") + f"{NO_BREAK}s"


def instant(value: float | None) -> str:
    """An instant of the method: "+12.345 s" after, "−3.000 s" before the end of the baseline."""
    if value is None:
        return "–"
    return f"{'−' if value < 0 else '+'}{abs(value):.3f}{NO_BREAK}s"


def span(low: float | None, high: float | None) -> str:
    """Bounds as "19.2 to 19.4 s"; a missing upper bound is open."""
    if low is None and high is None:
        return "–"
    if high is None:
        return f"more than {seconds(low)}"
    if low is None:
        return f"less than {seconds(high)}"
    if abs(high) < 0.9995:
        return f"{seconds(low)} to {seconds(high)}"
    decimals = resolution(low, high)
    return f"{low:.{decimals}f} to {high:.{decimals}f}{NO_BREAK}s".replace("-", "−")


def wall_clock(iso: str) -> str:
    """ISO 8601 as "22 November 2026, 17:36:40 UTC"; text that is no instant comes back as it is."""
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    zone = " UTC" if moment.utcoffset() is not None and not moment.utcoffset() else moment.strftime(" %z").rstrip()
    return f"{moment.day} {moment.strftime('%B %Y, %H:%M:%S')}{zone}"


def elapsed_s(started: str, ended: str) -> float | None:
    """Seconds between two ISO instants; None where one is not an instant."""
    try:
        return (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()
    except (ValueError, TypeError):
        return None


def flattened(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested data as (dotted name, text) rows, in the order of the data."""
    if isinstance(value, dict):
        return [row for key, inner in value.items() for row in flattened(inner, f"{prefix}.{key}" if prefix else str(key))]
    if isinstance(value, (list, tuple)):
        if all(not isinstance(item, (dict, list, tuple)) for item in value):
            return [(prefix, ", ".join(scalar(item) for item in value))]
        return [row for i, inner in enumerate(value) for row in flattened(inner, f"{prefix}[{i}]")]
    return [(prefix, scalar(value))]


def scalar(value: Any) -> str:
    """One JSON scalar as text."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)
