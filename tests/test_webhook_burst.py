"""The webhook under load and under fire, on a real server and store."""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from markupsafe import escape
from prometheus_client import CollectorRegistry

from drift_exporter.casework.desk import Desk
from drift_exporter.errors import StoreError
from drift_exporter.incident import Cause, IncidentState
from drift_exporter.metrics.exposition import Exposition
from drift_exporter.metrics.incidents import IncidentMetrics
from incident_desk import KEY, Room, alert, bearer, body, room, served
from test_web import RUN, SNAPSHOT

ALERTS = 10_000
LONG = {"summary": "The data drifts. ", "description": "Look at the page of the model. " * 20}


def burst(first: int, count: int) -> bytes:
    """Alerts of different features of two models and one that nobody knows."""
    models = ("credit", "churn", "unheard-of")
    found = [
        alert(f"feature_{i}", model=models[i % 3], annotations=LONG)
        for i in range(first, first + count)
    ]
    return body(found)


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Room]:
    """A desk on a fresh store."""
    with room(tmp_path) as found:
        yield found


def scraped_once(client: httpx.Client) -> tuple[int, frozenset[str]]:
    """The code of a scrape, and the names of the families that it answers."""
    # Of a body in several gzip members, as ours is, httpx reads the first alone.
    answer = client.get("/metrics", headers={"Accept-Encoding": "identity"})
    return answer.status_code, frozenset(re.findall(r"^# TYPE (\S+)", answer.text, re.MULTILINE))


def kept(found: Room) -> set[str]:
    """Features of all alerts in the store."""
    cases = found.store.cases
    alerts = [a for i in cases.incidents() for a in cases.alerts(i.id)]
    return {a.labels["feature"] for a in (*alerts, *cases.unmatched_alerts(ALERTS))}


@pytest.mark.parametrize(
    ("bodies", "senders"),
    [
        pytest.param(1, 1, id="in one body"),
        pytest.param(200, 8, id="in many bodies at once"),
    ],
)
def test_a_burst_is_taken_whole(found: Room, bodies: int, senders: int) -> None:
    """Of 10 000 alerts none is lost or refused, and scrapes are answered whole meanwhile."""
    each = ALERTS // bodies
    sent = [burst(i * each, each) for i in range(bodies)]
    registry = CollectorRegistry()
    shown = Exposition(registry, max_series=10_000)
    shown.update([SNAPSHOT], RUN.finished)
    counted = IncidentMetrics(registry).received
    desk = Desk(
        lambda: found.store, lambda: found.settings, found.clock, lambda: KEY, counted=counted
    )
    scraped, ended = list[tuple[int, frozenset[str]]](), threading.Event()

    def scrape(client: httpx.Client) -> None:
        while not ended.is_set():
            scraped.append(scraped_once(client))

    def scraping(*, openmetrics: bool, gzip: bool) -> bytes:
        return shown.scrape(openmetrics=openmetrics, zipped=gzip)

    with (
        served(found, desk=desk, scrape=scraping) as client,
        ThreadPoolExecutor(senders + 1) as pool,
    ):
        client.timeout = httpx.Timeout(120)
        before = scraped_once(client)
        beside = pool.submit(scrape, client)
        answers = list(pool.map(lambda content: client.post("/alerts", content=content), sent))
        ended.set()
        beside.result()

    assert {answer.status_code for answer in answers} == {200}
    assert before[0] == 200
    assert {"modeldrift_feature_psi", "modeldrift_alerts_received_total"} <= before[1]
    assert set(scraped) == {before}
    accepted = {"outcome": "accepted"}
    assert registry.get_sample_value("modeldrift_alerts_received_total", accepted) == ALERTS
    assert kept(found) == {f"feature_{i}" for i in range(ALERTS)}
    incidents = {(i.model, i.cause, i.state) for i in found.store.cases.incidents()}
    assert incidents == {(m, Cause.DRIFT, IncidentState.OPEN) for m in ("credit", "churn")}
    assert found.desk.verify().intact


def test_replicas_that_send_the_same_change_nothing(found: Room) -> None:
    """The same burst from three replicas at once is one burst."""
    sent = burst(0, 300)
    with served(found) as client, ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: client.post("/alerts", content=sent), range(3)))

    assert [answer.status_code for answer in answers] == [200] * 3
    assert [len(found.store.cases.steps(i.id)) for i in found.store.cases.incidents()] == [100, 100]


def test_scrapes_do_not_wait_for_deliveries(found: Room) -> None:
    """While every delivery is stuck in the store, metrics and health are answered."""
    entered, go_on = threading.Semaphore(0), threading.Event()

    class Stuck:
        people = found.desk.people

        def receive(self, sent: bytes, now: float) -> Any:
            entered.release()
            go_on.wait(60)
            return found.desk.receive(sent, now)

    desk: Any = Stuck()
    with served(found, desk=desk) as client, ThreadPoolExecutor(40) as pool:
        waiting = [pool.submit(client.post, "/alerts", content=burst(i, 1)) for i in range(40)]
        for _ in range(16):
            assert entered.acquire(timeout=60)
        codes = [client.get(path).status_code for path in ("/metrics", "/-/healthy", "/", "/runs")]
        go_on.set()
        answers = [each.result().status_code for each in waiting]

    assert codes == [200] * 4
    assert answers == [200] * 40
    assert kept(found) == {f"feature_{i}" for i in range(40)}


DEEP = b'{"version":"4","alerts":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
MIB = 2**20


@pytest.mark.parametrize(
    ("content", "code", "reason"),
    [
        pytest.param(b"", 400, "EOF", id="empty"),
        pytest.param(b"alert!", 400, "Invalid JSON", id="no JSON"),
        pytest.param(b'{"version": "4", "alerts": [', 400, "EOF", id="cut off"),
        pytest.param(b"\xff\xfe\x00", 400, "Invalid JSON", id="no text"),
        pytest.param(b"null", 400, "object", id="null"),
        pytest.param(b"[]", 400, "object", id="a list"),
        pytest.param(b'{"alerts": []}', 400, "version", id="without a version"),
        pytest.param(b'{"version": "3", "alerts": []}', 400, "version '3'", id="version 3"),
        pytest.param(b'{"version": 4, "alerts": []}', 400, "version", id="a number as version"),
        pytest.param(DEEP, 400, "recursion", id="deeply nested"),
        pytest.param(body([alert(status="maybe")]), 400, "alerts.0.status", id="unknown status"),
        pytest.param(body([alert(startsAt="now")]), 400, "alerts.0.startsAt", id="no time"),
        pytest.param(body([alert(startsAt="0001-01-01T00:00:00Z")]), 400, "1970", id="year 1"),
        pytest.param(body([alert(labels={"x": 1})]), 400, "alerts.0.labels.x", id="label of 1"),
        pytest.param(body([alert(labels={"x": "y" * 5000})]), 413, "4096", id="long label"),
        pytest.param(body([{}] * 20_001), 413, "20000", id="too many alerts"),
        pytest.param(b" " * (16 * MIB + 1), 413, "16777216 bytes", id="oversized"),
        pytest.param(iter([b" " * MIB] * 17), 413, "16777216 bytes", id="oversized, in chunks"),
    ],
)
@pytest.mark.parametrize("accept", ["*/*", "application/json"])
def test_bad_bodies_are_refused_with_a_reason(
    client: httpx.Client, content: Any, code: int, reason: str, accept: str
) -> None:
    """Whatever is sent, the answer is 4xx and says why, as text or as JSON."""
    content = content if isinstance(content, bytes) else iter([b" " * MIB] * 17)
    answer = client.post("/alerts", content=content, headers={"Accept": accept})

    assert (answer.status_code, reason in answer.text) == (code, True), answer.text
    assert len(answer.text) < 500


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a server with a desk."""
    with room(tmp_path_factory.mktemp("bad")) as found, served(found) as client:
        yield client


def test_other_methods_and_small_limits_elsewhere(client: httpx.Client) -> None:
    """The webhook is posted to; all other paths take one MiB as before."""
    assert client.get("/alerts").status_code == 405
    large = b" " * (2 * MIB)
    assert client.post("/-/reload", content=large).status_code == 413
    assert client.post("/alerts", content=body([], more=large.decode())).status_code == 200


def test_an_odd_alert_is_kept(found: Room) -> None:
    """Names that break pages, paths and databases are only names."""
    odd = "\x00'\"><script>\u2028{{ 7 }}\U0001f980"
    with served(found) as client:
        sent = body([alert(odd), alert("x", model=odd), alert("y", labels={"alertname": odd})])
        codes = [client.post("/alerts", content=sent).status_code for _ in range(2)]
        listed = client.get("/incidents", headers=bearer("viewer"))
        pages = [client.get(f"/incidents/{i}", headers=bearer("viewer")) for i in (1, 2)]

    assert codes == [200, 200]
    shown = str(escape(odd.removeprefix("\x00")))
    for page in (listed, *pages):
        assert page.status_code == 200
        assert shown in page.text
        assert "<script" not in page.text
    cases = found.store.cases
    of_feature, of_name, of_model = cases.alerts(1), cases.alerts(2), cases.unmatched_alerts()
    assert [one.labels["feature"] for one in of_feature] == [odd]
    assert [one.labels["alertname"] for one in of_name] == [odd]
    assert [one.labels["model"] for one in of_model] == [odd]


def test_a_store_that_cannot_be_written_makes_alertmanager_send_again(tmp_path: Path) -> None:
    """503, with the reason and a time: what was not stored was not acknowledged."""

    def gone() -> Any:
        raise StoreError("the store is not open")

    with room(tmp_path) as found:
        desk = Desk(gone, lambda: found.settings, found.clock, lambda: KEY)
        with served(found, desk=desk) as client:
            answer = client.post("/alerts", content=body([alert()]))

    assert (answer.status_code, answer.text) == (503, "the store is not open\n")
    assert int(answer.headers["retry-after"]) > 0
