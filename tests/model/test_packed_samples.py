"""What a probe hands on by the thousand is, row by row, what it would have written."""

from hypothesis import given
from hypothesis import strategies as st

from chaoskit.model.history import Certainty, Outcome
from chaoskit.model.packed_samples import unpacked
from tests.measures.run_directories import packed_rows

instants = st.integers(0, 2**62)
maybe = st.none() | instants
outcomes, certainties = st.sampled_from(Outcome.__args__), st.sampled_from(Certainty.__args__)
texts = st.none() | st.text(min_size=1, max_size=40)


@st.composite
def rows(draw, probes):
    seq = draw(st.integers(0, 2**40))
    return (
        3, "orders", seq % probes, "fresh", "get", "app", "web", seq, f"r1.orders.3.{seq}",
        draw(instants), draw(maybe), draw(maybe), draw(maybe), draw(maybe),
        draw(outcomes), draw(certainties), draw(texts), None, draw(texts),
        draw(maybe), draw(st.integers(0, 100_000)), draw(st.integers(0, 1)), draw(texts),
    )  # fmt: skip


@given(st.data(), st.integers(1, 5000))
def test_every_row_comes_back_as_it_was(data, probes):
    made = data.draw(st.lists(rows(probes), min_size=1, max_size=20))
    assert list(unpacked(*packed_rows(made, probes))) == made


def test_a_row_takes_65_bytes_and_a_fate_is_said_once():
    row = (0, "c", 0, "fresh", "get", "app", "web", 7, "r.c.0.7", *[1] * 5, "ok", "ok", "web1", None, "200", None, 1, 0, None)
    _, fates, packed = packed_rows([row] * 1000, 1)
    assert len(packed) == 65_000
    assert fates.count("web1") == 1
