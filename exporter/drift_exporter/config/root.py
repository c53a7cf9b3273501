"""The config file as a whole, and where the store is.

Knows what models share; a model by itself is in ``model``.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from drift_exporter.config.access import Access
from drift_exporter.config.basics import CANARY, Duration, Model, PositiveDuration, wrong
from drift_exporter.config.model import ModelConfig
from drift_exporter.config.response import Response
from drift_exporter.config.sources import masked_url


class StoreConfig(Model):
    """Where slices, runs and history are kept."""

    url: str = Field(default="", repr=False)
    """URL of the store; by default SQLite in `data_dir`. `postgresql://…` for a shared store;
    `sqlite:///path.db` starts at the config file's folder, `sqlite:////path.db` at the root."""

    url_file: str | None = None
    """File that holds the URL, instead of `url`; read at start and reload."""

    retention: PositiveDuration = Duration(90 * 86400, "90d")
    """How long slices, runs and calibrations are kept; never less than the windows need."""

    audit_retention: PositiveDuration = Duration(730 * 86400, "730d")
    """How long entries of the audit log are kept; what is left verifies as before."""

    max_megabytes: PositiveInt = 2048
    """Size above which the oldest slices and calibrations go before their time."""

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


class Canary(Model):
    """A synthetic model, `drift-canary`, that drifts on purpose and proves that alerts arrive."""

    every: PositiveDuration = Duration(86400, "1d")
    """From drift to drift; they begin at multiples of it since 1970, for `1d` at midnight UTC."""

    lasts: PositiveDuration = Duration(1800, "30m")
    """How long each drift lasts, at least 20 minutes: an alert waits for the second bad run."""

    team: str = ""
    """Team that is told."""

    owner: str = ""
    """Person who is told."""

    tier: Literal["low", "medium", "high"] = "low"
    """Tier of the alerts: `low` never pages."""

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.lasts.seconds < 1200:
            raise wrong("at least 20m", self.lasts.text, "lasts")
        if self.lasts.seconds > self.every.seconds / 2:
            raise wrong(
                "at most half of every",
                self.lasts.text,
                "lasts",
                beside="every",
                value=self.every.text,
            )
        return self

    @property
    def model(self) -> ModelConfig:
        """The model that is monitored; its URL tells when it drifts."""
        url = f"canary://{self.every.seconds:.0f}/{self.lasts.seconds:.0f}"
        return ModelConfig.model_validate(
            {
                "name": CANARY,
                "owner": self.owner,
                "team": self.team,
                "tier": self.tier,
                "reference": url,
                "current": {"url": url, "lateness": "0s"},
                "interval": "1m",
                "slice": "1m",
                "windows": ["5m"],
            }
        )


class Config(Model):
    """The config file of drift-exporter."""

    models: Annotated[tuple[ModelConfig, ...], Field(min_length=1)]
    """The models that are monitored."""

    data_dir: Annotated[str, Field(min_length=1)] = "drift-data"
    """Folder for the store and the profiles that are built; relative to the config file."""

    store: StoreConfig = StoreConfig()
    """Where slices, runs and history are kept."""

    canary: Canary | None = None
    """A synthetic model that drifts on purpose; off by default, `{}` turns it on."""

    response: Response = Response()
    """How incidents are answered."""

    access: Access = Access()
    """Who may answer them."""

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
            if name == CANARY:
                raise wrong("a name that is not the canary's", name, index, "name")
        return value

    @property
    def watched(self) -> tuple[ModelConfig, ...]:
        """The models that are monitored, the canary too."""
        return (*self.models, self.canary.model) if self.canary else self.models
