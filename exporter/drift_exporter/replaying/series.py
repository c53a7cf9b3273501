"""The exporter's series over a past span: what a scrape would have found, and when.

Knows snapshots and metric families; never how scores were computed. ``openmetrics`` makes text
for ``promtool tsdb create-blocks-from openmetrics``, ``tables`` arrays for a replay.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drift_exporter.metrics.families import FAMILIES, Family
from drift_exporter.replaying.remote_write import ABSENT, LabelPairs, absent
from drift_exporter.snapshot import Snapshot
from drift_exporter.verdicts.verdict import Floats
from drift_exporter.whole_file import whole_file

LOOKBACK_SECONDS = 300
"""How long Prometheus shows a sample whose series goes silent."""

STEP_SECONDS = 120
"""How often a value that holds is said again in text."""

DAY_SECONDS = 86_400
TARGET: Mapping[str, str] = {"job": "drift-exporter", "instance": "replay"}
"""Labels that a scrape would have added."""

END = "# EOF\n"
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

Timed = tuple[int, Snapshot]


@dataclass(frozen=True)
class Frame:
    """A snapshot from when it is exposed, until the next one of its model."""

    time: int
    snapshot: Snapshot
    stale: bool = False
    """Whether its scores are too old to be shown."""

    @property
    def until(self) -> int:
        """When the next one is due: how long the last one of a model holds."""
        return self.time + max(1, math.ceil(self.snapshot.interval_seconds))

    def samples(
        self, families: Sequence[Family]
    ) -> Iterator[tuple[Family, tuple[str, ...], float]]:
        """What a scrape finds, without what its model does not have."""
        shown = self.snapshot.expired() if self.stale else self.snapshot
        for family in families:
            if not (family.score and self.stale):
                for labels, value in family.fill(shown):
                    yield family, labels, value


def frames(snapshots: Iterable[Timed], pace: int = 1) -> Iterator[Frame]:
    """The snapshots as they were exposed, in the order of time.

    Parameters
    ----------
    snapshots
        Times in seconds since the epoch, in order, of any models.
    pace
        What happens is seen at the next multiple of so many seconds.

    Yields
    ------
    Frame
        A snapshot whose scores go stale before the next one of its model comes twice.
    """
    due: dict[str, Frame] = {}
    until = 0
    for time, snapshot in snapshots:
        at = -(-time // pace) * pace
        yield from _expired(due, at)
        frame = Frame(at, snapshot, snapshot.stale(at))
        until = max(until, frame.until)
        yield frame
        due.pop(snapshot.model, None)
        if snapshot.last_success is not None and not frame.stale:
            # Scores are shown for so long and no longer.
            end = math.floor(snapshot.last_success + snapshot.stale_after_seconds) + 1
            due[snapshot.model] = Frame(-(-end // pace) * pace, snapshot, stale=True)
    yield from _expired(due, until)


def _expired(due: dict[str, Frame], before: int) -> Iterator[Frame]:
    for frame in sorted((f for f in due.values() if f.time < before), key=lambda f: f.time):
        del due[frame.snapshot.model]
        yield frame


def openmetrics(
    snapshots: Iterable[Timed],
    families: Sequence[Family] = FAMILIES,
    *,
    labels: Mapping[str, str] = TARGET,
    step_seconds: int = STEP_SECONDS,
    last: int | None = None,
) -> Iterator[str]:
    """OpenMetrics text with timestamps, in pieces.

    A value is said again while it holds. A series that ends is not said in its last five
    minutes, in which Prometheus shows it all the same, so that it is not drawn on: in this
    format nothing marks an end. What changed within those five minutes is drawn on until they
    are over. Samples are in the order of time for each series, not for all.

    Parameters
    ----------
    snapshots
        Times in seconds since the epoch, in order, of any models.
    families
        The metric families to write.
    labels
        Labels that a scrape adds, ``job`` and ``instance``: with those of the live series the
        graphs continue.
    step_seconds
        How often a value that holds is said again; below five minutes.
    last
        No sample is later, in seconds since the epoch; by default the last values hold until the
        next run would have been.

    Yields
    ------
    str
        Whole lines; the last is ``# EOF``.
    """
    yield _header(families)
    for _, text in _pieces(snapshots, families, labels, step_seconds, last):
        yield text
    yield END


def openmetrics_files(
    snapshots: Iterable[Timed],
    folder: Path,
    families: Sequence[Family] = FAMILIES,
    *,
    labels: Mapping[str, str] = TARGET,
    step_seconds: int = STEP_SECONDS,
    file_seconds: int = DAY_SECONDS,
    last: int | None = None,
) -> Iterator[Path]:
    """The same in files of a day each, whole when they are told of: promtool reads each often.

    A value that begins before midnight and holds is in the file of the day it began.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pieces = _pieces(snapshots, families, labels, step_seconds, last)
    for day, of_day in groupby(pieces, key=lambda piece: piece[0] // file_seconds):
        at = datetime.fromtimestamp(day * file_seconds, UTC)
        path = folder / f"{at:%Y-%m-%dT%H%M}.om"
        with whole_file(path) as output:
            output.write(_header(families).encode())
            for _, text in of_day:
                output.write(text.encode())
            output.write(END.encode())
        yield path


def _header(families: Sequence[Family]) -> str:
    return "".join(
        f"# TYPE {family.name} gauge\n# HELP {family.name} {family.help.translate(_ESCAPES)}\n"
        for family in families
    )


def _pieces(
    snapshots: Iterable[Timed],
    families: Sequence[Family],
    labels: Mapping[str, str],
    step_seconds: int,
    last: int | None,
) -> Iterator[tuple[int, str]]:
    """Text of each frame with the time it begins, once it is known what ends with it."""
    bound = math.inf if last is None else last + 1
    texts: dict[tuple[str, tuple[str, ...]], str] = {}
    shown: dict[str, tuple[Frame, dict[tuple[str, tuple[str, ...]], str]]] = {}

    def lines(frame: Frame) -> dict[tuple[str, tuple[str, ...]], str]:
        found = {}
        for family, values, value in frame.samples(families):
            key = family.name, values
            if key not in texts:
                pairs = {**labels, **dict(zip(family.labels, values, strict=True))}
                inside = ",".join(f'{k}="{v.translate(_ESCAPES)}"' for k, v in pairs.items())
                texts[key] = f"{family.name}{{{inside}}} "
            found[key] = f"{texts[key]}{value!r} "
        return found

    for frame in frames(snapshots):
        if frame.time >= bound:
            break
        model, found = frame.snapshot.model, lines(frame)
        if model in shown:
            before, held = shown[model]
            if frame.time > before.time:
                yield before.time, _held(held, found, before.time, frame.time, step_seconds)
        shown[model] = frame, found
    until = int(min(max((frame.until for frame, _ in shown.values()), default=0), bound))
    for frame, held in shown.values():
        yield frame.time, _held(held, held, frame.time, until, step_seconds)


def _held(
    held: Mapping[tuple[str, tuple[str, ...]], str],
    following: Mapping[tuple[str, tuple[str, ...]], str],
    start: int,
    end: int,
    step_seconds: int,
) -> str:
    """Lines of the values that hold in ``[start, end)``."""
    going_on = [text for key, text in held.items() if key in following]
    ending = [text for key, text in held.items() if key not in following]
    # One second more than the lookback: it includes its bounds in Prometheus 2.
    last = max(start, end - LOOKBACK_SECONDS - 1)
    times = list(range(start, end, step_seconds))
    final = [*(time for time in times if time < last), last]
    return _said(going_on, times) + _said(ending, final)


def _said(texts: Sequence[str], times: Sequence[int]) -> str:
    return "".join(f"{time}\n".join(texts) + f"{time}\n" for time in times) if texts else ""


@dataclass(frozen=True)
class Table:
    """Series of one model over a span."""

    labels: list[LabelPairs]
    times: NDArray[np.int64]
    """Seconds since the epoch."""

    values: Floats
    """Shape ``(series, times)``."""

    tails: NDArray[np.bool_]
    """Times that only matter to series that end at the next one."""


@dataclass
class Tables:
    """Frames of one model, span by span."""

    families: Sequence[Family]
    pace: int
    _keys: dict[tuple[str, tuple[str, ...]], LabelPairs] = field(default_factory=dict)

    def table(self, found: Sequence[Frame], start: int, end: int, every: int) -> Table:
        """The series in ``[start, end)``, values that hold written every so many seconds.

        The first frame may begin before the span.
        """
        rows: dict[LabelPairs, int] = {}
        columns = []
        for frame in found:
            places, values = [], []
            for family, labels, value in frame.samples(self.families):
                pairs = self._labels(family, labels)
                places.append(rows.setdefault(pairs, len(rows)))
                values.append(value)
            columns.append((places, values))
        framed = np.full((len(rows), len(found)), ABSENT)
        for column, (places, values) in enumerate(columns):
            framed[places, column] = values
        begins = [max(frame.time, start) for frame in found]
        spans = [
            holding(begin, until, every, self.pace)
            for begin, until in zip(begins, [*begins[1:], end], strict=True)
        ]
        which = np.repeat(np.arange(len(found)), [len(times) for times, _ in spans])
        times = np.concatenate([times for times, _ in spans])
        return Table(list(rows), times, framed[:, which], np.concatenate([t for _, t in spans]))

    def _labels(self, family: Family, values: tuple[str, ...]) -> LabelPairs:
        key = family.name, values
        if key not in self._keys:
            # A label without a value is no label, as in a scrape.
            own = {k: v for k, v in zip(family.labels, values, strict=True) if v}
            self._keys[key] = tuple(sorted({"__name__": family.name, **TARGET, **own}.items()))
        return self._keys[key]


def holding(
    start: int, end: int, every: int, pace: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """When to write a value that holds in ``[start, end)``: times, and which of them are tails.

    A tail is the last evaluation before the value may change. Written where the series ends, it
    makes ranges hold the series for as long as if it had been written at each evaluation.
    """
    begins = np.arange(start, end, every)
    lasts = np.minimum(begins + every, end) - pace
    times = np.stack([begins, lasts], axis=1).ravel()
    tails = np.tile([False, True], len(begins))
    kept = np.ones(len(times), np.bool_)
    kept[1::2] = lasts > begins
    return times[kept], tails[kept]


def constant(name: str, start: int, end: int) -> Table:
    """A series of the target that is 1 all the time."""
    times = np.arange(start, end, LOOKBACK_SECONDS)
    labels = tuple(sorted({"__name__": name, **TARGET}.items()))
    return Table([labels], times, np.ones((1, len(times))), np.zeros(len(times), np.bool_))


def same(left: Floats, right: Floats) -> bool:
    """Whether two tables of values are the same, ends included."""
    return left.shape == right.shape and bool(
        np.array_equal(absent(left), absent(right))
        and np.array_equal(left[~absent(left)], right[~absent(right)], equal_nan=True)
    )
