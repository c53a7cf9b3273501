"""The records of incidents are held against the audit log, and what was forged is found.

One story is written by the parts that write it in earnest: alerts, an analysis, people, a
retraining that two of them approve and that is a dry run, the end. Copies of its store are forged.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from drift_exporter.casework.answering import approve
from drift_exporter.casework.duty import step_of
from drift_exporter.casework.receiving import receive
from drift_exporter.casework.running import Casework
from drift_exporter.cli import audit, main
from drift_exporter.config import Config
from drift_exporter.incident import (
    ActionState,
    Alert,
    Step,
    acknowledge,
    analysis_digest,
    close,
    mitigate,
    note,
)
from drift_exporter.incident.records import (
    Begin,
    Compared,
    Records,
    compare,
    incident_of,
    logged,
    storable,
)
from drift_exporter.metrics.incidents import IncidentMetrics
from drift_exporter.reporting import FORMATS, Format, held, report
from drift_exporter.reporting.proof import Log
from drift_exporter.snapshot import Board
from drift_exporter.store import Store, case_rows, open_store
from exporter_process import eventually
from response_story import action, duty_of, respond_once

# Imported for the commands that it adds.
assert audit

NOW = 1_800_000_000.0
COUNTS = "counts"
ANALYSIS = {"headline": "Covariate shift.", "recommendation": "Retrain.", "alert_names": []}
CONFIG = "data_dir: .\nmodels:\n  - {name: credit, reference: r.csv, current: c.csv}\n"
NAMES = ("ann", "bob", "carl", "eve", "odd")
"""People of the story and of the forgeries."""


def alert(feature: str, start: float, end: float | None = None, severity: str = "warning") -> Alert:
    """An alert of a feature of the model."""
    return Alert(
        fingerprint=feature,
        name="ModelDriftFeatureDrifted",
        model="credit",
        status="firing" if end is None else "resolved",
        severity=severity,
        starts_at=start,
        ends_at=end,
        labels={"model": "credit", "feature": feature},
    )


def tell(store: Store) -> None:
    """The story, from ``NOW`` on; it is the first incident. A second one goes on."""
    cases = store.cases
    receive(store, {"credit"}, [alert("income", NOW)], NOW + 1)
    receive(store, {"credit"}, [alert("age", NOW, severity="critical")], NOW + 2)
    with cases.writing("analyse") as tx:
        tx.save_evidence(1, NOW + 10, COUNTS)
        found = replace(tx.get(1), classification="covariate_shift", analysis=ANALYSIS)
        tx.save(found)
        proof = hashlib.sha256(COUNTS.encode()).hexdigest()
        detail = {
            "classification": "covariate_shift",
            "evidence_sha256": proof,
            "analysis_sha256": analysis_digest(ANALYSIS),
        }
        text = "Covariate shift. Retrain."
        tx.record(1, Step(NOW + 10, "drift-exporter", "analysed", text, detail))
    for move, who, at, text in (
        (acknowledge, "ann", NOW + 20, "looking"),
        (note, "bob", NOW + 21, "odd \0 text \ud800"),
        (mitigate, "bob", NOW + 22, "at it"),
    ):
        with cases.writing("move") as tx:
            after, step = move(tx.get(1), who, at, text)
            tx.save(after)
            tx.record(1, step)
    clock = iter(NOW + 30 + i for i in range(1000))
    duty = duty_of(cases, [action("http://127.0.0.1:9/", dry_run=True)], lambda: next(clock))
    respond_once(duty)
    approve(cases, 1, "ann", ("science",), "approve", NOW + 100, "seen")
    approve(cases, 1, "carl", ("clinic",), "approve", NOW + 101)
    respond_once(duty)
    ends = [alert(one, NOW, NOW + 200) for one in ("income", "age")]
    receive(store, {"credit"}, ends, NOW + 201)
    with cases.writing("close") as tx:
        after, step = close(tx.get(1), "bob", NOW + 300, "")
        tx.save(after)
        tx.record(1, step)
    receive(store, {"credit"}, [alert("income", NOW + 400)], NOW + 401)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the story."""
    path = tmp_path_factory.mktemp("told") / "drift.db"
    with open_store(f"sqlite:///{path}", now=NOW) as store:
        tell(store)
    return path


@pytest.fixture
def path(told: Path, tmp_path: Path) -> Path:
    """A copy of the store, in a folder with a config that names it."""
    (tmp_path / "drift.yml").write_text(CONFIG)
    with (
        closing(sqlite3.connect(told)) as one,
        closing(sqlite3.connect(tmp_path / "drift.db")) as to,
    ):
        one.backup(to)
    return tmp_path / "drift.db"


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    """The store of a file."""
    with open_store(f"sqlite:///{path}", now=NOW) as store:
        yield store


def forge(path: Path, *statements: str) -> None:
    """Change a store as somebody does who may write its file."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount > 0, statement
        connection.commit()


def compared(path: Path) -> Compared:
    """What is found in a store."""
    with opened(path) as store:
        assert store.cases.verify_audit().intact
        return held(store)


def test_a_store_that_nobody_forged_agrees(path: Path) -> None:
    """Steps, approvals, evidence, the action and both incidents are compared, and are the same."""
    with opened(path) as store:
        steps = len(store.cases.steps(1)) + len(store.cases.steps(2))
        found = held(store)

    # Two approvals, one row of evidence, one action, two incidents.
    assert found == Compared(records=steps + 2 + 1 + 1 + 2)
    assert found.agree
    assert steps >= 15


STEP = "UPDATE drift_steps SET"
CASE = "UPDATE drift_incidents SET"
ANSWER = "UPDATE drift_approvals SET"
DONE = "UPDATE drift_actions SET"
EVE = "'eve', 'note', 'x', '{}')"
FORGERIES = [
    pytest.param([f"{STEP} actor = 'eve' WHERE kind = 'acknowledged'"], "in its actor", id="actor"),
    pytest.param([f"{STEP} at = at - 9 WHERE kind = 'closed'"], "in its time", id="time of a step"),
    pytest.param([f"{STEP} kind = 'note' WHERE kind = 'severity'"], "in its kind", id="kind"),
    pytest.param([f"{STEP} text = 'x' WHERE kind = 'note'"], "in its text or detail", id="text"),
    pytest.param(
        [f"{STEP} detail = replace(detail, 'seen', 'eve')"], "in its text or detail", id="detail"
    ),
    pytest.param(
        ["DELETE FROM drift_steps WHERE kind = 'note'"], "the step of entry", id="no step"
    ),
    pytest.param(
        [f"INSERT INTO drift_steps VALUES (999, 1, {NOW + 20}, {EVE}"],
        "a step is not in the log",
        id="one step more",
    ),
    pytest.param(
        [f"INSERT INTO drift_steps VALUES (999, 1, {NOW - 9e9}, {EVE}"],
        "a step is not in the log",
        id="a step from before the log",
    ),
    pytest.param(
        [
            f"{STEP} id = 999 WHERE kind = 'acknowledged'",
        ],
        "the order of its records",
        id="another order",
    ),
    pytest.param(
        ["UPDATE drift_evidence SET body = 'Counts'"], "in its counts", id="a byte of evidence"
    ),
    pytest.param(["DELETE FROM drift_evidence"], "the evidence of entry", id="no evidence"),
    pytest.param(
        [f"INSERT INTO drift_evidence VALUES (999, 2, {NOW}, 'x')"],
        "incident 2: an evidence is not in the log",
        id="more evidence",
    ),
    pytest.param(
        [f"{CASE} classification = 'none' WHERE id = 1"], "its classification", id="class"
    ),
    pytest.param(
        [f"{CASE} classification = 'none' WHERE id = 2"], "its classification", id="a class"
    ),
    pytest.param(
        [f"{CASE} analysis = replace(analysis, 'Covariate', 'No') WHERE id = 1"],
        "its analysis",
        id="headline",
    ),
    pytest.param([f"{CASE} analysis = '{{}}' WHERE id = 2"], "its analysis", id="an analysis"),
    pytest.param(
        [f"{CASE} analysis = replace(analysis, '[]', '[1]') WHERE id = 1"],
        "its analysis",
        id="a part of an analysis that no step tells",
    ),
    pytest.param(
        [f"{CASE} acknowledged_by = 'eve' WHERE id = 1"],
        "its acknowledgement",
        id="acknowledged by",
    ),
    pytest.param(
        [f"{CASE} acknowledged = acknowledged - 9 WHERE id = 1"],
        "its acknowledgement",
        id="acknowledged",
    ),
    pytest.param(
        [f"{CASE} acknowledged = {NOW - 9e9}, acknowledged_by = 'eve' WHERE id = 2"],
        "its acknowledgement",
        id="never acknowledged",
    ),
    pytest.param([f"{CASE} closed_by = 'eve' WHERE id = 1"], "its closing", id="closed by"),
    pytest.param([f"{CASE} closed = closed - 9 WHERE id = 1"], "its closing", id="closed"),
    pytest.param([f"{CASE} state = 'resolved' WHERE id = 2"], "its state", id="state"),
    pytest.param([f"{CASE} severity = 'warning' WHERE id = 1"], "its severity", id="severity"),
    pytest.param([f"{ANSWER} who = 'eve' WHERE who = 'carl'"], "in its person", id="who approved"),
    pytest.param(
        [f"{ANSWER} decision = 'reject' WHERE who = 'carl'"], "in its decision", id="decision"
    ),
    pytest.param(
        [f"{ANSWER} at = at - 9 WHERE who = 'carl'"], "in its time", id="time of approval"
    ),
    pytest.param(
        [f"{ANSWER} note = 'x' WHERE who = 'carl'"], "in its groups or note", id="note of approval"
    ),
    pytest.param(
        [f"{ANSWER} groups = '[]' WHERE who = 'carl'"], "in its groups or note", id="groups"
    ),
    pytest.param(
        ["DELETE FROM drift_approvals WHERE who = 'carl'"],
        "the approval of entry",
        id="no approval",
    ),
    pytest.param(
        [f"INSERT INTO drift_approvals VALUES (999, 1, 'eve', '[]', 'approve', {NOW + 99}, '')"],
        "an approval is not in the log",
        id="one approval more",
    ),
    pytest.param([f"{DONE} state = 'failed'"], "in its state", id="state of an action"),
    pytest.param([f"{DONE} key = 'x'"], "in its name or key", id="key of an action"),
    pytest.param([f"{DONE} name = 'x'"], "in its name or key", id="name of an action"),
    pytest.param(
        [f"{DONE} detail = replace(detail, '127.0.0.1', 'eve')"], "in its request", id="request"
    ),
    pytest.param(
        [f"{DONE} detail = replace(detail, 'attempts\": 0', 'attempts\": 5')"],
        "in its outcome",
        id="outcome",
    ),
    pytest.param(
        [
            "INSERT INTO drift_actions SELECT 999, 2, name, 'k', state, created, updated, expires, "
            "needs, reason, detail FROM drift_actions"
        ],
        "incident 2: action 999 is not in the log",
        id="one action more",
    ),
    pytest.param([f"{CASE} state = 'x' WHERE id = 1"], "cannot be read", id="no state"),
    pytest.param([f"{STEP} detail = '{{' WHERE kind = 'note'"], "cannot be read", id="no JSON"),
]


@pytest.mark.parametrize(("statements", "text"), FORGERIES)
def test_every_forgery_is_found(path: Path, statements: list[str], text: str) -> None:
    """What was changed in the store is one record that differs, told without a name or a text."""
    forge(path, *statements)

    found = compared(path)

    assert found.differing == len(found.differences) == 1, found.differences
    assert text in found.differences[0]
    assert not any(name in found.differences[0].split() for name in NAMES)
    assert found.left_out == 0


@pytest.mark.parametrize(
    ("statements", "texts"),
    [
        pytest.param(
            [
                "DELETE FROM drift_steps WHERE incident_id = 2",
                "DELETE FROM drift_alerts WHERE incident_id = 2",
                "DELETE FROM drift_incidents WHERE id = 2",
            ],
            ["incident 2 is in the audit log, and was removed"],
            id="an incident",
        ),
        pytest.param(
            ["DELETE FROM drift_approvals", "DELETE FROM drift_actions"],
            ["approval of entry", "approval of entry", "action 1 is in the log, and was removed"],
            id="an action",
        ),
        pytest.param(
            [f"{STEP} actor = 'eve', text = 'x' WHERE kind = 'note'"],
            ["a step is not in the log", "the step of entry"],
            id="more than one field",
        ),
        pytest.param(
            [f"{CASE} state = 'open', severity = 'info', closed_by = 'eve' WHERE id = 1"],
            ["in its closing and its severity and its state"],
            id="more than one field of an incident",
        ),
        pytest.param(
            [
                "INSERT INTO drift_incidents SELECT 999, model, cause, state, severity, opened, "
                "updated, acknowledged, acknowledged_by, resolved, closed, closed_by, flaps, "
                "classification, title, analysis, successor FROM drift_incidents WHERE id = 2"
            ],
            ["incident 999: the incident is not in the log"],
            id="an invented incident",
        ),
        pytest.param(
            [
                "INSERT INTO drift_incidents SELECT 999, model, cause, state, severity, 1.0, "
                "updated, acknowledged, acknowledged_by, resolved, closed, closed_by, flaps, "
                "classification, title, analysis, successor FROM drift_incidents WHERE id = 2"
            ],
            ["incident 999: the incident is not in the log"],
            id="an invented incident of old",
        ),
    ],
)
def test_more_than_one_record(path: Path, statements: list[str], texts: list[str]) -> None:
    """Each record that differs is told."""
    forge(path, *statements)

    found = compared(path)

    assert found.differing == len(texts), found.differences
    for text, told in zip(texts, found.differences, strict=True):
        assert text in told


@pytest.mark.parametrize("before", [NOW + 2, NOW + 15, NOW + 50, NOW + 101, NOW + 250, NOW + 999])
def test_what_was_pruned_is_no_forgery(path: Path, before: float) -> None:
    """Wherever the log begins, older records are left out and all others still agree."""
    with opened(path) as store:
        whole = held(store)
        removed = store.cases.prune_audit(before, NOW + 1000)
        found = held(store)

    assert removed > 0
    assert found.differences == ()
    assert found.left_out > 0
    assert found.records < whole.records


def test_a_log_that_begins_within_a_transaction(path: Path) -> None:
    """Entries of one moment, of which some were removed, make no forgery."""
    with opened(path) as store:
        # The ends of both alerts, and of the incident, came in one delivery.
        inner = [e.id for e in store.cases.audit(limit=None) if e.at == NOW + 201]
        assert len(inner) == 3
        store.cases.prune_audit(NOW + 999, NOW + 1000, up_to=inner[0])
        found = held(store)

    assert found.differences == ()


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        pytest.param(f"{STEP} actor = 'eve' WHERE kind = 'closed'", 1, id="a step that it has"),
        pytest.param(f"{CASE} closed_by = 'eve' WHERE id = 1", 1, id="an incident that it has"),
        pytest.param(
            f"INSERT INTO drift_steps VALUES (999, 1, {NOW + 220}, {EVE}", 1, id="one step more"
        ),
        pytest.param(
            f"{CASE} acknowledged = {NOW + 250} WHERE id = 1", 1, id="acknowledged since then"
        ),
        pytest.param(
            f"INSERT INTO drift_steps VALUES (999, 2, {NOW + 9}, {EVE}", 1, id="one of a whole one"
        ),
        pytest.param(f"{STEP} actor = 'eve' WHERE kind = 'note'", 0, id="what it cannot know"),
    ],
)
def test_a_pruned_log_proves_the_rest(path: Path, statement: str, found: int) -> None:
    """Of a log that begins late, what it has is found, and what it had is not guessed."""
    with opened(path) as store:
        store.cases.prune_audit(NOW + 150, NOW + 1000)
    forge(path, statement)

    assert compared(path).differing == found


def test_an_empty_log_proves_nothing(path: Path) -> None:
    """Where the whole log was removed, no record agrees with it."""
    forge(path, "DELETE FROM drift_audit", "DELETE FROM drift_audit_head")

    with opened(path) as store:
        found = held(store)

    assert found.differing == found.records > 0


@pytest.mark.parametrize("forged", [False, True])
def test_what_is_written_meanwhile_is_no_forgery(path: Path, forged: bool) -> None:
    """Steps that came after the log was read are known from its end; forgeries are found still."""
    with opened(path) as store:
        log = Log([2])
        for entry in store.cases.audit(limit=None):
            log.take(entry)
        with store.cases.writing("acknowledge") as tx:
            after, step = acknowledge(tx.get(2), "ann", NOW + 500, "looking")
            tx.save(after)
            tx.record(2, step)
        if forged:
            forge(path, f"{STEP} actor = 'eve' WHERE incident_id = 2 AND kind = 'opened'")
        found = log.held(store)

    assert [text.rpartition(" ")[2] for text in found.differences] == ["actor"] * forged


def test_a_record_that_is_read_late_is_not_missed(path: Path) -> None:
    """An entry that came after the records were read asks for no record of its own."""
    with opened(path) as store:
        last = store.cases.audit_head()
        receive(store, {"credit"}, [alert("age", NOW + 9000)], NOW + 9001)
        log = Log([1])
        for entry in store.cases.audit(limit=None):
            log.take(entry)

        assert last is not None
        assert log.removed([1], last.id).differences == (
            "incident 2 is in the audit log, and was removed",
        )
        assert log.removed([1, 2], last.id).agree


def test_an_incident_that_moves_just_now(path: Path) -> None:
    """Records that were read before the newest entries agree, though the incident moved since."""
    with opened(path) as store:
        cases = store.cases
        incident, last = cases.incident(2), cases.audit_head()
        assert incident is not None
        assert last is not None
        before = Records(incident, cases.steps(2))
        with cases.writing("acknowledge") as tx:
            after, step = acknowledge(tx.get(2), "ann", NOW + 500, "looking")
            tx.save(after)
            tx.record(2, step)
        entries = [
            one for e in cases.audit(limit=None) if incident_of(e) == 2 and (one := logged(e))
        ]

    assert compare(before, entries, Begin(1, NOW), last.id).agree
    assert compare(before, entries, Begin(1, NOW)).differing == 2


def test_an_outcome_that_comes_too_late(path: Path) -> None:
    """What a person settled stays so, though the outcome is told afterwards."""
    states = ActionState
    with opened(path) as store:
        with store.cases.writing("settle") as tx:
            made = tx.save_action(replace(tx.action(1), id=0, incident_id=2, key="other"))
            made = replace(made, detail={**made.detail, "outcome": None})
            tx.save_action(made)
            for state, more in (
                (states.PROPOSED, {"marks": made.detail["marks"]}),
                (states.STARTED, {}),
                (states.UNKNOWN, {}),
                (states.SUCCEEDED, {"note": "looked"}),
                (states.FAILED, {"status": None, "attempts": 1, "answer": "late"}),
            ):
                kind = f"action_{state}"
                tx.record(2, step_of(made, NOW + 500, "ann", kind, "so it is", more))
        assert held(store).differences == ()


def config_of(folder: Path) -> Config:
    """A config of one model."""
    model = {"name": "credit", "reference": "r.csv", "current": "c.csv"}
    return Config.model_validate({"data_dir": str(folder), "models": [model]})


def reported(path: Path, since: float, form: Format = "markdown", number: int | None = None) -> str:
    """A report to the end of the story."""
    config, end = config_of(path.parent), NOW + 1000
    with opened(path) as store:
        return report(
            store, config, since=since, until=end, now=end, incident_id=number, format=form
        )


@pytest.mark.parametrize("number", [None, 1], ids=["span", "incident"])
@pytest.mark.parametrize("forged", [False, True])
def test_reports_tell_of_it(path: Path, number: int | None, forged: bool) -> None:
    """Every format of both reports says whether the records are those of the log."""
    if forged:
        forge(path, f"{STEP} actor = 'eve' WHERE kind = 'acknowledged'")

    texts = [reported(path, NOW - 1, form, number) for form in FORMATS]

    integrity = json.loads(texts[2])["integrity"]
    assert (integrity["intact"], integrity["records_differing"]) == (True, int(forged))
    assert len(integrity["differences"]) == forged
    for text in texts[:2]:
        assert ("differ from the audit log" in text) == forged
        assert ("a step differs from entry" in text) == forged
        assert ("agree with the log" in text) != forged
        assert "older than its first entry" not in text


def test_the_report_of_a_span_has_its_incidents_alone(path: Path) -> None:
    """What was forged in an incident that is not in the span is not told by its report."""
    forge(path, f"{STEP} actor = 'eve' WHERE kind = 'acknowledged'")

    found = json.loads(reported(path, NOW + 350, "json"))
    with opened(path) as store:
        steps = len(store.cases.steps(2))

    assert [case["id"] for case in found["incidents"]] == [2]
    assert (found["integrity"]["records"], found["integrity"]["records_differing"]) == (
        steps + 1,
        0,
    )


def test_an_incident_that_was_removed_is_missed_by_the_report(path: Path) -> None:
    """The report of a span tells of incidents that only the log has."""
    forge(
        path,
        "DELETE FROM drift_steps WHERE incident_id = 2",
        "DELETE FROM drift_alerts WHERE incident_id = 2",
        "DELETE FROM drift_incidents WHERE id = 2",
    )

    text = reported(path, NOW + 350)

    assert "incident 2 is in the audit log, and was removed" in text


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        pytest.param(lambda _: None, 0, "records of incidents agree with it\n", id="whole"),
        pytest.param(
            lambda path: forge(path, f"{ANSWER} who = 'eve' WHERE who = 'carl'"),
            1,
            "incident 1: an approval differs from entry",
            id="forged",
        ),
        pytest.param(
            lambda path: forge(path, f"{ANSWER} who = 'eve' WHERE who = 'carl'"),
            1,
            "1 of 23 records of incidents differ from the audit log",
            id="forged, in sum",
        ),
    ],
)
def test_the_command_verifies_records_too(
    path: Path, change: Callable[[Path], None], code: int, text: str
) -> None:
    """``audit verify`` on a store ends with 1 where a record is not that of the log."""
    change(path)

    done = CliRunner().invoke(
        main, ["audit", "verify", f"--config.file={path.parent / 'drift.yml'}"]
    )

    assert (done.exit_code, text in done.output) == (code, True), done.output


def test_the_command_tells_what_was_pruned(path: Path) -> None:
    """Records that the log cannot prove any more are counted, and no error."""
    with opened(path) as store:
        store.cases.prune_audit(NOW + 150, NOW + 1000)

    done = CliRunner().invoke(
        main, ["audit", "verify", f"--config.file={path.parent / 'drift.yml'}"]
    )

    assert (done.exit_code, "are older than its first entry" in done.output) == (0, True)


@pytest.mark.parametrize("forged", [False, True])
def test_a_running_exporter_looks_by_itself(path: Path, forged: bool) -> None:
    """The metric of the log is 0 where the log is whole and a record is not that of its entry."""
    if forged:
        forge(path, "UPDATE drift_evidence SET body = 'Counts'")
    registry = CollectorRegistry()
    config = config_of(path.parent)
    with opened(path) as store:
        running = Casework(
            {}, Board(), IncidentMetrics(registry), (0, 1), lambda: store, lambda: {}
        )
        running.apply(config, running.settings(config))
        running.start()

        def told() -> list[float]:
            value = registry.get_sample_value("modeldrift_audit_intact")
            return [] if value is None else [value]

        found = eventually(told, "the verification")
        running.stop(60)

    assert found == [0.0 if forged else 1.0]


@pytest.mark.parametrize(("most", "differing"), [(0, 0), (1, 0), (2, 1), (None, 1)])
def test_the_newest_incidents_can_be_asked_for(
    path: Path, most: int | None, differing: int
) -> None:
    """Of the newest incidents alone, what was forged in an older one is not looked at."""
    forge(path, "UPDATE drift_evidence SET body = 'Counts'")

    with opened(path) as store:
        assert held(store, most).differing == differing


@given(st.text())
def test_texts_are_compared_as_the_store_keeps_them(text: str) -> None:
    """What the store leaves out of a text is left out of the entry's too."""
    assert storable(text) == case_rows.storable(text)
