"""The config file: YAML and environment in, a Config or every error with its place out.

Knows where each value stands in the file and how to say what is wrong with it; never what
a key means (that is ``config``) and never shows a value that came from the environment,
from ``url_file`` or as the password of a URL.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from drift_exporter.config import Config, Threshold, default_thresholds, masked_url
from drift_exporter.config_file.document import Document, yaml_of
from drift_exporter.config_file.explain import explain
from drift_exporter.config_file.paths import placed

STORAGE_PATH = "DRIFT_EXPORTER_STORAGE_PATH"
"""Environment variable that is stronger than ``data_dir``, for containers; ``--storage.path``."""


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """Read the config file, with ``${NAME}`` replaced and paths made absolute.

    Raises
    ------
    ConfigError
        If it cannot be used; the message has a line per error, in the file's order.
    """
    document = Document(path, environ)
    folder = path.absolute().parent
    document.read_url_files(folder)
    if not isinstance(document.data, dict):
        found = document.places[()].found
        document.add((), f"found {found}, expected a mapping with the key models")
        raise document.error()
    try:
        config = Config.model_validate(document.data)
    except ValidationError as error:
        explain(error, document)
        # Not "from error": its text may hold values of the environment.
        raise document.error() from None
    if document.problems:
        raise document.error()
    config = placed(config, folder)
    moved = environ.get(STORAGE_PATH)
    if moved:
        config = config.model_copy(update={"data_dir": str(Path(moved).absolute())})
    return config


def load_yaml(path: Path) -> object:
    """Plain data of another YAML file: mappings with text as keys, lists, texts, numbers.

    Raises
    ------
    ConfigError
        If it cannot be read, is not YAML, or names a key twice.
    """
    document = Document(path, environ=None)
    if document.problems:
        raise document.error()
    return document.data


def dump_yaml(document: object) -> str:
    """Plain data as YAML, mappings in their own order, texts of several lines as blocks."""
    return yaml_of(document)


def masked_yaml(config: Config) -> str:
    """The config that runs, with its defaults, as YAML without secrets."""
    return yaml_of(_escaped(_masked(config)))


def config_hash(config: Config) -> str:
    """Twelve hex digits that tell configs apart, the same in every process.

    Secrets are masked first, so that nobody can test guesses of a password against it: to
    learn whether a password changed, compare the configs themselves.
    """
    canonical = json.dumps(_masked(config), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _masked(config: Config) -> dict[str, Any]:
    data: dict[str, Any] = config.model_dump(mode="json")
    places = [data["store"]]
    limits = {
        name: limit.model_dump() if isinstance(limit, Threshold) else limit
        for name, limit in default_thresholds().items()
    }
    for model in data["models"]:
        places += [model["reference"], model["current"]]
        model["thresholds"] = {**limits, **model["thresholds"]}
    places += data["response"]["actions"]
    for place in places:
        place["url"] = masked_url(place["url"])
    return data


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return value.replace("$", "$$") if isinstance(value, str) else value
