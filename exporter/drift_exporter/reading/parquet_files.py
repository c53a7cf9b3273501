"""Parquet and Arrow files: pieces that never change, columns decoded a few at a time.

Knows footers, statistics of row groups and how to decode little at once; knows no bins.
"""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from drift_exporter.reading.arrow_values import can_be_time
from drift_exporter.reading.event_time import of_epoch, scaled, size_class
from drift_exporter.reading.listing import File
from drift_exporter.reading.parts import FileState, Part
from drift_exporter.reading.rows import Batch, Rows, RowsInMemory, Wanted

BATCH_ROWS = 130_560
"""Rows decoded at once: near the cache, and eight blocks of ``slots.BLOCK_ROWS``."""

BATCH_VALUES = BATCH_ROWS
"""Values decoded at once: of short row groups many columns are read together."""

_PER_SECOND = {"milliseconds": (10**3, 1), "microseconds": (1, 1), "nanoseconds": (1, 10**3)}


class ParquetReader:
    """Row groups of one Parquet file; the file is opened when the first is asked for."""

    def __init__(self, file: File, wanted: Wanted) -> None:
        self._file = file
        self._wanted = wanted
        self._handle: Any = None
        self._opened: Any = None
        self._schema: Any = None
        """Made once: of 10 000 columns it takes longer than to read some of them."""

    def parts(self, state: FileState) -> Iterator[Part]:
        """A part for each row group, with its newest event time where statistics tell."""
        if not state.listed:
            parquet = self._parquet()
            newest = _newest(parquet, self._wanted.timestamp)
            state.parts = [
                Part(start=group, stop=group + 1, newest=newest(group))
                for group in range(parquet.num_row_groups)
            ]
            has_rows = parquet.metadata.num_rows > 0
            state.timed = _timed(self._schema, self._wanted) if has_rows else None
            state.listed = True
        yield from state.parts

    def rows(self, part: Part) -> Iterator[Rows]:
        """The rows of a row group."""
        parquet = self._parquet()
        yield _Group(parquet, part.start, frozenset(self._schema.names))

    def close(self) -> None:
        """Let go of the file."""
        if self._handle is not None:
            self._handle.close()

    def _parquet(self) -> Any:
        if self._opened is None:
            self._handle = self._file.open()
            parquet = pq.ParquetFile(self._handle)
            self._schema = parquet.schema_arrow
            # Categories come as the codes of the file's own dictionary: nothing is built.
            coded = [
                field.name
                for field in self._schema
                if field.name in self._wanted.text and types.is_string(field.type)
            ]
            if coded:
                parquet = pq.ParquetFile(
                    self._handle, metadata=parquet.metadata, read_dictionary=coded
                )
            self._opened = parquet
        return self._opened


AHEAD_VALUES = 2_000_000
"""Values of a row group from which decoding ahead is worth a thread."""


class _Group:
    """Rows of one row group."""

    loose = False
    unparsed = 0

    def __init__(self, parquet: Any, group: int, names: frozenset[str]) -> None:
        self._parquet = parquet
        self._group = group
        self.rows = int(parquet.metadata.row_group(group).num_rows)
        self.names = names

    def batches(self, names: Sequence[str]) -> Iterator[Batch]:
        """The columns named, a few at a time; of many values, the next are decoded meanwhile."""
        there = [name for name in names if name in self.names]
        found = self._decoded(there)
        return ahead(found) if self.rows * len(there) >= AHEAD_VALUES else found

    def _decoded(self, there: Sequence[str]) -> Iterator[Batch]:
        width = max(1, BATCH_VALUES // min(max(self.rows, 1), BATCH_ROWS))
        for at in range(0, len(there), width):
            first = 0
            for batch in self._parquet.iter_batches(
                BATCH_ROWS,
                row_groups=[self._group],
                columns=there[at : at + width],
                use_threads=False,
            ):
                columns = dict(zip(batch.schema.names, batch.columns, strict=True))
                yield Batch(first, columns)
                first += batch.num_rows


def ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches, each decoded by another thread while the one before is in use."""
    with ThreadPoolExecutor(1, thread_name_prefix="decode") as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch


def _timed(schema: Any, wanted: Wanted) -> bool:
    """Whether the timestamp column is there, and of a type that can be a time."""
    at = schema.get_field_index(wanted.timestamp or "")
    return at >= 0 and can_be_time(schema.field(at).type)


def _newest(parquet: Any, timestamp: str | None) -> Any:
    """A function from a row group to its newest event time, or none, by statistics."""
    schema = parquet.schema
    index = next((i for i in range(len(schema)) if schema.column(i).path == timestamp), None)
    if index is None:
        return lambda _: None
    logical = json.loads(schema.column(index).logical_type.to_json())
    physical = schema.column(index).physical_type

    def newest(group: int) -> int | None:
        statistics = parquet.metadata.row_group(group).column(index).statistics
        if statistics is None or not statistics.has_min_max:
            return None
        return _micros(statistics.min_raw, statistics.max_raw, logical, physical)

    return newest


def _micros(low: Any, high: Any, logical: dict[str, Any], physical: str) -> int | None:
    """The newest time of a row group; nothing where statistics do not tell it.

    Those of text and of floats are passed over: the order of texts with offsets is not that
    of time, and writers differ on NaN.
    """
    if physical not in ("INT32", "INT64"):
        return None
    counts = np.array([high], dtype=np.int64)
    kind = logical.get("Type")
    if kind == "Timestamp":
        return int(scaled(counts, *_PER_SECOND[logical["timeUnit"]])[0])
    if kind == "Date":
        return int(high) * 86_400 * 10**6
    signed = kind == "None" or (kind == "Int" and bool(logical.get("isSigned")))
    if signed and low >= 0 and size_class(low) == size_class(high):
        return int(of_epoch(counts)[0])
    return None


class ArrowReader:
    """Record batches of one Arrow file, of the file or the stream format."""

    def __init__(self, file: File, wanted: Wanted) -> None:
        self._file = file
        self._wanted = wanted
        self._state = FileState()

    def parts(self, state: FileState) -> Iterator[Part]:
        """The file is one part."""
        self._state = state
        if not state.listed:
            state.parts = [Part(start=0, stop=self._file.size)]
            state.listed = True
        yield from state.parts

    def rows(self, part: Part) -> Iterator[Rows]:
        """The rows of each record batch; of a stream that is cut off, those that are whole."""
        del part
        with self._file.open() as handle:
            for batch in arrow_batches(handle, self._wanted.names):
                if batch.num_rows:
                    self._state.timed = _timed(batch.schema, self._wanted)
                for first in range(0, batch.num_rows, BATCH_ROWS):
                    some = batch.slice(first, BATCH_ROWS)
                    columns = dict(zip(some.schema.names, some.columns, strict=True))
                    yield RowsInMemory(some.num_rows, columns)

    def close(self) -> None:
        """Nothing is held open."""


def arrow_schema(handle: Any) -> Any:
    """The schema of an open Arrow file of either format."""
    try:
        return pa.ipc.open_file(handle).schema
    except pa.ArrowInvalid:
        handle.seek(0)
        return pa.ipc.open_stream(handle).schema


def arrow_batches(handle: Any, names: frozenset[str]) -> Iterator[Any]:
    """Record batches with the wanted columns of an open Arrow file of either format."""
    schema = arrow_schema(handle)
    fields = [i for i, name in enumerate(schema.names) if name in names]
    # Rows are counted by a column even where none of the wanted ones is there.
    options = pa.ipc.IpcReadOptions(included_fields=fields or [0], use_threads=False)
    handle.seek(0)
    try:
        opened = pa.ipc.open_file(handle, options=options)
    except pa.ArrowInvalid:
        handle.seek(0)
        yield from _streamed(pa.ipc.open_stream(handle, options=options))
        return
    for i in range(opened.num_record_batches):
        yield opened.get_batch(i)


def _streamed(reader: Any) -> Iterator[Any]:
    while True:
        try:
            yield reader.read_next_batch()
        except (StopIteration, pa.ArrowInvalid, OSError):
            # The writer is still at it, or the stream was cut off.
            return
