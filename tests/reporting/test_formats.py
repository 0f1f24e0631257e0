"""JSON and PDF: the same content, the same bytes, and a clear word where the PDF cannot be made."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chaoskit.model.errors import CapabilityMissing, InputError
from chaoskit.reporting import pdf
from chaoskit.reporting.render import render, rendered
from tests.reporting.recorded_runs import DAY, Shape, write_run
from tests.reporting.test_hostile import PAYLOADS, poisoned_run

needs_pdf = pytest.mark.skipif(bool(pdf.why_no_pdf()), reason=pdf.why_no_pdf())
needs_pdftotext = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs pdftotext: apt-get install poppler-utils")


def words_of(path: Path) -> str:
    said = subprocess.run(["pdftotext", "-layout", path, "-"], capture_output=True, text=True, check=True, timeout=60).stdout
    return " ".join(said.replace("\u00a0", " ").split())


def test_json_says_what_people_are_told_and_holds_the_result(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Shape(lost=3, game_day=DAY))
    assert render(run, ("json",)) == (run / "report.json",)
    said = json.loads((run / "report.json").read_text())
    assert said["schema"] == "chaoskit.report/1"
    assert said["verdict"] == "failed"
    assert "3 of 1312 acknowledged writes were lost" in said["loss"]
    assert "Acknowledged writes lost" in [f["title"] for f in said["findings"]]
    assert all(f["evidence"] and f["reference"].startswith("docs/findings.md#") for f in said["findings"])
    assert said["suggestions"][-1]["command"].endswith("--repeat 6")
    assert said["result"] == json.loads((run / "result.json").read_text())


@pytest.mark.slow
@needs_pdf
@needs_pdftotext
@pytest.mark.timeout(300)
def test_the_pdf_has_the_content_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Shape(lost=3, game_day=DAY))
    (path,) = render(run, ("pdf",))
    first = path.read_bytes()
    assert first.startswith(b"%PDF-")
    assert rendered(run, "pdf") == first
    said = words_of(path)
    for expected in (
        "The primary loses power",
        "Users were down for 19.30 s",
        "3 of 1312 acknowledged writes were lost",
        "run-orders-800",
        "Does the pager go off before customers call?",
        "received promote request",
        "What to try next",
        "20261122-093000-k3x9",
    ):
        assert expected in said
    assert re.search(r"\b1 / \d+", said), "pages are numbered"


@pytest.mark.slow
@needs_pdf
@needs_pdftotext
@pytest.mark.timeout(300)
def test_hostile_text_is_text_in_the_pdf_and_nothing_is_fetched(tmp_path: Path) -> None:
    """`_nothing` raises for whatever the page would ask for."""
    run = poisoned_run(tmp_path / "run", PAYLOADS["attribute"])
    (path,) = render(run, ("pdf",))
    assert b"evil.example" not in b"".join(re.findall(rb"/URI ?\([^)]*\)", path.read_bytes()))
    assert 'onmouseover="alert(1)"' in words_of(path)


def test_pictures_get_the_style_they_use_and_paper_has_no_script(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    page = rendered(run, "html").decode()
    style = re.search(r"<style>(.*?)</style>", page, re.S)
    assert style is not None
    styled = pdf.styled(page, style.group(1))
    assert "<script" not in styled
    assert not re.search(r"<details(?![^>]*\bopen\b)", styled)
    strip = styled[styled.index('height="18" role="img"') :]
    strip = strip[: strip.index("</svg>")]
    assert ".b-down{fill: url(#p-down);}" in strip
    assert '<pattern id="p-down"' in strip
    assert ".pf-down{fill: #c8371f;}" in strip, "the pattern's own colours come along"
    assert "var(" not in strip
    assert styled.count("<svg") == page.count("<svg"), "no picture is lost"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ImportError("No module named 'weasyprint'"), "pip install 'chaoskit[pdf]'"),
        (OSError("cannot load library"), "apt-get install"),
    ],
)
def test_where_no_pdf_can_be_made_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    real = importlib.import_module

    def missing(name: str, package: str | None = None) -> Any:
        if name == "weasyprint":
            raise error
        return real(name, package)

    monkeypatch.setattr("importlib.import_module", missing)
    run = write_run(tmp_path / "run")
    with pytest.raises(CapabilityMissing, match=re.escape(said)):
        render(run, ("html", "pdf"))
    assert not (run / "report.html").exists(), "all that was asked for, or nothing"
    assert said in pdf.why_no_pdf()


def test_weasyprint_is_imported_by_a_pdf_only() -> None:
    seen = "import sys, chaoskit.surfaces.cli; print('weasyprint' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_the_summary_is_short_and_answers_first(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Shape(lost=3, game_day=DAY))
    (path,) = render(run, ("summary",))
    assert path.name == "summary.md"
    text = path.read_text()
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    expected = ["Verdict", "Where the time went", "What stands out, and what to try next", "Game day"]
    assert headings == [f"## {title}" for title in expected]
    assert text.index("**Failed.** Users were down for 19.30") < 200
    assert len(text) < 6000, "a comment on a pull request holds 65 536 characters, and a reader less"


def test_an_unknown_format_names_those_that_there_are(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    with pytest.raises(InputError, match="html, md, summary, junit, pdf, json"):
        render(run, ("docx",))
