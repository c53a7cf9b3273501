"""Columns as categories, by the rules of ``source``.

Knows what a category's text is; knows no bins and no files.
"""

import math
import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import types

from drift_exporter.reading.arrow_values import (
    DAY_SECONDS,
    UNITS,
    bits,
    codes_of,
    masked,
    plain,
    strings,
    text_array,
    valid,
    values,
)
from drift_exporter.reading.rows import Array

_WHOLE = re.compile(r"([+-]?\d+)\.0+")
_SPELLED = {"True": "true", "TRUE": "true", "False": "false", "FALSE": "false"}


class Texts(NamedTuple):
    """A column as categories: a number for each row and what it stands for."""

    codes: NDArray[np.integer[Any]]
    """Position in ``words`` of each row; ``len(words)`` where the value is missing."""

    words: Array
    """Distinct texts as Arrow strings; null stands for a value that is no category."""


def texts(array: Array, *, loose: bool = False) -> Texts:
    """A column as categories.

    Parameters
    ----------
    array
        A column of any type.
    loose
        Whether text may spell a whole number (``1.0``) or a boolean (``True``), as in CSV.
    """
    array = plain(array)
    kind = array.type
    if types.is_dictionary(kind):
        return _texts_by_word(array, loose=loose)
    if types.is_boolean(kind):
        codes = masked(bits(array).astype(np.int32), valid(array), 2)
        return Texts(codes, text_array(["false", "true"]))
    if types.is_null(kind):
        return Texts(np.zeros(len(array), dtype=np.int32), text_array([]))
    if types.is_float16(kind):
        array = pc.cast(array, pa.float32())
    elif not _has_words(kind):
        codes = np.zeros(len(array), dtype=np.int32)
        return Texts(masked(codes, valid(array), 1), text_array([None]))
    encoded = pc.dictionary_encode(array)
    codes = codes_of(encoded)
    if types.is_string(kind) and not loose:
        return Texts(codes, encoded.dictionary)
    return _merged(codes, _words(encoded.dictionary, loose=loose))


def _texts_by_word(array: Array, *, loose: bool) -> Texts:
    words = array.dictionary
    codes = codes_of(array)
    if types.is_string(words.type) and not words.null_count and not loose:
        return Texts(codes, words)
    inner = texts(words, loose=loose)
    return Texts(np.append(inner.codes, len(inner.words))[codes], inner.words)


def _has_words(kind: Any) -> bool:
    return bool(
        types.is_string(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_decimal(kind)
        or types.is_timestamp(kind)
        or types.is_date(kind)
    )


def _merged(codes: NDArray[Any], words: list[str | None]) -> Texts:
    """Categories whose words may repeat (0.0 and -0.0) or be missing (NaN)."""
    distinct = list(dict.fromkeys(word for word in words if word is not None))
    place = {word: i for i, word in enumerate(distinct)}
    table = [len(distinct) if word is None else place[word] for word in words]
    moved = np.array([*table, len(distinct)], dtype=np.int32)[codes]
    return Texts(moved, text_array(distinct))


def _words(distinct: Array, *, loose: bool) -> list[str | None]:
    """The category that each value is, nothing where it is NaN."""
    kind = distinct.type
    if types.is_string(kind):
        return [_spelled(text) if loose else text for text in strings(distinct)]
    if types.is_floating(kind):
        wide = values(distinct, kind.to_pandas_dtype()).astype(np.float64)
        return [_float_word(x) for x in wide.tolist()]
    if types.is_decimal(kind):
        return [_decimal_word(x) for x in distinct.to_pylist()]
    if types.is_timestamp(kind):
        scale = UNITS[kind.unit]
        return [_moment_word(int(x), scale) for x in values(distinct, np.int64)]
    if types.is_date32(kind):
        return [_moment_word(int(x) * DAY_SECONDS, 1)[:10] for x in values(distinct, np.int32)]
    if types.is_date64(kind):
        return [_moment_word(int(x), 1000)[:10] for x in values(distinct, np.int64)]
    return [str(x) for x in distinct.to_pylist()]


def _spelled(text: str) -> str:
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else _SPELLED.get(text, text)


def _float_word(value: float) -> str | None:
    if math.isnan(value):
        return None
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(value)


def _decimal_word(value: Decimal) -> str:
    return str(int(value)) if value == int(value) else format(value.normalize(), "f")


def _moment_word(count: int, scale: int) -> str:
    micros = count * 1_000_000 // scale
    try:
        return (datetime(1970, 1, 1) + timedelta(microseconds=micros)).isoformat()
    except OverflowError:
        return f"{count}/{scale}"
