"""Labels: whether rows like those before now end differently (concept drift).

Pure: counts by label value and bin in, a finding out. Knows nothing of faults.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drift_exporter.analysis.columns import ALPHA
from drift_exporter.analysis.evidence import Evidence
from drift_exporter.profile import MISSING_SEGMENT, OTHER_SEGMENT
from drift_exporter.statistics.concept import LabelChange, label_change

LEAST_EFFECT = 0.01
"""Mean change of the label within bins, of the labels' range, that is worth a word."""

_WORDS = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class ConceptFinding:
    """The change of the mean label, split by the bins of one column."""

    label: str
    by: str
    """The column whose bins were compared."""

    drifted: bool
    """Whether the label changed within bins, beyond chance and by more than a trifle."""

    reference_mean: float
    current_mean: float
    covariate: float
    """What the changed shares of the bins explain."""

    within: float
    """What changed within bins, with its sign."""

    exchanged: float
    """What the changed shares of the bins move, whatever its sign: rows were exchanged for others
    by so much, and what is within coarse bins with them."""

    effect: float
    """Mean size of the change within bins, whatever its sign, beyond noise."""

    neg_log10_p: float
    labelled_rows: int
    """Rows of the window whose label is known."""

    sentence: str


def concept_of(evidence: Evidence, columns: Sequence[str]) -> ConceptFinding | None:
    """The clearest change of the label within the bins of the named columns.

    None where the model has no label, its values are no numbers, or too few rows have one.
    """
    names, values = _values(evidence)
    if len(names) < 2:
        return None
    changes = [(name, _change(evidence, name, names, values)) for name in columns]
    changes = [(name, change) for name, change in changes if change.tested]
    if not changes:
        return None
    rows = sum(evidence.profile.layout.rows(_window(evidence, name)) for name in names)
    by, change = max(changes, key=lambda found: found[1].neg_log10_p)
    spread = float(np.ptp(values))
    sure = change.neg_log10_p > -math.log10(ALPHA / len(changes))
    drifted = sure and change.effect >= LEAST_EFFECT * spread
    return ConceptFinding(
        label=evidence.label,
        by=by,
        drifted=drifted,
        reference_mean=change.reference_mean,
        current_mean=change.current_mean,
        covariate=change.covariate,
        within=change.within,
        exchanged=change.exchanged,
        effect=change.effect,
        neg_log10_p=change.neg_log10_p,
        labelled_rows=rows,
        sentence=_sentence(evidence.label, by, drifted, change),
    )


def _values(evidence: Evidence) -> tuple[list[str], NDArray[np.float64]]:
    """Names and numbers of the label's values; text of two values is 0 and 1 in its order."""
    names = sorted(
        {
            name
            for by, name in evidence.profile.segment_counts
            if evidence.label and by == evidence.label
        }
        - {MISSING_SEGMENT, OTHER_SEGMENT}
    )
    try:
        numbers = [_WORDS[name] if name in _WORDS else float(name) for name in names]
    except ValueError:
        if len(names) != 2:
            return [], np.empty(0)
        numbers = [0.0, 1.0]
    if not all(math.isfinite(number) for number in numbers):
        return [], np.empty(0)
    return names, np.array(numbers)


def _change(
    evidence: Evidence, column: str, names: Sequence[str], values: NDArray[np.float64]
) -> LabelChange:
    layout = evidence.profile.layout
    at = layout.index[column]
    sides = []
    for vectors in (evidence.profile.segment_counts, evidence.segments):
        rows = [
            layout.bins(vectors.get((evidence.label, name), layout.zeros()))[at] for name in names
        ]
        sides.append(np.array(rows))
    return label_change(sides[0], sides[1], values)


def _window(evidence: Evidence, name: str) -> NDArray[np.int64]:
    return evidence.segments.get((evidence.label, name), evidence.profile.layout.zeros())


def _sentence(label: str, by: str, drifted: bool, change: LabelChange) -> str:
    means = f"mean {label} {change.reference_mean:.3g} → {change.current_mean:.3g}"
    if not drifted:
        return f"{means}; in rows with the same {by} it is as before"
    return f"{means}; in rows with the same {by} it changed by {change.effect:.3g} on average"
