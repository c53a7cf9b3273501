"""Reports tell what was monitored, what happened and what was done, and nothing else.

One story is stored once: a model with fixed thresholds, one with calibrated ones, runs with a gap,
an incident that two people approved a retraining for, one that nobody looked at, a changed profile.
"""

import copy
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_exporter.casework.answering import approve
from drift_exporter.casework.duty import ACTOR, step_of
from drift_exporter.casework.receiving import receive
from drift_exporter.config import Config
from drift_exporter.errors import IncidentError
from drift_exporter.incident import (
    Action,
    ActionState,
    Alert,
    Incident,
    Step,
    acknowledge,
    close,
    note,
)
from drift_exporter.profile import Feature, NumericBins, Profile
from drift_exporter.profiles.files import write_profile
from drift_exporter.reporting import CaseReport, SpanReport, facts, render, report
from drift_exporter.reporting.evidence import evidence
from drift_exporter.reporting.rendering import markdown_text
from drift_exporter.reporting.watching import watched
from drift_exporter.reporting.words import NONE
from drift_exporter.snapshot import Run
from drift_exporter.store import Store, open_store

DAY = 86400.0
NOW = 1_800_000_000.0
"""A Friday morning in January 2027."""

SINCE, UNTIL = NOW - 7 * DAY, NOW
EVIL = "<script>alert(1)</script>|`*_[x](http://evil)\n# head\N{RIGHT-TO-LEFT OVERRIDE}"

OUTCOME: dict[str, Any] = {"status": 204, "attempts": 2, "answer": "done"}

ANALYSIS: dict[str, Any] = {
    "classification": "covariate_shift",
    "headline": "Covariate shift: income: shifted.",
    "recommendation": "Check the model's quality on recent rows with labels.",
    "notes": ["income: shifted", EVIL],
    "features": [
        {
            "feature": "income",
            "role": "feature",
            "verdict": "distribution_shift",
            "sentence": "income: shifted",
            "rows": 5000,
            "psi": 0.4,
            "excess_psi": 0.38,
            "share": 0.97,
            "limit": 0.1,
            "bins": [
                {
                    "interval": "[30, 40)",
                    "reference_share": 0.1,
                    "current_share": 0.4,
                    "contribution": 0.3,
                    "direction": "more",
                }
            ],
            "numbers": {},
            "since": "since 2027-01-14 06:00 UTC",
        },
        {"feature": "age", "verdict": "none", "sentence": "age: as in the reference"},
    ],
    "segments": [],
    "concept": None,
    "since": {"start": NOW - 2 * DAY - 7200, "text": "since 2027-01-13 06:00 UTC"},
    "rows": 5000,
    "reference_rows": 20000,
    "profile": "abcdef",
    "window": {"name": "24h", "start": 0, "end": 1},
    "related_models": ["pricing"],
    "recent_changes": [{"kind": "profile_changed", "at": NOW - 3 * DAY, "by": "ann"}],
}


def config_of(folder: Path) -> Config:
    """Two models, one of them with calibrated thresholds."""
    return Config.model_validate(
        {
            "data_dir": str(folder),
            "models": [
                {
                    "name": "credit",
                    "version": "3",
                    "owner": "ann@example.com",
                    "tier": "high",
                    "reference": "postgresql://joe:secret@db/shop",
                    "current": "current/*.parquet",
                    "interval": "1h",
                }
                | {"reference": {"url": "postgresql://joe:secret@db/shop", "table": "t"}},
                {
                    "name": "churn",
                    "reference": "reference.parquet",
                    "current": "current/*.csv",
                    "thresholds": "calibrated",
                    "interval": "1h",
                },
            ],
        }
    )


def alert(model: str, start: float, end: float | None = None, summary: str = "it drifts") -> Alert:
    """An alert of a feature of a model."""
    return Alert(
        fingerprint=f"{model} income",
        name="ModelDriftFeatureDrifted",
        model=model,
        status="firing" if end is None else "resolved",
        severity="critical",
        starts_at=start,
        ends_at=end,
        labels={"model": model, "feature": "income"},
        annotations={"summary": summary},
    )


def run(at: float, *, success: bool = True, reason: str = "") -> Run:
    """A run that took a minute."""
    return Run(started=at - 60, finished=at, success=success, reason=reason)


def profile() -> Profile:
    """A profile of one column."""
    bins = NumericBins((1.0,), 0.0, 2.0)
    feature = Feature("income", "feature", "numeric", bins, "float", "")
    counts = np.zeros(feature.block.cells, dtype=np.int64)
    counts[1:3] = 500
    return Profile("credit", (feature,), counts, created="2026-12-01T00:00:00Z")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the store and the profile are."""
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def config(folder: Path) -> Config:
    """The config of the story."""
    return config_of(folder)


@pytest.fixture(scope="module")
def store(folder: Path) -> Iterator[Store]:
    """The story."""
    write_profile(folder / "profiles" / "credit.json", profile())
    with open_store(f"sqlite:///{folder}/drift.db", now=SINCE) as store:
        _tell(store)
        yield store


def _tell(store: Store) -> None:
    # credit runs every hour from a day before the span on, but for ten hours on the third day
    for hour in range(-24, 7 * 24):
        at = SINCE + 3600 * hour + 60
        lost = 48 <= hour < 58
        store.record_run("credit", run(at, success=not lost, reason="source" if lost else ""))
    # churn is there since the fifth day
    for hour in range(4 * 24, 7 * 24):
        store.record_run("churn", run(SINCE + 3600 * hour + 60))
    scores = {"1h": (int(NOW - 2 * DAY), {"income": (0.4, "critical")})}
    store.record_run("credit", run(NOW - 2 * DAY + 120), scores=scores)
    opened = NOW - 2 * DAY
    first = _incident(store, alert("credit", opened, summary=EVIL), opened + 30)
    with store.cases.writing("story") as tx:
        found = replace(first, classification="covariate_shift", analysis=ANALYSIS)
        tx.save_evidence(first.id, opened + 50, "counts")
        tx.record(first.id, analysed_step(opened + 50, "counts"))
        taken, step = acknowledge(found, "ann", opened + 600, "looking")
        tx.record(taken.id, step)
        told, step = note(taken, "bob", opened + 700, EVIL)
        tx.record(told.id, step)
        tx.save(told)
        action = tx.save_action(_retraining(told.id, opened))
        proposed = step_of(action, opened + 60, ACTOR, "action_proposed", "asked", action.detail)
        tx.record(told.id, proposed)
    approve(store.cases, 1, "ann", ("science",), "approve", opened + 900, "seen the bins")
    approve(store.cases, 1, "carl", ("clinic",), "approve", opened + 1000)
    with store.cases.writing("outcome") as tx:
        approved, at = {ActionState.APPROVED}, opened + 1100
        tx.move_action(action.id, approved, ActionState.SUCCEEDED, at, {"outcome": OUTCOME})
        done = step_of(action, at, ACTOR, "action_succeeded", "done", OUTCOME)
        tx.record(told.id, done)
        body = {"profile": "abcdef", "previous_profile": "123456", "text": "profile abcdef"}
        tx.audit(opened + 5000, "ann", "profile_changed", "model/credit", body)
        tx.audit(opened + 5001, "drift-exporter", "verdict_changed", "model/credit", {})
    receive(store, {"credit"}, [alert("credit", opened, opened + 7200)], opened + 7200)
    with store.cases.writing("close") as tx:
        over = tx.get(first.id)
        closed, step = close(over, "ann", opened + 8000, "")
        tx.save(replace(closed, successor={"profile": "abcdef", "version": "4"}))
        tx.record(closed.id, step)
    _incident(store, alert("churn", NOW - 9 * DAY, NOW - 8 * DAY), NOW - 8 * DAY)  # before the span
    _incident(store, alert("churn", NOW - 3 * DAY), NOW - 3 * DAY)
    receive(store, {"credit"}, [alert("nobody", NOW - DAY)], NOW - DAY)


def analysed_step(at: float, counts: str) -> Step:
    """The step of the analysis."""
    text = f"{ANALYSIS['headline']} {ANALYSIS['recommendation']}"
    detail = {
        "classification": ANALYSIS["classification"],
        "evidence_sha256": hashlib.sha256(counts.encode()).hexdigest(),
    }
    return Step(at, ACTOR, "analysed", text, detail)


def _incident(store: Store, found: Alert, now: float) -> Incident:
    (number,) = receive(store, {"credit", "churn"}, [found], now)
    incident = store.cases.incident(number)
    assert incident is not None
    return incident


def _retraining(incident_id: int, at: float) -> Action:
    request = {"method": "POST", "url": "https://ci.example.com/hook", "headers": {}, "body": "{}"}
    return Action(
        id=0,
        incident_id=incident_id,
        name="retrain",
        key=f"drift-{incident_id}-aa",
        state=ActionState.WAITING,
        created=at + 60,
        updated=at + 60,
        needs=("science", "clinic"),
        reason="the incident was classified",
        detail={"request": request, "retrain": True, "dry_run": False, "mark": "a"},
    )


def span(store: Store, config: Config) -> SpanReport:
    """The facts of the week."""
    found = facts(store, config, since=SINCE, until=UNTIL, now=NOW)
    assert isinstance(found, SpanReport)
    return found


def case(store: Store, config: Config, number: int = 1) -> CaseReport:
    """The facts of an incident."""
    found = facts(store, config, since=0, until=0, now=NOW, incident_id=number)
    assert isinstance(found, CaseReport)
    return found


def test_models_are_told_with_their_thresholds(store: Store, config: Config) -> None:
    """The report says of each model what is compared with what, and from when on it is too much."""
    credit, churn = span(store, config).models

    assert (credit.owner, credit.tier, credit.stale_after_seconds) == (
        "ann@example.com",
        "high",
        3 * 3600,
    )
    assert credit.reference.profile == profile().hash
    assert [column.name for column in credit.columns] == ["income"]
    assert "secret" not in credit.reference.source
    psi = next(one for one in credit.thresholds if one.statistic == "psi")
    assert (psi.calibrated, psi.warning, psi.critical) == (False, 0.1, 0.25)
    assert credit.calibration is None
    assert all(one.calibrated for one in churn.thresholds)
    assert churn.calibration is not None
    assert churn.calibration.budget_per_90_days == 1
    assert "not built" in churn.reference.problem


def test_incidents_are_those_that_went_on_in_the_span(store: Store, config: Config) -> None:
    """An incident that was over before the span is not in its report, one that goes on is."""
    found = span(store, config).incidents

    assert [(case.model, case.state) for case in found] == [("churn", "open"), ("credit", "closed")]
    assert span(store, config).unmatched_alerts == 1


def test_times_are_those_of_the_story(store: Store, config: Config) -> None:
    """Acknowledged after ten minutes, resolved after two hours; the other one waits since days."""
    second, first = span(store, config).incidents
    ack, end = (one for one in span(store, config).times if one.severity == "all")

    assert (first.to_acknowledge_seconds, first.to_resolve_seconds) == (600, 7200)
    assert (first.acknowledged_late, first.resolved_late) == (False, False)
    assert (second.acknowledged_late, second.resolved_late) == (True, True)
    assert (ack.done, ack.open, ack.late, ack.median_seconds, ack.worst_seconds) == (
        1,
        1,
        1,
        600,
        600,
    )
    assert (end.done, end.open, end.p90_seconds) == (1, 1, 7200)


def test_gaps_are_those_of_the_run_log(store: Store, config: Config) -> None:
    """Ten hours without a success are one gap; what is before the first run is not known."""
    credit, churn = span(store, config).monitoring

    (gap,) = credit.gaps
    # The runs of hours 48 to 57 failed, those of 47 and 58 did not.
    assert (gap.start, gap.end) == (SINCE + 47 * 3600 + 60, SINCE + 58 * 3600 + 60)
    assert gap.failures == {"source": 10}
    assert credit.failures == {"source": 10}
    assert credit.recorded_from == SINCE
    assert credit.watched_ratio == pytest.approx(1 - 11 / (7 * 24))
    assert credit.verdict_changes == 1
    assert (churn.gaps, churn.recorded_from) == ((), SINCE + 4 * DAY)


def test_changes_and_integrity_come_from_the_audit_log(store: Store, config: Config) -> None:
    """What changed is told with who did it, and the log's head with its hash."""
    found = span(store, config)
    head = store.cases.audit_head()

    assert [(one.kind, one.actor, one.text) for one in found.changes] == [
        ("profile_changed", "ann", "profile abcdef")
    ]
    assert head is not None
    assert (found.integrity.intact, found.integrity.head_hash) == (True, head.hash)


def test_an_incident_is_told_whole(store: Store, config: Config) -> None:
    """Evidence, alerts, timeline, approvals and outcome of an incident are in its report."""
    found = case(store, config)
    (action,) = found.incident.actions

    assert found.analysis == ANALYSIS
    # printf counts | sha256sum
    assert [one.sha256[:8] for one in found.evidence] == ["cdd93696"]
    assert [step.kind for step in found.timeline][:3] == ["opened", "analysed", "acknowledged"]
    assert [one.who for one in action.approvals] == ["ann", "carl"]
    assert (action.status, action.attempts, action.url) == (204, 2, "https://ci.example.com/hook")
    assert [(series.column, series.limit, series.limit_text) for series in found.history] == [
        ("income", 0.1, "no shift up to")
    ]
    assert len(found.audit_entries) == len(found.timeline)
    titles = [section.title for section in found.retrospective]
    assert titles == [
        "What happened",
        "Impact",
        "Detection",
        "Causes",
        "Response",
        "What follows",
    ]
    assert all(section.questions for section in found.retrospective)
    known = " ".join(line for section in found.retrospective for line in section.known)
    assert "approved by ann (seen the bins)" in known
    assert "the alert fired 2 h later" in known


@pytest.mark.parametrize(
    ("since", "until", "incident_id", "text"),
    [
        pytest.param(NOW, NOW, None, "empty", id="no span"),
        pytest.param(NOW + 1, NOW + 5, None, "empty", id="a span to come"),
        pytest.param(SINCE, UNTIL, 99, "no incident 99", id="no such incident"),
        pytest.param(SINCE, UNTIL, 2**70, "no incident", id="no possible incident"),
    ],
)
def test_what_cannot_be_told_is_refused(
    store: Store, config: Config, since: float, until: float, incident_id: int | None, text: str
) -> None:
    """A report of nothing is an error that says so."""
    with pytest.raises(IncidentError, match=text):
        facts(store, config, since=since, until=until, now=NOW, incident_id=incident_id)


@pytest.mark.parametrize("number", [None, 1, 3], ids=["span", "incident", "without analysis"])
def test_json_is_the_facts(store: Store, config: Config, number: int | None) -> None:
    """The JSON can be read back and has every part of the facts."""
    found = facts(store, config, since=SINCE, until=UNTIL, now=NOW, incident_id=number)

    read = json.loads(render(found, "json"))

    assert read.keys() == {*vars(found)}
    assert read["head"]["kind"] == ("span" if number is None else "incident")


class Page(HTMLParser):
    """What an HTML page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the tag; what is no void element is to be closed."""
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in ("meta", "br"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the tag."""
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        """Close the tag that was opened last."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.text += data

    def close(self) -> None:
        """Be sure that all is closed."""
        super().close()
        assert not self._open


@pytest.mark.parametrize("number", [None, 1, 3], ids=["span", "incident", "without analysis"])
def test_html_is_sound_and_needs_nothing_else(
    store: Store, config: Config, number: int | None
) -> None:
    """The page is well-formed, has its pictures within, loads nothing and runs nothing."""
    text = report(
        store, config, since=SINCE, until=UNTIL, now=NOW, incident_id=number, format="html"
    )

    page = Page(text)

    assert not {"script", "link", "img", "iframe", "object", "a", "form"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name in ("src", "href", "style")]
    assert ("svg" in page.tags) == (number != 3)
    assert ("no shift up to 0.1" in page.text) == (number == 1)
    assert "None" not in page.text
    assert "secret" not in text


@pytest.mark.parametrize("form", ["markdown", "html"])
@pytest.mark.parametrize("number", [None, 1], ids=["span", "incident"])
def test_what_others_wrote_is_shown_as_it_is(
    store: Store, config: Config, number: int | None, form: Any
) -> None:
    """Text of alerts, notes and the analysis is escaped; no tag of it is left."""
    text = report(store, config, since=SINCE, until=UNTIL, now=NOW, incident_id=number, format=form)

    assert "<script" not in text
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in text
    assert "&lt;script&gt;" in text or number is None
    assert form == "html" or not re.search(r"(?m)^# head", text)


@pytest.mark.parametrize("number", [None, 1, 3], ids=["span", "incident", "without analysis"])
def test_tables_of_markdown_have_their_columns(
    store: Store, config: Config, number: int | None
) -> None:
    """Every row of a table has as many cells as its head, whatever the texts hold."""
    text = report(store, config, since=SINCE, until=UNTIL, now=NOW, incident_id=number)

    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        cells = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(cells) == 1, table
    assert "None" not in text


@given(
    st.dictionaries(
        st.sampled_from([*ANALYSIS, "bins", "feature"]),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*ANALYSIS]), inner),
        ),
    )
)
def test_an_analysis_of_another_release_is_read_as_far_as_it_goes(analysis: dict[str, Any]) -> None:
    """Whatever the stored analysis holds, reading it does not fail."""
    seen = evidence(analysis)

    assert (seen is None) == (not analysis)


@given(st.text())
def test_markdown_text_is_one_line_without_markup(text: str) -> None:
    """Whatever a text holds, it makes no line, no tag and no cell of its own."""
    shown = str(markdown_text(text))

    assert len(shown.splitlines()) <= 1
    assert not re.search(r"[<>]|(?<!\\)(?:\\\\)*[|`*\[]", shown)
    shown.encode()


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.booleans())),
    st.integers(0, 500),
    st.integers(1, 500),
    st.integers(1, 300),
)
def test_gaps_by_counting_seconds(
    runs: list[tuple[int, bool]], since: int, length: int, stale: int
) -> None:
    """Seconds in gaps are those that lie between successes further apart than scores are kept."""
    until = since + length
    known = [Run(started=at, finished=at, success=ok, reason="") for at, ok in runs]

    found = watched("m", known, since, until, stale)

    begin = min((at for at, _ in runs if at < until), default=None)
    if begin is None:
        assert (found.recorded_from, found.gaps) == (None, ())
        return
    begin = max(begin, since)
    good = sorted({at for at, ok in runs if ok and at <= until and at < until})
    expected = 0
    for second in range(begin, until):
        before = max((at for at in good if at <= second and at >= 0), default=begin)
        after = min((at for at in good if at > second), default=until)
        expected += after - before > stale
    assert sum(gap.seconds for gap in found.gaps) == expected


@pytest.mark.parametrize("form", ["markdown", "html"])
def test_a_share_that_is_unknown_is_no_zero(store: Store, config: Config, form: Any) -> None:
    """A bin of an analysis that lacks a share has none in the report either."""
    with store.cases.writing("spoil") as tx:
        incident = tx.get(1)
        analysis = copy.deepcopy(dict(incident.analysis or {}))
        analysis["features"][0]["bins"][0]["reference_share"] = None
        tx.save(replace(incident, analysis=analysis))

    text = report(store, config, since=SINCE, until=UNTIL, now=NOW, incident_id=1, format=form)

    told = f"| {NONE} | 40 % |" if form == "markdown" else f"[30, 40): {NONE} in the reference"
    assert told in text
