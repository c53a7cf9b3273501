"""Secrets of files and of the environment, read when they are needed.

Knows where a secret is kept and what may be wrong with it; never shows one.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

from drift_exporter.errors import DriftExporterError

LARGEST_BYTES = 16 * 1024
HIDDEN = "***"
"""What stands in the place of a secret."""


class SecretError(DriftExporterError):
    """A secret cannot be read, or is none."""

    reason = "config"


def read_secret(file: str | None, variable: str | None, environ: Mapping[str, str]) -> str:
    """The secret that a file, or else an environment variable, holds.

    Raises
    ------
    SecretError
        If it is not there, is empty, or is not one line of printable ASCII.
    """
    where = file if file else f"the environment variable {variable}"
    if file:
        try:
            with Path(file).open("rb") as opened:
                content = opened.read(LARGEST_BYTES + 1)
        except OSError as error:
            raise SecretError(
                f"{file}: the secret cannot be read: {error.strerror}; is the path right?"
            ) from error
        if len(content) > LARGEST_BYTES:
            raise SecretError(f"{file}: has more than {LARGEST_BYTES} bytes; expected one secret")
        # latin-1 reads any bytes; what is no ASCII is refused below.
        text = content.decode("latin-1").strip()
    elif variable and variable in environ:
        text = environ[variable].strip()
    else:
        raise SecretError(f"{where} is not set; set it or use a file")
    if not text or not text.isascii() or not text.isprintable():
        raise SecretError(f"{where} must hold a secret of one line, of printable ASCII")
    return text


def hide(text: str, secrets: tuple[str, ...]) -> str:
    """A text without any of the secrets, in whatever form a receiver may have written them."""
    forms = {form for secret in filter(None, secrets) for form in _forms(secret)}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, HIDDEN)
    return text


def _forms(secret: str) -> Iterator[str]:
    """The secret, and as JSON, in an address and in base64."""
    yield secret
    yield json.dumps(secret)[1:-1]
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield base64.b64encode(secret.encode()).decode()


def basic_secrets(header: str) -> tuple[str, ...]:
    """User with password, and the password, of a header ``Basic …``; none of another one."""
    scheme, _, coded = header.partition(" ")
    if scheme.lower() != "basic":
        return ()
    try:
        found = base64.b64decode(coded.strip(), validate=True).decode()
    except ValueError:
        return ()
    return (found, found.partition(":")[2])
