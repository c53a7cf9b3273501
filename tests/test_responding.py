"""The story of actions on a real store and a real receiver, ended at every point."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import response_story
from drift_exporter.casework.answering import approve, request, settle
from drift_exporter.casework.duty import ACTOR
from drift_exporter.config.action import Action as Configured
from drift_exporter.errors import IncidentError
from drift_exporter.exchange.building import Request
from drift_exporter.exchange.sending import Sent
from drift_exporter.incident import ActionState, Cause, Incident, IncidentState
from drift_exporter.store.cases import Cases
from recording_server import Got, Recorder, recording_server
from response_story import (
    NOW,
    PEOPLE,
    Stop,
    action,
    count_to,
    duty_of,
    open_incident,
    opened_cases,
    respond_once,
)

TRANSACTIONS = 5  # proposed, ann, bob, started, outcome
POINTS = 3 * TRANSACTIONS + 2  # before, inside and after each, before and after sending
STARTED, SENT, OUTCOME = 11, 13, 16
"""Points after which it is written down that it is sent, it was sent, and how that ended."""


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
def cases(tmp_path: Path) -> Iterator[Cases]:
    """An empty store."""
    with opened_cases(str(tmp_path / "s.db")) as opened:
        yield opened


def _kinds(cases: Cases, incident: Incident) -> list[str]:
    return [step.kind for step in cases.steps(incident.id)]


def _only(cases: Cases) -> Any:
    (found,) = cases.actions()
    return found


def _approve_all(cases: Cases, at: float = NOW) -> None:
    for who, group in PEOPLE:
        approve(cases, _only(cases).id, who, (group,), "approve", at)


def test_a_retraining_waits_for_two_people_and_is_sent_once(cases: Cases, server: Recorder) -> None:
    """Proposed, approved by two groups, sent with its key, kept; later rounds do nothing."""
    incident = open_incident(cases)
    duty = duty_of(cases, [action(server.url)])

    respond_once(duty)
    respond_once(duty)
    assert _only(cases).state == ActionState.WAITING
    assert server.got == []
    approve(cases, 1, "ann", ("science",), "approve", NOW, "looks right")
    respond_once(duty)
    assert _only(cases).state == ActionState.WAITING
    approve(cases, 1, "bob", ("clinic",), "approve", NOW)
    for _ in range(3):
        respond_once(duty)

    done = _only(cases)
    assert done.state == ActionState.SUCCEEDED
    assert done.detail["outcome"] == {"status": 200, "attempts": 1, "answer": "{}"}
    assert [got.headers["Idempotency-Key"] for got in server.got] == [done.key]
    assert json.loads(server.got[0].body) == json.loads(done.detail["request"]["body"])
    assert _kinds(cases, incident) == [
        "action_proposed",
        "action_approved",
        "action_approved",
        "action_started",
        "action_succeeded",
        "mitigating",
    ]
    actors = [step.actor for step in cases.steps(incident.id)]
    assert actors == [ACTOR, "ann", "bob", ACTOR, ACTOR, "bob"]
    mitigating = cases.incident(incident.id)
    assert mitigating is not None
    assert mitigating.state == IncidentState.MITIGATING
    assert [entry.fields["kind"] for entry in cases.audit()] == _kinds(cases, incident)
    assert not cases.verify_audit().faults


def _check_end(cases: Cases, got: list[Got], mode: str, point: int) -> None:
    found = _only(cases)
    assert {one.who for one in cases.approvals(found.id)} == {"ann", "bob"}
    assert len(cases.approvals(found.id)) == 2
    assert not cases.verify_audit().faults
    assert len({(g.headers["Idempotency-Key"], g.body) for g in got}) <= 1
    kinds = [step.kind for step in cases.steps(found.incident_id)]
    assert kinds.count("action_proposed") == 1
    assert kinds.count("action_approved") == 2
    # Nobody knows how it ended from when the store says that it is sent until it says how.
    unknown = STARTED <= point < OUTCOME
    if mode == "resend":
        assert found.state == ActionState.SUCCEEDED
        assert len(got) == (2 if SENT <= point < OUTCOME else 1)
        return
    assert found.state == (ActionState.UNKNOWN if unknown else ActionState.SUCCEEDED)
    assert len(got) == (0 if STARTED <= point < SENT else 1)


@pytest.mark.parametrize("mode", ["manual", "resend"])
@pytest.mark.parametrize("point", range(POINTS))
def test_ended_at_any_point_nothing_is_lost_or_done_twice(
    point: int, mode: str, server: Recorder, tmp_path: Path
) -> None:
    """Wherever it ends, the next start goes on: approvals are kept, it is sent once.

    Where the receiver knows a key again, it may get the same request with the same key twice.
    """
    store = str(tmp_path / "s.db")

    def end() -> None:
        raise Stop

    with opened_cases(store) as cases:
        open_incident(cases)
    with pytest.raises(Stop):
        response_story.tell(store, server.url, mode, count_to(point, end))
    response_story.tell(store, server.url, mode)

    with opened_cases(store) as cases:
        _check_end(cases, server.got, mode, point)


def test_the_points_are_all_there_are(server: Recorder, tmp_path: Path) -> None:
    """A step that is added to the story is ended too."""
    store, names = str(tmp_path / "s.db"), list[str]()
    with opened_cases(store) as cases:
        open_incident(cases)

    response_story.tell(store, server.url, "manual", names.append)

    assert len(names) == POINTS
    assert names[STARTED:] == [
        "after: start action 1",
        "before: send",
        "after: send",
        "before: keep the outcome of action 1",
        "inside: keep the outcome of action 1",
        "after: keep the outcome of action 1",
    ]
    assert (names[SENT], names[OUTCOME]) == ("after: send", names[-1])


def test_killed_at_any_point_nothing_is_lost_or_done_twice(
    server: Recorder, tmp_path: Path
) -> None:
    """Real processes that are killed leave stores that the next ones go on from."""
    for point in range(POINTS):
        with opened_cases(str(tmp_path / f"{point}.db")) as cases:
            open_incident(cases)

    program = [sys.executable, response_story.__file__, str(tmp_path), server.url, str(POINTS)]
    done = subprocess.run(program, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    for point in range(POINTS):
        store = str(tmp_path / f"{point}.db")
        response_story.tell(store, f"{server.url}/{point}", "manual")
        with opened_cases(store) as cases:
            got = [one for one in server.got if one.path == f"/{point}"]
            _check_end(cases, got, "manual", point)


def test_two_answers_of_one_person_count_once(cases: Cases, server: Recorder) -> None:
    """Of both groups or not, one person fills one place, by token, link or command line."""
    open_incident(cases)
    duty = duty_of(cases, [action(server.url)])
    respond_once(duty)

    approve(cases, 1, "ann", ("science", "clinic"), "approve", NOW)
    for who in ("ann", "Ann", " ann "):
        with pytest.raises(IncidentError, match="has answered already"):
            approve(cases, 1, who, ("science", "clinic"), "approve", NOW)
    with pytest.raises(IncidentError, match="nobody answers"):
        approve(cases, 1, " ", ("clinic",), "approve", NOW)
    respond_once(duty)

    assert _only(cases).state == ActionState.WAITING
    assert len(cases.approvals(1)) == 1
    assert server.got == []


def test_one_rejection_ends_it(cases: Cases, server: Recorder) -> None:
    """After it nobody can approve, and nothing is sent."""
    incident = open_incident(cases)
    duty = duty_of(cases, [action(server.url)])
    respond_once(duty)
    approve(cases, 1, "ann", ("science",), "approve", NOW)

    rejected = approve(cases, 1, "bob", ("clinic",), "reject", NOW, "wait for the vendor")

    assert rejected.state == ActionState.REJECTED
    with pytest.raises(IncidentError, match="is rejected and waits for no answer"):
        approve(cases, 1, "eve", ("clinic",), "approve", NOW)
    respond_once(duty)
    assert server.got == []
    step = cases.steps(incident.id)[-1]
    assert (step.kind, step.detail["note"]) == ("action_rejected", "wait for the vendor")


@pytest.mark.parametrize(
    ("answers", "later", "fields", "state"),
    [
        pytest.param(1, 24 * 3600, {}, ActionState.EXPIRED, id="nobody answered in time"),
        pytest.param(2, 24 * 3600, {}, ActionState.EXPIRED, id="approved, but down for a day"),
        pytest.param(1, 24 * 3600 - 1, {}, ActionState.WAITING, id="a second before"),
        pytest.param(
            1, 0, {"state": IncidentState.CLOSED}, ActionState.SKIPPED, id="incident closed"
        ),
        pytest.param(
            2,
            0,
            {"classification": "data_quality"},
            ActionState.SKIPPED,
            id="found to be bad data after all",
        ),
    ],
)
def test_what_is_of_no_use_any_more_ends(
    answers: int,
    later: float,
    fields: dict[str, Any],
    state: ActionState,
    cases: Cases,
    server: Recorder,
) -> None:
    """Late answers and closed incidents end an action, with a step that tells why."""
    incident = open_incident(cases)
    now = NOW
    duty = duty_of(cases, [action(server.url)], lambda: now)
    respond_once(duty)
    for who, group in PEOPLE[:answers]:
        approve(cases, 1, who, (group,), "approve", NOW)
    now = NOW + later
    with cases.writing("change it") as tx:
        tx.save(Incident(**{**vars(incident), **fields}))

    respond_once(duty)

    found = cases.actions()[0]
    assert found.state == state
    assert server.got == []
    if state != ActionState.WAITING:
        assert f"action_{state}" in _kinds(cases, incident)


ENDLESS = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"
"""A template that calls itself until the interpreter gives up."""


def test_a_failure_stops_nothing_else(
    cases: Cases, server: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """A receiver that refuses, a template and a defect are told of; the rest goes on."""
    incident = open_incident(cases)
    automatic = {"approvals": None, "automatic": True, "retrain": False}
    server.answers = [(403, b"no"), (200, b"ok")]
    duty = duty_of(
        cases,
        [
            action(server.url, name="defect", **automatic),
            action(server.url, name="broken", body="{{ incident.nothing }}", **automatic),
            action(server.url, name="endless", body=ENDLESS, **automatic),
            action(server.url, name="null", body="{{ incident.resolved | dictsort }}", **automatic),
            action(server.url, name="refused", **automatic),
            action(server.url, name="good", **automatic),
        ],
    )

    def sending(configured: Configured, made: Request) -> Sent:
        if configured.name == "defect":
            raise RuntimeError("a defect")
        return duty.send(configured, made)

    changes = respond_once(replace(duty, send=sending))

    states = {one.name: one.state for one in cases.actions()}
    assert states == {
        "defect": ActionState.UNKNOWN,
        "broken": ActionState.FAILED,
        "endless": ActionState.FAILED,
        "null": ActionState.FAILED,
        "refused": ActionState.FAILED,
        "good": ActionState.SUCCEEDED,
    }
    assert [change.name for change in changes].count("good") == 2
    assert len(server.got) == 2
    failed = [step for step in cases.steps(incident.id) if step.kind == "action_failed"]
    assert "nothing" in failed[0].text
    assert "RecursionError" in failed[1].text
    assert failed[3].detail["answer"] == "no"
    assert any(record.levelno == logging.ERROR for record in caplog.records)
    kept = cases.incident(incident.id)
    assert kept is not None
    assert kept.state == IncidentState.OPEN, "no machine acknowledges what nobody has seen"


def test_an_outcome_that_cannot_be_written_is_unknown(cases: Cases, server: Recorder) -> None:
    """If the store fails after sending, the next round calls it unknown and sends nothing."""
    open_incident(cases)
    respond_once(duty_of(cases, [action(server.url)]))
    _approve_all(cases)

    def reach(name: str) -> None:
        if name == "after: send":
            raise Stop

    with pytest.raises(Stop):
        respond_once(duty_of(cases, [action(server.url)], reach=reach))
    assert _only(cases).state == ActionState.STARTED
    respond_once(duty_of(cases, [action(server.url)]))

    assert _only(cases).state == ActionState.UNKNOWN
    assert len(server.got) == 1


def test_what_was_changed_after_the_approval_is_not_sent(cases: Cases, server: Recorder) -> None:
    """People approve a request, not a name."""
    open_incident(cases)
    respond_once(duty_of(cases, [action(server.url)]))
    _approve_all(cases)

    respond_once(duty_of(cases, [action(server.url, body='{"other": 1}')]))

    assert cases.actions()[0].state == ActionState.SKIPPED
    assert "changed in the config" in cases.steps(1)[-1].text
    assert server.got == []


def test_what_was_approved_for_another_finding_is_not_sent(cases: Cases, server: Recorder) -> None:
    """An answer to one classification is no answer to another; it is asked for anew."""
    incident = open_incident(cases)
    duty = duty_of(cases, [action(server.url)])
    respond_once(duty)
    _approve_all(cases)
    with cases.writing("analyse it again") as tx:
        tx.save(replace(incident, classification="prediction_shift"))

    for _ in range(2):
        respond_once(duty)

    first, second = cases.actions()
    assert (first.state, second.state) == (ActionState.SKIPPED, ActionState.WAITING)
    told = [step.text for step in cases.steps(incident.id) if step.kind == "action_skipped"]
    assert ["asked for as covariate_shift" in text for text in told] == [True]
    assert server.got == []


def test_pictures_are_sent_last(cases: Cases, server: Recorder) -> None:
    """A Grafana that hangs must not hold up what people approved, though it was asked for first."""
    open_incident(cases)
    picture = {"name": "mark", "kind": "grafana_annotation", "url": f"{server.url}/grafana"}
    call = action(f"{server.url}/call", name="call", retrain=False, approvals=None, automatic=True)
    respond_once(duty_of(cases, [picture, call]))

    assert [one.name for one in cases.actions()] == ["mark", "call"]
    assert [got.path for got in server.got] == ["/call", "/grafana/api/annotations"]


def test_what_is_approved_meanwhile_comes_before_pictures(cases: Cases) -> None:
    """What people wait for is sent next, not after all that was there when the round began."""
    open_incident(cases)
    marks = [
        {"name": name, "kind": "grafana_annotation", "url": "http://127.0.0.1:9"}
        for name in ("mark", "mark-too")
    ]
    call = action("http://127.0.0.1:9", name="call", retrain=False, approvals=[""])
    duty = duty_of(cases, [*marks, call])
    sent: list[str] = []

    def sending(configured: Configured, _: Request) -> Sent:
        if not sent:
            (waiting,) = cases.actions(states={ActionState.WAITING})
            approve(cases, waiting.id, "ann", (), "approve", NOW)
        sent.append(configured.name)
        return Sent(ActionState.SUCCEEDED, 200, 1, "")

    respond_once(replace(duty, send=sending))

    assert sent == ["mark", "call", "mark-too"]


def test_a_guard_is_written_down_once(cases: Cases, server: Recorder) -> None:
    """That a model was not retrained, and why, is in the timeline."""
    incident = open_incident(cases, classification="data_quality")
    duty = duty_of(cases, [action(server.url)])
    for _ in range(3):
        respond_once(duty)

    assert _kinds(cases, incident) == ["action_skipped"]
    assert "never retrained on data of bad quality" in cases.steps(incident.id)[0].text
    with pytest.raises(IncidentError, match="never retrained"):
        request(duty, incident.id, "retrain", "ann")


def test_the_second_model_of_a_day_is_over_budget(cases: Cases, server: Recorder) -> None:
    """The budget is counted over all models, the cooldown for each."""
    open_incident(cases)
    open_incident(cases, model="churn")
    open_incident(cases, cause=Cause.MONITORING)
    open_incident(cases, model="unknown")
    when = {"causes": ["drift", "monitoring"]}

    respond_once(duty_of(cases, [action(server.url, per_day=2, when=when)]))

    states = [(one.incident_id, one.state) for one in cases.actions()]
    assert states == [
        (1, ActionState.WAITING),
        (2, ActionState.WAITING),
        (3, ActionState.SKIPPED),
    ]
    assert "per_day" in cases.steps(3)[0].text


def test_a_person_asks_by_hand(cases: Cases, server: Recorder) -> None:
    """What only people ask for needs its approvals too, and is there once."""
    incident = open_incident(cases)
    duty = duty_of(cases, [action(server.url, when={"on": ["requested"]})])
    respond_once(duty)
    assert cases.actions() == []

    asked = request(duty, incident.id, "retrain", "ann")

    assert (asked.state, asked.reason) == (ActionState.WAITING, "asked for by ann")
    with pytest.raises(IncidentError, match="under way"):
        request(duty, incident.id, "retrain", "bob")
    with pytest.raises(IncidentError, match="has no action 'nothing'; it has retrain"):
        request(duty, incident.id, "nothing", "ann")
    with pytest.raises(IncidentError, match="no incident 99"):
        request(duty, 99, "retrain", "ann")
    _approve_all(cases)
    respond_once(duty)
    assert len(server.got) == 1


@pytest.mark.parametrize(
    ("done", "state"), [(True, ActionState.SUCCEEDED), (False, ActionState.FAILED)]
)
def test_a_person_settles_what_nobody_knew(
    done: bool, state: ActionState, cases: Cases, server: Recorder
) -> None:
    """Who looked at the receiver says so; only what was not done can be asked for again at once."""
    incident = open_incident(cases)
    server.answers = [(500, b"")]
    duty = duty_of(cases, [action(server.url)])
    respond_once(duty)
    _approve_all(cases)
    respond_once(duty)
    assert _only(cases).state == ActionState.UNKNOWN

    assert settle(cases, 1, "ann", done, NOW, "looked").state == state

    with pytest.raises(IncidentError, match="not unknown"):
        settle(cases, 1, "bob", done, NOW, "")
    assert cases.steps(incident.id)[-1].actor == "ann"
    if done:
        with pytest.raises(IncidentError, match="cooldown"):
            request(duty, incident.id, "retrain", "ann")
    else:
        assert request(duty, incident.id, "retrain", "ann").state == ActionState.WAITING


def test_a_model_that_is_gone_takes_its_actions_along(cases: Cases, server: Recorder) -> None:
    """What was approved for a model that the config has no more is not sent."""
    open_incident(cases)
    duty = duty_of(cases, [action(server.url)])
    respond_once(duty)
    _approve_all(cases)

    respond_once(replace(duty, tiers={}, ours=lambda _: False))
    assert _only(cases).state == ActionState.APPROVED, "another shard's"
    respond_once(replace(duty, tiers={}))

    assert _only(cases).state == ActionState.SKIPPED
    assert server.got == []


def test_a_dry_run_is_told_as_one(cases: Cases, server: Recorder) -> None:
    """All is done but the sending, and the incident is not called mitigated."""
    incident = open_incident(cases)
    duty = duty_of(cases, [action(server.url, dry_run=True)])
    respond_once(duty)
    _approve_all(cases)
    respond_once(duty)

    assert _only(cases).state == ActionState.SUCCEEDED
    assert server.got == []
    assert "dry run" in cases.steps(incident.id)[-1].detail["answer"]
    assert "mitigating" not in _kinds(cases, incident)
