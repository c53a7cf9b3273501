"""Arrow arrays through their buffers: values, validity, codes, words.

Knows layouts and types; knows no rule of what a number or a category is, no bins and no files.
Never calls ``Array.to_numpy``, which imports pandas where pandas is installed.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import DTypeLike, NDArray
from pyarrow import types

from drift_exporter.reading.rows import Array
from drift_exporter.reading.source import ColumnKind

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
"""How many of a unit of time are a second."""

DAY_SECONDS = 86_400


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


def bits(array: Array) -> Mask:
    """The values of an array of booleans, whatever stands where they are null."""
    first, skip = divmod(array.offset, 8)
    buffer = array.buffers()[1]
    if buffer is None or len(array) == 0:
        return np.zeros(len(array), dtype=np.bool_)
    length = (skip + len(array) + 7) // 8
    packed = np.frombuffer(buffer, dtype=np.uint8, count=length, offset=first)
    return np.unpackbits(packed, count=skip + len(array), bitorder="little")[skip:].view(np.bool_)


def codes_of(array: Array) -> NDArray[Any]:
    """The codes of a dictionary array, the dictionary's length where it is null."""
    kind = array.indices.type
    codes = values(array.indices, kind.to_pandas_dtype())
    return masked(codes, valid(array.indices), len(array.dictionary))


def masked(codes: NDArray[Any], there: Mask | None, missing: int) -> NDArray[Any]:
    """The codes, and that of a missing value where there is none."""
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
