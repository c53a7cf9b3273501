"""Columns on bins: every cell as a reader would find it by hand, and by a second method."""

from datetime import UTC, date, datetime
from decimal import Decimal
from math import inf, nan, nextafter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drift_exporter.profile import CategoryBins, Feature, Kind, NumericBins
from drift_exporter.reading.arrow_numbers import numbers
from drift_exporter.reading.arrow_texts import texts
from drift_exporter.reading.arrow_values import strings
from drift_exporter.reading.binning import Binner
from drift_exporter.reading.slots import BLOCK_ROWS, Slots, slots_of

NUMERIC = NumericBins(edges=(1.0, 2.0), low=0.0, high=3.0)
CATEGORIES = CategoryBins(kept=("a", "b"), others=("c",))

BELOW, FIRST, SECOND, THIRD, ABOVE, MISSING, UNSEEN, ABSENT = range(8)


def counted(
    bins: NumericBins | CategoryBins,
    array: Any,
    codes: list[int] | None = None,
    loose: bool = False,
    absent: list[bool] | None = None,
) -> list[list[int]]:
    """Rows per cell of each slot."""
    kind: Kind = "numeric" if isinstance(bins, NumericBins) else "categorical"
    binner = Binner(Feature("x", "feature", kind, bins))
    slot_of = np.array([0] * len(array) if codes is None else codes, dtype=np.int32)
    size = int(slot_of.max(initial=0)) + 1
    into = np.zeros((size, binner.cells), dtype=np.int64)
    mask = None if absent is None else np.array(absent)
    binner.count([into], array, [slots_of(slot_of, size)], mask, loose)
    return [[int(n) for n in row] for row in into]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        pytest.param(-0.1, BELOW, id="below the reference"),
        pytest.param(0.0, FIRST, id="at the minimum"),
        pytest.param(-0.0, FIRST, id="minus zero is zero"),
        pytest.param(nextafter(1.0, 0.0), FIRST, id="just below an edge"),
        pytest.param(1.0, SECOND, id="at an edge"),
        pytest.param(2.0, THIRD, id="at the last edge"),
        pytest.param(3.0, THIRD, id="at the maximum"),
        pytest.param(nextafter(3.0, inf), ABOVE, id="just above the maximum"),
        pytest.param(inf, ABOVE, id="infinity"),
        pytest.param(-inf, BELOW, id="minus infinity"),
        pytest.param(nan, MISSING, id="NaN"),
        pytest.param(None, MISSING, id="null"),
    ],
)
def test_cell_of_a_number(value: float | None, cell: int) -> None:
    """A number falls into the cell that its edges say, the lower edge inside."""
    (found,) = counted(NUMERIC, pa.array([value], pa.float64()))

    assert found == [int(i == cell) for i in range(8)]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        pytest.param(pa.array([0, 1, 2, None], pa.int8()), [0, 1, 1, 1, 0, 1, 0, 0], id="int8"),
        pytest.param(pa.array([0, 2**64 - 1], pa.uint64()), [0, 1, 0, 0, 1, 0, 0, 0], id="uint64"),
        pytest.param(
            pa.array(np.array([0.5, 1.5, np.nan], np.float16)), [0, 1, 1, 0, 0, 1, 0, 0], id="half"
        ),
        pytest.param(pa.array([0.5, None], pa.float32()), [0, 1, 0, 0, 0, 1, 0, 0], id="float32"),
        pytest.param(pa.array([True, False, None]), [0, 1, 1, 0, 0, 1, 0, 0], id="boolean"),
        pytest.param(
            pa.array([Decimal("1.50"), None, Decimal("-7")]), [1, 0, 1, 0, 0, 1, 0, 0], id="decimal"
        ),
        pytest.param(pa.array([date(1970, 1, 1)]), [0, 1, 0, 0, 0, 0, 0, 0], id="date"),
        pytest.param(
            pa.array([1, 2_999], pa.timestamp("ms")), [0, 1, 0, 1, 0, 0, 0, 0], id="timestamp"
        ),
        pytest.param(
            pa.array([-1, 1_000_000_001], pa.timestamp("ns")), [1, 0, 1, 0, 0, 0, 0, 0], id="ns"
        ),
        pytest.param(pa.nulls(3), [0, 0, 0, 0, 0, 3, 0, 0], id="null type"),
        pytest.param(
            pa.array(["1", " 2.5 ", "x", "", None, "nan", "1_0", "-inf"]),
            [1, 0, 1, 1, 0, 2, 3, 0],
            id="text",
        ),
        pytest.param(
            pa.array(["1", "x", None, "1"]).dictionary_encode(),
            [0, 0, 2, 0, 0, 1, 1, 0],
            id="dictionary of text",
        ),
        pytest.param(
            pa.array([0.5, None, 2.5]).dictionary_encode(),
            [0, 1, 0, 1, 0, 1, 0, 0],
            id="dictionary of numbers",
        ),
        pytest.param(pa.array([[1.0], None]), [0, 0, 0, 0, 0, 1, 1, 0], id="list"),
        pytest.param(pa.array([{"a": 1}]), [0, 0, 0, 0, 0, 0, 1, 0], id="struct"),
        pytest.param(pa.array(["1", "x"], pa.string_view()), [0, 0, 1, 0, 0, 0, 1, 0], id="view"),
        pytest.param(pa.array(["1"], pa.large_string()), [0, 0, 1, 0, 0, 0, 0, 0], id="large text"),
        pytest.param(pa.array([], pa.float64()), [0] * 8, id="no rows"),
    ],
)
def test_numbers_of_every_type(array: Any, expected: list[int]) -> None:
    """A numeric feature takes any type: numbers and times count, other values are unseen."""
    assert counted(NUMERIC, array) == [expected]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        pytest.param("1.5", SECOND, id="number"),
        pytest.param("", MISSING, id="quoted empty"),
        pytest.param("NULL", MISSING, id="null spelled"),
        pytest.param("NaN", MISSING, id="NaN spelled"),
        pytest.param("True", SECOND, id="boolean spelled"),
        pytest.param("1970-01-01T00:00:02", THIRD, id="time spelled"),
        pytest.param("oops", UNSEEN, id="no number"),
    ],
)
def test_cell_of_a_number_in_csv(text: str, cell: int) -> None:
    """CSV has no types: a number, a boolean, a time and a missing value may be spelled."""
    beside = pa.array([text, "oops"])
    (found,) = counted(NUMERIC, beside, loose=True)

    assert found == [int(i == cell) + int(i == UNSEEN) for i in range(8)]


@pytest.mark.parametrize(
    ("array", "words"),
    [
        pytest.param(pa.array(["a", "", None]), ["a", "", None], id="text, the empty one too"),
        pytest.param(pa.array(["1.0", "True"]), ["1.0", "True"], id="text as it is"),
        pytest.param(pa.array([True, False, None]), ["true", "false", None], id="booleans"),
        pytest.param(pa.array([1, -2, None]), ["1", "-2", None], id="integers"),
        pytest.param(
            pa.array([1.0, -0.0, 0.0, 1.5, nan, inf, 1e20, None]),
            ["1", "0", "0", "1.5", None, "inf", "100000000000000000000", None],
            id="floats",
        ),
        pytest.param(pa.array([0.5, 3.0], pa.float32()), ["0.5", "3"], id="float32"),
        pytest.param(pa.array(np.array([0.5, 3], np.float16)), ["0.5", "3"], id="half"),
        pytest.param(pa.array([Decimal("1.50"), Decimal("2.00")]), ["1.5", "2"], id="decimals"),
        pytest.param(pa.array([date(2024, 1, 31), None]), ["2024-01-31", None], id="dates"),
        pytest.param(
            pa.array([datetime(2024, 1, 31, 12, tzinfo=UTC)], pa.timestamp("s", "Europe/Berlin")),
            ["2024-01-31T12:00:00"],
            id="times",
        ),
        pytest.param(pa.array([1], pa.timestamp("us")), ["1970-01-01T00:00:00.000001"], id="micro"),
        pytest.param(pa.array([1, None]).dictionary_encode(), ["1", None], id="dictionary"),
        pytest.param(pa.array(["x"], pa.large_string()), ["x"], id="large text"),
        pytest.param(pa.array(["x", None], pa.string_view()), ["x", None], id="text view"),
        pytest.param(pa.nulls(2), [None, None], id="null type"),
    ],
)
def test_category_of_every_type(array: Any, words: list[str | None]) -> None:
    """A category is the text that the rules of ``source`` give a value."""
    found = texts(array)
    named = [*strings(found.words), None]

    assert [named[code] for code in found.codes] == words


@pytest.mark.parametrize(
    ("array", "loose", "complete", "expected"),
    [
        pytest.param(
            pa.array(["a", "b", "c", "d", None]), False, True, [1, 1, 1, 1, 1, 0], id="each cell"
        ),
        pytest.param(pa.array(["d"]), False, False, [0, 0, 1, 0, 0, 0], id="list not complete"),
        pytest.param(pa.array([["a"], None]), False, True, [0, 0, 0, 1, 1, 0], id="a list"),
        pytest.param(pa.array([b"a"]), False, True, [0, 0, 0, 0, 1, 0], id="bytes"),
        pytest.param(
            pa.array(["a", "b", "a"]).dictionary_encode(), True, True, [2, 1, 0, 0, 0, 0], id="csv"
        ),
    ],
)
def test_cell_of_a_category(array: Any, loose: bool, complete: bool, expected: list[int]) -> None:
    """Kept categories, other, missing and unseen, in this order."""
    bins = CategoryBins(("a", "b"), ("c",), complete)

    assert counted(bins, array, loose=loose) == [expected]


def test_whole_numbers_in_csv_are_the_same_category() -> None:
    """CSV that spells a whole number with a fraction of zero means the whole number."""
    bins = CategoryBins(("1", "true"))

    assert counted(bins, pa.array(["1.0", "1", "True", "1.5"]), loose=True) == [[2, 1, 0, 0, 1, 0]]


def test_rows_without_the_column() -> None:
    """Rows that came without the column are absent, whatever stands in their place."""
    array = pa.array([0.5, None, 1.5])

    assert counted(NUMERIC, array, absent=[False, True, False]) == [[0, 1, 1, 0, 0, 0, 0, 1]]


def test_sliced_arrays() -> None:
    """An array that starts inside a buffer is read from there, its nulls too."""
    whole = pa.array([None, 0.5, None, 1.5, 2.5, None, 0.5, None, None, 2.5, 9.0])
    flags = pa.array([True, None, False, True, None, True, True, True, False, True])

    assert counted(NUMERIC, whole.slice(3, 7)) == [[0, 1, 1, 2, 0, 3, 0, 0]]
    assert counted(NUMERIC, flags.slice(1, 4)) == [[0, 1, 1, 0, 0, 2, 0, 0]]
    assert counted(CATEGORIES, pa.array(["a", None, "b", "c"]).slice(1, 2)) == [[0, 1, 0, 1, 0, 0]]


cut = st.sampled_from([-2.0, -1.0, -0.0, 0.5, 1.0, 3.0])
value = st.one_of(cut, st.sampled_from([nan, inf, -inf, 0.0]), st.floats(-5, 5, width=32))


@settings(deadline=None)
@given(
    data=st.data(),
    many=st.sampled_from([1, 3, 30, 70]),
    repeats=st.sampled_from([1, 900]),
)
def test_numbers_as_by_search(data: st.DataObject, many: int, repeats: int) -> None:
    """Every way of counting finds the cells that a search of each value finds."""
    edges = tuple(sorted({float(i) / 10 for i in range(-many, many)}))
    bins = NumericBins(edges, low=edges[0] - 1, high=edges[-1] + 1)
    x = np.repeat(np.array(data.draw(st.lists(value, max_size=30))), repeats)
    slots = data.draw(st.lists(st.integers(-1, 2), min_size=1, max_size=6))
    codes = np.repeat(slots, -(-len(x) // len(slots)))[: len(x)]

    found = counted(bins, pa.array(x, pa.float64()), [*codes.tolist()])

    cells = np.where(np.isnan(x), len(bins.cuts) + 1, np.searchsorted(bins.cuts, x, side="right"))
    for slot, row in enumerate(found):
        expected = np.bincount(cells[codes == slot], minlength=len(bins.cuts) + 4)
        assert row == expected.tolist()


@settings(deadline=None)
@given(
    words=st.lists(st.sampled_from(["a", "b", "c", "zz", None]), max_size=40),
    repeats=st.sampled_from([1, 700]),
    many=st.sampled_from([0, 300]),
)
def test_categories_as_by_lookup(words: list[str | None], repeats: int, many: int) -> None:
    """Every way of counting finds the cells that a look-up of each value finds."""
    bins = CategoryBins(("a", "b", *(f"k{i}" for i in range(many))), ("c",))
    rows = [word for word in words for _ in range(repeats)]
    codes = [i * 3 // max(len(rows), 1) - 1 for i in range(len(rows))]

    found = counted(bins, pa.array(rows, pa.string()), codes)

    other = 2 + many
    place: dict[str | None, int] = dict(bins.codes.items())
    place |= {None: other + 1, "zz": other + 2}
    for slot, row in enumerate(found):
        cells = [place[word] for word, code in zip(rows, codes, strict=True) if code == slot]
        assert row == np.bincount(np.array(cells, dtype=int), minlength=other + 4).tolist()


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        pytest.param(3, 2_000, id="few words"),
        pytest.param(500, 2_000, id="more words than are counted one by one"),
        pytest.param(500, 40_000, id="more rows than are counted at once"),
    ],
)
def test_long_runs_of_many_words(words: int, rows: int) -> None:
    """Runs of rows are counted alike whether their words are few or many."""
    bins = CategoryBins(("w0", "w2"), ("w1",))
    texts_of = pa.array([f"w{i % words}" for i in range(rows)])
    codes = [-1] * 700 + [0] * 600 + [1] * (rows - 1300)

    found = counted(bins, texts_of, codes)

    for slot, row in enumerate(found):
        mine = [i % words for i in range(rows) if codes[i] == slot]
        kept = [mine.count(0), mine.count(2), mine.count(1), 0]
        assert row == [*kept, len(mine) - sum(kept), 0]


def test_parts_of_slots() -> None:
    """The slots of some rows are those that the rows have among all."""
    codes = np.repeat(np.array([0, -1, 1], dtype=np.int32), BLOCK_ROWS)
    whole = slots_of(codes, 2)

    part = whole.part(BLOCK_ROWS - 10, BLOCK_ROWS + 20)

    assert part.codes.tolist() == codes[BLOCK_ROWS - 10 : 2 * BLOCK_ROWS + 10].tolist()
    assert part.runs is not None
    assert [(r.start, r.stop, r.slot) for r in part.runs] == [
        (0, 10, 0),
        (BLOCK_ROWS + 10, BLOCK_ROWS + 20, 1),
    ]


def test_one_pass_counts_two_ways() -> None:
    """The same rows are shared out by slice and by segment at once."""
    binner = Binner(Feature("x", "feature", "numeric", NUMERIC))
    into = [np.zeros((1, 8), dtype=np.int64), np.zeros((2, 8), dtype=np.int64)]
    ways: list[Slots] = [
        slots_of(np.array([0, 0, -1], dtype=np.int32), 1),
        slots_of(np.array([1, 0, -1], dtype=np.int32), 2),
    ]

    binner.count(into, pa.array([0.5, 1.5, 2.5]), ways, None, False)

    assert into[0].tolist() == [[0, 1, 1, 0, 0, 0, 0, 0]]
    assert into[1].tolist() == [[0, 0, 1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0]]


def test_numbers_keep_what_is_not_there_apart() -> None:
    """Values that are no numbers are told from those that are missing."""
    found, bad = numbers(pa.array(["1", None, "x"]))

    assert np.isnan(found).tolist() == [False, True, True]
    assert bad is not None
    assert bad.tolist() == [False, False, True]
