"""The page as a PDF, by WeasyPrint: no browser, nothing fetched, the same bytes for the same page.

WeasyPrint draws each picture as a document of its own, which knows neither the page's style sheet nor patterns that another
picture defines: every picture gets those rules and definitions that it uses.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Any

from chaoskit.model.errors import CapabilityMissing

MISSING = (
    "a PDF is made by WeasyPrint, which is not installed: pip install 'chaoskit[pdf]'; chaoskit report RUN writes the same as "
    "HTML, which any browser prints"
)
MISSING_PANGO = (
    "WeasyPrint cannot load Pango, which sets its text: apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 "
    "fonts-dejavu-core (or what your system calls them)"
)
_RULE = re.compile(r"([^{}@]+)\{([^{}]*)\}")
_VARIABLE = re.compile(r"var\((--[\w-]+)\)")
_TAG = re.compile(r"<(/?)svg\b[^>]*>")
_CLASSES = re.compile(r'class="([^"]*)"')
_PAINT = re.compile(r"\b(?:fill|stroke|opacity|font|text-anchor|display|paint-order)\b")
_DEFINITION = re.compile(r'<(pattern|path) id="([\w-]+)".*?(?:</pattern>|/>)', re.S)
_USED = re.compile(r"#([a-z]-[\w-]+)")


def pdf_of(page: str, style: str) -> bytes:
    """The PDF of a report's page. CapabilityMissing where WeasyPrint or what it needs is not here, saying what to install."""
    written: bytes = _weasyprint().HTML(string=styled(page, style), url_fetcher=_nothing).write_pdf()
    return written


def _weasyprint() -> Any:
    try:
        return importlib.import_module("weasyprint")
    except ImportError as error:
        raise CapabilityMissing(MISSING) from error
    except OSError as error:
        raise CapabilityMissing(f"{MISSING_PANGO}\n{error}") from error


def why_no_pdf() -> str:
    """What is missing for PDFs here, and what to install; empty where they can be made."""
    try:
        _weasyprint()
    except CapabilityMissing as error:
        return str(error).splitlines()[0]
    return ""


def _nothing(url: str, *_: Any, **__: Any) -> Any:
    raise ValueError(f"a report asks for nothing, and this page asked for {url[:200]}")


def styled(page: str, style: str) -> str:
    """The page as paper wants it: everything open, no script, and each picture with the style it uses."""
    page = re.sub(r"<script\b.*?</script>", "", page, flags=re.S)
    page = re.sub(r"<details(?![^>]*\bopen\b)", "<details open", page)
    rules, definitions = _picture_rules(style), {m.group(2): m.group(0) for m in _DEFINITION.finditer(page)}
    parts: list[str] = []
    end = 0
    for begin, after, close in _pictures(page):
        picture = page[after:close]
        used = {c for found in _CLASSES.findall(page[begin:close]) for c in found.split()}
        css = "".join(f"{selector}{{{declarations}}}" for names, selector, declarations in rules if names <= used)
        called = dict.fromkeys((*_USED.findall(picture), *_USED.findall(css)))
        inner = "".join(definitions[name] for name in called if name in definitions)
        if inner:  # patterns have classes of their own
            more = {c for found in _CLASSES.findall(inner) for c in found.split()} - used
            css += "".join(f"{s}{{{d}}}" for names, s, d in rules if names <= more | used and names & more)
        parts += [page[end:after], f"<style>{css}</style>", f"<defs>{inner}</defs>" if inner else "", picture]
        end = close
    return "".join((*parts, page[end:]))


def _pictures(page: str) -> Iterator[tuple[int, int, int]]:
    """(begin, end of its first tag, begin of its last tag) of each outermost picture."""
    depth, begin, after = 0, 0, 0
    for tag in _TAG.finditer(page):
        if tag.group(1):
            depth -= 1
            if depth == 0:
                yield begin, after, tag.start()
        else:
            if depth == 0:
                begin, after = tag.start(), tag.end()
            depth += 1


def _picture_rules(style: str) -> list[tuple[frozenset[str], str, str]]:
    """(classes it speaks of, selector, declarations) of the rules that paint, with the light theme's colours put in."""
    plain = re.sub(r"/\*.*?\*/", "", style, flags=re.S)
    plain = re.sub(r"@media[^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}", "", plain)
    found = [(selectors.strip(), declarations.strip()) for selectors, declarations in _RULE.findall(plain)]
    values = dict(re.findall(r"(--[\w-]+):\s*([^;]+)", next((d for s, d in found if s == ":root"), "")))
    values["--page"] = "#fff"

    def resolved(text: str) -> str:
        return _VARIABLE.sub(lambda m: resolved(values.get(m.group(1), "inherit")), text)

    rules = []
    for selectors, declarations in found:
        if selectors == ":root" or not (_PAINT.search(declarations) or "color:" in declarations):
            continue
        for selector in selectors.split(","):
            names = frozenset(re.findall(r"\.([\w-]+)", selector))
            if names:
                rules.append((names, selector.strip(), resolved(declarations)))
    return rules
