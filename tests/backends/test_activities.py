"""What goes on by itself: counted, ended by its tag, by its node or by its own doing. No lab is needed."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from chaoskit.backends.linux_host.activities import Activities, Activity
from chaoskit.backends.linux_host.wire import Refused


async def ticking(activity: Activity) -> None:
    while True:
        await asyncio.sleep(0.001)
        activity.acts += 1


async def asked(activities: Activities, tag: str, node: str | None = None) -> tuple[str, float]:
    answer = await activities.questions()["activity"]({"tag": tag, "node": node})
    return answer["value"], answer["number"]


async def ceased(activities: Activities, tag: str) -> str:
    return str((await activities.acts()["cease"]({"tag": tag}))["output"])


def quiet(*_: Any, **__: Any) -> None:
    raise AssertionError("nothing should be said")


def test_it_counts_until_it_is_told_to_cease_and_then_does_nothing_more() -> None:
    async def scene() -> None:
        activities = Activities(quiet)
        assert await asked(activities, "a") == ("none", 0)
        assert await ceased(activities, "a") == "nothing went on"
        activities.begin("a", "n0", ticking)
        activities.begin("a", "n1", ticking)
        activities.begin("b", "n0", ticking)
        with pytest.raises(Refused, match="goes on already on n0"):
            activities.begin("a", "n0", ticking)
        await asyncio.sleep(0.05)
        value, both = await asked(activities, "a")
        assert value == "running"
        assert both > (await asked(activities, "a", "n1"))[1] > 0
        await ceased(activities, "a")
        ended = await asked(activities, "a")
        await asyncio.sleep(0.02)
        assert await asked(activities, "a") == ended
        assert ended[0] == "ended"
        assert await ceased(activities, "a") == f"{ended[1]:.0f} acts"
        assert (await asked(activities, "b"))[0] == "running"
        activities.begin("a", "n0", ticking)  # again, once it has ended
        activities.lab_ending()

    asyncio.run(scene())


def test_ceasing_waits_for_what_it_still_has_to_put_right_and_says_where_that_never_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("chaoskit.backends.linux_host.activities._CEASE_DEADLINE_S", 0.05)
    put_right: list[str] = []

    async def careful(activity: Activity) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.02 if activity.tag == "quick" else 60)
            put_right.append(activity.tag)

    async def scene() -> None:
        activities = Activities(quiet)
        for tag in ("quick", "slow"):
            activities.begin(tag, "", careful)
        await asyncio.sleep(0)
        await ceased(activities, "quick")
        assert put_right == ["quick"]
        with pytest.raises(Refused, match="does not end within"):
            await ceased(activities, "slow")

    asyncio.run(scene())


def test_one_that_fails_says_so_and_has_ended() -> None:
    said: list[str] = []

    async def failing(activity: Activity) -> None:
        activity.acts += 1
        raise Refused("no such link")

    async def scene() -> None:
        activities = Activities(lambda kind, message: said.append(f"{kind}: {message}"))
        activities.begin("a", "n0", failing)
        await asyncio.sleep(0.01)
        assert await asked(activities, "a") == ("ended", 1)

    asyncio.run(scene())
    assert said == ["problem: a: what went on by itself on n0 failed: no such link"]


def test_a_nodes_end_ends_only_what_cannot_bear_it() -> None:
    async def scene() -> None:
        activities = Activities(quiet)
        activities.begin("ends", "n0", ticking, ends_with_node=True)
        activities.begin("goes on", "n0", ticking)
        activities.begin("elsewhere", "n1", ticking, ends_with_node=True)
        activities.node_ended(SimpleNamespace(name="n0"))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        seen = [(await asked(activities, tag))[0] for tag in ("ends", "goes on", "elsewhere")]
        assert seen == ["ended", "running", "running"]
        activities.lab_ending()

    asyncio.run(scene())
