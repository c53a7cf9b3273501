"""The canary: a model that drifts on purpose, and only when it should."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from drift_exporter.casework.duty import Duty
from drift_exporter.casework.receiving import receive
from drift_exporter.checking import check
from drift_exporter.cli import main
from drift_exporter.config import Config
from drift_exporter.config_file import dump_yaml
from drift_exporter.errors import SourceError
from drift_exporter.exchange.building import url_of
from drift_exporter.exchange.sending import send
from drift_exporter.incident import ActionState, Alert
from drift_exporter.profiles.current import make_profile
from drift_exporter.reading.canary import CanarySource
from drift_exporter.reading.opening import open_source
from drift_exporter.rules import generate
from drift_exporter.store import open_store
from drift_exporter.verdicts.verdict import State
from recording_server import recording_server
from response_story import respond_once
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


def test_every_drift_is_told_and_its_end(tmp_path: Path) -> None:
    """Through the rules, in a real Prometheus, and the routes: one alert a drift, and no other."""
    (tmp_path / "drift.yml").write_text(dump_yaml(config().model_dump(mode="json")), "utf-8")
    command = ["replay", f"--config.file={tmp_path / 'drift.yml'}", "--model=drift-canary"]
    span = ["--history=source", "--from=2026-10-01T00:30Z", "--to=2026-10-01T03:50Z"]

    done = CliRunner().invoke(main, [*command, *span])

    assert done.exit_code == 0, done.output
    assert re.findall(r"^(ModelDrift\w+) +(\w+) +(\d+) ", done.stdout, re.MULTILINE) == [
        ("ModelDriftFeatureDrifted", "warning", "3")
    ]
    assert re.search(r"^drift-exporter +webhook +3 +3$", done.stdout, re.MULTILINE)


def test_a_heartbeat_follows_each_canary_incident(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The paper's example, as it stands there but for the address: once a drift, secret unseen."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    paper = (Path(__file__).parents[1] / "docs" / "alerting.md").read_text("utf-8")
    (text,) = re.findall(r"```yaml\n(  canary:.*?)```", paper, re.DOTALL)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "heartbeat").write_text("hunter2-hunter2")
    monkeypatch.chdir(tmp_path)
    with recording_server() as server, open_store(f"sqlite:///{tmp_path / 's.db'}", now=0) as store:
        found = parsed(text.replace("https://heartbeat.example.com", server.url))
        models = [{"name": "credit", "reference": "a.csv", "current": "b.csv"}]
        config = Config.model_validate({"models": models, **found})
        tiers, now = {m.name: m.tier for m in config.watched}, float(MIDNIGHT)
        duty = Duty(
            store.cases, config.response, tiers, lambda: now, lambda a, r: send(a, r, environ={})
        )
        canary = config.watched[-1].name
        alert = Alert("f1", "ModelDriftFeatureDrifted", canary, "firing", "warning", now)
        for day in range(3):
            now = float(MIDNIGHT + day * 86400)
            for told in (
                replace(alert, starts_at=now),
                replace(alert, starts_at=now, model="credit"),
            ):
                receive(store, tiers, [told], now)
                respond_once(duty)
                respond_once(duty)
                now += 1800
                over = replace(told, status="resolved", ends_at=now)
                receive(store, tiers, [over], now)
                respond_once(duty)

        assert [got.path for got in server.got] == ["/ping/hunter2-hunter2"] * 3
        actions = store.cases.actions()
        assert {action.state for action in actions} == {ActionState.SUCCEEDED}
        kept = repr([actions, *store.cases.audit()])
    assert url_of(config.response.actions[0]) in kept
    assert "hunter2" not in kept
