"""Tokens of the API: who presents one.

Knows hashes of tokens, never keeps a token itself.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from drift_exporter.config.access import Access, Role
from drift_exporter.errors import ConfigError
from drift_exporter.exchange.secret_values import SecretError, read_secret

SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class Holder:
    """Somebody who has a token."""

    name: str
    role: Role
    groups: tuple[str, ...]
    digest: bytes = field(repr=False)


def holders(access: Access, environ: Mapping[str, str]) -> tuple[Holder, ...]:
    """Who has a token; the tokens are read here and not kept.

    Raises
    ------
    ConfigError
        If a token cannot be read, is short, or two have the same.
    """
    found: list[Holder] = []
    for token in access.tokens:
        where = f"access.tokens: {token.name}"
        secret = long_token(where, token.token_file, token.token_env, environ)
        digest = _digest(secret)
        if any(hmac.compare_digest(digest, other.digest) for other in found):
            raise ConfigError(f"{where}: somebody else has the same token; make another")
        found.append(Holder(token.name, token.role, token.groups, digest))
    return tuple(found)


def long_token(
    where: str, file: str | None, variable: str | None, environ: Mapping[str, str]
) -> str:
    """The token that a file, or else an environment variable, holds.

    Raises
    ------
    ConfigError
        If it cannot be read or is short; names where the config has it.
    """
    try:
        secret = read_secret(file, variable, environ)
    except SecretError as error:
        raise ConfigError(f"{where}: {error}") from error
    if len(secret) < SHORTEST_TOKEN:
        raise ConfigError(
            f"{where}: the token has {len(secret)} characters, expected {SHORTEST_TOKEN} or "
            "more, made at random"
        )
    return secret


def identify(known: tuple[Holder, ...], presented: str) -> Holder | None:
    """Who presents a token; as quick for a wrong one as for a right one."""
    digest, found = _digest(presented), None
    for holder in known:
        if hmac.compare_digest(digest, holder.digest):
            found = holder
    return found


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
