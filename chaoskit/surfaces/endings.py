"""How a command ends: what is said, where, and with which exit code.

0 every objective met · 1 an objective missed · 2 bad input or usage · 3 verdict unknown, or the lab or environment could not be
had · 4 a heal failed, something is still broken · 130 interrupted, after healing · 141 the reader of the output went away.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import re
import shutil
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any, NamedTuple, NoReturn

import click

from chaoskit.engine.spelling import nearest
from chaoskit.model.errors import ChaoskitError, InputError, Interrupted
from chaoskit.surfaces.terminal import printable

BROKEN_PIPE = 141
NARROW = 52
"""Columns below which a terminal is told to click, which takes 50 for the least."""
INTERNAL = 3
ISSUES = "say so where you got chaoskit from, with the output of the same command after `chaoskit --debug`"


def exit_with(error: BaseException, *, as_json: bool, debug: bool = False) -> NoReturn:
    """Say what went wrong, on stderr for people or as `{"error": ...}` on stdout, and exit with its code."""
    code = exit_code(error)
    with suppress(OSError):  # nobody may be there to read it; the code says it as well
        if as_json:
            click.echo(json.dumps({"error": error_data(error)}, indent=2, ensure_ascii=False))
        else:
            click.echo(printable(error_text(error)), err=True)
        if debug and not isinstance(error, click.exceptions.Exit):
            click.echo("".join(traceback.format_exception(error)), err=True)
    raise SystemExit(code)


def exit_code(error: BaseException) -> int:
    """The code for an error, as the module says."""
    if isinstance(error, ChaoskitError):
        return error.exit_code
    if isinstance(error, click.ClickException):
        return 2
    if isinstance(error, (KeyboardInterrupt, click.exceptions.Abort)):
        return Interrupted.exit_code
    return INTERNAL


def error_text(error: BaseException) -> str:
    """For people."""
    if isinstance(error, InputError):
        count = len(error.problems)
        return f"{error}\n{count} problem{'s' if count != 1 else ''}; nothing was started."
    if isinstance(error, ChaoskitError):
        return f"error: {error}"
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error.format_message()  # the help itself
    if isinstance(error, click.UsageError):
        usage = f"{error.ctx.get_usage()}\n" if error.ctx is not None else ""
        hint = f"\nTry '{error.ctx.command_path} --help'." if error.ctx is not None else ""
        return f"{usage}error: {error.format_message()}{_nearest_choice(error)}{hint}"
    if isinstance(error, click.ClickException):
        return f"error: {error.format_message()}"
    if isinstance(error, (KeyboardInterrupt, click.exceptions.Abort)):
        return "interrupted"
    return f"chaoskit failed in a way it should not: {type(error).__name__}: {error}; {ISSUES}"


def _nearest_choice(error: click.UsageError) -> str:
    """The right spelling of a word that must be one of a few; click says only which there are."""
    kind = getattr(getattr(error, "param", None), "type", None)
    given = re.match(r"'(.*?)' is not one of", error.message)
    if not isinstance(kind, click.Choice) or given is None:
        return ""
    close = nearest(given.group(1), kind.choices)
    return f" Did you mean '{close}'?" if close else ""


def error_data(error: BaseException) -> dict[str, Any]:
    """For programs."""
    data: dict[str, Any] = {"kind": type(error).__name__, "message": error_text(error), "exit_code": exit_code(error)}
    if isinstance(error, InputError):
        data["message"] = str(error)
        data["problems"] = [asdict(problem) for problem in error.problems]
    elif isinstance(error, ChaoskitError):
        data["message"] = str(error)
        if getattr(error, "evidence", ""):
            data["evidence"] = getattr(error, "evidence", "")
    elif isinstance(error, click.ClickException):
        data["message"] = error.format_message() + (_nearest_choice(error) if isinstance(error, click.UsageError) else "")
    return data


def quiet_pipe() -> NoReturn:
    """The reader of the output went away (`chaoskit ... | head`): end without a word."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - lives until the process ends, which is now
    raise SystemExit(BROKEN_PIPE)


def first_sentence(command: click.Command) -> str:
    """Of its help: what a list of commands says of it."""
    text = " ".join((command.help or "").split())
    return re.split(r"(?<=[^.])\.(?= [A-Z]|$)", text, maxsplit=1)[0] + "."


class Deferred(NamedTuple):
    """A command whose module is read once it is asked for: reading all of them takes longer than most commands do."""

    module: str
    attribute: str
    says: str
    """The first sentence of its help."""

    def loaded(self) -> click.Command:
        """The command itself."""
        command: click.Command = getattr(importlib.import_module(self.module), self.attribute)
        gc.freeze()  # all that was read so far lives as long as the process
        gc.enable()
        return command


class Surface(click.Group):
    """A click group whose commands end as this module says, whatever goes wrong in them."""

    def __init__(self, *args: Any, deferred: Mapping[str, Deferred] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deferred = dict(deferred or {})
        self.words: tuple[str, ...] = ()
        """The command line, as it was given last."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they were added: the way one works, not the alphabet."""
        return [*self._deferred, *(name for name in self.commands if name not in self._deferred)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Reads its module where that was put off."""
        if cmd_name not in self.commands and cmd_name in self._deferred:
            self.add_command(self._deferred[cmd_name].loaded(), cmd_name)
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """With the nearest spelling among all commands: click itself knows of those only whose modules are read."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand:
            raise click.exceptions.NoSuchCommand(args[0], possibilities=self.list_commands(ctx), ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each command with the whole first sentence of its help, wrapped instead of cut off."""
        rows = [(name, deferred.says) for name, deferred in self._deferred.items()]
        rows += [
            (name, first_sentence(command))
            for name, command in self.commands.items()
            if name not in self._deferred and not command.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a reader that went away ends it quietly (click itself would exit with 1, an objective missed)."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            quiet_pipe()

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line and exit. `obj` (see `chaoskit.surfaces.installed`) may be given."""
        words = list(sys.argv[1:] if args is None else args)
        self.words = tuple(words)
        width = shutil.get_terminal_size().columns
        if width < NARROW:
            extra.setdefault("terminal_width", max(width - 2, 20))  # click itself never goes below 50
        options = words[: words.index("--")] if "--" in words else words
        as_json, debug = "--json" in options, "--debug" in options
        for stream in (sys.stdout, sys.stderr):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(errors="backslashreplace")  # a narrow encoding may not stop a verdict from being printed
        try:
            result = super().main(words, prog_name or "chaoskit", complete_var, standalone_mode=False, **extra)
            sys.stdout.flush()
        except BrokenPipeError:
            quiet_pipe()
        except (ChaoskitError, click.ClickException, click.exceptions.Abort, KeyboardInterrupt) as error:
            exit_with(error, as_json=as_json, debug=debug)
        except Exception as error:  # noqa: BLE001 - the last place where anything unforeseen can still be said in one line
            exit_with(error, as_json=as_json, debug=debug)
        raise SystemExit(result if isinstance(result, int) else 0)
