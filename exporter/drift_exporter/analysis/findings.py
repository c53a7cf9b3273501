"""Findings on columns: verdict, share of the drift, bins, and one sentence; ranked.

Pure: columns in, findings out. Knows no incident, segment or label.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from drift_exporter.analysis.columns import Column
from drift_exporter.analysis.faults import Fault, Kind, fault_of
from drift_exporter.profile_text import bin_intervals
from drift_exporter.statistics.attribution import bin_contributions

SHOWN_BINS = 5
"""Bins of a column that are told, those that contribute most."""

STRONG = 0.25
"""Excess PSI of another feature beside which new categories are no fault by themselves."""

MOST_NEW = 0.25
"""Share of rows in new categories that no change of the world brings about."""

EXPLAINING = 0.5
"""Part of the prediction's excess PSI that the inputs must have together to explain it."""


@dataclass(frozen=True)
class BinFinding:
    """What one bin adds to a column's PSI."""

    interval: str
    """What the bin holds, to be read."""

    reference_share: float
    current_share: float
    contribution: float
    """In nats; the bins of a column add up to its PSI."""

    direction: str
    """``more`` or ``fewer`` rows than in the reference."""


@dataclass(frozen=True)
class FeatureFinding:
    """What happened to one column."""

    feature: str
    role: str
    verdict: Kind
    sentence: str
    rows: int
    psi: float | None
    """None where there is none."""

    excess_psi: float
    """Beyond sampling noise and natural variation."""

    share: float
    """Of the excess PSI of all columns."""

    limit: float | None
    """PSI up to which it is chance, usual variation or a trifle; no threshold of any alert."""

    bins: tuple[BinFinding, ...] = ()
    """Those that contribute most; none where nothing happened."""

    numbers: Mapping[str, float] = field(default_factory=dict)
    """What the verdict rests on: shares, a factor."""

    since: str = ""
    """When it began, in words; empty where that is not known."""


def findings_of(columns: Sequence[Column]) -> tuple[FeatureFinding, ...]:
    """The findings on all columns: main faults first, then by their share of the drift."""
    whole = sum(column.excess for column in columns)
    faults = _verdicts(columns)
    found = [_finding(column, fault, whole) for column, fault in zip(columns, faults, strict=True)]
    main = {f.feature for f in faults_of(found)}
    found.sort(key=lambda f: (f.feature not in main, -f.excess_psi, f.feature))
    return tuple(found)


def faults_of(findings: Sequence[FeatureFinding]) -> list[FeatureFinding]:
    """The findings that make an incident one of the data's quality, in order.

    A changed world brings new categories too, unlike missing values or another unit. They are no
    fault where nothing else is one and a feature without them shifted strongly or more than they
    did, or the prediction by more than the inputs explain.
    """
    faults = [f for f in findings if f.verdict.is_fault]
    if not all(_is_new(f) for f in faults):
        return faults
    inputs, predictions = shifted(findings, "feature"), shifted(findings, "prediction")
    new = max((f.excess_psi for f in faults), default=0.0)
    if any(f.excess_psi > min(new, STRONG) for f in inputs):
        return []
    return [] if unexplained([*inputs, *faults], predictions) else faults


def _is_new(finding: FeatureFinding) -> bool:
    return (
        finding.verdict is Kind.UNSEEN
        and finding.role == "feature"
        and finding.numbers["share"] <= MOST_NEW
    )


def shifted(findings: Sequence[FeatureFinding], role: str) -> list[FeatureFinding]:
    """The findings of a role that are shifts of the distribution, in order."""
    return [f for f in findings if f.role == role and f.verdict is Kind.DISTRIBUTION_SHIFT]


def unexplained(inputs: Sequence[FeatureFinding], predictions: Sequence[FeatureFinding]) -> bool:
    """Whether a prediction shifted by more than its inputs, whose function it is, can have."""
    most = max((f.excess_psi for f in predictions), default=0.0)
    return bool(predictions) and sum(f.excess_psi for f in inputs) < EXPLAINING * most


def _verdicts(columns: Sequence[Column]) -> list[Fault]:
    """The verdicts, where features that shifted make a change of unit less likely in others.

    A prediction's shift does not: it follows from the unit that changed.
    """
    found = [fault_of(column) for column in columns]
    if not any(
        fault.kind is Kind.DISTRIBUTION_SHIFT and column.feature.role == "feature"
        for column, fault in zip(columns, found, strict=True)
    ):
        return found
    return [
        fault_of(column, alone=False) if fault.kind is Kind.UNIT_CHANGE else fault
        for column, fault in zip(columns, found, strict=True)
    ]


def _finding(column: Column, fault: Fault, whole: float) -> FeatureFinding:
    known = bool(np.isfinite(column.psi))
    return FeatureFinding(
        feature=column.name,
        role=column.feature.role,
        verdict=fault.kind,
        sentence=_sentence(column, fault),
        rows=column.rows,
        psi=column.psi if known else None,
        excess_psi=column.excess,
        share=column.excess / whole if whole > 0 else 0.0,
        limit=column.limit if np.isfinite(column.limit) else None,
        bins=_bins(column) if known and fault.kind is not Kind.NONE else (),
        numbers=dict(fault.numbers),
    )


def _bins(column: Column) -> tuple[BinFinding, ...]:
    """The bins that contribute most; thin ones only where they carry it together."""
    r, c = (_folded(column, side) for side in (column.reference, column.current))
    found = bin_contributions(r, c)
    q, p = r / max(r.sum(), 1), c / max(c.sum(), 1)
    told = [
        BinFinding(
            name, float(q[i]), float(p[i]), float(found.bins[i]), "more" if p[i] > q[i] else "fewer"
        )
        for i, name in enumerate(bin_intervals(column.feature))
        if found.bins[i] > 0
    ]
    if found.thin.any():
        before, now = float(q[found.thin].sum()), float(p[found.thin].sum())
        names = [
            n for n, thin in zip(bin_intervals(column.feature), found.thin, strict=True) if thin
        ]
        name = names[0] if len(names) == 1 else "rare bins together: " + ", ".join(names[:4])
        direction = "more" if now > before else "fewer"
        told.append(BinFinding(name, before, now, float(found.together), direction))
    told.sort(key=lambda b: -b.contribution)
    return tuple(told[:SHOWN_BINS])


def _folded(column: Column, cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows per bin, missing and unseen: rows out of range go into the outer bins."""
    values, tail = cells[:-3], cells[-3:-1]
    if column.feature.block.numeric:
        inner = values[1:-1].copy()
        inner[0] += values[0]
        inner[-1] += values[-1]
        values = inner
    return np.concatenate((values, tail))


def _sentence(column: Column, fault: Fault) -> str:
    return f"{column.name}: {_WORDS[fault.kind](column, fault)}"


def percent(share: float) -> str:
    """A share in per cent with as many digits as it needs.

    Examples
    --------
    >>> percent(0.5), percent(0.0123), percent(0.00012)
    ('50 %', '1.2 %', '0.012 %')
    """
    value = 100 * share
    return f"{value:.0f} %" if value >= 10 or value == 0 else f"{value:.2g} %"


def _unit(_: Column, fault: Fault) -> str:
    numbers = fault.numbers
    share = numbers["share"]
    rows = "all rows" if share > 0.97 else f"{percent(share)} of the rows"
    factor = numbers["factor"]
    if numbers["offset"]:
        return f"in {rows} the unit changed from {fault.text}"
    if factor < 0:
        return f"in {rows} the sign is turned round"
    times = f"{factor:.4g} times" if factor >= 1 else f"1/{1 / factor:.4g} of"
    named = f", as between units by a factor of {fault.text}" if fault.text else ""
    return f"in {rows} the values are {times} what they were{named}"


def _rates(what: str) -> Callable[[Column, Fault], str]:
    def words(_: Column, fault: Fault) -> str:
        named = f": {fault.text}" if fault.text else ""
        share, before = fault.numbers["share"], fault.numbers["reference_share"]
        return f"{percent(share)} of the rows {what}, in the reference {percent(before)}{named}"

    return words


def _out_of_range(column: Column, fault: Fault) -> str:
    said = _rates("lie outside the reference's range")(column, replace(fault, text=""))
    return said + (f"; most of them are the value {fault.text}" if fault.text else "")


def _constant(_: Column, fault: Fault) -> str:
    return f"all values are {fault.text}" if fault.text else "all values fell into a single bin"


def _shift(column: Column, _: Fault) -> str:
    (bin_, *_rest) = _bins(column)
    return (
        f"shifted, PSI {column.psi:.2g} (up to {column.limit:.2g} would be chance, usual variation "
        f"or a trifle); {bin_.direction} rows in {bin_.interval}: "
        f"{percent(bin_.reference_share)} → {percent(bin_.current_share)}"
    )


_WORDS: Mapping[Kind, Callable[[Column, Fault], str]] = {
    Kind.COLUMN_MISSING: lambda _, f: f"{percent(f.numbers['share'])} of the rows lack the column",
    Kind.UNIT_CHANGE: _unit,
    Kind.CONSTANT: _constant,
    Kind.CATEGORY_RELABELLED: lambda _, f: (
        f"{percent(f.numbers['share'])} of the rows have new names for known categories"
        + (f": {f.text}" if f.text else "")
    ),
    Kind.MISSING: _rates("have no value"),
    Kind.TYPE_CHANGE: _rates("have a value that is no number"),
    Kind.UNSEEN: _rates("have a category that the reference never had"),
    Kind.OUT_OF_RANGE: _out_of_range,
    Kind.DISTRIBUTION_SHIFT: _shift,
    Kind.NOT_EVALUATED: lambda _, __: "not judged, too few rows",
    Kind.NONE: lambda _, __: "as in the reference",
}
