"""Every page: links lead somewhere, nothing names one machine, examples of YAML are what the schemas allow."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from tests.docs.blocks import ROOT

PAGES = sorted(
    p
    for pattern in ("*.md", "docs/**/*.md", "labs/**/*.md", "experiments/**/*.md", "reports/README.md", "reports/sample/*.md")
    for p in ROOT.glob(pattern)
)
PAGES_OF_OURS = [p for p in PAGES if "sample" not in p.parts]
SCHEMAS = {name: json.loads((ROOT / f"docs/schema/{name}.json").read_text(encoding="utf-8")) for name in ("experiment", "lab")}
_LINK = re.compile(r"(?<!`)\[[^\]\n]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_FORBIDDEN = (
    re.compile(r"/(work|root|home/\w+)(/|\b)(?!\w)"),
    re.compile(r"\b[Ii]ssue \d"),
)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    found = set()
    for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "")
        found.add(re.sub(r"[^\w -]", "", plain.lower()).replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES_OF_OURS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in _LINK.findall(text):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"{page.relative_to(ROOT)} links to {target}, which is not there"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{page.relative_to(ROOT)} links to {target}; there is {sorted(anchors(there))}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_page_names_one_machine(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for pattern in _FORBIDDEN:
        found = pattern.search(text)
        assert found is None, f"{page.relative_to(ROOT)} says {text[max(found.start() - 30, 0) : found.end() + 30]!r}"


def shown_yaml(page: Path) -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", [p for p in PAGES_OF_OURS if shown_yaml(p)], ids=lambda p: str(p.relative_to(ROOT)))
def test_examples_of_yaml_are_what_the_schemas_allow(page: Path) -> None:
    for text in shown_yaml(page):
        shown = YAML(typ="safe").load(text)
        shown = {"method": shown} if isinstance(shown, list) else shown
        of_a_lab = "nodes" in shown or (page.name == "lab-file.md" and set(shown) <= set(SCHEMAS["lab"]["properties"]))
        schema = SCHEMAS["lab" if of_a_lab else "experiment"]
        part = {**schema, "required": [], "anyOf": [{}]}  # a page may show a few keys of a file
        jsonschema.Draft202012Validator(part).validate(shown)


def test_every_page_under_docs_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    pending = [ROOT / "README.md"]
    while pending:
        page = pending.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        text = _FENCE.sub("", page.read_text(encoding="utf-8"))
        pending += [
            (page.parent / t.partition("#")[0]).resolve()
            for t in _LINK.findall(text)
            if not t.startswith(("http", "#")) and (page.parent / t.partition("#")[0]).is_file()
        ]
    unreachable = [str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md") if p not in seen]
    assert unreachable == []
