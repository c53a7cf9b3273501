"""The analysis on 240 generated incidents of ten kinds: it finds what happened, where, and when."""

import numpy as np
import pytest

from generated_incidents import KINDS, Measured, as_markdown, incidents, measure

EACH = 24


@pytest.mark.parametrize("kind", KINDS)
def test_what_happened_is_found(kind: str) -> None:
    """Of each kind nine in ten are found, with the right column first and the right beginning."""
    found = measure(incidents([kind], EACH))
    off = np.abs(np.array(found.dated))

    assert found.incidents == EACH
    assert found.accuracy >= 0.9, found.wrong
    assert found.first >= 0.9 * found.with_column
    assert np.count_nonzero(off <= 1) >= 0.9 * len(off)


def test_the_matrix_as_markdown() -> None:
    """A row per truth that occurred, a column per finding, and the share that is right."""
    matrix = {("missing", "missing"): 9, ("missing", "unseen"): 1, ("none", "type_change"): 2}
    lines = as_markdown(matrix).splitlines()

    assert lines[0].endswith("| none | type_change | right |")
    assert {line.count("|") for line in lines} == {len(KINDS) + 4}
    assert lines[2].startswith("| missing |")
    assert lines[2].endswith("| 90% |")
    assert lines[3].endswith("| 2 | 0% |")
    assert Measured(matrix, 0, 0, (), ()).accuracy == 0.75
