"""Series as Prometheus' remote write takes them: protobuf, framed as snappy.

Pure: arrays in, bytes out. Remote write, because it is the only way in that carries the markers
of series that have ended; in OpenMetrics such a series is drawn on for five minutes.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from drift_exporter.verdicts.verdict import Floats

LabelPairs = tuple[tuple[str, str], ...]

ABSENT_BITS = np.uint64(0x7FF0000000000002)
ABSENT: np.float64 = np.array([ABSENT_BITS]).view(np.float64)[0]
"""Prometheus' mark of a series that has ended: one NaN among others, known by its bits."""

REQUEST_BYTES = 4_000_000
_LITERAL_BYTES = 1 << 24
_SAMPLE = np.dtype([("head", "u1", 3), ("value", "<f8"), ("tag", "u1"), ("time", "u1", 6)])


def absent(values: Floats) -> NDArray[np.bool_]:
    """Which values are the mark, and no other NaN."""
    marked: NDArray[np.bool_] = values.view(np.uint64) == ABSENT_BITS
    return marked


def requests(series: Iterable[tuple[LabelPairs, NDArray[np.int64], Floats]]) -> Iterator[bytes]:
    """Bodies of requests that write these series.

    Parameters
    ----------
    series
        Labels with ``__name__``; times in milliseconds since the epoch (after 1971, before 2109)
        and values, both ``(samples,)``.
    """
    parts: list[bytes] = []
    size = 0
    for labels, times, values in series:
        part = _field(1, _labels(labels) + _samples(times, values))
        parts.append(part)
        size += len(part)
        if size > REQUEST_BYTES:
            yield _snappy(b"".join(parts))
            parts, size = [], 0
    if parts:
        yield _snappy(b"".join(parts))


def _labels(labels: Sequence[tuple[str, str]]) -> bytes:
    pairs = ((name.encode(), value.encode()) for name, value in sorted(labels))
    return b"".join(_field(1, _field(1, name) + _field(2, value)) for name, value in pairs)


def _samples(times: NDArray[np.int64], values: Floats) -> bytes:
    # Every sample is as long as any other, since these times have six groups of seven bits.
    made = np.empty(len(times), _SAMPLE)
    made["head"] = (0x12, 16, 0x09)
    made["value"] = values
    made["tag"] = 0x10
    shifted = times.astype(np.uint64)[:, None] >> np.arange(0, 42, 7, dtype=np.uint64)
    groups = (shifted & np.uint64(0x7F)).astype(np.uint8)
    groups[:, :5] |= 0x80
    made["time"] = groups
    return made.tobytes()


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def _snappy(content: bytes) -> bytes:
    # Literals only: the bytes go to a process of this machine.
    pieces = [_varint(len(content))]
    for start in range(0, len(content), _LITERAL_BYTES):
        piece = content[start : start + _LITERAL_BYTES]
        pieces += [b"\xfc", struct.pack("<I", len(piece) - 1), piece]
    return b"".join(pieces)
