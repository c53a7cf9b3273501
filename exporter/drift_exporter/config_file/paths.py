"""Relative paths of a config, made absolute from the folder of its file."""

import glob
import re
from pathlib import Path
from typing import TypeVar

from drift_exporter.config import (
    HAS_SCHEME,
    Access,
    Config,
    Model,
    ModelConfig,
    Response,
    Secret,
    Source,
)

_SourceT = TypeVar("_SourceT", bound=Source)


def placed(config: Config, folder: Path) -> Config:
    """The config with its relative paths made absolute."""
    store = config.store.model_copy(update={"url": _database(config.store.url, folder)})
    return config.model_copy(
        update={
            "models": tuple(_model_placed(model, folder) for model in config.models),
            "data_dir": _absolute(config.data_dir, folder),
            "store": store,
            "response": _response_placed(config.response, folder),
            "access": _access_placed(config.access, folder),
        }
    )


def _response_placed(response: Response, folder: Path) -> Response:
    actions = []
    for action in response.actions:
        update = _placed_keys(action, ("token_file", "ca_file"), folder)
        update["secret_headers"] = {
            name: _secret_placed(secret, folder) for name, secret in action.secret_headers.items()
        }
        if action.url_secret is not None:
            update["url_secret"] = _secret_placed(action.url_secret, folder)
        actions.append(action.model_copy(update=update))
    return response.model_copy(update={"actions": tuple(actions)})


def _secret_placed(secret: Secret, folder: Path) -> Secret:
    return secret.model_copy(update=_placed_keys(secret, ("file",), folder))


def _access_placed(access: Access, folder: Path) -> Access:
    tokens = tuple(
        token.model_copy(update=_placed_keys(token, ("token_file",), folder))
        for token in access.tokens
    )
    update = _placed_keys(access, ("webhook_token_file",), folder)
    return access.model_copy(update={**update, "tokens": tokens})


def _placed_keys(holder: Model, keys: tuple[str, ...], folder: Path) -> dict[str, object]:
    return {key: _absolute(getattr(holder, key), folder) for key in keys if getattr(holder, key)}


def _model_placed(model: ModelConfig, folder: Path) -> ModelConfig:
    update: dict[str, object] = {
        "reference": _source_placed(model.reference, folder),
        "current": _source_placed(model.current, folder),
    }
    if model.calibration.file:
        placed_file = _absolute(model.calibration.file, folder)
        update["calibration"] = model.calibration.model_copy(update={"file": placed_file})
    if model.profile:
        update["profile"] = _absolute(model.profile, folder)
    return model.model_copy(update=update)


def _source_placed(source: _SourceT, folder: Path) -> _SourceT:
    update = {"url": _database(source.url, folder)}
    if source.url and not HAS_SCHEME.match(source.url):
        # The folder's own name is no pattern, whatever characters it has.
        update["url"] = _absolute(source.url, Path(glob.escape(str(folder))))
    if source.password_file:
        update["password_file"] = _absolute(source.password_file, folder)
    return source.model_copy(update=update)


def _absolute(text: str, folder: Path) -> str:
    return str(folder / text)


def _database(url: str, folder: Path) -> str:
    """A database's file, as its engine writes a relative path: SQLite with three slashes."""
    match = re.match(r"(sqlite(?:\+\w+)?:///)(?!file:)([^/?:][^?]*)(.*)", url, re.DOTALL) or (
        re.match(r"(duckdb://)([^/?:][^?]*)(.*)", url, re.DOTALL)
    )
    if not match:
        return url
    scheme, path, query = match.groups()
    return f"{scheme}{_absolute(path, folder)}{query}"
