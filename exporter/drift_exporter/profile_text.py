"""Profiles as text for a person: what is in one, what its bins hold, and how two differ.

Pure: profiles in, text out.
"""

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from drift_exporter.profile import CategoryBins, Feature, NumericBins, Profile
from drift_exporter.verdicts.scoring import score_psi

MOST_SHOWN = 8
"""Edges or categories of a column that are shown."""

TAIL = ("missing", "unseen")
"""Names of the bins behind those of values."""


def shown(profile: Profile) -> str:
    """A profile as a table: each column's kind and why, its bins, and what was left out."""
    layout = profile.layout
    missing = layout.missing(profile.counts)
    lines = [
        f"model      {profile.model}",
        f"reference  {profile.source}",
        f"rows       {profile.rows}",
        f"span       {profile.start or 'unknown'} to {profile.end or 'unknown'}",
        f"created    {profile.created}",
        f"hash       {profile.hash}",
        "",
    ]
    rows: list[tuple[str, ...]] = [
        ("column", "role", "kind", "because", "bins", "missing", "where")
    ]
    for i, feature in enumerate(profile.features):
        share = missing[i] / profile.rows
        where = _where(feature)
        rows.append(
            (
                feature.name,
                feature.role,
                feature.kind,
                feature.why,
                str(feature.bins.bins),
                f"{share:.1%}",
                where,
            )
        )
    lines += _table(rows)
    if profile.segments:
        lines += ["", "segments"]
        lines += [f"  {s.name}: {_some(s.values)}" for s in profile.segments]
    if profile.left_out:
        lines += ["", "left out"]
        lines += [f"  {name}: {why}" for name, why in profile.left_out.items()]
    return "\n".join(lines) + "\n"


def difference(old: Profile, new: Profile) -> str:
    """How two profiles differ: columns, kinds, bins, and PSI where the bins are the same."""
    before = {f.name: f for f in old.features}
    after = {f.name: f for f in new.features}
    lines = [f"{old.hash} ({old.rows} rows) → {new.hash} ({new.rows} rows)"]
    if old.hash == new.hash:
        return lines[0] + ": the same\n"
    lines += [f"- {name}: gone" for name in before if name not in after]
    lines += [f"+ {name}: new, {f.kind}" for name, f in after.items() if name not in before]
    lines += list(_changes(old, new))
    return "\n".join(lines) + "\n"


def bin_names(feature: Feature) -> tuple[str, ...]:
    """A name for each bin, by which bins sort: numbers of the same width, then the tail.

    Examples
    --------
    >>> bin_names(Feature("city", "feature", "categorical", CategoryBins(("x", "y"))))
    ('00', '01', '02', 'missing', 'unseen')
    """
    width = max(len(str(feature.bins.bins - 1)), 2)
    return (*(f"{i:0{width}}" for i in range(feature.bins.bins)), *TAIL)


def bin_intervals(feature: Feature) -> tuple[str, ...]:
    """What each bin holds: an interval or a category, then missing and unseen values.

    The outer intervals are open, as statistics see them. Edges are rounded to as many digits
    as tell them apart.

    Examples
    --------
    >>> bin_intervals(Feature("age", "feature", "numeric", NumericBins((30.0, 40.0), 18, 90)))
    ('< 30', '[30, 40)', '≥ 40', 'missing', 'unseen')
    """
    bins = feature.bins
    if isinstance(bins, NumericBins):
        return (*_intervals(bins.edges), *TAIL)
    return (*bins.kept, "other", *TAIL)


def _intervals(edges: tuple[float, ...]) -> Iterator[str]:
    """The texts of half-open intervals; that of a single value is ``= v``."""
    if not edges:
        yield "any number"
        return
    # An edge just above another one encloses a single value: bins [v, v+) and [v+, …).
    atoms = [False, *(b == math.nextafter(a, math.inf) for a, b in pairwise(edges))]
    shown = [edges[i - 1] if atom else edges[i] for i, atom in enumerate(atoms)]
    texts = _texts(shown, len(edges) - sum(atoms))
    yield f"< {texts[0]}"
    for i, text in enumerate(texts[1:], start=1):
        left = f"({texts[i - 1]}" if atoms[i - 1] else f"[{texts[i - 1]}"
        yield f"= {texts[i - 1]}" if atoms[i] else f"{left}, {text})"
    yield f"> {texts[-1]}" if atoms[-1] else f"≥ {texts[-1]}"


def _texts(edges: list[float], apart: int) -> list[str]:
    """The edges with as few digits as tell so many of them apart, four at least."""
    for digits in range(4, 18):
        texts = [_number(edge, digits) for edge in edges]
        if len(set(texts)) >= apart:
            break
    return texts


def _number(number: float, digits: int) -> str:
    text = f"{number:.{digits}g}"
    if "e" in text and 1e-4 <= abs(number) < 1e15:
        return np.format_float_positional(float(text), trim="-")
    return text


def _changes(old: Profile, new: Profile) -> Iterator[str]:
    for i, feature in enumerate(new.features):
        at = old.layout.index.get(feature.name)
        if at is None:
            continue
        known = old.features[at]
        if known.kind != feature.kind:
            yield f"~ {feature.name}: {known.kind} → {feature.kind}"
        elif known.bins != feature.bins:
            yield f"~ {feature.name}: bins {_where(known)} → {_where(feature)}"
        else:
            single = type(new.layout)((feature.block,))
            counts = (old.layout.cells(old.counts, at), new.layout.cells(new.counts, i))
            apart = float(score_psi(counts[0], counts[1], single)[0])
            if not np.array_equal(*counts):
                yield f"~ {feature.name}: same bins, PSI {apart:.4f}"


def _where(feature: Feature) -> str:
    bins = feature.bins
    if isinstance(bins, NumericBins):
        return f"{bins.low:g} … {bins.high:g} at {_some([f'{edge:.4g}' for edge in bins.edges])}"
    assert isinstance(bins, CategoryBins)  # noqa: S101  (one of two kinds)
    others = f" and {len(bins.others)} in other" if bins.others else ""
    return _some(bins.kept) + others + ("" if bins.complete else ", more than are remembered")


def _some(values: list[str] | tuple[str, ...]) -> str:
    more = len(values) - MOST_SHOWN
    return ", ".join(values[:MOST_SHOWN]) + (f", {more} more" if more > 0 else "")


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
