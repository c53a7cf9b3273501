"""TLS contexts from the web config file.

Knows certificates and what the ssl module makes of them; never the file they are named in.
"""

import ssl
from collections.abc import Iterator
from typing import Any

from drift_exporter.errors import WebConfigError
from drift_exporter.web.web_config import SUITES, TlsServerConfig

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}


def tls_context(config: TlsServerConfig) -> ssl.SSLContext:
    """Build the context that new connections are encrypted with.

    Raises
    ------
    WebConfigError
        If a file cannot be read, or certificate and key do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[config.min_version]
    context.maximum_version = _VERSIONS[config.max_version]
    context.set_alpn_protocols(["http/1.1"])
    suites = [SUITES[name] for name in config.cipher_suites if name in SUITES]
    if suites:
        try:
            context.set_ciphers(":".join(suites))
        except ssl.SSLError as error:
            raise WebConfigError(
                "tls_server_config.cipher_suites: this OpenSSL has none of them; name others"
            ) from error
    if not config.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    try:
        # The empty passphrase keeps OpenSSL from asking for one on the terminal.
        context.load_cert_chain(config.cert_file, config.key_file, password=lambda: "")
    except OSError as error:
        raise WebConfigError(
            f"tls_server_config: {config.cert_file} with {config.key_file}: {_why(error)}; "
            "both must be readable PEM files of one pair, the key without a passphrase"
        ) from error
    if config.client_ca_file:
        try:
            context.load_verify_locations(cafile=config.client_ca_file)
        except OSError as error:
            raise WebConfigError(
                f"tls_server_config.client_ca_file: {config.client_ca_file}: {_why(error)}; "
                "expected PEM certificates"
            ) from error
    context.verify_mode = _CLIENT_AUTH[config.client_auth_type]
    if config.client_allowed_sans:
        context.sslobject_class = _checking(frozenset(config.client_allowed_sans))
    return context


def _why(error: OSError) -> str:
    # An SSLError's text holds a line of OpenSSL's source; the reason is what a person needs.
    reason = getattr(error, "reason", None)
    return str(reason or error.strerror or "not PEM").replace("_", " ").lower()


def _checking(allowed: frozenset[str]) -> type[ssl.SSLObject]:
    """The class of connections whose handshake fails unless the client has an allowed name."""

    class NamedClient(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            if allowed.isdisjoint(_names(self.getpeercert() or {})):
                raise ssl.SSLCertVerificationError("the client's certificate has no allowed name")

    return NamedClient


def _names(certificate: Any) -> Iterator[str]:
    for _kind, name in certificate.get("subjectAltName", ()):
        yield name
