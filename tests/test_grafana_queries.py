"""Every query of every board is proven on real series: on a day of drift, and on a live scrape."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from grafana import asking, day
from grafana.build import dashboards
from grafana.drawing.page import Board
from grafana.expressions import expressions, label_values
from grafana.parts import FEATURE, INCIDENTS_BOARD, MODEL
from grafana.prometheus import Prometheus, serving

from exporter_process import eventually, exporter
from grafana_day import day_of_drift
from inference_data import append_lines, table, write_reference

DRIFTED = {"model": ["credit-risk"], "feature": ["income"]}
BOARDS = {board["uid"]: board for board in dashboards()}

CALIBRATED = {"model": ["fraud-screening"]}

EMPTY_BY_RIGHT = {
    "modeldrift-model: panel 'Features without a score' A": (
        "all features of this model are evaluated",
        {"model": ["churn"]},
    ),
    **{
        f"modeldrift-model: panel {title!r} {ref}": (
            "thresholds of this model are fixed",
            CALIBRATED,
        )
        for title, ref in (
            ("Thresholds from", "A"),
            ("Since the calibration", "A"),
            ("False alarms in 90 days", "A"),
            ("Surprise that counts", "A"),
            ("Past that was looked at", "A"),
            ("Surprise of the 10 most surprising features", "A"),
            ("Surprise of the 10 most surprising features", "T"),
            ("The promise of few false alarms", "A"),
            ("The promise of few false alarms", "T"),
        )
    },
}
"""Queries that are empty on the day, why, and the values with which they are not."""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """The day in a real Prometheus."""
    with day_of_drift(tmp_path_factory) as found:
        yield found


def wanted(uid: str) -> dict[str, list[str]]:
    """The values that a reader of the day would choose on a board."""
    return DRIFTED if uid in (MODEL, FEATURE) else {}


@pytest.mark.parametrize("uid", BOARDS)
def test_every_query_has_data(prometheus: Prometheus, uid: str) -> None:
    """On a day with a drift, failures and a new reference no query of any panel, variable or
    annotation is empty, except by right.
    """
    empty = {
        found.name
        for found, answer in asking.answers(BOARDS[uid], prometheus, wanted(uid))
        if not answer
    }

    assert empty == {name for name in EMPTY_BY_RIGHT if name.startswith(f"{uid}:")}


@pytest.mark.parametrize("name", EMPTY_BY_RIGHT)
def test_what_is_empty_by_right_has_data_elsewhere(prometheus: Prometheus, name: str) -> None:
    """A query that may be empty is shown to work where it may not."""
    _, values = EMPTY_BY_RIGHT[name]
    board = BOARDS[name.partition(":")[0]]
    chosen = asking.chosen(board, prometheus, values)
    (found,) = [e for e in expressions(board) if e.name == name]

    assert asking.answer(found, prometheus, chosen)


@pytest.mark.parametrize("uid", BOARDS)
def test_several_values_and_one_are_as_good_as_all(prometheus: Prometheus, uid: str) -> None:
    """With every value chosen by hand each query gives as many series as with "All"."""
    board = BOARDS[uid]
    everything = asking.chosen(board, prometheus, wanted(uid))
    by_hand = {
        variable["name"]: asking.options(variable, prometheus, everything)
        if variable["type"] == "query" and variable["multi"]
        else everything[variable["name"]]
        for variable in board["templating"]["list"]
    }

    assert all(by_hand.values())
    for found in expressions(board):
        if found.where == "variable" and found.title == "job":
            continue
        of_all = asking.answer(found, prometheus, everything)
        assert len(asking.answer(found, prometheus, by_hand)) == len(of_all), found.name


def values_of(prometheus: Prometheus, uid: str, title: str, ref: str = "A") -> dict[str, float]:
    """What a panel shows at the end of the day, by its labels."""
    board = BOARDS[uid]
    chosen = asking.chosen(board, prometheus, wanted(uid))
    (found,) = [e for e in expressions(board) if (e.where, e.title, e.ref) == ("panel", title, ref)]
    return {
        " ".join(series["metric"][name] for name in sorted(series["metric"])): float(
            series["value"][1]
        )
        for series in asking.answer(found, prometheus, chosen)
        if not isinstance(series, str)
    }


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Models monitored", 3),
        ("Features over critical", 3),
        ("Predictions over warning", 1),
        ("Models without fresh scores", 1),
    ],
)
def test_the_fleet_counts_what_was_played(
    prometheus: Prometheus, title: str, expected: float
) -> None:
    """Three features and the prediction of one of three models drift, and one model is blind."""
    assert values_of(prometheus, "modeldrift-fleet", title, "A") == {"": expected}


@pytest.mark.parametrize(
    ("title", "ref", "expected"),
    [
        pytest.param("Incidents going on", "A", {"": 2}, id="a drift and a blind model"),
        pytest.param("Not acknowledged", "A", {"": 1}, id="the blind model's"),
        pytest.param("Oldest not acknowledged", "A", {"": 3600}, id="of an hour"),
        pytest.param("Actions waiting for approval", "A", {"": 1}, id="a second retraining"),
        pytest.param("Waiting longest", "A", {"": 4 * 3600}, id="since the first one"),
        pytest.param("Audit log intact", "A", {"": 1}, id="the audit log"),
    ],
)
def test_the_incidents_are_those_of_the_play(
    prometheus: Prometheus, title: str, ref: str, expected: dict[str, float]
) -> None:
    """What goes on, who is late, and what waits, at the end of the day."""
    assert values_of(prometheus, INCIDENTS_BOARD, title, ref) == pytest.approx(expected)


def test_half_of_the_incidents_were_acknowledged_soon(prometheus: Prometheus) -> None:
    """Of 5, 25 and 40 minutes the middle one is in the bucket from 15 to 30 minutes."""
    board = BOARDS[INCIDENTS_BOARD]
    chosen = asking.chosen(board, prometheus, {})
    (half,) = [e for e in expressions(board) if e.title == "Time to acknowledge" and e.ref == "A"]
    (series,) = asking.answer(half, prometheus, chosen)

    assert not isinstance(series, str)
    assert 15 * 60 < float(series["values"][-1][1]) <= 30 * 60


def test_the_drifted_features_are_named_first(prometheus: Prometheus) -> None:
    """On the board of the model the three that were made to drift lead, far over the others."""
    found = values_of(prometheus, MODEL, "Features")
    worst = sorted(found, key=found.__getitem__, reverse=True)

    assert {name.split()[0] for name in worst[:6]} == {"income", "credit_utilisation", "purpose"}
    assert found[worst[5]] > 2.5
    assert found[worst[6]] < 1


@pytest.mark.parametrize("ref", ["A", "B"])
def test_shares_of_bins_add_up_to_one(prometheus: Prometheus, ref: str) -> None:
    """Reference and current distribution are shares over the same bins, in every window."""
    board = BOARDS[FEATURE]
    chosen = asking.chosen(board, prometheus, wanted(FEATURE))
    for window in ("1h", "12h"):
        (found,) = [
            e
            for e in expressions(board)
            if e.title == "Distribution in window $window" and e.ref == ref
        ]
        series = asking.answer(found, prometheus, {**chosen, "window": [window]})
        shares = {
            s["metric"]["bin"]: float(s["value"][1]) for s in series if not isinstance(s, str)
        }

        assert sum(shares.values()) == pytest.approx(1)
        assert sorted(shares)[-2:] == ["missing", "unseen"]
        assert len(shares) == 14


def test_a_feature_without_bins_has_no_picture_and_all_the_rest(prometheus: Prometheus) -> None:
    """Where bins are not exposed, only the pictures of distributions are empty."""
    board = BOARDS[FEATURE]
    values = {"model": ["fraud-screening"], "feature": ["savings"]}
    empty = {
        found.title
        for found, answer in asking.answers(board, prometheus, values)
        if not answer and found.ref != "T"
    }

    assert empty == {
        "Distribution in window $window",
        "How the distribution moved in window $window",
        "PSI per segment",
        "Segments",
        "segment_by",
    }


def test_events_are_where_they_were_played(prometheus: Prometheus) -> None:
    """The new reference and the load of the config are at their time, in milliseconds."""
    board = BOARDS["modeldrift-fleet"]
    chosen = asking.chosen(board, prometheus, {})
    times: dict[str, set[float]] = {}
    for found in expressions(board):
        if found.where == "annotation" and found.title != "Alerts":
            for series in asking.answer(found, prometheus, chosen):
                assert not isinstance(series, str)
                times.setdefault(found.title, set()).update(float(v) for _, v in series["values"])

    assert day.NEW_REFERENCE * 1000 in times["Reference changed"]
    assert day.NEW_REFERENCE * 1000 in times["Config loaded"]


@pytest.mark.parametrize("uid", BOARDS)
def test_the_pictures_are_full(prometheus: Prometheus, uid: str) -> None:
    """Drawn without Grafana, each panel has its place and something in it."""
    drawn = Board(BOARDS[uid], prometheus, wanted(uid))
    html = drawn.html()

    by_right = {name.split("'")[1] for name in EMPTY_BY_RIGHT if name.startswith(f"{uid}:")}
    assert set(drawn.empty) <= by_right
    for panel in BOARDS[uid]["panels"]:
        assert panel["title"].split(" $")[0] in html
    assert "NaN" not in html
    assert ">nan" not in html.lower()


CONFIG = """\
models:
  - name: credit
    trained: 2026-01-01
    reference: {url: reference.parquet, timestamp: ts}
    current: {url: current.jsonl, timestamp: ts, lateness: 0s}
    interval: 2s
    slice: 10s
    windows: [5m, 10m]
    expose_bins: true
    prediction: score
    segments: [city]
    thresholds:
      js_distance: {warning: 0.2}
      ks_statistic: {warning: 0.2}
"""

SCRAPES = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
scrape_configs:
  - job_name: drift-exporter
    static_configs: [{{targets: ['127.0.0.1:{port}']}}]
"""

RULES = """\
groups:
  - name: live
    rules:
      - alert: ModelDriftFeatureDrifted
        expr: modeldrift_feature_psi > 0.25
        labels: {severity: critical}
"""

NOTHING_FAILED = {
    "modeldrift-health: panel 'Failed runs' A": "no run failed",
    "modeldrift-health: panel 'Runs that did not start' A": "no run was skipped",
    "modeldrift-health: panel 'Rows refused' A": "every row could be read",
    "modeldrift-model: panel 'Features without a score' A": "all features are evaluated",
    **{
        name: "thresholds are fixed"
        for name, (_, values) in EMPTY_BY_RIGHT.items()
        if values == CALIBRATED
    },
}
"""Queries that tell of faults, and of calibration, empty where there is none; on the day each has
data."""

NO_INCIDENT = {
    f"modeldrift-incidents: panel {title!r} {ref}"
    for title, refs in {
        "Oldest not acknowledged": "A",
        "Waiting longest": "A",
        "Actions waiting for approval": "A",
        "Oldest incidents": "ABC",
        "Promotions": "AB",
        "Incidents going on, by model and severity": "A",
        "Age of the oldest not acknowledged": "A",
        "New incidents": "A",
        "Actions": "A",
    }.items()
    for ref in refs
}
"""Queries that are empty where there has never been an incident or an action."""


def test_every_query_works_on_a_real_exporter(tmp_path: Path) -> None:
    """A running exporter, scraped by a running Prometheus whose rules fire: the same is true."""
    write_reference(tmp_path / "reference.parquet")
    now = time.time()
    append_lines(tmp_path / "current.jsonl", table(now - 600, now - 300, 3000, seed=2))
    append_lines(tmp_path / "current.jsonl", table(now - 300, now, 3000, seed=3, older=1.0))
    (tmp_path / "drift.yml").write_text(CONFIG)
    (tmp_path / "rules.yml").write_text(RULES)
    with (
        exporter(tmp_path / "drift.yml") as running,
        serving(tmp_path, now - 60, now, 1, SCRAPES.format(port=running.port)) as scraping,
    ):
        running.wait_for_success("credit")

        def at_present() -> Prometheus:
            end = time.time()
            return Prometheus(scraping.address, end - 60, end, 1)

        eventually(lambda: at_present().instant("count_over_time(ALERTS[1m]) > 4"), "firing alerts")
        present = at_present()
        values = {"model": ["credit"], "feature": ["age"]}
        empty = {
            found.name
            for uid, board in BOARDS.items()
            for found, answer in asking.answers(
                board, present, values if uid in (MODEL, FEATURE) else {}
            )
            if not answer
        }

    assert empty == {*NOTHING_FAILED, *NO_INCIDENT}


def test_label_values_needs_a_selector() -> None:
    """Variables ask for labels of some series, not of all that Prometheus holds."""
    with pytest.raises(ValueError, match="not label_values"):
        label_values("label_values(job)")
