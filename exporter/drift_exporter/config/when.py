"""Which incidents an action answers.

Knows the words for what happens to an incident; no incident.
"""

from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import Field, field_validator

from drift_exporter.config.basics import CANARY, Model, Names, wrong

Occasion = Literal["opened", "classified", "resolved", "promoted", "requested"]

DATA_QUALITY = "data_quality"
"""The classification on which nothing is ever retrained."""

NOTHING_FOUND = "none"
"""The classification where the analysis found nothing: no reason to retrain either."""

CLASSIFICATIONS = (
    DATA_QUALITY,
    "covariate_shift",
    "prediction_shift",
    "concept_drift",
    NOTHING_FOUND,
)
"""What the analysis may call an incident."""


class When(Model):
    """Which incidents an action answers; all that is named must hold."""

    on: Annotated[tuple[Occasion, ...], Field(min_length=1)] = ("classified",)
    """On what it is asked for: the incident `opened`, was `classified` by the analysis, was
    `resolved`, its successor was `promoted`. `requested` alone: only when a person asks."""

    models: Names = ("*",)
    """Globs of names of models; the canary only where its name, `drift-canary`, stands as it is."""

    tiers: tuple[Literal["low", "medium", "high"], ...] = ()
    """Tiers of models; by default all."""

    causes: tuple[Literal["drift", "monitoring", "upkeep"], ...] = ("drift",)
    """Causes of incidents."""

    severities: tuple[Literal["info", "warning", "critical"], ...] = ("warning", "critical")
    """Severities of incidents."""

    classifications: Names = ()
    """Globs of what the analysis calls it: `covariate_shift`, `data_quality`; by default all."""

    @field_validator("classifications")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for index, glob in enumerate(value):
            if not any(fnmatchcase(name, glob) for name in CLASSIFICATIONS):
                raise wrong(f"one of {', '.join(CLASSIFICATIONS)}, or a glob", glob, index)
        return value

    def covers(self, model: str) -> bool:
        """Whether the globs name the model."""
        if model == CANARY:
            # Its drift is made up: no glob may retrain a model on it.
            return CANARY in self.models
        return any(fnmatchcase(model, glob) for glob in self.models)
