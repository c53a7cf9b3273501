"""Evidence: the counts that an incident is judged on, frozen with it.

Pure: holds counts and what a source told of columns, and turns them into JSON and back. Knows
no rule, and no row of data.
"""

import json
import math
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from drift_exporter import profile as profiles
from drift_exporter.counts import Vector
from drift_exporter.errors import CountsError
from drift_exporter.profile import CategorySketch, NumericSketch, Profile

KEPT_CATEGORIES = 200
"""Categories of the window that are kept of a column."""


@dataclass(frozen=True)
class Slices:
    """Counts of all rows per slice, oldest first, without gaps; of some columns or of all."""

    start: int
    """Start of the first slice in seconds since the epoch."""

    width: int
    """Width of a slice in seconds."""

    counts: Vector
    """Shape ``(slices, cells)``; a slice without rows is zeros."""

    features: tuple[str, ...] = ()
    """The columns whose cells these are, in order; if empty, all of the profile."""


@dataclass(frozen=True)
class Evidence:
    """What an incident is judged on."""

    profile: Profile
    """The reference, its counts by segment and label value among them."""

    current: Vector
    """Counts of the window that drifted, shape ``(cells,)``."""

    segments: Mapping[tuple[str, str], Vector] = field(default_factory=dict)
    """Counts of the window by segment column and segment, the label's among them."""

    label: str = ""
    """The segment column that is the model's label; empty where there is none."""

    omega: Mapping[str, float] = field(default_factory=dict)
    """Natural variation of PSI between the model's own windows, by feature; 0 if not named."""

    limits: Mapping[str, float] = field(default_factory=dict)
    """Threshold of PSI by feature, the mildest; where none is named, the material floor."""

    numeric: Mapping[str, NumericSketch] = field(default_factory=dict)
    """Sketches of the window's numeric columns that are suspicious (`columns_to_sketch`)."""

    categorical: Mapping[str, CategorySketch] = field(default_factory=dict)
    """Sketches of the window's categorical columns that are suspicious."""

    reference_grids: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Quantiles of the reference at equal steps, by numeric feature; bins serve without."""

    slices: Slices | None = None
    """The slices of the past, for when it began."""

    min_rows: int = 100
    """Fewest rows with which a feature is judged."""


def slices_of(
    profile: Profile,
    start: int,
    width: int,
    vectors: Iterable[tuple[int, Vector]],
    end: int,
    features: Sequence[str],
) -> Slices:
    """The named columns' cells of slices, one slice in memory at a time.

    Parameters
    ----------
    profile
        The profile that the slices were counted on.
    start, end
        The span in seconds since the epoch, both on slices.
    width
        Width of a slice in seconds.
    vectors
        Starts of slices and their counts of all rows, each ``(cells,)``, in any order; several of
        one slice are added.
    features
        Columns that are kept (`columns_to_date`).
    """
    layout = profile.layout
    parts = [layout.cells(np.arange(layout.size), layout.index[name]) for name in features]
    cells = np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
    counts = np.zeros(((end - start) // width, len(cells)), dtype=np.int64)
    for at, vector in vectors:
        if start <= at < end:
            counts[(at - start) // width] += vector[cells]
    return Slices(start, width, counts, tuple(features))


def to_mapping(evidence: Evidence) -> dict[str, Any]:
    """The evidence as objects that JSON can hold; the profile is in it whole."""
    slices = evidence.slices
    return {
        "profile": json.loads(profiles.to_json(evidence.profile)),
        "current": evidence.current.tolist(),
        "segments": [
            [by, name, vector.tolist()] for (by, name), vector in evidence.segments.items()
        ],
        "label": evidence.label,
        "omega": dict(evidence.omega),
        "limits": dict(evidence.limits),
        "numeric": {name: _numeric(sketch) for name, sketch in evidence.numeric.items()},
        "categorical": {
            name: asdict(replace(sketch, counts=sketch.counts[:KEPT_CATEGORIES]))
            for name, sketch in evidence.categorical.items()
        },
        "reference_grids": {name: list(grid) for name, grid in evidence.reference_grids.items()},
        "slices": None if slices is None else _packed(slices),
        "min_rows": evidence.min_rows,
    }


def from_mapping(document: Mapping[str, Any]) -> Evidence:
    """The evidence that `to_mapping` gave, or that of its JSON.

    Raises
    ------
    CountsError
        If the document is no evidence.
    ProfileError
        If its profile does not match its hash.
    """
    try:
        profile = profiles.from_json(json.dumps(document["profile"]), "the incident's profile")
        return Evidence(
            profile=profile,
            current=np.array(document["current"], dtype=np.int64),
            segments={
                (by, name): np.array(vector, dtype=np.int64)
                for by, name, vector in document["segments"]
            },
            label=document["label"],
            omega=document["omega"],
            limits=document["limits"],
            numeric={name: _sketch(found) for name, found in document["numeric"].items()},
            categorical={
                name: CategorySketch(
                    **{**found, "counts": tuple((text, rows) for text, rows in found["counts"])}
                )
                for name, found in document["categorical"].items()
            },
            reference_grids={
                name: tuple(grid) for name, grid in document["reference_grids"].items()
            },
            slices=_unpacked(document["slices"]),
            min_rows=document["min_rows"],
        )
    except (KeyError, TypeError, ValueError, AttributeError, zlib.error) as error:
        raise CountsError(
            f"the incident's evidence cannot be read ({type(error).__name__}: {error}); "
            "analyse the incident again"
        ) from error


def _numeric(sketch: NumericSketch) -> dict[str, Any]:
    # A deviation beyond a float is infinite, which JSON has no word for.
    finite = math.isfinite(sketch.deviation)
    return {**asdict(sketch), "deviation": sketch.deviation if finite else None}


def _sketch(found: Mapping[str, Any]) -> NumericSketch:
    deviation = found["deviation"]
    return NumericSketch(
        **{
            **found,
            "deviation": math.inf if deviation is None else deviation,
            "grid": tuple(found["grid"]),
            "values": tuple(found["values"]),
        }
    )


def _packed(slices: Slices) -> dict[str, Any]:
    # Mostly small numbers, a million of them for a wide model: as text they would be megabytes.
    content = zlib.compress(slices.counts.astype("<i8").tobytes(), 6)
    return {
        "start": slices.start,
        "width": slices.width,
        "features": list(slices.features),
        "shape": list(slices.counts.shape),
        "counts": b64encode(content).decode(),
    }


def _unpacked(found: Mapping[str, Any] | None) -> Slices | None:
    if found is None:
        return None
    content = zlib.decompress(b64decode(found["counts"]))
    counts = np.frombuffer(content, dtype="<i8").astype(np.int64).reshape(found["shape"])
    return Slices(found["start"], found["width"], counts, tuple(found["features"]))
