"""Categories under new names: what vanished came back as something that was never there.

Pure: a column's cells and the names of its window's categories in, a match out.
"""

import re

import numpy as np

from drift_exporter.analysis.columns import Column
from drift_exporter.profile import CategoryBins

LEAST_SHARE = 0.02
"""Share of the rows below which names are not compared."""

VANISHED = 0.5
"""Part of its rows that a category must have lost to be one that vanished."""

TOLERANCE = 0.15
"""Distance, of the rows compared, up to which shares match."""

SAME_NAME = 0.8
"""Part of the unseen rows that must have a known name in another spelling."""

_NOISE = 3.0


def relabelled(column: Column) -> tuple[float, str] | None:
    """The share of the rows under a new name and the names, or None.

    New names match when they are known ones in another spelling, or when their shares are, one
    by one, those that vanished. Without the window's names only the sums are compared.
    """
    bins = column.feature.bins
    if not isinstance(bins, CategoryBins):
        return None
    before, now = column.values
    n, m = column.rows - int(column.current[-3]), int(before.sum())
    unseen = int(column.current[-2])
    if not m or not n or unseen < LEAST_SHARE * n:
        return None
    was, is_now = before[:-1] / m, now[:-1] / n
    # Categories that each lost a little to new ones have a new clientele, not new names.
    gone = (was * n >= 5) & (was - is_now >= VANISHED * was)
    lost = np.sort((was - is_now)[gone])[::-1]
    new = _new_names(column, bins)
    spelt = _other_spelling(new, bins, unseen)
    if spelt is not None:
        return unseen / n, spelt
    if not lost.size:
        return None
    known = sum(rows for _, rows in new) >= SAME_NAME * unseen
    top = np.array([rows / n for _, rows in new]) if known else np.array([unseen / n])
    compared = lost if known else np.array([lost.sum()])
    size = max(len(top), len(compared))
    apart = np.abs(np.pad(top, (0, size - len(top))) - np.pad(compared, (0, size - len(compared))))
    noise = _NOISE * np.sqrt(np.maximum(compared, 1e-9) * (1 / n + 1 / m)).sum()
    if apart.sum() > TOLERANCE * lost.sum() + noise:
        return None
    order = np.argsort(-(was - is_now) * gone)
    pairs = [
        f"{bins.kept[int(i)]!r} → {name!r}"
        for i, (name, _) in zip(order[: lost.size], new, strict=False)
    ]
    return unseen / n, ", ".join(pairs[:3]) + (", …" if len(pairs) > 3 else "")


def _new_names(column: Column, bins: CategoryBins) -> list[tuple[str, int]]:
    if column.categories is None:
        return []
    return [(name, rows) for name, rows in column.categories.counts if name not in bins.codes]


def _other_spelling(new: list[tuple[str, int]], bins: CategoryBins, unseen: int) -> str | None:
    known = {_plain(name): name for name in bins.codes}
    found = [(known[_plain(name)], name, rows) for name, rows in new if _plain(name) in known]
    if sum(rows for *_, rows in found) < SAME_NAME * unseen:
        return None
    return ", ".join(f"{old!r} → {name!r}" for old, name, _ in found[:3]) + (
        ", …" if len(found) > 3 else ""
    )


def _plain(name: str) -> str:
    """A name without case, spaces and punctuation."""
    plain = re.sub(r"[\W_]+", "", name.casefold())
    return plain or name
