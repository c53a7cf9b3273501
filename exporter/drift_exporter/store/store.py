"""The store: what is kept between runs, behind one object that threads share.

Knows what is read and written together; the tables are the business of the modules below.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from types import TracebackType
from typing import Self

from drift_exporter.counts import SliceKey, Vector
from drift_exporter.snapshot import Run
from drift_exporter.store import calibrations, history, retention, runs, slices
from drift_exporter.store.cases import Cases
from drift_exporter.store.codec import Score
from drift_exporter.store.database import Database, open_database
from drift_exporter.store.history import Scores
from drift_exporter.store.runs import StoredRun
from drift_exporter.store.slices import Series
from drift_exporter.verdicts.verdict import Floats


class Store:
    """Slices, runs and scores. Every method may raise ``StoreError``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.recreated = database.recreated
        """What happened to the store that was there, if it was damaged."""

        self.shared = database.shared
        """Whether other shards keep their models in the same database."""

        self.cases = Cases(database)
        """Incidents and the audit log."""

    def replace_slices(
        self,
        model: str,
        bins_hash: str,
        width: int,
        span: tuple[int, int],
        slices_of_span: Mapping[SliceKey, Vector],
        run: Run | None = None,
        *,
        counted_to: int,
        scores: Scores | None = None,
    ) -> None:
        """Put slices in the place of all of the span; with the run and its scores, or nothing.

        Parameters
        ----------
        model, bins_hash, width
            What the slices belong to; the width is in seconds.
        span
            Event time ``[start, end)`` that was counted, in seconds since the epoch.
        slices_of_span
            The slices that have rows; they start in the span.
        run
            The run that counted them, None where the run is not over yet.
        counted_to
            Event time up to which nothing is left to be counted.
        scores
            By window, its end and PSI and state of each feature.
        """
        rows = slices.pack(*span, slices_of_span)
        packed = history.pack(scores or {})
        series = Series(model, bins_hash, width)
        with self._database.writing(f"write the slices of model {model!r}") as connection:
            slices.replace(connection, series, span, rows, counted_to)
            history.record(connection, model, packed)
            if run is not None:
                runs.record(connection, model, run)

    def read_slices(
        self,
        model: str,
        bins_hash: str,
        width: int,
        start: int,
        end: int,
        *,
        segment_by: str | None = None,
    ) -> Iterator[tuple[SliceKey, Vector]]:
        """Slices that start in ``[start, end)`` in order of time, a few at a time in memory.

        All slices, or those of one column's segments; ``""`` is the slices of all rows.
        """
        series = Series(model, bins_hash, width)
        with self._database.reading(f"read the slices of model {model!r}") as connection:
            yield from slices.read(connection, series, start, end, segment_by)

    def sum_slices(
        self,
        model: str,
        bins_hash: str,
        width: int,
        start: int,
        end: int,
        *,
        segment_by: str | None = None,
    ) -> dict[tuple[str, str], Vector]:
        """Sums of the slices that start in ``[start, end)``, by column and segment.

        The sum over all rows has the key ``("", "")``; what has no rows has no key.
        """
        series = Series(model, bins_hash, width)
        with (
            self._database.reading(f"add up the slices of model {model!r}") as connection,
            closing(slices.read(connection, series, start, end, segment_by)) as found,
        ):
            return slices.total(found, series)

    def counted_to(self, model: str, bins_hash: str, width: int) -> int | None:
        """Event time up to which was counted; None where nothing was."""
        span = self.counted(model, bins_hash, width)
        return None if span is None else span[1]

    def counted(self, model: str, bins_hash: str, width: int) -> tuple[int, int] | None:
        """From when to when event time was counted without a gap and is still kept."""
        with self._database.reading(f"read how far model {model!r} is counted") as connection:
            return slices.counted(connection, Series(model, bins_hash, width))

    def slice_starts(
        self, model: str, bins_hash: str, width: int, start: int, end: int
    ) -> list[int]:
        """Starts of the slices in ``[start, end)`` that have rows, in order of time."""
        with self._database.reading(f"find the slices of model {model!r}") as connection:
            return slices.starts(connection, Series(model, bins_hash, width), start, end)

    def first_slice(self, model: str, bins_hash: str, width: int) -> int | None:
        """Start of the oldest slice that is kept; None where there is none."""
        with self._database.reading(f"find the first slice of model {model!r}") as connection:
            return slices.first(connection, Series(model, bins_hash, width))

    def record_run(self, model: str, run: Run, *, scores: Scores | None = None) -> None:
        """Append a run to the log, with the scores that it found."""
        packed = history.pack(scores or {})
        with self._database.writing(f"record the run of model {model!r}") as connection:
            history.record(connection, model, packed)
            runs.record(connection, model, run)

    def runs(
        self, model: str | None = None, *, limit: int = 100, before: int | None = None
    ) -> list[StoredRun]:
        """The newest runs first; of one model or of all, older than the run of an id."""
        with self._database.reading("read the runs") as connection:
            return runs.newest(connection, model, limit, before)

    def last_run(self, model: str) -> Run | None:
        """The newest run of a model."""
        with self._database.reading(f"read the last run of model {model!r}") as connection:
            return runs.last(connection, model, success=False)

    def last_success(self, model: str) -> Run | None:
        """The newest run of a model that succeeded."""
        with self._database.reading(f"read the last success of model {model!r}") as connection:
            return runs.last(connection, model, success=True)

    def history(
        self,
        model: str,
        window: str,
        since: int,
        until: int,
        *,
        features: Collection[str] | None = None,
        most: int | None = None,
    ) -> Iterator[tuple[int, dict[str, Score]]]:
        """Scores of windows that end in ``[since, until]``, the oldest first.

        Of all features, or of a few of them, which is much quicker where there are many. Of
        all these windows, or of at most so many that are evenly spread, the newest among them.
        """
        between = (since, until)
        with self._database.reading(f"read the scores of model {model!r}") as connection:
            yield from history.read(connection, model, window, between, features, most)

    def psi_history(
        self, model: str, window: str, since: int, until: int, *, most: int
    ) -> tuple[list[int], list[str], Floats]:
        """PSI of all features in windows that end in ``[since, until]``, for many small lines.

        Ends of at most so many windows, evenly spread; the features of the newest one; and PSI
        of shape ``(ends, features)``, NaN where there is none.
        """
        with self._database.reading(f"read the scores of model {model!r}") as connection:
            return history.read_psi(connection, model, window, (since, until), most)

    def record_calibration(self, model: str, bins_hash: str, created: float, body: str) -> None:
        """Keep a calibration of a model over these bins, as the text that it wrote.

        One that was made at the same time is the same, tested anew: the text takes its place.
        """
        with self._database.writing(f"record the calibration of model {model!r}") as connection:
            calibrations.record(connection, model, bins_hash, created, body)

    def calibrations_by(self, model: str, bins_hash: str, at: float) -> Iterator[str]:
        """Texts of the calibrations over these bins that were made by a time, the newest first."""
        with self._database.reading(f"read the calibrations of model {model!r}") as connection:
            yield from calibrations.made_by(connection, model, bins_hash, at)

    def calibrations(self, model: str, limit: int) -> list[tuple[float, str, str]]:
        """The newest calibrations of a model first: when, over which bins, and the text."""
        with self._database.reading(f"read the calibrations of model {model!r}") as connection:
            return calibrations.latest(connection, model, limit)

    def prune(
        self, now: float, retention_seconds: float, max_bytes: int, keep_since: Mapping[str, int]
    ) -> int:
        """Delete what is old, then the oldest until the rest fits; returns the rows deleted.

        Parameters
        ----------
        now
            Seconds since the epoch.
        retention_seconds
            Age from which slices, runs and scores go, and calibrations that were followed then.
        max_bytes
            Size above which the oldest go before their time.
        keep_since
            By model, from when on its windows need slices: these stay, whatever their age and
            the size. A model that is not named needs none.
        """
        return retention.prune(self._database, now, retention_seconds, max_bytes, keep_since)

    def used_bytes(self) -> int:
        """Size of what is stored, without room that is free again."""
        return self._database.used_bytes()

    def close(self) -> None:
        """Let go of the database and its lock; later calls fail."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_store(url: str, *, now: float, shard: str = "") -> Store:
    """Open the store of a SQLAlchemy URL, made or migrated where that is due.

    Parameters
    ----------
    url
        ``sqlite:////absolute/path.db``, whose folder is made, or ``postgresql://user@host/db``.
    now
        Seconds since the epoch, for the name that a damaged file gets.
    shard
        What this process monitors, where several share a PostgreSQL database.

    Raises
    ------
    StoreError
        If it cannot be opened, another process has it, or its schema is newer.
    """
    return Store(open_database(url, now=now, shard=shard))
