"""Every event of the run, and what the cluster's logs said."""

from __future__ import annotations

import re

from markupsafe import Markup

from chaoskit.reporting.text import code, instant, markdown, table
from chaoskit.reporting.view import View

MARKDOWN_EVENTS = 200
MARKDOWN_LOGS, MARKDOWN_LOG_LINES = 6, 12


class EventsSection:
    name = "events"
    title = "Events"
    order = 80

    def html(self, view: View) -> Markup:
        return view.template("events.html.j2", view=view) if view.events else Markup("")

    def markdown(self, view: View) -> str:
        chosen = [e for e in view.events if e.is_key or e.kind.startswith(("fault.", "baseline.", "trial."))]
        rows = [
            ["" if e.trial is None else str(e.trial), instant(e.t_s), markdown(e.text), markdown(e.source)]
            for e in chosen[:MARKDOWN_EVENTS]
        ]
        if not rows:
            return ""
        cut = f"\n\nThe first {len(rows)} of {len(chosen)}." if len(chosen) > len(rows) else ""
        return table(["Trial", "Time", "Event", "Source"], rows, right=(0, 1)) + cut


class LogsSection:
    name = "logs"
    title = "What the logs said"
    order = 65

    def html(self, view: View) -> Markup:
        return view.template("logs.html.j2", view=view) if view.logs else Markup("")

    def markdown(self, view: View) -> str:
        parts = []
        for log in view.logs[:MARKDOWN_LOGS]:
            lines = log.lines[-MARKDOWN_LOG_LINES:]
            longest = max((len(run) for line in lines for run in re.findall(r"`+", line)), default=0)
            fence = "`" * max(3, longest + 1)
            parts.append(f"{code(log.path)} ({markdown(log.about)}):\n\n{fence}text\n" + "\n".join(lines) + f"\n{fence}")
        return "\n\n".join(parts)
