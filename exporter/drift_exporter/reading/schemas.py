"""Which columns a file has, and what they hold, as far as inference of features needs it.

Knows Arrow types and the first block of text files; knows no bins.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from drift_exporter.reading.arrow_values import kind_of
from drift_exporter.reading.csv_lines import header_of
from drift_exporter.reading.listing import File
from drift_exporter.reading.parquet_files import arrow_schema
from drift_exporter.reading.source import Column, ColumnKind
from drift_exporter.reading.text_files import end_of_lines, read_up_to, unpacked

INFERRED_BYTES = 4 * 2**20
"""Text from which types are inferred."""

INFERRED_LINES = 1000
"""Lines of JSON from which types are inferred."""


def columns_of(file: File) -> Mapping[str, Column]:
    """The columns of a file; none where it is empty."""
    with file.open() as handle:
        if file.format == "parquet":
            return _of_schema(pq.ParquetFile(handle).schema_arrow)
        if file.format == "arrow":
            return _of_schema(arrow_schema(handle))
        data = _beginning(handle, file)
    return _of_csv(data) if file.format == "csv" else _of_json(data)


def _of_schema(schema: Any) -> dict[str, Column]:
    return {field.name: Column(kind_of(field.type), str(field.type)) for field in schema}


def _beginning(handle: Any, file: File) -> bytes:
    if not file.gzip:
        return bytes(handle.read(INFERRED_BYTES))
    return read_up_to(unpacked(handle), INFERRED_BYTES)[0]


def _of_csv(data: bytes) -> dict[str, Column]:
    found = header_of(data, True)
    if found is None:
        return {}
    header, start = found
    lines = data[start : start + end_of_lines(data[start:], True)] or data[start:]
    try:
        schema = pa_csv.read_csv(
            pa.BufferReader(lines),
            read_options=pa_csv.ReadOptions(
                use_threads=False, block_size=len(lines) + 1, column_names=list(header)
            ),
            parse_options=pa_csv.ParseOptions(
                newlines_in_values=True, invalid_row_handler=lambda _: "skip"
            ),
        ).schema
    except pa.ArrowInvalid:
        # No row can be read; the header still tells the names.
        schema = pa.schema([(name, pa.string()) for name in header])
    columns = _of_schema(schema)
    return {
        name: Column("text", "null") if column.dtype == "null" else column
        for name, column in columns.items()
        if not name.startswith("\0")
    }


def _of_json(data: bytes) -> dict[str, Column]:
    kinds: dict[str, set[ColumnKind]] = {}
    for found in islice(_objects(data), INFERRED_LINES):
        for name, value in found.items():
            kinds.setdefault(name, set()).update(_kinds(value))
    return {name: _column(held) for name, held in kinds.items()}


def _objects(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.split(b"\n"):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield found


def _kinds(value: Any) -> set[ColumnKind]:
    if value is None:
        return set()
    names: tuple[tuple[type, ColumnKind], ...] = (
        (bool, "boolean"),
        (int, "integer"),
        (float, "number"),
        (str, "text"),
    )
    return {next((name for kind, name in names if isinstance(value, kind)), "other")}


def _column(held: set[ColumnKind]) -> Column:
    """A column of values of several kinds is text, unless all are numbers."""
    if held == {"integer", "number"}:
        held = {"number"}
    kind = next(iter(held)) if len(held) == 1 else "text"
    return Column(kind, f"json {kind}")
