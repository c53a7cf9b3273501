"""Pages and interface of incidents: what they show, what they do, and what they refuse."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import bcrypt
import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from browser import PHONE, WIDE, Scheme, chromium, page_of
from drift_exporter import audit
from drift_exporter.analysis.analyse import analyse
from drift_exporter.casework.desk import Desk
from drift_exporter.config_file import load_yaml
from drift_exporter.errors import StoreError
from drift_exporter.incident import ActionState
from drift_exporter.web.incident_views import analysis_view
from drift_exporter.web.refusals import id_of, seconds_of
from drift_exporter.web.server import create_app
from drift_exporter.web.serving import Server
from generated_incidents import incident as generated
from incident_desk import (
    KEY,
    NOW,
    TOKENS,
    Room,
    alert,
    bearer,
    body,
    people,
    person,
    plain,
    room,
    served,
)
from test_pages import HOSTILE, Links
from test_pages import parts as shown

API = "/api/v1"
ANALYSIS = plain(analyse(generated("unit_change", 5).evidence))
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Room]:
    """A desk on a fresh store, with an incident of the model credit."""
    with room(tmp_path) as found:
        found.deliver(alert())
        yield found


@pytest.fixture
def client(found: Room) -> Iterator[httpx.Client]:
    """An approver's client of a server with the desk."""
    with served(found) as client:
        client.headers.update(bearer("approver"))
        yield client


# The interface ------------------------------------------------------------------------------


def test_an_incident_from_alert_to_file(client: httpx.Client) -> None:
    """The interface shows an incident, moves it, and shows who did what."""
    place = f"{API}/incidents/1"
    states = [
        client.post(f"{place}/{move}", json={"text": f"so {move}"}).json()["state"]
        for move in ("acknowledge", "mitigate", "note", "resolve", "close")
    ]
    answer = client.get(place).json()

    assert states == ["acknowledged", "mitigating", "mitigating", "resolved", "closed"]
    assert (answer["model"], answer["cause"], answer["possible"]) == ("credit", "drift", ["note"])
    assert (answer["closed_by"], answer["closed"]) == ("approver", "2027-01-15T08:00:00Z")
    assert [step["kind"] for step in answer["steps"]] == [
        "opened",
        "acknowledged",
        "mitigating",
        "note",
        "resolved",
        "closed",
    ]
    assert answer["steps"][1]["text"] == "so acknowledge"
    assert [(a["name"], a["status"]) for a in answer["alerts"]] == [
        ("ModelDriftFeatureDrifted", "firing")
    ]


def test_filters_and_pages_of_the_list(found: Room, client: httpx.Client) -> None:
    """Incidents are chosen by model and state, and read page by page."""
    for name in ("ModelDriftNoData", "ModelDriftReferenceOld"):
        found.deliver(alert(name=name), alert(name=name, model="churn"))
    found.desk.move(1, person("responder"), "resolve", "")

    def ids(query: str) -> list[int]:
        return [each["id"] for each in client.get(f"{API}/incidents?{query}").json()]

    assert ids("") == [5, 4, 3, 2, 1]
    assert ids("limit=2") == [5, 4]
    assert ids("limit=2&before=4") == [3, 2]
    assert ids("model=churn") == [5, 3]
    assert ids("state=resolved") == [1]
    assert ids("state=resolved&state=open&model=credit") == [4, 2, 1]
    assert client.get(f"{API}/incidents?state=lost").status_code == 422


def test_an_action_is_asked_for_and_answered(client: httpx.Client) -> None:
    """Actions are asked for and approved by the interface; who has answered has answered."""
    asked = client.post(f"{API}/incidents/1/actions/tell").json()
    place = f"{API}/actions/{asked['id']}"
    approved = client.post(f"{place}/approve", json={"text": "go"})
    again = client.post(f"{place}/reject", json={})

    assert (asked["state"], asked["needs"]) == ("waiting", [""])
    assert (approved.json()["state"], approved.status_code) == ("approved", 200)
    assert [(a["who"], a["note"]) for a in approved.json()["approvals"]] == [("approver", "go")]
    assert (again.status_code, "waits for no answer" in again.json()["detail"]) == (409, True)


def test_somebody_says_what_became_of_an_action(found: Room, client: httpx.Client) -> None:
    """An action of unknown outcome is settled once, by the interface or by a button."""
    first, second = (found.waiting(1, state=ActionState.UNKNOWN) for _ in range(2))
    page = client.get("/incidents/1").text
    form = {"token": token_of(client, "approver"), "text": "it ran"}
    failed = client.post(f"{API}/actions/{first.id}/failed", json={"text": "no run"})
    again = client.post(f"{API}/actions/{first.id}/succeeded", json={})
    pressed = client.post(f"/incidents/1/actions/{second.id}/succeeded", data=form)

    assert page.count("It was not done") == 2
    assert [a.status_code for a in (failed, again, pressed)] == [200, 409, 303]
    states = [action.state for action in found.store.cases.actions(1)]
    assert states == [ActionState.FAILED, ActionState.SUCCEEDED]


@pytest.mark.parametrize(
    ("method", "path", "content", "code"),
    [
        pytest.param("GET", "/incidents/7", "", 404, id="no incident"),
        pytest.param("GET", f"/incidents/{'9' * 30}", "", 404, id="a huge number"),
        pytest.param("GET", "/incidents/x", "", 422, id="no number"),
        pytest.param("POST", "/incidents/7/note", '{"text": "x"}', 404, id="note of none"),
        pytest.param("POST", "/incidents/1/close", "{}", 409, id="too soon"),
        pytest.param("POST", "/incidents/1/note", "{}", 409, id="empty note"),
        pytest.param("POST", "/incidents/1/note", '{"txt": "x"}', 422, id="another key"),
        pytest.param("POST", "/incidents/1/note", '{"text": 1}', 422, id="no text"),
        pytest.param("POST", "/incidents/1/note", '{"text": "', 422, id="cut off"),
        pytest.param("POST", "/incidents/1/note", "[" * 100_000, 400, id="deep"),
        pytest.param("POST", "/incidents/1/note", f'{{"text":"{"x" * 10001}"}}', 422, id="long"),
        pytest.param("POST", "/incidents/1/delete", "{}", 404, id="no such move"),
        pytest.param("POST", "/incidents/1/actions/none", "", 409, id="no such action"),
        pytest.param("POST", "/incidents/7/actions/tell", "", 404, id="action of none"),
        pytest.param("POST", "/incidents/7/analyse", "", 404, id="analyse none"),
        pytest.param("POST", "/incidents/1/analyse", "", 409, id="nothing to be analysed"),
        pytest.param("POST", "/actions/7/approve", "{}", 404, id="approve none"),
        pytest.param("GET", "/audit?since=-1", "", 422, id="before the log"),
        pytest.param("GET", f"/audit?since={'9' * 20}", "", 422, id="beyond any log"),
        pytest.param("GET", f"/incidents?before={'9' * 20}", "", 422, id="beyond any incident"),
        pytest.param("POST", "/incidents/1/note", '{"text":"\\ud800"}', 422, id="half a letter"),
        pytest.param("POST", "/incidents/1/note", '{"text":NaN}', 422, id="not a number"),
        pytest.param("POST", "/incidents/1/note", '{"text":"x","y":1e999}', 422, id="infinity"),
        pytest.param("GET", "/incidents/7/report", "", 404, id="report of none"),
        pytest.param("GET", "/incidents/1/report?format=pdf", "", 422, id="no such format"),
        pytest.param("GET", "/report?since=yesterday", "", 422, id="no time"),
        pytest.param("GET", "/report?since=nan", "", 422, id="no number of seconds"),
        pytest.param("GET", "/report?since=200&until=100", "", 422, id="backwards"),
    ],
)
def test_refusals_have_a_reason(
    client: httpx.Client, method: str, path: str, content: str, code: int
) -> None:
    """What cannot be done is 4xx with its reason, whatever was sent."""
    headers = {"Content-Type": "application/json"}
    answer = client.request(method, f"{API}{path}", content=content, headers=headers)

    assert answer.status_code == code
    assert answer.json()["detail"]
    assert len(answer.content) < 1000, "what was sent is not sent back"


def test_the_audit_log_is_exported_line_by_line(found: Room, client: httpx.Client) -> None:
    """Each line is an entry that verifies; a change from outside is found, and still exported."""
    for i in range(30):
        found.desk.move(1, person("responder"), "note", f"note {i}")
    text = client.get(f"{API}/audit").text
    entries = [audit.from_line(line) for line in text.splitlines()]

    assert audit.verify(entries, found.store.cases.audit_head()).intact
    assert len(entries) == 31
    part = client.get(f"{API}/audit?since=29&limit=1").text
    assert part == text.splitlines(keepends=True)[29]
    assert client.get(f"{API}/audit/verify").json() == {
        "intact": True,
        "entries": 31,
        "first": 1,
        "last": 31,
        "faults": [],
    }


def test_reports_are_asked_for(found: Room, client: httpx.Client) -> None:
    """A report is of an incident or of a span; HTML may bring its own style and do nothing else."""
    of_one = client.get(f"{API}/incidents/1/report?format=json")
    of_span = client.get(f"{API}/report?since=1970-01-02&until=172800&format=html")
    of_month = client.get(f"{API}/report")

    assert of_one.text.split()[0] == "1"
    assert of_one.text.split()[3] == "json"
    assert of_span.text == "None 86400 172800 html"
    assert of_month.text == f"None {NOW - 30 * 86400:.0f} {NOW:.0f} markdown"
    assert "sandbox" in of_span.headers["content-security-policy"]
    with served(found, report=None) as without:
        place = f"{API}/incidents/1/report"
        assert without.get(place, headers=bearer("viewer")).status_code == 404


def test_alerts_without_an_incident(found: Room, client: httpx.Client) -> None:
    """Alerts that name no known model are shown as such."""
    found.deliver(alert(model="unheard"))

    assert [a["model"] for a in client.get(f"{API}/alerts").json()] == ["unheard"]
    assert "unheard" in client.get("/incidents").text


# Pages --------------------------------------------------------------------------------------


def test_the_list_shows_what_goes_on_first(found: Room, client: httpx.Client) -> None:
    """Open before acknowledged, the gravest first; then what ended; unmatched alerts at the end."""
    severities = {"ModelDriftNoData": "warning", "ModelDriftReferenceOld": "info"}
    for name, severity in severities.items():
        labels = {"severity": severity}
        found.deliver(alert(name=name, labels=labels), alert(name=name, model="churn"))
    found.desk.move(1, person("responder"), "acknowledge", "")
    found.desk.move(2, person("responder"), "resolve", "")
    text = client.get("/incidents").text
    order = [int(found) for found in re.findall(r'href="incidents/(\d+)"', text)]

    assert order == [3, 5, 4, 1, 2]
    assert text.index("Going on") < text.index("Ended")
    narrowed = client.get("/incidents?state=acknowledged&model=credit").text
    assert re.findall(r'href="incidents/(\d+)"', narrowed) == ["1"]
    assert "No incident is closed" in client.get("/incidents?state=closed").text


def test_a_page_tells_the_incident(found: Room, client: httpx.Client) -> None:
    """Headline, recommendation, leading features with bins, segments, timeline and alerts."""
    found.analysed(1, ANALYSIS, "data_quality")
    page = client.get("/incidents/1").text
    lead = ANALYSIS["features"][0]

    for part in (
        "data quality",
        "unit changed",
        "no shift up to",
        "Do not retrain",
        "by nobody",
        "Timeline",
    ):
        assert part in page
    assert f'href="../models/credit/{lead["feature"]}"' in page
    assert page.count('<svg class="bars"') == sum(
        len(f["bins"]) for f in ANALYSIS["features"][:5] if f["verdict"] not in ("none",)
    )


def test_buttons_are_those_that_the_role_allows(found: Room, client: httpx.Client) -> None:
    """A viewer sees none, a responder the moves, an approver the answers too."""
    found.waiting(1)

    def buttons(role: str) -> set[str]:
        page = client.get("/incidents/1", headers=bearer(role)).text
        return set(re.findall(r"<button[^>]*>([^<]+)</button>", page))

    moves = {"Acknowledge", "Mitigating", "Resolve", "Add note", "Ask", "Analyse again"}
    assert buttons("viewer") == set()
    assert buttons("responder") == moves
    assert buttons("approver") == moves | {"Approve", "Reject"}
    found.desk.move(1, person("responder"), "resolve", "")
    assert "Analyse again" not in buttons("responder")


def token_of(client: httpx.Client, role: str) -> str:
    """What the forms of a person carry."""
    page = client.get("/incidents/1", headers=bearer(role)).text
    found = re.search('name="token" value="([0-9a-f]{64})"', page)
    assert found is not None
    return found[1]


def test_a_form_moves_the_incident_and_leads_back(found: Room, client: httpx.Client) -> None:
    """A form is answered by the page of the incident, with the text as it was written."""
    action = found.waiting(1)
    form = {"token": token_of(client, "approver"), "text": "a\r\nb <b>"}
    for path in ("acknowledge", f"actions/{action.id}/approve"):
        answer = client.post(f"/incidents/1/{path}", data=form)
        place = urljoin(f"http://x/incidents/1/{path}", answer.headers["location"])
        assert (answer.status_code, place) == (303, "http://x/incidents/1")
    asked = client.post("/incidents/1/request", data={**form, "name": "tell"})

    assert asked.status_code == 303
    page = client.get("/incidents/1").text
    assert "a\nb &lt;b&gt;" in page
    case = found.desk.case(1)
    assert case is not None
    assert case.incident.acknowledged_by == "approver"
    assert [a.action.name for a in case.actions] == ["retrain", "tell"]
    assert len(case.actions[0].approvals) == 1


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="none"),
        pytest.param("0" * 64, id="guessed"),
        pytest.param("ü", id="no ASCII"),
        pytest.param(None, id="somebody else's"),
    ],
)
def test_a_form_of_another_site_does_nothing(
    found: Room, client: httpx.Client, token: str | None
) -> None:
    """Without the person's own token a form is refused, and says what to do."""
    form = {"token": token_of(client, "responder") if token is None else token, "text": "x"}
    before = found.desk.case(1)

    answer = client.post("/incidents/1/acknowledge", data=form)

    assert (answer.status_code, "The page was too old" in answer.text) == (403, True)
    assert found.desk.case(1) == before


def test_a_form_that_cannot_be_done_says_why(found: Room, client: httpx.Client) -> None:
    """The page comes back with the reason; nothing is changed."""
    form = {"token": token_of(client, "approver"), "text": ""}
    (other,) = found.deliver(alert(model="churn"))
    action = found.waiting(other)

    for path, code, text in (
        ("1/close", 409, "cannot close it"),
        ("1/note", 409, "the note is empty"),
        ("1/analyse", 409, "cannot be analysed here and now"),
        (f"1/actions/{action.id}/approve", 409, "has no such action"),
        ("1/actions/x/approve", 409, "has no such action"),
        ("7/acknowledge", 404, "There is no such incident"),
        ("x/acknowledge", 404, "There is no such incident"),
    ):
        answer = client.post(f"/incidents/{path}", data=form)
        assert (answer.status_code, text in answer.text) == (code, True), path


def test_a_link_asks_and_a_button_answers(found: Room, client: httpx.Client) -> None:
    """Following a signed link changes nothing; its button counts once, without any token."""
    action = found.waiting(1)
    link = found.desk.link(action.id, "approve", "Ada", "clinic")
    client.headers.pop("authorization")

    page = client.get("/approve", params={"link": link})
    seen = found.store.cases.approvals(action.id)
    thanks = client.post("/approve", data={"link": link, "text": "seen"})
    again = client.post("/approve", data={"link": link})

    assert (page.status_code, seen) == (200, [])
    assert "Ada, for clinic" in page.text
    assert (thanks.status_code, "retrain is waiting now" in thanks.text) == (200, True)
    assert (again.status_code, "has answered already" in again.text) == (409, True)
    answers = [(a.who, a.groups, a.note) for a in found.store.cases.approvals(action.id)]
    assert answers == [("Ada", ("clinic",), "seen")]
    assert "<button>Approve" in page.text
    with found.store.cases.writing("end it") as tx:
        waiting, expired = {ActionState.WAITING}, ActionState.EXPIRED
        assert tx.move_action(action.id, waiting, expired, found.clock(), {})
    late = client.get("/approve", params={"link": link})
    assert ("<button>" in late.text, "waits for no answer any more" in late.text) == (False, True)
    for wrong in ("", "x.y", link[:-2], "ü" * 5000):
        assert client.post("/approve", data={"link": wrong}).status_code == 403


def test_hostile_texts_stay_texts(found: Room, client: httpx.Client) -> None:
    """No name, label, note, annotation or analysis becomes markup or a link that runs."""
    (number,) = found.deliver(
        *(alert(name, name=f"ModelDrift{EVIL}", model="churn") for name in HOSTILE),
        alert(EVIL, model="churn", name="ModelDriftX", annotations={"summary": EVIL}),
        alert("z", model="churn", name="ModelDriftY", annotations={"runbook_url": "javascript:1"}),
    )
    found.deliver(alert(model=EVIL))
    evil = json.loads(json.dumps(ANALYSIS).replace("shifted", EVIL))
    first = {**evil["features"][0], "feature": EVIL, "sentence": EVIL, "verdict": EVIL}
    found.analysed(number, {**evil, "features": [first], "headline": EVIL}, EVIL)
    found.desk.move(number, person("responder"), "note", EVIL)
    found.waiting(number, name=EVIL, reason=EVIL, needs=(EVIL,), detail={"request": {"url": EVIL}})

    for path in ("/incidents", f"/incidents/{number}", f"/incidents?model={EVIL}&state={EVIL}"):
        page = client.get(path).text
        assert "&lt;script&gt;" in page
        for sign in ("<script", "javascript:", "<img", "<link", " src=", " style=", "@import"):
            assert sign not in page.replace(f'value="{EVIL}"', ""), (path, sign)
        assert Links(page).mute == []


@pytest.mark.parametrize(
    "analysis",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"features": None, "segments": 3, "since": "x", "concept": []}, id="others"),
        pytest.param({"features": [1, {}, {"bins": [None, {}], "psi": "x"}]}, id="halves"),
        pytest.param({"features": [{"verdict": 7, "feature": None}], "rows": "x"}, id="types"),
    ],
)
def test_an_analysis_of_another_version_is_no_error(
    found: Room, client: httpx.Client, analysis: dict[str, Any]
) -> None:
    """What a page does not understand of an analysis it leaves out."""
    found.analysed(1, analysis, "new_kind")
    assert client.get("/incidents/1").status_code == 200
    assert analysis_view(None) is None


def large() -> dict[str, Any]:
    """An analysis of 500 features with long names."""
    first = ANALYSIS["features"][0]
    names = [
        f"transactions_per_customer_and_category_{i:04}" * (3 if i < 2 else 1) for i in range(500)
    ]
    return {**ANALYSIS, "features": [{**first, "feature": name} for name in names]}


def test_large_incidents_have_small_pages(found: Room, client: httpx.Client) -> None:
    """500 features and thousands of alerts and steps make a page below 300 kB that says so."""
    found.deliver(*(alert(f"f{i}") for i in range(2000)))
    found.analysed(1, large(), "data_quality")
    page = client.get("/incidents/1")

    assert len(page.content) < 300_000
    assert page.text.count('<svg class="bars"') == 25
    for part in ("465 more are in the JSON", "of 2\u202f001", "The last 200 steps"):
        assert part in page.text
    document = client.get(f"{API}/incidents/1?limit=10").json()
    assert (document["alert_count"], len(document["alerts"])) == (2001, 10)


def test_incidents_stand_where_the_model_is(found: Room) -> None:
    """The first page and the model's page lead to incidents, for those who may see them."""
    parts = shown(desk=found.desk, route_prefix="/drift", clock=found.clock)
    with served(found, **{k: v for k, v in vars(parts).items() if k != "desk"}) as client:
        for path, place in (
            ("/drift/", "/drift/incidents?model=credit"),
            ("/drift/models/credit", "/drift/incidents/1"),
        ):
            for role, there in (("viewer", True), ("", False)):
                page = client.get(path, headers=bearer(role)).text
                hrefs = [urljoin(f"http://x{path}", href) for href, _ in Links(page).found]
                assert (f"http://x{place}" in hrefs) == there, (path, role)
        for path in ("/drift/incidents", "/drift/incidents/1"):
            page = client.get(path, headers=bearer("viewer")).text
            for href, text in Links(page).found:
                place = urljoin(f"http://x{path}", href)
                assert place.startswith("http://x/drift/") or href == "#main", (path, text)


def test_without_a_store_there_are_reasons(found: Room) -> None:
    """Pages and interface say that the store cannot be read, and scores are still shown."""

    def gone() -> Any:
        raise StoreError("the store is <gone>")

    desk = Desk(gone, lambda: found.settings, found.clock, lambda: KEY)
    with served(found, desk=desk) as client:
        client.headers.update(bearer("approver"))
        pages = [client.get(path) for path in ("/incidents", "/incidents/1")]
        documents = [client.get(f"{API}/{path}") for path in ("incidents", "incidents/1", "audit")]
        moved = client.post(f"{API}/incidents/1/note", json={"text": "x"})
        first = client.get("/")

    for page in pages:
        assert (page.status_code, "the store is &lt;gone&gt;" in page.text) == (503, True)
    for document in (*documents, moved):
        assert (document.status_code, document.json()["detail"]) == (503, "the store is <gone>")
    assert first.status_code == 200


# The gate and people ------------------------------------------------------------------------


def test_users_of_the_web_config_have_roles(tmp_path: Path) -> None:
    """Behind passwords a user has the role of the config, and a token opens the gate as well."""
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    users = {"ann": hashed, "bob": hashed}
    (tmp_path / "web.yml").write_text(json.dumps({"basic_auth_users": users}))
    (tmp_path / "hook").write_text("token-of-alertmanager-0123")
    known = people(
        users=[{"name": "ann", "role": "responder"}], webhook_token_file=str(tmp_path / "hook")
    )
    hook = {"Authorization": "Bearer token-of-alertmanager-0123"}
    with room(tmp_path, known) as found:
        app = create_app(found.parts)
        server = Server(app, ["127.0.0.1:0"], tmp_path / "web.yml", load_yaml)
        server.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{server.addresses[0].port}") as client:
                codes = {
                    "hook": client.post("/alerts", content=body([alert()]), headers=hook),
                    "hook elsewhere": client.get("/metrics", headers=hook),
                    "nobody": client.get("/metrics"),
                    "ann": client.get("/incidents/1", headers=basic("ann")),
                    "bob": client.get("/incidents/1", headers=basic("bob")),
                    "ann, wrong": client.get("/incidents/1", headers=basic("ann", "x")),
                    "ann notes": client.post(
                        f"{API}/incidents/1/note", json={"text": "x"}, headers=basic("ann")
                    ),
                    "ann approves": client.post(
                        f"{API}/actions/1/approve", json={}, headers=basic("ann")
                    ),
                    "viewer": client.get("/metrics", headers=bearer("viewer")),
                    "viewer's token": client.get(
                        "/incidents/1", headers=basic("viewer", TOKENS["viewer"])
                    ),
                    "no token": client.get("/metrics", headers={"Authorization": "Bearer x"}),
                }
        finally:
            server.stop()

    assert {who: answer.status_code for who, answer in codes.items()} == {
        "hook": 200,
        "hook elsewhere": 401,
        "nobody": 401,
        "ann": 200,
        "bob": 403,
        "ann, wrong": 401,
        "ann notes": 200,
        "ann approves": 403,
        "viewer": 200,
        "viewer's token": 200,
        "no token": 401,
    }
    assert "as ann" in codes["ann"].text


PASSWORD = "correct horse"


def basic(name: str, password: str = PASSWORD) -> dict[str, str]:
    """Headers of a browser that was told a name and a password."""
    encoded = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {encoded}"}


# In a browser -------------------------------------------------------------------------------


def test_buttons_work_in_a_browser(found: Room) -> None:
    """Somebody logs in, acknowledges with a note, approves, and the policy lets the forms be."""
    action = found.waiting(1)
    with served(found) as client, chromium() as browser, page_of(browser, scripts=False) as page:
        page.set_extra_http_headers(basic("approver", TOKENS["approver"]))
        page.goto(f"{client.base_url}/incidents")
        page.click("text=income of credit drifts")
        page.fill("#said", "I look at it")
        page.get_by_role("button", name="Acknowledge", exact=True).click()
        expect(page.locator("h1")).to_contain_text("acknowledged")
        expect(page.locator(".steps")).to_contain_text("I look at it")
        page.get_by_role("button", name="Approve", exact=True).click()
        expect(page.locator("#actions + h3 + p + p")).to_contain_text("approver")

    assert len(found.store.cases.approvals(action.id)) == 1


@pytest.mark.parametrize(
    ("size", "scheme"),
    [
        pytest.param(WIDE, "light", id="wide, light"),
        pytest.param(PHONE, "dark", id="phone, dark"),
    ],
)
def test_pages_fit_and_are_accessible(found: Room, size: tuple[int, int], scheme: Scheme) -> None:
    """No page is wider than its window, however long its texts; axe finds nothing wrong."""
    long = {"summary": "w" * 200}
    found.deliver(alert("rent" * 40, model="churn", annotations=long))
    found.analysed(1, ANALYSIS, "data_quality")
    found.analysed(2, {**large(), "headline": "x" * 300}, "data_quality")
    action = found.waiting(1)
    found.desk.decide(action.id, person("approver"), "approve", "y" * 300)
    link = found.desk.link(action.id, "approve", "Ada", "clinic")
    found.deliver(alert(model="unheard" * 20))
    with served(found) as client, chromium() as browser, page_of(browser, size, scheme) as page:
        page.set_extra_http_headers(bearer("approver"))
        for path in ("incidents", "incidents/1", "incidents/2", f"approve?link={link}"):
            page.goto(f"{client.base_url}/{path}")
            page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            assert page.evaluate("document.documentElement.scrollWidth") <= size[0], path
            results = Axe().run(page)
            assert results.violations_count == 0, results.generate_report()


# Small parts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("0", 0), ("-1", 0), ("x", 0), ("", 0), ("1.0", 0), ("٣", 0), ("9" * 19, 0)],
)
def test_ids_of_paths(text: str, number: int) -> None:
    """Whatever is no id is 0, which nothing has."""
    assert id_of(text) == number


@pytest.mark.parametrize("text", ["", "x", "-1", "inf", "nan", "1e300", "2026-13-01", "0001-01-01"])
def test_what_is_no_time(text: str) -> None:
    """A time is a number of seconds or ISO 8601, after 1970."""
    with pytest.raises(ValueError, match=r"."):
        seconds_of(text)
