"""How incidents are answered: by which actions, and how fast somebody must look.

Knows keys, defaults and what does not go together; an action by itself is in ``action``.
"""

import re
from typing import Self

from pydantic import field_validator, model_validator

from drift_exporter.config.action import Action
from drift_exporter.config.basics import AnyDuration, Duration, Model, PositiveDuration, wrong


class AcknowledgeWithin(Model):
    """How soon somebody must have taken notice, by the model's tier."""

    high: PositiveDuration = Duration(900, "15m")
    """For models of tier `high`."""

    medium: PositiveDuration = Duration(3600, "1h")
    """For models of tier `medium`."""

    low: PositiveDuration = Duration(8 * 3600, "8h")
    """For models of tier `low`."""


class ResolveWithin(Model):
    """How soon it must be over, by the model's tier."""

    high: PositiveDuration = Duration(4 * 3600, "4h")
    """For models of tier `high`."""

    medium: PositiveDuration = Duration(24 * 3600, "24h")
    """For models of tier `medium`."""

    low: PositiveDuration = Duration(7 * 86400, "7d")
    """For models of tier `low`."""


class Response(Model):
    """How incidents are answered."""

    actions: tuple[Action, ...] = ()
    """What is done about incidents, and who must approve it."""

    public_url: str = ""
    """Address of this exporter's pages as people reach it; for links in messages and requests."""

    reopen_after: AnyDuration = Duration(3600, "1h")
    """How long after its resolution an incident is opened again by the same alert, rather than a
    new one."""

    quiet_after_promotion: AnyDuration = Duration(86400, "24h")
    """How long the drift of a model is not alerted on after a profile was promoted."""

    acknowledge_within: AcknowledgeWithin = AcknowledgeWithin()
    """How soon somebody must have taken notice of an incident."""

    resolve_within: ResolveWithin = ResolveWithin()
    """How soon an incident must be over."""

    @field_validator("public_url")
    @classmethod
    def _page(cls, value: str) -> str:
        match = re.fullmatch(r"https?://([^/?#\s]+)(/[^?#\s]*)?", value)
        if value and (match is None or "@" in match[1]):
            raise ValueError(
                "must be http:// or https://, a host and a path, without user, password or query"
            )
        return value.rstrip("/")

    @field_validator("actions")
    @classmethod
    def _names_once(cls, value: tuple[Action, ...]) -> tuple[Action, ...]:
        names = [action.name for action in value]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise wrong("a name that no other action has", name, index, "name")
        return value

    @model_validator(mode="after")
    def _in_time(self) -> Self:
        for tier in ("high", "medium", "low"):
            soon, late = getattr(self.acknowledge_within, tier), getattr(self.resolve_within, tier)
            if late <= soon:
                raise wrong(
                    "more than acknowledge_within",
                    late.text,
                    "resolve_within",
                    tier,
                    beside="acknowledge_within",
                    value=soon.text,
                )
        return self
