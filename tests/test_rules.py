"""The rules: quiet and loud when they should be, patient by the interval, true to the metrics."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from drift_exporter.config import RATES, STATISTICS, Config, parse_duration
from drift_exporter.config_file import dump_yaml
from drift_exporter.incident import cause_of
from drift_exporter.metrics.families import FAMILIES, ROLES, STATISTIC_FAMILIES
from drift_exporter.metrics.health import Health
from drift_exporter.metrics.incidents import INCIDENT_FAMILIES
from drift_exporter.rules import (
    Limits,
    Options,
    example_files,
    generate,
    prometheus_rule,
    recording,
)
from drift_exporter.rules.alerts import QUALITY_ALERTS, Pace
from yaml_text import parsed

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "alert_rules"
RULES = SHIPPED / "drift-exporter.rules.yml"
TESTS = sorted((SHIPPED / "tests").glob("*.test.yml"))
SCRAPE_LABELS = {"job", "instance", "pod", "namespace"}
RULE_LABELS = {"severity", "escalated", "run_interval", "limit", "alertname", "alertstate"}

URL = "dashboard_url"

Rule = dict[str, Any]


def config(*models: tuple[str, str], tier: str = "medium") -> Config:
    """Models by name and interval."""
    return Config.model_validate(
        {
            "models": [
                {"name": name, "interval": every, "reference": "r", "current": "c", "tier": tier}
                for name, every in models
            ]
        }
    )


def made(found: Config | None, options: Options | None = None, **more: Any) -> str:
    """A rule file as JSON, which is YAML too, and quicker."""
    return generate(found, json.dumps, options, **more)


def groups(text: str) -> dict[str, list[Rule]]:
    """Rules of a rule file by the name of their group."""
    return {group["name"]: group["rules"] for group in json.loads(text)["groups"]}


def rules(text: str) -> list[Rule]:
    """All rules of a rule file."""
    return [rule for found in groups(text).values() for rule in found]


def alerts(text: str) -> list[Rule]:
    """All alerts of a rule file."""
    return [rule for rule in rules(text) if "alert" in rule]


ALL = made(None, Options(watchdog=True))
NAMES = sorted({rule["alert"] for rule in alerts(ALL)})


def promtool(*arguments: object) -> None:
    """Run promtool; what it says is the message of the failure."""
    command = ["promtool", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("path", "text"),
    [
        pytest.param(RULES, generate(None, dump_yaml), id="rules"),
        pytest.param(
            SHIPPED / "drift-exporter.prometheusrule.yml",
            prometheus_rule(None, dump_yaml),
            id="kubernetes",
        ),
        *(
            pytest.param(SHIPPED / "alertmanager" / name, text, id=name)
            for name, text in example_files().items()
        ),
    ],
)
def test_shipped_files_are_the_command_s_output(path: Path, text: str) -> None:
    """What lies in alert_rules/ is what ``drift-exporter rules`` writes."""
    assert path.read_text() == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(made(None), id="any model"),
        pytest.param(ALL, id="watchdog"),
        pytest.param(made(config(("a.b", "1h"))), id="one model"),
        pytest.param(
            made(config(("a.b", "1h"), ("c", "5m"), ("d", "1d"), ("e", "5m"))),
            id="three intervals",
        ),
    ],
)
def test_promtool_finds_no_fault(tmp_path: Path, text: str) -> None:
    """promtool accepts the rules, with all of its lint."""
    (tmp_path / "rules.yml").write_text(text)

    promtool("check", "rules", "--lint=all", "--lint-fatal", tmp_path / "rules.yml")


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name.removesuffix(".test.yml"))
def test_alerts_fire_when_they_should_and_not_else(path: Path) -> None:
    """The unit tests of alert_rules/tests hold: who fires, when, with which text."""
    promtool("test", "rules", path)


def test_the_watchdog_fires_where_it_is_wanted(tmp_path: Path) -> None:
    """The watchdog is off by default; with it, it fires from the first evaluation on."""
    assert "ModelDriftWatchdog" not in made(None)
    (tmp_path / "rules.yml").write_text(ALL)
    expected = {"eval_time": "0m", "expr": 'ALERTS{alertname="ModelDriftWatchdog"}'}
    labels = 'ALERTS{alertname="ModelDriftWatchdog", alertstate="firing", severity="none"}'
    expected |= {"exp_samples": [{"labels": labels, "value": 1}]}  # type: ignore[dict-item]
    (tmp_path / "test.yml").write_text(
        dump_yaml({"rule_files": ["rules.yml"], "tests": [{"promql_expr_test": [expected]}]})
    )

    promtool("test", "rules", tmp_path / "test.yml")


def _cases() -> Iterator[tuple[str, bool]]:
    """Each alert that a unit test expects, with its text, and each that it expects not to come."""
    for path in TESTS:
        for case in parsed(path.read_text())["tests"]:
            told = {
                asked["alertname"]
                for asked in case.get("alert_rule_test", [])
                if asked["exp_alerts"]
            }
            yield from ((name, True) for name in told)
            quiet = [a for a in case.get("promql_expr_test", []) if not a["exp_samples"]]
            for asked in quiet:
                one = re.search(r'alertname="(\w+)"', asked["expr"])
                every = {n for n in NAMES if n != "ModelDriftExporterAbsent"}
                if 'alertname!="ModelDriftExporterAbsent"' not in asked["expr"]:
                    every |= {"ModelDriftExporterAbsent"}
                for name in {one.group(1)} if one else every:
                    yield name, False


@pytest.mark.parametrize("name", [n for n in NAMES if n != "ModelDriftWatchdog"])
def test_every_alert_has_a_case_for_and_one_against(name: str) -> None:
    """Each alert is seen firing, with its text, and seen silent."""
    cases = set(_cases())

    assert {(name, True), (name, False)} <= cases


def _exported() -> dict[str, set[str]]:
    """Labels of every metric that the exporter exposes, by name."""
    found = {family.name: set(family.labels) for family in FAMILIES}
    found |= {family.name: set(family.labels) for family in INCIDENT_FAMILIES}
    registry: CollectorRegistry = Health("1", "r").registry
    for metric in registry.collect():
        labelled = getattr(registry._names_to_collectors.get(metric.name), "_labelnames", ())
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        found[name] = set(labelled)
    return found


EXPORTED = _exported()
RECORDED = {rule["record"] for rule in rules(ALL) if "record" in rule}


@pytest.mark.parametrize("rule", rules(ALL), ids=lambda rule: rule.get("alert", rule.get("record")))
def test_rules_name_only_what_is_exported(rule: Rule) -> None:
    """Every metric and label in a rule, and in its text, is one of the exporter's."""
    known = set().union(*EXPORTED.values()) | SCRAPE_LABELS | RULE_LABELS
    texts = [rule["expr"], *rule.get("annotations", {}).values()]
    for text in texts:
        for name, matchers in re.findall(r"([A-Za-z_][\w:]*)(\{[^{}]*\})?", text):
            if "modeldrift_" not in name:
                continue
            assert name in EXPORTED or name in RECORDED, name
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
            if name in EXPORTED:
                assert labels <= EXPORTED[name] | SCRAPE_LABELS, name
            assert labels <= known, name
        for listed in re.findall(r"(?:without|ignoring|by|on|group_left)\s*\(([\w, ]*)\)", text):
            assert set(filter(None, listed.split(", "))) <= known, listed
        assert set(re.findall(r"\.Labels\.(\w+)|\$labels\.(\w+)", text)) <= {
            (a, b) for a in {*known, ""} for b in {*known, ""}
        }


@pytest.mark.parametrize("rule", alerts(ALL), ids=lambda rule: rule["alert"])
def test_no_threshold_stands_in_an_alert(rule: Rule) -> None:
    """Alerts compare series with series, 0 or 1; a changed threshold needs no changed rule."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|offset \S+|[A-Za-z_][\w:]*", " ", rule["expr"])

    assert set(re.findall(r"\d+(?:\.\d+)?", bare)) <= {"0", "1"}


def boards() -> dict[str, set[str]]:
    """Variables of the shipped dashboards by uid."""
    found = {}
    for path in (ROOT / "grafana" / "dashboards").glob("*.json"):
        board = json.loads(path.read_text())
        found[board["uid"]] = {variable["name"] for variable in board["templating"]["list"]}
    return found


@pytest.mark.parametrize("rule", alerts(ALL), ids=lambda rule: rule["alert"])
def test_every_alert_says_what_and_where(rule: Rule) -> None:
    """Each alert has a static summary, a description, and links that lead somewhere."""
    texts = rule["annotations"]
    assert set(texts) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert re.fullmatch(r"[A-Z][^{}]*\.", texts["summary"])
    assert texts["runbook_url"].endswith(f"/{rule['alert']}.md")
    assert (ROOT / "docs" / "runbooks" / f"{rule['alert']}.md").is_file()
    uid = re.search(r"/d/([\w-]+)", texts["dashboard_url"])
    assert uid is not None
    wanted = set(re.findall(r"[?&]var-(\w+)=", texts["dashboard_url"]))
    assert wanted <= boards()[uid.group(1)]


def test_runbooks_and_papers_know_the_alerts() -> None:
    """There is one runbook per alert and none else, and the alerts' paper names them all."""
    found = {path.stem for path in (ROOT / "docs" / "runbooks").glob("ModelDrift*.md")}
    paper = (ROOT / "docs" / "alerting.md").read_text()

    assert found == set(NAMES)
    assert [name for name in NAMES if name not in paper] == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "docs" / "runbooks").glob("*.md")), ids=lambda p: p.stem
)
def test_runbooks_ask_for_what_is_there(path: Path) -> None:
    """A runbook has the same parts as all others, and queries only what exists."""
    text = path.read_text()
    parts = ["Meaning", "Is it real?", "Impact", "Diagnosis", "What to do", "Escalate"]

    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == parts
    names = set(re.findall(r"[\w:]*modeldrift_[\w:]+", text))
    assert names <= set(EXPORTED) | RECORDED


intervals = st.sampled_from(["10s", "5m", "1h", "1d"])
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,5}", fullmatch=True)


@given(models=st.dictionaries(names, intervals, min_size=1, max_size=8), stranger=names)
def test_every_model_is_watched_at_its_own_pace_by_one_group(
    models: dict[str, str], stranger: str
) -> None:
    """A model has its alerts in exactly one group, that of its interval; a new one in any one."""
    found = groups(made(config(*models.items())))

    def watching(name: str) -> list[str]:
        return [
            group.removeprefix("modeldrift-models-")
            for group, held in found.items()
            if group.startswith("modeldrift-models-") and _takes(held[0]["expr"], name)
        ]

    for name, every in models.items():
        assert watching(name) == [every]
    assert len(watching(stranger)) == 1


def _takes(expr: str, model: str) -> bool:
    matcher = re.search(r'model(=~|!~)"([^"]*)"', expr)
    if matcher is None:
        return True
    pattern = matcher.group(2).replace("\\\\", "\\")
    return bool(re.fullmatch(pattern, model)) == (matcher.group(1) == "=~")


@given(seconds=st.floats(1, 30 * 86400))
def test_an_alert_outwaits_one_run_and_not_two(seconds: float) -> None:
    """Between the exposure of one bad run and that of two, with room for both to be late."""
    pace = Pace(seconds)

    assert seconds < pace.two_runs_seconds < 2 * seconds


def test_the_wait_follows_the_interval() -> None:
    """An hourly model's drift is told after an hour and six minutes, a daily one's after 26.4 h."""
    waits = {
        every: alerts(made(config(("m", every))))[0]["for"] for every in ("10s", "5m", "1h", "1d")
    }

    seconds = {every: parse_duration(wait).seconds for every, wait in waits.items()}
    assert seconds == {"10s": 15, "5m": 450, "1h": 3960, "1d": 95040}


def test_cron_models_wait_for_their_longest_gap() -> None:
    """Who knows cron says how long the gap between runs is."""
    text = made(config(("m", "5m")), interval_of=lambda _: 3600.0)

    assert "modeldrift-models-1h" in groups(text)


def test_the_exporter_is_as_important_as_its_most_important_model() -> None:
    """That the exporter is gone pages at the highest tier of its models."""
    found = alerts(made(config(("m", "5m"), tier="high")))
    down = [r for r in found if r["alert"].startswith("ModelDriftExporter")]

    critical = [r["labels"].get("tier") for r in down if r["labels"]["severity"] == "critical"]
    assert critical == ["high", "high"]
    assert all("tier" not in r["labels"] for r in down if r["labels"]["severity"] == "warning")


def test_limits_are_series_too() -> None:
    """A limit that is not in the config stands in one place, where a series is made of it."""
    text = made(None, Options(limits=Limits(widespread_share=0.5)))

    found = {r["labels"]["limit"]: float(r["expr"]) for r in groups(text)["modeldrift-limits"]}
    assert found["widespread_share"] == 0.5
    assert found["reference_age_seconds"] == 90 * 86400


def test_alerts_of_models_link_to_their_incidents_where_there_is_an_address() -> None:
    """With the exporter's address an alert that names a model leads to the model's incidents."""
    found = alerts(made(None, Options(exporter_url="https://drift.example.com/x/")))
    links = {r["alert"]: r["annotations"].get("incident_url") for r in found}
    page = "https://drift.example.com/x/incidents?model={{ $labels.model | urlquery }}"

    assert links["ModelDriftFeatureDrifted"] == links["ModelDriftIncidentOpenTooLong"] == page
    assert {n for n, link in links.items() if link is None} == {
        n for n, r in ((r["alert"], r) for r in found) if "var-model=" not in r["annotations"][URL]
    }


def test_rules_say_how_long_they_make_drift_wait() -> None:
    """Per interval one series tells the wait, and each group compares with its own."""
    text = made(config(("a", "1h"), ("b", "5m"), ("c", "5m")))
    waits = {
        r["labels"]["run_interval"]: float(r["expr"])
        for r in groups(text)["modeldrift-limits"]
        if r["labels"]["limit"] == "two_runs_seconds"
    }
    drifted = {
        r["labels"]["run_interval"]: parse_duration(r["for"]).seconds
        for r in alerts(text)
        if r["alert"] == "ModelDriftFeatureDrifted"
    }
    outdated = [r for r in alerts(text) if r["alert"] == "ModelDriftRulesOutdated"]

    assert waits == drifted == {"1h": 3960, "5m": 450}
    for rule in outdated:
        assert f'run_interval="{rule["labels"]["run_interval"]}"' in rule["expr"]
    assert len(outdated) == 2


def test_no_alert_about_an_incident_opens_one() -> None:
    """Of the alerts with a model, those about incidents have no cause, and all others have one."""
    about = {name for name in NAMES if cause_of(name) is None}

    assert about == {"ModelDriftIncidentUnacknowledged", "ModelDriftIncidentOpenTooLong"}


@pytest.mark.parametrize("name", NAMES)
def test_promotions_quieten_drift_and_nothing_else(name: str) -> None:
    """What asks whether a model is quiet are the alerts about drift, each of them."""
    drift = {
        "ModelDriftFeatureDrifted",
        "ModelDriftPredictionDrifted",
        "ModelDriftSegmentDrifted",
        "ModelDriftWidespread",
        "ModelDriftSustained",
    }
    asks = {recording.QUIET in rule["expr"] for rule in alerts(ALL) if rule["alert"] == name}

    assert asks == {name in drift}


def test_kubernetes_gets_the_same_rules() -> None:
    """The PrometheusRule holds the rule file's groups, with the labels that operators select by."""
    found = json.loads(prometheus_rule(None, json.dumps, labels={"release": "stack"}))

    assert found["kind"] == "PrometheusRule"
    assert found["metadata"] == {"name": "drift-exporter", "labels": {"release": "stack"}}
    assert found["spec"] == json.loads(made(None))


def test_the_rules_know_all_statistics_and_roles() -> None:
    """Each statistic of the config is compared with its threshold, in the family that it has."""
    assert set(recording.SCORE_FAMILIES) == set(STATISTICS)
    endings = {name: ending for name, (ending, _) in STATISTIC_FAMILIES.items()}
    assert endings == recording.SCORE_FAMILIES
    assert recording.ROLES == ROLES
    assert set(QUALITY_ALERTS) == set(RATES)
