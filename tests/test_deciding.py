"""What an incident asks for, what an answer changes, and what may start: tables and laws."""

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_exporter.config import CANARY
from drift_exporter.config.action import Action as Configured
from drift_exporter.errors import IncidentError
from drift_exporter.incident import (
    FAULTY,
    OUTDATED,
    Action,
    ActionState,
    Approval,
    Cause,
    Incident,
    IncidentState,
)
from drift_exporter.incident.approving import answered, open_needs
from drift_exporter.incident.deciding import (
    DAY_SECONDS,
    MOST_RESENDS,
    Asked,
    Occasion,
    Past,
    asked,
    fingerprint,
    given_up,
    guard,
    is_held,
    key_of,
    may_start,
    occasions,
    recovered,
    requested,
)

NOW = 1_700_000_000.0
HOUR = 3600.0


def _incident(**fields: Any) -> Incident:
    defaults: dict[str, Any] = {
        "id": 7,
        "model": "credit",
        "cause": Cause.DRIFT,
        "state": IncidentState.OPEN,
        "severity": "critical",
        "opened": NOW - HOUR,
        "updated": NOW,
        "classification": "covariate_shift",
    }
    return Incident(**{**defaults, **fields})


def _configured(**keys: Any) -> Configured:
    return Configured.model_validate({"name": "train", "kind": "http", "url": "http://h", **keys})


def _action(state: ActionState = ActionState.WAITING, **fields: Any) -> Action:
    defaults: dict[str, Any] = {
        "id": 1,
        "incident_id": 7,
        "name": "train",
        "key": "k",
        "created": NOW,
        "updated": NOW,
        "expires": NOW + HOUR,
        "needs": ("science", "clinic"),
    }
    return Action(state=state, **{**defaults, **fields})


def _approval(who: str, *groups: str, decision: Any = "approve", at: float = NOW) -> Approval:
    return Approval(1, who, groups, decision, at)


def _asked(
    configured: Configured,
    incident: Incident | None = None,
    known: tuple[Action, ...] = (),
    past: tuple[Past, ...] = (),
    tier: str = "high",
) -> list[Asked]:
    return list(asked(incident or _incident(), tier, [configured], known, {"train": past}, NOW))


@pytest.mark.parametrize(
    ("keys", "fields", "found"),
    [
        pytest.param({}, {}, True, id="classified, as by default"),
        pytest.param({}, {"classification": ""}, False, id="not analysed yet"),
        pytest.param({"on": ["opened"]}, {"classification": ""}, True, id="opened is enough"),
        pytest.param({"on": ["requested"]}, {}, False, id="only by hand"),
        pytest.param({"models": ["cr*"]}, {}, True, id="a glob"),
        pytest.param({"models": ["churn"]}, {}, False, id="another model"),
        pytest.param({"tiers": ["low"]}, {}, False, id="another tier"),
        pytest.param({"tiers": ["low", "high"]}, {}, True, id="its tier"),
        pytest.param({"severities": ["critical"]}, {"severity": "warning"}, False, id="mild"),
        pytest.param({}, {"severity": "info"}, False, id="information"),
        pytest.param({}, {"cause": Cause.MONITORING}, False, id="another cause"),
        pytest.param({"causes": ["monitoring"]}, {"cause": Cause.MONITORING}, True, id="its cause"),
        pytest.param({"classifications": ["covariate*"]}, {}, True, id="its classification"),
        pytest.param({"classifications": ["concept_drift"]}, {}, False, id="another one"),
        pytest.param(
            {"on": ["resolved"]},
            {"state": IncidentState.RESOLVED, "resolved": NOW - 60},
            True,
            id="over",
        ),
        pytest.param({"on": ["resolved"]}, {}, False, id="not over"),
        pytest.param(
            {"on": ["resolved"]},
            {"state": IncidentState.CLOSED, "resolved": NOW - 60, "closed": NOW},
            True,
            id="over and closed before anybody looked",
        ),
        pytest.param(
            {"on": ["resolved"]},
            {"state": IncidentState.RESOLVED, "resolved": NOW - 25 * HOUR},
            False,
            id="over long before the action was in the config",
        ),
        pytest.param({}, {"state": IncidentState.RESOLVED, "resolved": NOW}, False, id="too late"),
        pytest.param({"on": ["promoted"]}, {"successor": {"version": "2"}}, True, id="promoted"),
        pytest.param({"on": ["promoted"]}, {}, False, id="no successor"),
    ],
)
def test_an_action_answers_the_incidents_that_it_names(
    keys: dict[str, Any], fields: dict[str, Any], found: bool
) -> None:
    """All that `when` names must hold."""
    assert bool(_asked(_configured(when=keys), _incident(**fields))) is found


def _past(ago: float, state: ActionState = ActionState.SUCCEEDED, model: str = "credit") -> Past:
    return Past("train", model, state, NOW - ago)


@pytest.mark.parametrize(
    ("keys", "past", "reason"),
    [
        pytest.param({}, [], "", id="never before"),
        pytest.param({}, [_past(59 * 60)], "cooldown", id="within the cooldown"),
        pytest.param({}, [_past(HOUR)], "", id="after it"),
        pytest.param({}, [_past(60, model="churn")], "", id="of another model"),
        pytest.param({}, [_past(60, ActionState.FAILED)], "", id="what failed cools nothing"),
        pytest.param({}, [_past(60, ActionState.REJECTED)], "", id="nor what was rejected"),
        pytest.param({}, [_past(60, ActionState.UNKNOWN)], "cooldown", id="it may have run"),
        pytest.param({}, [_past(60, ActionState.WAITING)], "cooldown", id="it is being asked for"),
        pytest.param({"cooldown": "0s"}, [_past(0)], "", id="no cooldown"),
        pytest.param(
            {"per_day": 2}, [_past(23 * HOUR, model="a")] * 2, "per_day", id="the budget is used"
        ),
        pytest.param({"per_day": 2}, [_past(DAY_SECONDS)] * 2, "", id="yesterday's is not ours"),
        pytest.param(
            {"per_day": 2}, [_past(2 * HOUR, ActionState.SKIPPED)] * 9, "", id="skipped costs none"
        ),
        pytest.param(
            {"per_day": 1},
            [_past(2 * HOUR, ActionState.FAILED)],
            "per_day",
            id="a failure was sent too",
        ),
    ],
)
def test_cooldown_and_budget(keys: dict[str, Any], past: list[Past], reason: str) -> None:
    """What is done too often is skipped, and the reason is kept."""
    (found,) = _asked(_configured(**keys), past=tuple(past))

    assert (found.state == ActionState.SKIPPED) is bool(reason)
    assert reason in found.reason


def test_an_annotation_may_be_made_as_often_as_there_is_reason() -> None:
    """Its opening and its resolution are both marked, of many models too."""
    mark = Configured.model_validate(
        {"name": "train", "kind": "grafana_annotation", "url": "http://g"}
    )

    (found,) = _asked(mark, past=tuple([_past(0)] * 50))

    assert found.state == ActionState.APPROVED


@pytest.mark.parametrize(
    ("retrain", "classification", "forbidden"),
    [
        pytest.param(True, "covariate_shift", False, id="a shift"),
        pytest.param(True, "concept_drift", False, id="another concept"),
        pytest.param(True, "data_quality", True, id="bad data"),
        pytest.param(True, "", True, id="nobody knows"),
        pytest.param(True, "none", True, id="nothing was found"),
        pytest.param(False, "data_quality", False, id="no retraining"),
    ],
)
def test_nothing_is_retrained_on_bad_data(
    retrain: bool, classification: str, forbidden: bool
) -> None:
    """The guard holds when it is asked for, by rule or by hand, and again before it starts."""
    configured = _configured(retrain=retrain, automatic=True)
    incident = _incident(classification=classification)
    action = _action(ActionState.APPROVED, needs=(), detail={"config": fingerprint(configured)})

    assert bool(guard(configured, incident)) is forbidden
    states = {one.state for one in _asked(configured, incident)}
    assert (ActionState.APPROVED in states) is (not forbidden and bool(classification))
    started, _ = may_start(action, configured, [], incident, NOW)
    assert (started == ActionState.STARTED) is not forbidden
    if forbidden:
        with pytest.raises(IncidentError, match="cannot be asked for: a model is"):
            requested(incident, configured, (), (), "ann", NOW)
    else:
        assert requested(incident, configured, (), (), "ann", NOW).reason == "asked for by ann"


@pytest.mark.parametrize(
    ("retrain", "on", "analysis", "state"),
    [
        pytest.param(True, "classified", {}, ActionState.APPROVED, id="it holds"),
        pytest.param(True, "classified", {OUTDATED: True}, None, id="retraining is held"),
        pytest.param(False, "classified", {OUTDATED: True}, None, id="no classification counts"),
        pytest.param(False, "opened", {OUTDATED: True}, ActionState.APPROVED, id="it is open"),
        pytest.param(True, "resolved", {}, ActionState.APPROVED, id="it is over"),
        pytest.param(True, "resolved", {OUTDATED: True}, None, id="it is over, retraining is held"),
        pytest.param(False, "resolved", {OUTDATED: True}, ActionState.APPROVED, id="it is told"),
    ],
)
def test_an_outdated_analysis_answers_nothing(
    retrain: bool, on: str, analysis: dict[str, Any], state: ActionState | None
) -> None:
    """What follows from a classification waits for the next one; no retraining is asked for, not
    even as skipped, and what is approved is held rather than given up."""
    configured = _configured(retrain=retrain, automatic=True, when={"on": [on]})
    over = {"state": IncidentState.RESOLVED, "resolved": NOW} if on == "resolved" else {}
    incident = _incident(analysis=analysis, **over)

    assert [one.state for one in _asked(configured, incident)] == ([state] if state else [])
    held = retrain and bool(analysis)
    assert is_held(configured, incident) is held
    assert ("made anew first" in guard(configured, incident)) is held
    if held:
        with pytest.raises(IncidentError, match="more happened since the analysis"):
            requested(incident, configured, (), (), "ann", NOW)


def test_an_occasion_asks_once() -> None:
    """The same occasion asks once; a flap or another classification asks again."""
    configured = _configured()
    (first,) = _asked(configured)
    done = _action(ActionState.SUCCEEDED, detail={"marks": list(first.marks)})

    assert _asked(configured, known=(done,)) == []
    assert _asked(configured, _incident(flaps=1), known=(done,))
    assert _asked(configured, _incident(classification="concept_drift"), known=(done,))


def test_two_occasions_at_once_are_one_reason() -> None:
    """An action for `opened` and `classified` is asked for once where both came together."""
    configured = _configured(when={"on": ["opened", "classified"]})

    (found,) = _asked(configured)

    assert found.occasion == Occasion.OPENED
    waiting = _action(detail={"marks": list(found.marks)})
    assert _asked(configured, known=(waiting,)) == []
    with pytest.raises(IncidentError, match="under way already"):
        requested(_incident(), configured, (waiting,), (), "ann", NOW)


@pytest.mark.parametrize(
    ("asked_as", "fields", "again"),
    [
        pytest.param("", {}, False, id="it was analysed since"),
        pytest.param("covariate_shift", {}, False, id="it is as it was"),
        pytest.param("covariate_shift", {"flaps": 1}, True, id="it came back"),
        pytest.param(
            "covariate_shift", {"classification": "concept_drift"}, True, id="something else"
        ),
    ],
)
def test_a_rejection_ends_it(asked_as: str, fields: dict[str, Any], again: bool) -> None:
    """Neither the other occasion, nor the analysis that came meanwhile, asks once more."""
    configured = _configured(when={"on": ["opened", "classified"]})
    (found,) = _asked(configured, _incident(classification=asked_as))
    detail = {"marks": list(found.marks), "flaps": 0, "classification": asked_as}
    rejected = _action(ActionState.REJECTED, detail=detail)

    assert bool(_asked(configured, _incident(**fields), known=(rejected,))) is again


def test_each_promotion_is_answered_once() -> None:
    """The second one too, and none again because of a flap or long afterwards."""
    configured = _configured(when={"on": ["promoted"]}, expires="1h")
    first = _incident(successor={"version": "2", "at": NOW - 60})
    (found,) = _asked(configured, first)
    done = _action(ActionState.SUCCEEDED, detail={"marks": list(found.marks)})

    assert _asked(configured, replace(first, flaps=1), known=(done,)) == []
    assert _asked(configured, _incident(successor={"version": "3", "at": NOW}), known=(done,))
    # Something else moved the incident since.
    old = _incident(successor={"version": "2", "at": NOW - 2 * HOUR}, updated=NOW)
    assert _asked(configured, old) == []


def test_the_canary_is_answered_by_name_alone() -> None:
    """Its drift is made up: no glob may retrain on it."""
    incident = _incident(model=CANARY)

    assert _asked(_configured(), incident) == []
    assert _asked(_configured(when={"models": ["drift-*"]}), incident) == []
    assert _asked(_configured(when={"models": [CANARY]}), incident)


def test_bad_data_are_not_forgotten() -> None:
    """Of an incident whose data were of bad quality once nothing is retrained."""
    configured = _configured(retrain=True)
    (found,) = _asked(configured, _incident(analysis={FAULTY: True}))

    assert found.state == ActionState.SKIPPED
    assert "of bad quality before" in found.reason


def test_a_closed_incident_takes_no_request() -> None:
    """Who wants to act on it waits for the next one."""
    closed = _incident(state=IncidentState.CLOSED, closed=NOW, closed_by="ann")

    with pytest.raises(IncidentError, match="the incident is closed"):
        requested(closed, _configured(), (), (), "ann", NOW)
    assert occasions(closed, NOW, DAY_SECONDS) == ()


def test_keys_are_new_for_each_action_and_fit_everywhere() -> None:
    """A key is a DNS label, and tells incident 1 of a test from incident 1 of production."""
    keys = {
        key_of(_incident(id=number), [mark], now)
        for number in (1, 2**53)
        for mark in ("a opened", "b opened")
        for now in (NOW, NOW + 1e-6)
    }

    assert len(keys) == 8
    for key in keys:
        assert len(key) <= 63
        assert all(c.islower() or c.isdigit() or c == "-" for c in key)


NEEDS = st.lists(st.sampled_from(["", "a", "b", "c"]), max_size=4).map(tuple)
PEOPLE = st.lists(st.frozensets(st.sampled_from(["a", "b", "c"])), max_size=4)


def _filled_by_trying_all(needs: tuple[str, ...], people: list[frozenset[str]]) -> int:
    """How many needs can be filled, found by placing people in every order."""
    seats: list[int | None] = [*range(len(needs)), *[None] * len(people)]
    best = 0
    for order in permutations(seats, len(people)):
        placed = [
            (needs[seat], who) for seat, who in zip(order, people, strict=True) if seat is not None
        ]
        best = max(best, sum(not need or need in groups for need, groups in placed))
    return best


@given(NEEDS, PEOPLE)
def test_people_are_placed_so_that_most_needs_are_filled(
    needs: tuple[str, ...], people: list[frozenset[str]]
) -> None:
    """As few needs stay open as by any placing of people, one place each."""
    assert len(needs) - len(open_needs(needs, people)) == _filled_by_trying_all(needs, people)


@given(NEEDS, PEOPLE, st.randoms())
def test_the_order_of_answers_does_not_matter(
    needs: tuple[str, ...], people: list[frozenset[str]], random: Any
) -> None:
    """Who comes first changes nothing about how many are still needed."""
    other = list(people)
    random.shuffle(other)

    assert len(open_needs(needs, people)) == len(open_needs(needs, other))


ANN, BOB = _approval("ann", "science"), _approval("bob", "clinic")


@pytest.mark.parametrize(
    ("before", "answer", "state"),
    [
        pytest.param([], ANN, ActionState.WAITING, id="one of two"),
        pytest.param([ANN], BOB, ActionState.APPROVED, id="both"),
        pytest.param(
            [_approval("eve", "science", "clinic")], ANN, ActionState.APPROVED, id="eve moves over"
        ),
        pytest.param(
            [ANN], _approval("bob", "clinic", decision="reject"), ActionState.REJECTED, id="no"
        ),
        pytest.param(
            [ANN],
            _approval("sam", "science", decision="reject"),
            ActionState.REJECTED,
            id="also of a group whose place is filled",
        ),
    ],
)
def test_an_answer_moves_an_action(
    before: list[Approval], answer: Approval, state: ActionState
) -> None:
    """Every need takes a person of its group; one rejection ends it."""
    assert answered(_action(), before, answer) == state


@pytest.mark.parametrize(
    ("action", "before", "answer", "message"),
    [
        pytest.param(_action(), [ANN], ANN, "has answered already", id="twice"),
        pytest.param(
            _action(), [ANN], _approval(" Ann", "clinic"), "already", id="written otherwise"
        ),
        pytest.param(
            _action(), [ANN], _approval("sam", "science"), "needs somebody of 'clinic'", id="full"
        ),
        pytest.param(_action(), [], _approval("zoe"), "still needs", id="of no group"),
        pytest.param(
            _action(), [], _approval("zoe", decision="reject"), "rejected by", id="a stranger's no"
        ),
        pytest.param(
            _action(), [], _approval("ann", "science", at=NOW + HOUR), "has expired", id="late"
        ),
        pytest.param(
            _action(), [], _approval("ann", "science", decision="maybe"), "no answer", id="maybe"
        ),
        *[
            pytest.param(_action(state), [], ANN, "waits for no answer", id=f"is {state}")
            for state in ActionState
            if state not in (ActionState.WAITING, ActionState.PROPOSED)
        ],
    ],
)
def test_an_answer_that_does_not_count_is_refused(
    action: Action, before: list[Approval], answer: Approval, message: str
) -> None:
    """Whoever answers in vain is told why."""
    with pytest.raises(IncidentError, match=message):
        answered(action, before, answer)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.frozensets(st.sampled_from(["x", "y"])))))
def test_nobody_approves_alone_what_needs_two(answers: list[tuple[str, frozenset[str]]]) -> None:
    """However people answer, an approved action has as many different people as needs."""
    action, taken = _action(needs=("x", "")), list[Approval]()
    for who, groups in answers:
        approval = _approval(who, *sorted(groups))
        try:
            state = answered(action, taken, approval)
        except IncidentError:
            continue
        taken.append(approval)
        if state == ActionState.APPROVED:
            assert len({one.who for one in taken}) == 2
            assert any("x" in one.groups for one in taken)
            return
    assert len(taken) < 2


CONFIGURED = _configured(approvals=["science", "clinic"])
DETAIL = {"config": fingerprint(CONFIGURED)}


@pytest.mark.parametrize(
    ("action", "configured", "approvals", "fields", "state"),
    [
        pytest.param({}, CONFIGURED, [ANN, BOB], {}, ActionState.STARTED, id="all is well"),
        pytest.param(
            {"expires": NOW}, CONFIGURED, [ANN, BOB], {}, ActionState.EXPIRED, id="too late"
        ),
        pytest.param({}, None, [ANN, BOB], {}, ActionState.SKIPPED, id="gone from the config"),
        pytest.param(
            {},
            _configured(approvals=["science", "clinic"], url="http://other"),
            [ANN, BOB],
            {},
            ActionState.SKIPPED,
            id="not what was approved",
        ),
        pytest.param({}, CONFIGURED, [ANN], {}, ActionState.SKIPPED, id="an approval is missing"),
        pytest.param(
            {},
            CONFIGURED,
            [ANN, BOB, _approval("eve", "clinic", decision="reject")],
            {},
            ActionState.SKIPPED,
            id="somebody rejected it",
        ),
        pytest.param(
            {},
            CONFIGURED,
            [ANN, BOB],
            {"state": IncidentState.CLOSED},
            ActionState.SKIPPED,
            id="the incident is closed",
        ),
        pytest.param(
            {"detail": {**DETAIL, "occasion": "resolved"}},
            CONFIGURED,
            [ANN, BOB],
            {"state": IncidentState.CLOSED},
            ActionState.STARTED,
            id="its closing is the occasion",
        ),
        pytest.param(
            {"detail": {**DETAIL, "classification": "covariate_shift"}},
            CONFIGURED,
            [ANN, BOB],
            {"classification": "concept_drift"},
            ActionState.SKIPPED,
            id="the incident is something else now",
        ),
        pytest.param(
            {"detail": {**DETAIL, "classification": "concept_drift"}},
            CONFIGURED,
            [ANN, BOB],
            {"classification": "concept_drift"},
            ActionState.STARTED,
            id="the incident is what it was",
        ),
        pytest.param(
            {"detail": {**DETAIL, "classification": ""}},
            CONFIGURED,
            [ANN, BOB],
            {"classification": "concept_drift"},
            ActionState.STARTED,
            id="it was asked for before the analysis",
        ),
    ],
)
def test_what_is_approved_is_looked_at_again_before_it_starts(
    action: dict[str, Any],
    configured: Configured | None,
    approvals: list[Approval],
    fields: dict[str, Any],
    state: ActionState,
) -> None:
    """Only what people approved is sent, in time, and while it is of use."""
    stored = _action(ActionState.APPROVED, **{"detail": DETAIL, **action})

    found, why = may_start(stored, configured, approvals, _incident(**fields), NOW)

    assert found == state
    assert bool(why) is (state != ActionState.STARTED)


@pytest.mark.parametrize(
    ("after_unknown", "resends", "same", "state"),
    [
        pytest.param("manual", 0, True, ActionState.UNKNOWN, id="a person looks"),
        pytest.param("resend", 0, True, ActionState.APPROVED, id="again with the same key"),
        pytest.param("resend", 0, False, ActionState.UNKNOWN, id="the config is another"),
        pytest.param("resend", MOST_RESENDS, True, ActionState.UNKNOWN, id="not for ever"),
    ],
)
def test_what_was_interrupted(
    after_unknown: str, resends: int, same: bool, state: ActionState
) -> None:
    """It is sent again only where the config says that the receiver knows the key."""
    configured = _configured(after_unknown=after_unknown)
    detail = {"config": fingerprint(configured) if same else "", "resends": resends}
    action = _action(ActionState.STARTED, detail=detail)

    assert recovered(action, configured) == state
    assert recovered(action, None) == ActionState.UNKNOWN


def test_what_was_to_be_sent_again_never_counts_as_not_done() -> None:
    """An interrupted action that expires is unknown, one that was never sent is expired."""
    assert given_up(_action(detail={"resends": 1}), ActionState.EXPIRED) == ActionState.UNKNOWN
    assert given_up(_action(), ActionState.EXPIRED) == ActionState.EXPIRED
