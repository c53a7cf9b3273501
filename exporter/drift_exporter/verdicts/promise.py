"""The calibration of a model: one per window, of columns and of segments, and what they promise.

Pure: knows how it is written down and which series it is made of; neither store nor clock.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from drift_exporter.config import CAN_BE_CALIBRATED, ModelConfig
from drift_exporter.errors import CalibrationError
from drift_exporter.profile import Profile
from drift_exporter.statistics.baselines import Kind
from drift_exporter.statistics.calibration import Calibration, Method, analytic
from drift_exporter.statistics.null_law import SMALLEST_ALPHA
from drift_exporter.statistics.pairs import StatisticsError
from drift_exporter.statistics.timeline import Rule
from drift_exporter.verdicts.limits import Natural
from drift_exporter.verdicts.verdict import Floats

FORMAT_VERSION = 1


class SeriesName(NamedTuple):
    """What one calibrated series is of."""

    statistic: str
    column: str
    segment_by: str = ""
    segment: str = ""

    def __str__(self) -> str:
        """As a calibration names it: a JSON list."""
        return json.dumps([part for part in self if part], ensure_ascii=False)


def series_name(text: str) -> SeriesName:
    """The name that ``str`` wrote."""
    return SeriesName(*json.loads(text))


class SelfTest(NamedTuple):
    """What the thresholds in force would have said of a past in which windows met each other."""

    at: float
    """Seconds since the epoch."""

    alarms_per_90_days: float
    history_days: float
    in_sample: bool
    """Whether the thresholds were calibrated on the same past."""


class Settings(NamedTuple):
    """What of the config, beside rules and columns, a calibration is made for."""

    history_seconds: float
    excluded: tuple[tuple[int, int], ...]
    reference_kind: str
    span_seconds: float
    gap_seconds: float

    @classmethod
    def of(cls, model: ModelConfig) -> Self:
        """The settings of a model."""
        reference, own = model.reference, model.calibration
        return cls(
            own.history.seconds,
            own.excluded,
            reference.kind,
            reference.span.seconds,
            reference.gap.seconds,
        )

    @property
    def seasonal(self) -> bool:
        """Whether hours of the day were compared one by one."""
        return self.reference_kind == "seasonal"


@dataclass(frozen=True)
class ModelCalibration:
    """What is known of a model without drift, and since when."""

    created: float
    """Seconds since the epoch; 0 where nothing was looked at."""

    bins_hash: str
    windows: Mapping[str, Calibration]
    """By window as the config writes it. ``alpha`` is that of the leading one: an alert asks all
    windows to agree, so its false alarms are at most those of this one."""

    segments: Mapping[str, Calibration] = field(default_factory=dict)
    """The same of segments, with an ``alpha`` of their own; empty where none are calibrated."""

    self_test: SelfTest | None = None
    settings: Settings | None = None
    """None: made by a release that did not keep them."""

    @property
    def leading_window(self) -> str:
        """The shortest window that was calibrated from history, else the shortest one whose
        variation was measured, else the shortest.

        One that never has enough rows knows no history, and no alert waits for it.
        """
        return _leading(self.windows)

    @property
    def leading(self) -> Calibration:
        """The calibration of the leading window."""
        return self.windows[self.leading_window]

    @property
    def leading_segments_window(self) -> str | None:
        """The window that leads the segments; None without segments."""
        return _leading(self.segments) if self.segments else None

    @property
    def leading_segments(self) -> Calibration | None:
        """The calibration of the segments in that window."""
        window = self.leading_segments_window
        return self.segments[window] if window else None

    @property
    def budget_per_90_days(self) -> float:
        """False alarms of the model that are promised."""
        own = self.leading_segments
        of_segments = own.rule.budget_per_90_days if own else 0.0
        return self.leading.rule.budget_per_90_days + of_segments

    def natural(self, profile: Profile, window: str) -> Natural:
        """What thresholds of a window need, in the order of the profile's columns."""
        of_window = self.windows.get(window)
        at = profile.layout.index
        omega: dict[str, Floats] = {}
        for one in of_window.series if of_window else ():
            name = series_name(one.name)
            values = omega.setdefault(name.statistic, np.zeros(len(at)))
            if name.column in at:
                values[at[name.column]] = one.omega
        segments: dict[tuple[str, str], Floats] = {}
        of_segments, leading = self.segments.get(window), self.leading_segments
        as_all_rows = omega.get("psi", np.zeros(len(at)))
        for one in of_segments.series if of_segments else ():
            name = series_name(one.name)
            # Too small to be measured in this window: all rows are the best that is known.
            if one.windows:
                split = (name.segment_by, name.segment)
                values = segments.setdefault(split, as_all_rows.copy())
                if name.column in at:
                    values[at[name.column]] = one.omega
        return Natural(self.leading.alpha, omega, leading.alpha if leading else None, segments)

    def slotted(self, profile: Profile) -> NDArray[np.bool_]:
        """Columns that are compared with the same hours of earlier days, shape ``(columns,)``.

        All of them where the past was not looked at.
        """
        slots = np.ones(len(profile.features), dtype=np.bool_)
        if any(one.windows for one in self.leading.series):
            for one in self.leading.series:
                name = series_name(one.name)
                if name.column in profile.layout.index:
                    slots[profile.layout.index[name.column]] = one.baseline is Kind.SLOTS
        return slots

    def tested(self, found: SelfTest) -> "ModelCalibration":
        """The calibration with what a self-test said of it."""
        return replace(self, self_test=found)

    def to_json(self) -> str:
        """The calibration as text, fit for a review."""
        test = self.self_test
        return (
            json.dumps(
                {
                    "format_version": FORMAT_VERSION,
                    "created": self.created,
                    "bins_hash": self.bins_hash,
                    "self_test": test._asdict() if test else None,
                    "settings": self.settings._asdict() if self.settings else None,
                    "windows": {w: json.loads(c.to_json()) for w, c in self.windows.items()},
                    "segments": {w: json.loads(c.to_json()) for w, c in self.segments.items()},
                },
                indent=1,
                ensure_ascii=False,
                allow_nan=False,
            )
            + "\n"
        )


def _leading(found: Mapping[str, Calibration]) -> str:
    return min(
        found,
        key=lambda window: (
            found[window].method is not Method.HISTORY,
            not found[window].measured,
            found[window].rule.window_seconds,
        ),
    )


def from_json(text: str, where: str = "calibration") -> ModelCalibration:
    """The calibration that a text holds.

    Raises
    ------
    CalibrationError
        If the text is no calibration, or of a newer format.
    """
    try:
        found: dict[str, Any] = json.loads(text)
        if found["format_version"] != FORMAT_VERSION:
            raise CalibrationError(
                f"{where}: format version {found['format_version']}, this release reads "
                f"{FORMAT_VERSION}; calibrate again with 'drift-exporter calibrate'"
            )
        windows = {w: _calibration(c) for w, c in found["windows"].items()}
        if not windows or not math.isfinite(found["created"]):
            raise ValueError("no windows, or no date")
        segments = {w: _calibration(c) for w, c in found["segments"].items()}
        test = found["self_test"]
        tested = SelfTest(**test) if test else None
        _numbers(*tested or ())
        return ModelCalibration(
            float(found["created"]),
            str(found["bins_hash"]),
            windows,
            segments,
            tested,
            _settings(found.get("settings")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, StatisticsError) as error:
        raise CalibrationError(
            f"{where}: not a calibration ({type(error).__name__}: {error}); "
            "make one with 'drift-exporter calibrate'"
        ) from error


def _calibration(value: object) -> Calibration:
    found = Calibration.from_json(json.dumps(value))
    if not SMALLEST_ALPHA * 0.999 <= found.alpha < 1:
        raise ValueError(f"alpha {found.alpha!r} is no probability")
    if not found.rule.budget_per_90_days > 0:
        raise ValueError(f"budget {found.rule.budget_per_90_days!r} is not above 0")
    _numbers(found.history_days, *vars(found.rule).values())
    for one in found.series:
        series_name(one.name)
        _numbers(one.omega)
    return found


def _settings(value: Any) -> Settings | None:
    if value is None:
        return None
    found = Settings(**value)
    _numbers(found.history_seconds, found.span_seconds, found.gap_seconds)
    _numbers(*(abs(moment) for span in found.excluded for moment in span))
    excluded = tuple((int(start), int(end)) for start, end in found.excluded)
    return found._replace(excluded=excluded, reference_kind=str(found.reference_kind))


def _numbers(*values: float) -> None:
    for value in values:
        if not 0 <= value < math.inf:
            raise ValueError(f"found {value!r}, expected a number that is not negative")


def column_names(model: ModelConfig, profile: Profile) -> list[SeriesName]:
    """The calibrated series of all rows."""
    return [
        SeriesName(statistic, feature.name)
        for statistic in CAN_BE_CALIBRATED
        for feature in profile.features
        if model.calibrated(feature.name, statistic)
        and not (statistic == "out_of_range_ratio" and feature.kind != "numeric")
    ]


def without_history(
    model: ModelConfig, profile: Profile, rules: Mapping[str, Rule], segments: Mapping[str, Rule]
) -> ModelCalibration:
    """The calibration before there is a past: independent rows."""
    names = [str(name) for name in column_names(model, profile)]
    of_segments = [str(name) for name in segment_names(model, profile)]
    return ModelCalibration(
        0.0,
        profile.bins_hash,
        {window: analytic(names, rule) for window, rule in rules.items()},
        {window: analytic(of_segments, rule) for window, rule in segments.items()},
        settings=Settings.of(model),
    )


def segment_names(model: ModelConfig, profile: Profile) -> list[SeriesName]:
    """The calibrated series of all segments that the profile knows."""
    named = [(column.name, value) for column in profile.segments for value in column.values]
    return [
        SeriesName("psi", feature.name, by, segment)
        # The profile may have rows of other values, too.
        for by, segment in dict.fromkeys([*named, *profile.segment_counts])
        if model.is_segment(by)
        for feature in profile.features
        if model.calibrated(feature.name, "psi")
    ]
