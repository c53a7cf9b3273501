"""Builds a profile from a source: which columns, which kind, which bins, which counts.

Knows the rules of inference and tells the reason of each choice; never an engine, and keeps
no row.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from drift_exporter.config import ModelConfig, masked_url, moment
from drift_exporter.errors import ProfileError, SchemaError
from drift_exporter.profile import (
    FEW_VALUES,
    GRID,
    CategorySketch,
    Feature,
    Kind,
    NumericSketch,
    Profile,
    Role,
    SegmentColumn,
    category_bins,
    content_hash,
    numeric_bins,
    with_counts,
)
from drift_exporter.reading.source import Column, Progress, Source

IDENTIFIER_SHARE = 0.9
"""Share of distinct values from which text is taken for an identifier."""

IDENTIFIER_ROWS = 100
"""Fewest rows from which a column can be taken for an identifier."""


MOST_LABELS = 10
"""Most values of a label by which rows are counted."""


class _Wanted(NamedTuple):
    role: Role
    kind: Kind
    why: str


def build_profile(
    model: ModelConfig, source: Source, now: float, progress: Progress = lambda _: None
) -> Profile:
    """The profile of a model's reference, read from ``source`` in two passes.

    Raises
    ------
    SchemaError
        If a column that the config names is not there.
    ProfileError
        If the reference has no rows, or no column is a feature.
    """
    columns = source.columns()
    _check_names(model, columns)
    wanted, left_out = _choose(model, columns)
    between = (moment(model.reference.start), moment(model.reference.end))
    numeric = source.sketch(
        [name for name, want in wanted.items() if want.kind == "numeric"],
        [],
        between,
        lambda share: progress(share * 0.4),
    )
    for name, sketch in numeric.numeric.items():
        wanted[name] = _second_guess(model, name, wanted[name], columns[name], sketch)
    # Labels of few values split the rows too: so a change of what inputs mean is known.
    label = model.label if model.label in columns and model.label not in model.segments else None
    split = (*model.segments, label) if label else model.segments
    categorical = source.sketch(
        [],
        sorted({n for n, want in wanted.items() if want.kind == "categorical"} | {*split}),
        between,
        lambda share: progress(0.4 + share * 0.2),
    )
    if label and categorical.categorical[label].distinct > MOST_LABELS:
        split = model.segments
    features = []
    for name, want in wanted.items():
        sketch_of = numeric.numeric if want.kind == "numeric" else categorical.categorical
        why_not = _identifier(model, name, want, columns[name], sketch_of[name])
        if why_not:
            left_out[name] = why_not
        else:
            features.append(_feature(model, name, want, columns[name], sketch_of[name]))
    if not features:
        raise ProfileError(
            f"model {model.name!r}: no column of {_source_text(model)} is a feature; "
            "set features.include, or give a column a type in features.overrides"
        )
    profile = Profile(
        model=model.name,
        features=tuple(features),
        counts=np.zeros(0, dtype=np.int64),
        segments=tuple(
            _segment(name, categorical.categorical[name], model.max_segments) for name in split
        ),
        settings=settings_hash(model),
        source=_source_text(model),
        created=_iso(now),
        start=_iso(numeric.start),
        end=_iso(numeric.end),
        left_out=left_out,
    )
    return _counted(model, profile, source, between, lambda share: progress(0.6 + share * 0.4))


def _counted(
    model: ModelConfig,
    profile: Profile,
    source: Source,
    between: tuple[float | None, float | None],
    progress: Progress,
) -> Profile:
    total = profile.layout.zeros()
    segments = {}
    for key, vector in source.count_all(profile, between, progress).slices.items():
        if key.segment_by:
            segments[key.segment_by, key.segment] = vector
        else:
            total = vector
    if profile.layout.rows(total) == 0:
        raise ProfileError(
            f"model {model.name!r}: the reference {_source_text(model)} has no rows"
            + (" between start and end" if any(between) else "")
            + "; name data that has some"
        )
    return with_counts(profile, total, segments)


def settings_hash(model: ModelConfig) -> str:
    """Hash of the settings that a profile depends on: another hash asks for another profile."""
    features = model.features.model_dump(mode="json")
    for settings in features["overrides"].values():
        for key in ("thresholds", "importance", "expose_bins", "min_effect"):
            del settings[key]
    reference = model.reference.model_dump(
        mode="json", include={"table", "query", "timestamp", "start", "end", "format"}
    )
    roles = {"prediction", "label", "segments", "max_segments"}
    rest = model.model_dump(mode="json", include=roles)
    return content_hash([features, reference, rest, masked_url(model.reference.url)])


def _iso(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _source_text(model: ModelConfig) -> str:
    where = model.reference
    return masked_url(where.url) + (f" table {where.table}" if where.table else "")


def _check_names(model: ModelConfig, columns: Mapping[str, Column]) -> None:
    named = {
        "features.overrides": set(model.features.overrides),
        "prediction": set(model.prediction),
        "segments": set(model.segments),
    }
    for key, names in named.items():
        gone = sorted(names - set(columns))
        if gone:
            raise SchemaError(
                f"model {model.name!r}: {key} names {gone}, but the reference "
                f"{_source_text(model)} has the columns {sorted(columns)}"
            )


def _choose(
    model: ModelConfig, columns: Mapping[str, Column]
) -> tuple[dict[str, _Wanted], dict[str, str]]:
    wanted: dict[str, _Wanted] = {}
    left_out: dict[str, str] = {}
    timestamps = {model.reference.timestamp, model.current.timestamp}
    for name, column in columns.items():
        role: Role = "prediction" if name in model.prediction else "feature"
        if name in timestamps:
            left_out[name] = "timestamp"
        elif name == model.label:
            left_out[name] = "label"
        elif role == "feature" and not model.features.chosen(name):
            left_out[name] = "not in features.include, or in features.exclude"
        elif column.kind == "other":
            left_out[name] = f"type {column.dtype} cannot be binned"
        else:
            wanted[name] = _first_guess(model, name, role, column)
    return wanted, left_out


def _first_guess(model: ModelConfig, name: str, role: Role, column: Column) -> _Wanted:
    given = model.features.settings(name).type
    if given:
        if given == "numeric" and column.kind == "text":
            raise ProfileError(
                f"model {model.name!r}: {name!r} is text ({column.dtype}) in the reference and "
                "cannot be numeric; convert it in the source, or set type: categorical"
            )
        return _Wanted(role, given, "type given in the config")
    if column.kind in ("integer", "number", "time"):
        return _Wanted(role, "numeric", f"{column.dtype} column")
    return _Wanted(role, "categorical", f"{column.dtype} column")


def _second_guess(
    model: ModelConfig, name: str, want: _Wanted, column: Column, sketch: NumericSketch
) -> _Wanted:
    few = sketch.integer and 1 < sketch.distinct <= FEW_VALUES
    if few and model.features.settings(name).type is None:
        why = f"{column.dtype} column with {sketch.distinct} distinct values"
        return want._replace(kind="categorical", why=why)
    return want


def _identifier(
    model: ModelConfig,
    name: str,
    want: _Wanted,
    column: Column,
    sketch: NumericSketch | CategorySketch,
) -> str | None:
    """Why a column looks like an identifier, or None; every window of one would drift."""
    if want.role == "prediction" or model.features.named(name) or sketch.rows < IDENTIFIER_ROWS:
        return None
    if isinstance(sketch, NumericSketch):
        alike = not sketch.integer or column.kind == "time" or sketch.distinct < sketch.rows
    else:
        alike = sketch.distinct <= IDENTIFIER_SHARE * sketch.rows
    if alike:
        return None
    return (
        f"looks like an identifier ({sketch.distinct} distinct values in {sketch.rows} rows); "
        "name it in features.overrides to keep it"
    )


def _feature(
    model: ModelConfig,
    name: str,
    want: _Wanted,
    column: Column,
    sketch: NumericSketch | CategorySketch,
) -> Feature:
    settings = model.features.settings(name)
    bins = (
        numeric_bins(sketch, settings.binning, settings.bins)
        if isinstance(sketch, NumericSketch)
        else category_bins(sketch, settings.categories)
    )
    grid = sketch.grid[:: GRID // 100] if isinstance(sketch, NumericSketch) else ()
    return Feature(name, want.role, want.kind, bins, column.dtype, want.why, grid)


def _segment(name: str, sketch: CategorySketch, most: int) -> SegmentColumn:
    return SegmentColumn(name, tuple(value for value, _ in sketch.counts[:most]))
