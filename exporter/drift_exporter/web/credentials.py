"""Who a request says it is: a token, or the user that the gate let in.

Knows the Authorization header; never a route or a password.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import NamedTuple

from starlette.types import Scope

from drift_exporter.incident.case import NOBODY, Person
from drift_exporter.web.desk_parts import People

USER = "drift_exporter.user"
"""Where a scope keeps the user whose password the gate found right."""

PERSON = "drift_exporter.person"
"""Where a scope keeps who asks."""


class Shown(NamedTuple):
    """Who asks, and whether a browser may have been made to say so by another site."""

    person: Person
    by_itself: bool
    """Whether the client chose to show it: browsers never send bearer tokens on their own."""


def authorization_of(scope: Scope) -> str:
    """The Authorization header; empty where there is none."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            return bytes(value).decode("latin-1")
    return ""


def bearer_of(authorization: str) -> str:
    """The bearer token of an Authorization header; empty where there is none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def basic_of(authorization: str) -> tuple[str, bytes] | None:
    """User name and password of an Authorization header, or None."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (name.decode(), password) if colon else None
    except (binascii.Error, UnicodeDecodeError):
        return None


def by_token(people: People, authorization: str) -> Person | None:
    """Who shows a token: as a bearer, or as the password of the user of the same name.

    A browser can show it in the second way alone.
    """
    token = bearer_of(authorization)
    if token:
        return people.by_token(token)
    basic = basic_of(authorization)
    if basic is None:
        return None
    found = people.by_token(basic[1].decode("latin-1"))
    return found if found is not None and found.name == basic[0] else None


def shown(people: People, scope: Scope) -> Shown:
    """Who asks, as far as it is proven."""
    authorization = authorization_of(scope)
    found = by_token(people, authorization)
    if found is None and USER in scope:
        found = people.by_user(scope[USER])
    return Shown(found or NOBODY, bool(bearer_of(authorization)))


class FormTokens:
    """Tokens of forms: another site cannot know them, so it cannot send our forms."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def token(self, person: Person) -> str:
        """The token of a person's forms, as long as the process lives."""
        return hmac.new(self._key, b"form\0" + person.name.encode(), hashlib.sha256).hexdigest()

    def right(self, person: Person, token: str) -> bool:
        """Whether a form has the person's token."""
        return hmac.compare_digest(self.token(person).encode(), token.encode("utf-8", "replace"))
