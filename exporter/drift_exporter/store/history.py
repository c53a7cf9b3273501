"""Scores of past windows, for plots.

Knows PSI and state by feature and window; knows neither thresholds nor counts.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, delete, insert, select

from drift_exporter.store import tables
from drift_exporter.store.codec import (
    Score,
    pack_names,
    pack_scores,
    unpack_names,
    unpack_psi,
    unpack_scores,
)
from drift_exporter.verdicts.verdict import Floats

Scores = Mapping[str, tuple[int, Mapping[str, Score]]]
"""By window, its end and the score of each feature."""

_ROWS_AT_ONCE = 32


class PackedScores(NamedTuple):
    """Scores of one window, ready to be written."""

    window: str
    window_end: int
    names: bytes
    scores: bytes


def pack(scores: Scores) -> list[PackedScores]:
    """Pack scores, before a transaction begins."""
    return [
        PackedScores(window, end, pack_names(list(features)), pack_scores(features))
        for window, (end, features) in scores.items()
    ]


def record(connection: Connection, model: str, packed: list[PackedScores]) -> None:
    """Keep scores; those of the same window and end are replaced."""
    t = tables.scores.c
    for row in packed:
        same = (t.model == model) & (t.window == row.window) & (t.window_end == row.window_end)
        connection.execute(delete(tables.scores).where(same))
        connection.execute(
            insert(tables.scores).values(
                model=model,
                window=row.window,
                window_end=row.window_end,
                feature_list_id=_feature_list(connection, model, row.names),
                scores=row.scores,
            )
        )


def read(
    connection: Connection,
    model: str,
    window: str,
    between: tuple[int, int],
    features: Collection[str] | None,
    most: int | None,
) -> Iterator[tuple[int, dict[str, Score]]]:
    """Scores of windows that end in ``[since, until]``, the oldest first."""
    names: dict[int, list[str]] = {}
    for end, list_id, scores in _rows(connection, model, window, between, most, names):
        yield end, unpack_scores(scores, names[list_id], features)


def read_psi(
    connection: Connection, model: str, window: str, between: tuple[int, int], most: int
) -> tuple[list[int], list[str], Floats]:
    """Ends of windows, features of the newest one, and PSI of shape ``(ends, features)``."""
    names: dict[int, list[str]] = {}
    rows = list(_rows(connection, model, window, between, most, names))
    known = names[rows[-1][1]] if rows else []
    psi = np.full((len(rows), len(known)), np.nan)
    for row, (_, list_id, scores) in enumerate(rows):
        values = unpack_psi(scores, len(names[list_id]))
        if names[list_id] == known:
            psi[row] = values
        else:
            then = dict(zip(names[list_id], values, strict=True))
            psi[row] = [then.get(name, np.nan) for name in known]
    return [end for end, _, _ in rows], known, psi


def _rows(
    connection: Connection,
    model: str,
    window: str,
    between: tuple[int, int],
    most: int | None,
    names: dict[int, list[str]],
) -> Iterator[tuple[int, int, bytes]]:
    """End, list of features and packed scores; the names of each list are put into ``names``."""
    t = tables.scores.c
    wanted = (t.model == model) & (t.window == window) & t.window_end.between(*between)
    query = select(t.window_end, t.feature_list_id, t.scores).order_by(t.window_end)
    if most is None:
        query = query.where(wanted)
    else:
        ends = connection.execute(select(t.window_end).where(wanted).order_by(t.window_end))
        some = _spread(list(ends.scalars()), most)
        query = query.where(t.model == model, t.window == window, t.window_end.in_(some))
    streaming = connection.execution_options(yield_per=_ROWS_AT_ONCE)
    # A reader that stops early must not leave its cursor on a connection of the pool.
    with streaming.execute(query) as found:
        for row in found:
            if row.feature_list_id not in names:
                names[row.feature_list_id] = _names(connection, row.feature_list_id)
            yield row.window_end, row.feature_list_id, row.scores


def _spread(ends: list[int], most: int) -> list[int]:
    """At most so many of the ends, evenly spread, the newest among them."""
    every = max(-(-len(ends) // most), 1)
    return ends[::-1][::every][::-1]


def _feature_list(connection: Connection, model: str, names: bytes) -> int:
    t = tables.feature_lists.c
    # Of the model too: shards that keep equal lists must not meet on one row.
    digest = hashlib.sha256(b"\0".join((model.encode(), names))).hexdigest()
    query = select(t.id).where(t.digest == digest)
    found = connection.execute(query).scalar_one_or_none()
    if found is None:
        connection.execute(insert(tables.feature_lists).values(digest=digest, names=names))
        found = connection.execute(query).scalar_one()
    return int(found)


def _names(connection: Connection, feature_list_id: int) -> list[str]:
    t = tables.feature_lists.c
    return unpack_names(
        connection.execute(select(t.names).where(t.id == feature_list_id)).scalar_one()
    )
