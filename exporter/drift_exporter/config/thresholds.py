"""From which score a severity holds: names of statistics, fixed thresholds.

Knows names and bounds; no score.
"""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from drift_exporter.config.basics import Model, wrong

StatisticName = Literal[
    "psi",
    "kl_divergence",
    "js_distance",
    "hellinger_distance",
    "total_variation",
    "ks_statistic",
    "wasserstein_distance",
    "missing_ratio",
    "unseen_ratio",
    "out_of_range_ratio",
]

STATISTICS: tuple[str, ...] = get_args(StatisticName)
"""Names of the statistics, as in the config and in the label ``statistic``."""

RATES = ("missing_ratio", "unseen_ratio", "out_of_range_ratio")
"""Statistics that are shares of rows; their thresholds are a rise above the reference's share."""

UNBOUNDED = ("psi", "kl_divergence", "wasserstein_distance")
"""Statistics without an upper bound; the others are never above 1."""

SEVERITIES = ("warning", "critical")
"""Severities, the milder first."""

CALIBRATED = "calibrated"
"""A threshold that follows from the model's own past and the rows of the window."""

CAN_BE_CALIBRATED = ("psi", *RATES)
"""Statistics whose law without drift is known."""


class Threshold(Model):
    """From which score a severity holds; for shares of rows, from which rise over the reference."""

    warning: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Score from which the verdict is `warning`."""

    critical: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Score from which the verdict is `critical`; above `warning`."""

    @model_validator(mode="after")
    def _rise(self) -> Self:
        if self.warning is not None and self.critical is not None:
            if self.critical <= self.warning:
                raise wrong(
                    "more than warning",
                    self.critical,
                    "critical",
                    beside="warning",
                    value=self.warning,
                )
        return self


def _checked(value: dict[StatisticName, Threshold | Literal["calibrated"] | None]) -> Any:
    for name, threshold in value.items():
        if threshold == CALIBRATED and name not in CAN_BE_CALIBRATED:
            raise wrong(
                f"numbers, as only {', '.join(CAN_BE_CALIBRATED)} can be calibrated",
                CALIBRATED,
                name,
            )
        for severity in SEVERITIES:
            limit = getattr(threshold, severity, None)
            if name not in UNBOUNDED and limit is not None and limit > 1:
                raise wrong("a share, at most 1", limit, name, severity)
    return value


def _every_one(value: object) -> object:
    return dict.fromkeys(CAN_BE_CALIBRATED, CALIBRATED) if value == CALIBRATED else value


ThresholdsByStatistic = dict[StatisticName, Threshold | Literal["calibrated"] | None]

Thresholds = Annotated[
    ThresholdsByStatistic,
    BeforeValidator(
        _every_one, json_schema_input_type=ThresholdsByStatistic | Literal["calibrated"]
    ),
    AfterValidator(_checked),
]
"""Thresholds by statistic; the text ``calibrated`` is short for all that can be."""


def default_thresholds() -> Thresholds:
    """The industry's fixed thresholds for PSI, and a rise of the shares that means a fault."""
    return {
        "psi": Threshold(warning=0.1, critical=0.25),
        "missing_ratio": Threshold(warning=0.1),
        "unseen_ratio": Threshold(warning=0.05),
        "out_of_range_ratio": Threshold(warning=0.05),
    }


DEFAULT_THRESHOLDS = default_thresholds()
"""What `default_thresholds` gives, made once."""
