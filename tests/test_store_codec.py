"""What is packed comes back the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_exporter.errors import StoreError
from drift_exporter.store.codec import (
    pack_names,
    pack_scores,
    pack_vector,
    unpack_names,
    unpack_scores,
    unpack_vector,
)

EDGES = [0, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1, -1, -(2**63)]


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.sampled_from(EDGES), max_size=50))
def test_vectors(cells: list[int]) -> None:
    """Any counts come back as they were, as integers of 64 bits that can be added to."""
    back = unpack_vector(pack_vector(np.array(cells, dtype=np.int64)))

    assert back.tolist() == cells
    assert back.dtype == np.int64
    assert back.flags.writeable


@pytest.mark.parametrize(
    ("most", "limit"),
    [
        pytest.param(200, 1100, id="one byte"),
        pytest.param(60_000, 2100, id="two bytes"),
        pytest.param(4_000_000_000, 4200, id="four bytes"),
    ],
)
def test_small_counts_take_little_room(most: int, limit: int) -> None:
    """A thousand counts take no more bytes each than the largest needs."""
    noise = np.random.default_rng(0).integers(0, most, 1000)

    assert len(pack_vector(noise)) < limit


names = st.text(st.characters(codec="utf-8"), max_size=8)
psi = st.none() | st.floats(0, 100, width=32)


@given(st.dictionaries(names, st.tuples(psi, st.sampled_from(["ok", "warning", "x\ny"]))))
def test_scores(scores: dict[str, tuple[float | None, str]]) -> None:
    """Scores come back by name, those without a value as None."""
    order = unpack_names(pack_names(list(scores)))

    assert order == list(scores)
    assert unpack_scores(pack_scores(scores), order) == scores


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x01", id="no counts"),
        pytest.param(b"\x09" + pack_vector(np.arange(3))[1:], id="a type of the future"),
        pytest.param(b"\x04" + pack_vector(np.arange(3))[1:], id="not whole integers"),
        pytest.param(pack_vector(np.arange(3))[:-3], id="cut"),
    ],
)
def test_other_bytes(data: bytes) -> None:
    """Bytes that are nothing of ours are an error with a name."""
    with pytest.raises(StoreError, match="are no counts"):
        unpack_vector(data)
    with pytest.raises(StoreError, match="are no scores"):
        unpack_scores(data, ["age"])
    with pytest.raises(StoreError, match="are no scores"):
        unpack_names(data)
