"""The desk on a real store: each call is one transaction that leaves a step and an entry."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from drift_exporter.casework.desk import Desk, People, people_of
from drift_exporter.casework.responder import examine_one
from drift_exporter.config.access import Access
from drift_exporter.errors import ConfigError, DeliveryError, IncidentError, RoleError, StoreError
from drift_exporter.incident import ActionState, IncidentState
from incident_desk import KEY, NOW, Room, alert, body, people, person, room
from watched_model import FAULTY, SHIFTED, watched

RESPONDER, APPROVER = person("responder"), person("approver")


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Room]:
    """A desk on a fresh store."""
    with room(tmp_path) as found:
        yield found


def last_step(found: Room, incident_id: int) -> tuple[str, str, str]:
    """Who did what last, which must be the last entry of the audit log too."""
    step = found.store.cases.steps(incident_id)[-1]
    entry = list(found.desk.audit())[-1]
    assert (entry.actor, entry.kind, entry.at) == (step.actor, step.kind, step.at)
    return step.actor, step.kind, step.text


def test_a_delivery_opens_incidents_and_says_which(found: Room) -> None:
    """Alerts become incidents by model and cause; those without a known model are kept."""
    sent = body([alert("income"), alert("age"), alert(model="?"), alert(model="churn")])
    receipt = found.desk.receive(sent, NOW)
    again = found.desk.receive(sent, NOW)

    assert (receipt.alerts, len(receipt.incident_ids)) == (4, 2)
    assert again.incident_ids == ()
    assert [a.model for a in found.desk.unmatched_alerts(9)] == ["?"]
    assert {i.model for i in found.desk.incidents()} == {"credit", "churn"}
    with pytest.raises(DeliveryError):
        found.desk.receive(b"{}", NOW)


def test_an_incident_is_moved_by_name(found: Room) -> None:
    """Each move is written with who and when, in the timeline and in the audit log."""
    (number,) = found.deliver(alert())
    states = []
    for move in ("acknowledge", "mitigate", "note", "resolve", "close"):
        found.clock.now += 60
        states.append(found.desk.move(number, RESPONDER, move, f"because {move}").state)
        actor, _, text = last_step(found, number)
        assert (actor, text) == ("responder", f"because {move}")

    case = found.desk.case(number)
    assert case is not None
    assert states == ["acknowledged", "mitigating", "mitigating", "resolved", "closed"]
    assert (case.incident.acknowledged, case.incident.closed) == (NOW + 60, NOW + 300)
    assert found.desk.verify().intact


@pytest.mark.parametrize(
    ("move", "text", "message"),
    [
        pytest.param("close", "", "is open: cannot close it; possible are acknowl", id="too soon"),
        pytest.param("note", " ", "the note is empty", id="nothing said"),
        pytest.param("note", "x" * 10_001, "at most 10000 are kept", id="a book"),
        pytest.param("delete", "", "expected one of acknowledge", id="no move"),
    ],
)
def test_what_cannot_be_done_changes_nothing(
    found: Room, move: str, text: str, message: str
) -> None:
    """A refused move says what is possible and leaves no trace."""
    (number,) = found.deliver(alert())
    before = found.desk.case(number), list(found.desk.audit())

    with pytest.raises(IncidentError, match=message):
        found.desk.move(number, RESPONDER, move, text)

    assert (found.desk.case(number), list(found.desk.audit())) == before


def test_two_people_approve(found: Room) -> None:
    """An action that needs two groups is approved by the second person, and by nobody twice."""
    (number,) = found.deliver(alert())
    action = found.waiting(number)

    assert found.desk.decide(action.id, APPROVER, "approve", "fine").state is ActionState.WAITING
    with pytest.raises(IncidentError, match="has answered already"):
        found.desk.decide(action.id, APPROVER, "approve", "")
    link = found.desk.link(action.id, "approve", "Ada", "clinic")
    assert found.desk.answer(link, "seen").state is ActionState.APPROVED
    with pytest.raises(IncidentError, match="waits for no answer"):
        found.desk.answer(link, "")

    case = found.desk.case(number)
    assert case is not None
    answers = [(a.who, a.groups, a.note) for a in case.actions[0].approvals]
    assert answers == [("approver", ("science",), "fine"), ("Ada", ("clinic",), "seen")]
    told = [step for step in case.steps if step.kind == "action_approved"]
    assert ["by a signed link" in step.text for step in told] == [False, True]
    assert [step.detail["by"] for step in told] == ["account", "link"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda link: link[:-1], "not one of ours", id="cut off"),
        pytest.param(lambda link: "x" + link, "not one of ours", id="changed"),
        pytest.param(lambda _: "", "not one of ours", id="none"),
    ],
)
def test_a_link_of_somebody_else_says_nothing(
    found: Room, change: Callable[[str], str], message: str
) -> None:
    """A link that was changed is refused, whatever it is for."""
    (number,) = found.deliver(alert())
    link = found.desk.link(found.waiting(number).id, "approve", "Ada", "clinic")

    with pytest.raises(RoleError, match=message):
        found.desk.invitation(change(link))
    assert found.desk.invitation(link).who == "Ada"
    found.clock.now += 86400
    with pytest.raises(RoleError, match="has expired"):
        found.desk.answer(link, "")


def test_a_link_of_an_earlier_store_says_nothing(found: Room, tmp_path: Path) -> None:
    """Where ids begin anew and the key stayed, a link does not count for another action."""
    (number,) = found.deliver(alert())
    link = found.desk.link(found.waiting(number).id, "approve", "Ada", "clinic")
    (tmp_path / "later").mkdir()
    with room(tmp_path / "later") as later:
        later.clock.now = found.clock.now + 60
        (again,) = later.deliver(alert())
        waiting = later.waiting(again)

        with pytest.raises(RoleError, match="of another action"):
            later.desk.answer(link, "")

        assert later.desk.action(waiting.id) == waiting


def test_links_are_made_for_actions_that_are_there(found: Room) -> None:
    """There is no link for an action that nobody knows."""
    with pytest.raises(IncidentError, match="no action 7"):
        found.desk.link(7, "approve", "Ada")


@pytest.mark.parametrize(
    "state",
    [state for state in ActionState if state not in (ActionState.WAITING, ActionState.PROPOSED)],
)
def test_links_are_made_for_actions_that_wait(found: Room, state: ActionState) -> None:
    """There is no link either for an action that waits for no answer any more."""
    (number,) = found.deliver(alert())
    assert found.desk.link(found.waiting(number).id, "approve", "Ada")
    over = found.waiting(number, state=state)

    with pytest.raises(IncidentError, match=f"no action {over.id} that waits for an answer"):
        found.desk.link(over.id, "approve", "Ada")


def test_somebody_has_an_incident_analysed(found: Room) -> None:
    """The newest counts are judged in the person's name, once more too, and whoever waits is
    told after it."""
    told: list[tuple[int, str]] = []
    model = watched(found, **SHIFTED)
    desk = Desk(
        lambda: found.store,
        lambda: found.settings,
        found.clock,
        lambda: KEY,
        lambda ids: told.extend((i, model.incident().classification) for i in ids),
        analyse=lambda incident, who: examine_one(model.watch, incident, who),
    )
    (number,) = found.deliver(alert("age"))

    first = desk.analyse(number, RESPONDER)
    assert last_step(found, number)[:2] == ("responder", "analysed")
    model.counts(**FAULTY)
    second = desk.analyse(number, APPROVER)

    actor, kind, text = last_step(found, number)
    assert (actor, kind) == ("approver", "analysed")
    assert "age" in text
    assert (first.classification, second.classification) == ("covariate_shift", "data_quality")
    assert second == model.incident()
    assert told == [(number, "covariate_shift"), (number, "data_quality")]
    assert model.evidence() == 2
    assert found.desk.verify().intact


@pytest.mark.parametrize(
    ("name", "move", "asked", "message"),
    [
        pytest.param("FeatureDrifted", "", 7, "there is no incident 7", id="none"),
        pytest.param("FeatureDrifted", "resolve", 1, "is resolved; what it was judged", id="over"),
        pytest.param("NoData", "", 1, "is of monitoring, not of drift", id="of monitoring"),
        pytest.param("ReferenceOld", "", 1, "is of upkeep, not of drift", id="of upkeep"),
        pytest.param("FeatureDrifted", "", 1, "cannot be analysed here and now", id="no profile"),
    ],
)
def test_what_cannot_be_analysed_says_why(
    found: Room, name: str, move: str, asked: int, message: str
) -> None:
    """A refused analysis leaves no trace, and tells nobody of a change."""
    told: list[Any] = []
    model = watched(found, **SHIFTED)
    desk = Desk(
        lambda: found.store,
        lambda: found.settings,
        found.clock,
        lambda: KEY,
        told.append,
        analyse=partial(examine_one, model.watch),
    )
    found.deliver(alert("age", name=f"ModelDrift{name}"))
    if move:
        found.desk.move(1, RESPONDER, move, "")
    if message.endswith("now"):
        model.jobs.clear()
    before = found.desk.case(1), list(found.desk.audit())

    with pytest.raises(IncidentError, match=message):
        desk.analyse(asked, RESPONDER)
    with pytest.raises(RoleError, match="to analyse an incident takes the role responder"):
        desk.analyse(asked, person("viewer"))

    assert (found.desk.case(1), list(found.desk.audit()), told) == (*before, [])


@pytest.mark.parametrize(
    ("sent", "closed", "error", "counted"),
    [
        pytest.param(
            body([alert(), alert("age"), alert(model="?")]),
            False,
            None,
            ("accepted", 3),
            id="taken",
        ),
        pytest.param(body([]), False, None, ("accepted", 0), id="empty"),
        pytest.param(b"{}", False, DeliveryError, ("refused", 1), id="no delivery"),
        pytest.param(b"{}", True, DeliveryError, ("refused", 1), id="no delivery, no store"),
        pytest.param(body([alert()] * 2), True, StoreError, ("failed", 2), id="no store"),
    ],
)
def test_deliveries_are_counted(
    found: Room,
    sent: bytes,
    closed: bool,
    error: type[Exception] | None,
    counted: tuple[str, int],
) -> None:
    """Each is told once, with its outcome and the number of its alerts."""
    told: list[tuple[str, int]] = []
    desk = Desk(
        lambda: found.store,
        lambda: found.settings,
        found.clock,
        lambda: KEY,
        counted=lambda outcome, alerts: told.append((outcome, alerts)),
    )
    if closed:
        found.store.close()

    if error is None:
        assert desk.receive(sent, NOW).alerts == counted[1]
    else:
        with pytest.raises(error):
            desk.receive(sent, NOW)

    assert told == [counted]


def test_an_action_is_asked_for_by_hand(found: Room) -> None:
    """Who asks is written down; guards hold, and approvals are needed as ever."""
    (number,) = found.deliver(alert())

    action = found.desk.request(number, "tell", RESPONDER)

    assert (action.state, action.needs) == (ActionState.WAITING, ("",))
    assert last_step(found, number)[:2] == ("responder", "action_proposed")
    with pytest.raises(IncidentError, match="under way already"):
        found.desk.request(number, "tell", RESPONDER)
    with pytest.raises(IncidentError, match="retrained only when the analysis"):
        found.desk.request(number, "retrain", RESPONDER)
    with pytest.raises(IncidentError, match="no action 'x'; it has retrain, tell"):
        found.desk.request(number, "x", RESPONDER)


def test_a_closed_incident_asks_for_nothing(found: Room) -> None:
    """Actions can be asked for as long as the incident is not closed."""
    (number,) = found.deliver(alert())
    incident = found.desk.move(number, RESPONDER, "resolve", "")
    assert found.desk.actions_to_ask(incident) == ("retrain", "tell")
    incident = found.desk.move(number, RESPONDER, "close", "")
    assert (incident.state, found.desk.actions_to_ask(incident)) == (IncidentState.CLOSED, ())


def test_whoever_waits_is_told_what_changed(tmp_path: Path) -> None:
    """After each change the ids of its incidents are told, when it can be read already."""
    seen: list[tuple[int, int]] = []
    with room(tmp_path) as found:

        def changed(ids: Any) -> None:
            seen.extend((i, len(found.store.cases.steps(i))) for i in ids)

        desk = Desk(lambda: found.store, lambda: found.settings, found.clock, lambda: KEY, changed)
        desk.receive(body([alert()]), NOW)
        desk.receive(body([alert()]), NOW)
        desk.move(1, RESPONDER, "acknowledge", "")

    assert seen == [(1, 1), (1, 2)]


def test_people_are_known_by_token_and_by_name(tmp_path: Path) -> None:
    """Tokens and users are who the config says; somebody else has no role."""
    known = people(users=[{"name": "Ann", "role": "approver", "groups": "clinic"}])

    assert known.by_user("Ann").groups == ("clinic",)
    assert (known.by_user("Bob").name, known.by_user("Bob").role) == ("Bob", "")
    assert known.by_token("wrong") is None
    assert (known.restricted, People().restricted) == (True, False)
    assert "token-of" not in repr(known)

    short = tmp_path / "short"
    short.write_text("short")
    for path, message in ((short, "has 5 characters"), (tmp_path / "none", "cannot be read")):
        access = Access(webhook_token_file=str(path))
        with pytest.raises(ConfigError, match=rf"webhook_token_file: .*{message}"):
            people_of(access, {})


@pytest.mark.parametrize(
    ("users", "message"),
    [
        pytest.param([{"name": "a"}, {"name": "A"}], "no other user has", id="named twice"),
        pytest.param([{"name": "ann"}], "role and groups of the token", id="another role"),
        pytest.param(
            [{"name": "b", "groups": ["x"]}],
            "only where somebody approves",
            id="groups of a viewer",
        ),
    ],
)
def test_users_that_cannot_be(users: list[dict[str, Any]], message: str) -> None:
    """One person has one role, by whatever they are known."""
    token = {"name": "Ann", "role": "approver", "token_env": "T"}
    with pytest.raises(ValueError, match=message):
        Access.model_validate({"tokens": [token], "users": users})
