"""One line per record on stderr, as logfmt or JSON, with the keys of Prometheus' own programs.

Knows how a record is written and which libraries are quiet; never knows what is worth a line.
Uses the standard library only: a formatter is shorter than the setup of a logging library.
"""

import json
import logging
import math
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal, TextIO, get_args

from drift_exporter.errors import ConfigError, DriftExporterError

LogFormat = Literal["logfmt", "json"]

FORMATS: tuple[str, ...] = get_args(LogFormat)
"""Names of the formats."""

LEVELS: dict[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
"""Names of the levels, the most talkative first."""

Field = str | int | float | bool

_OWN = "drift_exporter"
_QUIET = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "apscheduler", "alembic")
# What every record has, and what uvicorn adds for terminals.
_NOT_EXTRA = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}
# What follows a scheme, up to a space or the next scheme.
_URL = re.compile(r"://((?:(?!://)\S)+)")
_PORT = re.compile(r"\d{1,5}[/?#]")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def setup(level: str, format: LogFormat, stream: TextIO | None = None) -> None:
    """Send all logs and warnings of the process to one stream, by default stderr.

    Our own records are written from ``level`` on, those of libraries from ``warn`` on.
    Calling it again replaces what was set up before.

    Raises
    ------
    ConfigError
        If the level or the format has no such name.
    """
    if level not in LEVELS:
        raise ConfigError(f"log level {level!r} is unknown, expected one of {', '.join(LEVELS)}")
    if format not in FORMATS:
        raise ConfigError(f"log format {format!r} is unknown, expected {' or '.join(FORMATS)}")
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(_Lines(logfmt if format == "logfmt" else json_line))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    quiet = max(LEVELS[level], logging.WARNING)
    root.setLevel(quiet)
    logging.getLogger(_OWN).setLevel(LEVELS[level])
    for name in _QUIET:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(quiet)
    # Its warnings quote whole addresses, and a part of one may be a secret.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    logging.captureWarnings(True)


def masked(text: str) -> str:
    """The text with ``***`` for the password of every URL in it.

    A second line of defence: where URLs are shown, ``config.masked_url`` comes first.
    """
    return _URL.sub(_masked_url, text)


def fields(record: logging.LogRecord) -> dict[str, Field]:
    """What is written of a record: time, level, source, msg, the extra fields, err, stack.

    ``err`` is the error and its causes. ``stack`` is there for errors that have no name of
    ours: those are faults of the program.
    """
    found: dict[str, Field] = {
        "time": _time(record.created),
        "level": _level(record.levelno),
        "source": f"{record.filename}:{record.lineno}",
        "msg": _text(record.getMessage()),
    }
    last = _error_fields(record)
    for key, value in vars(record).items():
        if key not in _NOT_EXTRA and value is not None:
            found[f"{key}_" if key in found or key in last else _text(key)] = _plain(value)
    return found | last


def logfmt(found: Mapping[str, Field]) -> str:
    """Fields as one line of logfmt, quoted as Go's ``log/slog`` does."""
    return " ".join(f"{_quoted(key)}={_quoted(_word(value))}" for key, value in found.items())


def json_line(found: Mapping[str, Field]) -> str:
    """Fields as one JSON object on one line."""
    return json.dumps(dict(found), ensure_ascii=False, allow_nan=False)


class _Lines(logging.Formatter):
    def __init__(self, write: Callable[[Mapping[str, Field]], str]) -> None:
        super().__init__()
        self._write = write

    def format(self, record: logging.LogRecord) -> str:
        return self._write(fields(record))


def _time(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec="milliseconds")
    return moment.replace("+00:00", "Z")


def _level(number: int) -> str:
    return next((name for name in reversed(LEVELS) if number >= LEVELS[name]), "debug")


def _error_fields(record: logging.LogRecord) -> dict[str, Field]:
    found: dict[str, Field] = {}
    error = record.exc_info[1] if record.exc_info else None
    stack = record.stack_info
    if error is not None:
        found["err"] = _text(_told(error))
        if not isinstance(error, DriftExporterError):
            stack = "".join(traceback.format_exception(error)).rstrip()
    if stack:
        found["stack"] = _text(stack)
    return found


def _told(error: BaseException) -> str:
    told: list[str] = []
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        told.append(f"{type(cause).__name__}: {cause}".removesuffix(": "))
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return "; caused by ".join(told)


def _plain(value: object) -> Field:
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _text(str(value))


def _text(text: str) -> str:
    # A lone surrogate (from the name of a file, say) cannot be written as UTF-8.
    return masked(text).encode("utf-8", "backslashreplace").decode("utf-8")


def _masked_url(match: re.Match[str]) -> str:
    # The last @ counts: a password may hold one. Every step is linear in the length.
    head, at, tail = match[1].rpartition("@")
    user, colon, password = head.partition(":")
    if not at or not colon or "/" in user or _PORT.match(password):
        return match[0]
    return f"://{user}:***@{tail}"


def _word(value: Field) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quoted(text: str) -> str:
    if text and text.isprintable() and not any(letter in ' "=' for letter in text):
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(letter: str) -> str:
    if letter in _ESCAPES or letter.isprintable():
        return _ESCAPES.get(letter, letter)
    code = ord(letter)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
