"""What a column of the reference looks like, asked of the database that holds it.

Knows the quantiles and categories that a profile is built from; knows no bins, no connection.
"""

from collections.abc import Callable
from typing import Any

import ibis

from drift_exporter.profile import FEW_VALUES, GRID, SEEN_CAP, CategorySketch, NumericSketch
from drift_exporter.reading.table_engines import Rows, Typed
from drift_exporter.reading.table_values import (
    Expression,
    category,
    comparable,
    double,
    is_finite,
    is_number,
    number,
    present,
    sort_key,
    tally,
)

Ask = Callable[[Expression], Rows]


def sketch_numbers(
    dialect: str, ask: Ask, rows: Expression, name: str, typed: Typed
) -> NumericSketch:
    """The sketch of a numeric column; quantiles are values of the column, exactly."""
    values = rows.select(raw=rows[name], x=number(dialect, rows[name], typed))
    ((total, numbers, unparsed),) = ask(
        values.aggregate(
            total=values.count(),
            numbers=tally(dialect, is_number(values.x), values),
            unparsed=tally(dialect, values.raw.notnull() & values.x.isnull(), values),
        )
    )
    numbers, unparsed = int(numbers or 0), int(unparsed or 0)
    finite = values.filter(is_finite(values.x)).select("x")
    ((size, low, high, distinct),) = ask(
        finite.aggregate(
            size=finite.count(),
            low=finite.x.min(),
            high=finite.x.max(),
            distinct=finite.x.nunique(),
        )
    )
    few = distinct <= FEW_VALUES
    return NumericSketch(
        rows=numbers + unparsed,
        missing=int(total) - numbers - unparsed,
        distinct=int(distinct),
        integer=typed.column.kind == "integer",
        deviation=_deviation(ask, finite, low, high),
        grid=_grid(ask, finite, int(size)),
        values=tuple(float(x) for (x,) in ask(finite.distinct().order_by("x"))) if few else (),
    )


def _deviation(ask: Ask, finite: Expression, low: Any, high: Any) -> float:
    if low is None or low == high:
        return 0.0
    # Of values scaled to at most 1, since the square of a large one does not fit a float64.
    scale = max(abs(low), abs(high))
    # What would vanish beside it is 0 at once: PostgreSQL refuses a quotient that underflows.
    small = (finite.x > double(-scale * 1e-160)) & (finite.x < double(scale * 1e-160))
    scaled = finite.select(x=ibis.cases((small, double(0.0)), else_=finite.x / double(scale)))
    ((deviation,),) = ask(scaled.aggregate(deviation=scaled.x.std(how="pop")))
    return float(deviation) * float(scale)


def _grid(ask: Ask, finite: Expression, size: int) -> tuple[float, ...]:
    if size == 0:
        return ()
    wanted = [max(-(-k * size // GRID), 1) - 1 for k in range(GRID + 1)]
    numbered = finite.select(x=finite.x, at=ibis.row_number().over(order_by=finite.x))
    if size > GRID:
        # A row stands for a step of the grid where the step's number changes at it.
        at = numbered.at
        numbered = numbered.filter(
            (at == 0) | (_step(at + 1, size) > _step(at, size)),
        )
    found = {int(at): float(x) for x, at in ask(numbered)}
    return tuple(found[at] for at in wanted)


def _step(rows: Expression, size: int) -> Expression:
    # floor(rows * GRID / size) without a division, of which engines have several kinds.
    product = rows * GRID
    return product - product % size


def sketch_categories(
    dialect: str, ask: Ask, rows: Expression, name: str, typed: Typed
) -> CategorySketch:
    """The sketch of a column of categories, the commonest first."""
    column = rows[name]
    ((total, there),) = ask(
        rows.aggregate(total=rows.count(), there=tally(dialect, present(column, typed), rows))
    )
    there = int(there or 0)
    if typed.column.kind == "other":
        return CategorySketch(there, int(total) - there, 0, ())
    shown = column if typed.type == "decimal" else comparable(column, typed)
    values = rows.filter(present(column, typed)).select(x=shown)
    groups = values.group_by("x").aggregate(n=values.count())
    distinct = int(ask(groups.aggregate(distinct=groups.count()))[0][0])
    # By bytes, as Python sorts: the order decides only which of the rarest are remembered.
    commonest = groups.order_by(ibis.desc("n"), sort_key(dialect, groups.x, typed)).limit(SEEN_CAP)
    counts = sorted(((category(x), int(n)) for x, n in ask(commonest)), key=lambda c: (-c[1], c[0]))
    return CategorySketch(there, int(total) - there, distinct, tuple(counts))
