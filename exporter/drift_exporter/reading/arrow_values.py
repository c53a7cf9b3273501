"""Arrow arrays as numbers and as categories, through their buffers.

Knows the rules of ``source`` on what a number and what a category is; knows no bins and no
files. Never calls ``Array.to_numpy``, which imports pandas where pandas is installed.
"""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import DTypeLike, NDArray
from pyarrow import types

from drift_exporter.reading.rows import Array
from drift_exporter.reading.source import ColumnKind

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

NULL_SPELLINGS = frozenset(
    ("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN")
) | frozenset(("N/A", "NA", "NULL", "NaN", "n/a", "nan", "null"))
"""What stands for a missing number in CSV; pyarrow's own list."""

_UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_WHOLE = re.compile(r"([+-]?\d+)\.0+")
_NUMBER = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf(?:inity)?|nan)", re.IGNORECASE
)
_SPELLED = {"True": "true", "TRUE": "true", "False": "false", "FALSE": "false"}
_TRUTH = {"true": 1.0, "false": 0.0}
_DAY_SECONDS = 86_400


class Texts(NamedTuple):
    """A column as categories: a number for each row and what it stands for."""

    codes: NDArray[np.integer[Any]]
    """Position in ``words`` of each row; ``len(words)`` where the value is missing."""

    words: Array
    """Distinct texts as Arrow strings; null stands for a value that is no category."""


def valid(array: Array) -> Mask | None:
    """Which values are not null, or nothing where all are."""
    if array.null_count == 0:
        return None
    buffer = array.buffers()[0]
    if buffer is None:
        return np.zeros(len(array), dtype=np.bool_)
    first, skip = divmod(array.offset, 8)
    length = (skip + len(array) + 7) // 8
    packed = np.frombuffer(buffer, dtype=np.uint8, count=length, offset=first)
    bits = np.unpackbits(packed, count=skip + len(array), bitorder="little")
    return bits[skip:].view(np.bool_)


def values(array: Array, dtype: DTypeLike) -> NDArray[Any]:
    """The values of a fixed-width array, whatever stands where they are null."""
    width = np.dtype(dtype)
    buffer = array.buffers()[1]
    if len(array) == 0 or buffer is None:
        return np.zeros(len(array), dtype=width)
    return np.frombuffer(buffer, width, count=len(array), offset=array.offset * width.itemsize)


def plain(array: Array) -> Array:
    """The array without an extension type or a layout that few functions know."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    kind = array.type
    if types.is_run_end_encoded(kind):
        return pc.run_end_decode(array)
    if kind == pa.string_view() or types.is_large_string(kind):
        return array.cast(pa.string())
    return array


def text_array(words: Sequence[str | None]) -> Array:
    """An Arrow array of texts. ``pyarrow.array`` would import pandas."""
    raw = [b"" if word is None else word.encode(errors="replace") for word in words]
    offsets = np.zeros(len(raw) + 1, dtype=np.int64)
    np.cumsum([len(text) for text in raw], out=offsets[1:])
    flags = np.array([word is not None for word in words], dtype=np.bool_)
    there = np.packbits(flags, bitorder="little")
    buffers = [pa.py_buffer(part) for part in (there.tobytes(), offsets, b"".join(raw))]
    return pa.Array.from_buffers(pa.large_string(), len(raw), buffers).cast(pa.string())


def number_array(numbers: NDArray[np.int64]) -> Array:
    """An Arrow array of whole numbers."""
    return pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(numbers)])


def places(words: Array, among: Array) -> NDArray[np.int32]:
    """Where each word stands among others; their number where it does not, or is null."""
    found = pc.index_in(words, value_set=among)
    there = valid(found)
    at = values(found, np.int32)
    return at if there is None else np.where(there, at, np.int32(len(among)))


def strings(array: Array) -> list[str]:
    """The texts of an array, empty ones for nulls; what is not UTF-8 is replaced."""
    try:
        return [word or "" for word in array.to_pylist()]
    except UnicodeDecodeError:
        raw = array.cast(pa.binary()).to_pylist()
        return [(word or b"").decode(errors="replace") for word in raw]


def is_text(kind: Any) -> bool:
    """Whether a type holds text."""
    return bool(types.is_string(kind) or types.is_large_string(kind) or kind == pa.string_view())


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
        return _bits(array).astype(np.float64)
    if types.is_decimal(kind):
        # Arrow's own cast to float64 is off in the last digit for some; its text is not.
        return values(pc.cast(pc.cast(array, pa.string()), pa.float64()), np.float64)
    if types.is_timestamp(kind):
        counts = values(array, np.int64)
        # Event time is in whole microseconds on every source.
        return counts // 1000 / 1e6 if kind.unit == "ns" else counts / _UNITS[kind.unit]
    if types.is_date32(kind):
        return values(array, np.int32).astype(np.float64) * _DAY_SECONDS
    if types.is_date64(kind):
        return values(array, np.int64) / 1000
    return None


def _bits(array: Array) -> Mask:
    first, skip = divmod(array.offset, 8)
    buffer = array.buffers()[1]
    if buffer is None or len(array) == 0:
        return np.zeros(len(array), dtype=np.bool_)
    length = (skip + len(array) + 7) // 8
    packed = np.frombuffer(buffer, dtype=np.uint8, count=length, offset=first)
    return np.unpackbits(packed, count=skip + len(array), bitorder="little")[skip:].view(np.bool_)


def _by_word(array: Array, *, loose: bool) -> tuple[Floats, Mask | None]:
    found, bad = numbers(array.dictionary, loose=loose)
    codes = _codes(array)
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
    codes = _codes(encoded)
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
        codes = _masked(_bits(array).astype(np.int32), valid(array), 2)
        return Texts(codes, text_array(["false", "true"]))
    if types.is_null(kind):
        return Texts(np.zeros(len(array), dtype=np.int32), text_array([]))
    if types.is_float16(kind):
        array = pc.cast(array, pa.float32())
    elif not _has_words(kind):
        codes = np.zeros(len(array), dtype=np.int32)
        return Texts(_masked(codes, valid(array), 1), text_array([None]))
    encoded = pc.dictionary_encode(array)
    codes = _codes(encoded)
    if types.is_string(kind) and not loose:
        return Texts(codes, encoded.dictionary)
    return _merged(codes, _words(encoded.dictionary, loose=loose))


def _texts_by_word(array: Array, *, loose: bool) -> Texts:
    words = array.dictionary
    codes = _codes(array)
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
        scale = _UNITS[kind.unit]
        return [_moment_word(int(x), scale) for x in values(distinct, np.int64)]
    if types.is_date32(kind):
        return [_moment_word(int(x) * _DAY_SECONDS, 1)[:10] for x in values(distinct, np.int32)]
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


def _codes(array: Array) -> NDArray[Any]:
    """The codes of a dictionary array, the dictionary's length where it is null."""
    kind = array.indices.type
    codes = values(array.indices, kind.to_pandas_dtype())
    return _masked(codes, valid(array.indices), len(array.dictionary))


def _masked(codes: NDArray[Any], there: Mask | None, missing: int) -> NDArray[Any]:
    if there is None:
        return codes
    return np.where(there, codes.astype(np.int32, copy=False), np.int32(missing))


def can_be_time(kind: Any) -> bool:
    """Whether a column of a type can hold event times."""
    return kind_of(kind) in ("integer", "number", "text", "time")


def kind_of(kind: Any) -> ColumnKind:
    """What a column of an Arrow type holds."""
    if types.is_dictionary(kind):
        return kind_of(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return kind_of(kind.storage_type)
    if types.is_boolean(kind):
        return "boolean"
    if types.is_integer(kind):
        return "integer"
    if types.is_floating(kind) or types.is_decimal(kind):
        return "number"
    if is_text(kind):
        return "text"
    return "time" if types.is_timestamp(kind) or types.is_date(kind) else "other"
