"""`policies:` in an experiment's file: one client a policy, and each mistake told once, where it was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.test_load_experiment import changed, loaded, problems

READERS = "  readers: {type: sql, class: pooled, operation: read, rate: 50/s, endpoint: write, pool: 5}\n"


def with_policies(policies: str, more: str = "") -> str:
    client = (
        "  readers:\n    type: sql\n    class: pooled\n    operation: read\n    rate: 5/s\n    endpoint: write\n    pool: 5\n"
    )
    return changed(READERS, f"{client}{more}    policies:\n{policies}")


SEVERAL = """\
      none: {}
      fixed: {retry: fixed, wait: 200ms, attempts: 5}
      patient: {retry: exponential, give_up_after: 8s, with: {deadline: 2s, class: fresh, pool: 9}}
"""


def test_each_policy_is_a_client_with_the_same_load(tmp_path: Path) -> None:
    clients = loaded(tmp_path, with_policies(SEVERAL)).experiment.clients
    assert list(clients) == ["orders", "readers-none", "readers-fixed", "readers-patient"]
    none, fixed, patient = (clients[f"readers-{n}"] for n in ("none", "fixed", "patient"))
    assert {str(c.rate) for c in (none, fixed, patient)} == {"5/s"}
    assert [c.policy.retry for c in (none, fixed, patient) if c.policy] == ["none", "fixed", "exponential"]
    assert (patient.client_class, str(patient.deadline), patient.model_extra) == ("fresh", "2s", {"pool": 9})
    assert (fixed.client_class, fixed.model_extra) == ("pooled", {"pool": 5})
    assert [str(c.request_deadline) for c in (none, fixed, patient)] == ["500ms", "3.3s", "8s"]


def test_policies_can_be_overridden_and_be_meant_by_the_steady_state(tmp_path: Path) -> None:
    text = with_policies(SEVERAL).replace("clients: {orders: {success", "clients: {readers-fixed: {success")
    found = loaded(tmp_path, text, "clients.readers.policies.fixed.wait=50ms").experiment
    policy = found.clients["readers-fixed"].policy
    assert policy is not None
    assert str(policy.wait) == "50ms"


@pytest.mark.parametrize(
    ("policies", "path", "words", "nearest"),
    [
        ("      a: {retry: fxed, attempts: 2}\n", "clients.readers.policies.a.retry", "fixed", "fixed"),
        ("      a: {retry: fixed, atempts: 2}\n", "clients.readers.policies.a.atempts", "unknown key", "attempts"),
        ("      a: {retry: fixed}\n", "clients.readers.policies.a", "say when it gives up", ""),
        ("      a: {with: {dedline: 2s}}\n", "clients.readers.policies.a.with.dedline", "unknown key", "deadline"),
        ("      a: {with: {deadline: 2}}\n", "clients.readers.policies.a.with.deadline", "needs its unit", ""),
        ("      a: {with: [2]}\n", "clients.readers.policies.a.with", "mapping", ""),
        ("      a: 3\n", "clients.readers.policies.a", "mapping", ""),
        ("      A: {}\n", "clients.readers.policies.A", "a name starts with a lower-case letter", ""),
        ("      a: {retry: fixed, give_up_after: 90s}\n", "clients.readers.rate", "the policy's patience = 450 requests", ""),
    ],
)
def test_one_clear_error_where_it_was_written(tmp_path: Path, policies: str, path: str, words: str, nearest: str) -> None:
    (found,) = problems(tmp_path, with_policies(policies))
    assert found.path == path
    assert words in f"{found.message} {found.allowed}"
    assert found.nearest == nearest
    assert found.line is not None


def test_a_mistake_of_the_shared_part_is_told_once(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, with_policies(SEVERAL, more="    slow: 3\n"))
    assert (found.path, found.message, found.nearest) == ("clients.readers.slow", "unknown key", "slo")


def test_a_policy_may_not_take_the_name_of_a_client(tmp_path: Path) -> None:
    text = with_policies("      a: {}\n").replace("  orders: {", "  readers-a: {").replace("{orders: {", "{readers-a: {")
    (found,) = problems(tmp_path, text)
    assert (found.path, found.message) == (
        "clients.readers.policies.a",
        "this policy would be the client 'readers-a', which there is",
    )


def test_one_policy_or_several(tmp_path: Path) -> None:
    found = problems(tmp_path, with_policies("      a: {}\n", more="    policy: {}\n"))
    assert [p.message for p in found if p.path == "clients.readers"] == ["a client has one policy or several policies, not both"]


def test_a_fresh_client_with_a_policy_may_wait_long(tmp_path: Path) -> None:
    text = with_policies("      a: {with: {class: fresh, deadline: 3s}}\n")
    assert str(loaded(tmp_path, text).experiment.clients["readers-a"].deadline) == "3s"
