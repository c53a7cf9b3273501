"""Alerts and people move incidents; neither order nor repetition of what is told matters."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_exporter.errors import IncidentError
from drift_exporter.incident import (
    ALERT_NAMES,
    MOVES,
    Alert,
    Cause,
    Incident,
    IncidentState,
    Known,
    Others,
    Step,
    acknowledge,
    cause_of,
    close,
    mitigate,
    note,
    possible,
    receive,
    resolve,
)

HOUR = 3600.0
NOW = 100 * HOUR


def alert(
    start: float,
    end: float | None = None,
    *,
    of: str = "a",
    severity: str = "warning",
    name: str = "ModelDriftFeatureDrifted",
) -> Alert:
    """An alert that fires, or one that ended."""
    status: Literal["firing", "resolved"] = "firing" if end is None else "resolved"
    labels = {"alertname": name, "model": "churn", "feature": of}
    return Alert(of, name, "churn", status, severity, start, end, labels, {"summary": "It drifts."})


class Desk:
    """Incidents of one model and cause in memory, kept as the store keeps them."""

    def __init__(self) -> None:
        self.incidents: list[Incident] = []
        self.known: list[Known] = []
        self.owner: dict[tuple[str, float], int] = {}
        self.alerts: dict[tuple[str, float], Alert] = {}
        self.steps: list[Step] = []

    def take(self, alerts: Iterable[Alert], now: float = NOW) -> "Desk":
        """Receive alerts one after the other."""
        for each in alerts:
            place = self.owner.get(each.key, len(self.incidents) - 1)
            before = self.incidents[place] if place >= 0 else None
            known = self.known[place] if place >= 0 else Known()
            change = receive(before, known, each, now)
            if not change.alerts or change.incident is None:
                continue
            if change.incident.id == 0:
                place = len(self.incidents)
                self.incidents.append(replace(change.incident, id=place + 1))
                self.known.append(Known(change.alerts))
            else:
                self.incidents[place] = change.incident
            for stored in change.alerts:
                self.owner[stored.key] = place
                self.alerts[stored.key] = stored
            self.steps += change.steps
        return self

    def move(self, move: Callable[..., tuple[Incident, Step]], now: float = NOW) -> "Desk":
        """Somebody does something to the newest incident."""
        self.incidents[-1], step = move(self.incidents[-1], "ana", now, "text")
        self.steps.append(step)
        return self

    def analyse(self) -> "Desk":
        """The newest incident is analysed: its analysis knows the alerts that it has by now."""
        names = {a.name for key, a in self.alerts.items() if self.owner[key] == self.newest}
        analysis = {"headline": "shifted", ALERT_NAMES: sorted(names)}
        self.incidents[-1] = replace(self.incidents[-1], analysis=analysis)
        return self

    @property
    def newest(self) -> int:
        """Place of the newest incident."""
        return len(self.incidents) - 1

    @property
    def states(self) -> list[str]:
        """States of the incidents, the oldest first."""
        return [incident.state.value for incident in self.incidents]

    @property
    def kinds(self) -> list[str]:
        """Kinds of the steps."""
        return [step.kind for step in self.steps]


@pytest.mark.parametrize(
    ("told", "states", "kinds"),
    [
        pytest.param([alert(0)], ["open"], "opened", id="opens"),
        pytest.param([alert(0), alert(0)], ["open"], "opened", id="again"),
        pytest.param(
            [alert(0), alert(0, 9)], ["resolved"], "opened alert_resolved resolved", id="ends"
        ),
        pytest.param(
            [alert(0, 9), alert(0)], ["resolved"], "opened alert_resolved resolved", id="end first"
        ),
        pytest.param(
            [alert(0), alert(0, 9), alert(0), alert(0, 9)],
            ["resolved"],
            "opened alert_resolved resolved",
            id="a late firing stays resolved",
        ),
        pytest.param(
            [alert(0), alert(1, of="b"), alert(0, 9)],
            ["open"],
            "opened alert_firing alert_resolved",
            id="one of two ends",
        ),
        pytest.param(
            [alert(0), alert(0, 9), alert(9 + HOUR)],
            ["open"],
            "opened alert_resolved resolved alert_firing reopened",
            id="back within the hour",
        ),
        pytest.param(
            [alert(0), alert(0, 9), alert(10 + HOUR)],
            ["resolved", "open"],
            "opened alert_resolved resolved opened",
            id="back after the hour",
        ),
        pytest.param(
            [alert(0), alert(20), alert(20, 30)],
            ["resolved"],
            "opened alert_firing alert_resolved resolved",
            id="its end was lost, it began again",
        ),
        pytest.param(
            [alert(20), alert(0)], ["open"], "opened alert_resolved", id="an older start comes late"
        ),
        pytest.param(
            [alert(3), alert(0), alert(0, 9)],
            ["resolved"],
            "opened alert_resolved resolved",
            id="the end is told of another start",
        ),
        pytest.param(
            [alert(0), alert(1, of="b", severity="critical"), alert(2, of="c")],
            ["open"],
            "opened alert_firing severity alert_firing",
            id="the severity rises and stays",
        ),
        pytest.param(
            [alert(0), replace(alert(0), status="resolved")],
            ["resolved"],
            "opened alert_resolved resolved",
            id="no end is told",
        ),
    ],
)
def test_alerts(told: Sequence[Alert], states: list[str], kinds: str) -> None:
    """What alerts do to the incident of their model and cause."""
    desk = Desk().take(told)

    assert desk.states == states
    assert desk.kinds == kinds.split()


def test_what_an_incident_says() -> None:
    """An incident has the gravest severity, the first start, the last end and the flaps."""
    desk = Desk().take(
        [
            alert(50, severity="info"),
            alert(40, of="b", severity="critical"),
            alert(40, 90, of="b", severity="critical"),
            alert(50, 60),
            alert(100),
            alert(100, 110),
        ]
    )

    (incident,) = desk.incidents
    assert (incident.severity, incident.opened, incident.resolved) == ("critical", 40.0, 110.0)
    assert (incident.flaps, incident.title, incident.cause) == (1, "It drifts.", Cause.DRIFT)
    assert desk.steps[0].detail == {
        "alert": "ModelDriftFeatureDrifted",
        "fingerprint": "a",
        "severity": "info",
        "starts_at": 50,
        "ends_at": None,
        "feature": "a",
        "opened": 50,
    }


def test_closed_stays_closed() -> None:
    """After the closing a new alert opens a new incident; old ones that end change no state."""
    first = [alert(0), alert(0, of="b")]
    desk = Desk().take(first).move(resolve).move(close, now=200.0)
    desk.take([*first, alert(0, 9), alert(5, 8, of="c")])
    assert desk.states == ["closed"]
    assert desk.kinds[-2:] == ["alert_resolved", "alert_resolved"]

    desk.take([alert(100, of="d")])
    assert desk.states == ["closed", "open"]

    desk.take([alert(0, 300, of="b"), alert(100, 400, of="d")])
    assert desk.states == ["closed", "resolved"]


def test_who_has_it_in_hand() -> None:
    """An incident that was acknowledged and comes back is still whose it was."""
    desk = Desk().take([alert(0)]).move(acknowledge, now=5.0).take([alert(0, 9), alert(20)])
    (incident,) = desk.incidents
    assert (incident.state, incident.acknowledged) == (IncidentState.ACKNOWLEDGED, 5.0)
    assert (incident.acknowledged_by, incident.resolved, incident.flaps) == ("ana", None, 1)

    desk.move(mitigate, now=30.0)
    assert desk.incidents[0].acknowledged == 5.0
    assert Desk().take([alert(0)]).move(mitigate, now=7.0).incidents[0].acknowledged == 7.0


def test_resolved_by_hand() -> None:
    """Alerts that fired before do not undo it; one that begins anew does."""
    desk = Desk().take([alert(0), alert(1, of="b")]).move(resolve, now=50.0)
    desk.take([alert(0), alert(1, of="b"), alert(0, 60)])
    assert desk.states == ["resolved"]

    desk.take([alert(70)])
    assert desk.states == ["open"]


MOVE = {
    "acknowledge": acknowledge,
    "mitigate": mitigate,
    "resolve": resolve,
    "close": close,
    "note": note,
}


@pytest.mark.parametrize(
    ("state", "moves"),
    [
        pytest.param(IncidentState.OPEN, "acknowledge mitigate resolve note", id="open"),
        pytest.param(IncidentState.ACKNOWLEDGED, "mitigate resolve note", id="acknowledged"),
        pytest.param(IncidentState.MITIGATING, "resolve note", id="mitigating"),
        pytest.param(IncidentState.RESOLVED, "close note", id="resolved"),
        pytest.param(IncidentState.CLOSED, "note", id="closed"),
    ],
)
def test_what_people_can_do(state: IncidentState, moves: str) -> None:
    """In each state some moves are possible; the others are refused and say so."""
    incident = Incident(7, "churn", Cause.DRIFT, state, "info", 0.0, 0.0, acknowledged_by="ben")

    assert possible(incident) == tuple(moves.split())
    assert MOVE.keys() == MOVES.keys()
    for name, move in MOVE.items():
        if name in moves.split():
            after, step = move(incident, "ana", 9.0, "why")
            assert (after.updated, step.at, step.actor, step.text) == (9.0, 9.0, "ana", "why")
            assert (after.state.value == step.kind) is (name != "note")
            with pytest.raises(IncidentError, match="say who does"):
                move(incident, "", 9.0, "why")
        else:
            with pytest.raises(IncidentError, match=f"incident 7 is {state}.*cannot {name}.*note"):
                move(incident, "ana", 9.0, "why")
    with pytest.raises(IncidentError, match="note is empty"):
        note(incident, "ana", 9.0, " \n")


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        pytest.param("ModelDriftSegmentDrifted", Cause.DRIFT, id="drift"),
        pytest.param("ModelDriftUnseenValuesHigh", Cause.DRIFT, id="data quality"),
        pytest.param("ModelDriftNoData", Cause.MONITORING, id="monitoring"),
        pytest.param("ModelDriftRetrainingOverdue", Cause.UPKEEP, id="upkeep"),
        pytest.param("NoData", Cause.UPKEEP, id="somebody else's"),
        pytest.param("ModelDriftIncidentUnacknowledged", None, id="about an incident"),
    ],
)
def test_causes(name: str, cause: Cause | None) -> None:
    """The name of an alert tells the cause; alerts about incidents open none."""
    assert cause_of(name) is cause


def test_a_sum_of_others() -> None:
    """An incident is over only when the alerts that are known in sum are over too."""
    first = Desk().take([alert(0)]).incidents[0]

    still = receive(first, Known([alert(0)], lambda: Others(1, 50.0)), alert(0, 9), NOW)
    over = receive(first, Known([alert(0)], lambda: Others(0, 50.0)), alert(0, 9), NOW)

    assert still.incident is not None
    assert over.incident is not None
    assert still.incident.state is IncidentState.OPEN
    assert (over.incident.state, over.incident.resolved) == (IncidentState.RESOLVED, 50.0)


MISSING = "ModelDriftMissingValuesHigh"


@pytest.mark.parametrize(
    ("before", "after", "outdated"),
    [
        pytest.param([alert(0)], [], False, id="nothing more"),
        pytest.param([alert(0)], [alert(0)], False, id="a repeat"),
        pytest.param([alert(0)], [alert(5, of="b")], False, id="of another feature"),
        pytest.param([alert(0)], [alert(5, of="b", severity="critical")], False, id="graver"),
        pytest.param([alert(0)], [alert(0, 9)], False, id="over"),
        pytest.param([alert(0), alert(1, of="b")], [alert(0, 9)], False, id="one of two is over"),
        pytest.param([alert(0)], [alert(5, of="b", name=MISSING)], True, id="of another kind"),
        pytest.param(
            [alert(0), alert(0, of="b", name=MISSING)],
            [alert(5, of="c", name=MISSING)],
            False,
            id="of a kind that is known",
        ),
        pytest.param([alert(0)], [alert(5, 6, of="b", name=MISSING)], False, id="come and gone"),
        pytest.param([alert(0)], [alert(0, 9), alert(20)], True, id="back again"),
        pytest.param([alert(0, 9)], [alert(20)], True, id="back after it was over"),
        pytest.param([alert(0)], [alert(20)], False, id="its end was lost, it began again"),
        pytest.param([alert(0)], [alert(0, 9), alert(10 + HOUR)], False, id="another incident"),
    ],
)
def test_when_an_analysis_counts_no_more(
    before: Sequence[Alert], after: Sequence[Alert], outdated: bool
) -> None:
    """It does when the incident comes back, or an alert of a kind that it knows nothing of fires;
    what it says stays to be read."""
    desk = Desk().take(before).analyse()
    analysis = desk.incidents[0].analysis

    desk.take(after)

    assert desk.incidents[-1].outdated is outdated
    assert desk.incidents[0].analysis is not None
    assert analysis is not None
    assert desk.incidents[0].analysis.items() >= analysis.items()


@st.composite
def histories(draw: st.DrawFn) -> list[Alert]:
    """What Alertmanager tells over days: alerts that begin, mostly end, and begin again."""
    told: list[tuple[float, Alert]] = []
    for of in draw(st.sets(st.sampled_from("abc"), min_size=1)):
        time = float(draw(st.integers(0, 100)))
        for _ in range(draw(st.integers(1, 4))):
            severity = draw(st.sampled_from(["info", "warning", "critical", "page"]))
            end = time + draw(st.integers(1, 9000))
            told.append((time, alert(time, of=of, severity=severity)))
            if draw(st.booleans()):
                told.append((end, alert(time, end, of=of, severity=severity)))
            time = end + draw(st.integers(1, 9000))
    return [each for _, each in sorted(told, key=lambda pair: (pair[0], pair[1].fingerprint))]


def outcome(desk: Desk) -> Any:
    """What must not depend on how often or in which order something was told."""
    return (
        [(i.state, i.severity, i.opened, i.resolved) for i in desk.incidents],
        {key: alert.status for key, alert in desk.alerts.items()},
    )


@given(histories(), st.data())
def test_replays_change_nothing(told: list[Alert], data: st.DataObject) -> None:
    """Whatever is told again at any later time leaves no trace, also after people's moves."""
    desk, twice = Desk(), Desk()
    for i, each in enumerate(told):
        now = NOW + i
        desk.take([each], now)
        twice.take([each], now)
        move = data.draw(st.sampled_from([None, *MOVE.values()]))
        if move in [MOVE[name] for name in possible(desk.incidents[-1])] and move is not None:
            desk.move(move, now)
            twice.move(move, now)
        again = data.draw(st.lists(st.sampled_from(told[: i + 1]), max_size=4))
        twice.take(again, now + data.draw(st.integers(0, 10**6)))

    assert (twice.incidents, twice.steps, twice.alerts) == (
        desk.incidents,
        desk.steps,
        desk.alerts,
    )


@given(histories(), st.data())
def test_order_does_not_matter(told: list[Alert], data: st.DataObject) -> None:
    """Alerts of one span end in the same one incident, in whatever order and however often."""
    squeezed = [
        replace(
            each,
            starts_at=each.starts_at / 100,
            ends_at=None if each.ends_at is None else each.ends_at / 100,
        )
        for each in told
    ]
    shuffled = data.draw(st.permutations(squeezed))
    more = data.draw(st.lists(st.sampled_from(squeezed)))

    one, other = Desk().take(squeezed), Desk().take([*shuffled, *more])

    assert len(one.incidents) == 1
    assert outcome(one) == outcome(other)


@given(histories())
def test_an_incident_is_open_while_an_alert_fires(told: list[Alert]) -> None:
    """The newest incident goes on exactly as long as the last word of some alert is firing."""
    desk = Desk().take(told)

    last = {each.fingerprint: each for each in sorted(told, key=lambda a: a.starts_at)}
    ended = {each.key for each in told if each.status == "resolved"}
    fires = any(each.key not in ended for each in last.values())
    assert desk.incidents[-1].active is fires
    assert all(not incident.active for incident in desk.incidents[:-1])


KINDS = ("ModelDriftFeatureDrifted", "ModelDriftPredictionDrifted", MISSING)


@given(histories(), st.data())
def test_an_analysis_is_outdated_by_what_is_new_alone(
    told: list[Alert], data: st.DataObject
) -> None:
    """After each alert: outdated where it was, where the incident came back, or where the alert
    began to fire and no alert that was analysed had its name; without an analysis, never."""
    kinds = {of: data.draw(st.sampled_from(KINDS)) for of in "abc"}
    desk, expected = Desk(), False
    for each in told:
        # Close together, so that all of it is one incident.
        end = None if each.ends_at is None else each.ends_at / 100
        name, start = kinds[each.fingerprint], each.starts_at / 100
        taken = replace(each, name=name, starts_at=start, ends_at=end)
        before = desk.incidents[-1] if desk.incidents else None
        new = taken.key not in desk.alerts
        desk.take([taken])
        (after,) = desk.incidents
        if before is not None and before.analysis is not None:
            again = after.flaps > before.flaps
            unheard = taken.status == "firing" and name not in before.analysis[ALERT_NAMES]
            expected = expected or again or (new and unheard)
        assert after.outdated is expected
        if data.draw(st.booleans()):
            desk.analyse()
            expected = False


def test_an_end_that_is_to_come_is_now() -> None:
    """A sender whose clock is ahead does not swallow what fires until then."""
    desk = Desk().take([alert(1, 10_000)], now=100)
    assert desk.incidents[0].resolved == 100

    desk.take([alert(200)], now=200)

    assert desk.states == ["open"]
    assert desk.alerts["a", 200].status == "firing"


def test_nothing_ends_in_the_future() -> None:
    """A sender whose clock is ahead, or who is none, moves no end behind now."""
    desk = Desk().take([alert(300, 400)], now=100)
    assert (desk.incidents[0].opened, desk.incidents[0].resolved) == (100, 100)

    desk = Desk().take([alert(1), alert(10_000)], now=100)
    assert desk.alerts["a", 1].ends_at == 100


def test_who_resolves_says_when_it_was_over() -> None:
    """The end of an alert that fires on does not move what a person said."""
    desk = Desk().take([alert(0)]).move(resolve, NOW).take([alert(0, NOW + HOUR)], NOW + HOUR)

    assert desk.states == ["resolved"]
    assert desk.incidents[0].resolved == NOW
    late = Desk().take([alert(0), alert(0, 9), alert(0, 12)])
    assert late.incidents[0].resolved == 12
