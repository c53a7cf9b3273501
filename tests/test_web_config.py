"""The web config file: its schema, users, TLS, client certificates, and changes while running."""

import asyncio
import base64
import logging
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from drift_exporter.config_file import dump_yaml, load_yaml
from drift_exporter.errors import WebConfigError
from drift_exporter.web import auth
from drift_exporter.web.serving import Server
from drift_exporter.web.web_config import WebConfig, load_web_config

SECRET = "correct horse"


def hashed(password: str) -> str:
    """A bcrypt hash at the lowest cost."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


HASH = hashed(SECRET)


def write(path: Path, content: Any) -> None:
    """Put a file in its place at once, as `mv` and Kubernetes do."""
    new = path.with_suffix(".new")
    new.write_text(content if isinstance(content, str) else dump_yaml(content), "utf-8")
    new.replace(path)


async def _hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


def _app() -> Starlette:
    app = Starlette()
    for path in ("/", "/-/healthy", "/-/ready"):
        app.add_route(path, _hello, methods=["GET"])
    return app


@contextmanager
def serving(web_config: Path) -> Iterator[str]:
    """The URL of a server with a web config."""
    server = Server(_app(), ["127.0.0.1:0"], web_config, load_yaml)
    server.start()
    try:
        yield f"{server.scheme}://localhost:{server.addresses[0].port}"
    finally:
        server.stop()


def get(url: str, user: str = "", password: str = "", **settings: Any) -> httpx.Response:
    """One request on a connection of its own."""
    credentials = (user, password) if user else None
    return httpx.get(url, auth=credentials, trust_env=False, **settings)


# The file ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="empty"),
        pytest.param({"basic_auth_users": None}, id="empty section"),
        pytest.param({"basic_auth_users": {"a": HASH}}, id="users"),
        pytest.param({"basic_auth_users": {"a": HASH.replace("$2b", "$2y")}}, id="by htpasswd"),
        pytest.param({"http_server_config": {"http2": True}}, id="http2"),
        pytest.param({"http_server_config": {"headers": {"X-Frame-Options": "deny"}}}, id="header"),
        pytest.param({"tls_server_config": {"cert_file": "a", "key_file": "b"}}, id="tls"),
        pytest.param({"tls_server_config": {}}, id="no tls"),
    ],
)
def test_files_that_are_good(tmp_path: Path, content: object) -> None:
    """What exporter-toolkit takes is taken."""
    write(tmp_path / "web.yml", content)

    assert isinstance(load_web_config(tmp_path / "web.yml", load_yaml), WebConfig)


TLS = {"cert_file": "a", "key_file": "b"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param({"tls": {}}, r"tls: unknown key; known are \['basic_auth", id="unknown"),
        pytest.param(
            {"tls_server_config": {**TLS, "certfile": "x"}},
            r"tls_server_config\.certfile: unknown key; known are \['cert_file'",
            id="unknown below",
        ),
        pytest.param(
            {"rate_limit": {"burst": 1}}, "rate_limit: part of exporter-toolkit's", id="not here"
        ),
        pytest.param({"tls_server_config": {"cert_file": "a"}}, "key_file: Field req", id="no key"),
        pytest.param(
            {"tls_server_config": {**TLS, "client_auth_type": "RequireAnyClientCert"}},
            "client_auth_type: RequireAnyClientCert lets unverified",
            id="unverified clients",
        ),
        pytest.param(
            {"tls_server_config": {**TLS, "client_auth_type": "RequireAndVerifyClientCert"}},
            "needs client_ca_file",
            id="clients without authority",
        ),
        pytest.param(
            {"tls_server_config": {**TLS, "client_ca_file": "c"}},
            "checks nobody",
            id="authority without clients",
        ),
        pytest.param(
            {"tls_server_config": {**TLS, "client_allowed_sans": ["x"]}},
            "client_allowed_sans needs",
            id="names without clients",
        ),
        pytest.param(
            {"tls_server_config": {**TLS, "min_version": "TLS10"}}, "min_version", id="old TLS"
        ),
        pytest.param(
            {"tls_server_config": {**TLS, "min_version": "TLS13", "max_version": "TLS12"}},
            "above max_version",
            id="versions crossed",
        ),
        pytest.param(
            {"tls_server_config": {**TLS, "cipher_suites": ["TLS_RSA_WITH_RC4_128_SHA"]}},
            "cipher_suites: found",
            id="weak suite",
        ),
        pytest.param(
            {"http_server_config": {"headers": {"X-Own": "1"}}}, "'X-Own' cannot", id="own header"
        ),
        pytest.param(
            {"http_server_config": {"headers": {"X-Frame-Options": "allow"}}},
            "takes only",
            id="header's value",
        ),
        pytest.param(
            {"http_server_config": {"headers": {"X-XSS-Protection": "1\r\nSet-Cookie: a"}}},
            "characters",
            id="header with a line break",
        ),
        pytest.param({"basic_auth_users": {"a": "plain"}}, "'a' has no bcrypt", id="plain text"),
        pytest.param({"basic_auth_users": {"a:b": HASH}}, "colon", id="user with a colon"),
        pytest.param(["a"], "top level", id="a list"),
        pytest.param("a: [", "cannot be read as YAML", id="not YAML"),
    ],
)
def test_files_that_are_not(tmp_path: Path, content: object, message: str) -> None:
    """What is not understood is refused, with its place."""
    write(tmp_path / "web.yml", content)

    with pytest.raises(WebConfigError, match=message) as caught:
        load_web_config(tmp_path / "web.yml", load_yaml)
    assert "web.yml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there stops the start."""
    with pytest.raises(WebConfigError, match=r"gone\.yml"):
        Server(_app(), ["127.0.0.1:0"], tmp_path / "gone.yml", load_yaml).start()


def test_no_message_holds_a_password_or_hash(tmp_path: Path) -> None:
    """A wrong file's error shows neither what stands for a password nor a hash."""
    write(tmp_path / "web.yml", {"basic_auth_users": {"a": SECRET, "b": HASH}, "x": SECRET})

    with pytest.raises(WebConfigError) as caught:
        load_web_config(tmp_path / "web.yml", load_yaml)
    assert SECRET not in str(caught.value)
    assert HASH not in str(caught.value)
    assert HASH not in repr(WebConfig(basic_auth_users={"a": HASH}))


# Users -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that lets one user in."""
    path = tmp_path_factory.mktemp("web") / "web.yml"
    long, odd = hashed("l" * 72), hashed("pässwörd:with:colons")
    users = {"prometheus": HASH, "long": long, "jürgen": odd}
    write(path, {"basic_auth_users": users})
    with serving(path) as url:
        yield url


def basic(text: bytes) -> dict[str, str]:
    """The header of basic authentication."""
    return {"Authorization": f"Basic {base64.b64encode(text).decode()}"}


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        pytest.param({}, 401, id="nobody"),
        pytest.param(basic(b"prometheus:correct horse"), 200, id="right"),
        pytest.param(basic(b"prometheus:correct horse"), 200, id="right again"),
        pytest.param(basic(b"prometheus:wrong"), 401, id="wrong"),
        pytest.param(basic(b"prometheus:"), 401, id="empty"),
        pytest.param(basic(b"other:correct horse"), 401, id="unknown user"),
        pytest.param(basic(b"prometheus"), 401, id="no colon"),
        pytest.param(basic("jürgen:pässwörd:with:colons".encode()), 200, id="colons and umlauts"),
        pytest.param(basic(b"long:" + b"l" * 90), 200, id="bcrypt reads 72 bytes"),
        pytest.param(basic(b"long:" + b"l" * 71), 401, id="and all of them"),
        pytest.param(basic(b"\xff:x"), 401, id="not UTF-8"),
        pytest.param(basic(b"prometheus:correct\0horse"), 401, id="a zero byte"),
        pytest.param({"Authorization": "Basic %%%"}, 401, id="not base64"),
        pytest.param({"Authorization": "Bearer abc"}, 401, id="another scheme"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/-/healthy", "/-/ready", "/nothing"])
def test_users(guarded: str, path: str, headers: dict[str, str], code: int) -> None:
    """Every path asks for user and password, health too, as exporter-toolkit does."""
    answer = get(guarded + path, headers=headers)

    assert (answer.status_code == 401) == (code == 401)
    if code == 401:
        assert answer.headers["www-authenticate"].startswith("Basic ")
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The hashes that bcrypt was really asked about."""
    seen: list[bytes] = []
    real = bcrypt.checkpw

    def counting(password: bytes, hashed_password: bytes) -> bool:
        seen.append(hashed_password)
        return real(password, hashed_password)

    monkeypatch.setattr(bcrypt, "checkpw", counting)
    return seen


def answers(users: dict[str, str], *credentials: bytes) -> list[bool]:
    """What one keeper of passwords says to credentials, one after the other."""

    async def ask() -> list[bool]:
        passwords = auth.Passwords()
        try:
            return [
                await passwords.right(users, basic(text)["Authorization"]) for text in credentials
            ]
        finally:
            passwords.close()

    return asyncio.run(ask())


def test_right_passwords_are_remembered(asked: list[bytes]) -> None:
    """bcrypt runs once for a right password, and each time for a wrong one."""
    right, wrong = b"a:correct horse", b"a:wrong"

    assert answers({"a": HASH}, right, wrong, right, wrong, right) == [
        True,
        False,
        True,
        False,
        True,
    ]
    assert len(asked) == 3


def test_unknown_users_cost_the_same(asked: list[bytes]) -> None:
    """A user that does not exist costs one bcrypt run of the dearest user's cost."""
    dear = HASH.replace("$04$", "$05$")

    assert answers({"a": HASH, "b": dear}, b"nobody:x") == [False]
    assert [hash_[:7] for hash_ in asked] == [b"$2b$05$"]


def test_the_memory_is_bounded_and_holds_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered has an end, and is a keyed hash."""
    monkeypatch.setattr(auth, "_REMEMBERED", 2)
    users = dict.fromkeys("abc", HASH)
    passwords = auth.Passwords()

    async def ask() -> None:
        for name in "abc":
            await passwords.right(users, basic(f"{name}:{SECRET}".encode())["Authorization"])

    asyncio.run(ask())
    passwords.close()

    remembered = list(passwords._right)
    assert len(remembered) == 2
    assert all(len(mark) == 32 and SECRET.encode() not in mark for mark in remembered)


# Changes while running -----------------------------------------------------------------------


def test_users_change_without_restart(tmp_path: Path) -> None:
    """A new file holds from the next request on; a removed user is out at once."""
    path = tmp_path / "web.yml"
    write(path, {"basic_auth_users": {"a": HASH}})
    with serving(path) as url:
        assert get(url, "a", SECRET).status_code == 200
        write(path, {"basic_auth_users": {"a": hashed("new"), "b": HASH}})
        codes = [get(url, *who).status_code for who in (("a", SECRET), ("a", "new"), ("b", SECRET))]
        write(path, {})
        open_to_all = get(url).status_code

    assert codes == [401, 200, 200]
    assert open_to_all == 200


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param("a: [", id="not YAML"),
        pytest.param({"basic_auth_users": {"a": "plain"}}, id="no hash"),
        pytest.param({"unknown": 1}, id="unknown key"),
        pytest.param({"tls_server_config": {"cert_file": "c", "key_file": "k"}}, id="no such file"),
    ],
)
def test_a_bad_file_is_not_taken_over(
    tmp_path: Path, bad: object, caplog: pytest.LogCaptureFixture
) -> None:
    """A new file that is bad leaves the old one in force, and is logged once."""
    path = tmp_path / "web.yml"
    write(path, {"basic_auth_users": {"a": HASH}})
    with caplog.at_level(logging.ERROR, logger="drift_exporter"), serving(path) as url:
        write(path, bad)
        codes = [get(url).status_code, get(url, "a", SECRET).status_code]
        write(path, {"basic_auth_users": {"a": hashed("new")}})
        after = get(url, "a", "new").status_code

    assert codes == [401, 200]
    assert after == 200
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "the one before stays" in caplog.text


def test_a_file_that_goes_away_changes_nothing(tmp_path: Path) -> None:
    """A file that is removed does not open the door."""
    path = tmp_path / "web.yml"
    write(path, {"basic_auth_users": {"a": HASH}})
    with serving(path) as url:
        path.unlink()
        assert get(url).status_code == 401
        assert get(url, "a", SECRET).status_code == 200


def test_headers_replace_ours(tmp_path: Path) -> None:
    """A configured header replaces ours, a blank one takes it away."""
    path = tmp_path / "web.yml"
    headers = {"Content-Security-Policy": "", "X-Frame-Options": "sameorigin"}
    write(path, {"http_server_config": {"headers": headers}})
    with serving(path) as url:
        answer = get(url)

    assert "content-security-policy" not in answer.headers
    assert answer.headers["x-frame-options"] == "sameorigin"
    assert answer.headers["x-content-type-options"] == "nosniff"


# TLS ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    cert: Path
    key: Path


def make_pair(folder: Path, name: str, issuer: Pair | None, *more: str) -> Pair:
    """Make a certificate, signed by itself or by an issuer."""
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    signed = ["-CA", str(issuer.cert), "-CAkey", str(issuer.key)] if issuer else []
    extensions = [part for text in more for part in ("-addext", text)]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(pair.key), "-out", str(pair.cert)]
    subprocess.run(
        ["openssl", "req", "-x509", *curve, "-subj", f"/CN={name}", *files, *signed, *extensions],
        check=True,
        capture_output=True,
    )
    return pair


@dataclass(frozen=True)
class Certificates:
    """An authority and those it signed, and one that it did not."""

    authority: Pair
    server: Pair
    rotated: Pair
    client: Pair
    stranger: Pair


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates of this module's own authority."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = make_pair(folder, "authority", None)
    leaf = "basicConstraints=critical,CA:FALSE"
    local = "subjectAltName=DNS:localhost"
    return Certificates(
        authority=authority,
        server=make_pair(folder, "server", authority, leaf, local),
        rotated=make_pair(folder, "rotated", authority, leaf, local),
        client=make_pair(folder, "client", authority, leaf, "subjectAltName=DNS:prometheus"),
        stranger=make_pair(folder, "stranger", None, "subjectAltName=DNS:prometheus"),
    )


def trusting(certificates: Certificates, client: Pair | None = None) -> ssl.SSLContext:
    """What a client needs to trust the server, and to be known by it."""
    context = ssl.create_default_context(cafile=str(certificates.authority.cert))
    if client is not None:
        context.load_cert_chain(client.cert, client.key)
    return context


def install(folder: Path, pair: Pair) -> None:
    """Put a pair where the web config points to."""
    write(folder / "tls.key", pair.key.read_text())
    write(folder / "tls.crt", pair.cert.read_text())


def tls_file(folder: Path, pair: Pair, **more: object) -> Path:
    """A web config with TLS, its paths relative."""
    install(folder, pair)
    path = folder / "web.yml"
    write(path, {"tls_server_config": {"cert_file": "tls.crt", "key_file": "tls.key", **more}})
    return path


def subject(url: str, context: ssl.SSLContext) -> str:
    """The name in the certificate that a new connection is shown."""
    port = httpx.URL(url).port
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        certificate: Any = connection.getpeercert()
    return str(certificate["subject"][0][0][1])


def test_tls(tmp_path: Path, certificates: Certificates) -> None:
    """With a certificate the server speaks TLS, and nothing else."""
    with serving(tls_file(tmp_path, certificates.server)) as url:
        assert url.startswith("https://")
        assert get(url, verify=trusting(certificates)).text == "hello"
        with pytest.raises(httpx.TransportError):
            get(url.replace("https", "http"))


def test_a_rotated_certificate_holds_for_new_connections(
    tmp_path: Path, certificates: Certificates
) -> None:
    """A new pair in the same files is shown without restart; open connections live on."""
    context = trusting(certificates)
    with (
        serving(tls_file(tmp_path, certificates.server)) as url,
        httpx.Client(base_url=url, verify=context, trust_env=False) as old,
    ):
        assert old.get("/").text == "hello"
        before = subject(url, context)
        install(tmp_path, certificates.rotated)
        after = subject(url, context)
        assert old.get("/").text == "hello"

    assert (before, after) == ("server", "rotated")


def test_half_a_rotation_keeps_the_old_pair(
    tmp_path: Path, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    """Between the new key and its certificate the old pair serves, with an error in the log."""
    context = trusting(certificates)
    path = tls_file(tmp_path, certificates.server)
    with caplog.at_level(logging.ERROR, logger="drift_exporter"), serving(path) as url:
        write(tmp_path / "tls.key", certificates.rotated.key.read_text())
        between = [subject(url, context), subject(url, context)]
        write(tmp_path / "tls.crt", certificates.rotated.cert.read_text())
        after = subject(url, context)

    assert between == ["server", "server"]
    assert after == "rotated"
    assert len([record for record in caplog.records if record.name.endswith("live_config")]) == 1


def test_tls_is_not_switched_off_while_running(tmp_path: Path, certificates: Certificates) -> None:
    """A file that drops TLS is not taken over: clients would send passwords in the clear."""
    path = tls_file(tmp_path, certificates.server)
    with serving(path) as url:
        write(path, {})
        assert get(url, verify=trusting(certificates)).text == "hello"


@pytest.mark.parametrize(
    ("sans", "shown", "let_in"),
    [
        pytest.param([], "client", True, id="signed"),
        pytest.param([], None, False, id="none"),
        pytest.param([], "stranger", False, id="signed by another"),
        pytest.param(["other", "prometheus"], "client", True, id="an allowed name"),
        pytest.param(["other"], "client", False, id="another name"),
        pytest.param(["prometheus"], "stranger", False, id="an allowed name, another signer"),
    ],
)
def test_client_certificates(
    tmp_path: Path, certificates: Certificates, sans: list[str], shown: str | None, let_in: bool
) -> None:
    """Only clients that our authority signed, with an allowed name, get an answer."""
    path = tls_file(
        tmp_path,
        certificates.server,
        client_auth_type="RequireAndVerifyClientCert",
        client_ca_file=str(certificates.authority.cert),
        client_allowed_sans=sans,
    )
    context = trusting(certificates, getattr(certificates, shown) if shown else None)
    with serving(path) as url:
        if let_in:
            assert get(url, verify=context).text == "hello"
        else:
            with pytest.raises(httpx.TransportError):
                get(url, verify=context)


def test_client_certificates_can_be_asked_for_while_running(
    tmp_path: Path, certificates: Certificates
) -> None:
    """Who has to show a certificate changes with the file, not only the certificate."""
    path = tls_file(tmp_path, certificates.server)
    with serving(path) as url:
        assert get(url, verify=trusting(certificates)).text == "hello"
        tls_file(
            tmp_path,
            certificates.server,
            client_auth_type="RequireAndVerifyClientCert",
            client_ca_file=str(certificates.authority.cert),
        )
        with pytest.raises(httpx.TransportError):
            get(url, verify=trusting(certificates))
        known = trusting(certificates, certificates.client)
        assert get(url, verify=known).text == "hello"


@pytest.mark.parametrize(
    ("settings", "version", "let_in"),
    [
        pytest.param({}, ssl.TLSVersion.TLSv1_2, True, id="1.2 by default"),
        pytest.param({"min_version": "TLS13"}, ssl.TLSVersion.TLSv1_2, False, id="1.2 refused"),
        pytest.param({"min_version": "TLS13"}, ssl.TLSVersion.TLSv1_3, True, id="1.3"),
        pytest.param({"max_version": "TLS12"}, ssl.TLSVersion.TLSv1_3, False, id="1.3 refused"),
        pytest.param(
            {"cipher_suites": ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]},
            ssl.TLSVersion.TLSv1_2,
            True,
            id="a suite by Go's name",
        ),
        pytest.param(
            {"cipher_suites": ["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"]},
            ssl.TLSVersion.TLSv1_2,
            False,
            id="a suite that the key does not fit",
        ),
    ],
)
def test_versions_and_suites(
    tmp_path: Path,
    certificates: Certificates,
    settings: dict[str, object],
    version: ssl.TLSVersion,
    let_in: bool,
) -> None:
    """The versions and suites of the file are those that are spoken."""
    context = trusting(certificates)
    context.minimum_version = context.maximum_version = version
    with serving(tls_file(tmp_path, certificates.server, **settings)) as url:
        if let_in:
            assert get(url, verify=context).text == "hello"
        else:
            with pytest.raises(httpx.TransportError):
                get(url, verify=context)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"key_file": "gone"}, "No such file|no such file", id="no key"),
        pytest.param({"cert_file": "tls.key"}, "must be readable PEM", id="no certificate"),
        pytest.param({"key_file": "other.key"}, "mismatch", id="another's key"),
        pytest.param(
            {"client_ca_file": "tls.key", "client_auth_type": "RequireAndVerifyClientCert"},
            "client_ca_file",
            id="no authority",
        ),
    ],
)
def test_bad_certificates_stop_the_start(
    tmp_path: Path, certificates: Certificates, change: dict[str, str], message: str
) -> None:
    """A certificate that cannot be used is an error before anything listens."""
    write(tmp_path / "other.key", certificates.rotated.key.read_text())
    path = tls_file(tmp_path, certificates.server, **change)

    with pytest.raises(WebConfigError, match=message) as caught:
        Server(_app(), ["127.0.0.1:0"], path, load_yaml).start()
    assert "PRIVATE" not in str(caught.value)


def test_a_silent_client_of_tls_keeps_nobody_out(
    tmp_path: Path, certificates: Certificates
) -> None:
    """Who connects and does not begin TLS does not hold up others."""
    with serving(tls_file(tmp_path, certificates.server)) as url:
        port = httpx.URL(url).port
        with socket.create_connection(("127.0.0.1", port), timeout=30):
            assert get(url, verify=trusting(certificates)).text == "hello"
