"""Looking back: slices of the past that were never counted, and every window of a past span.

Knows job, source and store; never a metric, a rule or a schedule. What it judges is what the
runs of that time would have judged with today's profile and thresholds.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

from drift_exporter.checking.check import empty_snapshot
from drift_exporter.checking.job import Job
from drift_exporter.checking.judging import WindowCounts, judge_window
from drift_exporter.counts import SliceKey, Vector
from drift_exporter.reading.source import Progress, Span, Stop
from drift_exporter.snapshot import Run, Snapshot

PIECE_SECONDS = 7 * 86_400
"""How much of the past is counted at once: what a stop or a failure throws away. A file that holds
months is read once for each piece."""


def fill(
    job: Job,
    start: int,
    end: int,
    now: float,
    stop: Stop = lambda: False,
    progress: Progress = lambda _: None,
    piece_seconds: int = PIECE_SECONDS,
) -> int:
    """Count what the store lacks of ``[start, end)``, a piece at a time; the rows that were read.

    What was counted without a gap stays: the pieces before it are counted backwards, so that at
    any time the store holds one span without a gap.

    Raises
    ------
    DriftExporterError
        If the source cannot be read or the store not be written; what was counted is kept.
    """
    width = job.model.slice_seconds
    start, end = start // width * width, end // width * width
    rows, done, wanted = 0, 0, _lacking(job, start, end)
    left = missing(job, start, end)
    while left is not None:
        span = _piece(job, left, piece_seconds)
        counted = job.source.count(job.profile, span, width, now, stop)
        known = job.store.counted_to(job.model.name, job.profile.bins_hash, width)
        job.store.replace_slices(
            job.model.name,
            job.profile.bins_hash,
            width,
            span,
            counted.slices,
            counted_to=max(span.end, known or span.end),
        )
        rows += counted.rows_read
        done += span.end - span.start
        left = missing(job, start, end)
        progress(min(done / wanted, 1.0))
    if done:
        job.baselines.forget()
    progress(1.0)
    return rows


def missing(job: Job, start: int, end: int) -> Span | None:
    """What of a span was not counted: before what was, or else after it; None: nothing."""
    known = job.store.counted(job.model.name, job.profile.bins_hash, job.model.slice_seconds)
    if known is None:
        return Span(start, end) if start < end else None
    if start < known[0]:
        return Span(start, known[0])
    return Span(known[1], end) if known[1] < end else None


def _at_pace(blank: Snapshot, step_seconds: int) -> Snapshot:
    """The snapshot of a model that runs no oftener than it is judged, so that its scores last."""
    if step_seconds <= blank.interval_seconds:
        return blank
    stale = max(blank.stale_after_seconds, 3.0 * step_seconds)
    return replace(blank, interval_seconds=float(step_seconds), stale_after_seconds=stale)


def _lacking(job: Job, start: int, end: int) -> int:
    known = job.store.counted(job.model.name, job.profile.bins_hash, job.model.slice_seconds)
    if known is None:
        return max(end - start, 1)
    return max(max(known[0] - start, 0) + max(end - known[1], 0), 1)


def _piece(job: Job, left: Span, seconds: int) -> Span:
    known = job.store.counted(job.model.name, job.profile.bins_hash, job.model.slice_seconds)
    if known is not None and left.end == known[0]:
        return Span(max(left.start, left.end - seconds), left.end)
    return Span(left.start, min(left.end, left.start + seconds))


def judged(
    job: Job,
    start: int,
    end: int,
    step_seconds: int,
    on_day: Callable[[int], None] = lambda _: None,
) -> Iterator[tuple[int, Snapshot]]:
    """Every run of ``(start, end]`` with its windows, the oldest first, from stored slices.

    Parameters
    ----------
    job
        The model; its slices from ``start`` less the longest window on are in the store.
    start, end
        In seconds since the epoch, on slices.
    step_seconds
        From run to run; whole slices.
    on_day
        Told the time whenever another day begins.

    Yields
    ------
    tuple
        When the windows ended, and the snapshot.
    """
    blank = _at_pace(empty_snapshot(job), step_seconds)
    lengths = [(window.text, int(window.seconds)) for window in job.model.windows]
    longest = max(seconds for _, seconds in lengths)
    which = (job.model.name, job.profile.bins_hash, job.model.slice_seconds)
    coming = job.store.read_slices(*which, start - longest, end)
    held: deque[tuple[SliceKey, Vector]] = deque()
    windows = {text: WindowCounts() for text, _ in lengths}
    gone = dict.fromkeys(windows, 0)
    """Slices of `held` that a window has left already, counted from its left end."""
    following = next(coming, None)
    day = -1
    for at in range(start + step_seconds, end + 1, step_seconds):
        if at // 86_400 != day:
            day = at // 86_400
            on_day(at)
        while following is not None and following[0].start < at:
            held.append(following)
            for counts in windows.values():
                counts.add(job, *following)
            following = next(coming, None)
        results = []
        for text, seconds in lengths:
            position = gone[text]
            while position < len(held) and held[position][0].start < at - seconds:
                windows[text].add(job, *held[position], times=-1)
                position += 1
            gone[text] = position
            results.append(judge_window(job, text, at - seconds, at, windows[text]))
        for _ in range(min(gone.values())):
            held.popleft()
        settled = min(gone.values())
        gone = {text: position - settled for text, position in gone.items()}
        run = Run(float(at), float(at), success=True, window_end=at)
        yield at, replace(blank, windows=tuple(results), last_run=run, last_success=float(at))
