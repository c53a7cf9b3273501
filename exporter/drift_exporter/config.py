"""The models of the config file: frozen, strict, and their own documentation.

Knows what a valid config is and what each key means; never reads a file, an environment
variable or a clock. ``docs/config.md`` and the JSON Schema are generated from here.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import pairwise
from math import isfinite
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PositiveInt,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

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

_UNIT_MILLISECONDS = {
    "y": 365 * 86_400_000,
    "w": 7 * 86_400_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
    "ms": 1,
}
_DURATION = re.compile("".join(f"(?:([0-9]{{1,9}}){unit})?" for unit in _UNIT_MILLISECONDS))
_DURATION_SCHEMA = {
    "type": "string",
    "pattern": f"^(?=.){_DURATION.pattern}$",
    "examples": ["5m", "1h30m", "7d"],
}

LONGEST_SECONDS = 100 * 365 * 86400
"""Longest duration; above it, sums with points in time would overflow."""


def wrong(
    expected: str, found: object, *at: str | int, beside: str = "", value: object = None
) -> PydanticCustomError:
    """An error of a model that belongs to one of its keys, for a validator to raise.

    ``at`` leads from the model to the key; ``beside`` names the key, of the given value,
    that it does not go with. The config file's error is built from these, so that it can
    show what the file says instead of the value.
    """
    place = ".".join(str(step) for step in at)
    note = f" ({value!r})" if beside else ""
    return PydanticCustomError(
        "config",
        "{place}: found {found}, expected {expected}{note}",
        {
            "place": place,
            "found": repr(found),
            "expected": expected,
            "note": note,
            "at": at,
            "beside": beside,
        },
    )


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
    parts = zip(match.groups(), _UNIT_MILLISECONDS.values(), strict=True)
    milliseconds = sum(int(number) * unit for number, unit in parts if number)
    if milliseconds > LONGEST_SECONDS * 1000:
        raise ValueError(f"found {value!r}, expected a duration of at most 100y")
    return Duration(seconds=milliseconds / 1000, text=text)


def duration_of(seconds: float) -> Duration:
    """The duration of so many seconds, to the millisecond, in its shortest notation.

    Examples
    --------
    >>> str(duration_of(5400)), str(duration_of(86400)), str(duration_of(0))
    ('1h30m', '1d', '0s')
    """
    rest, text = round(seconds * 1000), ""
    for unit, milliseconds in _UNIT_MILLISECONDS.items():
        if unit in ("y", "w"):  # a person reads 14d better than 2w, and a year is not 365d
            continue
        count, rest = divmod(rest, milliseconds)
        text += f"{count}{unit}" if count else ""
    return parse_duration(text or "0s")


def _positive(value: Duration) -> Duration:
    if value.seconds <= 0:
        raise ValueError(f"found {value.text!r}, expected a duration above zero")
    return value


AnyDuration = Annotated[
    Duration,
    BeforeValidator(parse_duration),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(_DURATION_SCHEMA),
]


def _checked_positive(value: object) -> Duration:
    return _positive(parse_duration(value))


PositiveDuration = Annotated[
    Duration,
    BeforeValidator(_checked_positive),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(_DURATION_SCHEMA),
]

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"


def _checked_name(value: str) -> str:
    if not re.fullmatch(_NAME, value):
        raise ValueError(
            f"found {value!r}, expected at most 100 letters, digits, dots, underscores and "
            "hyphens, a letter or digit first"
        )
    return value


ModelName = Annotated[
    str, AfterValidator(_checked_name), Field(json_schema_extra={"pattern": f"^{_NAME}$"})
]
"""Names stand in labels, paths of pages and names of files."""

HAS_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
"""What makes a URL of a text; all else is a path."""

_MASKED = (
    # Greedy up to the last "@": a password may hold "/", "#" or "@" though it should not.
    (re.compile(r"^((?:[A-Za-z][A-Za-z0-9+.-]*://)?[^:/@?#\s]*):(?!//).*@", re.DOTALL), r"\1:***@"),
    (re.compile(r"(://.*?)[?#].*", re.DOTALL), r"\1?***"),
    (re.compile(r"(?i)(password|passwd|pwd|token|secret)=[^\s&;]*"), r"\1=***"),
)


def masked_url(url: str) -> str:
    """The URL without its password and without its query, fit for a log or a page.

    Examples
    --------
    >>> masked_url("postgresql://ann:p@ss/word@db:5432/shop?sslmode=require")
    'postgresql://ann:***@db:5432/shop?***'
    >>> masked_url("data/*.parquet")
    'data/*.parquet'
    """
    for pattern, masked in _MASKED:
        url = pattern.sub(masked, url)
    return url


class Model(BaseModel):
    """What all config models share: frozen, and no unknown key."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        # The input of an error may be a URL with its password.
        hide_input_in_errors=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean(cls, value: object, info: ValidationInfo) -> object:
        wanted = cls.model_fields[info.field_name or ""].annotation
        # pydantic would take true for 1
        if isinstance(value, bool) and bool not in (wanted, *get_args(wanted)):
            raise ValueError(f"found {str(value).lower()}, expected no boolean here")
        return value


def _as_mapping(value: object) -> object:
    return {"url": value} if isinstance(value, str) else value


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _once(value: tuple[str, ...]) -> tuple[str, ...]:
    for index, name in enumerate(value):
        if name in value[:index]:
            raise wrong("each name once", name, index)
    return value


Names = Annotated[
    tuple[str, ...],
    BeforeValidator(_as_tuple, json_schema_input_type=tuple[str, ...] | str),
    AfterValidator(_once),
]
"""A list of texts, or a single one."""


class Source(Model):
    """Where data is: files by path or glob, or a table or query of a database."""

    url: str = Field(default="", repr=False)
    """Path or glob of files (Parquet, CSV, JSON Lines, Arrow; gzip), `s3://…`, `gs://…`, or the
    URL of a database: `postgresql://user@host/db`, `duckdb:///folder/path.db`. Relative paths start
    at the config file's folder (`data/*.csv`, `duckdb://path.db`)."""

    url_file: str | None = None
    """File that holds the URL, instead of `url`; for mounted secrets. Read at start and reload."""

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
            raise wrong("a path, a glob or the URL of a database", None, "url")
        if self.url and self.url_file:
            raise wrong("url or url_file, not both", self.url_file, "url_file")
        if self.table and self.query:
            raise wrong("table or query, not both", self.query, "query")
        if self.is_database and not (self.table or self.query):
            raise wrong("table or query, as the URL is a database's", None, "table")
        for key in () if self.is_database else ("table", "query", "password_file"):
            if getattr(self, key):
                schemes = ", ".join(f"{scheme}://" for scheme in sorted(DATABASE_SCHEMES))
                raise wrong(
                    f"no {key}, as the URL is not a database's ({schemes})",
                    getattr(self, key),
                    key,
                )
        if self.is_database and self.format:
            raise wrong("no format, as the URL is a database's", self.format, "format")
        return self

    @property
    def is_database(self) -> bool:
        """Whether the URL names a database rather than files."""
        scheme = self.url.partition("://")[0].partition("+")[0].lower()
        return bool(self.url_file) or ("://" in self.url and scheme in DATABASE_SCHEMES)


DATABASE_SCHEMES = frozenset({"postgresql", "postgres", "duckdb"})
"""URL schemes that name a database."""

_MOMENT = r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})?)?"


def parse_moment(text: str) -> datetime:
    """Read a date or an ISO 8601 time, in UTC where it has no offset.

    Raises
    ------
    ValueError
        If the text is not such a time.
    """
    expected = "expected a date or time such as 2024-01-31 or 2024-01-31T12:00Z"
    if not re.fullmatch(_MOMENT, text, re.ASCII):
        raise ValueError(f"found {text!r}, {expected}")
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"found {text!r}, {expected}") from error


def _checked_moment(value: str) -> str:
    parse_moment(value)
    return value


Moment = Annotated[
    str, AfterValidator(_checked_moment), Field(json_schema_extra={"pattern": f"^{_MOMENT}$"})
]
"""A date or an ISO 8601 time; without an offset it is UTC."""


def moment(text: str | None) -> float | None:
    """Seconds since the epoch of an ISO 8601 date or time; without an offset it is UTC."""
    if text is None:
        return None
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


class Reference(Source):
    """The data to compare with; read once, to build the profile."""

    start: Moment | None = None
    """Only rows from this event time on, `2024-01-31` or `2024-01-31T12:00Z`."""

    end: Moment | None = None
    """Only rows before this event time."""

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.start and self.end and parse_moment(self.end) <= parse_moment(self.start):
            raise wrong("a time after start", self.end, "end", beside="start", value=self.start)
        return self


class Current(Source):
    """The inference data that is monitored."""

    lateness: AnyDuration = Duration(600, "10m")
    """How late a row may come. Each run reads this much of the past again and replaces what it
    had counted there."""


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


def _reachable(value: dict[StatisticName, Threshold | None]) -> Any:
    for name, threshold in value.items():
        for severity in SEVERITIES:
            limit = getattr(threshold, severity, None)
            if name not in UNBOUNDED and limit is not None and limit > 1:
                raise wrong("a share, at most 1", limit, name, severity)
    return value


Thresholds = Annotated[dict[StatisticName, Threshold | None], AfterValidator(_reachable)]


def default_thresholds() -> Thresholds:
    """The industry's fixed thresholds for PSI, and a rise of the shares that means a fault."""
    return {
        "psi": Threshold(warning=0.1, critical=0.25),
        "missing_ratio": Threshold(warning=0.1),
        "unseen_ratio": Threshold(warning=0.05),
        "out_of_range_ratio": Threshold(warning=0.05),
    }


_DEFAULT_THRESHOLDS = default_thresholds()


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
    model's whole, `null` takes it away."""

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


class ModelConfig(Model):
    """One model that is monitored."""

    name: ModelName
    """Name of the model; the label `model`."""

    version: str = ""
    """Version that is deployed; shown as info."""

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
        Reference, BeforeValidator(_as_mapping, json_schema_input_type=Reference | str)
    ]
    """The data to compare with; a plain string is its `url`."""

    current: Annotated[Current, BeforeValidator(_as_mapping, json_schema_input_type=Current | str)]
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
    it away."""

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

    def exposes_bins(self, column: str) -> bool:
        """Whether the bins of a column are exposed."""
        own = self.features.settings(column).expose_bins
        return self.expose_bins if own is None else own

    def threshold(self, column: str, statistic: str, severity: str) -> float | None:
        """The configured threshold of a column, or none."""
        merged: dict[Any, Threshold | None] = {
            **_DEFAULT_THRESHOLDS,
            **self.thresholds,
            **self.features.settings(column).thresholds,
        }
        found = merged.get(statistic)
        value = getattr(found, severity) if found else None
        return None if value is None else float(value)


class StoreConfig(Model):
    """Where slices, runs and history are kept."""

    url: str = Field(default="", repr=False)
    """URL of the store; by default SQLite in `data_dir`. `postgresql://…` for a shared store;
    `sqlite:///path.db` starts at the config file's folder, `sqlite:////path.db` at the root."""

    url_file: str | None = None
    """File that holds the URL, instead of `url`; read at start and reload."""

    retention: PositiveDuration = Duration(90 * 86400, "90d")
    """How long slices and runs are kept; never less than the windows need."""

    max_megabytes: PositiveInt = 2048
    """Size above which the oldest slices go before their time."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.url and self.url_file:
            raise wrong("url or url_file, not both", self.url_file, "url_file")
        scheme = self.url.partition("://")[0].partition("+")[0].lower()
        if self.url and ("://" not in self.url or scheme not in STORE_SCHEMES):
            schemes = " or ".join(f"{name}://" for name in STORE_SCHEMES)
            raise wrong(f"a URL that begins with {schemes}", masked_url(self.url), "url")
        return self


STORE_SCHEMES = ("sqlite", "postgresql")
"""URL schemes of a store."""


class Config(Model):
    """The config file of drift-exporter."""

    models: Annotated[tuple[ModelConfig, ...], Field(min_length=1)]
    """The models that are monitored."""

    data_dir: Annotated[str, Field(min_length=1)] = "drift-data"
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
        for index, name in enumerate(names):
            if name in names[:index]:
                raise wrong("a name that no other model has", name, index, "name")
        return value
