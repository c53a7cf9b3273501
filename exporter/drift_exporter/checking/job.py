"""What one model's runs need: its config, its profile, where rows come from and counts go.

Knows how the parts belong together; does nothing with them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from drift_exporter.checking.baseline import Baselines
from drift_exporter.config import ModelConfig
from drift_exporter.profile import Profile
from drift_exporter.profile_text import bin_intervals, bin_names
from drift_exporter.reading.source import Source
from drift_exporter.rules.alerts import Pace
from drift_exporter.snapshot import ReferenceBins
from drift_exporter.statistics.timeline import Rule
from drift_exporter.store import Store
from drift_exporter.verdicts.limits import Limits, Natural
from drift_exporter.verdicts.promise import ModelCalibration, without_history
from drift_exporter.verdicts.scoring import Reference, prepare
from drift_exporter.verdicts.verdict import Integers

SEGMENTS_SHARE = 0.5
"""Share of the budget that segments have, where a model has some."""


@dataclass(frozen=True)
class Job:
    """Everything that one model's runs need."""

    model: ModelConfig
    profile: Profile
    source: Source
    store: Store
    interval_seconds: float
    """Longest gap between scheduled runs."""

    calibration: ModelCalibration | None = None
    """None: thresholds are fixed, or there is no past yet."""

    @cached_property
    def reference(self) -> Reference:
        """The profile made ready for scoring."""
        return prepare(self.profile)

    @cached_property
    def baselines(self) -> Baselines:
        """What windows are compared with."""
        return Baselines(self.model, self.profile, self.store)

    @cached_property
    def limits(self) -> Limits:
        """From which score a severity holds."""
        return Limits(self.model, tuple(feature.name for feature in self.profile.features))

    @cached_property
    def promise(self) -> ModelCalibration:
        """The calibration in force; that of independent rows as long as there is no other."""
        return self.calibration or without_history(
            self.model, self.profile, self.alert_rules, self.segment_rules
        )

    @cached_property
    def naturals(self) -> Mapping[str, Natural]:
        """What the calibration says of each window."""
        return {w.text: self.promise.natural(self.profile, w.text) for w in self.model.windows}

    @cached_property
    def slotted(self) -> NDArray[np.bool_]:
        """Columns that a seasonal reference compares hour by hour."""
        if not self.model.calibrates:
            return np.ones(len(self.profile.features), dtype=np.bool_)
        return self.promise.slotted(self.profile)

    @cached_property
    def alert_rules(self) -> Mapping[str, Rule]:
        """By window, how the shipped alerts are evaluated: what a calibration holds for."""
        share = 1 - SEGMENTS_SHARE if self.segmented else 1.0
        return {w.text: self._rule(int(w.seconds), share) for w in self.model.windows}

    @cached_property
    def segment_rules(self) -> Mapping[str, Rule]:
        """The same for segments; nothing without any."""
        windows = self.model.windows if self.segmented else ()
        return {w.text: self._rule(int(w.seconds), SEGMENTS_SHARE) for w in windows}

    @property
    def segmented(self) -> bool:
        """Whether segments can alarm with a calibrated threshold."""
        return self.limits.psi_calibrated and any(
            self.model.is_segment(column.name) for column in self.profile.segments
        )

    @cached_property
    def exposed_bins(self) -> Mapping[int, ReferenceBins]:
        """Bins and reference rows of the features whose bins are exposed, by position."""
        return {
            i: ReferenceBins(bin_names(f), bin_intervals(f), self.bins_of(self.reference.bins, i))
            for i, f in enumerate(self.profile.features)
            if self.model.exposes_bins(f.name)
        }

    def bins_of(self, bins: Integers, i: int) -> Integers:
        """One feature's row of ``Layout.bins`` without what pads it to the widest feature."""
        wanted = self.profile.features[i].bins.bins
        return np.concatenate((bins[i, :wanted], bins[i, -2:]))

    def _rule(self, window_seconds: int, share: float) -> Rule:
        width = self.model.slice_seconds
        pace = Pace(self.interval_seconds)
        step = -(-int(self.interval_seconds) // width) * width
        return Rule(
            window_seconds=window_seconds,
            step_seconds=step,
            for_seconds=int(pace.two_runs_seconds),
            keep_firing_seconds=int(pace.two_runs_seconds),
            budget_per_90_days=self.model.calibration.budget * share,
            min_rows=self.model.min_rows,
        )
