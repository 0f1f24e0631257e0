"""What a browser would make of a report: its elements, texts and every address it could ask for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "hr", "img", "input"}
BLOCKS = {"td", "th", "dt", "dd", "li", "div", "p", "text", "summary", "h1", "h2", "h3", "h4", "span", "small"}
"""Their text stands apart from what follows."""
ADDRESS_ATTRIBUTES = {
    "src",
    "href",
    "xlink:href",
    "srcset",
    "action",
    "formaction",
    "poster",
    "data",
    "cite",
    "background",
    "ping",
}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    text: str = ""
    parents: tuple[str, ...] = ()


@dataclass
class Page(HTMLParser):
    """Parsed strictly: an end tag must close what is open."""

    elements: list[Element] = field(default_factory=list)
    stack: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        element = Element(tag, {name: value or "" for name, value in attrs}, parents=tuple(e.tag for e in self.stack))
        self.elements.append(element)
        if tag not in VOID:
            self.stack.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.stack, f"</{tag}> closes nothing"
        assert self.stack[-1].tag == tag, f"</{tag}> closes <{self.stack[-1].tag}>"
        self.stack.pop()
        if tag in BLOCKS:
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        for element in self.stack:
            element.text += data

    def all(self, tag: str, **attributes: str) -> list[Element]:
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [e for e in self.elements if e.tag == tag and all(e.attributes.get(k) == v for k, v in wanted.items())]

    def with_class(self, name: str) -> list[Element]:
        return [e for e in self.elements if name in e.attributes.get("class", "").split()]

    def by_id(self, name: str) -> Element:
        found = [e for e in self.elements if e.attributes.get("id") == name]
        assert len(found) == 1, f"{len(found)} elements have the id {name!r}"
        return found[0]

    def addresses(self) -> list[str]:
        """Everything that a browser could load or follow, style included."""
        found = [v for e in self.elements for k, v in e.attributes.items() if k in ADDRESS_ATTRIBUTES]
        styles = [e.text for e in self.all("style")] + [e.attributes["style"] for e in self.elements if "style" in e.attributes]
        found += [m.strip("'\" ") for style in styles for m in re.findall(r"url\(([^)]*)\)", style)]
        found += [m for style in styles for m in re.findall(r"@import\s+(\S+)", style)]
        return found


def page(html: str) -> Page:
    """The page, checked: every element is closed, and every id is unique."""
    parsed = Page()
    parsed.feed(html)
    parsed.close()
    assert not parsed.stack, f"still open: {[e.tag for e in parsed.stack]}"
    ids = [e.attributes["id"] for e in parsed.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids)), f"ids used twice: {sorted({i for i in ids if ids.count(i) > 1})}"
    return parsed
