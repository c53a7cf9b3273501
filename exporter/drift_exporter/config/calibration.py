"""The promise behind calibrated thresholds: how many false alarms, from which effect on.

Knows keys and defaults; no law, no history.
"""

from typing import Annotated, Self

from pydantic import Field, model_validator

from drift_exporter.config.basics import (
    Duration,
    Model,
    Moment,
    PositiveDuration,
    moment,
    parse_moment,
    wrong,
)

MinEffect = Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]
"""PSI above the noise that is worth an alert."""


class Excluded(Model):
    """A span of the past that is not usual: a known incident."""

    start: Moment
    """Begin, in event time."""

    end: Moment
    """End, in event time."""

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if parse_moment(self.end) <= parse_moment(self.start):
            raise wrong("a time after start", self.end, "end", beside="start", value=self.start)
        return self


class Calibration(Model):
    """How thresholds follow from the model's own past, where they are `calibrated`."""

    budget: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = 1.0
    """False alarms in 90 days, of all columns, windows and segments of the model together."""

    min_effect: MinEffect = 0.05
    """PSI above the sampling noise from which a drift is worth a warning; five times as much is
    critical. 0 leaves the noise as the only limit."""

    history: PositiveDuration = Duration(28 * 86400, "28d")
    """How much of the past is looked at: at least 14 days for more than an analytic guess."""

    every: PositiveDuration = Duration(7 * 86400, "7d")
    """How often thresholds are calibrated anew; while a column or segment drifts in all windows
    the calibration that found the drift stays."""

    exclude: tuple[Excluded, ...] = ()
    """Spans of the past that are left out, of a rolling or seasonal reference too: known
    incidents."""

    file: str | None = None
    """A calibration that was written by `drift-exporter calibrate` and reviewed. It is used as it
    is, never made anew."""

    @property
    def excluded(self) -> tuple[tuple[int, int], ...]:
        """Begin and end of what is left out, in seconds since the epoch."""
        return tuple(
            (int(moment(one.start) or 0), int(moment(one.end) or 0)) for one in self.exclude
        )
