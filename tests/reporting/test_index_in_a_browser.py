"""The index page in a real browser: it asks for nothing, fits, axe is content; it sorts, filters, and needs neither."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskit.archive.index import opened
from chaoskit.surfaces.indexing import write_page
from tests.archive.folders import write_run
from tests.reporting.browser import MISSING, Browser, browser
from tests.reporting.test_hostile import PAYLOADS
from tests.reporting.test_index_page import folder

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=MISSING), pytest.mark.timeout(300)]
NAMES = (
    "return [...document.querySelectorAll('.ix-runs tbody tr')].filter(r => !r.hidden)"
    ".map(r => r.querySelector('small').textContent)"
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as open_browser:
        yield open_browser


@pytest.fixture(scope="module")
def index_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    reports = folder(tmp_path_factory.mktemp("reports"))
    hostile = PAYLOADS["markup"] + PAYLOADS["attribute"]
    write_run(reports, "hostile", title=hostile, file=hostile, lab=hostile, backend=hostile, incomplete=hostile, day=1.5)
    with opened(reports) as index:
        return write_page(index, reports)


@pytest.mark.parametrize(("width", "dark"), [(400, False), (400, True), (1600, False), (1600, True)])
def test_nothing_is_asked_for_or_complained_of_it_fits_and_axe_is_content(
    chromium: Browser, index_page: Path, width: int, dark: bool
) -> None:
    chromium.open(index_page, width=width, dark=dark)
    chromium.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert [r for r in chromium.requests() if r != index_page.absolute().as_uri() and not r.startswith("data:")] == []
    assert chromium.complaints() == []
    assert chromium.run("return document.documentElement.scrollWidth") <= width
    assert chromium.axe() == []


def test_it_sorts_by_what_is_meant_and_filters(chromium: Browser, index_page: Path) -> None:
    chromium.open(index_page)
    newest_first = chromium.run(NAMES)
    assert newest_first[0] == "owes"
    click = "document.querySelectorAll('.ix-sort')[arguments[0]].click()"
    chromium.run(click, 2)  # started
    assert chromium.run(NAMES) == newest_first[::-1]
    chromium.run(click, 5)  # RTO, upwards: what never recovered comes last but for those without a figure
    names = chromium.run(NAMES)
    assert names.index("a0") < names.index("a4") < names.index("never") < names.index("unverified")
    assert chromium.run("return document.querySelectorAll('th[aria-sort]').length") == 1
    chromium.run(click, 5)
    assert chromium.run("return document.querySelectorAll('.ix-runs th')[5].getAttribute('aria-sort')") == "descending"
    find = "const f = document.querySelector('.ix-find input'); f.value = arguments[0]; f.dispatchEvent(new Event('input'));"
    chromium.run(find, "haproxy passed")
    assert chromium.run(NAMES) == ["web #1?"]
    assert chromium.run("return document.querySelector('.ix-find [role=status]').textContent") == "1 of 12"
    chromium.run(find, "")
    assert len(chromium.run(NAMES)) == 12


def test_everything_is_there_without_javascript(chromium: Browser, index_page: Path) -> None:
    chromium.open(index_page, script=False)
    strings = chromium.driver.execute_cdp_cmd("DOMSnapshot.captureSnapshot", {"computedStyles": []})["strings"]
    seen = " ".join(strings)
    for text in ("12 recorded runs", "The primary loses power", "never recovered while anybody looked", "predicted: 18 to 24 s"):
        assert text in seen
    assert not {"ix-find", "ix-sort"} & set(strings), "what works only with scripts is not offered without"
