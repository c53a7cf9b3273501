"""Which code an error of the desk is, and requests' numbers and times as values.

Knows errors and codes; never a route or a page.
"""

from datetime import UTC, datetime

from fastapi.exceptions import RequestValidationError
from starlette.responses import JSONResponse, Response

from drift_exporter.errors import DriftExporterError, IncidentError, RoleError, StoreError

MOST_ID = 2**63 - 1
"""Largest number that a store can hold."""


def code_of(error: DriftExporterError, *, there: bool) -> int:
    """The code of an error: 403, 404 where what it is about is not there, 409 or 503."""
    if isinstance(error, StoreError):
        return 503
    if isinstance(error, RoleError):
        return 403
    if isinstance(error, IncidentError):
        return 409 if there else 404
    return 500


def told(error: RequestValidationError) -> Response:
    """What is wrong with a request, without what was sent: it may be long, secret or no text."""
    found = [
        {"loc": list(each["loc"]), "type": each["type"], "msg": each["msg"]}
        for each in error.errors()
    ]
    return JSONResponse({"detail": found}, 422)


def id_of(text: str) -> int:
    """The id that a part of a path is; 0, which nothing has, where it is none."""
    known = text.isascii() and text.isdecimal() and len(text) < 20
    return int(text) if known and int(text) <= MOST_ID else 0


def seconds_of(text: str) -> float:
    """Seconds since the epoch of a number of them, or of a date or time of ISO 8601.

    Raises
    ------
    ValueError
        If it is neither, or not between 1970 and the year 9999.

    Examples
    --------
    >>> seconds_of("86400"), seconds_of("1970-01-02"), seconds_of("1970-01-01T01:00:00+01:00")
    (86400.0, 86400.0, 0.0)
    """
    try:
        seconds = float(text)
    except ValueError:
        found = datetime.fromisoformat(text)
        seconds = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    if not 0 <= seconds < 253402300800:
        raise ValueError(f"found {text!r}, expected a time after 1970")
    return seconds
