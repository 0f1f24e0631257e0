"""What readers of a ledger were told, for synthetic results."""

from __future__ import annotations

from chaoskit.model.figures import Figure, StaleRead, StaleReadFigures


def stale_figures(many: int) -> dict[str, StaleReadFigures]:
    """So many stale reads by db3, each two writes and a tenth of a second behind."""
    counted = Figure(point=many, low=many, high=many, unit="reads", n=900, rule="reads that returned less", text=f"{many} reads")
    found = tuple(
        StaleRead(
            client="readers", read_s=21 + i / 10, node="db3", returned=i, acknowledged=i + 2, behind_writes=2,
            behind_low_s=0.09, behind_high_s=0.11,
        )
        for i in range(many)
    )  # fmt: skip
    return {
        "readers": StaleReadFigures(
            ledger="orders",
            reads=900,
            stale=counted,
            behind_writes=Figure(point=2 if many else 0, low=0, high=2, unit="writes", rule="acknowledged writes newer"),
            behind=Figure(point=0.1, low=0.09, high=0.11, rule="age of the copy"),
            ahead=many,
            by_node={"db3": many} if many else {},
            listed=found,
            defects=("readers: 3 reads returned a write that nobody had sent yet",) if many else (),
        )
    }
