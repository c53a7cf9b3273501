"""What the commands ask of a running exporter, over its HTTP interface.

Knows addresses, tokens and what an answer's code means; never what is asked for.
"""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlencode

import click

from drift_exporter.cli.options import Command
from drift_exporter.errors import DriftExporterError

TOKEN = "DRIFT_EXPORTER_TOKEN"  # noqa: S105 - the name of the variable
TIMEOUT_SECONDS = 60.0
_LONGEST_TOKEN = 4096
_LONGEST_ERROR = 2000


class AskingError(DriftExporterError):
    """A running exporter does not answer, or refuses."""

    reason = "asking"

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        """Status of the answer; None where there was none."""


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the token must not go where the user did not say."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_Stay)


@dataclass(frozen=True)
class Exporter:
    """A running exporter, and the token that it is asked with."""

    url: str
    token: str = field(default="", repr=False)

    def document(self, path: str, **query: Any) -> Any:
        """What a path answers, read as JSON."""
        return self._read(self._request("GET", path, query))

    def do(self, path: str, body: Mapping[str, Any]) -> Any:
        """What a path answers to a POST, read as JSON."""
        request = self._request("POST", path, {})
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
        return self._read(request)

    def text(self, path: str, *, method: str = "GET", **query: Any) -> str:
        """What a path answers, as text."""
        with closing(self._open(self._request(method, path, query))) as answer:
            return self._whole(answer).decode("utf-8", "replace")

    def lines(self, path: str, **query: Any) -> Iterator[str]:
        """Lines that a path answers, as they come."""
        with closing(self._open(self._request("GET", path, query))) as answer:
            try:
                for line in answer:
                    yield line.decode("utf-8", "replace").rstrip("\n")
            except OSError as error:
                raise AskingError(f"{self.url}: the answer broke off ({error})") from error

    def _read(self, request: urllib.request.Request) -> Any:
        with closing(self._open(request)) as answer:
            body = self._whole(answer)
        try:
            return json.loads(body) if body.strip() else None
        except ValueError as error:
            raise AskingError(
                f"{self.url}: the answer is no JSON; is this the address of drift-exporter?"
            ) from error

    def _whole(self, answer: IO[bytes]) -> bytes:
        try:
            return answer.read()
        except OSError as error:
            raise AskingError(f"{self.url}: the answer broke off ({error})") from error

    def _request(self, method: str, path: str, query: Mapping[str, Any]) -> urllib.request.Request:
        given = {key: value for key, value in query.items() if value not in (None, (), "")}
        asked = f"?{urlencode(given, doseq=True)}" if given else ""
        address = f"{self.url.rstrip('/')}{path}{asked}"
        if not address.startswith(("http://", "https://")):
            raise AskingError(f"{self.url}: expected an address that begins with http(s)://")
        try:
            request = urllib.request.Request(address, method=method)  # noqa: S310 - checked above
        except ValueError as error:
            raise AskingError(f"{self.url}: not an address ({error})") from error
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        return request

    def _open(self, request: urllib.request.Request) -> IO[bytes]:
        try:
            answer: IO[bytes] = _OPENER.open(request, timeout=TIMEOUT_SECONDS)
        except urllib.error.HTTPError as error:
            with closing(error):
                raise AskingError(self._refusal(error), error.code) from error
        except (OSError, ValueError) as error:
            why = getattr(error, "reason", error)
            raise AskingError(
                f"{self.url} does not answer ({why}); give the exporter's address with --url"
            ) from error
        return answer

    def _refusal(self, error: urllib.error.HTTPError) -> str:
        said = _said(error)
        if error.code == 401:
            more = f" ({said})" if said else ""
            if self.token:
                return f"{self.url} does not accept the token: is it one of the config's?{more}"
            return (
                f"{self.url} does not know who asks: give a token with --token-file or {TOKEN}"
                f"{more}"
            )
        if error.code == 403:
            return f"not allowed: {said or 'the role of the token does not suffice'}"
        if error.code == 404:
            return f"not found: {said or f'{self.url} has no such page; is it the right release?'}"
        if error.code == 409:
            return f"not possible: {said or 'it is not in the state for that'}"
        if 300 <= error.code < 400:
            return f"{self.url} answers from another place; give the address itself with --url"
        return f"{self.url} answered {error.code}" + (f": {said}" if said else "")


def _said(error: urllib.error.HTTPError) -> str:
    """What the exporter says about a refusal."""
    try:
        text = error.read(_LONGEST_ERROR).decode("utf-8", "replace")
        found = json.loads(text)
    except (OSError, ValueError):
        return ""
    said = found.get("detail") if isinstance(found, dict) else None
    if isinstance(said, list):
        said = "; ".join(str(each.get("msg", "")) for each in said if isinstance(each, dict))
    return shown(said) if isinstance(said, str) else ""


def exporter_of(url: str, token_file: Path | None) -> Exporter:
    """The exporter that the options name.

    Raises
    ------
    AskingError
        If the token cannot be read.
    """
    token = os.environ.get(TOKEN, "")
    if token_file is not None:
        try:
            with token_file.open(encoding="utf-8") as file:
                token = file.read(_LONGEST_TOKEN)
        except (OSError, UnicodeDecodeError) as error:
            raise AskingError(f"{token_file}: the token cannot be read") from error
    token = token.strip()
    if not (token.isascii() and token.isprintable()):
        raise AskingError("the token is not one line of ASCII")
    return Exporter(url, token)


def asking(command: Command) -> Command:
    """The options of a command that asks a running exporter."""
    given: tuple[Callable[[Command], Command], ...] = (
        click.option(
            "--token-file",
            type=click.Path(path_type=Path, dir_okay=False),
            default=None,
            help=f"File that holds the token; by default {TOKEN} of the environment.",
        ),
        click.option(
            "--url",
            envvar="DRIFT_EXPORTER_URL",
            default="http://127.0.0.1:10033",
            show_default=True,
            help="The running exporter.",
        ),
    )
    for option in given:
        command = option(command)
    return command


def part(text: str) -> str:
    """A text as a part of a path."""
    return quote(text, safe="")


def shown(value: object) -> str:
    """A value fit for a terminal: what came in with an alert may not command it.

    Examples
    --------
    >>> shown("a\\x1b[31mb\\nc"), shown(None)
    ('a [31mb c', '')
    """
    if value is None:
        return ""
    return "".join(c if c.isprintable() else " " for c in str(value))
