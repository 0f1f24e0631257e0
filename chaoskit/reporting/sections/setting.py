"""Where and how it was run, what was put back, and how each figure is computed."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from chaoskit.model.figures import Figure
from chaoskit.reporting.text import code, elapsed_s, flattened, markdown, seconds, table, wall_clock
from chaoskit.reporting.view import View


def facts(view: View) -> list[tuple[str, list[tuple[str, str]]]]:
    """(heading, rows) of all that one would need to run it again."""
    result = view.result
    run = [
        ("run", result.run_id),
        ("experiment", result.experiment.path),
        ("experiment sha256", result.experiment.sha256),
        ("tags", ", ".join(result.experiment.tags)),
        ("seed", str(result.seed)),
        ("started", wall_clock(result.started)),
        ("ended", wall_clock(result.ended)),
        ("took", seconds(elapsed_s(result.started, result.ended), 1)),
        ("result schema", result.schema_),
    ]
    lab = [
        ("lab", result.lab.name),
        ("backend", result.lab.backend),
        ("mode", result.lab.mode),
        ("variant", result.lab.variant or ""),
        *flattened(result.lab.settings),
    ]
    undo = [("owed", str(result.undo.owed)), ("paid", str(result.undo.paid)), ("still dirty", str(len(result.undo.dirty)))]
    groups = [("Run", run), ("Lab and settings", lab), ("Environment", flattened(result.environment)), ("Put back", undo)]
    return [(name, [row for row in rows if row[1]]) for name, rows in groups]


class SettingSection:
    name = "setting"
    title = "Where and how it was run"
    order = 100

    def html(self, view: View) -> Markup:
        return view.template("setting.html.j2", view=view, groups=facts(view))

    def markdown(self, view: View) -> str:
        rows = [[name, code(key), code(value)] for name, group in facts(view) for key, value in group]
        return table(["", "Name", "Value"], rows)


def _figures(view: View) -> Iterator[tuple[str, Figure]]:
    for trial in view.result.trials:
        for client in trial.clients.values():
            for name in ("rto", "user_rto", "fault_rto", "availability", "reconnect"):
                if (figure := getattr(client, name)) is not None:
                    yield name, figure
        for owner in (trial.rpo, trial.flapping):
            for name in type(owner).model_fields if owner is not None else ():
                if isinstance(figure := getattr(owner, name), Figure):
                    yield name, figure
        for phase in trial.phases:
            yield f"phase: {phase.name}", phase.at


class RulesSection:
    name = "rules"
    title = "How each figure is computed"
    order = 110

    def rules(self, view: View) -> list[tuple[str, str]]:
        return list(dict.fromkeys((name.replace("_", " "), figure.rule) for name, figure in _figures(view) if figure.rule))

    def html(self, view: View) -> Markup:
        rules = self.rules(view)
        return view.template("rules.html.j2", rules=rules) if rules else Markup("")

    def markdown(self, view: View) -> str:
        rows = [[markdown(name), markdown(rule)] for name, rule in self.rules(view)]
        return table(["Figure", "Rule"], rows) if rows else ""
