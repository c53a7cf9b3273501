"""Event time: columns of any type as whole microseconds since the epoch, UTC.

Knows the rules of ``source`` on event time; knows no span, slice or clock.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import types

from drift_exporter.reading.arrow_values import plain, strings, valid, values
from drift_exporter.reading.rows import Array
from drift_exporter.reading.source import SAMPLE_PRIME

Micros = NDArray[np.int64]

NO_TIME = int(np.iinfo(np.int64).min)
"""Stands where a row's time is missing or cannot be read; older than any time."""

MICROSECONDS = 1_000_000
_DATED = re.compile(r"\d{4}-\d\d-\d\d(?:$|[T ])", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400 * MICROSECONDS

_SIZES = ((10**11, 10**6, 1), (10**14, 10**3, 1), (10**17, 1, 1), (None, 1, 10**3))
"""Epoch numbers below the first number are multiplied by the second, divided by the third."""

_FACTORS = {"s": (10**6, 1), "ms": (10**3, 1), "us": (1, 1), "ns": (1, 10**3)}
_TEXT_TYPES = (pa.timestamp("us"), pa.timestamp("us", "UTC"), pa.timestamp("ns", "UTC"))


def event_micros(array: Array, *, loose: bool = False) -> Micros:
    """Event times in microseconds since the epoch, ``NO_TIME`` where there is none.

    Parameters
    ----------
    array
        A column of any type; of one that is no time, no row has a time.
    loose
        Whether text may spell epoch numbers, as in CSV.
    """
    array = plain(array)
    kind = array.type
    if types.is_dictionary(kind):
        array = array.dictionary_decode()
        return event_micros(array, loose=loose)
    if types.is_string(kind):
        return _of_text(array, loose=loose)
    micros = _of_numbers(array, kind)
    there = valid(array)
    return micros if there is None else np.where(there, micros, NO_TIME)


def _of_numbers(array: Array, kind: Any) -> Micros:
    if types.is_timestamp(kind):
        return scaled(values(array, np.int64), *_FACTORS[kind.unit])
    if types.is_date32(kind):
        return values(array, np.int32).astype(np.int64) * _DAY
    if types.is_date64(kind):
        return scaled(values(array, np.int64), 10**3, 1)
    if types.is_unsigned_integer(kind) and kind.bit_width == 64:
        whole = values(array, np.uint64)
        fits = whole < np.uint64(2**63)
        return np.where(fits, of_epoch(np.where(fits, whole, 0).astype(np.int64)), NO_TIME)
    if types.is_integer(kind):
        return of_epoch(values(array, kind.to_pandas_dtype()).astype(np.int64))
    if types.is_decimal(kind):
        return _of_floats(values(pc.cast(array, pa.float64(), safe=False), np.float64))
    if types.is_floating(kind):
        return _of_floats(values(array, kind.to_pandas_dtype()).astype(np.float64))
    return np.full(len(array), NO_TIME, dtype=np.int64)


def scaled(counts: Micros, times: int, divided_by: int) -> Micros:
    """Counts of a unit as microseconds, ``NO_TIME`` where they do not fit."""
    if divided_by > 1:
        return counts // divided_by
    if times == 1:
        return counts.astype(np.int64, copy=False)
    bound = np.iinfo(np.int64).max // times
    fits = (counts <= bound) & (counts >= -bound)
    if fits.all():
        return counts * times
    return np.where(fits, np.where(fits, counts, 0) * times, NO_TIME)


def of_epoch(counts: Micros) -> Micros:
    """Epoch seconds, milliseconds, microseconds or nanoseconds by their size as microseconds."""
    if counts.size == 0:
        return counts
    low, high = size_class(int(counts.min())), size_class(int(counts.max()))
    if low == high and int(counts.min()) >= 0:
        return scaled(counts, *_SIZES[low][1:])
    sizes = np.abs(np.maximum(counts, -np.iinfo(np.int64).max))
    found = counts // 10**3
    for bound, times, _ in reversed(_SIZES[:-1]):
        small = sizes < bound
        found = np.where(small, np.where(small, counts, 0) * times, found)
    return found


def size_class(count: int) -> int:
    """The unit that an epoch number has by its size: 0 seconds, to 3 nanoseconds."""
    return sum(abs(count) >= bound for bound, _, _ in _SIZES[:-1] if bound)


def _of_floats(counts: NDArray[np.float64]) -> Micros:
    with np.errstate(invalid="ignore"):
        sizes = np.abs(counts)
        found = np.rint(counts / 1e3)
        for bound, times, _ in reversed(_SIZES[:-1]):
            found = np.where(sizes < bound, np.rint(counts * times), found)
        fits = sizes < 2.0**63
    return np.where(fits, np.where(fits, found, 0).astype(np.int64), NO_TIME)


def _of_text(array: Array, *, loose: bool) -> Micros:
    """Texts as a whole if they are all of one form, one by one if not."""
    targets = (pa.int64(), pa.float64(), *_TEXT_TYPES) if loose else _TEXT_TYPES
    for target in targets:
        try:
            return event_micros(pc.cast(array, target))
        except pa.ArrowInvalid:
            continue
    found = [micros_of_text(text, loose=loose) for text in strings(array)]
    return np.array(found, dtype=np.int64)


def micros_of_text(text: str, *, loose: bool = False) -> int:
    """The time that one text spells, ``NO_TIME`` where it is none."""
    if loose:
        try:
            return micros_of_number(float(text) if not _is_whole(text) else int(text))
        except ValueError:
            pass
    if not _DATED.match(text):
        return NO_TIME
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return NO_TIME
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def _is_whole(text: str) -> bool:
    return text.lstrip("+-").isdecimal()


def micros_of_number(count: float) -> int:
    """The time that an epoch number stands for, ``NO_TIME`` where it is none."""
    if isinstance(count, int):
        fits = -(2**63) < count < 2**63
        return int(of_epoch(np.array([count], dtype=np.int64))[0]) if fits else NO_TIME
    return int(_of_floats(np.array([count], dtype=np.float64))[0])


def in_sample(micros: Micros, bound: int) -> NDArray[np.bool_]:
    """Which rows belong to the sample of ``source.sampled_microseconds``."""
    chosen: NDArray[np.bool_] = micros % SAMPLE_PRIME * 7919 % SAMPLE_PRIME < bound
    return chosen
