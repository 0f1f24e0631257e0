"""Generated references say what the code says, and the shipped schemas accept the shipped files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from chaoskit.engine.registry import Registry
from chaoskit.model.capability import Survey
from chaoskit.surfaces import measured, reference
from chaoskit.surfaces.catalogue import EXAMPLE_LAB
from chaoskit.surfaces.installed import Installed
from tests.benchmarks import collect_measured
from tests.docs.blocks import ROOT
from tests.reporting.recorded_runs import Shape, write_run

REGISTRY = Registry()


@cache
def pages() -> Mapping[str, str]:
    return reference.pages(REGISTRY)


@pytest.mark.parametrize("name", sorted(pages()))
def test_a_page_is_what_the_code_says(name: str) -> None:
    file = ROOT / name
    assert file.is_file(), f"{name} is missing: run `make docs`"
    assert file.read_text(encoding="utf-8") == pages()[name], f"{name} is stale: run `make docs`"


@pytest.fixture
def made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages do not depend on where they are written: what made them for one test does for the next."""
    monkeypatch.setattr(reference, "pages", lambda registry: pages())


@pytest.mark.usefixtures("made_once")
def test_the_blocks_in_handwritten_pages_are_what_the_code_says() -> None:
    assert reference.stale(REGISTRY, ROOT) == (), "run `make docs`"


@pytest.mark.usefixtures("made_once")
def test_a_stale_page_is_noticed_and_written_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "README.md"
    page.write_text(
        "before\n<!-- generated: commands -->\nold text of a table\n<!-- end of generated -->\nafter\n", encoding="utf-8"
    )
    assert reference.main([str(tmp_path), "--check"]) == 1
    assert "stale: README.md" in capsys.readouterr().out
    assert "old text of" in page.read_text(encoding="utf-8"), "checking writes nothing"
    assert reference.main([str(tmp_path)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old text of" not in text
    assert "### chaoskit run" in text
    assert reference.main([str(tmp_path), "--check"]) == 0


@pytest.mark.usefixtures("made_once")
def test_an_unknown_block_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("<!-- generated: nonsense -->\n<!-- end of generated -->\n", encoding="utf-8")
    with pytest.raises(ValueError, match="nonsense"):
        reference.main([str(tmp_path)])


def test_every_fault_client_and_objective_has_its_place() -> None:
    for group, page in (("faults", "docs/faults.md"), ("clients", "docs/clients.md")):
        for name in REGISTRY.names(group):
            assert f"\n## {name}\n" in pages()[page]
    for name in REGISTRY.names("objectives"):
        assert f"| `{name}` |" in pages()["docs/objectives.md"]


def test_every_key_is_explained() -> None:
    """A key whose meaning is empty says nothing to whoever looks it up."""
    for name in ("docs/experiment-reference.md", "docs/lab-reference.md"):
        rows = re.findall(r"^\| `([\w-]+)` \| .* \| (.*) \|$", pages()[name], re.MULTILINE)
        assert rows
        assert [key for key, meaning in rows if not meaning.strip()] == [], name


@pytest.mark.parametrize("page", ["docs/faults.md", "docs/clients.md"])
def test_every_parameter_is_explained(page: str) -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| .* \| (.*) \|$", pages()[page], re.MULTILINE)
    assert len(rows) > 50
    assert [key for key, meaning in rows if not meaning.strip()] == []


@pytest.mark.parametrize("file", sorted(ROOT.glob("experiments/*/*.yaml")), ids=lambda p: p.stem)
def test_shipped_experiments_keep_the_shipped_schema(file: Path) -> None:
    schema = json.loads((ROOT / "docs/schema/experiment.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(YAML(typ="safe").load(file.read_text(encoding="utf-8")))


def test_what_rootless_lacks_is_what_the_backend_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The survey is told that it is not root; what it then refuses for that reason alone is what the pages say."""
    monkeypatch.setenv("CHAOSKIT_STATE", str(tmp_path / "state"))
    monkeypatch.setattr("chaoskit.backends.linux_host.survey.os.geteuid", lambda: 1234)
    survey: Survey = Installed().backend("namespace").survey(EXAMPLE_LAB)
    if not survey.has("node.power"):
        pytest.skip(f"no lab can be built here: {survey.reason('node.power')}")
    refused = {c.name for c in survey.capabilities if not c.present and re.search(r"needs? root", c.reason)}
    assert refused == reference.ROOTLESS_LACKS
    assert {c.name for c in survey.capabilities} == set(reference.CAPABILITIES)


TRIALS = {
    "21.30 s (21.20 s to 21.40 s)": {"rto_point_s": 21.3, "rto_low_s": 21.2, "rto_high_s": 21.4},
    "none seen, or shorter than 50.1 ms": {"rto_low_s": 0.0, "rto_high_s": 0.0501},
    "more than 60.00 s: not recovered by itself": {"rto_low_s": 60.0},
    "no valid figure": {},
}


def test_measured_trials_are_never_more_than_they_are(tmp_path: Path) -> None:
    lab, experiments = tmp_path / "labs/patroni", tmp_path / "experiments/patroni"
    experiments.mkdir(parents=True)
    lab.parent.mkdir()
    lab.mkdir()
    for place, name in ((lab, "labs/patroni/lab.yaml"), (experiments, "experiments/patroni/primary-power-off.yaml")):
        (place / Path(name).name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    for expected, figures in TRIALS.items():
        trial = {"verdict": "passed", "lost": 0, "acknowledged": 10, **figures}
        entry = {"experiment": "experiments/patroni/primary-power-off.yaml", "trials": [trial], "mode": "root", "machine": "m"}
        (lab / "measured.json").write_text(json.dumps([entry]), encoding="utf-8")
        made = measured.blocks(tmp_path)
        assert f"| 18.00 s to 26.00 s | {expected} | 0 of 10 | passed | namespace (root) |" in made["measured.patroni"]
    more = {"verdict": "failed", "availability": {"orders": 0.5}, "two_leaders_s": [11.5, 11.7]}
    entry = {"experiment": "experiments/patroni/primary-power-off.yaml", "trials": [more], "mode": "root", "machine": "m"}
    (lab / "measured.json").write_text(json.dumps([entry]), encoding="utf-8")
    made = measured.blocks(tmp_path)["measured.patroni"]
    assert "| Availability | Two leaders at once | Verdicts |" in made
    assert "Lost of acknowledged" not in made, "no trial kept a ledger"
    assert "| no valid figure | orders 50.00 % | 11.50 s to 11.70 s | failed | namespace (root) |" in made
    entry["trials"] = [more | {"two_leaders_s": [0.0, 17.0]}]
    (lab / "measured.json").write_text(json.dumps([entry]), encoding="utf-8")
    assert "| none seen, or shorter than 17.00 s |" in measured.blocks(tmp_path)["measured.patroni"]
    (lab / "measured.json").unlink()
    assert "not measured yet" in measured.blocks(tmp_path)["measured.patroni"]


@pytest.mark.parametrize(
    ("there", "overlap"),
    [
        ([(20.0, 20.4), (21.2, 22.0)], "yes"),
        ([(23.1, 23.4)], "no"),
        ([(20.0, None)], "unknown"),
    ],
)
def test_what_was_measured_on_two_backends_stands_side_by_side(
    tmp_path: Path, there: list[tuple[float, float | None]], overlap: str
) -> None:
    name = "experiments/patroni/primary-power-off.yaml"
    for path in ("labs/patroni/lab.yaml", name):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text((ROOT / path).read_text(encoding="utf-8"), encoding="utf-8")

    def entry(backend: str, mode: str, bounds: list[tuple[float, float | None]]) -> dict[str, object]:
        trials = [
            {"rto_low_s": low, "rto_high_s": high, "verdict": "passed", "lost": 0, "acknowledged": 9} for low, high in bounds
        ]
        return {"experiment": name, "backend": backend, "mode": mode, "machine": "m", "trials": trials}

    entries = [
        entry("namespace", "root", [(21.0, 23.0)]),
        entry("namespace", "rootless", [(1.0, 99.0)]),
        entry("docker", "local", there),
    ]
    (tmp_path / "labs/patroni/measured.json").write_text(json.dumps(entries), encoding="utf-8")
    rows = measured.blocks(tmp_path)["compared.backends"].splitlines()[2:]
    assert [row.split(" | ")[2] for row in rows] == ["namespace", "docker"], "as root, like containers"
    assert rows[0].endswith(f"| {overlap} |")
    assert "(docker)" in measured.blocks(tmp_path)["experiments.patroni"]
    for alone in (entries[:2], entries[2:]):
        (tmp_path / "labs/patroni/measured.json").write_text(json.dumps(alone), encoding="utf-8")
        made = measured.blocks(tmp_path)["compared.backends"].splitlines()
        assert len(made) == 2, "on one backend alone there is nothing to compare"


def test_measured_figures_come_from_recorded_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shapes = {"a": Shape(lost=60), "b": Shape(recovers=False), "c": Shape(verified=False)}
    for name, shape in shapes.items():
        write_run(tmp_path / "reports" / name, shape)
    (tmp_path / "reports" / "d").mkdir()
    result = json.loads((tmp_path / "reports/a/result.json").read_text(encoding="utf-8"))
    (tmp_path / "labs" / result["lab"]["name"]).mkdir(parents=True)
    collect_measured.main([str(p) for p in sorted((tmp_path / "reports").iterdir())], tmp_path)
    assert "d has no result.json" in capsys.readouterr().err
    (entry,) = measured.measured_experiments(tmp_path / "labs" / result["lab"]["name"])
    assert entry.experiment.startswith("experiments/")
    assert (entry.backend, entry.mode) == (result["lab"]["backend"], result["lab"]["mode"])
    assert [t.verdict for t in entry.trials] == ["failed", "failed", "unknown"]
    lost, never, unverified = entry.trials
    worst = max(c["rto"]["high"] for c in result["trials"][0]["clients"].values() if c["client_class"] == "fresh")
    assert (lost.lost, lost.rto_high_s) == (60, worst)
    assert never.rto_low_s is not None
    assert never.rto_high_s is None
    assert (unverified.rto_low_s, unverified.rto_high_s) == (None, None), "an invalid figure is no figure"
    collect_measured.main(["--add", str(tmp_path / "reports/a")], tmp_path)
    (entry,) = measured.measured_experiments(tmp_path / "labs" / result["lab"]["name"])
    assert [t.verdict for t in entry.trials] == ["failed", "failed", "unknown", "failed"]
    collect_measured.main([str(tmp_path / "reports/a")], tmp_path)
    (entry,) = measured.measured_experiments(tmp_path / "labs" / result["lab"]["name"])
    assert [t.verdict for t in entry.trials] == ["failed"], "without --add newer runs take the place of older ones"
