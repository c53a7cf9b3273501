"""Columns as numbers, by the rules of ``source``.

Knows what a number is, in text too; knows no bins and no files.
"""

import math
import re
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from drift_exporter.reading.arrow_values import (
    DAY_SECONDS,
    UNITS,
    Floats,
    Mask,
    bits,
    codes_of,
    plain,
    strings,
    valid,
    values,
)
from drift_exporter.reading.rows import Array

NULL_SPELLINGS = frozenset(
    ("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN")
) | frozenset(("N/A", "NA", "NULL", "NaN", "n/a", "nan", "null"))
"""What stands for a missing number in CSV; pyarrow's own list."""

_NUMBER = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf(?:inity)?|nan)", re.IGNORECASE
)
_TRUTH = {"true": 1.0, "false": 0.0}


def numbers(array: Array, *, loose: bool = False) -> tuple[Floats, Mask | None]:
    """A column as float64, NaN where it is missing, and where there is a value but no number.

    Parameters
    ----------
    array
        A column of any type.
    loose
        Whether text may spell a missing value, a boolean or a time, as it does in CSV.
    """
    array = plain(array)
    kind = array.type
    if types.is_dictionary(kind):
        return _by_word(array, loose=loose)
    if types.is_string(kind):
        return _parsed(array, loose=loose)
    found = _typed(array, kind)
    there = valid(array)
    if found is None:
        nothing = np.full(len(array), np.nan)
        if types.is_null(kind):
            return nothing, None
        return nothing, np.ones(len(array), dtype=np.bool_) if there is None else there
    if there is not None:
        found = np.where(there, found, np.nan)
    return found, None


def _typed(array: Array, kind: Any) -> Floats | None:
    if types.is_floating(kind) or types.is_integer(kind):
        return values(array, kind.to_pandas_dtype()).astype(np.float64, copy=False)
    if types.is_boolean(kind):
        return bits(array).astype(np.float64)
    if types.is_decimal(kind):
        # Arrow's own cast to float64 is off in the last digit for some; its text is not.
        return values(pc.cast(pc.cast(array, pa.string()), pa.float64()), np.float64)
    if types.is_timestamp(kind):
        counts = values(array, np.int64)
        # Event time is in whole microseconds on every source.
        return counts // 1000 / 1e6 if kind.unit == "ns" else counts / UNITS[kind.unit]
    if types.is_date32(kind):
        return values(array, np.int32).astype(np.float64) * DAY_SECONDS
    if types.is_date64(kind):
        return values(array, np.int64) / 1000
    return None


def _by_word(array: Array, *, loose: bool) -> tuple[Floats, Mask | None]:
    found, bad = numbers(array.dictionary, loose=loose)
    codes = codes_of(array)
    spread = np.append(found, np.nan)[codes]
    return spread, None if bad is None else np.append(bad, False)[codes]


def _parsed(array: Array, *, loose: bool) -> tuple[Floats, Mask | None]:
    for target in (pa.float64(), pa.timestamp("us")) if loose else (pa.float64(),):
        try:
            return numbers(pc.cast(array, target))
        except pa.ArrowInvalid:
            continue
    encoded = pc.dictionary_encode(array)
    words = [_number(word, loose=loose) for word in strings(encoded.dictionary)]
    found = np.array([np.nan if word is None else word for word in words] + [np.nan])
    bad = np.array([word is None for word in words] + [False])
    codes = codes_of(encoded)
    return found[codes], bad[codes] if bad.any() else None


def _number(word: str, *, loose: bool) -> float | None:
    """The number that a text spells, or none."""
    text = word.strip()
    if loose and text in NULL_SPELLINGS:
        return math.nan
    if _NUMBER.fullmatch(text):
        return float(text)
    if not loose:
        return None
    if text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
