"""The web config file of exporter-toolkit: TLS, client certificates, users and headers.

Knows the file's schema and reads it. Never opens a certificate, never knows a route, never
writes a password or a hash into a message.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from drift_exporter.errors import DriftExporterError, WebConfigError

LoadYaml = Callable[[Path], object]
"""Reads a YAML file; raises a `DriftExporterError` or an `OSError`."""

_UNVERIFIED = ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert")

# The suites that Go's crypto/tls calls secure, under the names that OpenSSL gives them.
SUITES = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
}
_TLS13_SUITES = frozenset(
    {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
)
"""Not for choosing, in Go as here; naming them is no error."""

_HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""Headers that the file may set, with the values they may have; empty: any."""

_NOT_HERE = ("cert", "key", "client_ca", "curve_preferences", "rate_limit")
_BCRYPT = re.compile(r"\$2[abxy]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True
    )


class TlsServerConfig(_Model):
    """How connections are encrypted, and which clients are let in."""

    cert_file: str = Field(min_length=1)
    """Certificate of the server, PEM; relative paths start at the web config file's folder."""

    key_file: str = Field(min_length=1)
    """Private key of the certificate, PEM, without a passphrase."""

    client_auth_type: Literal[
        "NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"
    ] = "NoClientCert"
    """Whether a client has to show a certificate."""

    client_ca_file: str = ""
    """Certificates of the authorities that sign clients, PEM."""

    client_allowed_sans: tuple[str, ...] = ()
    """Names of which a client's certificate must have one: DNS, IP, e-mail or URI."""

    min_version: Literal["TLS12", "TLS13"] = "TLS12"
    """Oldest version of TLS."""

    max_version: Literal["TLS12", "TLS13"] = "TLS13"
    """Newest version of TLS."""

    cipher_suites: tuple[str, ...] = ()
    """Suites for TLS 1.2 by Go's names; by default those of OpenSSL."""

    prefer_server_cipher_suites: bool = True
    """Whether the server's order of suites counts."""

    @field_validator("client_auth_type", mode="before")
    @classmethod
    def _verified(cls, value: object) -> object:
        if value in _UNVERIFIED:
            raise ValueError(
                f"{value} lets unverified certificates in and is not supported; "
                "use RequireAndVerifyClientCert"
            )
        return value or "NoClientCert"

    @field_validator("cipher_suites")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in value if name not in SUITES and name not in _TLS13_SUITES]
        if unknown:
            raise ValueError(f"found {unknown}, known are {sorted({*SUITES, *_TLS13_SUITES})}")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        verifies = self.client_auth_type != "NoClientCert"
        if verifies and not self.client_ca_file:
            raise ValueError(f"client_auth_type {self.client_auth_type} needs client_ca_file")
        if self.client_ca_file and not verifies:
            raise ValueError(
                "client_ca_file without client_auth_type checks nobody; "
                "set client_auth_type to RequireAndVerifyClientCert"
            )
        if self.client_allowed_sans and self.client_auth_type != "RequireAndVerifyClientCert":
            raise ValueError(
                "client_allowed_sans needs client_auth_type RequireAndVerifyClientCert"
            )
        if self.min_version > self.max_version:
            raise ValueError(
                f"min_version {self.min_version} is above max_version {self.max_version}"
            )
        return self


class HttpServerConfig(_Model):
    """What every response carries."""

    http2: bool = False
    """Read and not used: we speak HTTP/1.1, to which every client falls back."""

    headers: dict[str, str] = Field(default_factory=dict)
    """Headers that replace ours; a blank value takes one away."""

    @field_validator("headers")
    @classmethod
    def _settable(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if name not in _HEADERS:
                raise ValueError(f"header {name!r} cannot be set, only {sorted(_HEADERS)}")
            if text and _HEADERS[name] and text not in _HEADERS[name]:
                raise ValueError(f"header {name!r} takes only {list(_HEADERS[name])}")
            if not (text.isascii() and text.isprintable()):
                raise ValueError(f"header {name!r} holds characters that no header may have")
        return value


class WebConfig(_Model):
    """The web config file."""

    tls_server_config: TlsServerConfig | None = None
    """TLS; without it the server speaks plain HTTP."""

    http_server_config: HttpServerConfig = HttpServerConfig()
    """Headers of the responses."""

    basic_auth_users: dict[str, str] = Field(default_factory=dict, repr=False)
    """Users and the bcrypt hashes of their passwords; without users everybody is let in."""

    @model_validator(mode="before")
    @classmethod
    def _without_empty_sections(cls, value: object) -> object:
        # "basic_auth_users:" with nothing below it is null in YAML and none in the toolkit.
        if not isinstance(value, dict):
            return value
        empty = {key for key in cls.model_fields if value.get(key) in (None, {})}
        return {key: section for key, section in value.items() if key not in empty}

    @field_validator("basic_auth_users")
    @classmethod
    def _hashed(cls, value: dict[str, str]) -> dict[str, str]:
        for user, text in value.items():
            if ":" in user or not user:
                raise ValueError(f"user {user!r} is empty or has a colon, which basic auth forbids")
            if not _BCRYPT.fullmatch(text):
                raise ValueError(
                    f"user {user!r} has no bcrypt hash; make one with 'htpasswd -nBC 10 \"\"'"
                )
        return value


def load_web_config(path: Path, load_yaml: LoadYaml) -> WebConfig:
    """Read a web config file; relative paths in it become paths from its folder.

    Raises
    ------
    WebConfigError
        If it cannot be read or is not valid; the message names every place.
    """
    try:
        found = load_yaml(path)
    except (OSError, DriftExporterError) as error:
        raise WebConfigError(f"{path}: cannot be read as YAML: {error}") from error
    try:
        config = WebConfig.model_validate({} if found is None else found)
    except ValidationError as error:
        lines = [_line(path, detail) for detail in error.errors(include_input=False)]
        raise WebConfigError("\n".join(lines)) from error
    tls = config.tls_server_config
    if tls is None:
        return config
    places = ("cert_file", "key_file", "client_ca_file")
    paths = {name: str(path.parent / text) for name in places if (text := getattr(tls, name))}
    return config.model_copy(update={"tls_server_config": tls.model_copy(update=paths)})


def _line(path: Path, detail: Any) -> str:
    place = ".".join(str(part) for part in detail["loc"]) or "top level"
    if detail["type"] == "extra_forbidden":
        key = str(detail["loc"][-1])
        if key in _NOT_HERE:
            return f"{path}: {place}: part of exporter-toolkit's schema but not supported here"
        return f"{path}: {place}: unknown key; known are {_known_keys(detail['loc'][:-1])}"
    return f"{path}: {place}: {detail['msg'].removeprefix('Value error, ')}"


def _known_keys(place: tuple[str | int, ...]) -> list[str]:
    sections: dict[tuple[str | int, ...], type[_Model]] = {
        (): WebConfig,
        ("tls_server_config",): TlsServerConfig,
        ("http_server_config",): HttpServerConfig,
    }
    return sorted(sections[place].model_fields)
