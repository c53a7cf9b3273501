"""Where a model's profile is, whether it still fits the config, and how it is made anew.

Knows config, files and sources; never a schedule or a score.
"""

import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from drift_exporter.config import Config, ModelConfig, Reference, masked_url
from drift_exporter.errors import ProfileError
from drift_exporter.profile import Profile
from drift_exporter.profiles.files import read_profile, write_profile
from drift_exporter.reading.opening import open_source
from drift_exporter.reading.profile_builder import build_profile, settings_hash
from drift_exporter.reading.source import Progress

log = logging.getLogger(__name__)

LONGEST_BUILD_SECONDS = 3600.0
"""A reference may take longer to read than a run does."""


def profile_path(config: Config, model: ModelConfig) -> Path:
    """Where the model's profile is, or will be."""
    if model.profile:
        return Path(model.profile)
    return Path(config.data_dir) / "profiles" / f"{model.name}.json"


def existing_profile(path: Path) -> Profile:
    """The profile of a file that must be there."""
    found = read_profile(path)
    if found is None:
        raise ProfileError(f"{path}: no such file; make it with 'drift-exporter profile build'")
    return found


def fitting_profile(config: Config, model: ModelConfig) -> Profile | None:
    """The model's profile if it can serve; None asks for a new one.

    A profile that the config names is used as it is, with a warning where the settings have
    changed since; one that we built is built anew.
    """
    profile = read_profile(profile_path(config, model))
    if profile is None or profile.settings == settings_hash(model):
        return profile
    if model.profile:
        log.warning(
            "profile was built with other settings; rebuild it with 'profile build'",
            extra={"model": model.name, "profile": model.profile},
        )
        return profile
    log.info("settings changed, the profile is built anew", extra={"model": model.name})
    return None


def other_profile(config: Config, model: ModelConfig, known: Profile) -> Profile | None:
    """The profile that was put into the place of a known one; None where that is still there.

    One that was built with other settings than the config has is none, unless the config names it.

    Raises
    ------
    ProfileError
        If what is there cannot be used.
    """
    found = read_profile(profile_path(config, model))
    if found is None or found.hash == known.hash:
        return None
    return found if model.profile or found.settings == settings_hash(model) else None


def profile_of(config: Config, model: ModelConfig, now: float, progress: Progress) -> Profile:
    """The model's profile: the one that fits, or a new one, built and written."""
    found = fitting_profile(config, model)
    if found is not None:
        return found
    built = make_profile(model, now, progress)
    write_profile(profile_path(config, model), built)
    log.info("profile built", extra={"model": model.name, "rows": built.rows, "hash": built.hash})
    return built


def make_profile(model: ModelConfig, now: float, progress: Progress) -> Profile:
    """Build the profile of a model from its reference, or from its past where that is it."""
    if not model.reference.of_current:
        return _built(model, now, progress)
    reference = model.reference
    end = now - reference.gap.seconds
    settings = settings_hash(model)
    try:
        built = _built(_from_current(model, end - reference.span.seconds, end), now, progress)
    except ProfileError:
        # A model that is younger than the gap: its bins come from what there is.
        built = _built(_from_current(model, now - reference.span.seconds, now), now, progress)
    return replace(built, settings=settings)


def _from_current(model: ModelConfig, start: float, end: float) -> ModelConfig:
    span = {
        key: datetime.fromtimestamp(int(at), UTC).isoformat().replace("+00:00", "Z")
        for key, at in (("start", start), ("end", end))
    }
    place = model.current.model_dump(exclude={"lateness"})
    return model.model_copy(
        update={
            "reference": Reference.model_construct(**{**dict(model.reference), **place, **span})
        }
    )


def _built(model: ModelConfig, now: float, progress: Progress) -> Profile:
    log.info(
        "building profile",
        extra={"model": model.name, "reference": masked_url(model.reference.url)},
    )
    longest = max(LONGEST_BUILD_SECONDS, model.timeout_seconds)
    source = open_source(model.reference, timeout_seconds=longest)
    try:
        return build_profile(model, source, now, progress)
    finally:
        source.close()
