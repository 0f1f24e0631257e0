"""Numbers and foreign text as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from chaoskit.reporting import text


def plain(value: str) -> str:
    return value.replace(text.NO_BREAK, " ").replace(text.NARROW_SPACE, "")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (19.3, "19.30 s"),
        (0.412, "412 ms"),
        (0.0042, "4.2 ms"),
        (0.00004, "0.04 ms"),
        (0, "0 s"),
        (None, "–"),
        (-3.0, "−3.00 s"),
        (float("inf"), "∞"),
    ],
)
def test_seconds(value: float | None, said: str) -> None:
    assert plain(text.seconds(value)) == said


def test_nothing_is_ever_printed_as_zero_that_is_not_zero() -> None:
    assert plain(text.seconds(1e-7)) != "0 s"
    assert not plain(text.seconds(1e-7)).startswith("0 ms")
    assert plain(text.percent(0.000001)) == "0.0001 %"
    assert plain(text.percent(0.99999)) == "99.999 %"
    assert plain(text.percent(1)) == "100 %"
    assert plain(text.percent(0.9, 0)) == "90 %", "the zero of a whole number is no decimal"
    assert plain(text.percent(0.996, 0)) == "99.6 %"
    assert text.number(19.6, 0) == "20"


def test_bounds_keep_the_digits_that_their_width_carries() -> None:
    assert plain(text.span(19.21, 19.43)) == "19.21 to 19.43 s"
    assert plain(text.span(18, 24)) == "18.0 to 24.0 s"
    assert plain(text.span(65.0, None)) == "more than 65.00 s"
    assert text.span(None, None) == "–"


def test_instants_have_a_sign() -> None:
    assert plain(text.instant(10.0411)) == "+10.041 s"
    assert plain(text.instant(-30)) == "−30.000 s"
    assert text.instant(None) == "–"


def test_wall_clock() -> None:
    assert text.wall_clock("2026-11-22T09:30:00+00:00") == "22 November 2026, 09:30:00 UTC"
    assert text.wall_clock("2026-11-22T09:30:00Z") == "22 November 2026, 09:30:00 UTC"
    assert text.wall_clock("yesterday") == "yesterday"
    assert text.elapsed_s("2026-11-22T09:30:00Z", "2026-11-22T09:31:30Z") == 90
    assert text.elapsed_s("", "2026-11-22T09:31:30Z") is None


def test_what_could_hide_or_reorder_text_is_spelled_out() -> None:
    assert text.clean("a\x00b\x1b[31mc\u202ed\ud800") == "a\\x00b\\x1b[31mc\\x202ed\\xd800"
    assert text.clean("tab\tand\nline stay, é 日本 too") == "tab\tand\nline stay, é 日本 too"


def test_a_long_line_says_how_much_was_cut() -> None:
    assert text.one_line("x" * 500, 400).endswith("(100 more characters)")


def test_nested_data_becomes_rows() -> None:
    data = {"cpu": {"count": 2, "flags": ["a", "b"]}, "swap": None, "ok": True, "disks": [{"name": "sda"}]}
    assert text.flattened(data) == [
        ("cpu.count", "2"),
        ("cpu.flags", "a, b"),
        ("swap", "–"),
        ("ok", "yes"),
        ("disks[0].name", "sda"),
    ]


MARKDOWN = MarkdownIt("gfm-like", {"html": True, "linkify": False})


@given(st.text(min_size=1, max_size=60))
def test_any_text_survives_markdown_as_itself(foreign: str) -> None:
    shown = text.one_line(foreign, 2000)
    tokens = MARKDOWN.parse(f"| a | b |\n| - | - |\n| {text.markdown(foreign)} | {text.code(foreign)} |")
    cells = [t for t in tokens if t.type == "inline"][2:]
    assert len(cells) == 2
    for cell in cells:
        kinds = {child.type for child in cell.children or []}
        assert kinds <= {"text", "code_inline", "text_special"}, f"{foreign!r} became {kinds}"
    said = "".join(child.content for child in cells[0].children or []).replace(text.WORD_JOINER, "")
    assert said == shown.replace(text.WORD_JOINER, "").strip()


def test_mentions_and_addresses_stay_inert_text() -> None:
    escaped = text.markdown("ping @all at http://evil.example/")
    assert "@all" not in escaped
    assert "http://" not in escaped


def test_a_table_has_one_line_a_row() -> None:
    table = text.table(["a", "b"], [["1", "2"], ["", "x"]], right=[0])
    assert table.splitlines() == ["| a | b |", "| ---: | --- |", "| 1 | 2 |", "|   | x |"]
