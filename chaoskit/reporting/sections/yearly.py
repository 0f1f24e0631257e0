"""What a year of such failures costs, and the error budget, where a failure rate was stated."""

from __future__ import annotations

from markupsafe import Markup

from chaoskit.reporting.text import markdown
from chaoskit.reporting.view import View


class YearlySection:
    name = "yearly"
    title = "Yearly downtime"
    order = 16

    def html(self, view: View) -> Markup:
        yearly = view.result.yearly
        return Markup("") if yearly is None else Markup("<p>{}.</p>").format(_sentence(yearly.text))

    def markdown(self, view: View) -> str:
        yearly = view.result.yearly
        return "" if yearly is None else f"{markdown(_sentence(yearly.text))}."


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
