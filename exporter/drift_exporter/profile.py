"""The reference artifact: bins, counts, a hash; JSON that can be reviewed and promoted.

Pure: turns sketches of columns into bins, and a profile into text and back. Knows no
source, clock or folder, and holds no row of the reference.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from drift_exporter.counts import Block, Layout, Vector, layout_of
from drift_exporter.errors import ProfileError

FORMAT_VERSION = 1
"""Version of the JSON; raised when an older reader would misread a newer file."""

GRID = 1000
"""Steps of the grid of quantiles that a numeric column is sketched by."""

FEW_VALUES = 10
"""Up to so many distinct values a numeric column gets a bin per value (statistics D2)."""

SEEN_CAP = 10_000
"""Up to so many categories are remembered; above, ``unseen`` is not told from ``other``."""

ATOM_SHARE = 0.1
"""Share from which a single value gets a bin of its own (statistics D2)."""

SIGMAS_Q10_TO_Q90 = 2.563
"""Standard deviations of a normal distribution between its 10 % and 90 % quantiles."""

OTHER_SEGMENT = "(other)"
MISSING_SEGMENT = "(missing)"
"""Names of the segments of rows whose value is rare, or missing."""

Role = Literal["feature", "prediction"]
Kind = Literal["numeric", "categorical"]


@dataclass(frozen=True)
class NumericSketch:
    """What a source tells of a numeric column before it is binned."""

    rows: int
    """Rows with a value, infinities among them."""

    missing: int
    """Rows without a value, NaN among them."""

    distinct: int
    """Distinct finite values; a source may stop counting above ``SEEN_CAP``."""

    integer: bool
    """Whether the column's type is an integer."""

    deviation: float
    """Standard deviation of the finite values."""

    grid: tuple[float, ...]
    """The ``k / GRID`` quantiles of the finite values by the inverse ECDF, ``GRID + 1`` of them,
    minimum and maximum first and last; empty where there is no finite value."""

    values: tuple[float, ...] = ()
    """The distinct finite values in order, where there are at most ``FEW_VALUES``."""


@dataclass(frozen=True)
class CategorySketch:
    """What a source tells of a column of categories before it is binned."""

    rows: int
    """Rows with a value."""

    missing: int
    """Rows without a value."""

    distinct: int
    """Distinct values; a source may stop counting above ``SEEN_CAP``."""

    counts: tuple[tuple[str, int], ...]
    """Categories and their rows, the commonest first, ties by name, at most ``SEEN_CAP``."""


@dataclass(frozen=True)
class NumericBins:
    """Half-open intervals ``[a, b)``; the outer two are open for statistics."""

    edges: tuple[float, ...]
    """Inner edges, rising strictly."""

    low: float
    """Smallest finite value of the reference."""

    high: float
    """Largest finite value of the reference."""

    sigma: float = 1.0
    """Spread of the reference that distances are divided by."""

    @property
    def bins(self) -> int:
        """Bins that statistics see."""
        return len(self.edges) + 1

    @cached_property
    def cuts(self) -> NDArray[np.float64]:
        """Edges between the value cells, shape ``(bins + 1,)``.

        The cell of ``x`` is the number of cuts that are at most ``x``: 0 lies below the
        reference, ``bins + 1`` above it. Equal cuts enclose a cell that stays empty.
        """
        above = _after(self.high)
        return np.maximum.accumulate(np.array([self.low, *self.edges, above], dtype=np.float64))

    @property
    def ends(self) -> NDArray[np.float64]:
        """Edges with both finite ends, shape ``(bins + 1,)``, for distances."""
        return np.maximum.accumulate(np.array([self.low, *self.edges, self.high], dtype=np.float64))


@dataclass(frozen=True)
class CategoryBins:
    """One bin per kept category, and ``other``."""

    kept: tuple[str, ...]
    """Categories with a bin, the commonest of the reference first."""

    others: tuple[str, ...] = ()
    """Categories that the reference had and that fall into ``other``."""

    complete: bool = True
    """Whether all categories of the reference are known; if not, none is ``unseen``."""

    @property
    def bins(self) -> int:
        """Bins that statistics see: the kept categories and ``other``."""
        return len(self.kept) + 1

    @cached_property
    def codes(self) -> dict[str, int]:
        """The value cell of each known category; an unknown one is ``unseen``, or ``other``
        where the list of the reference is not complete.
        """
        codes = {category: i for i, category in enumerate(self.kept)}
        return codes | dict.fromkeys(self.others, len(self.kept))


@dataclass(frozen=True)
class Feature:
    """A column that is judged."""

    name: str
    role: Role
    kind: Kind
    bins: NumericBins | CategoryBins
    dtype: str = ""
    """Type of the column in the source."""

    why: str = ""
    """Why the column has this kind."""

    grid: tuple[float, ...] = ()
    """Percentiles of the reference, 0 to 100, of a numeric column: by them a change of units is
    known. No score depends on them."""

    @property
    def block(self) -> Block:
        """The cells of the feature."""
        return Block(self.name, isinstance(self.bins, NumericBins), self.bins.bins)


@dataclass(frozen=True)
class SegmentColumn:
    """A column that splits the rows, and the values that are told apart."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Profile:
    """The reference of a model as bins and counts."""

    model: str
    features: tuple[Feature, ...]
    counts: Vector
    """Rows of the reference per cell, shape ``(cells,)``."""

    segments: tuple[SegmentColumn, ...] = ()
    segment_counts: Mapping[tuple[str, str], Vector] = field(default_factory=dict)
    """Counts by segment column and segment."""

    source: str = ""
    """Where the reference came from, without secrets."""

    created: str = ""
    """When the profile was built, ISO 8601 in UTC."""

    start: str = ""
    """First event time of the reference, where it is known."""

    end: str = ""
    """Last event time of the reference, where it is known."""

    settings: str = ""
    """Hash of the config's settings that the profile was built with."""

    left_out: Mapping[str, str] = field(default_factory=dict)
    """Columns that are no features, and why."""

    @cached_property
    def layout(self) -> Layout:
        """Where the cells of the features stand."""
        return layout_of([feature.block for feature in self.features])

    @property
    def rows(self) -> int:
        """Rows of the reference."""
        return self.layout.rows(self.counts)

    @cached_property
    def bins_hash(self) -> str:
        """Hash of the bins alone: counts of slices are only good for the bins they were
        counted on.
        """
        bins = [
            [f.name, f.kind, {part.name: getattr(f.bins, part.name) for part in fields(f.bins)}]
            for f in self.features
        ]
        return content_hash([bins, [[s.name, list(s.values)] for s in self.segments]])

    @cached_property
    def hash(self) -> str:
        """Hash of everything that scores depend on: bins and counts."""
        counts = [self.counts.tolist(), sorted(_segment_rows(self))]
        return content_hash([self.bins_hash, self.model, counts])


def numeric_bins(
    sketch: NumericSketch, binning: str | Sequence[float] = "quantile", bins: int = 12
) -> NumericBins:
    """Bins of a numeric column, fixed by the reference alone (statistics D2, 1.2).

    Parameters
    ----------
    sketch
        What the source told of the column.
    binning
        ``quantile``, ``uniform``, or the inner edges.
    bins
        Bins wanted; ties and few distinct values give fewer, atoms may give more.

    Returns
    -------
    NumericBins
        An all-missing column has one bin around 0, so that values that come later show.
    """
    if not sketch.grid:
        return NumericBins(edges=(), low=0.0, high=0.0)
    grid = np.array(sketch.grid, dtype=np.float64)
    low, high = float(grid[0]), float(grid[-1])
    if not isinstance(binning, str):
        edges = [float(edge) for edge in binning]
        low, high = min(low, edges[0]), max(high, edges[-1])
    elif sketch.distinct == 1:
        edges = [low, _after(low)]
    elif binning == "uniform":
        shares = np.arange(1, bins) / bins
        edges = _rising(low * (1 - shares) + high * shares, low)
    elif 1 < len(sketch.values) <= FEW_VALUES:
        edges = list(sketch.values[1:])
    else:
        edges = _quantile_edges(grid, bins)
    edges = [edge for edge in edges if math.isfinite(edge)]
    return NumericBins(tuple(edges), low, high, _sigma(grid, sketch.deviation))


def _quantile_edges(grid: NDArray[np.float64], bins: int) -> list[float]:
    values, repeats = np.unique(grid[1:], return_counts=True)
    atoms = values[repeats >= ATOM_SHARE * GRID]
    low = float(grid[0])
    if atoms.size == 0:
        inner = max(bins - 2, 1)
        shares = [0.01, *(k / inner for k in range(1, inner)), 0.99] if bins > 3 else None
        shares = shares or [k / bins for k in range(1, bins)]
        return _rising(grid[_at(shares, GRID)], low)
    rest = grid[1:][~np.isin(grid[1:], atoms)]
    pieces = round((bins - 2) * rest.size / GRID)
    own = np.concatenate((atoms, [_after(float(atom)) for atom in atoms]))
    between = (
        rest[_at([k / pieces for k in range(1, pieces)], rest.size - 1)] if rest.size else rest
    )
    return [float(edge) for edge in np.unique(np.concatenate((own, between[between > low])))]


def _after(value: float) -> float:
    """The next number above; of the largest one, infinity."""
    return math.nextafter(value, math.inf)


def _at(shares: Sequence[float], last: int) -> NDArray[np.intp]:
    return np.rint(np.array(shares, dtype=np.float64) * last).astype(np.intp)


def _rising(edges: NDArray[np.float64], low: float) -> list[float]:
    # An edge at the minimum would enclose an empty bin.
    return [float(edge) for edge in np.unique(edges) if edge > low]


def _sigma(grid: NDArray[np.float64], deviation: float) -> float:
    # Python's floats: a range wider than a float holds is infinite, not a warning.
    spread = (float(grid[GRID * 9 // 10]) - float(grid[GRID // 10])) / SIGMAS_Q10_TO_Q90
    for sigma in (spread, deviation):
        if np.isfinite(sigma) and sigma > 0:
            return sigma
    return 1.0


def category_bins(sketch: CategorySketch, categories: int = 30) -> CategoryBins:
    """Bins of a categorical column: the commonest categories and ``other`` (statistics D3)."""
    names = [name for name, _ in sketch.counts]
    return CategoryBins(
        kept=tuple(names[:categories]),
        others=tuple(names[categories:]),
        complete=sketch.distinct <= SEEN_CAP,
    )


def with_counts(
    profile: Profile, counts: Vector, segment_counts: Mapping[tuple[str, str], Vector]
) -> Profile:
    """The profile with the counts of the reference on its bins."""
    return replace(profile, counts=counts, segment_counts=dict(segment_counts))


def to_json(profile: Profile) -> str:
    """The profile as JSON, one feature after the other, fit for a review."""
    layout = profile.layout
    document: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "model": profile.model,
        "hash": profile.hash,
        "created": profile.created,
        "settings": profile.settings,
        "source": profile.source,
        "rows": profile.rows,
        "start": profile.start,
        "end": profile.end,
        "left_out": dict(profile.left_out),
        "features": [
            {
                "name": f.name,
                "role": f.role,
                "kind": f.kind,
                "dtype": f.dtype,
                "why": f.why,
                **({"percentiles": list(f.grid)} if f.grid else {}),
                **asdict(f.bins),
                "counts": layout.cells(profile.counts, i).tolist(),
            }
            for i, f in enumerate(profile.features)
        ],
        "segments": [
            {
                "name": s.name,
                "values": list(s.values),
                "counts": {
                    segment: vector.tolist()
                    for (by, segment), vector in profile.segment_counts.items()
                    if by == s.name
                },
            }
            for s in profile.segments
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str, where: str = "profile") -> Profile:
    """The profile that a JSON text holds.

    Raises
    ------
    ProfileError
        If the text is no profile, is of a newer format, or does not match its hash.
    """
    try:
        document = json.loads(text)
        version = document["format_version"]
        if version != FORMAT_VERSION:
            raise ProfileError(
                f"{where}: format version {version}, this release reads {FORMAT_VERSION}; "
                "rebuild it with 'drift-exporter profile build'"
            )
        profile = _parsed(document)
        stated = document["hash"]
        computed = profile.hash
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ProfileError(
            f"{where}: not a profile ({type(error).__name__}: {error}); "
            "rebuild it with 'drift-exporter profile build'"
        ) from error
    if stated != computed:
        raise ProfileError(
            f"{where}: content does not match its hash, it was changed by hand or cut off; "
            "rebuild it with 'drift-exporter profile build'"
        )
    return profile


def _parsed(document: dict[str, Any]) -> Profile:
    features = tuple(
        Feature(
            name=str(item["name"]),
            role=item["role"],
            kind=item["kind"],
            bins=_parsed_bins(item),
            dtype=item["dtype"],
            why=item["why"],
            grid=tuple(float(value) for value in item.get("percentiles", ())),
        )
        for item in document["features"]
    )
    counts = [np.array(item["counts"], dtype=np.int64) for item in document["features"]]
    segments = document["segments"]
    profile = Profile(
        model=document["model"],
        features=features,
        counts=np.concatenate(counts) if counts else np.zeros(0, dtype=np.int64),
        segments=tuple(SegmentColumn(s["name"], tuple(s["values"])) for s in segments),
        segment_counts={
            (s["name"], segment): np.array(vector, dtype=np.int64)
            for s in segments
            for segment, vector in s["counts"].items()
        },
        settings=document["settings"],
        source=document["source"],
        created=document["created"],
        start=document["start"],
        end=document["end"],
        left_out=document["left_out"],
    )
    for feature, cells in zip(features, counts, strict=True):
        if cells.shape != (feature.block.cells,):
            raise ValueError(f"feature {feature.name!r} has {cells.size} cells")
    return profile


def _parsed_bins(item: dict[str, Any]) -> NumericBins | CategoryBins:
    if item["kind"] == "numeric":
        edges = tuple(float(edge) for edge in item["edges"])
        return NumericBins(edges, float(item["low"]), float(item["high"]), float(item["sigma"]))
    return CategoryBins(tuple(item["kept"]), tuple(item["others"]), bool(item["complete"]))


def _segment_rows(profile: Profile) -> list[list[Any]]:
    return [[by, name, v.tolist()] for (by, name), v in profile.segment_counts.items()]


def content_hash(content: object) -> str:
    """A short hash of anything that JSON can hold."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
