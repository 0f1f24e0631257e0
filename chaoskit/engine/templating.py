"""Templates of a lab: Jinja2 in a sandbox that sees the documented names and nothing else.

No file, environment variable, clock or chance is in reach: the same lab file renders to the same text everywhere. What one
text may produce is bounded. The names are documented in `chaoskit.engine.labfile`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateSyntaxError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from chaoskit.engine.spelling import nearest
from chaoskit.model.units import Duration, Size

MAX_OUTPUT = 1024 * 1024
"""Characters that one template may produce."""
MAX_RANGE = 1000

_FILTERS = (
    "abs", "batch", "d", "default", "dictsort", "first", "float", "int", "items", "join", "last", "length", "list", "lower",
    "map", "max", "min", "reject", "rejectattr", "replace", "reverse", "round", "select", "selectattr", "slice", "sort",
    "string", "sum", "tojson", "trim", "unique", "upper",
)  # fmt: skip
"""Of Jinja2's filters those that neither draw lots nor blow a text up."""

_GROWING = frozenset({"center", "expandtabs", "format", "format_map", "ljust", "rjust", "zfill", "translate", "encode"})


class TemplateRefused(Exception):
    """A template that cannot be rendered. `line` counts from 1 within its text."""

    def __init__(self, message: str, line: int = 1, *, value: str = "", allowed: tuple[str, ...] = (), nearest: str = "") -> None:
        self.message, self.line, self.value, self.allowed, self.nearest = message, line, value, allowed, nearest
        super().__init__(message)


class _Missing(jinja2.StrictUndefined):
    """An undefined value that says which name was asked of what."""

    __slots__ = ()

    def _fail_with_undefined_error(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise self._refusal()

    def _refusal(self) -> Exception:
        if self._undefined_exception is SecurityError:
            return SecurityError(self._undefined_hint or "not allowed in a template")
        name, owner = str(self._undefined_name), self._undefined_obj
        if isinstance(owner, Mapping):
            names = tuple(str(k) for k in owner)
            return TemplateRefused(f"there is no {name!r} here", value=name, allowed=names, nearest=nearest(name, names))
        return UndefinedError(self._undefined_message)

    # Every use of an undefined value fails, testing it with `is defined` or `default` excepted.
    __iter__ = __str__ = __len__ = __eq__ = __ne__ = __bool__ = __hash__ = _fail_with_undefined_error
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _fail_with_undefined_error
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pos__ = __neg__ = __call__ = _fail_with_undefined_error
    __getitem__ = __lt__ = __le__ = __gt__ = __ge__ = __int__ = __float__ = __pow__ = __rpow__ = _fail_with_undefined_error
    __contains__ = __repr__ = _fail_with_undefined_error

    def __getattr__(self, name: str) -> Any:
        if name[:2] == "__":
            raise AttributeError(name)
        self._fail_with_undefined_error()


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja2's sandbox with bounded arithmetic and without methods that grow text."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if attr in _GROWING or attr.startswith("_"):
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if not all(isinstance(side, (int, float)) for side in (left, right)):
            raise TemplateRefused(f"{operator} works on numbers only")
        if operator == "**" and (abs(left) > 1000 or abs(right) > 10):
            raise TemplateRefused("** is bounded to bases of 1000 and exponents of 10")
        return super().call_binop(context, operator, left, right)


def seconds(value: object) -> int | float:
    """`"20s"` -> 20: a duration as the number of seconds that a program's configuration wants."""
    return _whole(_quantity(Duration, value))


def milliseconds(value: object) -> int | float:
    """`"1.5s"` -> 1500."""
    return _whole(_quantity(Duration, value) * 1000)


def size_bytes(value: object) -> int | float:
    """`"512MiB"` -> 536870912."""
    return _whole(_quantity(Size, value))


def _quantity(kind: Callable[..., Any], value: object) -> float:
    try:
        return float(kind.parse(value))  # type: ignore[attr-defined]
    except ValueError as error:
        raise TemplateRefused(str(error), value=str(value)[:80]) from error


def _whole(number: float) -> int | float:
    rounded = round(number, 9)
    return int(rounded) if rounded == int(rounded) else rounded


def _range(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > MAX_RANGE:
        raise TemplateRefused(f"range() gives at most {MAX_RANGE} numbers")
    return numbers


def _environment() -> _Sandbox:
    sandbox = _Sandbox(
        undefined=_Missing,
        autoescape=False,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=None,
        extensions=(),
    )
    sandbox.filters = {name: sandbox.filters[name] for name in _FILTERS}
    sandbox.filters.update(seconds=seconds, milliseconds=milliseconds, bytes=size_bytes)
    sandbox.globals = {"range": _range}
    return sandbox


_SANDBOX = _environment()


def rendered(text: str, names: Mapping[str, Any]) -> str:
    """`text` with its template parts filled in from `names`. TemplateRefused says what, in which line, and what is allowed."""
    if "{{" not in text and "{%" not in text and "{#" not in text:
        return text
    try:
        tree = _SANDBOX.parse(text)
        _check(tree, names)
        # A template compiled from the checked text; its pieces are counted as they come, so that a loop cannot fill memory.
        template = _SANDBOX.from_string(text)
        pieces, length = [], 0
        for piece in template.generate(dict(names)):
            length += len(piece)
            if length > MAX_OUTPUT:
                raise TemplateRefused(f"the template produces more than {MAX_OUTPUT} characters")
            pieces.append(piece)
        return "".join(pieces)
    except TemplateRefused as error:
        if error.line == 1:
            error.line = _line(error)
        raise
    except TemplateSyntaxError as error:
        raise TemplateRefused(f"not a valid template: {error.message}", error.lineno) from error
    except SecurityError as error:
        raise TemplateRefused(f"not allowed in a template: {error}", _line(error)) from error
    except (UndefinedError, jinja2.TemplateRuntimeError) as error:
        raise TemplateRefused(f"the template fails: {error}", _line(error)) from error
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise TemplateRefused(f"the template fails: {type(error).__name__}: {error}", _line(error)) from error


def _check(tree: nodes.Template, names: Mapping[str, Any]) -> None:
    """Refuse, before anything runs, what no template of a lab may do."""
    for kind, what in ((nodes.Include, "include"), (nodes.Extends, "extend"), (nodes.Import, "import")):
        for found in tree.find_all(kind):
            raise TemplateRefused(f"a template cannot {what} other files", found.lineno)
    for found in tree.find_all(nodes.FromImport):
        raise TemplateRefused("a template cannot import other files", found.lineno)
    for node in tree.find_all(nodes.Filter):
        if node.name not in _SANDBOX.filters:
            allowed = tuple(sorted(_SANDBOX.filters))
            raise TemplateRefused(
                f"there is no filter {node.name!r}", node.lineno, value=node.name, allowed=allowed,
                nearest=nearest(node.name, allowed),
            )  # fmt: skip
    known = set(names) | set(_SANDBOX.globals) | {"loop", "varargs", "kwargs", "caller"}
    stored = {n.name for n in tree.find_all(nodes.Name) if n.ctx in ("store", "param")}
    stored |= {m.name for m in tree.find_all(nodes.Macro)}
    guarded = _guarded(tree)
    for name in tree.find_all(nodes.Name):
        if name.ctx == "load" and name.name not in known | stored and id(name) not in guarded:
            allowed = tuple(sorted(names))
            raise TemplateRefused(
                f"there is no {name.name!r} in a lab's templates (no environment, no files: only these names)",
                name.lineno, value=name.name, allowed=allowed, nearest=nearest(name.name, allowed),
            )  # fmt: skip


def _guarded(tree: nodes.Template) -> set[int]:
    """Names asked for with `is defined`: may be unknown."""
    return {
        id(n) for test in tree.find_all(nodes.Test) if test.name in ("defined", "undefined") for n in test.find_all(nodes.Name)
    }


def _line(error: BaseException) -> int:
    """The template's line in a traceback that Jinja2 rewrote."""
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in ("<template>", "<unknown>"):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
