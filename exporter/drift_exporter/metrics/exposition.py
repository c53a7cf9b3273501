"""What a scrape gets: scores rendered once per run, our own health per scrape.

Lines of a model are rendered when its snapshot is replaced; a scrape joins cached bytes and
renders a few dozen series of its own. Text 0.0.4 and OpenMetrics 1.0.0 share the lines of
gauges, so both come from the same cache.
"""

import gzip
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from drift_exporter.metrics.families import FAMILIES, MODEL_FAMILIES, Family
from drift_exporter.snapshot import Snapshot

END_OF_OPENMETRICS = b"# EOF\n"
GZIP_LEVEL = 1


@dataclass(frozen=True)
class _Lines:
    """The rendered sample lines of one model, by family, with the number of series."""

    snapshot: Snapshot
    stale: bool
    lines: Mapping[str, tuple[bytes, int]]


@dataclass(frozen=True)
class _Body:
    """The cached part of a scrape."""

    plain: bytes
    zipped: bytes


def no_health() -> CollectorRegistry:
    """A registry without metrics, where there is no server to tell of."""
    return CollectorRegistry()


class Exposition:
    """Bytes for scrapes, from the newest snapshots and our own health."""

    def __init__(self, health: CollectorRegistry, max_series: int) -> None:
        self._health = health
        self._max_series = max_series
        self._rendering = threading.Lock()
        self._models: dict[str, _Lines] = {}
        self._body = _Body(b"", gzip.compress(b"", GZIP_LEVEL))
        self.series = 0
        """Series of the cached part."""
        self.series_dropped = 0
        """Series withheld by the limit."""

    def limit(self, max_series: int) -> None:
        """Set the most series that scores may have."""
        with self._rendering:
            self._max_series = max_series
            self._assemble()

    def update(self, snapshots: Sequence[Snapshot], now: float, *, wait: bool = True) -> None:
        """Render what changed: new snapshots, models that are gone, scores gone stale.

        Without ``wait`` nothing is done while another thread renders.
        """
        if self._unchanged(snapshots, now) or not self._rendering.acquire(blocking=wait):
            return
        try:
            self._models = {s.model: self._lines_of(s, s.stale(now)) for s in snapshots}
            self._assemble()
        finally:
            self._rendering.release()

    def scrape(self, *, openmetrics: bool, zipped: bool, model: str | None = None) -> bytes:
        """The body of a scrape, of all models or of one."""
        health = self._own_health(openmetrics=openmetrics)
        if model is not None:
            lines = self._models.get(model)
            cached, _, _ = _join([lines] if lines else [], self._max_series)
            body = cached + health
            return gzip.compress(body, GZIP_LEVEL) if zipped else body
        # A gzip file may be a series of members: the cached one needs no second compression.
        cache = self._body
        return cache.zipped + gzip.compress(health, GZIP_LEVEL) if zipped else cache.plain + health

    def _own_health(self, *, openmetrics: bool) -> bytes:
        if openmetrics:
            return bytes(generate_openmetrics(self._health))  # type: ignore[no-untyped-call]
        return bytes(generate_latest(self._health))

    def _unchanged(self, snapshots: Sequence[Snapshot], now: float) -> bool:
        models = self._models
        return len(models) == len(snapshots) and all(
            (known := models.get(s.model)) is not None
            and known.snapshot is s
            and known.stale == s.stale(now)
            for s in snapshots
        )

    def _lines_of(self, snapshot: Snapshot, stale: bool) -> _Lines:
        known = self._models.get(snapshot.model)
        if known is not None and known.snapshot is snapshot and known.stale == stale:
            return known
        return _render(snapshot, stale)

    def _assemble(self) -> None:
        plain, self.series, self.series_dropped = _join(self._models.values(), self._max_series)
        self._body = _Body(plain, gzip.compress(plain, GZIP_LEVEL))


def _render(snapshot: Snapshot, stale: bool) -> _Lines:
    lines = {}
    shown = snapshot.expired() if stale else snapshot
    for family in FAMILIES:
        if family.score and stale:
            continue
        found = list(family.fill(shown))
        if found:
            metric = _metric(family)
            for labels, value in found:
                metric.add_metric(labels, value)
            rendered = bytes(generate_latest(_One(metric)))
            lines[family.name] = (rendered.split(b"\n", 2)[2], len(found))
    return _Lines(snapshot, stale, lines)


def _join(models: Iterable[_Lines], max_series: int) -> tuple[bytes, int, int]:
    """The families of all models, most important first, as far as the limit goes.

    A family is shown for all models or for none, so that a dashboard is never half true; the
    number of series and of those withheld come with it.
    """
    always = {family.name for family in MODEL_FAMILIES}
    models = list(models)
    parts: list[bytes] = []
    series = dropped = 0
    for family in FAMILIES:
        found = [m.lines[family.name] for m in models if family.name in m.lines]
        size = sum(count for _, count in found)
        if not size:
            continue
        if family.name not in always and series + size > max_series:
            dropped += size
            continue
        series += size
        parts.append(_header(family))
        parts.extend(text for text, _ in found)
    return b"".join(parts), series, dropped


def _header(family: Family) -> bytes:
    return f"# HELP {family.name} {family.help}\n# TYPE {family.name} gauge\n".encode()


def _metric(family: Family) -> GaugeMetricFamily:
    return GaugeMetricFamily(family.name, family.help, labels=family.labels)


class _One(CollectorRegistry):
    """A registry of one metric: the client's own renderer makes the lines."""

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        """The metric."""
        return [self._metric]
