"""YAML that others read too, as plain data: rules, manifests, server configs."""

from typing import Any

from ruamel.yaml import YAML


def parsed(text: str) -> Any:
    """The one document of a text."""
    return YAML(typ="safe", pure=True).load(text)


def documents(text: str) -> list[Any]:
    """All documents of a text."""
    return list(YAML(typ="safe", pure=True).load_all(text))
