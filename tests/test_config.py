"""The models of the config: durations, masks, and what goes together."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drift_exporter.config import (
    STATISTICS,
    UNBOUNDED,
    Config,
    Current,
    Duration,
    Features,
    ModelConfig,
    Source,
    duration_of,
    masked_url,
    parse_duration,
    parse_moment,
)


def _model(**keys: Any) -> ModelConfig:
    return ModelConfig.model_validate(
        {"name": "m", "reference": "r.csv", "current": "c.csv", **keys}
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("90s", 90, id="seconds"),
        pytest.param("5m", 300, id="minutes"),
        pytest.param("1h30m", 5400, id="two units"),
        pytest.param("7d", 604_800, id="days"),
        pytest.param("2w", 1_209_600, id="weeks"),
        pytest.param("1y", 31_536_000, id="a year is 365 days"),
        pytest.param("1s250ms", 1.25, id="milliseconds"),
        pytest.param("0s", 0, id="nothing"),
    ],
)
def test_a_duration_is_read_as_prometheus_reads_it(text: str, seconds: float) -> None:
    """Units add up to seconds."""
    assert parse_duration(text) == Duration(seconds, text)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "5",
        "m",
        "5 m",
        "-5m",
        "1.5h",
        "30m1h",
        "5m5m",
        "\u0665m",
        "1h\n",
        "9999999999s",
        300,
        None,
    ],
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    """A number without a unit, a wrong order and other digits are not guessed at."""
    with pytest.raises(ValueError, match="expected a duration such as 90s, 5m, 1h30m or 7d"):
        parse_duration(value)


def test_a_duration_has_a_longest() -> None:
    """A hundred years is the most, so that points in time do not overflow."""
    assert parse_duration("100y").seconds == 3_153_600_000
    with pytest.raises(ValueError, match="at most 100y"):
        parse_duration("101y")


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=3_153_600_000_000))
def test_seconds_become_a_duration_and_back(milliseconds: int) -> None:
    """A duration that is written is read as the same time, to the millisecond."""
    written = duration_of(milliseconds / 1000)

    assert parse_duration(written.text).seconds == milliseconds / 1000


@settings(deadline=None)
@given(
    st.text("abcdefghijklmnop0123456789-_", min_size=1),
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="*"), min_size=6),
)
def test_a_password_is_masked_whatever_its_letters(user: str, password: str) -> None:
    """A URL's password never outlives its mask, also where it should have been quoted."""
    masked = masked_url(f"postgresql://{user}:SECRET{password}@db.internal/scores")

    assert "SECRET" not in masked
    assert masked.endswith("@db.internal/scores")


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        pytest.param("data/*.parquet", "data/*.parquet", id="a path"),
        pytest.param("data@v1/a:b.csv", "data@v1/a:b.csv", id="a path with signs"),
        pytest.param("postgresql://ann@db:5432/x", "postgresql://ann@db:5432/x", id="a user"),
        pytest.param("postgresql://:pw@db/x", "postgresql://:***@db/x", id="no user"),
        pytest.param("postgresql://db/x?password=pw", "postgresql://db/x?***", id="a query"),
        pytest.param("s3://key:pw@bucket/a?b=pw", "s3://key:***@bucket/a?***", id="a key"),
        pytest.param("ann:pw@db/x", "ann:***@db/x", id="no scheme"),
        pytest.param("host=db password=pw", "host=db password=***", id="libpq's own form"),
        pytest.param("http://[::1", "http://[::1", id="not a URL"),
    ],
)
def test_a_url_is_masked(url: str, masked: str) -> None:
    """Scheme, user, host and path stay; password and query go."""
    assert masked_url(url) == masked


def test_an_error_of_the_models_shows_no_input() -> None:
    """What pydantic says of a URL does not quote it."""
    with pytest.raises(ValidationError) as caught:
        Current.model_validate({"url": "postgresql://u:pw@db/x", "lateness": "1m"})

    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        pytest.param("2024-02-29", datetime(2024, 2, 29, tzinfo=UTC), id="a date"),
        pytest.param("2024-02-29 12:30", datetime(2024, 2, 29, 12, 30, tzinfo=UTC), id="naive"),
        pytest.param(
            "2024-02-29T00:30:00+02:00", datetime(2024, 2, 28, 22, 30, tzinfo=UTC), id="an offset"
        ),
    ],
)
def test_a_moment_is_in_utc(text: str, moment: datetime) -> None:
    """Times without an offset are UTC, others are turned to it."""
    assert parse_moment(text) == moment


@pytest.mark.parametrize("text", ["2023-02-29", "2024-13-01", "yesterday", "2024-01-01T25:00Z"])
def test_a_moment_is_in_the_calendar(text: str) -> None:
    """A date that no calendar has is refused when loading, not when reading."""
    with pytest.raises(ValueError, match="expected a date or time"):
        parse_moment(text)


@pytest.mark.parametrize(
    ("url", "database"),
    [
        pytest.param("a.parquet", False, id="a path"),
        pytest.param("postgresql", False, id="a folder of that name"),
        pytest.param("s3://bucket/a", False, id="an object store"),
        pytest.param("postgresql://db/x", True, id="PostgreSQL"),
        pytest.param("postgresql+psycopg://db/x", True, id="with a driver"),
        pytest.param("duckdb:///a.db", True, id="DuckDB"),
    ],
)
def test_the_scheme_tells_a_database(url: str, database: bool) -> None:
    """Only a URL of a database's scheme is one."""
    source = Source(url=url, table="t" if database else None)

    assert source.is_database is database


def test_a_share_cannot_be_above_one() -> None:
    """A threshold that no score can reach is an error for each bounded statistic."""
    for statistic in STATISTICS:
        limits = {statistic: {"warning": 5}}
        if statistic in UNBOUNDED:
            assert _model(thresholds=limits).threshold("any", statistic, "warning") == 5
        else:
            with pytest.raises(ValidationError, match="expected a share, at most 1"):
                _model(thresholds=limits)


def test_thresholds_replace_each_other_whole() -> None:
    """A column's thresholds win over the model's, those over the defaults, null takes away."""
    model = _model(
        thresholds={"psi": {"warning": 0.3}, "missing_ratio": None},
        features={"overrides": {"income": {"thresholds": {"psi": {"critical": 0.9}}}}},
    )

    assert model.threshold("age", "psi", "warning") == 0.3
    assert model.threshold("age", "psi", "critical") is None
    assert model.threshold("income", "psi", "warning") is None
    assert model.threshold("income", "psi", "critical") == 0.9
    assert model.threshold("age", "missing_ratio", "warning") is None
    assert model.threshold("age", "unseen_ratio", "warning") == 0.05


def test_globs_choose_features() -> None:
    """exclude is stronger than include, and a name alone stands for a list."""
    features = Features.model_validate({"include": "f_*", "exclude": ["f_id"]})

    assert [features.chosen(name) for name in ("f_a", "f_id", "g")] == [True, False, False]


def test_a_single_text_is_a_list_of_one() -> None:
    """prediction and segments may be one name; reference and current one URL."""
    model = _model(prediction="score", segments="region")

    assert (model.prediction, model.segments) == (("score",), ("region",))
    assert model.reference.url == "r.csv"


def test_the_spans_of_a_model_follow_each_other() -> None:
    """Timeout follows the interval, and backfill is never less than the longest window."""
    model = _model(interval="30s", windows=["1h", "7d"], backfill="1d")

    assert model.timeout_seconds == 60
    assert model.backfill_seconds == model.longest_window.seconds == 604_800
    assert model.slice_seconds == 300


def test_a_config_is_frozen() -> None:
    """Threads share a config, so nobody may change it."""
    config = Config(models=(_model(),))

    with pytest.raises(ValidationError, match="frozen"):
        config.max_series = 1  # type: ignore[misc]
