"""How a model is monitored: from its config, its profile and its calibrations.

Knows config, profile files and the store's calibrations; no run and no incident.
"""

from collections.abc import Iterator
from pathlib import Path

from drift_exporter.config import (
    STATISTICS,
    Config,
    ModelConfig,
    masked_url,
)
from drift_exporter.cron import longest_gap_seconds
from drift_exporter.errors import CalibrationError, DriftExporterError
from drift_exporter.profile import Profile
from drift_exporter.profiles.current import profile_path
from drift_exporter.profiles.files import read_profile
from drift_exporter.reporting.facts import (
    CalibrationFacts,
    CalibrationSettings,
    ColumnFacts,
    ModelFacts,
    ReferenceFacts,
    ThresholdFacts,
)
from drift_exporter.store import Store
from drift_exporter.verdicts.promise import ModelCalibration, from_json

MOST_CALIBRATIONS = 60
"""At the default pace of a week, more than a year of them."""


def model_facts(store: Store, config: Config, model: ModelConfig, since: float) -> ModelFacts:
    """How a model is monitored now, and by which calibrations since a time."""
    profile, problem = _profile(config, model)
    return ModelFacts(
        name=model.name,
        version=model.version,
        owner=model.owner,
        team=model.team,
        tier=model.tier,
        trained=model.trained or "",
        retrain_every=model.retrain_every.text if model.retrain_every else "",
        schedule=f"cron {model.cron}" if model.cron else f"every {model.interval.text}",
        windows=tuple(window.text for window in model.windows),
        slice=model.slice.text,
        stale_after_seconds=stale_after_seconds(model),
        min_rows=model.min_rows,
        source=masked_url(model.current.url),
        label=model.label or "",
        segments=model.segments,
        columns=tuple(ColumnFacts(f.name, f.role, f.kind) for f in profile.features)
        if profile
        else (),
        reference=_reference(model, profile, problem),
        thresholds=tuple(_thresholds(model)),
        calibration=_settings(model) if model.calibrates else None,
        calibrations=tuple(_calibrations(store, model, since)),
    )


def stale_after_seconds(model: ModelConfig) -> float:
    """How long scores of a model stay after its last successful run."""
    if model.stale_after:
        return model.stale_after.seconds
    return 3 * longest_gap_seconds(model.cron or model.interval.seconds)


def _profile(config: Config, model: ModelConfig) -> tuple[Profile | None, str]:
    try:
        found = read_profile(profile_path(config, model))
    except DriftExporterError as error:
        return None, str(error)
    return found, "" if found else "the profile is not built yet"


def _reference(model: ModelConfig, profile: Profile | None, problem: str) -> ReferenceFacts:
    past = model.reference.kind != "data"
    return ReferenceFacts(
        kind=model.reference.kind,
        source=masked_url((model.current if model.reference.of_current else model.reference).url),
        span=model.reference.span.text if past else "",
        gap=model.reference.gap.text if past else "",
        profile=profile.hash if profile else "",
        created=profile.created if profile else "",
        rows=profile.rows if profile else None,
        start=profile.start if profile else "",
        end=profile.end if profile else "",
        problem=problem,
    )


def _thresholds(model: ModelConfig) -> Iterator[ThresholdFacts]:
    for statistic in STATISTICS:
        yield from _threshold(model, "", statistic)
    for column, settings in sorted(model.features.overrides.items()):
        for statistic in settings.thresholds:
            yield from _threshold(model, column, statistic)


def _threshold(model: ModelConfig, column: str, statistic: str) -> Iterator[ThresholdFacts]:
    calibrated = model.calibrated(column, statistic)
    warning = model.threshold(column, statistic, "warning")
    critical = model.threshold(column, statistic, "critical")
    if calibrated or column or warning is not None or critical is not None:
        yield ThresholdFacts(column, statistic, calibrated, warning, critical)


def _settings(model: ModelConfig) -> CalibrationSettings:
    wanted = model.calibration
    return CalibrationSettings(
        budget_per_90_days=wanted.budget,
        min_effect=wanted.min_effect,
        history=wanted.history.text,
        every=wanted.every.text,
        file=wanted.file or "",
        excluded=tuple(f"{span.start} to {span.end}" for span in wanted.exclude),
    )


def _calibrations(store: Store, model: ModelConfig, since: float) -> Iterator[CalibrationFacts]:
    """The newest first, back to the one that was in force at ``since``."""
    for text, where in _texts(store, model):
        try:
            found = from_json(text, where)
        except CalibrationError:
            # One of another release: the run of the model tells of it, the report of the others.
            continue
        yield _calibration(found)
        if found.created <= since:
            return


def _texts(store: Store, model: ModelConfig) -> Iterator[tuple[str, str]]:
    file = model.calibration.file
    if file is None:
        for _, _, text in store.calibrations(model.name, MOST_CALIBRATIONS):
            yield text, "the stored calibration"
        return
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        # The model's run meets the same error and tells of it.
        return
    yield text, file


def _calibration(found: ModelCalibration) -> CalibrationFacts:
    leading, test = found.leading, found.self_test
    return CalibrationFacts(
        created=found.created,
        method=str(leading.method),
        reason=str(leading.reason or ""),
        history_days=leading.history_days,
        budget_per_90_days=found.budget_per_90_days,
        neg_log10_alpha=leading.neg_log10_alpha,
        self_test_alarms_per_90_days=test.alarms_per_90_days if test else None,
        self_test_days=test.history_days if test else None,
        self_test_in_sample=test.in_sample if test else None,
        bins_hash=found.bins_hash,
    )
