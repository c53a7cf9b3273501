"""Vectors, names and scores as bytes, small on disk and quick to read back.

Pure: bytes in, arrays out. Knows no table and no database.
"""

import json
import zlib
from collections.abc import Collection, Mapping, Sequence
from math import isnan

import numpy as np
from numpy.typing import NDArray

from drift_exporter.counts import Vector
from drift_exporter.errors import StoreError
from drift_exporter.verdicts.verdict import Floats

_TYPES = {1: "<u1", 2: "<u2", 3: "<u4", 4: "<i8"}
"""How counts are written, by the first byte; the narrowest that holds them all is taken."""

# Level 1 packs counts nearly as small as level 6 does, several times as fast.
_LEVEL = 1

Score = tuple[float | None, str]
"""PSI of a feature, None where it has none, and its state."""


def pack_vector(vector: Vector) -> bytes:
    """Counts as bytes: a type byte, then the compressed little-endian integers."""
    least, most = (int(vector.min()), int(vector.max())) if vector.size else (0, 0)
    tag = next(
        tag
        for tag, name in _TYPES.items()
        if np.iinfo(name).min <= least and most <= np.iinfo(name).max
    )
    return bytes((tag,)) + zlib.compress(vector.astype(_TYPES[tag]).tobytes(), _LEVEL)


def unpack_vector(data: bytes) -> Vector:
    """Counts from bytes.

    Raises
    ------
    StoreError
        If the bytes are no packed counts.
    """
    try:
        raw = np.frombuffer(zlib.decompress(memoryview(data)[1:]), dtype=_TYPES[data[0]])
    except (IndexError, KeyError, ValueError, zlib.error) as error:
        raise StoreError(
            f"{len(data)} bytes in the store are no counts: it is damaged, or a newer "
            "drift-exporter wrote it; upgrade, or move the store aside"
        ) from error
    return raw.astype(np.int64)


def pack_names(names: Sequence[str]) -> bytes:
    """Names of features as bytes."""
    return zlib.compress(json.dumps(list(names)).encode())


def unpack_names(data: bytes) -> list[str]:
    """Names of features from bytes."""
    try:
        names: list[str] = json.loads(zlib.decompress(data))
    except (ValueError, zlib.error) as error:
        raise _bad_scores(data) from error
    return names


def pack_scores(scores: Mapping[str, Score]) -> bytes:
    """Scores as bytes, in the order of the mapping; PSI keeps seven digits."""
    states = sorted({state for _, state in scores.values()})
    code = {state: i for i, state in enumerate(states)}
    codes = np.array([code[state] for _, state in scores.values()], dtype="<u1")
    psi = np.array(
        [np.nan if value is None else value for value, _ in scores.values()], dtype="<f4"
    )
    head = json.dumps(states).encode()
    return zlib.compress(b"\n".join((head, codes.tobytes() + psi.tobytes())), _LEVEL)


def unpack_scores(
    data: bytes, names: Sequence[str], only: Collection[str] | None = None
) -> dict[str, Score]:
    """Scores from bytes, of all features or of those in ``only``.

    Raises
    ------
    StoreError
        If the bytes are no packed scores of these features.
    """
    states, codes, psi = _unpacked(data, len(names))
    # As lists: numpy's own scalars take ten times as long, one by one.
    every = zip(names, psi.tolist(), codes.tolist(), strict=True)
    return {
        name: (None if isnan(value) else value, states[code])
        for name, value, code in every
        if only is None or name in only
    }


def unpack_psi(data: bytes, features: int) -> Floats:
    """PSI of so many features from bytes of scores; NaN where one has none.

    Raises
    ------
    StoreError
        If the bytes are no packed scores of so many features.
    """
    return _unpacked(data, features)[2].astype(np.float64)


def _unpacked(
    data: bytes, features: int
) -> tuple[list[str], NDArray[np.uint8], NDArray[np.float32]]:
    try:
        head, _, body = zlib.decompress(data).partition(b"\n")
        states: list[str] = json.loads(head)
        codes = np.frombuffer(body, dtype="<u1", count=features)
        psi = np.frombuffer(body, dtype="<f4", offset=features, count=features)
    except (ValueError, zlib.error) as error:
        raise _bad_scores(data) from error
    return states, codes, psi


def _bad_scores(data: bytes) -> StoreError:
    return StoreError(
        f"{len(data)} bytes in the store are no scores: it is damaged, or a newer "
        "drift-exporter wrote it; upgrade, or move the store aside"
    )
