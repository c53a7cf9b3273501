"""The canary: a model that drifts on purpose, and only when it should."""

from collections.abc import Callable
from pathlib import Path

import pytest

from drift_exporter.checking import check
from drift_exporter.config import Config
from drift_exporter.config_file import dump_yaml
from drift_exporter.errors import SourceError
from drift_exporter.profiles.current import make_profile
from drift_exporter.reading.canary import CanarySource
from drift_exporter.reading.opening import open_source
from drift_exporter.rules import generate
from drift_exporter.store import open_store
from drift_exporter.verdicts.verdict import State
from yaml_text import parsed

MIDNIGHT = 1_799_625_600
MINUTE = 60


def config() -> Config:
    """A config whose canary drifts for twenty minutes an hour."""
    model = {"name": "credit", "reference": "a.csv", "current": "b.csv"}
    canary = {"every": "1h", "lasts": "20m", "team": "ml"}
    return Config.model_validate({"models": [model], "canary": canary})


@pytest.fixture
def states(tmp_path: Path) -> Callable[[int], State]:
    """Tells the state of the canary's feature at a minute of the hour."""
    model = config().watched[-1]
    profile = make_profile(model, MIDNIGHT, lambda _: None)

    def at(minute: int) -> State:
        with open_store(f"sqlite:///{tmp_path / f'{minute}.db'}", now=MIDNIGHT) as store:
            source = open_source(model.current, timeout_seconds=10)
            job = check.Job(model, profile, source, store, MINUTE)
            now = MIDNIGHT + minute * MINUTE
            snapshot, _ = check.run(job, check.empty_snapshot(job), now)
        return snapshot.windows[0].verdicts[0].state

    return at


@pytest.mark.parametrize(
    ("minute", "state"),
    [
        pytest.param(0, State.OK, id="before"),
        pytest.param(5, State.CRITICAL, id="the first full window"),
        pytest.param(20, State.CRITICAL, id="the last full window"),
        pytest.param(25, State.OK, id="after"),
        pytest.param(59, State.OK, id="until the next"),
    ],
)
def test_it_drifts_at_its_hour_only(
    minute: int, state: State, states: Callable[[int], State]
) -> None:
    """Windows within the drift are critical, those outside of it are ok."""
    assert states(minute) is state


def test_a_day_without_its_drift_is_quiet(tmp_path: Path) -> None:
    """None of the 1400 windows without drift is over a threshold: the canary never cries wolf."""
    model = Config.model_validate(
        {
            "models": [{"name": "credit", "reference": "a.csv", "current": "b.csv"}],
            "canary": {"every": "2d", "lasts": "20m"},
        }
    ).watched[-1]
    profile = make_profile(model, MIDNIGHT, lambda _: None)
    with open_store(f"sqlite:///{tmp_path / 'day.db'}", now=MIDNIGHT) as store:
        source = open_source(model.current, timeout_seconds=10)
        job = check.Job(model, profile, source, store, MINUTE)
        snapshot = check.empty_snapshot(job)
        drifting = MIDNIGHT // 172_800 * 172_800
        begin = drifting + 30 * MINUTE
        states = set()
        for now in range(begin, begin + 1400 * MINUTE, MINUTE):
            snapshot, keep = check.run(job, snapshot, now)
            keep()
            states.add(snapshot.windows[0].verdicts[0].state)
    assert states == {State.OK}


def test_its_alerts_are_in_the_rules() -> None:
    """Rules of a config with a canary keep its pace, so that its alert fires within its drift."""
    groups = parsed(generate(config(), dump_yaml))["groups"]
    paces = {g["name"]: str(g["rules"]) for g in groups if "-models-" in g["name"]}
    assert set(paces) == {"modeldrift-models-1m", "modeldrift-models-5m"}
    assert "canary" in paces["modeldrift-models-1m"]
    assert "!~" in paces["modeldrift-models-5m"], "a model that is new keeps the pace of real ones"


def test_a_wrong_url_is_told() -> None:
    """A URL that says no times is refused with what is expected."""
    with pytest.raises(SourceError, match="canary://SECONDS/SECONDS"):
        CanarySource("canary://hourly")
