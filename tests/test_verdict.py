"""Verdicts: scores against thresholds, and the reasons where there is none."""

import numpy as np
import pytest

from drift_exporter.verdicts.verdict import Reason, State, judge, reasons

NAN = float("nan")


@pytest.mark.parametrize(
    ("psi", "missing", "state", "statistic"),
    [
        pytest.param(0.05, 0.0, State.OK, "", id="below all"),
        pytest.param(0.1, 0.0, State.OK, "", id="at the threshold is not over it"),
        pytest.param(0.11, 0.0, State.WARNING, "psi", id="over warning"),
        pytest.param(0.26, 0.0, State.CRITICAL, "psi", id="over critical"),
        pytest.param(0.11, 0.9, State.WARNING, "missing_ratio", id="the one furthest over"),
        pytest.param(0.26, 0.9, State.CRITICAL, "psi", id="critical beats a bigger warning"),
        pytest.param(NAN, 0.0, State.OK, "", id="a score without value holds nothing"),
    ],
)
def test_verdicts_by_hand(psi: float, missing: float, state: State, statistic: str) -> None:
    """The worst severity whose threshold a score is over, and the statistic that decided."""
    scores = {"psi": np.array([psi]), "missing_ratio": np.array([missing])}
    thresholds = {
        ("psi", "warning"): np.array([0.1]),
        ("psi", "critical"): np.array([0.25]),
        ("missing_ratio", "warning"): np.array([0.1]),
    }

    (verdict,) = judge(scores, thresholds, [None])

    assert (verdict.state, verdict.statistic) == (state, statistic)


@pytest.mark.parametrize(
    ("rows", "current", "reference", "kept", "pooled", "reason"),
    [
        pytest.param(0, 0, 500, 5, 5, Reason.NO_DATA, id="empty window"),
        pytest.param(500, 0, 500, 5, 5, Reason.COLUMN_MISSING, id="vanished column"),
        pytest.param(500, 500, 0, 5, 5, Reason.REFERENCE_EMPTY, id="reference without the column"),
        pytest.param(500, 99, 500, 5, 5, Reason.TOO_FEW_ROWS, id="99 of 100 rows"),
        pytest.param(500, 100, 500, 5, 5, None, id="100 rows"),
        pytest.param(500, 500, 500, 9, 1, Reason.TOO_FEW_ROWS, id="all bins thin"),
        pytest.param(500, 500, 500, 1, 1, Reason.CONSTANT, id="one bin on both sides"),
    ],
)
def test_reasons(
    rows: int, current: int, reference: int, kept: int, pooled: int, reason: Reason | None
) -> None:
    """A feature that cannot be judged says why; it has no score, and never 0."""
    counts = [np.array([n]) for n in (current, reference, kept, pooled)]
    bins = (counts[2], counts[3])

    assert reasons(rows, counts[0], counts[1], bins, min_rows=100) == (reason,)
    if reason:
        (verdict,) = judge(
            {"psi": np.array([9.0])}, {("psi", "warning"): np.array([0.1])}, [reason]
        )
        assert verdict.state is State.NOT_EVALUATED
        assert verdict.reason is reason
