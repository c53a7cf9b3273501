"""Our own health: counters of runs, the exporter's build, config and store.

Counters start at 0 for every model of the config and are gone when the model is.
"""

import platform

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from drift_exporter import errors

FAILURE_REASONS = tuple(
    sorted(
        {
            found.reason
            for found in vars(errors).values()
            if isinstance(found, type) and issubclass(found, errors.DriftExporterError)
        }
        - {"config", "web", "stopped", "demo", "incident", "replay"}
    )
)
"""Values of the label ``reason`` of failed runs."""

SKIP_REASONS = ("overlap", "misfire")
"""Values of the label ``reason`` of runs that did not start."""

REJECT_REASONS = ("timestamp", "parse", "future")
"""Values of the label ``reason`` of refused rows."""


class Health:
    """Counters and gauges of the exporter itself."""

    def __init__(self, version: str, revision: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        registry = self.registry
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        model = ("model",)
        self.runs = Counter("modeldrift_runs", "Runs started.", model, registry=registry)
        self.failures = Counter(
            "modeldrift_run_failures",
            "Runs that failed, by reason.",
            ("model", "reason"),
            registry=registry,
        )
        self.skipped = Counter(
            "modeldrift_runs_skipped",
            "Runs that were due and did not start, by reason.",
            ("model", "reason"),
            registry=registry,
        )
        self.rows_read = Counter(
            "modeldrift_rows_read", "Rows read from the source.", model, registry=registry
        )
        self.rows_rejected = Counter(
            "modeldrift_rows_rejected",
            "Rows refused among those read, by reason.",
            ("model", "reason"),
            registry=registry,
        )
        self.calibrations = Counter(
            "modeldrift_calibrations",
            "Times that thresholds were calibrated anew.",
            model,
            registry=registry,
        )
        self.calibration_failures = Counter(
            "modeldrift_calibration_failures",
            "Times that the past could not be counted or calibrated.",
            model,
            registry=registry,
        )
        self.config_reload_successful = Gauge(
            "modeldrift_exporter_config_last_reload_successful",
            "1 if the last load of the config file succeeded.",
            registry=registry,
        )
        self.config_reload_timestamp = Gauge(
            "modeldrift_exporter_config_last_reload_success_timestamp_seconds",
            "When the config file was last loaded successfully.",
            registry=registry,
        )
        self.config_hash = Gauge(
            "modeldrift_exporter_config_hash",
            "Hash of the running config, 48 bits of it.",
            registry=registry,
        )
        self.store_writable = Gauge(
            "modeldrift_exporter_store_writable",
            "1 if the last write to the store succeeded.",
            registry=registry,
        )
        self.store_recreated = Gauge(
            "modeldrift_exporter_store_recreated",
            "1 if the store was found corrupt at start, was moved aside and made anew.",
            registry=registry,
        )
        self.series = Gauge(
            "modeldrift_exporter_series", "Series of scores that are exposed.", registry=registry
        )
        self.series_limit = Gauge(
            "modeldrift_exporter_series_limit", "Most series of scores.", registry=registry
        )
        self.series_dropped = Gauge(
            "modeldrift_exporter_series_dropped",
            "Series of scores withheld by the limit.",
            registry=registry,
        )
        self.render_errors = Counter(
            "modeldrift_exporter_render_errors",
            "Scrapes that were answered with the last good scores.",
            registry=registry,
        )
        Gauge(
            "modeldrift_exporter_build_info",
            "Version of the exporter; always 1.",
            ("version", "revision", "pythonversion"),
            registry=registry,
        ).labels(version, revision, platform.python_version()).set(1)
        self.store_writable.set(1)
        self.store_recreated.set(0)

    def add_model(self, model: str) -> None:
        """Start the counters of a model at 0."""
        for plain in self._plain():
            plain.labels(model)
        for counter, reasons in self._by_reason():
            for reason in reasons:
                counter.labels(model, reason)

    def remove_model(self, model: str) -> None:
        """Let the counters of a model end."""
        for plain in self._plain():
            plain.remove(model)
        for counter, reasons in self._by_reason():
            for reason in reasons:
                counter.remove(model, reason)

    def _plain(self) -> tuple[Counter, ...]:
        return (self.runs, self.rows_read, self.calibrations, self.calibration_failures)

    def _by_reason(self) -> tuple[tuple[Counter, tuple[str, ...]], ...]:
        return (
            (self.failures, FAILURE_REASONS),
            (self.skipped, SKIP_REASONS),
            (self.rows_rejected, REJECT_REASONS),
        )
