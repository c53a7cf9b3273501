"""Changes of the world that look like faults of the data, and faults that look like the world."""

import numpy as np
import numpy.typing as npt
import pytest

from drift_exporter.analysis import Analysis, Evidence, Kind, analyse
from drift_exporter.demo.credit_log import (
    IDENTIFIER,
    SAMPLED,
    SEGMENT,
    TIMESTAMP,
    Columns,
    Drift,
    rows,
)
from generated_incidents import (
    SEGMENTS,
    Table,
    cells_of,
    counted,
    profile_of,
    stored_grids,
    with_sketches,
)

PURPOSES = np.array(["car", "home", "debt", "education"], dtype=object)


def people(seed: int, rows: int = 6000) -> Table:
    """Loans: an amount of wide spread, ages, heights, purposes, and what a model makes of them."""
    rng = np.random.default_rng(seed)
    return {
        "amount": np.exp(rng.normal(8, 0.8, rows)),
        "age": rng.normal(45, 11, rows),
        "height": rng.normal(172, 9, rows),
        "purpose": PURPOSES[rng.choice(4, rows, p=[0.4, 0.3, 0.2, 0.1])],
        "site": np.array(SEGMENTS, dtype=object)[rng.integers(len(SEGMENTS), size=rows)],
        "outcome": np.array(["true", "false"], dtype=object)[rng.integers(2, size=rows)],
        "score": 1 / (1 + np.exp(-rng.normal(0, 1, rows))),
    }


def changed(**columns: npt.NDArray[np.generic]) -> Analysis:
    """The analysis of other people, some of their columns changed."""
    now = people(1)
    now.update(columns)
    return judged(people(0), now)


def judged(before: Table, now: Table) -> Analysis:
    """The analysis of rows against others."""
    profile = profile_of(before)
    evidence = Evidence(
        profile,
        counted(profile, cells_of(profile, now)),
        reference_grids=stored_grids(before, profile),
    )
    return analyse(with_sketches(evidence, now))


def of(name: str) -> npt.NDArray[np.float64]:
    """A column of those other people, as numbers."""
    return people(1)[name].astype(np.float64)


OLDER = of("age") + 12
RISKIER = 1 / (1 + np.exp(-np.log(of("score") / (1 - of("score"))) - 0.8))


@pytest.mark.parametrize("log_factor", [0.6, 0.7, 0.8, 0.9, 1.2])
def test_amounts_that_grew_with_other_columns(log_factor: float) -> None:
    """Amounts that grew while ages and predictions moved too are a shift, whatever the factor."""
    found = changed(amount=of("amount") * np.exp(log_factor), age=OLDER, score=RISKIER)

    assert found.classification == "covariate_shift"
    assert {f.feature for f in found.features if f.verdict is Kind.DISTRIBUTION_SHIFT} == {
        "amount",
        "age",
        "score",
    }


@pytest.mark.parametrize(
    ("name", "factor"), [("height", 1 / 2.54), ("amount", 100.0), ("amount", 1e-3)]
)
def test_units_that_changed_while_the_world_did(name: str, factor: float) -> None:
    """A factor beyond all natural ones stays a change of unit beside a shift."""
    found = changed(**{name: of(name) * factor, "age": OLDER})

    assert found.classification == "data_quality"
    assert (found.features[0].feature, found.features[0].verdict) == (name, Kind.UNIT_CHANGE)
    assert found.features[0].numbers["factor"] == pytest.approx(factor, rel=0.05)


def test_a_unit_moves_the_prediction() -> None:
    """A small factor stays a change of unit where only the prediction moved with it."""
    found = changed(amount=of("amount") * 2.54, score=RISKIER)

    assert found.classification == "data_quality"
    assert found.features[0].verdict is Kind.UNIT_CHANGE


def applications(log: Columns) -> Table:
    """Columns of the demo's log, as the generated incidents have them."""
    left = {name: x for name, x in log.items() if name not in (TIMESTAMP, IDENTIFIER, SEGMENT)}
    texts = {name: x.astype(str) if x.dtype == bool else x for name, x in left.items()}
    found: Table = {
        name: x.astype(object) if x.dtype.kind in "OU" else x.astype(np.float64)
        for name, x in texts.items()
    }
    return {**found, "site": log[SEGMENT], "outcome": np.full(len(log[TIMESTAMP]), "true", object)}


def test_the_demo_is_a_shift_that_brings_a_category() -> None:
    """Other people who ask for credit are no fault, though one of their purposes is new."""
    week, start = 7 * 86_400, 1_790_000_000
    found = judged(
        applications(rows(start, start + week, 1, traffic=SAMPLED)),
        applications(rows(start + week, start + week + 600, 1, Drift(start))),
    )

    assert found.classification == "covariate_shift"
    assert "'phone_contract'" in found.headline
    assert "new category in purpose is meant" in found.recommendation
    assert {f.feature: f.verdict for f in found.features[:4]} == {
        "score": Kind.DISTRIBUTION_SHIFT,
        "purpose": Kind.UNSEEN,
        "credit_utilisation": Kind.DISTRIBUTION_SHIFT,
        "income": Kind.DISTRIBUTION_SHIFT,
    }
