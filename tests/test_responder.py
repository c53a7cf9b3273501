"""Rounds of the responder on real counts: when an incident is analysed anew, and what waits."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drift_exporter.casework.answering import approve, request
from drift_exporter.casework.responder import Responder
from drift_exporter.errors import IncidentError
from drift_exporter.incident import ALERT_NAMES, Action, ActionState
from exporter_process import eventually
from incident_desk import Room, alert, room
from recording_server import Recorder, recording_server
from response_story import action
from watched_model import FAULTY, MISSING, PEOPLE, SHIFTED, Watched, watched

DRIFTED = "ModelDriftFeatureDrifted"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of the machine stands before the receiver."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[Recorder]:
    """A receiver of actions."""
    with recording_server() as recorder:
        yield recorder


@pytest.fixture
def model(tmp_path: Path) -> Iterator[Watched]:
    """A model whose applicants changed, with an incident that tells of it."""
    with room(tmp_path) as found:
        model = watched(found, **SHIFTED)
        found.deliver(alert("age"))
        yield model


def ended(**keys: Any) -> dict[str, Any]:
    """The end of an alert, a minute before the desk's time."""
    return alert("age", status="resolved", endsAt="2027-01-15T07:59:00Z", **keys)


def back(found: Room) -> None:
    """Let the incident be over and come back."""
    found.deliver(ended())
    found.deliver(alert("age", startsAt="2027-01-15T08:00:00Z"))


def joined(found: Room) -> None:
    """Let an alert of another kind join."""
    found.deliver(alert("age", name=MISSING))


def wider(found: Room) -> None:
    """Let an alert of the same kind join, of another feature."""
    found.deliver(alert("city"))


def test_a_new_incident_is_analysed_once(model: Watched) -> None:
    """The first round writes what it was judged on, and which alerts it knew of; no other does."""
    for _ in range(3):
        model.round()

    incident = model.incident()
    assert incident.classification == "covariate_shift"
    assert incident.analysis is not None
    assert incident.analysis[ALERT_NAMES] == [DRIFTED]
    assert incident.analysis["related_models"] == ["churn"]
    assert (incident.outdated, model.evidence()) == (False, 1)
    steps = [step.kind for step in model.room.store.cases.steps(incident.id)]
    assert steps == ["opened", "analysed"]


@pytest.mark.parametrize(
    ("happens", "known", "analyses"),
    [
        pytest.param(back, [DRIFTED], 2, id="it comes back"),
        pytest.param(joined, [DRIFTED, MISSING], 2, id="an alert of another kind"),
        pytest.param(wider, [DRIFTED], 1, id="an alert of the same kind"),
    ],
)
def test_what_is_outdated_is_analysed_anew(
    model: Watched, happens: Callable[[Room], None], known: list[str], analyses: int
) -> None:
    """The next round judges the newest counts, and keeps both evidences; then all is known."""
    model.round()
    model.counts(**FAULTY)

    happens(model.room)
    assert model.incident().outdated is (analyses == 2)
    for _ in range(2):
        model.round()

    incident = model.incident()
    assert incident.classification == ("data_quality" if analyses == 2 else "covariate_shift")
    assert incident.analysis is not None
    assert incident.analysis[ALERT_NAMES] == known
    assert (incident.outdated, model.evidence()) == (False, analyses)
    assert model.room.store.cases.verify_audit().intact


@pytest.mark.parametrize(
    ("happens", "known", "analyses"),
    [
        pytest.param(back, [DRIFTED], 2, id="it comes back"),
        pytest.param(joined, [DRIFTED, MISSING], 2, id="an alert of another kind"),
        pytest.param(wider, [DRIFTED], 1, id="an alert of the same kind"),
    ],
)
def test_what_comes_while_the_counts_are_read_is_news(
    model: Watched, happens: Callable[[Room], None], known: list[str], analyses: int
) -> None:
    """An analysis does not pass for one of what came after its counts; the next round's does."""
    reads: list[int] = []

    def once() -> None:
        if not reads:
            happens(model.room)
        reads.append(model.evidence())

    model.reading = once
    model.round()
    first = model.incident()
    assert first.analysis is not None
    assert first.analysis[ALERT_NAMES] == [DRIFTED]
    assert first.outdated is (analyses == 2)

    for _ in range(2):
        model.round()

    last = model.incident()
    assert last.analysis is not None
    assert last.analysis[ALERT_NAMES] == known
    assert not last.outdated
    assert reads == [*range(analyses)]


def only(model: Watched) -> Action:
    """The one action."""
    (found,) = model.room.store.cases.actions()
    return found


def approved(model: Watched, server: Recorder) -> None:
    """Have a retraining asked for, and approved by both groups."""
    model.actions = [action(server.url)]
    model.round()
    for who, group in PEOPLE:
        approve(model.room.store.cases, only(model).id, who, (group,), "approve", 0.0)
    assert only(model).state == ActionState.APPROVED


def test_a_shift_that_turns_out_to_be_a_fault_stops_a_retraining(
    model: Watched, server: Recorder
) -> None:
    """What was approved on a shift is not sent once the new analysis has found bad data."""
    approved(model, server)
    model.counts(**FAULTY)
    joined(model.room)

    model.round()

    assert model.incident().classification == "data_quality"
    assert only(model).state == ActionState.SKIPPED
    step = model.room.store.cases.steps(1)[-1]
    assert step.kind == "action_skipped"
    assert "never retrained on data of bad quality" in step.text
    assert server.got == []


def later(model: Watched, **rows: Any) -> None:
    """Let an hour go by, after which the windows hold these rows."""
    model.room.clock.now += 3600
    model.counts(**rows)


def test_no_alert_has_to_tell_of_a_fault(model: Watched, server: Recorder) -> None:
    """The newest counts are looked at before a retraining, whatever was analysed before."""
    approved(model, server)
    later(model, **FAULTY)

    model.round()

    assert model.incident().classification == "data_quality"
    assert (only(model).state, model.evidence(), server.got) == (ActionState.SKIPPED, 2, [])


def test_what_was_approved_stays_what_it_was(model: Watched, server: Recorder) -> None:
    """Newer counts without a fault change nothing about it: neither the same shift nor none."""
    approved(model, server)
    later(model)

    model.round()

    assert model.incident().classification == "covariate_shift"
    assert (only(model).state, model.evidence()) == (ActionState.SUCCEEDED, 1)
    assert len(server.got) == 1


def test_a_retraining_waits_until_somebody_can_look(model: Watched, server: Recorder) -> None:
    """Where the counts cannot be had, nobody knows whether they are of bad quality by now."""
    approved(model, server)
    del model.jobs["credit"]
    for _ in range(2):
        assert model.round() == ()
    assert (only(model).state, server.got) == (ActionState.APPROVED, [])

    model.jobs["credit"] = model.job
    model.round()

    assert only(model).state == ActionState.SUCCEEDED


@pytest.mark.parametrize(
    "happens",
    [pytest.param(back, id="it comes back"), pytest.param(joined, id="an alert of another kind")],
)
def test_an_approved_retraining_waits_for_the_new_analysis(
    model: Watched, server: Recorder, happens: Callable[[Room], None]
) -> None:
    """As long as the incident cannot be analysed anew nothing is sent and no approval is lost."""
    approved(model, server)
    happens(model.room)
    del model.jobs["credit"]
    for _ in range(3):
        assert model.round() == ()
    assert model.incident().outdated
    assert (only(model).state, server.got) == (ActionState.APPROVED, [])

    model.jobs["credit"] = model.job
    model.round()

    assert model.incident().classification == "covariate_shift"
    assert only(model).state == ActionState.SUCCEEDED
    assert len(server.got) == 1
    kinds = [step.kind for step in model.room.store.cases.steps(1)]
    assert kinds.index("action_started") > len(kinds) - 1 - kinds[::-1].index("analysed")


def test_a_retraining_that_waits_expires_as_ever(model: Watched, server: Recorder) -> None:
    """What was approved yesterday is not sent because the analysis came at last."""
    approved(model, server)
    joined(model.room)
    del model.jobs["credit"]
    model.round()
    model.room.clock.now += 86400

    model.jobs["credit"] = model.job
    model.round()

    assert only(model).state == ActionState.EXPIRED
    assert server.got == []


def test_no_machine_asks_for_a_retraining_meanwhile(model: Watched, server: Recorder) -> None:
    """Whatever answers a classification is asked for after the new analysis, as that is what it
    tells of; what answers the opening waits for none."""
    automatic = {"approvals": None, "automatic": True}
    model.round()
    joined(model.room)
    del model.jobs["credit"]
    opened = {"name": "tell", "retrain": False, "when": {"on": ["opened"]}}
    model.actions = [
        action(f"{server.url}/retrain", **automatic),
        action(f"{server.url}/told", name="told", **automatic | {"retrain": False}),
        action(f"{server.url}/tell", **automatic, **opened),
    ]

    for _ in range(2):
        model.round()
    assert model.incident().classification == "covariate_shift"
    assert [got.path for got in server.got] == ["/tell"]
    assert [one.name for one in model.room.store.cases.actions()] == ["tell"]

    model.jobs["credit"] = model.job
    model.round()

    states = {one.name: one.state for one in model.room.store.cases.actions()}
    assert states == dict.fromkeys(("retrain", "told", "tell"), ActionState.SUCCEEDED)
    assert [got.path for got in server.got] == ["/tell", "/retrain", "/told"]


def test_nobody_asks_for_a_retraining_by_hand_meanwhile(model: Watched, server: Recorder) -> None:
    """Who asks for one is told that the analysis is made anew first, and may ask again then."""
    model.round()
    joined(model.room)
    model.actions = [action(server.url, when={"on": ["requested"]})]

    with pytest.raises(IncidentError, match="more happened since the analysis"):
        request(model.watch.duty, 1, "retrain", "ann")
    model.round()

    asked = request(model.watch.duty, 1, "retrain", "ann")
    assert (asked.state, asked.reason) == (ActionState.WAITING, "asked for by ann")


def test_a_receiver_that_stalls_holds_up_no_analysis(model: Watched, server: Recorder) -> None:
    """While one action is being sent, incidents are analysed and what they ask for is written."""
    server.stall = threading.Event()
    model.actions = [action(server.url, retrain=False, approvals=[], automatic=True, timeout="20s")]
    responder = Responder(lambda: model.watch, lambda: None)
    responder.start()
    try:
        eventually(lambda: len(server.got) == 1, "the request of the first analysis")
        model.counts(**FAULTY)
        joined(model.room)
        responder.wake()
        eventually(lambda: model.incident().classification == "data_quality", "the next analysis")
        (sending, *_) = model.room.store.cases.actions()
        assert sending.state == ActionState.STARTED
    finally:
        server.stall.set()
        responder.stop(20)
    assert model.room.store.cases.verify_audit().intact
    assert len(server.got) == 1
