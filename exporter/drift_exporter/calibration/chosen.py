"""Which calibration a model is judged by: that of the config's file, or one that is stored.

Knows when one does not fit the config; makes none and stores none.
"""

import logging
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from drift_exporter.checking.job import Job
from drift_exporter.errors import CalibrationError
from drift_exporter.statistics.timeline import Rule
from drift_exporter.verdicts.promise import ModelCalibration, Settings, column_names, from_json

log = logging.getLogger(__name__)

_OF_RULE = {
    "window_seconds": "window",
    "step_seconds": "interval",
    "for_seconds": "for",
    "keep_firing_seconds": "keep_firing_for",
    "min_rows": "min_rows",
}
"""What a rule's fields are called where they differ."""


def in_force(job: Job, now: float) -> ModelCalibration | None:
    """The calibration that a model's config names, or the newest one that is stored and usable.

    Raises
    ------
    CalibrationError
        If the file that the config names cannot be used.
    StoreError
        If the store cannot be read.
    """
    if not job.model.calibrates:
        return None
    file = job.model.calibration.file
    if file is None:
        with closing(_stored(job, now)) as stored:
            return next(stored, None)
    return _of_file(job, file)


def in_force_then(job: Job, at: float) -> ModelCalibration | None:
    """The newest stored calibration of a time that was made for the config as it is."""
    with closing(_stored(job, at)) as stored:
        return next((one for one in stored if not is_outdated(job, one)), None)


def is_outdated(job: Job, known: ModelCalibration) -> bool:
    """Whether the config asks for other rules, columns or settings than were calibrated."""
    if known.settings != Settings.of(job.model):
        return True
    rules = {window: one.rule for window, one in known.windows.items()}
    of_segments = {window: one.rule for window, one in known.segments.items()}
    if (rules, of_segments) != (job.alert_rules, job.segment_rules):
        return True
    names = {one.name for one in known.leading.series}
    return names != {str(name) for name in column_names(job.model, job.profile)}


def _stored(job: Job, at: float) -> Generator[ModelCalibration, None, None]:
    """What was calibrated by a time, the newest first."""
    for body in job.store.calibrations_by(job.model.name, job.profile.bins_hash, at):
        try:
            yield from_json(body, "a stored calibration")
        except CalibrationError as error:
            # Another release wrote it: that must not stop the model.
            log.warning(
                "stored calibration not used", extra={"model": job.model.name, "err": str(error)}
            )


def _of_file(job: Job, file: str) -> ModelCalibration:
    try:
        found = from_json(Path(file).read_text(encoding="utf-8"), file)
    except (OSError, UnicodeDecodeError) as error:
        raise CalibrationError(
            f"{file}: cannot be read ({type(error).__name__}); "
            "make it with 'drift-exporter calibrate --output'"
        ) from error
    if found.bins_hash != job.profile.bins_hash:
        raise CalibrationError(
            f"{file}: made for the bins {found.bins_hash}, the profile of model "
            f"{job.model.name!r} has {job.profile.bins_hash}; calibrate again"
        )
    lacking = [w.text for w in job.model.windows if w.text not in found.windows]
    if lacking:
        raise CalibrationError(
            f"{file}: has the windows {', '.join(found.windows)}, but not {', '.join(lacking)} of "
            f"model {job.model.name!r}; calibrate again"
        )
    # Other windows that the file has must not lead.
    windows = [w.text for w in job.model.windows]
    found = replace(
        found,
        windows={w: found.windows[w] for w in windows},
        segments={w: found.segments[w] for w in windows if w in found.segments},
    )
    # Windows tell the same of what they share.
    differs = dict.fromkeys(_differences(job, found))
    if differs:
        raise CalibrationError(
            f"{file}: not made for model {job.model.name!r} as it is configured: "
            f"{'; '.join(differs)}; calibrate again"
        )
    return found


def _differences(job: Job, found: ModelCalibration) -> Iterator[str]:
    """What a file was made for that the config does not have."""
    was, budget = found.budget_per_90_days, job.model.calibration.budget
    if was != budget:
        yield f"budget was {was:g}, is {budget:g}"
    for window, rule in job.alert_rules.items():
        yield from _other_rule(found.windows[window].rule, rule)
    for window, rule in job.segment_rules.items():
        if window in found.segments:
            yield from _other_rule(found.segments[window].rule, rule)
        else:
            # The other way round it is only more careful: columns have a part of the budget less.
            yield "there were no segments, there are some"
    known = {series.name for one in found.windows.values() for series in one.series}
    lacking = [n for n in column_names(job.model, job.profile) if str(n) not in known]
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        yield f"it lacks {lacking[0].statistic} of {lacking[0].column!r}{more}"
    made_for = found.settings
    if made_for is not None and made_for.seasonal != job.baselines.seasonal:
        kind = job.model.reference.kind
        yield f"reference.kind was {made_for.reference_kind}, is {kind}"


def _other_rule(was: Rule, rule: Rule) -> Iterator[str]:
    for field, told in _OF_RULE.items():
        old, new = getattr(was, field), getattr(rule, field)
        if old != new:
            yield f"{told} was {old:g}, is {new:g}"
