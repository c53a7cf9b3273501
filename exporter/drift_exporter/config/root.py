"""The config file as a whole, and where the store is.

Knows what models share; a model by itself is in ``model``.
"""

from typing import Annotated, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from drift_exporter.config.basics import Duration, Model, PositiveDuration, wrong
from drift_exporter.config.model import ModelConfig
from drift_exporter.config.sources import masked_url


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
