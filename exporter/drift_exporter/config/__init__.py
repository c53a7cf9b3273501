"""The models of the config file: frozen, strict, and their own documentation.

Knows what a valid config is and what each key means; never reads a file, an environment
variable or a clock. ``docs/config.md`` and the JSON Schema are generated from here.
"""

from drift_exporter.config.access import ROLES, Access, Token, User, may
from drift_exporter.config.action import Action, Secret
from drift_exporter.config.basics import (
    CANARY,
    LONGEST_SECONDS,
    AnyDuration,
    Duration,
    Model,
    ModelName,
    Moment,
    Names,
    PositiveDuration,
    duration_of,
    moment,
    parse_duration,
    parse_moment,
    wrong,
)
from drift_exporter.config.calibration import Calibration, Excluded
from drift_exporter.config.model import FeatureConfig, Features, ModelConfig
from drift_exporter.config.response import AcknowledgeWithin, ResolveWithin, Response
from drift_exporter.config.root import STORE_SCHEMES, Canary, Config, StoreConfig
from drift_exporter.config.sources import (
    DATABASE_SCHEMES,
    HAS_SCHEME,
    Current,
    Reference,
    Source,
    masked_url,
)
from drift_exporter.config.thresholds import (
    CALIBRATED,
    CAN_BE_CALIBRATED,
    RATES,
    SEVERITIES,
    STATISTICS,
    UNBOUNDED,
    StatisticName,
    Threshold,
    Thresholds,
    default_thresholds,
)

__all__ = [
    "ROLES",
    "Access",
    "AcknowledgeWithin",
    "Action",
    "ResolveWithin",
    "Response",
    "Secret",
    "Token",
    "User",
    "When",
    "may",
    "CANARY",
    "Canary",
    "CALIBRATED",
    "CAN_BE_CALIBRATED",
    "Calibration",
    "Excluded",
    "LONGEST_SECONDS",
    "AnyDuration",
    "Duration",
    "Model",
    "ModelName",
    "Moment",
    "Names",
    "PositiveDuration",
    "duration_of",
    "moment",
    "parse_duration",
    "parse_moment",
    "wrong",
    "DATABASE_SCHEMES",
    "HAS_SCHEME",
    "Current",
    "Reference",
    "Source",
    "masked_url",
    "RATES",
    "SEVERITIES",
    "STATISTICS",
    "UNBOUNDED",
    "StatisticName",
    "Threshold",
    "Thresholds",
    "default_thresholds",
    "FeatureConfig",
    "Features",
    "ModelConfig",
    "STORE_SCHEMES",
    "Config",
    "StoreConfig",
]
from drift_exporter.config.when import When
