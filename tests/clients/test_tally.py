import itertools

from hypothesis import given
from hypothesis import strategies as st

from chaoskit.clients.tally import Tally

SECOND = 1_000_000_000


def test_the_streak_begins_with_the_first_success_after_the_last_failure():
    tally = Tally("orders", settle_ns=10 * SECOND)
    for t_intended, ok in ((1, True), (2, False), (3, True), (4, True)):
        tally.add(t_intended, t_intended + 1, ok, "" if ok else "refused")
    status = tally.status(10, "running")
    assert (status.streak_since_ns, status.last_failure_ns, status.attempts, status.ok) == (3, 2, 4, 3)
    assert status.window == (4, 3)
    assert status.last_error == "refused"


def test_the_window_forgets_what_is_older_than_five_seconds():
    tally = Tally("orders", settle_ns=SECOND)
    tally.add(0, 0, True, "")
    tally.add(4 * SECOND, 4 * SECOND, False, "timeout")
    assert tally.status(6 * SECOND, "running").window == (1, 0)


@given(st.lists(st.booleans(), min_size=1, max_size=7), st.randoms(use_true_random=False))
def test_the_order_in_which_attempts_finish_does_not_matter(outcomes, random):
    attempts = [(number + 1, ok) for number, ok in enumerate(outcomes)]
    random.shuffle(attempts)
    tally = Tally("orders", settle_ns=100)
    for t_intended, ok in attempts:
        tally.add(t_intended, 50, ok, "")
    after_last_failure = list(itertools.takewhile(lambda pair: pair[1], reversed(list(enumerate(outcomes, 1)))))
    expected = after_last_failure[-1][0] if after_last_failure else None
    assert tally.status(60, "running").streak_since_ns == expected
