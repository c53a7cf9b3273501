"""What a running exporter has of incidents, put together on a real store; no thread is started."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from drift_exporter.casework.running import Casework
from drift_exporter.checking.job import Job
from drift_exporter.config import Config
from drift_exporter.errors import DeliveryError, IncidentError, StoreError
from drift_exporter.metrics.incidents import IncidentMetrics
from drift_exporter.snapshot import Board
from incident_desk import NOW, Room, alert, body, person, room
from watched_model import SHIFTED, watched

RESPONDER, APPROVER = person("responder"), person("approver")
DAY = 86400


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Room]:
    """A room with a fresh store."""
    with room(tmp_path) as found:
        yield found


def casework(
    found: Room,
    jobs: Callable[[], Mapping[str, Job]] = dict,
    registry: CollectorRegistry | None = None,
) -> Casework:
    """The parts on a room's store, with a config of one model."""
    metrics = IncidentMetrics(registry or CollectorRegistry())
    made = Casework({}, Board(), metrics, (0, 1), lambda: found.store, jobs)
    model = {"name": "credit", "reference": "r.csv", "current": "c.csv"}
    config = Config.model_validate({"models": [model]})
    made.apply(config, made.settings(config))
    return made


def test_one_analysis_at_a_time(found: Room) -> None:
    """Who asks while another one is made is refused at once, and may ask again after it."""
    model = watched(found, **SHIFTED)
    refused: list[str] = []

    def jobs() -> Mapping[str, Job]:
        if not refused:
            # Asked by an analysis that has begun: somebody else asks right now.
            with pytest.raises(IncidentError) as error:
                desk.analyse(1, APPROVER)
            refused.append(str(error.value))
        return model.jobs

    desk = casework(found, jobs).desk
    found.deliver(alert("age"))

    first = desk.analyse(1, RESPONDER)
    second = desk.analyse(1, APPROVER)

    assert refused == ["another incident is being analysed; try again in a minute"]
    assert {first.classification, second.classification} == {"covariate_shift"}
    actors = [s.actor for s in found.store.cases.steps(1) if s.kind == "analysed"]
    assert actors == ["responder", "approver"]


def test_a_failed_analysis_is_in_nobodys_way(found: Room) -> None:
    """Where the model has no profile yet the analysis is refused, and the next one is made."""
    model = watched(found, **SHIFTED)
    found.deliver(alert("age"))
    jobs: list[Mapping[str, Job]] = [{}, model.jobs]
    desk = casework(found, lambda: jobs.pop(0)).desk

    with pytest.raises(IncidentError, match="cannot be analysed here and now"):
        desk.analyse(1, RESPONDER)

    assert desk.analyse(1, RESPONDER).classification == "covariate_shift"


def test_deliveries_are_in_the_metrics(found: Room) -> None:
    """Alerts are counted by what became of them, and a request that is none as one."""
    registry = CollectorRegistry()
    desk = casework(found, registry=registry).desk
    desk.receive(body([alert(), alert(model="?")]), NOW)
    with pytest.raises(DeliveryError):
        desk.receive(b"{}", NOW)
    found.store.close()
    with pytest.raises(StoreError):
        desk.receive(body([alert()] * 3), NOW)

    name = "modeldrift_alerts_received_total"
    outcomes = ("accepted", "refused", "failed")
    counts = [registry.get_sample_value(name, {"outcome": outcome}) for outcome in outcomes]
    assert counts == [2, 1, 3]


def test_what_is_old_is_pruned(found: Room, caplog: pytest.LogCaptureFixture) -> None:
    """Alerts of no model go with the slices, audit entries later, incidents never; the log that
    is left verifies, and a store that is gone is a line in the log."""
    parts = casework(found)
    parts.desk.receive(body([alert(), alert(model="?")]), NOW)

    def left() -> tuple[int, int, list[str]]:
        kinds = [entry.kind for entry in parts.desk.audit()]
        return len(parts.desk.incidents()), len(parts.desk.unmatched_alerts(9)), kinds

    whole = ["opened", "alert_firing"]
    parts.prune(NOW + 90 * DAY)
    assert left() == (1, 1, whole)
    parts.prune(NOW + 90 * DAY + 1)
    assert left() == (1, 0, whole)
    parts.prune(NOW + 730 * DAY + 1)
    assert left() == (1, 0, ["pruned"])
    assert parts.desk.verify().intact
    assert "cases not pruned" not in caplog.text

    found.store.close()
    parts.prune(NOW + 730 * DAY + 1)
    assert "cases not pruned" in caplog.text


def test_a_log_that_was_changed_keeps_itself_alone(
    found: Room, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not pruned, so that the break stays to be seen; alerts of no model go all the same."""
    parts = casework(found)
    parts.desk.receive(body([alert(), alert(model="?")]), NOW)
    with closing(sqlite3.connect(tmp_path / "drift.db")) as connection:
        connection.execute("UPDATE drift_audit SET entry = replace(entry, 'firing', 'fired')")
        connection.commit()

    parts.prune(NOW + 731 * DAY)

    assert "cases not pruned" in caplog.text
    assert parts.desk.unmatched_alerts(9) == []
    assert len(list(parts.desk.audit())) == 2
    assert not parts.desk.verify().intact
