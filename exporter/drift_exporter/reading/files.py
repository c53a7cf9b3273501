"""Files as a source: Parquet, CSV, JSON Lines and Arrow, local or in an object store.

Knows which files a run has to read and which rows it has counted before; how a format is
decoded, and how columns are binned, is for the modules beside it.

Counts of rows that never change (a row group, lines that are complete) are kept while their
slices are asked for, so that an undisturbed process reads each row once although runs read
the last minutes again. It is a cache: a new ``FileSource`` gives the same counts.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Protocol

import pyarrow as pa

from drift_exporter import config
from drift_exporter.config import masked_url
from drift_exporter.errors import SchemaError, SourceError
from drift_exporter.profile import CategorySketch, NumericSketch, Profile
from drift_exporter.reading.binning import Binner, binners_of
from drift_exporter.reading.counting import Counter
from drift_exporter.reading.event_time import MICROSECONDS
from drift_exporter.reading.found import Choice, Found
from drift_exporter.reading.listing import File, list_files
from drift_exporter.reading.parquet_files import ArrowReader, ParquetReader
from drift_exporter.reading.parts import Basis, FileState, Part, Run, compacted
from drift_exporter.reading.rows import Rows, Wanted, check
from drift_exporter.reading.schemas import columns_of
from drift_exporter.reading.sketching import Collected, Times, column_batches
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
from drift_exporter.reading.unread import Unread

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
        self._binners: tuple[str, dict[str, Binner]] = ("", {})
        self._complained: set[tuple[object, ...]] = set()

    def columns(self) -> Mapping[str, Column]:
        """The columns that the newest readable file has.

        Raises
        ------
        SourceError
            If no file matches, or none can be read.
        """
        files = list_files(self._where)
        unread = Unread(self._name, len(files), self._complained)
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

        Exact: the values of a few columns at a time are held in memory and sorted.
        """
        columns = self.columns()
        files = list_files(self._where)
        choice = _choice(between)
        timestamp = self._where.timestamp
        times = Times(timestamp, choice)
        if timestamp in columns or choice.by_time:
            for rows in self._all(files, Wanted(timestamp=timestamp)):
                times.add(rows)
            if choice.by_time and not times.timed:
                raise self._untimed(files)
        batches = column_batches(files, numeric, categorical)
        found = Sketches({}, {}, *times.seconds)
        numbers: dict[str, NumericSketch] = {}
        categories: dict[str, CategorySketch] = {}
        for done, (as_numbers, as_categories) in enumerate(batches):
            progress(done / len(batches))
            wanted = Wanted(
                timestamp if choice.by_time else None,
                frozenset(as_numbers),
                frozenset(as_categories),
            )
            collected = Collected(as_numbers, as_categories)
            for rows in self._all(files, wanted):
                collected.add(rows, times.chosen(rows))
            integers = {name for name in as_numbers if _is_integer(columns.get(name))}
            numbers |= collected.numeric(integers)
            categories |= collected.categorical()
        progress(1.0)
        return replace(found, numeric=numbers, categorical=categories)

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
        files = list_files(self._where)
        choice = _choice(between)
        counter = self._counter(profile, choice, lambda: False)
        found = Found()
        timed = not choice.by_time
        for rows in self._all(files, counter.wanted, progress):
            timed = timed or self._where.timestamp in rows.names
            counter.add(found, rows)
        if not timed and found.rows:
            raise self._untimed(files)
        return Counted(found.slices, found.rows, found.rejected)

    def count(
        self, profile: Profile, span: Span, width: int, now: float, stop: Stop = lambda: False
    ) -> Counted:
        """Count the rows of a span per slice of ``width`` seconds, of all rows and by segment.

        Raises
        ------
        SourceError, SchemaError, RunStoppedError
            If the files cannot be read, none has the timestamp column, or ``stop`` says so.
        """
        files = list_files(self._where)
        choice = Choice(
            start=span.start * MICROSECONDS,
            stop=span.end * MICROSECONDS,
            now=round(now * MICROSECONDS),
            width=width * MICROSECONDS,
            sample=sampled_microseconds(self._sample),
        )
        counter = self._counter(profile, choice, stop)
        run = Run(span, choice, Basis(profile.bins_hash, width))
        unread = Unread(self._name, len(files), self._complained)
        states: dict[object, FileState] = {}
        for file in files:
            check(stop)
            state = self._states.get(file.identity) or FileState()
            states[file.identity] = state
            try:
                self._count_file(file, state, counter, run)
            except (OSError, pa.ArrowException) as error:
                unread.note(file, error)
        # Of files that are gone nothing is remembered.
        self._states = states
        unread.raise_if_all()
        timed = {state.timed for state in states.values()}
        if False in timed and True not in timed:
            raise self._untimed(files)
        return Counted(run.slices, run.rows, run.rejected)

    def close(self) -> None:
        """Forget what is kept."""
        self._states.clear()

    def _counter(self, profile: Profile, choice: Choice, stop: Stop) -> Counter:
        # Of features with many words binners take longer to make than a few new rows to count.
        if self._binners[0] != profile.bins_hash:
            self._binners = (profile.bins_hash, binners_of(profile))
        return Counter(profile, self._binners[1], self._where.timestamp, choice, stop)

    def _count_file(self, file: File, state: FileState, counter: Counter, run: Run) -> None:
        with closing(reader_of(file, counter.wanted)) as reader:
            for part in reader.parts(state):
                check(counter.stop)
                if run.take(part):
                    continue
                found = Found()
                for rows in reader.rows(part):
                    counter.add(found, rows)
                run.put(part, found)
        if file.grows:
            state.parts = compacted(state.parts, run.choice.start or 0)

    def _all(
        self, files: Sequence[File], wanted: Wanted, progress: Progress = lambda _: None
    ) -> Iterator[Rows]:
        """All rows of all files that can be read."""
        unread = Unread(self._name, len(files), self._complained)
        total, done = sum(file.size for file in files) or 1, 0
        for file in files:
            progress(done / total)
            try:
                with closing(reader_of(file, wanted, whole=True)) as reader:
                    for part in reader.parts(FileState()):
                        yield from reader.rows(part)
            except (OSError, pa.ArrowException) as error:
                unread.note(file, error)
            done += file.size
        unread.raise_if_all()
        progress(1.0)

    def _untimed(self, files: Sequence[File]) -> SchemaError:
        columns = self.columns()
        found = columns.get(self._where.timestamp)
        what = f"is of type {found.dtype}" if found else "is not there"
        return SchemaError(
            f"{self._name}: {_newest(files).name}: the timestamp column "
            f"{self._where.timestamp!r} {what}; name one of {sorted(columns)} in 'timestamp'"
        )


def _choice(between: Between) -> Choice:
    start, stop = (None if t is None else round(t * MICROSECONDS) for t in between)
    return Choice(start, stop)


def _newest(files: Sequence[File]) -> File:
    return max(files, key=lambda file: (file.mtime_ns, file.path))


def _is_integer(column: Column | None) -> bool:
    return column is not None and column.kind == "integer"
