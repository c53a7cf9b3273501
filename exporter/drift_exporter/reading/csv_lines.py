"""Lines of CSV as Arrow columns.

An empty field is missing; a quoted empty one is an empty text. CSV has no types: text that
spells a whole number or a boolean is one, and so are the usual spellings of a missing number.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from drift_exporter.reading.halves import halved
from drift_exporter.reading.rows import Rows, RowsInMemory, Wanted

_BOM = b"\xef\xbb\xbf"


def header_of(data: bytes, final: bool) -> tuple[tuple[str, ...], int] | None:
    """The columns that the first line names, and where the rows start; nothing while the line
    is not complete.
    """
    skipped = len(_BOM) if data.startswith(_BOM) else 0
    end = data.find(b"\n", skipped) + 1
    while end and data.count(b'"', skipped, end) % 2:
        end = data.find(b"\n", end) + 1
    if not end:
        if not final or len(data) == skipped:
            return None
        end = len(data)
    line = data[skipped:end].decode(errors="replace")
    names = next(csv.reader(io.StringIO(line, newline="")), None)
    return (tuple(_once(names)), end) if names else None


def _once(names: Sequence[str]) -> list[str]:
    """The names; of one that comes twice the first column is meant."""
    return [name if name not in names[:i] else f"\0{i}" for i, name in enumerate(names)]


class CsvLines:
    """Takes blocks of lines apart; remembers which columns are not all numbers."""

    def __init__(self, header: Sequence[str], wanted: Wanted) -> None:
        self._header = list(header)
        self._columns = [name for name in header if name in wanted.names]
        self._text = set(self._columns) - wanted.numeric | wanted.text
        if wanted.timestamp:
            self._text.add(wanted.timestamp)

    def rows(self, data: bytes) -> Iterator[Rows]:
        """The rows of a block."""
        yield from halved(data, self._read, _refused)

    def _read(self, data: bytes) -> Rows:
        try:
            return self._parse(data, self._text)
        except pa.ArrowInvalid:
            rows = self._parse(data, set(self._columns))
        for name in set(self._columns) - self._text:
            try:
                rows.columns[name].cast(pa.float64())
            except pa.ArrowInvalid:
                # Reading it as numbers would fail in the next block too.
                self._text.add(name)
        return rows

    def _parse(self, data: bytes, text: set[str]) -> RowsInMemory:
        refused = 0

        def refuse(_: Any) -> str:
            nonlocal refused
            refused += 1
            return "skip"

        # Rows are counted by a column even where none of the wanted ones is there.
        columns = self._columns or self._header[:1]
        types = {
            name: pa.string() if name in text or not self._columns else pa.float64()
            for name in columns
        }
        table = pa_csv.read_csv(
            pa.BufferReader(data),
            read_options=pa_csv.ReadOptions(
                use_threads=False, block_size=len(data) + 1, column_names=self._header
            ),
            parse_options=pa_csv.ParseOptions(
                newlines_in_values=b'"' in data, invalid_row_handler=refuse
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=types,
                include_columns=columns,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                check_utf8=False,
            ),
        )
        found = {name: _joined(table.column(name)) for name in self._columns}
        return RowsInMemory(table.num_rows, found, unparsed=refused, loose=True)


def _refused(lines: list[bytes]) -> Rows:
    return RowsInMemory(0, {}, unparsed=len(lines))


def _joined(column: Any) -> Any:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
