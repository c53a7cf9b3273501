"""What all models of the config are made of: durations, moments, names, and the strict base.

Knows how a value is written and what is wrong with it; no key of the config.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

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

CANARY = "drift-canary"
"""Name of the synthetic model."""

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


def as_mapping(value: object) -> object:
    """A plain text as the mapping that it is short for: ``{"url": text}``."""
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
