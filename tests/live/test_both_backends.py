"""The same lab file and experiment on namespaces and on Docker: shortened shipped experiments, with the same consequence."""

from __future__ import annotations

import json
import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from chaoskit.backends.docker import engine
from chaoskit.backends.docker.backend import DockerBackend
from chaoskit.model.capability import NODE_POWER
from chaoskit.model.lab import LabSpec, NodeGroup
from tests.live.shop import Place

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
ENDS_WITHIN_S = 280.0
"""A run takes a minute; the first on Docker also builds the image."""

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]


def why_not(backend: str, *modules: str) -> str:
    """What is missing on this machine for such a lab; empty where nothing is."""
    for module in modules:
        if find_spec(module) is None:
            return f"the Python module {module} is not installed: pip install 'chaoskit[redis,postgres]'"
    if backend == "namespace":
        lacking = [name for name in ("redis-server", "redis-sentinel") if shutil.which(name) is None]
        return f"not installed: apt-get install {' '.join(lacking)}" if lacking else ""
    survey = DockerBackend().survey(LabSpec(name="scratch", nodes={"n": NodeGroup()}))
    return "" if survey.has(NODE_POWER) else survey.reason(NODE_POWER)


def containers_of(run_id: str) -> list[str]:
    """The containers of a run that the engine still has."""
    found = engine.opened()
    try:
        return [str(container["Names"]) for container in found.containers(chaoskit_run=run_id)]
    finally:
        found.close()


def shortened(place: Place, backend: str, name: str, hold: str, variant: str | None = None) -> dict[str, Any]:
    """The result of a shipped experiment with a short baseline and a shorter fault."""
    written = YAML(typ="safe").load((EXPERIMENTS / name).read_text(encoding="utf-8"))
    lab = written["lab"] if isinstance(written["lab"], dict) else {"path": written["lab"]}
    written["lab"] = {**lab, "path": str((EXPERIMENTS / name).parent / lab["path"])} | ({"variant": variant} if variant else {})
    written["baseline"] = "3s"
    written["method"][0] |= {"for": hold, "phase": "0s"}
    file = place.root / "experiment.yaml"
    file.write_text(json.dumps(written), encoding="utf-8")
    ended = place.start("run", file, "--backend", backend).end(ENDS_WITHIN_S)
    assert "Traceback" not in ended.err, ended
    assert ended.code in (0, 1, 3), ended
    result = place.result()
    assert result["lab"]["backend"] == backend
    (trial,) = result["trials"]
    assert [(fault["verified"], fault["gone"]) for fault in trial["faults"]] == [(True, True)], ended
    assert result["undo"]["dirty"] == []
    if backend == "docker":
        assert containers_of(result["run_id"]) == []
    return dict(result)


@pytest.mark.parametrize(
    "backend", [pytest.param("namespace", marks=pytest.mark.lab), pytest.param("docker", marks=pytest.mark.docker)]
)
def test_a_replica_takes_over_where_the_masters_host_hangs(place: Place, backend: str) -> None:
    if missing := why_not(backend, "redis"):
        pytest.skip(missing)
    # nodes of namespaces run this machine's Redis: packages in an image are tried elsewhere, and cost half a minute
    variant = "installed" if backend == "namespace" else None
    result = shortened(place, backend, "redis-sentinel/master-hang.yaml", "12s", variant)
    (trial,) = result["trials"]
    low_s, high_s = result["predicted_rto_s"]
    rto = trial["clients"]["orders"]["rto"]
    assert not rto["censored"], rto
    # a vote of Sentinels that is split costs twenty seconds more than this fault lasts: then the test fails, and rightly so
    assert low_s - 0.5 < rto["high"], rto
    assert rto["low"] < high_s + 3.0, "a sanity bar for a busy machine, not a promise"
    masters = [r["node"] for r in trial["roles"] if r["role"] == "master" and r["state"] == "yes"]
    assert masters[0] == "redis1"
    assert len(set(masters)) == 2, masters
    assert trial["rpo"]["acknowledged"] > 100
    assert trial["rpo"]["lost"]["point"] <= 40, "asynchronous: what was on its way, and what the woken master took for a second"


@pytest.mark.docker
def test_a_killed_postmaster_in_a_container_is_started_again_by_patroni(place: Place) -> None:
    if missing := why_not("docker", "psycopg"):
        pytest.skip(missing)
    result = shortened(place, "docker", "patroni/postmaster-killed.yaml", "12s")
    (trial,) = result["trials"]
    rto = trial["clients"]["orders"]["rto"]
    assert not rto["censored"], rto
    assert 0.5 < rto["high"] < 12.0, rto
    assert trial["rpo"]["acknowledged"] > 100
    assert trial["rpo"]["lost"]["point"] == 0, "a synchronous standby"
