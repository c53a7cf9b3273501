"""What a scrape gets: scores rendered once per run, our own health per scrape.

Lines of a model are rendered when its snapshot is replaced; a scrape joins cached bytes and
renders a few dozen series of its own. Text 0.0.4 and OpenMetrics 1.0.0 share the lines of
gauges, so both come from the same cache.
"""

import gzip
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from drift_exporter.metrics.families import CORE_FAMILIES, FAMILIES, MODEL_FAMILIES, Family
from drift_exporter.snapshot import Snapshot

GZIP_LEVEL = 1


class _Lines:
    """One model's series: counted by family at once, rendered when they are to be shown."""

    def __init__(self, snapshot: Snapshot, stale: bool) -> None:
        self.snapshot = snapshot
        self.stale = stale
        self._rendered: dict[str, bytes] = {}
        self.show(len(snapshot.features))

    def show(self, columns: int) -> None:
        """Show at most so many columns, predictions and the highest scores first."""
        snapshot = self.snapshot.expired() if self.stale else self.snapshot
        self._shown = snapshot.narrowed(columns)
        self._rendered.clear()
        self.columns = len(self._shown.features)
        self.counts = {
            family.name: sum(1 for _ in family.fill(self._shown))
            for family in FAMILIES
            if not (family.score and self.stale)
        }

    def text(self, family: Family) -> bytes:
        """The sample lines of a family."""
        if family.name not in self._rendered:
            metric = GaugeMetricFamily(family.name, family.help, labels=family.labels)
            for labels, value in family.fill(self._shown):
                metric.add_metric(labels, value)
            rendered = bytes(generate_latest(_One(metric)))
            self._rendered[family.name] = rendered.split(b"\n", 2)[2]
        return self._rendered[family.name]


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
            cached, _ = _join([lines] if lines else [], self._max_series)
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
        return _Lines(snapshot, stale)

    def _assemble(self) -> None:
        models = tuple(self._models.values())
        for lines in models:
            if lines.columns < len(lines.snapshot.features):
                lines.show(len(lines.snapshot.features))
        everything = sum(sum(lines.counts.values()) for lines in models)
        _narrow(models, self._max_series)
        plain, self.series = _join(models, self._max_series)
        self.series_dropped = everything - self.series
        self._body = _Body(plain, gzip.compress(plain, GZIP_LEVEL))


def _narrow(models: Sequence[_Lines], max_series: int) -> None:
    """Where not even the core families fit, let every model show a part of its columns."""
    core = sum(lines.counts.get(name, 0) for lines in models for name in CORE_FAMILIES)
    if core > max_series:
        for lines in models:
            lines.show(max(1, lines.columns * max_series // core))


def _join(models: Sequence[_Lines], max_series: int) -> tuple[bytes, int]:
    """The families of all models, most important first, as far as the limit goes.

    A family is shown for all models or for none, so that a dashboard is never half true. The
    number of series comes with it.
    """
    always = {family.name for family in MODEL_FAMILIES}
    parts: list[bytes] = []
    series = limited = 0
    for family in FAMILIES:
        found = [lines for lines in models if lines.counts.get(family.name)]
        size = sum(lines.counts[family.name] for lines in found)
        if not size:
            continue
        if family.name not in always:
            if limited + size > max_series:
                continue
            limited += size
        series += size
        parts.append(_header(family))
        parts.extend(lines.text(family) for lines in found)
    return b"".join(parts), series


def _header(family: Family) -> bytes:
    return f"# HELP {family.name} {family.help}\n# TYPE {family.name} gauge\n".encode()


class _One(CollectorRegistry):
    """A registry of one metric: the client's own renderer makes the lines."""

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        """The metric."""
        return [self._metric]
