"""Pictures of a report as the coordinates of SVG.

Pure: facts in, geometry out. Knows no colour and no page.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from drift_exporter.reporting.evidence import BinSeen, FeatureSeen
from drift_exporter.reporting.facts import CaseFacts, MonitoringFacts, Series
from drift_exporter.reporting.words import number, percent, utc

WIDTH = 720
"""Width of every picture."""

LEFT = 150
"""Room for names on the left of bars and strips."""

HEIGHT = 120
"""Height of a curve."""

LEAST_WIDTH = 2.0
"""Width of the narrowest mark: an incident of a minute must be seen in a year."""

DRAWN_COLUMNS = 3
SHOWN_NAME = 24
"""Letters of a name that have room."""


@dataclass(frozen=True)
class Mark:
    """A moment in a curve."""

    x: float
    text: str
    anchor: str
    """On which side of it the text stands, in the words of SVG."""


@dataclass(frozen=True)
class Curve:
    """PSI of a column over time."""

    column: str
    window: str
    path: str
    limit: float | None
    limit_y: float | None
    limit_text: str
    top: float
    start: str
    end: str
    marks: tuple[Mark, ...]
    text: str
    """What the picture shows, for who cannot see it."""


@dataclass(frozen=True)
class Bar:
    """One bin: share in the reference and in the window."""

    y: int
    name: str
    reference: float
    current: float
    text: str


@dataclass(frozen=True)
class Bars:
    """The bins of a column that contribute most."""

    column: str
    bars: tuple[Bar, ...]
    height: int
    text: str


@dataclass(frozen=True)
class Piece:
    """A span on a strip."""

    x: float
    width: float
    kind: str
    """A severity, ``gap``, or ``unknown``."""

    text: str


@dataclass(frozen=True)
class Strip:
    """One model over the report's span."""

    y: int
    model: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Strips:
    """All models over the report's span."""

    strips: tuple[Strip, ...]
    height: int
    start: str
    end: str
    text: str


def curve(series: Series, marks: Sequence[tuple[float, str]]) -> Curve | None:
    """PSI over time with a line and some moments; None without values."""
    known = [(at, value) for at, value in series.points if value is not None]
    if not known:
        return None
    start, end = series.points[0][0], series.points[-1][0]
    highest_at, highest = max(known, key=lambda point: point[1])
    top = 1.15 * max(highest, series.limit or 0.0) or 1.0
    scale = WIDTH / max(end - start, 1)

    def height(value: float) -> float:
        return round(HEIGHT * (1 - value / top), 1)

    pieces, pen = [], "M"
    for at, value in series.points:
        if value is None:
            pen = "M"
            continue
        # A point of no length is drawn by the line's round ends.
        pieces.append(f"{pen}{(at - start) * scale:.1f},{height(value)}" + "h0" * (pen == "M"))
        pen = "L"
    return Curve(
        column=series.column,
        window=series.window,
        path="".join(pieces),
        limit=series.limit,
        limit_y=None if series.limit is None else height(series.limit),
        limit_text=series.limit_text,
        top=top,
        start=utc(start),
        end=utc(end),
        marks=tuple(
            Mark(round((at - start) * scale, 1), text, _anchor((at - start) * scale))
            for at, text in marks
            if start <= at <= end
        ),
        text=f"PSI of {series.column} from {utc(start)} to {utc(end)}, at most {number(highest)} "
        f"at {utc(highest_at)}",
    )


def bars(features: Sequence[FeatureSeen]) -> tuple[Bars, ...]:
    """The bins of the leading columns, as the analysis keeps them."""
    leading = [feature for feature in features if feature.told and feature.bins]
    return tuple(_bars(feature.feature, feature.bins) for feature in leading[:DRAWN_COLUMNS])


def _bars(column: str, bins: Sequence[BinSeen]) -> Bars:
    shares = [share for one in bins for share in (one.reference_share, one.current_share)]
    most = max((share for share in shares if share is not None), default=0.0) or 1.0
    room = WIDTH - LEFT - 60
    return Bars(
        column,
        tuple(
            Bar(
                30 * i,
                _short(found.interval),
                # What is unknown has no bar, and says so in words.
                round(room * (found.reference_share or 0.0) / most, 1),
                round(room * (found.current_share or 0.0) / most, 1),
                f"{found.interval}: {percent(found.reference_share)} in the reference, "
                f"{percent(found.current_share)} in the window",
            )
            for i, found in enumerate(bins)
        ),
        30 * len(bins),
        f"Shares of rows in bins of {column}",
    )


def strips(
    since: float, until: float, cases: Sequence[CaseFacts], monitoring: Sequence[MonitoringFacts]
) -> Strips | None:
    """Incidents and gaps of each model over the span; None without models."""
    names = list(dict.fromkeys([found.model for found in monitoring]))
    names += [case.model for case in cases if case.model not in names]
    names = list(dict.fromkeys(names))
    if not names:
        return None
    scale = (WIDTH - LEFT) / (until - since)

    def piece(start: float, end: float, kind: str, text: str) -> Piece:
        first, last = max(start, since), min(end, until)
        x = round(LEFT + (first - since) * scale, 1)
        width = round(max((last - first) * scale, LEAST_WIDTH), 1)
        return Piece(min(x, WIDTH - width), width, kind, text)

    pieces: dict[str, list[Piece]] = {name: [] for name in names}
    for found in monitoring:
        if found.recorded_from is None or found.recorded_from > since:
            end = until if found.recorded_from is None else found.recorded_from
            pieces[found.model].append(piece(since, end, "unknown", "no run is recorded"))
        for gap in found.gaps:
            text = f"no successful run from {utc(gap.start)} to {utc(gap.end)}"
            pieces[found.model].append(piece(gap.start, gap.end, "gap", text))
    for case in cases:
        end = case.resolved if case.resolved is not None else until
        text = f"incident {case.id}, {case.severity}, from {utc(case.opened)}: {case.headline}"
        pieces[case.model].append(piece(case.opened, end, case.severity, text))
    return Strips(
        strips=tuple(
            Strip(26 * i, _short(name), tuple(found))
            for i, (name, found) in enumerate(pieces.items())
        ),
        height=26 * len(names) + 20,
        start=utc(since),
        end=utc(until),
        text=f"Incidents and gaps of {len(names)} model(s) from {utc(since)} to {utc(until)}",
    )


def _anchor(x: float) -> str:
    return "start" if x < 40 else "end" if x > WIDTH - 40 else "middle"


def _short(name: str) -> str:
    return name if len(name) <= SHOWN_NAME else name[: SHOWN_NAME - 1] + "…"
