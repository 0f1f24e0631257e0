import pytest

from chaoskit.clients.failures import ConnectFailed, most_telling, outcome_of, outcome_of_text
from chaoskit.clients.hosts import Host, HostOrder, host_limit_s, hosts_of
from chaoskit.model.errors import InputError
from tests.clients.probing import config

THREE = [Host("db1", "198.18.0.1", 5432), Host("db2", "198.18.0.2", 5432), Host("db3", "198.18.0.3", 5432)]


def test_the_host_that_served_last_comes_first_then_the_given_order():
    order = HostOrder(THREE)
    assert [h.node for h in order] == ["db1", "db2", "db3"]
    order.served(THREE[2])
    assert [h.node for h in order] == ["db3", "db1", "db2"]


def test_two_silent_hosts_leave_time_for_a_third(tmp_path):
    given = config(tmp_path / "s", 1)
    assert host_limit_s(given, 3, None) == pytest.approx(0.1)
    assert host_limit_s(given, 1, None) == pytest.approx(0.3)
    assert host_limit_s(given, 3, 5.0) == pytest.approx(0.3), "never beyond the deadline"


def test_the_direct_class_asks_only_its_node(tmp_path):
    hosts = (("db1", "198.18.0.1"), ("db2", "198.18.0.2"))
    direct = config(tmp_path / "s", 5432, hosts=hosts, client_class="direct", target="db2")
    assert [h.node for h in hosts_of(direct, None)] == ["db2"]
    with pytest.raises(InputError, match="db9"):
        hosts_of(config(tmp_path / "s", 5432, hosts=hosts, client_class="direct", target="db9"), None)
    with pytest.raises(InputError, match="port"):
        hosts_of(config(tmp_path / "s", None), None)


def test_network_errors_have_their_outcomes():
    assert outcome_of(ConnectionRefusedError(111, "Connection refused")) == "refused"
    assert outcome_of(ConnectionResetError(104, "Connection reset by peer")) == "reset"
    assert outcome_of(OSError(113, "No route to host")) == "unreachable"
    assert outcome_of(TimeoutError()) == "timeout"
    assert outcome_of(ValueError("x")) == "app_error"
    assert outcome_of_text('connection to server at "x" failed: Connection refused') == "refused"
    assert outcome_of_text("something else") is None


def test_the_failure_of_several_hosts_tells_the_one_that_came_furthest_and_all_words():
    failed = most_telling([("db1", ConnectFailed("timeout", "silent")), ("db2", ConnectFailed("wrong_role", "is a standby"))])
    assert failed.outcome == "wrong_role"
    assert failed.text == "db1: silent; db2: is a standby"
