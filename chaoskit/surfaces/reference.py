"""The generated part of the documentation: whole pages, and blocks between markers in pages written by hand.

`python -m chaoskit.surfaces.reference [--check] [ROOT]` writes them (or says which are stale, and exits with 1). Nothing in them
depends on the machine: the same code gives the same text, and the test run compares the two.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from chaoskit.engine.explaining import written_name
from chaoskit.engine.registry import Registry
from chaoskit.model import capability
from chaoskit.model.experiment import Experiment
from chaoskit.model.lab import LabSpec
from chaoskit.model.names import as_tuple
from chaoskit.ports.fault import Fault
from chaoskit.ports.measure import Objective
from chaoskit.surfaces import measured, worked_example
from chaoskit.surfaces.catalogue import client_data, fault_data
from chaoskit.surfaces.documentation import default_words, field_docs, type_words
from chaoskit.surfaces.markdown import anchor, bullets, cell, default_cell, paragraphs, summary, table, yaml_text
from chaoskit.surfaces.schema import experiment_schema, lab_schema, result_schema

HEADER = "<!-- Written by `make docs` from the code; edit the code, not this page. -->\n"
CAPABILITIES = tuple(
    sorted(v for k, v in vars(capability).items() if k.isupper() and isinstance(v, str) and v != capability.CONTAINER_IMAGE)
)
"""Of labs of namespaces, as root or not: images are of containers only."""
ROOTLESS_LACKS = frozenset(
    c for c in CAPABILITIES if c.startswith(("volume.", "resource.quota.")) or c == capability.PACKAGES_DEBIAN
)
"""What the namespace backend cannot do without root, on any machine: loop devices, and apt. See docs/rootless.md."""
_BLOCK = re.compile(r"(<!-- generated: (?P<name>[\w.-]+) -->\n).*?(<!-- end of generated -->)", re.DOTALL)


def pages(registry: Registry) -> dict[str, str]:
    """Path below the repository -> the whole text."""
    schemas = {"experiment": experiment_schema, "lab": lab_schema, "result": result_schema}
    return {
        "docs/faults.md": faults_page(registry),
        "docs/clients.md": clients_page(registry),
        "docs/objectives.md": objectives_page(registry),
        "docs/experiment-reference.md": keys_page(Experiment, "experiment.yaml", "experiment-file.md"),
        "docs/lab-reference.md": keys_page(LabSpec, "lab.yaml", "lab-file.md"),
        **{f"docs/schema/{n}.json": json.dumps(made(registry), indent=2, sort_keys=True) + "\n" for n, made in schemas.items()},
    }


def blocks(registry: Registry, root: Path) -> dict[str, str]:
    """Name of a block -> its text. A page that has the markers gets it."""
    return {
        "commands": command_tables(),
        "faults": families_table(registry),
        "capabilities": capability_table(registry),
        **measured.blocks(root),
        **worked_example.blocks(root),
    }


def families_table(registry: Registry) -> str:
    """The faults of each family, one row a family."""
    families: dict[str, list[str]] = {}
    for name, _ in _faults(registry):
        families.setdefault(name.partition(".")[0], []).append(name)
    rows = []
    for family, names in families.items():
        links = (f"[{name.partition('.')[2] or name}](docs/faults.md#{anchor(name)})" for name in names)
        rows.append((f"`{family}`", ", ".join(links)))
    return table(("Family", "Faults"), rows)


def _faults(registry: Registry) -> Iterable[tuple[str, type[Fault]]]:
    return registry.all("faults").items()


def faults_page(registry: Registry) -> str:
    """Every fault: parameters, steps, undo, needs, an example."""
    parts = [
        HEADER,
        "# Faults\n",
        "Each fault is one entry of `method`. Steps are shown for the example of each fault on a lab of `db1` (the primary), "
        "`db2`, `db3` and `app` (where clients run). `chaoskit faults NAME` prints the same on a terminal. How to add one: "
        "[extending/fault.md](extending/fault.md).\n",
        bullets(f"[`{name}`](#{anchor(name)}): {summary(kind)}" for name, kind in _faults(registry)),
    ]
    for name, kind in _faults(registry):
        parts.append(_fault_section(name, kind))
    return "\n".join(parts)


def _fault_section(name: str, kind: type[Fault]) -> str:
    data = fault_data(name, kind, {})
    given = [(f"`{p['name']}`", cell(p["type"]), default_cell(p["default"]), cell(p["meaning"])) for p in data["parameters"]]
    steps = data["example_steps"]
    parts = [
        f"## {name}\n",
        paragraphs(data["description"]),
        f"Stands for: {data['outage']}.\n",
        "Parameters, under `with:`:\n" if given else "No parameters.\n",
        table(("Key", "Value", "Default", "Meaning"), given) if given else "",
        "Example:\n",
        f"```yaml\n{yaml_text([data['example']])}\n```\n",
        "Steps:\n",
        bullets(steps["inject"]),
        "Restored by:\n" if steps["heal"] else "The example leaves nothing in force, so there is nothing to restore.\n",
        bullets(steps["heal"]) if steps["heal"] else "",
        "Nothing stays in force after the injection; healing makes good what it broke.\n"
        if data["one_shot"] and steps["heal"]
        else "",
        "Needs:\n",
        bullets(f"`{n['capability']}`{'' if n['required'] else ' (not required)'}, {n['why']}" for n in data["needs"]),
        f"Where it runs: {where_it_runs(data['needs'])}\n",
    ]
    return "\n".join(part for part in parts if part)


def where_it_runs(needs: Sequence[Mapping[str, Any]]) -> str:
    """In one sentence."""
    lacking = [n for n in needs if n["capability"] in ROOTLESS_LACKS]
    if any(n["required"] for n in lacking):
        rights = ", ".join(n["capability"] for n in lacking)
        return f"the backends namespace, as root, and docker; not rootless ({rights} needs root)."
    if lacking:
        return f"the backends namespace, as root and rootless, and docker; rootless it runs without {lacking[0]['capability']}."
    return "the backends namespace, as root and rootless, and docker."


def clients_page(registry: Registry) -> str:
    """Every client type: operations, classes, keys."""
    kinds = registry.all("clients")
    parts = [
        HEADER,
        "# Clients\n",
        "A client keeps using the cluster while it is broken, at instants fixed in advance. Its class says what it measures: "
        "`fresh` (a new connection for each attempt: the outage itself), `pooled` (a real driver with its pool: what users of "
        "that driver feel), `direct` (one node, past every load balancer). How to add a type: "
        "[extending/client.md](extending/client.md).\n",
    ]
    first = True
    for name, kind in kinds.items():
        data = client_data(name, kind)
        if first:
            parts += ["## Keys of every client\n", _key_table(data["common"])]
            first = False
        operations = (
            f"`{o}`: {m}{' (a ledger: what it acknowledged must survive)' if o in data['ledger_operations'] else ''}"
            for o, m in data["operations"].items()
        )
        parts += [
            f"## {name}\n",
            paragraphs(inspect.getdoc(kind) or ""),
            "Operations:\n",
            bullets(operations),
            f"Classes: {', '.join(f'`{c}`' for c in data['classes'])}.\n",
            "Keys of the client, besides those of every client:\n" if data["options"] else "No further keys of the client.\n",
            _key_table(data["options"]) if data["options"] else "",
            f"Keys of an endpoint of kind `{name}`, besides `kind`, `hosts`, `address` and `port`:\n"
            if data["endpoint_options"]
            else f"No further keys of an endpoint of kind `{name}`.\n",
            _key_table(data["endpoint_options"]) if data["endpoint_options"] else "",
        ]
    return "\n".join(part for part in parts if part)


def objectives_page(registry: Registry) -> str:
    """Every objective, with the rule by which a limit is judged."""
    rows = []
    for name, kind in registry.all("objectives").items():
        objective: Objective = kind
        rows.append((f"`{name}`", cell(summary(objective)), f"`{name}: {objective.example}`"))
    parts = [
        HEADER,
        "# Objectives\n",
        "One key of `objectives:` each. A limit is met only where the whole of the figure's bounds keeps it, missed only where "
        "none of it does, and unknown in between or where the figure is invalid. Unknown is never a pass. How each figure is "
        "computed: "
        "[measurement.md](measurement.md).\n",
        table(("Objective", "What it promises", "Example"), rows),
        "`rto`, `outage` and `availability` hold for every client of class `fresh`, or for those that are named: "
        '`rto: {orders: "<= 30s"}`. `rpo` takes any of `writes`, `window` (a duration), '
        "`duplicates`, `phantoms` and `divergence`. `stale_reads` takes any of `reads`, `writes` and `behind` (a duration), for "
        "every client that reads a ledger or for those that are named.\n",
        "For a client with several vantages (`from: [c0, c1]`) `rto` and `outage` hold for the time in which *any* of them is "
        "down. `rto: {orders: {within: 15s, vantages: quorum}}` holds where no majority of them is ok, `all` where none is.\n",
    ]
    return "\n".join(parts)


def keys_page(model: type[BaseModel], file: str, guide: str) -> str:
    """Every key of a file, one table a record."""
    records = list(_records(model))
    parts = [
        HEADER,
        f"# Every key of {file}\n",
        f"For how they work together see [{guide}]({guide}); `chaoskit schema` prints the same as JSON Schema for editors.\n",
    ]
    for record in records:
        title = f"The file itself ({record.__name__})" if record is model else record.__name__
        parts += [f"## {title}\n", paragraphs(record.__doc__ or ""), _record_table(record)]
    return "\n".join(parts)


def _records(model: type[BaseModel], seen: dict[str, type[BaseModel]] | None = None) -> Iterator[type[BaseModel]]:
    """The record and every record below it, in the order in which a reader meets them."""
    known = {} if seen is None else seen
    if model.__name__ in known or type_words(model) == "limit, such as <= 30s":
        return
    known[model.__name__] = model
    yield model
    for info in model.model_fields.values():
        for inner in _inner_records(info.annotation):
            yield from _records(inner, known)


def _inner_records(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _inner_records(argument)


def _record_table(record: type[BaseModel]) -> str:
    docs = field_docs(record)
    rows = []
    for name, info in record.model_fields.items():
        rows.append((f"`{written_name(name, info)}`", _linked(info), default_cell(default_words(info)), cell(docs.get(name, ""))))
    return table(("Key", "Value", "Default", "Meaning"), rows)


def _linked(info: FieldInfo) -> str:
    words = _linked_type(info.annotation)
    if any(getattr(m, "func", None) is as_tuple for m in info.metadata):
        return "one name, or a list of names"
    return words


def _linked_type(annotation: Any) -> str:
    """`type_words`, with links to the tables of records."""
    arguments = get_args(annotation)
    origin = get_origin(annotation)
    if origin is Annotated:
        return _linked_type(arguments[0])
    if not list(_inner_records(annotation)):
        return cell(type_words(annotation))
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        words = type_words(annotation)
        return cell(words) if words.startswith("limit") else f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_linked_type(a) for a in arguments if a is not type(None)))
    if origin is dict:
        return f"names, each with {_linked_type(arguments[1])}"
    return f"list of {_linked_type(arguments[0])}"


def command_tables() -> str:
    """Every command with its options, from the command line itself."""
    from chaoskit.surfaces.cli import cli

    return "\n".join(_command(command, f"chaoskit {name}") for name, command in sorted(_commands(cli)))


def _commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group) and command.invoke_without_command:
            yield prefix + name, command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


def _command(command: click.Command, name: str) -> str:
    context = click.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    text = " ".join((command.help or "").replace("\b", "").split())
    rows = []
    for parameter in command.params:
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None:
            rows.append((f"`{record[0]}`", cell(" ".join(record[1].split()))))
    return "\n".join(
        part for part in (f"### {name}\n", f"`{usage}`\n", f"{cell(text)}\n", table(("Option", ""), rows) if rows else "") if part
    )


def capability_table(registry: Registry) -> str:
    """Capability -> as root, rootless, and which faults need it."""
    needing: dict[str, list[str]] = {name: [] for name in CAPABILITIES}
    for fault_name, kind in _faults(registry):
        for need in fault_data(fault_name, kind, {})["needs"]:
            needing.setdefault(need["capability"], []).append(f"`{fault_name}`" + ("" if need["required"] else " (not required)"))
    rows = [
        (f"`{n}`", "yes", "no" if n in ROOTLESS_LACKS else "yes", ", ".join(needing[n]) or "no fault") for n in sorted(needing)
    ]
    return table(("Capability", "As root", "Rootless", "Needed by"), rows)


def _key_table(rows: Iterable[Mapping[str, str]]) -> str:
    return table(
        ("Key", "Value", "Default", "Meaning"),
        [(f"`{r['name']}`", cell(r["type"]), default_cell(r["default"]), cell(r["meaning"])) for r in rows],
    )


def generated(registry: Registry, root: Path) -> dict[Path, str]:
    """Every file that is generated, whole or in part, with what it should say. ValueError for an unknown block."""
    made = {root / name: text for name, text in pages(registry).items()}
    known = blocks(registry, root)
    for page in sorted(
        [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("labs/*/*.md"), *root.glob("experiments/*.md")]
    ):
        if page in made:
            continue
        text = page.read_text(encoding="utf-8")
        if "<!-- generated: " in text:
            made[page] = _BLOCK.sub(lambda m, page=page: _filled(m, known, page.parent == root), text)  # type: ignore[misc]
    return made


def _filled(match: re.Match[str], known: Mapping[str, str], at_root: bool) -> str:
    name = match["name"]
    if name not in known:
        raise ValueError(f"no generated block is called {name!r}; there are {', '.join(sorted(known))}")
    text = known[name] if at_root else known[name].replace("](docs/", "](")
    return f"{match[1]}{text}{match[3]}"


def stale(registry: Registry, root: Path) -> tuple[str, ...]:
    """The generated files that do not say what the code says."""
    wanted = generated(registry, root)
    return tuple(
        str(path.relative_to(root))
        for path, text in wanted.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    )


def main(arguments: Sequence[str]) -> int:
    """Write, or with `--check` compare."""
    checking = "--check" in arguments
    places = [a for a in arguments if a != "--check"]
    root = Path(places[0] if places else ".").resolve()
    registry = Registry()
    if checking:
        found = stale(registry, root)
        for name in found:
            print(f"stale: {name} (run `make docs`)")
        return 1 if found else 0
    for path, text in generated(registry, root).items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(root)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
