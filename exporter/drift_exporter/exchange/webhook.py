"""What Alertmanager sends to a webhook, version 4, read strictly and without trust.

Knows the body's form and its limits; knows no model, incident or store.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from drift_exporter.errors import DeliveryError
from drift_exporter.incident import Alert

VERSION = "4"
"""The version of the body that is understood."""

MAX_BODY_BYTES = 64 * 2**20
MAX_ALERTS = 20_000
MAX_LABELS = 100
"""Labels of an alert, and annotations."""

MAX_NAME_CHARACTERS = 256
"""Of the name of a label or annotation."""

MAX_LABEL_CHARACTERS = 4096
MAX_ANNOTATION_CHARACTERS = 65_536

_FINGERPRINT = re.compile(r"[0-9A-Za-z_-]{1,64}")
_YEAR_9999 = 253_370_764_800.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_PLACE = 100

_Name = Annotated[str, Field(max_length=MAX_NAME_CHARACTERS)]
_Label = Annotated[str, Field(max_length=MAX_LABEL_CHARACTERS)]
_Annotation = Annotated[str, Field(max_length=MAX_ANNOTATION_CHARACTERS)]

_TOO_LARGE = ("string_too_long", "too_long")
"""Types of pydantic's errors that tell of a limit."""


class _Model(BaseModel):
    # Later versions of Alertmanager add keys.
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class _Head(_Model):
    version: str


class _Alert(_Model):
    status: Literal["firing", "resolved"]
    labels: dict[_Name, _Label] = Field(max_length=MAX_LABELS)
    annotations: dict[_Name, _Annotation] = Field(default_factory=dict, max_length=MAX_LABELS)
    starts_at: AwareDatetime = Field(alias="startsAt")
    ends_at: AwareDatetime | None = Field(default=None, alias="endsAt")
    fingerprint: str = ""


class _Body(_Model):
    alerts: list[_Alert] = Field(max_length=MAX_ALERTS)
    group_key: str = Field(default="", alias="groupKey")
    receiver: str = ""
    truncated_alerts: int = Field(default=0, ge=0, alias="truncatedAlerts")


@dataclass(frozen=True)
class Delivery:
    """One request of Alertmanager."""

    alerts: tuple[Alert, ...]
    """All, those too that name no model; their ``model`` is empty."""

    truncated: int = 0
    """How many alerts Alertmanager left out."""

    group_key: str = ""
    receiver: str = ""


def parse(body: bytes) -> Delivery:
    """Read the body of a webhook's request.

    Raises
    ------
    DeliveryError
        If it is not of version 4, too large, or not what Alertmanager sends.
    """
    if len(body) > MAX_BODY_BYTES:
        raise DeliveryError(
            f"the body has {len(body)} bytes, at most {MAX_BODY_BYTES} are taken; set max_alerts "
            "in Alertmanager's webhook_configs",
            "too_large",
        )
    try:
        version = _Head.model_validate_json(body).version
        if version != VERSION:
            raise DeliveryError(
                f"the body has version {version[:20]!r}, expected {VERSION!r}; send alerts with "
                "Alertmanager's webhook_configs",
                "version",
            )
        found = _Body.model_validate_json(body)
    except ValidationError as error:
        raise _refused(error) from None
    alerts = tuple(_alert(alert, i) for i, alert in enumerate(found.alerts))
    return Delivery(alerts, found.truncated_alerts, found.group_key, found.receiver)


def _alert(alert: _Alert, number: int) -> Alert:
    labels = alert.labels
    fingerprint = alert.fingerprint or _fingerprint(labels)
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise DeliveryError(
            f"alerts.{number}.fingerprint: expected letters and digits, 64 at most", "malformed"
        )
    starts_at = _seconds(alert.starts_at)
    if starts_at is None:
        raise DeliveryError(
            f"alerts.{number}.startsAt: expected a time between 1970 and 9999", "malformed"
        )
    ends_at = None if alert.ends_at is None else _seconds(alert.ends_at)
    return Alert(
        fingerprint=fingerprint,
        name=labels.get("alertname", ""),
        model=labels.get("model", ""),
        status=alert.status,
        severity=labels.get("severity", ""),
        starts_at=starts_at,
        ends_at=ends_at if alert.status == "resolved" else None,
        labels=labels,
        annotations=alert.annotations,
    )


def _seconds(time: datetime) -> float | None:
    """Seconds since the epoch; None for the year 1, which Go writes where it has no time.

    Of the year 9999 there are times that are in the year 10000 elsewhere, which no text can say.
    """
    seconds = (time - _EPOCH).total_seconds()
    return seconds if 0 < seconds < _YEAR_9999 else None


def _fingerprint(labels: dict[str, str]) -> str:
    """What tells labels apart, for an Alertmanager that sends no fingerprint."""
    return hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()[:16]


def _refused(error: ValidationError) -> DeliveryError:
    """What is wrong with a body, without what it says."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    first = found[0]
    place = ".".join(str(part) for part in first["loc"])
    shown = place.encode("ascii", "replace").decode()[:_LONGEST_PLACE] or "the body"
    why: Literal["too_large", "malformed"] = "malformed"
    if any(one["type"] in _TOO_LARGE for one in found):
        why = "too_large"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return DeliveryError(f"{shown}: {first['msg']}{more}", why)
