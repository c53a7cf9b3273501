"""Templates of the config, filled with an incident in a sandbox.

Knows which names a template may use; nothing of what becomes of its text.
"""

from collections.abc import Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from drift_exporter.errors import ConfigError, DriftExporterError

NAMES = frozenset({"incident", "action", "occasion", "key"})
"""Names that a template may use."""

MOST_CHARACTERS = 256 * 1024
"""Longest text that a template may give."""


class TemplateTextError(DriftExporterError):
    """A template of the config cannot be filled."""

    reason = "config"


# Not for HTML: values are JSON (tojson) or plain text.
_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)


def check_template(where: str, text: str) -> None:
    """Make sure that a text is a template that uses known names only.

    Raises
    ------
    ConfigError
        If it is not; names the line.
    """
    try:
        parsed = _ENVIRONMENT.parse(text)
        _ENVIRONMENT.from_string(text)
    except TemplateSyntaxError as error:
        raise ConfigError(f"{where}: line {error.lineno} of the template: {error}") from error
    unknown = meta.find_undeclared_variables(parsed) - NAMES
    if unknown:
        raise ConfigError(
            f"{where}: the template uses {', '.join(sorted(unknown))}, which is unknown; expected "
            f"{', '.join(sorted(NAMES))}"
        )


def filled(where: str, text: str, values: Mapping[str, Any]) -> str:
    """The text of a template, filled.

    Raises
    ------
    TemplateTextError
        If a value is missing, the template does what the sandbox forbids, or gives too much.
    """
    parts: list[str] = []
    characters = 0
    try:
        for part in _ENVIRONMENT.from_string(text).generate(values):
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
