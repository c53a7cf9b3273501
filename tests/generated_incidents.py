"""Incidents of known cause, generated from a seed: what the analysis is measured on.

Each is a model of some columns of mixed families, a reference, a day of slices and a window at
its end. One thing happens to one column (or to the labels, or to nothing) at a slice of the day.
Only counts and sketches reach the analysis, as from a source.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from drift_exporter.analysis import Analysis, Evidence, Slices, analyse, columns_to_sketch
from drift_exporter.counts import Vector
from drift_exporter.profile import (
    GRID,
    CategoryBins,
    CategorySketch,
    Feature,
    NumericBins,
    NumericSketch,
    Profile,
    SegmentColumn,
    category_bins,
    numeric_bins,
    with_counts,
)

Floats = npt.NDArray[np.float64]
Texts = npt.NDArray[np.object_]
Table = dict[str, npt.NDArray[np.generic]]
"""Columns by name: floats with NaN for missing, or texts with None."""

SEED = 20261123
REFERENCE_ROWS = (2000, 6000, 20000)
WINDOW_ROWS = (500, 1000, 4000, 20000)
SLICES = 48
WINDOW_SLICES = 12
WIDTH = 1800
START = 1_790_000_000 // WIDTH * WIDTH
SEGMENTS = ("Bergen", "Tromsø", "Ålesund", "Bodø")
STORED_STEPS = 40
"""Steps of the reference's quantiles that a profile would store."""


@dataclass(frozen=True)
class Incident:
    """What happened, and what the analysis gets to see of it."""

    kind: str
    feature: str
    """The column that it happened to; empty where it is none in particular."""

    began: float | None
    evidence: Evidence
    detail: str


# Numeric families. None is the normal or lognormal of the code's own examples.
Draw = Callable[[np.random.Generator, int], Floats]
FAMILIES: dict[str, Draw] = {
    "gamma": lambda rng, n: rng.gamma(2.3, 41.0, n),
    "weibull": lambda rng, n: 7 + 30 * rng.weibull(1.7, n),
    "beta": lambda rng, n: rng.beta(2.0, 5.0, n),
    "student": lambda rng, n: 12 + 3 * rng.standard_t(6, n),
    "bimodal": lambda rng, n: np.where(
        rng.random(n) < 0.4, rng.logistic(40, 2, n), rng.logistic(65, 3, n)
    ),
    "counts": lambda rng, n: rng.negative_binomial(4, 0.15, n).astype(np.float64),
    "claims": lambda rng, n: np.where(rng.random(n) < 0.35, 0.0, rng.exponential(880.0, n)),
    "triangular": lambda rng, n: rng.triangular(-4, 1, 9, n),
    "pareto": lambda rng, n: 15 * (1 + rng.pareto(3.5, n)),
    "temperature": lambda rng, n: 11 + 9 * np.sin(rng.uniform(0, 6.3, n)) + rng.normal(0, 2, n),
}

# The same columns of plain shapes, of about the same places and spreads.
PLAIN: Mapping[str, Draw] = {
    "gamma": lambda rng, n: rng.lognormal(4.36, 0.6, n),
    "weibull": lambda rng, n: rng.normal(34, 6, n),
    "beta": lambda rng, n: rng.uniform(0.05, 0.6, n),
    "student": lambda rng, n: rng.normal(12, 3, n),
    "bimodal": lambda rng, n: rng.uniform(32, 78, n),
    "counts": lambda rng, n: rng.lognormal(3, 0.4, n),
    "claims": lambda rng, n: rng.lognormal(6, 1.1, n),
    "triangular": lambda rng, n: rng.normal(2, 3, n),
    "pareto": lambda rng, n: rng.lognormal(3, 0.25, n),
    "temperature": lambda rng, n: rng.normal(11, 7, n),
}


def table(rng: np.random.Generator, shares: Mapping[str, Floats], rows: int) -> Table:
    """Rows as they should be."""
    columns: Table = {name: draw(rng, rows) for name, draw in FAMILIES.items()}
    columns["weibull"] = _holes(rng, columns["weibull"], 0.06)
    for name, weights in shares.items():
        names = np.array([f"{name}-{i}" for i in range(len(weights))], dtype=object)
        columns[name] = names[rng.choice(len(weights), rows, p=weights)]
    columns["site"] = np.array(SEGMENTS, dtype=object)[
        rng.choice(len(SEGMENTS), rows, p=[0.4, 0.3, 0.2, 0.1])
    ]
    return columns


def risk_of(rows: Table) -> Floats:
    """The log-odds that the outcome has, in truth."""
    gamma, bimodal = _floats(rows, "gamma"), _floats(rows, "bimodal")
    risk = 0.9 * (gamma - 94) / 62 - 0.6 * (bimodal - 55) / 13
    bold = (rows["branch"] == "branch-0").astype(np.float64)
    odds: Floats = np.clip(np.nan_to_num(risk), -6, 6) - 1.1 + 0.5 * bold
    return odds


def scores_of(rng: np.random.Generator, rows: Table) -> Floats:
    """What the model makes of the rows that it gets. It is not perfect."""
    return 1 / (1 + np.exp(-(risk_of(rows) + rng.normal(0, 0.3, len(rows["gamma"])))))


def outcomes_of(rng: np.random.Generator, risk: Floats) -> Texts:
    """How the rows end, known later."""
    return np.where(rng.random(len(risk)) < 1 / (1 + np.exp(-risk)), "true", "false").astype(object)


def incident(kind: str, seed: int, *, grids: bool = True) -> Incident:
    """One incident of a kind; ``grids`` says whether the profile has the reference's quantiles."""
    rng = np.random.default_rng((SEED, KINDS.index(kind), seed))
    m = int(REFERENCE_ROWS[seed % len(REFERENCE_ROWS)])
    n = int(WINDOW_ROWS[seed % len(WINDOW_ROWS)])
    shares = {
        "branch": rng.dirichlet(np.full(6, 3.0)),
        "product": np.sort(rng.dirichlet(np.full(45, 0.6)))[::-1],
        "consent": np.array([0.72, 0.28]),
    }
    reference = table(rng, shares, m)
    reference["score"] = scores_of(rng, reference)
    reference["outcome"] = outcomes_of(rng, risk_of(reference))
    profile = profile_of(reference)
    per_slice = n // WINDOW_SLICES
    rows = per_slice * SLICES
    at = np.repeat(np.arange(SLICES), per_slice)
    began = int(rng.integers(SLICES // 4, SLICES - WINDOW_SLICES + 1))
    after = at >= began
    usual = table(rng, shares, rows)
    happened, feature, detail = HAPPENINGS[kind](rng, usual, shares)
    changed = {name: np.where(after, happened[name], usual[name]) for name in usual}
    # The model scores what it gets, be it broken; how a row ends follows from what it is.
    risk = risk_of(changed if kind in WORLD else usual)
    if kind == "concept_drift":
        risk = risk + np.where(after, 0.9 * rng.choice([-1, 1]), 0.0)
    seen: Table = {
        **changed,
        "score": scores_of(rng, changed),
        "outcome": outcomes_of(rng, risk),
    }
    if kind == "prediction_shift":
        logit = np.log(_floats(seen, "score") / (1 - _floats(seen, "score")))
        moved = 1 / (1 + np.exp(-(logit * rng.choice([0.45, 1.0]) + rng.choice([-0.9, 0.9]))))
        seen["score"] = np.where(after, moved, seen["score"])
    cells = cells_of(profile, seen)
    newest = at >= SLICES - WINDOW_SLICES
    window = {name: column[newest] for name, column in seen.items()}
    of_window = {name: column[newest] for name, column in cells.items()}
    labelled = kind == "concept_drift" or seed % 2 == 0
    segments = segment_counts(profile, window, of_window)
    evidence = Evidence(
        profile=profile,
        current=counted(profile, of_window),
        segments={key: v for key, v in segments.items() if labelled or key[0] != "outcome"},
        label="outcome" if labelled else "",
        reference_grids=stored_grids(reference, profile) if grids else {},
        slices=Slices(
            START,
            WIDTH,
            np.stack([counted(profile, cells, slice_rows(i, per_slice)) for i in range(SLICES)]),
        ),
    )
    nothing = kind in ("none", "concept_drift")
    return Incident(
        kind,
        feature,
        None if nothing else float(START + began * WIDTH),
        with_sketches(evidence, window),
        f"{detail}; reference {m}, window {n}",
    )


def slice_rows(i: int, rows: int) -> slice:
    """The rows of a slice."""
    return slice(i * rows, (i + 1) * rows)


def incidents(
    kinds: Sequence[str], each: int, *, first: int = 0, grids: bool = True
) -> Iterator[Incident]:
    """So many incidents of each kind, from a first seed on."""
    for kind in kinds:
        for seed in range(first, first + each):
            yield incident(kind, seed, grids=grids)


Happening = tuple[Table, str, str]


def _unit(rng: np.random.Generator, rows: Table, _: Mapping[str, Floats]) -> Happening:
    name = _pick(rng, ["gamma", "weibull", "student", "counts", "claims", "pareto", "temperature"])
    x = _floats(rows, name)
    if name == "temperature":
        factor, offset = (1.8, 32.0) if rng.random() < 0.5 else (1.0, 273.15)
    else:
        factor = float(rng.choice([1000, 1e-3, 100, 0.01, 60, 18.016, 1 / 2.54, 3600, 0.4536]))
        offset = 0.0
    share = float(rng.choice([1.0, 1.0, 0.5, 0.25])) if max(factor, 1 / factor) > 4 else 1.0
    moved = np.where(rng.random(len(x)) < share, x * factor + offset, x)
    return {**rows, name: moved}, name, f"{name} x {factor:g} + {offset:g}, {share:.0%}"


def _constant(rng: np.random.Generator, rows: Table, _: Mapping[str, Floats]) -> Happening:
    name = _pick(rng, [*FAMILIES, "branch", "product"])
    column = rows[name]
    value = column[int(rng.integers(len(column)))]
    if name in FAMILIES and rng.random() < 0.4:
        value = np.float64(0.0)
    if name in FAMILIES and not np.isfinite(_floats({"x": np.array([value])}, "x")[0]):
        value = np.float64(33.0)
    return {**rows, name: np.full_like(column, value)}, name, f"{name} = {value}"


def _relabelled(rng: np.random.Generator, rows: Table, shares: Mapping[str, Floats]) -> Happening:
    name = _pick(rng, ["branch", "consent"])
    column = rows[name]
    way = int(rng.integers(4))
    if way == 0:
        new = np.array([str(v).upper().replace("-", " ") for v in column], dtype=object)
    elif way == 1:
        partly = rng.random(len(column)) < 0.5
        new = np.where(partly, np.array([f" {v} ".upper() for v in column], dtype=object), column)
    elif way == 2:
        new = np.array([f"code {sum(map(ord, str(v)))}" for v in column], dtype=object)
    else:
        old = f"{name}-{int(np.argmax(shares[name]))}"
        new = np.where(column == old, "head office", column)
    return {**rows, name: new}, name, f"{name} way {way}"


def _missing(rng: np.random.Generator, rows: Table, _: Mapping[str, Floats]) -> Happening:
    name = _pick(rng, [*FAMILIES, "branch", "consent", "product"])
    share = float(rng.uniform(0.05, 0.9))
    gone = rng.random(len(rows[name])) < share
    empty = np.full(len(gone), np.nan if name in FAMILIES else None)
    left = np.where(gone, empty.astype(rows[name].dtype), rows[name])
    return {**rows, name: left}, name, f"{name} {share:.0%}"


def _unseen(rng: np.random.Generator, rows: Table, _: Mapping[str, Floats]) -> Happening:
    name = _pick(rng, ["branch", "product", "consent"])
    share = float(rng.uniform(0.03, 0.4))
    new = np.array([f"franchise {i}" for i in range(int(rng.integers(1, 6)))], dtype=object)
    hit = rng.random(len(rows[name])) < share
    drawn = new[rng.integers(len(new), size=len(hit))]
    return {**rows, name: np.where(hit, drawn, rows[name])}, name, f"{name} {share:.0%}, {len(new)}"


def _out_of_range(rng: np.random.Generator, rows: Table, _: Mapping[str, Floats]) -> Happening:
    name = _pick(rng, [*FAMILIES])
    x = _floats(rows, name)
    usual = FAMILIES[name](rng, 50_000)
    low, high = float(usual.min()), float(usual.max())
    share = float(rng.uniform(0.03, 0.35))
    if rng.random() < 0.5:
        value = float(rng.choice([-999.0, -9999.0, 99999.0, 1e9]))
        bad, said = np.full(len(x), value), f"{value:g}"
    else:
        bad = high + (high - low) * rng.uniform(0.05, 2.5, len(x))
        said = "spikes"
    hit = rng.random(len(x)) < share
    return {**rows, name: np.where(hit, bad, x)}, name, f"{name} {said} {share:.0%}"


def _covariate(rng: np.random.Generator, rows: Table, shares: Mapping[str, Floats]) -> Happening:
    way = int(rng.integers(3))
    if way == 2:
        name = _pick(rng, ["branch", "product"])
        weights = shares[name]
        names = np.array([f"{name}-{i}" for i in range(len(weights))], dtype=object)
        tilted = weights * np.exp(rng.choice([-1, 1], len(weights)) * rng.uniform(0.5, 1.0))
        drawn = names[rng.choice(len(weights), len(rows[name]), p=tilted / tilted.sum())]
        return {**rows, name: drawn}, name, f"{name} other shares"
    name = _pick(rng, ["gamma", "weibull", "beta", "student", "bimodal", "triangular", "pareto"])
    x = _floats(rows, name)
    sd, mean = float(np.nanstd(x)), float(np.nanmean(x))
    if way == 0:
        by = float(rng.choice([-1, 1]) * rng.uniform(0.4, 1.2))
        # More of the high (or low) rows that there are, and a little slide.
        weights = np.exp(by * np.nan_to_num((x - mean) / sd).clip(-3, 3))
        moved = rng.choice(x, len(x), p=weights / weights.sum()) + 0.1 * by * sd
        return {**rows, name: moved}, name, f"{name} mean {by:+.2f} sd"
    by = float(rng.choice([0.55, 1.6, 2.0]))
    return {**rows, name: mean + by * (x - mean)}, name, f"{name} sd x {by:g}"


def _nothing(rng: np.random.Generator, rows: Table, _: Mapping[str, Floats]) -> Happening:
    # Whole numbers times 1.01 would be whole no longer, which is a change.
    name = _pick(rng, [family for family in FAMILIES if family != "counts"])
    x = _floats(rows, name)
    trifle = float(rng.choice([1.0, 1.01]))
    return {**rows, name: x * trifle}, "", f"{name} x {trifle:g}"


def _as_usual(_: np.random.Generator, rows: Table, __: Mapping[str, Floats]) -> Happening:
    return rows, "", "as usual"


def _prediction(_: np.random.Generator, rows: Table, __: Mapping[str, Floats]) -> Happening:
    return rows, "score", "another model"


HAPPENINGS = {
    "unit_change": _unit,
    "constant": _constant,
    "category_relabelled": _relabelled,
    "missing": _missing,
    "unseen": _unseen,
    "out_of_range": _out_of_range,
    "covariate_shift": _covariate,
    "prediction_shift": _prediction,
    "concept_drift": _as_usual,
    "none": _nothing,
}

KINDS = tuple(HAPPENINGS)

WORLD = ("covariate_shift",)
"""Kinds in which the world changed, so that outcomes follow the changed rows."""


def found_kind(analysis: Analysis) -> str:
    """What the analysis says, in the words of `KINDS`: the first fault, or the classification."""
    if analysis.classification == "data_quality":
        return str(analysis.features[0].verdict)
    return str(analysis.classification)


@dataclass(frozen=True)
class Measured:
    """How well the analysis did."""

    matrix: Mapping[tuple[str, str], int]
    """Incidents by what happened and what was found."""

    first: int
    """Incidents whose column stands first, of ``with_column``."""

    with_column: int
    dated: Sequence[float]
    """Slices between the beginning that was found and the true one; NaN where none was found."""

    wrong: Sequence[str]
    """What happened, what was found, and the headline, where they differ."""

    @property
    def incidents(self) -> int:
        """All incidents."""
        return sum(self.matrix.values())

    @property
    def accuracy(self) -> float:
        """Share of the incidents whose kind was found."""
        return sum(n for (true, found), n in self.matrix.items() if true == found) / self.incidents


def measure(given: Iterator[Incident]) -> Measured:
    """Analyse incidents and compare."""
    matrix: Counter[tuple[str, str]] = Counter()
    first, with_column = 0, 0
    dated, wrong = [], []
    for one in given:
        analysis = analyse(one.evidence)
        found = found_kind(analysis)
        matrix[one.kind, found] += 1
        if one.feature:
            with_column += 1
            first += analysis.features[0].feature == one.feature
        if one.began is not None:
            since = analysis.since
            start = since.start if since is not None else None
            dated.append(np.nan if start is None else (start - one.began) / WIDTH)
        if found != one.kind:
            wrong.append(f"{one.kind} ({one.detail}): {found}. {analysis.headline}")
    return Measured(matrix, first, with_column, dated, wrong)


def as_markdown(matrix: Mapping[tuple[str, str], int]) -> str:
    """The confusion matrix as a Markdown table: a row per truth, a column per finding."""
    found = [*KINDS, *sorted({f for _, f in matrix} - set(KINDS))]
    lines = ["| happened \\ found | " + " | ".join(found) + " | right |"]
    lines.append("|---" * (len(found) + 2) + "|")
    for true in KINDS:
        row = [matrix.get((true, f), 0) for f in found]
        if sum(row):
            right = matrix.get((true, true), 0) / sum(row)
            lines.append(
                f"| {true} | " + " | ".join(str(n) if n else "" for n in row) + f" | {right:.0%} |"
            )
    return "\n".join(lines)


# What a source would do: bins, counts and sketches of a table, the plain way.


def profile_of(reference: Table) -> Profile:
    """The profile of a reference; the site and the outcome split its rows."""
    features = []
    for name, column in reference.items():
        if name in ("site", "outcome"):
            continue
        role = "prediction" if name == "score" else "feature"
        if column.dtype == object:
            bins = category_bins(category_sketch(column))
            features.append(Feature(name, role, "categorical", bins))  # type: ignore[arg-type]
        else:
            features.append(
                Feature(name, role, "numeric", numeric_bins(numeric_sketch(column)))  # type: ignore[arg-type]
            )
    segments = (SegmentColumn("site", SEGMENTS), SegmentColumn("outcome", ("true", "false")))
    empty = Profile("generated", tuple(features), np.zeros(0, dtype=np.int64), segments)
    cells = cells_of(empty, reference)
    return with_counts(empty, counted(empty, cells), segment_counts(empty, reference, cells))


def cells_of(profile: Profile, rows: Table) -> dict[str, npt.NDArray[np.int64]]:
    """The cell of each row in each column."""
    found = {}
    for feature in profile.features:
        column, bins = rows[feature.name], feature.bins
        missing = feature.block.cells - 3
        if isinstance(bins, NumericBins):
            x = column.astype(np.float64)
            at = np.searchsorted(bins.cuts, x, side="right")
            found[feature.name] = np.where(np.isnan(x), missing, at)
        else:
            codes: dict[object, int] = {None: missing}
            codes.update(bins.codes)
            found[feature.name] = np.array([codes.get(v, missing + 1) for v in column.tolist()])
    return found


def counted(
    profile: Profile,
    cells: Mapping[str, npt.NDArray[np.int64]],
    chosen: npt.NDArray[np.bool_] | slice = slice(None),
) -> Vector:
    """Rows per cell of all columns, of all rows or of those chosen."""
    parts = [
        np.bincount(cells[feature.name][chosen], minlength=feature.block.cells)
        for feature in profile.features
    ]
    return np.concatenate(parts).astype(np.int64)


def segment_counts(
    profile: Profile, rows: Table, cells: Mapping[str, npt.NDArray[np.int64]]
) -> dict[tuple[str, str], Vector]:
    """Counts by site and by outcome."""
    return {
        (by, name): counted(profile, cells, rows[by] == name)
        for by, names in (("site", SEGMENTS), ("outcome", ("true", "false")))
        for name in names
    }


def with_sketches(evidence: Evidence, window: Table) -> Evidence:
    """The evidence with sketches of the columns that it asks for."""
    numeric, categorical = columns_to_sketch(evidence)
    return replace(
        evidence,
        numeric={name: numeric_sketch(window[name]) for name in numeric},
        categorical={name: category_sketch(window[name]) for name in categorical},
    )


def stored_grids(reference: Table, profile: Profile) -> dict[str, tuple[float, ...]]:
    """Quantiles of the numeric columns, as many as a profile would store."""
    step = GRID // STORED_STEPS
    return {
        f.name: numeric_sketch(reference[f.name]).grid[::step]
        for f in profile.features
        if not isinstance(f.bins, CategoryBins)
    }


def numeric_sketch(column: npt.NDArray[np.generic]) -> NumericSketch:
    """What a source tells of numbers."""
    x = column.astype(np.float64)
    x = np.sort(x[~np.isnan(x)])
    distinct = x[np.append(True, x[1:] != x[:-1])] if x.size else x
    places = np.maximum(-(-np.arange(GRID + 1) * x.size // GRID), 1) - 1
    grid = tuple(x[places].tolist()) if x.size else ()
    return NumericSketch(
        rows=int(x.size),
        missing=len(column) - int(x.size),
        distinct=int(distinct.size),
        integer=False,
        deviation=float(x.std()) if x.size else 0.0,
        grid=grid,
        values=tuple(distinct.tolist()) if distinct.size <= 10 else (),
    )


def category_sketch(column: npt.NDArray[np.generic]) -> CategorySketch:
    """What a source tells of categories."""
    counts = Counter(text for text in column.tolist() if text is not None)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows = sum(counts.values())
    return CategorySketch(rows, len(column) - rows, len(counts), tuple(ordered))


def _floats(rows: Table, name: str) -> Floats:
    return rows[name].astype(np.float64)


def _holes(rng: np.random.Generator, x: npt.NDArray[np.generic], share: float) -> Floats:
    return np.where(rng.random(len(x)) < share, np.nan, x.astype(np.float64))


def _pick(rng: np.random.Generator, names: Sequence[str]) -> str:
    return names[int(rng.integers(len(names)))]
