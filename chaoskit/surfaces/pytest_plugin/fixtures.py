"""What the fixtures give to tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chaoskit.engine.lab_loading import load_lab
from chaoskit.model.errors import CapabilityMissing
from chaoskit.surfaces.pytest_plugin.runs import (
    KEPT_LABS,
    RESULTS,
    carried_out,
    forget,
    found_file,
    guarded,
    options_of,
    overrides_of,
    refuse_failed,
    refuse_unknown,
    skip,
    told,
)
from chaoskit.surfaces.python.by_hand import RunByHand
from chaoskit.surfaces.python.experiment import Experiment
from chaoskit.surfaces.python.lab import Lab, lab
from chaoskit.surfaces.python.outcome import RunResult

JUDGED = pytest.StashKey[RunResult]()
"""Of a marked test: the result that decides whether it passes, besides its body."""


class Chaos:
    """Experiments for one test, with the options of the test run."""

    def __init__(self, item: pytest.Item) -> None:
        self._item = item

    def run(
        self,
        path: str | Path,
        *,
        repeat: int | None = None,
        backend: str | None = None,
        seed: int | None = None,
        set: Mapping[str, object] | None = None,
        on: Lab | None = None,
    ) -> RunResult:
        """Carry out an experiment file, which lies beside the test's file or below the root. The result is for the test to judge.

        `set`: names of `configuration` or places in the file, and their values. `on`: a lab that is up.
        """
        __tracebackhide__ = True
        options = options_of(self._item.config, repeat=repeat, backend=backend, seed=seed, overrides=overrides_of(set or {}))
        return _shown(self._item, carried_out(self._item, options.request(found_file(path, self._item), on=on), options.say))

    def experiment(self, lab: str | Path | Lab, title: str | None = None, **fields: Any) -> Experiment:
        """A new experiment on a lab (a file or folder, beside the test's file or below the root; or one that is up).

        `fields`: those of `chaoskit.api.Experiment`, such as `baseline="5s"`.
        """
        place = lab if isinstance(lab, Lab) else found_file(lab, self._item).absolute()
        made = _Experiment(title or self._item.name, place, folder=self._item.path.parent, **fields)
        made.options = options_of(self._item.config)
        made.item = self._item
        return made


class _Experiment(Experiment):
    """Tells its results with a test."""

    item: pytest.Item

    def run(self) -> RunResult:
        """Run it to its end, by the clock."""
        __tracebackhide__ = True
        return _shown(self.item, carried_out(self.item, self._request(self.data()), self.options.say))

    @contextmanager
    def running(self) -> Iterator[RunByHand]:
        """Run it, and inject its faults by hand."""
        with guarded(self.item, self._request(self.data()), self.options.say), super().running() as run:
            yield run
        told(self.item, run.result)
        _shown(self.item, run.result)


def _shown(item: pytest.Item, result: RunResult) -> RunResult:
    """With what pytest shows of a test that does not pass."""
    item.add_report_section("call", "chaos experiment", "\n".join(result.lines()))
    return result


# -- marked tests --------------------------------------------------------------------------------------------------------------


def marked_result(request: pytest.FixtureRequest) -> RunResult:
    """Carry out what the mark `chaos` of a test names."""
    __tracebackhide__ = True
    mark = request.node.get_closest_marker("chaos")
    if mark is None or not mark.args:
        pytest.fail('the fixture chaos_result belongs to a test with @pytest.mark.chaos("experiments/x.yaml")', pytrace=False)
    forget(request.node)
    changes = dict(mark.kwargs)
    judge, on = changes.pop("judge", True), changes.pop("on", None)
    if on is not None:
        changes["on"] = request.getfixturevalue(on) if isinstance(on, str) else on
    result = Chaos(request.node).run(*mark.args, **changes)
    if judge and result.objectives:
        refuse_unknown(result)
    if judge:
        request.node.stash[JUDGED] = result
    return result


def judge_marked(item: pytest.Item) -> None:
    """After the body: fail the test where an objective was missed. One that states none is judged by the body alone."""
    result = item.stash.get(JUDGED, None)
    if result is not None and result in item.stash.get(RESULTS, []):
        refuse_failed(result)


# -- labs ------------------------------------------------------------------------------------------------------------------------


@contextmanager
def held_lab(
    config: pytest.Config,
    folder: Path,
    path: str | Path,
    *,
    variant: str | None = None,
    settings: Mapping[str, Any] | None = None,
    backend: str | None = None,
) -> Iterator[Lab]:
    """Build a lab (in `folder` or below the root), and end it whatever happens; leave it up with `--chaos-keep-lab`."""
    options = options_of(config, backend=backend)
    place = config.rootpath / path if (config.rootpath / path).exists() and not (folder / path).exists() else folder / path
    if config.getoption("chaos_dry_run"):
        plan = load_lab(place, variant, dict(settings or {}), None, options.backend).rendered.plan
        skip(f"dry run: the lab {plan.name} of {len(plan.nodes)} nodes can be built, nothing was started")
    try:
        context = lab(
            place, variant=variant, settings=settings, backend=options.backend, reports=options.reports, keep=options.keep_lab,
            say=options.say,
        )  # fmt: skip
        with context as made:
            if options.keep_lab:
                config.stash.setdefault(KEPT_LABS, []).append(made.id)
            yield made
    except CapabilityMissing as error:
        if config.getoption("chaos_strict"):
            raise
        skip(f"cannot run here: {' '.join(str(error).split())}")


@contextmanager
def marked_lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The lab of the nearest mark `chaos_lab`, else that of the configuration file."""
    mark = request.node.get_closest_marker("chaos_lab")
    named = request.config.getini("chaos_lab")
    if mark is None and not named:
        message = (
            'the fixture chaos_lab needs a lab: mark the module with pytestmark = pytest.mark.chaos_lab("labs/x"), or whatever '
            f"else the scope {request.scope} is, or set chaos_lab in the configuration of pytest"
        )
        pytest.fail(message, pytrace=False)
    root = request.config.rootpath
    folder = getattr(request.node, "path", root)
    arguments, choice = (mark.args, mark.kwargs) if mark is not None else ((named,), {})
    with held_lab(request.config, folder if folder.is_dir() else folder.parent, *arguments, **choice) as made:
        yield made
