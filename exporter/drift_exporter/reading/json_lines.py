"""Lines of JSON as Arrow columns.

A key that a row lacks is absent, null is missing. Where types change, or a line is no JSON,
few lines at a time are read by Python.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pa_json
from numpy.typing import NDArray

from drift_exporter.reading.arrow_values import text_array, valid
from drift_exporter.reading.event_time import NO_TIME, micros_of_number
from drift_exporter.reading.halves import FEW_LINES, halved
from drift_exporter.reading.rows import Array, Rows, RowsInMemory, Wanted

GUESSED_LINES = 20
"""Lines that the types of a block are guessed by."""

_NOT_FINITE = re.compile(rb"(:\s*)NaN(?=\s*[,}])")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class JsonLines:
    """Takes blocks of lines apart; remembers the types of columns."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._columns = sorted(wanted.names)
        self._types: dict[str, Any] = {}
        self._keys = {name: _spellings(name) for name in self._columns}

    def rows(self, data: bytes) -> Iterator[Rows]:
        """The rows of a block."""
        yield from halved(data, self._read, self._read_few, FEW_LINES)

    def _read(self, data: bytes) -> Rows:
        self._guess(_objects(data.split(b"\n", GUESSED_LINES)[:GUESSED_LINES]))
        schema = pa.schema([(name, self._type(name)) for name in self._columns])
        try:
            table = _parsed(data, schema)
        except pa.ArrowInvalid:
            if b"NaN" not in data:
                raise
            data = _NOT_FINITE.sub(rb"\1null", data)
            table = _parsed(data, schema)
        lines = data.count(b"\n") + (not data.endswith(b"\n"))
        if table.num_rows != lines:
            if table.num_rows != sum(bool(line.strip()) for line in data.split(b"\n")):
                raise pa.ArrowInvalid("a line does not hold one object")
        columns = {name: _joined(table.column(name)) for name in self._columns}
        return self._with_absent(table.num_rows, columns, data)

    def _type(self, name: str) -> Any:
        default = pa.float64() if name not in self._wanted.text else pa.string()
        if name == self._wanted.timestamp:
            default = pa.string()
        return self._types.get(name, default)

    def _guess(self, objects: Iterable[Mapping[str, Any]]) -> None:
        for found in objects:
            for name in self._columns:
                guess = _type_of(found.get(name))
                if guess is None:
                    continue
                known = self._types.get(name)
                whole_only = name in self._wanted.text or name == self._wanted.timestamp
                if guess == pa.int64() and (not whole_only or known == pa.float64()):
                    guess = pa.float64()
                self._types[name] = guess

    def _with_absent(self, rows: int, columns: dict[str, Array], data: bytes) -> Rows:
        absent: dict[str, NDArray[np.bool_]] = {}
        lines: list[bytes] = []
        for name, column in list(columns.items()):
            if column.null_count == 0:
                continue
            if column.null_count == rows and not any(key in data for key in self._keys[name]):
                del columns[name]
                continue
            if 2 * column.null_count > rows and self._nulls(name, data) == column.null_count:
                continue
            lines = lines or [line for line in data.split(b"\n") if line.strip()]
            there = valid(column)
            assert there is not None  # noqa: S101
            lacking = [i for i in np.flatnonzero(~there) if self._lacks(name, lines[i])]
            if len(lacking) == rows:
                del columns[name]
            elif lacking:
                absent[name] = np.zeros(rows, dtype=np.bool_)
                absent[name][lacking] = True
        return RowsInMemory(rows, columns, absent)

    def _nulls(self, name: str, data: bytes) -> int:
        return sum(
            data.count(key + b":null") + data.count(key + b": null") for key in self._keys[name]
        )

    def _lacks(self, name: str, line: bytes) -> bool:
        for key in self._keys[name]:
            if key in line:
                return name not in json.loads(line)
        return True

    def _read_few(self, lines: list[bytes]) -> Rows:
        objects = list(_objects(lines))
        self._guess(objects)
        columns: dict[str, Array] = {}
        absent: dict[str, NDArray[np.bool_]] = {}
        for name in self._columns:
            lacking = np.array([name not in found for found in objects], dtype=np.bool_)
            if not lacking.all():
                columns[name] = text_array([self._text(name, f.get(name)) for f in objects])
            if lacking.any() and not lacking.all():
                absent[name] = lacking
        return RowsInMemory(len(objects), columns, absent, unparsed=len(lines) - len(objects))

    def _text(self, name: str, value: Any) -> str | None:
        """A value as the text that is read as the same time, category or number."""
        if value is None or isinstance(value, str):
            return value
        if name == self._wanted.timestamp:
            micros = NO_TIME if isinstance(value, bool | list | dict) else micros_of_number(value)
            return None if micros == NO_TIME else _iso(micros)
        as_category = name in self._wanted.text
        if isinstance(value, bool):
            return str(value).lower() if as_category else str(int(value))
        if isinstance(value, float):
            if math.isnan(value):
                return None
            whole = math.isfinite(value) and value == int(value)
            return str(int(value)) if as_category and whole else str(value)
        return str(value) if isinstance(value, int) else json.dumps(value)


def _iso(micros: int) -> str | None:
    try:
        return (_EPOCH + timedelta(microseconds=micros)).isoformat()
    except OverflowError:
        return None


def _parsed(data: bytes, schema: Any) -> Any:
    return pa_json.read_json(
        pa.BufferReader(data),
        read_options=pa_json.ReadOptions(use_threads=False, block_size=len(data) + 1),
        parse_options=pa_json.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior="ignore"
        ),
    )


def _objects(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The objects of the lines that hold one."""
    for line in lines:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield found


def _type_of(value: Any) -> Any:
    for kind, arrow in ((bool, pa.bool_()), (int, pa.int64()), (float, pa.float64())):
        if isinstance(value, kind):
            return arrow
    return pa.string() if isinstance(value, str) else None


def _spellings(name: str) -> tuple[bytes, ...]:
    return tuple({json.dumps(name).encode(), json.dumps(name, ensure_ascii=False).encode()})


def _joined(column: Any) -> Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
