"""Reading what the address watcher recorded: a trial's floating addresses."""

from __future__ import annotations

import numpy as np

from chaoskit.engine.addressing import watched, watched_addresses
from chaoskit.engine.sample_store import SampleFiles
from chaoskit.model.plan import Plan
from chaoskit.model.recorded import AddressSamples, Announcement


def address_samples(files: SampleFiles, trial: int, plan: Plan) -> tuple[AddressSamples, ...]:
    """Every floating address of the plan; without any instants where nobody watched it."""
    return tuple(_samples(files, trial, plan, name, address) for name, address in watched_addresses(plan).items())


def _samples(files: SampleFiles, trial: int, plan: Plan, name: str, address: str) -> AddressSamples:
    rows = sorted(
        files.rows("address_answers", "t_asked, t_answered, owner", "trial = ? AND address = ?", (trial, address)),
        key=lambda row: (row[0], row[1] or 0, row[2] or ""),
    )
    answers: dict[str, dict[int, int]] = {}
    for asked, answered, owner in rows:
        if owner is not None:
            answers.setdefault(owner, {}).setdefault(asked, answered)  # a second answer to one question says nothing new
    controls = watched(name, address, plan.lab_plan).controls
    everybody = (*controls, address)
    marks = ", ".join("?" * len(everybody))
    where = f"trial = ? AND t_answered IS NOT NULL AND address IN ({marks})"
    heard = files.rows("address_answers", "t_answered", where, (trial, *everybody))
    return AddressSamples(
        name=name,
        address=address,
        t_asked=np.array(sorted({row[0] for row in rows}), dtype=np.int64),
        answers={owner: np.array(sorted(found.items()), dtype=np.int64) for owner, found in sorted(answers.items())},
        heard_ns=np.array(sorted(t for (t,) in heard), dtype=np.int64),
        controls=len(controls),
        announcements=tuple(
            Announcement(*row)
            for row in sorted(
                files.rows(
                    "address_announcements",
                    "owner, how, t_low, t_high, vrid, priority",
                    "trial = ? AND address = ?",
                    (trial, address),
                ),
                key=lambda row: (row[2], row[3], row[0], row[1]),
            )
        ),
    )
