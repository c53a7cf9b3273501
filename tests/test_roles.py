"""Who may do what: every route of the app, asked by everybody.

The table here is written by hand; that of the code must say the same.
"""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from starlette.routing import Route

from drift_exporter.casework.desk import Desk, People
from drift_exporter.casework.responder import examine_one
from drift_exporter.errors import RoleError
from drift_exporter.incident import ActionState, Cause, Incident, IncidentState
from drift_exporter.web.gate import Passes
from drift_exporter.web.guard import guard_routes
from drift_exporter.web.server import create_app
from incident_desk import (
    KEY,
    ROLES,
    TOKENS,
    Room,
    alert,
    bearer,
    body,
    people,
    person,
    room,
    served,
)
from test_web import PARTS
from watched_model import SHIFTED, watched

API = "/api/v1"
ALL = ("", *ROLES)
"""Nobody, and one person per role."""

LEAST = {
    "GET /": "",
    "GET /-/healthy": "",
    "GET /-/ready": "",
    "POST /-/reload": "",
    "GET /probe": "",
    "GET /config": "",
    "GET /runs": "",
    "GET /models/{model}": "",
    "GET /models/{model}/{feature:anything}": "",
    f"GET {API}/openapi.json": "",
    f"GET {API}/models": "",
    f"GET {API}/models/{{name}}": "",
    f"GET {API}/models/{{name}}/features/{{feature:anything}}": "",
    f"GET {API}/models/{{name}}/history": "",
    f"GET {API}/runs": "",
    "POST /alerts": "",
    "GET /approve": "",
    "POST /approve": "",
    "GET /incidents": "viewer",
    "GET /incidents/{incident}": "viewer",
    f"GET {API}/incidents": "viewer",
    f"GET {API}/incidents/{{incident_id}}": "viewer",
    f"GET {API}/incidents/{{incident_id}}/report": "viewer",
    f"GET {API}/alerts": "viewer",
    f"GET {API}/report": "viewer",
    f"GET {API}/audit": "viewer",
    f"GET {API}/audit/verify": "viewer",
    "POST /incidents/{incident}/acknowledge": "responder",
    "POST /incidents/{incident}/mitigate": "responder",
    "POST /incidents/{incident}/resolve": "responder",
    "POST /incidents/{incident}/close": "responder",
    "POST /incidents/{incident}/note": "responder",
    "POST /incidents/{incident}/request": "responder",
    "POST /incidents/{incident}/analyse": "responder",
    "POST /incidents/{incident}/actions/{action}/succeeded": "responder",
    "POST /incidents/{incident}/actions/{action}/failed": "responder",
    f"POST {API}/actions/{{action_id}}/succeeded": "responder",
    f"POST {API}/actions/{{action_id}}/failed": "responder",
    "POST /incidents/{incident}/actions/{action}/approve": "approver",
    "POST /incidents/{incident}/actions/{action}/reject": "approver",
    f"POST {API}/incidents/{{incident_id}}/acknowledge": "responder",
    f"POST {API}/incidents/{{incident_id}}/mitigate": "responder",
    f"POST {API}/incidents/{{incident_id}}/resolve": "responder",
    f"POST {API}/incidents/{{incident_id}}/close": "responder",
    f"POST {API}/incidents/{{incident_id}}/note": "responder",
    f"POST {API}/incidents/{{incident_id}}/actions/{{name}}": "responder",
    f"POST {API}/incidents/{{incident_id}}/analyse": "responder",
    f"POST {API}/actions/{{action_id}}/approve": "approver",
    f"POST {API}/actions/{{action_id}}/reject": "approver",
}
"""The least role by route; empty: whoever reaches the exporter."""

QUERY = {
    "GET /probe": "?model=fraud",
    f"GET {API}/models/{{name}}/history": "?window=1h",
}
"""What a route is asked along with its path."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """A desk with one person per role and a model that can be analysed, an incident, an action."""
    with room(tmp_path_factory.mktemp("desk")) as found:
        model = watched(found, **SHIFTED)
        desk = Desk(
            lambda: found.store,
            lambda: found.settings,
            found.clock,
            lambda: KEY,
            analyse=lambda incident, who: examine_one(model.watch, incident, who),
        )
        found.desk = desk
        (incident,) = found.deliver(alert())
        found.waiting(incident)
        yield found


@pytest.fixture(scope="module")
def client(found: Room) -> Iterator[httpx.Client]:
    """A client of a server with the desk."""
    with served(found) as client:
        yield client


@pytest.fixture(scope="module")
def open_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a server whose config names nobody."""
    with room(tmp_path_factory.mktemp("open"), People()) as found:
        found.deliver(alert())
        with served(found) as client:
            yield client


class Case(NamedTuple):
    """What a route is tried on."""

    incident: int = 1
    action: int = 1


def prepared(found: Room, route: str) -> Case:
    """An incident and an action of its own that a route can be used on, whatever was before."""
    # So much later that no limit of earlier actions counts.
    found.clock.now += 30 * 86400
    state = IncidentState.RESOLVED if route.endswith("/close") else IncidentState.OPEN
    now = found.clock.now
    with found.store.cases.writing("open an incident") as tx:
        opened = tx.save(Incident(0, "credit", Cause.DRIFT, state, "critical", now, now, title="x"))
    settled = route.endswith(("/succeeded", "/failed"))
    action = found.waiting(opened.id, state=ActionState.UNKNOWN if settled else ActionState.WAITING)
    return Case(opened.id, action.id)


def asked(client: httpx.Client, route: str, role: str, case: Case) -> int:
    """The code that a person gets who uses a route as it is meant to be used."""
    method, _, path = route.partition(" ")
    place = path.replace("{feature:anything}", "age").replace("/actions/{name}", "/actions/tell")
    place = re.sub(r"\{(name|model)\}", "fraud", place)
    place = re.sub(r"\{(incident|incident_id)\}", str(case.incident), place)
    place = re.sub(r"\{(action|action_id)\}", str(case.action), place) + QUERY.get(route, "")
    assert "{" not in place
    if method == "POST" and path.startswith("/incidents"):
        page = client.get(f"/incidents/{case.incident}", headers=bearer(role)).text
        token = re.search('name="token" value="([0-9a-f]+)"', page)
        form = {"token": token[1] if token else "", "name": "tell", "text": "so it is"}
        return client.post(place, headers=bearer(role), data=form).status_code
    headers = {**bearer(role), "Content-Type": "application/json"}
    content = body([alert()]) if path == "/alerts" else b'{"text": "so it is"}'
    return client.request(method, place, headers=headers, content=content).status_code


def right(route: str) -> int:
    """The code of a route that does what it is for."""
    if route in ("GET /approve", "POST /approve"):
        # A link says itself who may do what: one without a signature says nothing.
        return 403
    # A form leads back to its page.
    return 303 if route.startswith("POST /incidents/") else 200


def test_each_route_of_the_app_is_in_the_table(found: Room) -> None:
    """A new route without a role is not forgotten."""
    routes = [route for route in create_app(found.parts).routes if isinstance(route, Route)]
    known = {f"{m} {r.path}" for r in routes for m in (r.methods or ()) if m != "HEAD"}

    assert len(routes) == len(create_app(found.parts).routes)
    assert known == LEAST.keys()


def test_the_table_holds_below_a_prefix(found: Room) -> None:
    """With a prefix each route stands in the table as well, and is refused as well."""
    with served(found, route_prefix="/drift") as client:
        codes = [client.get(f"/drift{path}").status_code for path in ("/", "/incidents")]
        sent = client.post("/drift/alerts", content=body([], more="x" * 2**21))

    assert (codes, sent.status_code) == ([200, 401], 200)


@pytest.mark.parametrize("role", ALL, ids=lambda role: role or "nobody")
def test_metrics_are_for_all(client: httpx.Client, role: str) -> None:
    """Scrapes, which are answered before any route, ask for no role."""
    assert client.get("/metrics", headers=bearer(role)).status_code == 200


def test_a_route_without_a_role_does_not_start() -> None:
    """Where the code's own table lacks a route, the app is not even built."""
    app = create_app(PARTS)
    app.add_api_route("/new", lambda: "open to all", methods=["GET"])

    with pytest.raises(KeyError, match="/new"):
        guard_routes(app, "", None)


@pytest.mark.parametrize("role", ALL, ids=lambda role: role or "nobody")
@pytest.mark.parametrize("route", LEAST)
def test_who_may(found: Room, client: httpx.Client, route: str, role: str) -> None:
    """Who lacks the role is refused; 401 who has not said who they are, 403 all others. Whoever
    has it is served."""
    code = asked(client, route, role, prepared(found, route))

    if ALL.index(role) < ALL.index(LEAST[route]):
        assert code == (403 if role else 401)
    else:
        assert code == right(route)


@pytest.mark.parametrize("role", ALL, ids=lambda role: role or "nobody")
def test_a_signed_link_needs_no_role(found: Room, client: httpx.Client, role: str) -> None:
    """Whoever has the link may look and answer, once."""
    case = prepared(found, "POST /approve")
    link = found.desk.link(case.action, "approve", "carol", "science")
    looked = client.get("/approve", params={"link": link}, headers=bearer(role))
    answers = [client.post("/approve", data={"link": link}, headers=bearer(role)) for _ in "12"]

    assert looked.status_code == 200
    assert [answer.status_code for answer in answers] == [200, 409]
    assert [one.who for one in found.store.cases.approvals(case.action)] == ["carol"]


@pytest.mark.parametrize("route", LEAST)
def test_without_people_all_may_look_and_nobody_may_write(
    open_client: httpx.Client, route: str
) -> None:
    """Where the config names nobody, incidents are as public as all else, and unchangeable."""
    code = asked(open_client, route, "", Case())

    assert code == (403 if LEAST[route] in ("responder", "approver") else right(route))


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none"),
        pytest.param({"Authorization": "Bearer wrong-token-0123456789"}, id="wrong token"),
        pytest.param({"Authorization": "Bearer"}, id="empty token"),
        pytest.param({"Authorization": "Bearer \xff\xfe"}, id="no text"),
        pytest.param({"Authorization": "Basic viewer"}, id="no base64"),
        pytest.param({"Authorization": TOKENS["viewer"]}, id="no scheme"),
        pytest.param({"X-Forwarded-User": "approver"}, id="a proxy's user"),
    ],
)
def test_a_wrong_credential_is_none(client: httpx.Client, headers: dict[str, str]) -> None:
    """401 says how to show who one is, and the body is not read."""
    raw = [(name.encode(), text.encode("latin-1")) for name, text in headers.items()]
    answer = client.post(f"{API}/incidents/1/note", content=b"{not read", headers=raw)

    assert answer.status_code == 401
    assert "Basic realm=" in answer.headers["www-authenticate"]
    assert "Bearer realm=" in answer.headers["www-authenticate"]
    assert "responder" in answer.json()["detail"]


def test_a_refused_request_changes_nothing(found: Room, client: httpx.Client) -> None:
    """After everybody without the role tried everything, the log has not grown."""
    cases = {route: prepared(found, route) for route in LEAST}
    before = len(list(found.desk.audit(limit=None)))
    for route, least in LEAST.items():
        for role in ALL[: ALL.index(least)]:
            asked(client, route, role, cases[route])

    assert len(list(found.desk.audit(limit=None))) == before


def basic(name: str, password: str) -> dict[str, str]:
    """Headers of a browser that was told a name and a password."""
    encoded = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {encoded}"}


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        pytest.param(basic("viewer", TOKENS["viewer"]), 200, id="name and token"),
        pytest.param(basic("approver", TOKENS["viewer"]), 401, id="somebody else's name"),
        pytest.param(basic("viewer", "password"), 401, id="no token"),
        pytest.param(basic("", TOKENS["viewer"]), 401, id="no name"),
    ],
)
def test_a_browser_shows_a_token_as_a_password(
    client: httpx.Client, headers: dict[str, str], code: int
) -> None:
    """A person without a password of the web config comes in with the token, in their own name."""
    assert client.get("/incidents", headers=headers).status_code == code


def test_what_a_browser_sends_by_itself_is_not_enough_for_the_interface(
    client: httpx.Client,
) -> None:
    """With a password the interface takes JSON alone, which no page of another site can send."""
    place = f"{API}/incidents/1/note"
    said = {**basic("responder", TOKENS["responder"])}

    assert client.post(place, headers=said).status_code == 415
    plain = {**said, "Content-Type": "text/plain"}
    assert client.post(place, headers=plain, content=b'{"text": "x"}').status_code == 415
    assert client.post(place, headers=said, json={"text": "x"}).status_code == 200


def test_the_desk_asks_for_roles_too(found: Room) -> None:
    """Whatever a face forgets, the desk does not."""
    for role in ("", "viewer"):
        with pytest.raises(RoleError, match="takes the role responder"):
            found.desk.move(1, person(role), "note", "x")
        with pytest.raises(RoleError, match="takes the role responder"):
            found.desk.request(1, "tell", person(role))
        with pytest.raises(RoleError, match="takes the role responder"):
            found.desk.settle(1, person(role), True, "")
        with pytest.raises(RoleError, match="takes the role responder"):
            found.desk.analyse(1, person(role))
    with pytest.raises(RoleError, match="takes the role approver; responder has responder"):
        found.desk.decide(1, person("responder"), "approve", "")


WEBHOOK = "token-of-alertmanager-0123"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        pytest.param({}, 401, id="none"),
        pytest.param({"Authorization": "Bearer wrong"}, 401, id="wrong"),
        pytest.param(bearer("approver"), 401, id="a person's"),
        pytest.param({"Authorization": f"Bearer {WEBHOOK}"}, 200, id="right"),
    ],
)
def test_the_webhook_may_have_a_token(tmp_path: Path, headers: dict[str, str], code: int) -> None:
    """Where the config has a token for the webhook, alerts are taken with it alone."""
    (tmp_path / "token").write_text(WEBHOOK)
    known = people(webhook_token_file=str(tmp_path / "token"))
    with room(tmp_path, known) as found, served(found) as client:
        answer = client.post("/alerts", content=body([alert()]), headers=headers)
        elsewhere = client.get("/incidents", headers={"Authorization": f"Bearer {WEBHOOK}"})

    assert (answer.status_code, elsewhere.status_code) == (code, 401)


def test_the_gate_lets_no_path_in_by_itself() -> None:
    """An app that says nothing of it has no way around the password."""
    assert not Passes().lets_in("/alerts", "Bearer anything")
