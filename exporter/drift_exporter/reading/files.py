"""Files as a source: Parquet, CSV, JSON Lines and Arrow, local or in an object store.

Knows which files a run has to read and which rows it has counted before; how a format is
decoded, and how columns are binned, is for the modules beside it.

Counts of rows that never change (a row group, lines that are complete) are kept while their
slices are asked for, so that an undisturbed process reads each row once although runs read
the last minutes again. It is a cache: a new ``FileSource`` gives the same counts.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Protocol

import pyarrow as pa

from drift_exporter import config
from drift_exporter.config import masked_url
from drift_exporter.counts import SliceKey, Vector
from drift_exporter.errors import SchemaError, SourceError
from drift_exporter.profile import Profile
from drift_exporter.reading.counting import Counter, Moments
from drift_exporter.reading.event_time import MICROSECONDS
from drift_exporter.reading.listing import File, list_files
from drift_exporter.reading.parquet_files import ArrowReader, ParquetReader
from drift_exporter.reading.parts import (
    KEPT_BYTES,
    Basis,
    FileState,
    Part,
    added,
    compacted,
)
from drift_exporter.reading.rows import Rows, Wanted, check
from drift_exporter.reading.schemas import columns_of
from drift_exporter.reading.sketching import Sketcher
from drift_exporter.reading.source import (
    Column,
    Counted,
    Progress,
    Sketches,
    Span,
    Stop,
    sampled_microseconds,
)
from drift_exporter.reading.text_files import TextReader

log = logging.getLogger(__name__)

Between = tuple[float | None, float | None]


class Reader(Protocol):
    """One file of any format."""

    def parts(self, state: FileState) -> Iterator[Part]:
        """The parts of the file, those that are known first."""
        ...

    def rows(self, part: Part) -> Iterator[Rows]:
        """The rows of a part, in blocks."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


def reader_of(file: File, wanted: Wanted, *, whole: bool = False) -> Reader:
    """The reader of a file's format; ``whole`` reads a last line without its newline too."""
    if file.format == "parquet":
        return ParquetReader(file, wanted)
    if file.format == "arrow":
        return ArrowReader(file, wanted)
    return TextReader(file, wanted, whole=whole)


class FileSource:
    """Files that are counted; implements ``Source``."""

    def __init__(self, where: config.Source, *, sample: float = 1.0) -> None:
        self._where = where
        self._name = masked_url(where.url)
        self._sample = sample
        self._states: dict[object, FileState] = {}
        self._complained: set[tuple[object, ...]] = set()

    def columns(self) -> Mapping[str, Column]:
        """The columns that the newest readable file has.

        Raises
        ------
        SourceError
            If no file matches, or none can be read.
        """
        files = list_files(self._where)
        unread = _Unread(self._name, len(files), self._complained)
        for file in sorted(files, key=lambda file: (file.mtime_ns, file.path), reverse=True):
            try:
                found = columns_of(file)
            except (OSError, pa.ArrowException) as error:
                unread.note(file, error)
                continue
            if found:
                return found
        unread.raise_if_all()
        raise SourceError(f"{self._name}: the files are empty; wait for the first rows")

    def sketch(
        self,
        numeric: Sequence[str],
        categorical: Sequence[str],
        between: Between = (None, None),
        progress: Progress = lambda _: None,
    ) -> Sketches:
        """Sketch columns over all rows, or over those between two event times.

        Exact: the values of some columns at a time are held in memory and sorted.
        """
        sketcher = Sketcher(
            files=list_files(self._where),
            timestamp=self._where.timestamp,
            open_rows=self._all_rows,
            progress=progress,
        )
        return sketcher.sketches(self.columns(), numeric, categorical, between)

    def count_all(
        self,
        profile: Profile,
        between: Between = (None, None),
        progress: Progress = lambda _: None,
    ) -> Counted:
        """Count all rows into one slice that starts at 0.

        Raises
        ------
        SourceError, SchemaError
            If the files cannot be read, or rows are chosen by time and none has one.
        """
        ...

    def count(
        self, profile: Profile, span: Span, width: int, now: float, stop: Stop = lambda: False
    ) -> Counted:
        """Count the rows of a span per slice of ``width`` seconds, of all rows and by segment.

        Raises
        ------
        SourceError, SchemaError, RunStoppedError
            If the files cannot be read, none has the timestamp column, or ``stop`` says so.
        """
        ...

    def close(self) -> None:
        """Forget what is kept."""
        self._states.clear()
