"""Lines of pictures, by hand."""

import numpy as np
import pytest

from drift_exporter.web.charts import BOX, line, sparks


def test_small_lines_by_hand() -> None:
    """From 0 to the highest value or a little over the limit; the limit is marked."""
    values = np.array([[0.0, 0.5], [0.5, np.nan], [1.0, 2.0]])
    first, second = sparks([0, 50, 100], values, np.array([0.25, np.nan]))

    assert first is not None
    assert second is not None
    # 96 by 22, one free on each side: 1, 48, 95 across and 21, 11, 1 down.
    assert first.line == "M1,21l0,0 47,-10 47,-10"
    assert (first.limit, first.first, first.last, first.highest) == (16, 0, 1, 1)
    assert second.line == "M1,16l0,0M95,1l0,0"
    assert second.limit is None


def test_a_small_line_below_its_limit_leaves_room_for_it() -> None:
    """Where all is calm the limit is near the upper edge."""
    [found] = sparks([0, 60], np.array([[0.0], [0.0]]), np.array([0.1]))

    assert found is not None
    assert (found.line, found.limit) == ("M1,21l0,0 94,0", 4)


@pytest.mark.parametrize(
    ("ends", "values"),
    [
        pytest.param([], np.zeros((0, 1)), id="no time"),
        pytest.param([0, 60], np.full((2, 1), np.nan), id="no value"),
    ],
)
def test_no_small_line(ends: list[int], values: np.ndarray) -> None:
    """Without values there is no line."""
    assert sparks(ends, values, np.array([0.1])) == [None]


def test_a_large_line_by_hand() -> None:
    """Levels stand where their values are, in percent from the top; gaps are gaps."""
    found = line([(0, 0.0), (10, None), (20, 1.0)], [("warning", 0.1), ("critical", 0.25)])

    assert found is not None
    assert found.top == pytest.approx(1.15)
    assert found.path == f"M0,{BOX}l0,0M{BOX},130l0,0"
    assert [level.name for level in found.levels] == ["warning", "critical"]
    heights = [100 * (1 - 0.1 / 1.15), 100 * (1 - 0.25 / 1.15)]
    assert [level.y for level in found.levels] == pytest.approx(heights, abs=0.01)
    assert (found.highest, found.highest_at, found.start, found.end) == (1.0, 20, 0, 20)


def test_one_point_is_a_line() -> None:
    """A single value is drawn; none is not."""
    one = line([(0, 0.5)], [])

    assert one is not None
    assert one.path == "M0,130l0,0"
    assert line([(0, None)], [("warning", 0.1)]) is None
