"""What is monitored: one model of the config, its features and its settings.

Knows keys, defaults and what does not go together; never a file, a clock or a score.
"""

import re
from fnmatch import fnmatchcase
from itertools import pairwise
from math import isfinite
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PositiveInt, field_validator, model_validator

from drift_exporter.config.basics import (
    AnyDuration,
    Duration,
    Model,
    ModelName,
    Moment,
    Names,
    PositiveDuration,
    as_mapping,
    wrong,
)
from drift_exporter.config.calibration import Calibration, MinEffect
from drift_exporter.config.sources import Current, Reference
from drift_exporter.config.thresholds import (
    CALIBRATED,
    CAN_BE_CALIBRATED,
    DEFAULT_THRESHOLDS,
    Threshold,
    Thresholds,
)


class FeatureConfig(Model):
    """What differs for one column."""

    type: Literal["numeric", "categorical"] | None = None
    """Kind of the column; by default inferred from the reference (`profile show` tells why)."""

    bins: Annotated[int, Field(ge=2, le=100)] = 12
    """Bins of a numeric column: the 1 % tails and equal shares between them."""

    binning: Literal["quantile", "uniform"] | tuple[float, ...] = "quantile"
    """`quantile` or `uniform` bins of the reference, or a list of the inner edges."""

    categories: Annotated[int, Field(ge=1, le=500)] = 30
    """Commonest categories of the reference that get a bin; the rest are `other`."""

    thresholds: Thresholds = Field(default_factory=dict)
    """Thresholds that differ from the model's; what is given for a statistic replaces the
    model's whole, `null` takes it away, `calibrated` has it follow from the past."""

    min_effect: MinEffect | None = None
    """PSI above the noise from which a drift of this column is worth a warning, where thresholds
    are calibrated; by default as `calibration` says, for two bins 0.02 at most."""

    importance: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """Weight of the column where features are ranked."""

    expose_bins: bool | None = Field(default=None, strict=True)
    """Whether the column's bins are series too; by default as the model says."""

    @field_validator("binning", mode="before")
    @classmethod
    def _rising(cls, value: object) -> object:
        if isinstance(value, str) and value in ("quantile", "uniform"):
            return value
        edges = list(value) if isinstance(value, list | tuple) else []
        numbers = all(type(edge) in (int, float) and isfinite(edge) for edge in edges)
        if not edges or not numbers or any(b <= a for a, b in pairwise(edges)):
            raise ValueError(
                f"found {value!r}, expected quantile, uniform or a list of inner edges, "
                "numbers that rise strictly"
            )
        if len(edges) > 99:
            raise ValueError(f"found {len(edges)} edges, expected at most 99 inner edges")
        return value


# Made once: a model of 10 000 columns asks for it 200 000 times in its first run.
_DEFAULTS = FeatureConfig()


class Features(Model):
    """Which columns are features, and what differs for some."""

    include: Names = ("*",)
    """Globs of the columns that are features."""

    exclude: Names = ()
    """Globs of the columns that are not; stronger than `include`."""

    overrides: dict[str, FeatureConfig] = Field(default_factory=dict)
    """Settings of single columns, predictions among them, by name."""

    def chosen(self, column: str) -> bool:
        """Whether the globs make the column a feature."""
        return any(fnmatchcase(column, glob) for glob in self.include) and not any(
            fnmatchcase(column, glob) for glob in self.exclude
        )

    def named(self, column: str) -> bool:
        """Whether the config names the column itself, not only by a glob."""
        return column in self.overrides or column in self.include

    def settings(self, column: str) -> FeatureConfig:
        """The settings of a column, defaults where nothing differs."""
        return self.overrides.get(column, _DEFAULTS)


def _as_reference(value: object) -> object:
    return {"kind": value} if value in ("rolling", "seasonal") else as_mapping(value)


class ModelConfig(Model):
    """One model that is monitored."""

    name: ModelName
    """Name of the model; the label `model`."""

    version: str = ""
    """Version that is deployed. Another one than before is a promotion: it is audited, linked to
    the open drift incident, and quiet for `response.quiet_after_promotion`."""

    owner: str = ""
    """Person who answers for the model; a label of its alerts."""

    team: str = ""
    """Team that is told; a label of its alerts, to route by."""

    tier: Literal["low", "medium", "high"] = "medium"
    """What a wrong prediction costs; decides who is paged, and how fast (docs/alerting.md)."""

    trained: Moment | None = None
    """When the deployed version was trained."""

    retrain_every: PositiveDuration | None = None
    """How often the model is meant to be retrained; needs `trained`."""

    reference: Annotated[
        Reference, BeforeValidator(_as_reference, json_schema_input_type=Reference | str)
    ]
    """The data to compare with; a plain string is its `url`, or `rolling` or `seasonal`: then
    the bins too come from the inference data."""

    current: Annotated[Current, BeforeValidator(as_mapping, json_schema_input_type=Current | str)]
    """The inference data; a plain string is its `url`."""

    profile: str | None = None
    """File of the profile; by default `profiles/<name>.json` in `data_dir`."""

    interval: PositiveDuration = Duration(300, "5m")
    """Time between runs."""

    cron: str | None = None
    """Five-field cron expression in UTC (minute, hour, day, month, weekday), instead of
    `interval`. Name `stale_after` too: its default follows `interval`."""

    timeout: PositiveDuration | None = None
    """Longest time that a run may take; by default the interval, at least one minute."""

    slice: PositiveDuration = Duration(300, "5m")
    """Span of event time that is counted at once; whole seconds that divide a day."""

    windows: Annotated[tuple[PositiveDuration, ...], Field(min_length=1)] = (
        Duration(3600, "1h"),
        Duration(86400, "24h"),
    )
    """Spans that are judged, multiples of `slice`; they end at the newest complete slice."""

    features: Features = Features()
    """Which columns are features."""

    prediction: Names = ()
    """Columns of the model's output; judged like features, in metrics of their own."""

    label: str | None = None
    """Column of the true outcome; never a feature."""

    segments: Names = ()
    """Columns whose values split the rows (region, age band); each is judged by itself."""

    max_segments: Annotated[int, Field(ge=1, le=200)] = 20
    """Commonest values of a segment column that are judged; the rest are `(other)`."""

    sample: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the current rows that is counted, chosen by their event time (the same rows
    on every source and in every run)."""

    min_rows: PositiveInt = 100
    """Fewest rows of a window with which a feature is judged."""

    expose_bins: bool = Field(default=False, strict=True)
    """Whether the rows per bin of every column are series too, for the pictures of distributions
    in Grafana: some 14 per window and 28 for the reference. Under `max_series` they go first."""

    stale_after: PositiveDuration | None = None
    """How long scores stay after the last successful run; by default three intervals."""

    backfill: AnyDuration | None = None
    """How far back a first run reads; by default the longest window."""

    thresholds: Thresholds = Field(default_factory=dict)
    """Thresholds by statistic, over the defaults: PSI 0.1 and 0.25, missing +0.1, unseen and
    out of range +0.05. What is given for a statistic replaces its default whole; `null` takes
    it away. `calibrated`, for all or for one of these four, has it follow from the model's own
    past and from the rows of each window, see `calibration`."""

    calibration: Calibration = Calibration()
    """The promise that calibrated thresholds keep."""

    @field_validator("slice")
    @classmethod
    def _whole_slices(cls, value: Duration) -> Duration:
        if value.seconds != int(value.seconds) or 86400 % int(value.seconds):
            raise ValueError(f"found {value.text!r}, expected whole seconds that divide a day")
        return value

    @field_validator("cron")
    @classmethod
    def _five_fields(cls, value: str | None) -> str | None:
        fields = value.split() if value is not None else ["*"] * 5
        if len(fields) != 5 or not all(re.fullmatch(r"[A-Za-z0-9*/,-]+", f) for f in fields):
            raise ValueError(
                f"found {value!r}, expected five fields (minute, hour, day, month, weekday) "
                "such as '15 2 * * mon-fri'"
            )
        return value

    @model_validator(mode="after")
    def _trained_is_known(self) -> Self:
        if self.retrain_every is not None and self.trained is None:
            raise wrong(
                "trained beside it, the date of the deployed version",
                self.retrain_every.text,
                "retrain_every",
            )
        return self

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.cron is not None and "interval" in self.model_fields_set:
            raise wrong("cron or interval, not both", self.cron, "cron")
        for index, window in enumerate(self.windows):
            if window.seconds % self.slice.seconds:
                raise wrong(
                    "a multiple of slice",
                    window.text,
                    "windows",
                    index,
                    beside="slice",
                    value=self.slice.text,
                )
            if any(window.seconds == other.seconds for other in self.windows[:index]):
                raise wrong("each window once", window.text, "windows", index)
        if self.label is not None and self.label in self.prediction:
            raise wrong("a column that is not a prediction", self.label, "label")
        return self

    @property
    def slice_seconds(self) -> int:
        """Width of a slice in seconds."""
        return int(self.slice.seconds)

    @property
    def longest_window(self) -> Duration:
        """The longest of the windows."""
        return max(self.windows)

    @property
    def timeout_seconds(self) -> float:
        """Longest time that a run may take."""
        return self.timeout.seconds if self.timeout else max(self.interval.seconds, 60.0)

    @property
    def backfill_seconds(self) -> float:
        """How far back a first run reads, never less than the longest window."""
        longest = self.longest_window.seconds
        return max(self.backfill.seconds, longest) if self.backfill else longest

    @property
    def history_seconds(self) -> float:
        """How much of the past is counted and kept: what windows, reference and calibration
        look back on."""
        needed = [self.backfill_seconds]
        if self.reference.kind != "data":
            # The reference begins at midnight, and a window may begin a day before it.
            around = self.reference.gap.seconds + 86400 + self.longest_window.seconds
            needed.append(self.reference.span.seconds + around)
        if self.calibrates:
            needed.append(self.calibration.history.seconds + self.longest_window.seconds)
        return max(needed)

    @property
    def calibrates(self) -> bool:
        """Whether any threshold is calibrated."""
        columns = ("", *self.features.overrides)
        return any(self.calibrated(c, s) for c in columns for s in CAN_BE_CALIBRATED)

    def is_segment(self, column: str) -> bool:
        """Whether a column that splits the rows is shown: rows are split by the label too, to
        tell a change of what inputs mean, but its values are no segments."""
        return column != self.label or column in self.segments

    def exposes_bins(self, column: str) -> bool:
        """Whether the bins of a column are exposed."""
        own = self.features.settings(column).expose_bins
        return self.expose_bins if own is None else own

    def threshold(self, column: str, statistic: str, severity: str) -> float | None:
        """The configured threshold of a column, or none."""
        found = self._threshold(column, statistic)
        value = getattr(found, severity) if isinstance(found, Threshold) else None
        return None if value is None else float(value)

    def calibrated(self, column: str, statistic: str) -> bool:
        """Whether a column's threshold follows from the past."""
        return bool(self._threshold(column, statistic) == CALIBRATED)

    def min_effect(self, column: str) -> float:
        """PSI above the noise from which a drift of the column is worth a warning."""
        own = self.features.settings(column).min_effect
        return self.calibration.min_effect if own is None else own

    def _threshold(self, column: str, statistic: str) -> Any:
        merged: dict[Any, Any] = {
            **DEFAULT_THRESHOLDS,
            **self.thresholds,
            **self.features.settings(column).thresholds,
        }
        return merged.get(statistic)
