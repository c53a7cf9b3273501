"""The server on loopback: every route, its codes, headers and limits."""

import gzip
import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from drift_exporter.errors import WebConfigError
from drift_exporter.snapshot import FeatureInfo, Run, Snapshot, WindowResult
from drift_exporter.verdicts.verdict import Reason, State, Verdict
from drift_exporter.web.listen import Limits
from drift_exporter.web.parts import WebParts
from drift_exporter.web.server import create_app
from drift_exporter.web.serving import Server

RUN = Run(started=1_700_000_000.0, finished=1_700_000_002.5, success=True, rows_read=1234)
FAILED = replace(RUN, success=False, reason="source", error="s3://b: <script>alert(1)</script>")
WINDOW = WindowResult(
    window="1h",
    start=1_699_996_400,
    end=1_700_000_000,
    rows=1234,
    samples=np.array([1234, 1200, 1234]),
    scores={"psi": np.array([0.05, 0.3, np.nan])},
    thresholds={
        ("psi", "warning"): np.array([0.1, 0.1, 0.1]),
        ("psi", "critical"): np.array([0.25, 0.25, np.nan]),
    },
    verdicts=(
        Verdict(State.OK),
        Verdict(State.CRITICAL, statistic="psi"),
        Verdict(State.NOT_EVALUATED, Reason.CONSTANT),
    ),
)
SNAPSHOT = Snapshot(
    model="fraud",
    interval_seconds=300,
    stale_after_seconds=900,
    version="v7",
    features=tuple(
        FeatureInfo(name, "feature", "numeric", "float64", 12)
        for name in ("age", "<b>income</b>", "country")
    ),
    windows=(WINDOW,),
    last_run=RUN,
    last_success=RUN.finished,
    next_run=1_700_000_300.0,
)


def a_scrape(*, openmetrics: bool, gzip: bool) -> bytes:
    """Bytes that say what was asked for."""
    return compressed(b"openmetrics\n" if openmetrics else b"text\n", gzip)


def a_probe(model: str, *, openmetrics: bool, gzip: bool) -> bytes | None:
    """Bytes that say what was asked for, of the only model there is."""
    if model != "fraud":
        return None
    return compressed(f"{model} {openmetrics}\n".encode(), gzip)


def compressed(body: bytes, wanted: bool) -> bytes:
    """The body, by gzip if wanted."""
    return gzip.compress(body) if wanted else body


def some_runs(model: str | None, limit: int) -> list[tuple[str, Run]]:
    """A failure and a success, newest first."""
    runs = [("fraud", FAILED), ("churn", RUN)]
    return [run for run in runs if model in (None, run[0])][:limit]


PARTS = WebParts(
    scrape=a_scrape,
    probe=a_probe,
    snapshots=lambda: (SNAPSHOT,),
    runs=some_runs,
    history=lambda *_, **__: [],
    psi_history=lambda *_, **__: ([], [], np.zeros((0, 0))),
    detail=lambda *_: None,
    config_text=lambda: "models:\n- name: fraud\n",
    reload=lambda: None,
    ready=lambda: None,
    version="1.2.3",
    revision="abc",
    clock=lambda: 1_700_000_120.0,
)


def no_yaml(_: Path) -> object:
    """Stands where no web config is read."""
    raise AssertionError("there is no web config file")


@contextmanager
def serving(app: Any, limits: Limits | None = None, listen: str = "127.0.0.1:0") -> Iterator[Any]:
    """A client of a running server."""
    server = Server(app, [listen], None, no_yaml, limits=limits)
    server.start()
    try:
        base = f"http://127.0.0.1:{server.addresses[0].port}"
        with httpx.Client(base_url=base, trust_env=False) as client:
            yield client
    finally:
        server.stop()


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client of a server with all parts."""
    with serving(create_app(PARTS)) as client:
        yield client


@contextmanager
def connected(client: httpx.Client) -> Iterator[socket.socket]:
    """A bare connection to the server of a client."""
    place = ("127.0.0.1", client.base_url.port or 0)
    with closing(socket.create_connection(place, timeout=30)) as connection:
        yield connection


def everything(connection: socket.socket) -> bytes:
    """All bytes until the server closes."""
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except ConnectionResetError:
        pass
    return received


def up_to(connection: socket.socket, end: bytes) -> bytes:
    """All bytes up to those."""
    received = b""
    while not received.endswith(end) and (part := connection.recv(65536)):
        received += part
    return received


@pytest.mark.parametrize(
    ("method", "path", "code", "kind"),
    [
        pytest.param("GET", "/metrics", 200, "text/plain; version=0.0.4", id="metrics"),
        pytest.param("HEAD", "/metrics", 200, "text/plain; version=0.0.4", id="metrics, HEAD"),
        pytest.param("POST", "/metrics", 405, "text/plain", id="metrics are read only"),
        pytest.param("GET", "/metrics/", 404, "application/json", id="not another path"),
        pytest.param("GET", "/metricsx", 404, "application/json", id="not a longer path"),
        pytest.param("GET", "/", 200, "text/html", id="landing"),
        pytest.param("HEAD", "/", 200, "text/html", id="landing, HEAD"),
        pytest.param("GET", "/-/healthy", 200, "text/plain", id="healthy"),
        pytest.param("HEAD", "/-/healthy", 200, "text/plain", id="healthy, HEAD"),
        pytest.param("GET", "/-/ready", 200, "text/plain", id="ready"),
        pytest.param("POST", "/-/reload", 200, "text/plain", id="reload"),
        pytest.param("GET", "/-/reload", 405, "text/plain", id="reload by GET"),
        pytest.param("GET", "/config", 200, "text/plain", id="config"),
        pytest.param("GET", "/runs", 200, "text/html", id="runs"),
        pytest.param("GET", "/models/fraud", 200, "text/html", id="page of a model"),
        pytest.param("GET", "/models/fraud/age", 200, "text/html", id="page of a feature"),
        pytest.param("GET", "/models/other", 404, "text/html", id="page of no model"),
        pytest.param("GET", "/models/fraud/other", 404, "text/html", id="page of no feature"),
        pytest.param("GET", "/probe?model=fraud", 200, "text/plain", id="probe"),
        pytest.param("HEAD", "/probe?model=fraud", 200, "text/plain", id="probe, HEAD"),
        pytest.param("GET", "/probe?model=other", 404, "text/plain", id="probe of no model"),
        pytest.param("GET", "/probe", 400, "text/plain", id="probe without a model"),
        pytest.param("GET", "/api/v1/models", 200, "application/json", id="models"),
        pytest.param("GET", "/api/v1/models/fraud", 200, "application/json", id="model"),
        pytest.param("GET", "/api/v1/models/other", 404, "application/json", id="no model"),
        pytest.param(
            "GET", "/api/v1/models/fraud/features/age", 200, "application/json", id="feature"
        ),
        pytest.param(
            "GET", "/api/v1/models/fraud/features/x", 404, "application/json", id="no feature"
        ),
        pytest.param(
            "GET", "/api/v1/models/fraud/history?window=1h", 200, "application/json", id="history"
        ),
        pytest.param(
            "GET", "/api/v1/models/fraud/history?window=9h", 404, "application/json", id="no window"
        ),
        pytest.param("GET", "/api/v1/runs", 200, "application/json", id="runs as JSON"),
        pytest.param("GET", "/api/v1/runs?limit=0", 422, "application/json", id="no runs"),
        pytest.param("GET", "/api/v1/runs?limit=9999", 422, "application/json", id="all runs"),
        pytest.param("GET", "/api/v1/openapi.json", 200, "application/json", id="openapi"),
        pytest.param("GET", "/docs", 404, "application/json", id="no pages of the framework"),
        pytest.param("GET", "/nothing", 404, "application/json", id="unknown path"),
        pytest.param("POST", "/", 405, "text/plain", id="unknown method"),
    ],
)
def test_every_route(client: httpx.Client, method: str, path: str, code: int, kind: str) -> None:
    """Each path answers with its code and its content type, and with our headers."""
    answer = client.request(method, path)

    assert answer.status_code == code
    if code != 405:
        assert answer.headers["content-type"].startswith(kind)
    if method == "HEAD":
        assert answer.content == b""
        assert int(answer.headers["content-length"]) > 0
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "server" not in answer.headers


def test_405_names_the_methods(client: httpx.Client) -> None:
    """Who uses a wrong method is told the right one."""
    assert client.get("/-/reload").headers["allow"] == "POST"
    assert client.post("/metrics").headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/metrics", "/probe?model=fraud"])
@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        pytest.param("*/*", "text/plain; version=0.0.4; charset=utf-8", id="text"),
        pytest.param(
            "application/openmetrics-text; version=1.0.0",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            id="OpenMetrics",
        ),
    ],
)
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_the_header_tells_what_the_body_is(
    client: httpx.Client, path: str, accept: str, kind: str, encoding: str
) -> None:
    """Format and encoding of the body are those that the headers name."""
    answer = client.get(path, headers={"Accept": accept, "Accept-Encoding": encoding})

    assert answer.headers["content-type"] == kind
    assert answer.headers.get("content-encoding", "identity") == encoding
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    openmetrics = "openmetrics" in kind
    plain = {
        "/metrics": "openmetrics\n" if openmetrics else "text\n",
        "/probe?model=fraud": f"fraud {openmetrics}\n",
    }
    assert answer.text == plain[path]


@pytest.mark.parametrize(
    ("changed", "method", "path", "code", "text"),
    [
        pytest.param(
            {"reload": lambda: "drift.yml:3: bad"},
            "POST",
            "/-/reload",
            500,
            "drift.yml:3: bad\n",
            id="a reload that fails tells why",
        ),
        pytest.param(
            {"ready": lambda: "the store is closed"},
            "GET",
            "/-/ready",
            503,
            "Not ready: the store is closed\n",
            id="not ready tells why",
        ),
        pytest.param(
            {"ready": lambda: "x"}, "GET", "/-/healthy", 200, "Healthy\n", id="healthy all the same"
        ),
    ],
)
def test_failures_are_told(
    changed: dict[str, Callable[[], str]], method: str, path: str, code: int, text: str
) -> None:
    """Where a part says no, its reason is the answer."""
    with serving(create_app(replace(PARTS, **changed))) as client:  # type: ignore[arg-type]
        answer = client.request(method, path)

    assert (answer.status_code, answer.text) == (code, text)


def test_landing_shows_each_model(client: httpx.Client) -> None:
    """The first page names version, state, worst feature, last and next run of each model."""
    text = client.get("/").text

    for part in ("1.2.3", "abc", "fraud", "v7", 'class="state critical"', "PSI 0.300 in 1h"):
        assert part in text
    assert "2023-11-14 22:13:22 UTC" in text
    assert "2023-11-14 22:18:20 UTC" in text


def test_hostile_names_are_escaped(client: httpx.Client) -> None:
    """No name, message or parameter becomes markup."""
    for path in ("/", "/runs", "/runs?model=<script>alert(1)</script>"):
        text = client.get(path).text
        assert "<script" not in text
        assert "<b>" not in text
    assert "&lt;b&gt;income&lt;/b&gt;" in client.get("/").text


def test_a_model_with_a_hostile_name_stays_in_its_place() -> None:
    """A name that would end an attribute or a path does neither."""
    hostile = replace(SNAPSHOT, model='"><img src=x>/../?#')
    with serving(create_app(replace(PARTS, snapshots=lambda: (hostile,)))) as client:
        text = client.get("/").text

    assert "<img" not in text
    assert 'href="models/%22%3E%3Cimg%20src%3Dx%3E%2F..%2F%3F%23"' in text


def test_the_style_sheet_is_the_one_the_policy_allows(client: httpx.Client) -> None:
    """The hash in the policy is that of the style sheet in the page."""
    from base64 import b64encode
    from hashlib import sha256

    answer = client.get("/")
    found = re.search(r"<style>(.*?)</style>", answer.text, re.DOTALL)

    assert found is not None
    digest = b64encode(sha256(found[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in answer.headers["content-security-policy"]


def test_runs_page_shows_failures(client: httpx.Client) -> None:
    """The page of runs shows outcome, duration and message, of all models or one."""
    everyone, one = client.get("/runs").text, client.get("/runs?model=churn").text

    assert "failed: source" in everyone
    assert "2.50" in everyone
    assert "churn" in one
    assert "failed" not in one.split("</style>")[1]


def test_model_as_json(client: httpx.Client) -> None:
    """A model's document has every feature, and null or nothing where there is no number."""
    answer = client.get("/api/v1/models/fraud").json()
    short = client.get("/api/v1/models").json()

    assert short[0]["state"] == "critical"
    assert short[0]["worst"] == {
        "feature": "<b>income</b>",
        "window": "1h",
        "state": "critical",
        "statistic": "psi",
        "score": 0.3,
        "ratio": pytest.approx(3.0),
    }
    assert short[0]["last_run"]["finished"] == "2023-11-14T22:13:22.500000Z"
    features = answer["windows"][0]["features"]
    assert [feature["state"] for feature in features] == ["ok", "critical", "not_evaluated"]
    assert features[0]["thresholds"] == {"psi": {"warning": 0.1, "critical": 0.25}}
    assert features[2]["scores"] == {}
    assert features[2]["reason"] == "constant"
    assert features[2]["ratio"] is None


def test_runs_as_json(client: httpx.Client) -> None:
    """Runs can be asked for by model and number."""
    assert [run["model"] for run in client.get("/api/v1/runs").json()] == ["fraud", "churn"]
    assert len(client.get("/api/v1/runs?limit=1").json()) == 1
    assert client.get("/api/v1/runs?model=churn").json()[0]["success"] is True


def test_openapi_names_the_interface(client: httpx.Client) -> None:
    """The description of the interface has its paths and no others."""
    paths = client.get("/api/v1/openapi.json").json()["paths"]

    assert set(paths) == {
        "/api/v1/models",
        "/api/v1/models/{name}",
        "/api/v1/models/{name}/features/{feature}",
        "/api/v1/models/{name}/history",
        "/api/v1/runs",
    }


def test_a_model_without_runs_has_a_page() -> None:
    """Before the first run there is a row without scores, and no error."""
    fresh = Snapshot(model="new", interval_seconds=60, stale_after_seconds=180)
    with serving(create_app(replace(PARTS, snapshots=lambda: (fresh,)))) as client:
        page, document = client.get("/"), client.get("/api/v1/models/new")

    assert "not evaluated" in page.text
    assert "never" in page.text
    assert document.json()["state"] == "not_evaluated"
    assert document.json()["worst"] is None


def test_prefix_and_telemetry_path() -> None:
    """With a prefix everything is below it, and the root leads there."""
    parts = replace(PARTS, route_prefix="/drift/", telemetry_path="/scores")
    with serving(create_app(parts)) as client:
        codes = {
            path: client.get(path).status_code
            for path in ("/drift/", "/drift/scores", "/drift/-/ready", "/drift/api/v1/models")
        }
        outside = {path: client.get(path).status_code for path in ("/scores", "/-/ready")}
        leads = {path: client.get(path).headers["location"] for path in ("/", "/drift")}
        page = client.get("/drift/").text

    assert set(codes.values()) == {200}
    assert set(outside.values()) == {404}
    assert set(leads.values()) == {"/drift/"}
    assert 'href="./scores"' in page


@pytest.mark.parametrize(
    ("site", "code"),
    [
        pytest.param("cross-site", 403, id="another site"),
        pytest.param("same-site", 403, id="a neighbour"),
        pytest.param("same-origin", 200, id="our own page"),
        pytest.param("none", 200, id="typed by hand"),
    ],
)
def test_other_sites_change_nothing(client: httpx.Client, site: str, code: int) -> None:
    """A browser cannot be led to reload by a page of another site."""
    assert client.post("/-/reload", headers={"Sec-Fetch-Site": site}).status_code == code


async def _length(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


def _echo() -> Starlette:
    app = Starlette()
    app.add_route("/", _length, methods=["POST"])
    return app


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"x" * 1000, 200, id="as much as allowed"),
        pytest.param(b"x" * 1001, 413, id="one byte more"),
        pytest.param(iter([b"x" * 500] * 2), 200, id="chunks, as much as allowed"),
        pytest.param(iter([b"x" * 500] * 3), 413, id="chunks, more"),
    ],
)
def test_bodies_are_limited(body: Any, code: int) -> None:
    """A body over the limit is refused, whether it tells its length or not."""
    with serving(_echo(), Limits(body_bytes=1000)) as client:
        assert client.post("/", content=body).status_code == code


def test_heads_are_limited(client: httpx.Client) -> None:
    """Endless headers end in 400, not in memory."""
    with connected(client) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 20_000)
        assert everything(connection).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET /metrics HTTP/1.1\r\nHost:", id="half a head"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf", id="half a body"
        ),
    ],
)
def test_unfinished_requests_are_cut_off(sent: bytes) -> None:
    """A client that does not finish its request is disconnected."""
    limits = Limits(request_seconds=0.1)
    with serving(_echo(), limits) as client, connected(client) as connection:
        connection.sendall(sent)
        assert everything(connection) == b""


def test_finished_requests_are_not_cut_off() -> None:
    """The patience is for requests: a connection may be idle for longer between them."""
    limits = Limits(request_seconds=0.1)
    request = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
    with serving(create_app(PARTS), limits) as client, connected(client) as connection:
        connection.sendall(request)
        assert up_to(connection, b"Healthy\n").startswith(b"HTTP/1.1 200 ")
        # Longer than the patience, by waiting for another connection to lose it.
        with connected(client) as silent:
            assert everything(silent) == b""
        connection.sendall(request)
        assert up_to(connection, b"Healthy\n").startswith(b"HTTP/1.1 200 ")


def test_too_many_connections_get_503() -> None:
    """Over the limit of connections a request is refused, not queued."""
    with serving(create_app(PARTS), Limits(connections=2)) as client, connected(client) as idle:
        idle.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert client.get("/-/healthy").status_code == 503


def test_a_part_that_fails_is_a_500_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    """An error in a part is one answer of 500 without details, a log entry, and no more."""

    def broken() -> str:
        raise ValueError("a detail")

    with serving(create_app(replace(PARTS, config_text=broken))) as client:
        answer = client.get("/config")
        assert client.get("/-/healthy").status_code == 200

    assert (answer.status_code, "a detail" in answer.text) == (500, False)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "Exception in ASGI application" in caplog.text


def test_two_addresses() -> None:
    """One server listens on several addresses."""
    server = Server(create_app(PARTS), ["127.0.0.1:0", "localhost:0"], None, no_yaml)
    server.start()
    try:
        ports = [address.port for address in server.addresses]
        codes = [
            httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).status_code
            for port in ports
        ]
    finally:
        server.stop()

    assert len(set(ports)) == 2
    assert codes == [200, 200]


def test_all_interfaces() -> None:
    """An address without a host is every interface."""
    with serving(create_app(PARTS), listen=":0") as client:
        assert client.get("/-/healthy").status_code == 200


def test_ipv6_in_brackets() -> None:
    """An IPv6 address is written in brackets."""
    server = Server(create_app(PARTS), ["[::1]:0"], None, no_yaml)
    server.start()
    try:
        url = f"http://[::1]:{server.addresses[0].port}/-/healthy"
        assert httpx.get(url, trust_env=False).text == "Healthy\n"
    finally:
        server.stop()


def test_a_taken_port_is_an_error_before_anything_starts(client: httpx.Client) -> None:
    """A port that is taken is a named error, and the addresses before it are free again."""
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        free = probe.getsockname()[1]
    taken = client.base_url.port
    server = Server(create_app(PARTS), [f"127.0.0.1:{free}", f"127.0.0.1:{taken}"], None, no_yaml)

    with pytest.raises(WebConfigError, match=rf"cannot listen on '127.0.0.1:{taken}'.*in use"):
        server.start()

    with closing(socket.create_server(("127.0.0.1", free))):
        server.stop()


@pytest.mark.parametrize(
    "address", ["10033", "127.0.0.1", "127.0.0.1:", ":http", ":99999", "::1:80", "[::1]", ":-1"]
)
def test_addresses_that_are_none(address: str) -> None:
    """What is no address is refused with the forms that are."""
    with pytest.raises(WebConfigError, match="address"):
        Server(create_app(PARTS), [address], None, no_yaml).start()


def test_stop_frees_the_port() -> None:
    """After a stop nothing answers, and the same port can be served again."""
    server = Server(create_app(PARTS), ["127.0.0.1:0"], None, no_yaml)
    server.start()
    port = server.addresses[0].port
    server.stop()

    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
    with serving(create_app(PARTS), listen=f"127.0.0.1:{port}") as client:
        assert json.loads(client.get("/api/v1/runs").text)
