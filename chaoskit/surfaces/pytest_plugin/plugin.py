"""Hooks and fixtures. What a test run without experiments pays for is this file alone: everything else is imported when used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from chaoskit.surfaces.pytest_plugin.fixtures import Chaos
    from chaoskit.surfaces.python.lab import Lab
    from chaoskit.surfaces.python.outcome import RunResult

MARKS = (
    "chaos(path, repeat=, backend=, seed=, set=, on=, judge=): carry out this experiment before the test; "
    "the test fails where an objective is missed, and may ask the fixture `chaos_result` for the figures",
    "chaos_lab(path, variant=, settings=, backend=): the lab that the fixture `chaos_lab` builds",
)
UNKNOWN = "chaos_unknown"
"""Set on reports of the call phase that are errors, not failures: what was asked could not be known."""


# -- options ---------------------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--chaos-...`, and what stands in the configuration file."""
    group = parser.getgroup("chaos", "chaos experiments (chaoskit)")
    group.addoption("--chaos-backend", metavar="NAME", help="Which kind of lab, for every experiment and lab.")
    group.addoption("--chaos-reports", metavar="DIR", help="Where run directories are kept (default: reports, below the root).")
    group.addoption("--chaos-repeat", type=int, metavar="N", help="So many trials of every experiment.")
    group.addoption("--chaos-seed", type=int, metavar="N", help="Decides every draw of every experiment.")
    group.addoption("--chaos-keep-lab", action="store_true", help="Leave labs up; `chaoskit lab down` ends them.")
    group.addoption(
        "--chaos-dry-run", action="store_true", help="Check and plan every experiment, start none, and skip its test."
    )
    group.addoption("--chaos-strict", action="store_true", help="An experiment that cannot run on this machine is an error.")
    group.addoption("--chaos-summary", metavar="FILE", help="Append a summary in Markdown, such as to $GITHUB_STEP_SUMMARY.")
    parser.addini("chaos_files", "Files that are collected as experiments.", "args", ["*.chaos.yaml", "*.chaos.yml"])
    parser.addini("chaos_reports", "Where run directories are kept.", default="reports")
    parser.addini("chaos_backend", "Which kind of lab.", default="")
    parser.addini("chaos_lab", "The lab of the fixture chaos_lab: its file or folder, from the root on.", default="")
    parser.addini("chaos_lab_scope", "The scope of the fixture chaos_lab.", default="module")
    parser.addini("chaos_at_once", "How many experiments run at the same time, over all workers; 0: any number.", default="1")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marks known."""
    for mark in MARKS:
        config.addinivalue_line("markers", mark)


# -- collecting ------------------------------------------------------------------------------------------------------------


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Experiment files."""
    if not any(file_path.match(pattern) for pattern in parent.config.getini("chaos_files")):
        return None
    from chaoskit.surfaces.pytest_plugin.items import ExperimentFile

    return ExperimentFile.from_parent(parent, path=file_path)


def pytest_itemcollected(item: pytest.Item) -> None:
    """A marked function gets its experiment carried out whether it asks for the result or not."""
    if item.get_closest_marker("chaos") is not None:
        names = getattr(item, "fixturenames", None)
        if names is not None and "chaos_result" not in names:
            names.append("chaos_result")


# -- fixtures --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def chaos_result(request: pytest.FixtureRequest) -> RunResult:
    """The result of the experiment that `@pytest.mark.chaos(...)` names."""
    from chaoskit.surfaces.pytest_plugin.fixtures import marked_result

    return marked_result(request)


@pytest.fixture
def chaos_run(request: pytest.FixtureRequest) -> Callable[..., RunResult]:
    """A function that carries out an experiment file: `chaos_run("experiments/x.yaml", repeat=3)`."""
    from chaoskit.surfaces.pytest_plugin.fixtures import Chaos

    return Chaos(request.node).run


@pytest.fixture
def chaos(request: pytest.FixtureRequest) -> Chaos:
    """Experiments from Python, with the options of this test run: `chaos.experiment(...)`, `chaos.run(...)`."""
    from chaoskit.surfaces.pytest_plugin.fixtures import Chaos

    return Chaos(request.node)


def _lab_scope(fixture_name: str, config: pytest.Config) -> Any:
    return config.getini("chaos_lab_scope")


@pytest.fixture(scope=_lab_scope)
def chaos_lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The lab that `pytest.mark.chaos_lab(...)` or `chaos_lab` of the configuration names, ended whatever happens."""
    from chaoskit.surfaces.pytest_plugin.fixtures import marked_lab

    with marked_lab(request) as lab:
        yield lab


@pytest.fixture
def chaos_lab_factory(request: pytest.FixtureRequest) -> Iterator[Callable[..., Lab]]:
    """A function that builds labs, which are ended with the test: `chaos_lab_factory("labs/x", settings={...})`."""
    from chaoskit.surfaces.pytest_plugin.fixtures import held_lab

    with ExitStack() as labs:
        folder = request.node.path.parent
        yield lambda path, **choice: labs.enter_context(held_lab(request.config, folder, path, **choice))


# -- running and telling -----------------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """After the body of a marked test: a missed objective fails it."""
    done = yield
    if pyfuncitem.get_closest_marker("chaos") is not None:
        from chaoskit.surfaces.pytest_plugin.fixtures import judge_marked

        judge_marked(pyfuncitem)
    return done


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Errors of chaoskit in a test's body (an unknown figure, say) are errors of the test, not failures of what it tests."""
    if "chaoskit.surfaces.pytest_plugin.runs" in sys.modules:
        from chaoskit.surfaces.pytest_plugin.runs import note_kept_labs

        note_kept_labs(item)
    report = yield
    errors = sys.modules.get("chaoskit.model.errors")
    if errors is not None and report.failed and call.excinfo is not None and isinstance(call.excinfo.value, errors.ChaoskitError):
        setattr(report, UNKNOWN, report.when == "call")
        if report.when == "setup":
            report.longrepr = str(call.excinfo.value)  # where in chaoskit's code it was noticed helps nobody
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
    """Count them as errors."""
    return ("error", "E", "ERROR") if report.failed and getattr(report, UNKNOWN, False) else None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> Generator[None, None, None]:
    """In junit.xml only what fails outside the body is an error: say so while it is written."""
    if not (report.failed and getattr(report, UNKNOWN, False)):
        return (yield)
    report.when = "setup"
    try:
        return (yield)
    finally:
        report.when = "call"


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """`assert result.rto <= 30` that does not hold says point, bounds, gates and the report."""
    amounts = sys.modules.get("chaoskit.surfaces.python.amounts")
    if amounts is None:
        return None
    if isinstance(left, amounts.Amount):
        lines: list[str] = left.lines(f"{op} {right}", "not so")
        return lines
    if isinstance(right, amounts.Amount):
        return [f"{left} {op} {right.name} is not so: {right}", *right.lines()[1:]]
    return None


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """One line an experiment, and the summary in Markdown; workers of xdist leave both to who started them."""
    if hasattr(config, "workerinput"):
        return
    reports = [report for found in terminalreporter.stats.values() for report in found]
    told = [r for r in reports if any(name == "chaos.verdict" for name, _ in getattr(r, "user_properties", ()))]
    kept = [r for r in reports if any(name == "chaos.kept_lab" for name, _ in getattr(r, "user_properties", ()))]
    if told or kept:
        from chaoskit.surfaces.pytest_plugin.summary import write_summary

        write_summary(terminalreporter, config, [*told, *(r for r in kept if r not in told)])
