"""A score against its thresholds: ok, warning, critical, or not evaluated with its reason.

Pure: arrays in, verdicts out. Knows no window, model or clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class State(StrEnum):
    """What a window says of a feature."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    NOT_EVALUATED = "not_evaluated"


class Reason(StrEnum):
    """Why a feature was not evaluated."""

    NO_DATA = "no_data"
    TOO_FEW_ROWS = "too_few_rows"
    COLUMN_MISSING = "column_missing"
    REFERENCE_EMPTY = "reference_empty"
    CONSTANT = "constant"
    STALE = "stale"


@dataclass(frozen=True)
class Verdict:
    """The state of a feature in a window, and what decided it."""

    state: State
    reason: Reason | None = None
    """Why there is no score, where there is none."""

    statistic: str = ""
    """The statistic furthest over its threshold, where one is over."""

    @property
    def evaluated(self) -> bool:
        """Whether the feature was scored."""
        return self.state is not State.NOT_EVALUATED


def reasons(
    rows: int,
    feature_rows: Integers,
    reference_rows: Integers,
    kept_bins: tuple[Integers, Integers],
    min_rows: int,
) -> tuple[Reason | None, ...]:
    """Why each feature cannot be evaluated, or None where it can.

    Parameters
    ----------
    rows
        Rows of the window.
    feature_rows, reference_rows
        Rows of window and reference that came with the column, shape ``(features,)``.
    kept_bins
        Bins that are not empty on both sides, and those left after thin ones were pooled, each
        ``(features,)``; with one there is nothing to compare (statistics section 1).
    min_rows
        Fewest rows with which a feature is judged.
    """
    return tuple(
        _reason(rows, int(current), int(reference), (int(kept), int(pooled)), min_rows)
        for current, reference, kept, pooled in zip(
            feature_rows, reference_rows, *kept_bins, strict=True
        )
    )


def _reason(
    rows: int, current: int, reference: int, bins: tuple[int, int], min_rows: int
) -> Reason | None:
    kept, pooled = bins
    if rows == 0:
        return Reason.NO_DATA
    if current == 0:
        return Reason.COLUMN_MISSING
    if reference == 0:
        return Reason.REFERENCE_EMPTY
    if current < min_rows:
        return Reason.TOO_FEW_ROWS
    if kept < 2:
        return Reason.CONSTANT
    return Reason.TOO_FEW_ROWS if pooled < 2 else None


def judge(
    scores: Mapping[str, Floats],
    thresholds: Mapping[tuple[str, str], Floats],
    why_not: Sequence[Reason | None],
) -> tuple[Verdict, ...]:
    """The verdict of each feature: the worst severity whose threshold a score is over.

    Parameters
    ----------
    scores
        Score by statistic, each of shape ``(features,)``; NaN where there is none.
    thresholds
        Threshold by statistic and severity, each of shape ``(features,)``; NaN where there is
        none. A score holds the severity when it is above the threshold.
    why_not
        Per feature why it is not evaluated, or None.
    """
    features = len(why_not)
    worst: dict[str, tuple[Floats, NDArray[np.object_]]] = {}
    for severity in (State.WARNING, State.CRITICAL):
        ratio = np.full(features, -np.inf)
        name = np.full(features, "", dtype=object)
        for (statistic, held), limit in thresholds.items():
            if held != severity or statistic not in scores:
                continue
            with np.errstate(invalid="ignore", divide="ignore"):
                over = scores[statistic] / limit
            better = np.nan_to_num(over, nan=-np.inf) > ratio
            ratio[better], name[better] = over[better], statistic
        worst[severity] = (ratio, name)
    return tuple(_verdict(i, why_not[i], worst) for i in range(features))


def _verdict(
    i: int, reason: Reason | None, worst: Mapping[str, tuple[Floats, NDArray[np.object_]]]
) -> Verdict:
    if reason is not None:
        return Verdict(State.NOT_EVALUATED, reason)
    for severity in (State.CRITICAL, State.WARNING):
        ratio, name = worst[severity]
        if ratio[i] > 1:
            return Verdict(severity, statistic=str(name[i]))
    return Verdict(State.OK)
