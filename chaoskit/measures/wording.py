"""Numbers as people read them, bounds included."""

from __future__ import annotations

from chaoskit.model.figures import Figure

NS = 1e9


def seconds(ns: float) -> float:
    """Nanoseconds as seconds, to the nanosecond (so that the same run always prints the same digits)."""
    return round(ns / NS, 9)


def duration_text(value_s: float, width_s: float = 0.1) -> str:
    """Such as "21.3 s" or "5 ms", with as many digits as an uncertainty of `width_s` leaves."""
    if abs(value_s) < 1:
        return f"{value_s * 1000:.3g} ms"
    decimals = 1 if width_s >= 0.1 else 2 if width_s >= 0.01 else 3
    return f"{value_s:.{decimals}f} s"


def between_text(point_s: float, low_s: float, high_s: float) -> str:
    """Such as "21.3 s (21.2 to 21.4 s)"."""
    width = high_s - low_s
    return f"{duration_text(point_s, width)} ({duration_text(low_s, width)} to {duration_text(high_s, width)})"


def share_text(share: float) -> str:
    """Such as "99.96 %": never rounded up to 100 %, nor down to 0 %."""
    if share in (0.0, 1.0):
        return f"{share * 100:.0f} %"
    text = f"{share * 100:.4g}"
    if text == "100":
        text = f"{share * 100:.6f}".rstrip("0")
        return "just under 100 %" if text == "100." else f"{text} %"
    return f"{text} %"


def invalid(figure: Figure, reasons: tuple[str, ...]) -> Figure:
    """The same figure, marked invalid for these reasons; itself where there are none."""
    if not reasons:
        return figure
    return figure.model_copy(
        update={
            "valid": False,
            "reasons": (*reasons, *figure.reasons),
            "text": f"invalid: {figure.text}" if figure.text else "unknown",
        }
    )


def unknown(reason: str, *, unit: str = "s", rule: str = "") -> Figure:
    """A figure that could not be computed at all."""
    return Figure(unit=unit, rule=rule, valid=False, reasons=(reason,), text=f"unknown: {reason}")
