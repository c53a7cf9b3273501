"""The models of the config file: frozen, strict, and their own documentation.

Knows what a valid config is and what each key means; never reads a file, an environment
variable or a clock. ``docs/config.md`` and the JSON Schema are generated from here.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PositiveInt,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)

STATISTICS = (
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
)
"""Names of the statistics, as in the config and in the label ``statistic``."""

RATES = ("missing_ratio", "unseen_ratio", "out_of_range_ratio")
"""Statistics that are shares of rows; their thresholds are a rise above the reference's share."""

SEVERITIES = ("warning", "critical")
"""Severities, the milder first."""

_UNIT_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?")


@dataclass(frozen=True, order=True)
class Duration:
    """A span of time written as Prometheus writes it: ``90s``, ``5m``, ``1h30m``, ``7d``."""

    seconds: float
    text: str

    def __str__(self) -> str:
        """The text as it was written."""
        return self.text


def parse_duration(value: object) -> Duration:
    """Read a duration in Prometheus' notation.

    Raises
    ------
    ValueError
        If the text is not such a duration.
    """
    if isinstance(value, Duration):
        return value
    text = value if isinstance(value, str) else ""
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise ValueError(f"found {value!r}, expected a duration such as 90s, 5m, 1h30m or 7d")
    parts = zip(match.groups(), ("w", "d", "h", "m", "s", "ms"), strict=True)
    seconds = sum(int(number) * _UNIT_SECONDS[unit] for number, unit in parts if number)
    return Duration(seconds=seconds, text=text)


def _positive(value: Duration) -> Duration:
    if value.seconds <= 0:
        raise ValueError(f"found {value.text!r}, expected a duration above zero")
    return value


AnyDuration = Annotated[
    Duration,
    BeforeValidator(parse_duration),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^(\d+(ms|s|m|h|d|w))+$", "examples": ["5m"]}),
]


def _checked_positive(value: object) -> Duration:
    return _positive(parse_duration(value))


PositiveDuration = Annotated[
    Duration,
    BeforeValidator(_checked_positive),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^(\d+(ms|s|m|h|d|w))+$", "examples": ["5m"]}),
]

ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""Names stand in labels, paths of pages and names of files."""


def masked_url(url: str) -> str:
    """The URL without its password and without its query, fit for a log or a page."""
    parts = urlsplit(url)
    if not parts.scheme:
        return url
    host = parts.netloc.rpartition("@")[2]
    user = parts.username
    netloc = f"{user}:***@{host}" if parts.password else f"{user}@{host}" if user else host
    query = "***" if parts.query else ""
    return urlunsplit((parts.scheme, netloc, parts.path, query, ""))


class Model(BaseModel):
    """What all config models share: frozen, and no unknown key."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True
    )


class Source(Model):
    """Where data is: files by path or glob, or a table or query of a database."""

    url: str = Field(default="", repr=False)
    """Path or glob of files (Parquet, CSV, JSON Lines, Arrow; gzip), `s3://…`, `gs://…`, or the
    URL of a database: `postgresql://user@host/db`, `duckdb:///path.db`. Relative paths start at
    the config file's folder. `${NAME}` is replaced from the environment."""

    url_file: str | None = None
    """File that holds the URL, instead of `url`; for mounted secrets."""

    password_file: str | None = None
    """File that holds the password of the database's URL."""

    table: str | None = None
    """Table or view of the database, `name` or `schema.name`."""

    query: str | None = None
    """A SELECT of the database, instead of `table`."""

    format: Literal["parquet", "csv", "jsonl", "arrow"] | None = None
    """Format of the files; by default their ending tells."""

    timestamp: str = "timestamp"
    """Column of the event time: timestamps (naive ones are UTC), ISO 8601 text, or epoch seconds,
    milliseconds, microseconds or nanoseconds."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if not self.url and not self.url_file:
            raise ValueError("url is missing; name a path, a glob or the URL of a database")
        if self.url and self.url_file:
            raise ValueError("url and url_file are both given; keep one")
        if self.table and self.query:
            raise ValueError("table and query are both given; keep one")
        if self.is_database and not (self.table or self.query):
            raise ValueError("a database needs table or query")
        if not self.is_database and self.url and (self.table or self.query):
            raise ValueError("table and query are for databases; files take neither")
        return self

    @property
    def is_database(self) -> bool:
        """Whether the URL names a database rather than files."""
        scheme = urlsplit(self.url).scheme.partition("+")[0]
        return bool(self.url_file) or scheme in DATABASE_SCHEMES


DATABASE_SCHEMES = frozenset({"postgresql", "postgres", "duckdb"})
"""URL schemes that name a database."""

Moment = Annotated[
    str,
    StringConstraints(
        pattern=r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})?)?$"
    ),
]
"""A date or an ISO 8601 time; without an offset it is UTC."""


class Reference(Source):
    """The data to compare with; read once, to build the profile."""

    start: Moment | None = None
    """Only rows from this event time on, `2024-01-31` or `2024-01-31T12:00Z`."""

    end: Moment | None = None
    """Only rows before this event time."""


class Current(Source):
    """The inference data that is monitored."""

    lateness: AnyDuration = Duration(600, "10m")
    """How late a row may come. Each run reads this much of the past again and replaces what it
    had counted there."""


class Threshold(Model):
    """From which score a severity holds; for shares of rows, from which rise over the reference."""

    warning: float | None = Field(default=None, gt=0)
    """Score from which the verdict is `warning`."""

    critical: float | None = Field(default=None, gt=0)
    """Score from which the verdict is `critical`; above `warning`."""

    @model_validator(mode="after")
    def _rise(self) -> Self:
        if self.warning is not None and self.critical is not None:
            if self.critical <= self.warning:
                raise ValueError(
                    f"critical ({self.critical}) must be above warning ({self.warning})"
                )
        return self


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

Thresholds = dict[StatisticName, Threshold | None]


def default_thresholds() -> Thresholds:
    """The industry's fixed thresholds for PSI, and a rise of the shares that means a fault."""
    return {
        "psi": Threshold(warning=0.1, critical=0.25),
        "missing_ratio": Threshold(warning=0.1),
        "unseen_ratio": Threshold(warning=0.05),
        "out_of_range_ratio": Threshold(warning=0.05),
    }


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
    """Thresholds that differ from the model's; `null` takes a statistic's thresholds away."""

    importance: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the column where features are ranked."""

    @field_validator("binning")
    @classmethod
    def _rising(cls, value: str | tuple[float, ...]) -> str | tuple[float, ...]:
        if not isinstance(value, str):
            if not value or any(b <= a for a, b in pairwise(value)):
                raise ValueError(f"found {list(value)}, expected inner edges that rise strictly")
        return value


class Features(Model):
    """Which columns are features, and what differs for some."""

    include: tuple[str, ...] = ("*",)
    """Globs of the columns that are features."""

    exclude: tuple[str, ...] = ()
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
        return self.overrides.get(column, FeatureConfig())


def _as_mapping(value: object) -> object:
    return {"url": value} if isinstance(value, str) else value


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class ModelConfig(Model):
    """One model that is monitored."""

    name: ModelName
    """Name of the model; the label `model`."""

    version: str = ""
    """Version that is deployed; shown as info."""

    owner: str = ""
    """Person or team that is told; shown as info."""

    reference: Annotated[Reference, BeforeValidator(_as_mapping)]
    """The data to compare with; a plain string is its `url`."""

    current: Annotated[Current, BeforeValidator(_as_mapping)]
    """The inference data; a plain string is its `url`."""

    profile: str | None = None
    """File of the profile; by default `profiles/<name>.json` in `data_dir`."""

    interval: PositiveDuration = Duration(300, "5m")
    """Time between runs."""

    cron: str | None = None
    """Five-field cron expression in UTC, instead of `interval`."""

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

    prediction: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()
    """Columns of the model's output; judged like features, in metrics of their own."""

    label: str | None = None
    """Column of the true outcome; never a feature."""

    segments: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()
    """Columns whose values split the rows (region, age band); each is judged by itself."""

    max_segments: Annotated[int, Field(ge=1, le=200)] = 20
    """Commonest values of a segment column that are judged; the rest are `(other)`."""

    sample: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the current rows that is counted, chosen by their event time (the same rows
    on every source and in every run)."""

    min_rows: PositiveInt = 100
    """Fewest rows of a window with which a feature is judged."""

    stale_after: PositiveDuration | None = None
    """How long scores stay after the last successful run; by default three intervals."""

    backfill: AnyDuration | None = None
    """How far back a first run reads; by default the longest window."""

    thresholds: Thresholds = Field(default_factory=dict)
    """Thresholds by statistic, over the defaults: PSI 0.1 and 0.25, missing +0.1, unseen and
    out of range +0.05; `null` takes a statistic's thresholds away."""

    @field_validator("slice")
    @classmethod
    def _whole_slices(cls, value: Duration) -> Duration:
        if value.seconds != int(value.seconds) or 86400 % int(value.seconds):
            raise ValueError(f"found {value.text!r}, expected whole seconds that divide a day")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for window in self.windows:
            if window.seconds % self.slice.seconds:
                raise ValueError(
                    f"window {window.text!r} is not a multiple of the slice {self.slice.text!r}"
                )
        texts = [window.text for window in self.windows]
        if len(set(texts)) != len(texts):
            raise ValueError(f"windows {texts} name one twice")
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

    def threshold(self, column: str, statistic: str, severity: str) -> float | None:
        """The configured threshold of a column, or none."""
        merged: dict[Any, Threshold | None] = {
            **default_thresholds(),
            **self.thresholds,
            **self.features.settings(column).thresholds,
        }
        found = merged.get(statistic)
        value = getattr(found, severity) if found else None
        return None if value is None else float(value)


class StoreConfig(Model):
    """Where slices, runs and history are kept."""

    url: str = Field(default="", repr=False)
    """SQLAlchemy URL; by default SQLite in `data_dir`. `postgresql://…` for a shared store."""

    url_file: str | None = None
    """File that holds the URL, instead of `url`."""

    retention: PositiveDuration = Duration(90 * 86400, "90d")
    """How long slices and runs are kept; never less than the windows need."""

    max_megabytes: PositiveInt = 2048
    """Size above which the oldest slices go before their time."""


class Config(Model):
    """The config file of drift-exporter."""

    models: Annotated[tuple[ModelConfig, ...], Field(min_length=1)]
    """The models that are monitored."""

    data_dir: str = "drift-data"
    """Folder for the store and the profiles that are built; relative to the config file."""

    store: StoreConfig = StoreConfig()
    """Where slices, runs and history are kept."""

    max_series: PositiveInt = 10_000
    """Most series that the scores of all models may have; what is over is withheld, the least
    important families first, and counted."""

    @field_validator("models")
    @classmethod
    def _names_once(cls, value: tuple[ModelConfig, ...]) -> tuple[ModelConfig, ...]:
        names = [model.name for model in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the names {twice} are given to more than one model")
        return value
