"""Templates of the config, filled with an incident in a sandbox.

Knows which names a template may use; nothing of what becomes of its text.
"""

import json
from collections.abc import Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from drift_exporter.errors import ConfigError, DriftExporterError

NAMES = frozenset({"incident", "action", "occasion", "key"})
"""Names that a template may use."""

MOST_CHARACTERS = 256 * 1024
"""Longest text that a template may give."""


class TemplateTextError(DriftExporterError):
    """A template of the config cannot be filled."""

    reason = "config"


def _in_json(value: object) -> object:
    """What a template puts into JSON: a text as the inside of a string, whatever it says.

    What ``tojson`` made is JSON already. A text of an alert must not be able to close a string
    and add keys of its own.
    """
    if isinstance(value, str) and not isinstance(value, Markup):
        return json.dumps(value)[1:-1]
    return value


# Not for HTML: texts go into plain text, or into JSON.
_TEXT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
_JSON = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, autoescape=False, finalize=_in_json
)


def check_template(where: str, text: str) -> None:
    """Make sure that a text is a template that uses known names only.

    Raises
    ------
    ConfigError
        If it is not; names the line.
    """
    try:
        parsed = _TEXT.parse(text)
        _TEXT.from_string(text)
    except TemplateSyntaxError as error:
        raise ConfigError(f"{where}: line {error.lineno} of the template: {error}") from error
    unknown = meta.find_undeclared_variables(parsed) - NAMES
    if unknown:
        raise ConfigError(
            f"{where}: the template uses {', '.join(sorted(unknown))}, which is unknown; expected "
            f"{', '.join(sorted(NAMES))}"
        )


def filled(where: str, text: str, values: Mapping[str, Any], *, in_json: bool = False) -> str:
    """The text of a template, filled; ``in_json`` where it is to be JSON.

    Raises
    ------
    TemplateTextError
        If a value is missing, the template does what the sandbox forbids, or gives too much.
    """
    parts: list[str] = []
    characters = 0
    try:
        environment = _JSON if in_json else _TEXT
        for part in environment.from_string(text).generate(values):
            parts.append(part)
            characters += len(part)
            if characters > MOST_CHARACTERS:
                raise TemplateTextError(
                    f"{where}: the template gives more than {MOST_CHARACTERS} characters; "
                    "give less of the incident"
                )
    except TemplateTextError:
        raise
    except Exception as error:
        # A template is a program of somebody else: whatever it raises is its own error.
        what = (
            str(error) if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
        )
        raise TemplateTextError(f"{where}: the template cannot be filled: {what}") from error
    return "".join(parts)
