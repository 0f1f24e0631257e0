"""Does the service stay up?"""

import pytest


@pytest.mark.chaos("experiments/server-crashes.chaos.yaml", set={"baseline": "2s"})
def test_visitors_are_back_within_two_seconds(chaos_result):
    assert chaos_result.rto <= 2
    assert chaos_result.flaps == 0
    assert chaos_result.clients["visitors"].availability >= "50%"


def test_both_servers_answer_in_a_lab_of_our_own(chaos_lab):
    for node in ("web1", "web2"):
        asked = chaos_lab.run("app", ["curl", "-s", f"http://{chaos_lab.addresses[node]}:8080/"])
        assert (asked.exit_code, asked.output.strip()) == (0, f"<h1>{node}</h1>")


def test_one_server_is_enough(chaos, chaos_lab):
    """On the lab that is up already: the fault is held while Python looks around."""
    experiment = chaos.experiment(chaos_lab, baseline="2s", recovery="20s")
    experiment.client("visitors", type="http", operation="get", rate="20/s", deadline="500ms", endpoint="web")
    experiment.promise(rto="<= 2s")
    crash = experiment.fault("node.crash", node="web2")
    with experiment.running() as run:
        with run.inject(crash):
            assert chaos_lab.state("web2") == "off"
            assert chaos_lab.run("app", ["curl", "-s", f"http://{chaos_lab.addresses['web1']}:8080/"]).exit_code == 0
            run.wait("1s")
    assert chaos_lab.state("web2") == "up"
    assert run.result.rto <= "2s"
