"""What a template may do, and what it may not."""

from __future__ import annotations

from typing import Any

import pytest

from chaoskit.engine.templating import TemplateRefused, rendered

NAMES: dict[str, Any] = {
    "settings": {"ttl": "20s", "port": 5432},
    "nodes": {"db": [{"name": "db1", "address": "198.18.0.11"}, {"name": "db2", "address": "198.18.0.12"}]},
    "node": "db1",
    "package_file": lambda module, path: f"/{module}/{path}",
}


def refused(text: str) -> TemplateRefused:
    with pytest.raises(TemplateRefused) as caught:
        rendered(text, NAMES)
    return caught.value


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain { text }", "plain { text }"),
        ("{{ settings.ttl | seconds }}", "20"),
        ("{{ '1.5s' | milliseconds }} {{ '64MiB' | bytes }}", "1500 67108864"),
        ("{% for n in nodes.db %}{{ n.name }}{{ ',' if not loop.last }}{% endfor %}", "db1,db2"),
        ("{{ nodes.db | map(attribute='address') | join(' ') }}", "198.18.0.11 198.18.0.12"),
        ("{{ package_file('a', 'b') }}", "/a/b"),
        ("{% if settings.nothing is defined %}x{% else %}y{% endif %}", "y"),
        ("{{ settings.nothing | default('d') }}", "d"),
        ("a\n{% set x = 2 * 3 %}\n{{ x }}\n", "a\n6\n"),
    ],
)
def test_rendered(text: str, result: str) -> None:
    assert rendered(text, NAMES) == result


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a\n{{ env.HOME }}", 2, "no 'env'"),
        ("{{ environ['HOME'] }}", 1, "no 'environ'"),
        ("{{ os.environ }}", 1, "no 'os'"),
        ("{{ node.__class__ }}", 1, "unsafe"),
        ("\n\n{{ ().__class__.__bases__[0].__subclasses__() }}", 3, "unsafe"),
        ("{{ package_file.__globals__ }}", 1, "unsafe"),
        ("{{ self }}", 1, "no 'self'"),
        ("{{ node | attr('__class__') }}", 1, "no filter 'attr'"),
        ("{{ nodes.db | map(attribute='__class__') | list }}", 1, "unsafe"),
        ("{{ settings.update({}) }}", 1, "unsafe"),
        ("{% include '/etc/passwd' %}", 1, "cannot include"),
        ("{% import 'x' as y %}", 1, "cannot import"),
        ("{% from 'x' import y %}", 1, "cannot import"),
        ("{% extends 'x' %}", 1, "cannot extend"),
        ("{{ 'a' * 1000000000 }}", 1, "numbers only"),
        ("{{ 10 ** 1000000 }}", 1, "bounded"),
        ("{{ node.ljust(1000000000) }}", 1, "unsafe"),
        ("{{ '%1000000000d' % 1 }}", 1, "numbers only"),
        ("{% for i in range(100000000) %}x{% endfor %}", 1, "at most 1000"),
        ("{% for i in range(1000) %}{% for j in range(1000) %}{{ i }}xxx{% endfor %}{% endfor %}", 1, "more than"),
        ("{{ x", 1, "not a valid template"),
        ("{% if %}", 1, "not a valid template"),
        ("{{ 1 / 0 }}", 1, "division"),
        ("{{ node | seconds }}", 1, "unit"),
        ("{{ nodes.db[7].name }}", 1, "no element 7"),
        ("{{ lipsum() }}", 1, "no 'lipsum'"),
        ("{{ cycler('a') }}", 1, "no 'cycler'"),
    ],
)
def test_refused(text: str, line: int, words: str) -> None:
    error = refused(text)
    assert words in error.message
    assert error.line == line


def test_the_nearest_setting_is_named() -> None:
    error = refused("\n{{ settings.tll }}")
    assert (error.value, error.nearest, error.line) == ("tll", "ttl", 2)
    assert error.allowed == ("ttl", "port")
    assert refused("{{ nod }}").nearest in ("node", "nodes")


def test_a_template_cannot_see_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOSKIT_TEST_SECRET", "do-not-show")
    seen = ""
    for text in ("{{ env }}", "{{ environ }}", "{{ settings }}", "{{ range }}", "{{ package_file }}"):
        try:
            seen += rendered(text, NAMES)
        except TemplateRefused as error:
            seen += str(error)
    assert "ttl" in seen, "the settings were rendered"
    assert "do-not-show" not in seen
