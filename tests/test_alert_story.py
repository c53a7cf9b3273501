"""The story of alerts on a real store, killed at every transaction of webhook and analysis."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import alert_story
from drift_exporter.store import Store
from incident_desk import room

POINTS = [
    f"{where}: {what}"
    for what in ("receive alerts", "receive alerts", "analyse incident 1")
    for where in ("before", "inside", "after")
]


class Kept(NamedTuple):
    """What a store has of the incident."""

    features: list[str]
    steps: list[str]
    analyses: int


COMMITTED = [
    Kept([], [], 0),
    Kept(["age", "city"], ["opened", "alert_firing"], 0),
    Kept(["age", "city", "income"], ["opened", "alert_firing", "alert_firing"], 0),
    Kept(["age", "city", "income"], ["opened", "alert_firing", "alert_firing", "analysed"], 1),
]
"""What a store has after none, one, two and all of the transactions."""


def kept(store: Store) -> Kept:
    """What is there; the audit log has the same steps, and is whole."""
    cases = store.cases
    assert cases.verify_audit().intact
    incidents = cases.incidents()
    assert len(incidents) <= 1
    if not incidents:
        assert list(cases.audit()) == []
        return Kept([], [], 0)
    (incident,) = incidents
    steps = [step.kind for step in cases.steps(incident.id)]
    assert [entry.kind for entry in cases.audit()] == steps
    evidence = len(cases.evidence(incident.id))
    assert (incident.analysis is not None, steps.count("analysed")) == (evidence > 0, evidence)
    return Kept([one.labels["feature"] for one in cases.alerts(incident.id)], steps, evidence)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of stores, each left by a process that was killed at a point."""
    folder = tmp_path_factory.mktemp("killed")
    for point in range(len(POINTS)):
        (folder / str(point)).mkdir()
    program = [sys.executable, alert_story.__file__, str(folder), str(len(POINTS))]
    done = subprocess.run(program, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_points_are_all_there_are(tmp_path: Path) -> None:
    """A transaction that is added to the story is killed too."""
    names: list[str] = []

    alert_story.tell(tmp_path, names.append)

    assert names == POINTS


@pytest.mark.parametrize("point", range(len(POINTS)))
def test_killed_at_a_transaction_nothing_is_lost_or_done_twice(killed: Path, point: int) -> None:
    """A transaction is there whole once it is committed, and not at all before; the next start
    goes on from there, whether Alertmanager repeats what it sent or not."""
    folder, committed = killed / str(point), (point + 1) // 3

    with room(folder) as found:
        left = kept(found.store)
    alert_story.tell(folder, first=committed)
    with room(folder) as found:
        ended = kept(found.store)
    alert_story.tell(folder)
    with room(folder) as found:
        repeated = kept(found.store)

    assert left == COMMITTED[committed]
    assert ended == repeated == COMMITTED[-1]
