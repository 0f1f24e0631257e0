"""The report in a real browser, from its file: it asks for nothing, complains of nothing, fits, and axe finds nothing serious."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskit.reporting.combined import render_combined
from chaoskit.reporting.render import render
from tests.reporting.browser import MISSING, Browser, browser
from tests.reporting.recorded_runs import DAY, Shape, write_run
from tests.reporting.test_hostile import PAYLOADS, poisoned_run

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=MISSING), pytest.mark.timeout(300)]
LOOKS = [(400, False), (400, True), (1600, False), (1600, True)]
PAGES = ["passed", "three", "dirty", "game day", "hostile", "combined"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def shown(rendered: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Name -> a page."""
    root = tmp_path_factory.mktemp("pages")
    day = write_run(root / "day", Shape(lost=4, game_day=DAY))
    hostile = poisoned_run(root / "hostile", PAYLOADS["markup"] + PAYLOADS["attribute"])
    for run in (day, hostile):
        render(run, ("html",))
    render_combined([rendered["passed"], rendered["never"], rendered["lost"], day], root / "combined.html", "html", "A day")
    pages = {name: rendered[name] / "report.html" for name in ("passed", "three", "dirty")}
    return pages | {"game day": day / "report.html", "hostile": hostile / "report.html", "combined": root / "combined.html"}


@pytest.mark.parametrize(("width", "dark"), LOOKS, ids=["phone light", "phone dark", "wide light", "wide dark"])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_asked_for_or_complained_of_it_fits_and_axe_is_content(
    chromium: Browser, shown: dict[str, Path], name: str, width: int, dark: bool
) -> None:
    chromium.open(shown[name], width=width, dark=dark)
    chromium.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    for zoom in chromium.run("return [...document.querySelectorAll('[data-zoom=\"4\"]')].map(b => (b.click(), b.dataset.zoom))"):
        assert zoom == "4"
    assert [r for r in chromium.requests() if r != shown[name].absolute().as_uri() and not r.startswith("data:")] == []
    assert chromium.complaints() == []
    assert chromium.run("return document.documentElement.scrollWidth") <= width
    if dark == (width > 720):  # each width and each theme once: axe takes its time
        assert chromium.axe() == []


def test_hostile_text_runs_nothing(chromium: Browser, shown: dict[str, Path]) -> None:
    """A script of theirs would call alert, and selenium would raise over the open dialog."""
    chromium.open(shown["hostile"])
    assert (
        chromium.run("return document.scripts.length")
        == chromium.run("return document.querySelectorAll('[data-readout]').length") + 1
    )
    assert chromium.run("return document.images.length + document.querySelectorAll('iframe, object, embed').length") == 0
    assert "alert(1)" in chromium.run("return document.body.innerText")


@pytest.mark.parametrize("name", ["passed", "combined"])
def test_everything_is_there_without_javascript(chromium: Browser, shown: dict[str, Path], name: str) -> None:
    """Disabled scripts include ours, so what is there is read from the pixels' side: the layout tree."""
    chromium.open(shown[name], script=False)
    tree = chromium.driver.execute_cdp_cmd("DOMSnapshot.captureSnapshot", {"computedStyles": []})
    seen = " ".join(tree["strings"])
    for text in {"passed": ["Users were down for", "node.power_off on db1", "Availability"], "combined": ["4 runs", "Worst RTO"]}[
        name
    ]:
        assert text in seen
    chromium.open(shown[name])
    hidden = chromium.run(
        "return [...document.querySelectorAll('section')].filter(s => !s.getBoundingClientRect().height).map(s => s.id)"
    )
    assert hidden == []


def test_the_time_line_is_read_by_keyboard_and_pointer_and_zoomed(chromium: Browser, shown: dict[str, Path]) -> None:
    chromium.open(shown["passed"])
    press = (
        "const s = document.querySelector('.tl-scroll'); s.focus();"
        "s.dispatchEvent(new KeyboardEvent('keydown', {key: arguments[0], bubbles: true}));"
        "return document.querySelector('.tl-readout').textContent"
    )
    first = chromium.run(press, "ArrowRight")
    second = chromium.run(press, "PageDown")
    assert "orders" in first
    assert "leader db1" in first
    assert first != second
    before = chromium.run("return document.querySelector('.tl-canvas').getBoundingClientRect().width")
    chromium.run("document.querySelector('[data-zoom=\"4\"]').click()")
    assert chromium.run("return document.querySelector('.tl-canvas').getBoundingClientRect().width") > 3 * before
    assert chromium.run("return document.querySelector('[data-zoom=\"4\"]').getAttribute('aria-pressed')") == "true"
    unreachable = chromium.run(
        "return [...document.querySelectorAll('.scroll')].filter(s => s.scrollWidth > s.clientWidth && s.tabIndex < 0).length"
    )
    assert unreachable == 0, "what scrolls can be reached by keyboard"


def test_a_run_of_100_000_samples_opens_in_less_than_two_seconds(chromium: Browser, tmp_path: Path) -> None:
    """The best of three: other work on the machine only makes it slower."""
    run = write_run(tmp_path / "run", Shape(rate_factor=16, lost=13))
    (page,) = render(run, ("html",))
    took = []
    for _ in range(3):
        chromium.open(page)
        took.append(chromium.run("const t = performance.timing; return (t.loadEventEnd - t.navigationStart) / 1000"))
    assert 0 < min(took) < 2.0, took
