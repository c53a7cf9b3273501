"""Where data is: the reference and the inference data of a model.

Knows which keys go together; opens nothing.
"""

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from drift_exporter.config.basics import (
    AnyDuration,
    Duration,
    Model,
    Moment,
    PositiveDuration,
    parse_moment,
    wrong,
)

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


DATABASE_SCHEMES = frozenset({"postgresql", "postgres", "duckdb"})
"""URL schemes that name a database."""


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
        if not self.url and not self.url_file and not self.optional:
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
    def optional(self) -> bool:
        """Whether no place needs to be named."""
        return False

    @property
    def is_database(self) -> bool:
        """Whether the URL names a database rather than files."""
        scheme = self.url.partition("://")[0].partition("+")[0].lower()
        return bool(self.url_file) or ("://" in self.url and scheme in DATABASE_SCHEMES)


class Reference(Source):
    """The data to compare with. Its bins always come from one profile, which is built once."""

    kind: Literal["data", "rolling", "seasonal"] = "data"
    """What windows are compared with: `data`, what the profile was built from; `rolling`, the
    newest `span` of the model's own past; `seasonal`, the same hours of weekdays and weekends
    within it. Until the past reaches back over `span` or a week, whichever is shorter, what the
    profile was built from stands for it. A slow trend never drifts from a rolling reference: keep
    `data` where that matters."""

    span: PositiveDuration = Duration(28 * 86400, "28d")
    """How much of the past is the reference; whole days."""

    gap: AnyDuration = Duration(86400, "1d")
    """What lies between that past and the window, so that a drift is not compared with itself;
    whole days."""

    start: Moment | None = None
    """Only rows from this event time on, `2024-01-31` or `2024-01-31T12:00Z`."""

    end: Moment | None = None
    """Only rows before this event time."""

    @model_validator(mode="after")
    def _forward(self) -> Self:
        for key in ("span", "gap"):
            given = getattr(self, key)
            default = type(self).model_fields[key].default
            if self.kind == "data" and given.seconds != default.seconds:
                raise wrong("no such key, as the reference is data", given.text, key)
            if given.seconds % 86400:
                raise wrong("whole days", given.text, key)
        if self.optional and (self.start or self.end):
            raise wrong("no start and end without a url", self.start or self.end, "start")
        if self.start and self.end and parse_moment(self.end) <= parse_moment(self.start):
            raise wrong("a time after start", self.end, "end", beside="start", value=self.start)
        return self

    @property
    def optional(self) -> bool:
        """Whether no place needs to be named: the past is in the inference data."""
        return self.kind != "data"

    @property
    def of_current(self) -> bool:
        """Whether the profile is built from the inference data."""
        return not self.url and not self.url_file


class Current(Source):
    """The inference data that is monitored."""

    lateness: AnyDuration = Duration(600, "10m")
    """How late a row may come. Each run reads this much of the past again and replaces what it
    had counted there."""
