"""Incidents are stored whole or not at all, on SQLite and on PostgreSQL alike."""

import json
import multiprocessing
import os
import random
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, event, inspect, text

from drift_exporter.casework.receiving import Inbox, receive
from drift_exporter.errors import IncidentError, StoreError
from drift_exporter.incident import (
    LATE_SECONDS,
    Action,
    ActionState,
    Alert,
    Approval,
    Cause,
    Incident,
    IncidentState,
    Step,
    acknowledge,
    close,
    resolve,
)
from drift_exporter.snapshot import Run
from drift_exporter.store import Store, StoredAlert, open_store, tables
from postgres import Server

NOW = 1_700_000_000.25
MODELS = {"churn", "fraud"}

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["drift_exporter.store"])


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a store that is not there yet."""
    if request.param == "sqlite":
        folder: Path = request.getfixturevalue("tmp_path")
        yield f"sqlite:///{folder}/store.db"
        return
    postgres: Server = request.getfixturevalue("postgres")
    name = f"store_{uuid.uuid4().hex}"
    with postgres.connect() as admin:
        admin.execute(f"CREATE DATABASE {name}")
        yield postgres.url_with(postgres.password, name)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An open store with nothing in it."""
    with open_store(url, now=0) as store:
        yield store


def alert(
    of: str = "a",
    start: float = NOW,
    end: float | None = None,
    *,
    model: str = "churn",
    name: str = "ModelDriftFeatureDrifted",
    severity: str = "warning",
) -> Alert:
    """An alert that fires, or one that ended."""
    labels = {"alertname": name, "model": model, "feature": of, "odd": "ü\0'\""}
    status = "firing" if end is None else "resolved"
    mark = f"{model}-{name}-{of}".replace("\0", "")
    return Alert(mark, name, model, status, severity, start, end, labels, {"summary": f"{of}!"})  # type: ignore[arg-type]


def kinds(store: Store, incident_id: int) -> list[str]:
    """Kinds of the steps of an incident."""
    return [step.kind for step in store.cases.steps(incident_id)]


def test_from_the_first_alert_to_the_closing(store: Store) -> None:
    """An incident is opened, acknowledged, resolved and closed; all of it is kept and audited."""
    assert receive(store, MODELS, [alert()], NOW) == [1]
    assert receive(store, MODELS, [alert()], NOW + 1) == []
    with store.cases.writing("acknowledge") as tx:
        incident, step = acknowledge(tx.get(1), "ana", NOW + 2, "I look\0")
        tx.save(incident)
        tx.record(1, step)
    assert receive(store, MODELS, [alert(end=NOW + 60)], NOW + 61) == [1]
    with store.cases.writing("close") as tx:
        incident, step = close(tx.get(1), "ben", NOW + 99, "")
        tx.save(replace(incident, analysis={"bins": [1, 2]}, successor={"version": "2"}))
        tx.record(1, step)

    assert store.cases.incident(1) == Incident(
        id=1,
        model="churn",
        cause=Cause.DRIFT,
        state=IncidentState.CLOSED,
        severity="warning",
        opened=NOW,
        updated=NOW + 99,
        acknowledged=NOW + 2,
        acknowledged_by="ana",
        resolved=NOW + 60,
        closed=NOW + 99,
        closed_by="ben",
        title="a!",
        analysis={"bins": [1, 2]},
        successor={"version": "2"},
    )
    assert store.cases.alerts(1) == [alert(end=NOW + 60)]
    expected = ["opened", "acknowledged", "alert_resolved", "resolved", "closed"]
    assert kinds(store, 1) == expected
    entries = list(store.cases.audit())
    assert [entry.kind for entry in entries] == expected
    assert {entry.subject for entry in entries} == {"incident/1"}
    assert [entry.actor for entry in entries][1::3] == ["ana", "ben"]
    assert store.cases.verify_audit().faults == ()


def test_one_incident_per_model_and_cause(store: Store) -> None:
    """Alerts of one delivery find the incident of their model and cause."""
    delivery = [
        alert("a"),
        alert("b", severity="critical"),
        alert(name="ModelDriftNoData"),
        alert(model="fraud"),
        alert("c", name="ModelDriftMissingValuesHigh"),
        alert("a"),
    ]
    assert receive(store, MODELS, delivery, NOW) == [1, 2, 3]

    found = [(i.id, i.model, i.cause, i.severity) for i in store.cases.incidents()]
    assert found == [
        (3, "fraud", Cause.DRIFT, "warning"),
        (2, "churn", Cause.MONITORING, "warning"),
        (1, "churn", Cause.DRIFT, "critical"),
    ]
    assert [a.fingerprint.rpartition("-")[2] for a in store.cases.alerts(1)] == ["a", "b", "c"]
    ended = [replace(each, status="resolved", ends_at=NOW + 9) for each in delivery[:2]]
    assert receive(store, MODELS, ended, NOW + 9) == [1]
    assert store.cases.incidents(states=[IncidentState.RESOLVED]) == []
    assert receive(store, MODELS, [alert("c", NOW, NOW + 5, name=delivery[4].name)], NOW) == [1]
    (over,) = store.cases.incidents(states=[IncidentState.RESOLVED])
    assert (over.id, over.resolved) == (1, NOW + 9)


def test_back_again(store: Store) -> None:
    """Within the hour the incident is reopened; later, or once closed, there is a new one."""
    hour = 3600.0
    receive(store, MODELS, [alert(end=NOW + 60)], NOW)
    receive(store, MODELS, [alert(start=NOW + hour)], NOW)
    assert [(i.state, i.flaps) for i in store.cases.incidents()] == [("open", 1)]
    receive(store, MODELS, [alert(start=NOW + hour, end=NOW + hour + 60)], NOW)
    assert receive(store, MODELS, [alert(start=NOW + 3 * hour)], NOW) == [2]
    with store.cases.writing("close") as tx:
        closed, _ = close(resolve(tx.get(2), "ana", NOW, "")[0], "ana", NOW, "")
        tx.save(closed)
        assert tx.latest("churn", Cause.DRIFT) == closed
        assert tx.open_incident("churn", Cause.DRIFT) is None
    assert receive(store, MODELS, [alert("b", start=NOW + 3 * hour)], NOW) == [3]
    assert receive(store, MODELS, [alert("b", start=NOW + 3 * hour, end=NOW * 2)], NOW) == [3]
    assert receive(store, MODELS, [alert(start=NOW + 3 * hour, end=NOW * 2)], NOW) == [2]
    assert [i.state for i in store.cases.incidents()] == ["resolved", "closed", "resolved"]


def test_alerts_of_no_known_model(store: Store) -> None:
    """They are kept without an incident, and open one when their model is known by then."""
    nameless = alert(model="")
    about = alert(name="ModelDriftIncidentUnacknowledged")
    odd = alert(model="x\0y")
    receive(store, {"fraud"}, [alert(), nameless, about, odd], NOW)
    receive(store, {"fraud"}, [alert(), nameless, about, odd], NOW)

    assert store.cases.incidents() == []
    found = store.cases.unmatched_alerts(10)
    assert [a.model for a in found] == ["xy", "churn", "", "churn"]
    assert len(list(store.cases.audit())) == 4

    assert receive(store, MODELS, [alert(), nameless, about], NOW) == [1]
    assert [a.model for a in store.cases.unmatched_alerts()] == ["xy", "churn", ""]
    assert receive(store, {"fraud"}, [alert(end=NOW + 1)], NOW) == [1]


def test_ten_thousand_alerts(store: Store) -> None:
    """A burst is one incident with all its alerts, and over when the last one is."""
    burst = [alert(str(i)) for i in range(10_000)]
    assert receive(store, MODELS, burst, NOW) == [1]
    ended = [replace(each, status="resolved", ends_at=NOW + 5) for each in burst]
    assert receive(store, MODELS, ended[:-1], NOW + 5) == [1]
    assert store.cases.open_counts() == {("churn", "warning", IncidentState.OPEN): 1}
    assert receive(store, MODELS, [burst[0], ended[0], ended[-1]], NOW + 5) == [1]

    assert store.cases.open_counts() == {("churn", "warning", IncidentState.RESOLVED): 1}
    assert len(store.cases.alerts(1)) == 10_000
    assert len(kinds(store, 1)) == 20_001
    found = store.cases.verify_audit()
    assert (found.last, found.faults) == (20_001, ())


def test_threads_that_receive_the_same(store: Store) -> None:
    """The same alerts at the same time are one incident, with each step once."""
    together = threading.Barrier(6)

    def deliver(_: int) -> list[int]:
        together.wait()
        return receive(store, MODELS, [alert("a"), alert("b")], NOW)

    with ThreadPoolExecutor(6) as pool:
        touched = list(pool.map(deliver, range(6)))

    assert sorted(touched) == [[], [], [], [], [], [1]]
    assert kinds(store, 1) == ["opened", "alert_firing"]
    assert store.cases.verify_audit().faults == ()


def test_an_inbox(store: Store) -> None:
    """Deliveries of many threads are each answered for, also those that cannot be stored."""
    inbox = Inbox(store)
    bad = replace(alert("bad"), annotations={"summary": object()})  # type: ignore[dict-item]

    def deliver(n: int) -> list[int] | None:
        try:
            return inbox.receive(MODELS, [bad if n % 10 == 3 else alert(str(n))], NOW + n)
        except StoreError:
            return None

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(deliver, range(60)))

    assert answers == [None if n % 10 == 3 else [1] for n in range(60)]
    found = {a.fingerprint.rpartition("-")[2] for a in store.cases.alerts(1)}
    assert found == {str(n) for n in range(60) if n % 10 != 3}
    assert sorted(kinds(store, 1)) == ["alert_firing"] * 53 + ["opened"]
    assert inbox.receive(MODELS, [], NOW) == []
    assert store.cases.verify_audit().faults == ()


def test_replicas_that_receive_the_same(postgres: Server) -> None:
    """Two processes with shards of one database make one incident, and one chain."""
    name = f"store_{uuid.uuid4().hex}"
    with postgres.connect() as admin:
        admin.execute(f"CREATE DATABASE {name}")
    url = postgres.url_with(postgres.password, name)
    with open_store(url, now=0, shard="0/2") as one, open_store(url, now=0, shard="1/2") as other:
        together = threading.Barrier(2)

        def deliver(store: Store, models: set[str]) -> None:
            for n in range(20):
                together.wait()
                receive(store, models, [alert(str(n)), alert(str(n), model="fraud")], NOW + n)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(deliver, (one, other), ({"churn"}, {"fraud"})))

        assert [i.model for i in one.cases.incidents()].count("churn") == 1
        assert [i.model for i in one.cases.incidents()].count("fraud") == 1
        assert {len(one.cases.alerts(n)) for n in (1, 2)} == {20}
        assert one.cases.unmatched_alerts() == []
        assert other.cases.verify_audit().faults == ()
    with postgres.connect() as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_actions(store: Store) -> None:
    """Of one key there is one action; it moves only from where it is expected to be."""
    receive(store, MODELS, [alert()], NOW)
    detail = {"url": "https://ci/run", "tries": 0}
    new = Action(
        0,
        1,
        "retrain",
        "1-retrain-1",
        ActionState.WAITING,
        NOW,
        NOW,
        NOW + 9,
        ("data", ""),
        "drift",
        detail,
    )
    states = {ActionState.WAITING, ActionState.APPROVED}
    with store.cases.writing("propose") as tx:
        action = tx.save_action(new)
        assert action == replace(new, id=1)
        assert tx.save_action(replace(new, reason="again")) == action
        assert tx.move_action(1, states, ActionState.STARTED, NOW + 1, {"tries": 1})
        assert not tx.move_action(1, states, ActionState.STARTED, NOW + 2, {"tries": 2})
        tx.save_action(replace(action, reason="late", state=ActionState.FAILED))
        assert [a.id for a in tx.actions_since("retrain", NOW + 1)] == [1]
        assert tx.actions_since("retrain", NOW + 2) == []
        assert tx.actions_since("other", 0) == []

    (found,) = store.cases.actions(1)
    assert (found.state, found.reason) == (ActionState.STARTED, "late")
    assert found.needs == ("data", "")
    assert store.cases.actions(states=[ActionState.STARTED]) == [found]
    assert store.cases.actions(states=[ActionState.WAITING]) == store.cases.actions(2) == []


def test_nobody_answers_twice(store: Store) -> None:
    """The first answer of a person stands."""
    receive(store, MODELS, [alert()], NOW)
    action = Action(0, 1, "retrain", "k", ActionState.WAITING, NOW, NOW)
    with store.cases.writing("answer") as tx:
        tx.save_action(action)
        assert tx.approve(1, "ana", ("data", "ops"), "approve", NOW, "fine")
        assert not tx.approve(1, "ana", ("ops",), "reject", NOW)
        assert tx.approve(1, "ben", (), "reject", NOW + 1)
        with pytest.raises(IncidentError, match="expected approve or reject"):
            tx.approve(1, "eve", (), "maybe", NOW)
        with pytest.raises(IncidentError, match="no action 2"):
            tx.approve(2, "eve", (), "approve", NOW)

    assert store.cases.approvals(1) == [
        Approval(1, "ana", ("data", "ops"), "approve", NOW, "fine"),
        Approval(1, "ben", (), "reject", NOW + 1),
    ]


def test_what_is_not_there(store: Store) -> None:
    """Ids of nothing, of whatever size, find nothing."""
    for number in (0, -1, 7, 2**63, 10**40):
        assert store.cases.incident(number) is None
        assert not store.cases.steps(number)
        assert not store.cases.alerts(number)
        assert not store.cases.actions(number)
        assert not store.cases.approvals(number)
        with (
            pytest.raises(IncidentError, match=f"no incident {number}"),
            store.cases.writing("get") as tx,
        ):
            tx.get(number)
    assert store.cases.incidents(before=10**40) == []
    assert store.cases.audit_head() is None
    assert store.cases.verify_audit().intact


def test_pages(store: Store) -> None:
    """Incidents come newest first, by model and older than one that was shown."""
    for day in range(5):
        at = NOW + day * 86400
        receive(store, MODELS, [alert(start=at, end=at + 1), alert(model="fraud")], at)

    assert [i.id for i in store.cases.incidents(limit=2)] == [6, 5]
    assert [i.id for i in store.cases.incidents(limit=2, before=5)] == [4, 3]
    assert [i.id for i in store.cases.incidents("fraud")] == [2]


def test_figures(store: Store) -> None:
    """Metrics have what is open by model, severity and state, and since when."""
    receive(store, MODELS, [alert(), alert(model="fraud", severity="critical")], NOW)
    receive(store, MODELS, [alert("b", NOW - 50)], NOW)
    with store.cases.writing("acknowledge") as tx:
        tx.save(acknowledge(tx.get(2), "ana", NOW + 30, "")[0])
    receive(store, MODELS, [alert(model="fraud", severity="critical", end=NOW + 70)], NOW + 70)

    assert store.cases.open_counts() == {
        ("churn", "warning", IncidentState.OPEN): 1,
        ("fraud", "critical", IncidentState.RESOLVED): 1,
    }
    assert store.cases.oldest_unacknowledged() == {("churn", "warning"): NOW - 50}
    told = store.cases.told(0)
    assert [(t.id, t.incident_id, t.model, t.cause, t.step.kind) for t in told] == [
        (1, 1, "churn", Cause.DRIFT, "opened"),
        (2, 2, "fraud", Cause.DRIFT, "opened"),
        (3, 1, "churn", Cause.DRIFT, "alert_firing"),
        (4, 2, "fraud", Cause.DRIFT, "alert_resolved"),
        (5, 2, "fraud", Cause.DRIFT, "resolved"),
    ]
    assert store.cases.told(2, limit=2) == told[2:4]


@pytest.mark.parametrize(
    ("later", "closed", "found"),
    [
        pytest.param(LATE_SECONDS, False, ["resolved"], id="a delivery that was late"),
        pytest.param(LATE_SECONDS + 1, False, ["open"], id="it goes on"),
        pytest.param(3 * 3600, False, ["resolved", "open"], id="it goes on much later"),
        pytest.param(LATE_SECONDS + 1, True, ["closed", "open"], id="and somebody had closed it"),
    ],
)
def test_an_alert_of_the_same_start_fires_again(
    store: Store, later: float, closed: bool, found: list[str]
) -> None:
    """Alertmanager took it for over while nothing came of it; Prometheus keeps its start."""
    ended = NOW + 240
    receive(store, MODELS, [alert()], NOW)
    receive(store, MODELS, [alert(end=ended)], ended)
    if closed:
        with store.cases.writing("close") as tx:
            tx.save(close(tx.get(1), "ben", ended, "")[0])

    for _ in range(3):
        receive(store, MODELS, [alert()], ended + later)

    incidents = store.cases.incidents()[::-1]
    assert [str(incident.state) for incident in incidents] == found
    assert incidents[0].flaps == (found == ["open"])
    assert incidents[-1].opened == (ended + later if len(found) == 2 else NOW)
    receive(store, MODELS, [alert(end=ended + later + 60)], ended + later + 61)
    assert {i.state for i in store.cases.incidents()} <= {
        IncidentState.RESOLVED,
        IncidentState.CLOSED,
    }


def test_an_alert_of_no_incident_fires_again(store: Store) -> None:
    """One that came before its model was known opens an incident when it goes on."""
    receive(store, [], [alert()], NOW)
    receive(store, [], [alert(end=NOW + 60)], NOW + 60)

    assert receive(store, MODELS, [alert()], NOW + 61) == []
    assert receive(store, MODELS, [alert()], NOW + 61 + LATE_SECONDS) == [1]


def test_a_transaction_that_fails(store: Store) -> None:
    """Nothing of it stays: no incident, step, alert or audit entry."""

    def fail() -> None:
        with store.cases.writing("fail") as tx:
            incident = tx.save(
                Incident(0, "churn", Cause.DRIFT, IncidentState.OPEN, "info", NOW, NOW)
            )
            tx.record(incident.id, Step(NOW, "ana", "note", "text"))
            tx.save_alerts([StoredAlert(alert(), incident.id, NOW)], new={alert().key})
            raise IncidentError("stop")

    with pytest.raises(IncidentError, match="stop"):
        fail()

    assert store.cases.incidents() == []
    assert store.cases.unmatched_alerts() == []
    assert list(store.cases.audit()) == []


def test_an_alert_is_written_anew(store: Store) -> None:
    """An alert is found by its fingerprint and start, as it was told last."""
    with store.cases.writing("save") as tx:
        tx.save_alerts([StoredAlert(alert(), None, NOW)], new={alert().key})
        ended = StoredAlert(alert(end=NOW + 1), None, NOW + 1)
        tx.save_alerts([ended], new=())
        assert tx.alert(alert().fingerprint, NOW) == ended
        assert tx.alert(alert().fingerprint, NOW + 1) is None


def test_incidents_outlive_slices(store: Store) -> None:
    """The retention of slices and runs takes no incident, however old and large."""
    receive(store, MODELS, [alert()], 1.0)
    store.record_run("churn", Run(1.0, 2.0, success=True))

    store.prune(10 * NOW, 1, 1, {})

    assert [i.id for i in store.cases.incidents()] == [1]
    assert store.cases.verify_audit().last == 1


def test_old_alerts_of_no_incident_go(store: Store) -> None:
    """What was heard of last before a time is gone, of whatever start; no incident loses an
    alert, and that they came stays in the audit log."""
    first = [alert(), alert(model="x"), alert("b", NOW - 900, model="x"), alert(model="")]
    receive(store, MODELS, first, NOW)
    receive(store, MODELS, [alert("late", NOW - 900, model="x"), alert("c")], NOW + 100)
    receive(store, MODELS, [alert(model="x", end=NOW + 50)], NOW + 100)
    entries = [entry.text for entry in store.cases.audit(limit=None)]

    assert store.cases.prune_unmatched(NOW) == 0
    assert store.cases.prune_unmatched(NOW + 100) == 2

    left = {(a.model, a.labels["feature"], a.ends_at) for a in store.cases.unmatched_alerts()}
    assert left == {("x", "late", None), ("x", "a", NOW + 50)}
    assert [a.labels["feature"] for a in store.cases.alerts(1)] == ["a", "c"]
    assert [entry.text for entry in store.cases.audit(limit=None)] == entries
    assert store.cases.verify_audit().intact
    assert store.cases.prune_unmatched(NOW + 100) == 0


def test_an_alert_that_was_forgotten_is_kept_anew(store: Store) -> None:
    """Told again it is kept again, and joins an incident when its model is known by then."""
    receive(store, {"fraud"}, [alert()], NOW)
    assert store.cases.prune_unmatched(NOW + 1) == 1

    assert receive(store, {"fraud"}, [alert()], NOW + 2) == []
    assert store.cases.unmatched_alerts() == [alert()]
    assert receive(store, MODELS, [alert()], NOW + 3) == [1]
    assert store.cases.prune_unmatched(NOW + 9) == 0
    assert store.cases.alerts(1) == [alert()]
    assert store.cases.verify_audit().intact


def test_calibrations(store: Store) -> None:
    """Those over the bins of a time come newest first, and so do those of a model."""
    assert list(store.calibrations_by("churn", "abc", 9.0)) == []
    for at, bins in ((1.5, "abc"), (2.5, "def"), (3.5, "abc")):
        store.record_calibration("churn", bins, at, json.dumps({"at": at}))

    assert list(store.calibrations_by("churn", "abc", 3.5)) == ['{"at": 3.5}', '{"at": 1.5}']
    assert list(store.calibrations_by("churn", "abc", 3.4)) == ['{"at": 1.5}']
    assert list(store.calibrations_by("fraud", "abc", 9.0)) == []
    assert store.calibrations("churn", 2) == [
        (3.5, "abc", '{"at": 3.5}'),
        (2.5, "def", '{"at": 2.5}'),
    ]


def test_a_store_of_the_first_version(url: str) -> None:
    """What the first version stored is kept, and there is room for incidents."""
    run = Run(1.0, 2.0, success=True)
    with open_store(url, now=0) as store:
        store.record_run("churn", run)
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    new = (
        "approvals",
        "actions",
        "alerts",
        "steps",
        "evidence",
        "incidents",
        "audit",
        "audit_head",
    )
    with engine.begin() as connection:
        for table in (*new, "calibrations"):
            connection.execute(text(f"DROP TABLE drift_{table}"))
        connection.execute(text(f"UPDATE {tables.VERSION_TABLE} SET version_num = '0001'"))

    with open_store(url, now=0) as store:
        assert store.last_run("churn") == run
        assert receive(store, MODELS, [alert()], NOW) == [1]
    with engine.connect() as connection:
        assert {f"drift_{table}" for table in new} <= set(inspect(connection).get_table_names())
    engine.dispose()


def deliver_on(url: str, first: int, chance_seed: int, told: Connection) -> None:
    """Receive deliveries without end, telling each that is acknowledged; die at any statement."""
    chance = random.Random(chance_seed)  # noqa: S311
    store = open_store(url, now=0)
    left = chance.randrange(3, 60)

    def die_some_time(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    for moment in ("before_cursor_execute", "after_cursor_execute", "commit"):
        event.listen(store.cases._database._backend.engine, moment, die_some_time)
    for n in range(first, 10**9):
        receive(store, MODELS, delivery(n), NOW + n)
        told.send(n)


def delivery(n: int) -> list[Alert]:
    """Alerts that begin and the end of those before, some of no known model."""
    ended = [alert(str(n - 1), NOW + n - 1, NOW + n)] if n else []
    return [alert(str(n), NOW + n), *ended, alert(str(n), NOW + n, model="unknown")]


def complete(store: Store) -> int:
    """How many deliveries were stored whole, after checking that all agree on it."""
    found = store.cases.unmatched_alerts(10**6)
    n = len(found)
    if n == 0:
        assert store.cases.incidents() == []
        assert store.cases.audit_head() is None
        return 0
    (incident,) = store.cases.incidents()
    assert incident.active
    alerts = store.cases.alerts(incident.id)
    assert [a.status for a in alerts] == ["resolved"] * (n - 1) + ["firing"]
    steps = ["opened", *["alert_firing", "alert_resolved"] * (n - 1)]
    assert kinds(store, incident.id) == steps
    findings = store.cases.verify_audit()
    assert (findings.entries, findings.faults) == (len(steps) + n, ())
    return n


def end_sessions(url: str) -> None:
    """Wait until a server has noticed that its client is dead."""
    if url.startswith("postgresql"):
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


@pytest.fixture
def started() -> Iterator[Callable[..., Connection]]:
    """Starts a function in a process of its own; gives what it tells."""
    running = []

    def start(*args: object) -> Connection:
        mine, its = PROCESSES.Pipe()
        process = PROCESSES.Process(target=deliver_on, args=(*args, its), daemon=True)
        process.start()
        its.close()
        running.append((process, mine))
        process.join()
        return mine

    yield start
    for process, mine in running:
        process.kill()
        process.join()
        process.close()
        mine.close()


def test_killed_at_any_statement(url: str, started: Callable[..., Connection]) -> None:
    """After SIGKILL at any statement, or at the commit, all that was acknowledged is there."""
    first = 0
    for seed in range(12):
        told = started(url, first, seed)
        acknowledged = first - 1
        with suppress(EOFError):
            while True:
                acknowledged = told.recv()

        end_sessions(url)
        with open_store(url, now=0) as store:
            stored = complete(store)
        assert acknowledged + 1 <= stored <= acknowledged + 2
        first = stored


def test_a_broken_store_is_no_crash(store: Store) -> None:
    """Where alerts cannot be stored it is said so, and nothing is acknowledged."""
    store.close()

    with pytest.raises(StoreError, match="cannot receive alerts: the store is closed"):
        receive(store, MODELS, [alert()], NOW)
