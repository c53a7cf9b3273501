"""The example config of Alertmanager: who is told, what a message says, what a trial changes."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from drift_exporter.config_file import dump_yaml, load_yaml
from drift_exporter.demo.receiver import receiving
from drift_exporter.rules import Trial, example_files, write_trial
from yaml_text import parsed

EXAMPLE = Path(__file__).parents[1] / "alert_rules" / "alertmanager"
CONFIG = EXAMPLE / "alertmanager.yml"

FEATURE, WIDE = "ModelDriftFeatureDrifted", "ModelDriftWidespread"
SUMMARIES = {FEATURE: "A feature has drifted from its reference.", "ModelDriftNoData": "No rows."}
INCIDENTS = "drift-exporter,"
STALE, DOWN = "ModelDriftMonitorStale", "ModelDriftExporterDown"


def amtool(*arguments: object) -> str:
    """What amtool says; its complaint is the message of the failure."""
    command = ["amtool", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_config_is_accepted() -> None:
    """Alertmanager accepts the config as it is shipped."""
    assert "SUCCESS" in amtool("check-config", CONFIG)


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        # amtool knows no time intervals: in and out of office hours are both listed.
        pytest.param(
            {"alertname": FEATURE, "severity": "warning", "tier": "low"},
            "slack-tickets,slack-overnight",
            id="a warning is a ticket, in office hours or overnight",
        ),
        pytest.param(
            {"alertname": FEATURE, "severity": "warning", "tier": "medium"},
            "slack-tickets,slack-overnight",
            id="of tier medium too",
        ),
        pytest.param(
            {"alertname": FEATURE, "severity": "warning", "tier": "high"},
            "slack-tickets",
            id="of tier high at any hour",
        ),
        pytest.param(
            {"alertname": FEATURE, "severity": "critical", "tier": "medium"},
            "slack-critical",
            id="a single critical feature of tier medium pages nobody",
        ),
        pytest.param(
            {"alertname": "ModelDriftSegmentDrifted", "severity": "critical", "tier": "medium"},
            "slack-critical",
            id="nor does a segment",
        ),
        pytest.param(
            {"alertname": FEATURE, "severity": "critical", "tier": "high"},
            "pagerduty,slack-critical",
            id="of tier high it pages",
        ),
        pytest.param(
            {"alertname": WIDE, "severity": "critical", "tier": "medium"},
            "pagerduty-office-hours,slack-critical",
            id="a widespread drift of tier medium pages in support hours",
        ),
        pytest.param(
            {"alertname": WIDE, "severity": "critical", "tier": "high"},
            "pagerduty,slack-critical",
            id="of tier high at once",
        ),
        pytest.param(
            {"alertname": WIDE, "severity": "critical"},
            "pagerduty-office-hours,slack-critical",
            id="without a known tier as of tier medium",
        ),
        pytest.param(
            {
                "alertname": "ModelDriftSustained",
                "severity": "critical",
                "tier": "high",
                "escalated": "true",
            },
            "pagerduty-second-line,pagerduty,slack-critical",
            id="an escalation of tier high reaches the second line",
        ),
        pytest.param(
            {
                "alertname": "ModelDriftSustained",
                "severity": "critical",
                "tier": "medium",
                "escalated": "true",
            },
            "pagerduty-office-hours,slack-critical",
            id="of tier medium it pages in support hours",
        ),
        pytest.param(
            {
                "alertname": "ModelDriftSustained",
                "severity": "warning",
                "tier": "low",
                "escalated": "true",
            },
            "slack-tickets,slack-overnight",
            id="of tier low it is a ticket",
        ),
        pytest.param(
            {"alertname": DOWN, "severity": "critical", "tier": "high"},
            "pagerduty,slack-critical",
            id="blind to a model of tier high pages",
        ),
        pytest.param(
            {"alertname": STALE, "severity": "critical", "tier": "medium"},
            "pagerduty-office-hours,slack-critical",
            id="blind to one of tier medium pages in support hours",
        ),
        pytest.param(
            {
                "alertname": "ModelDriftIncidentUnacknowledged",
                "severity": "critical",
                "tier": "high",
                "escalated": "true",
            },
            "pagerduty-second-line,pagerduty,slack-critical",
            id="a critical incident of tier high that nobody took reaches the second line",
        ),
        pytest.param(
            {
                "alertname": "ModelDriftIncidentUnacknowledged",
                "severity": "warning",
                "tier": "high",
                "escalated": "true",
            },
            "slack-tickets",
            id="a warning of tier high that nobody took is a ticket at any hour",
        ),
        pytest.param(
            {"alertname": "ModelDriftAuditBroken", "severity": "critical", "tier": "high"},
            "pagerduty,slack-critical",
            id="an audit log that was changed pages with the highest tier",
        ),
        pytest.param(
            {"alertname": "ModelDriftReferenceOld", "severity": "info"},
            "nobody",
            id="info is for dashboards",
        ),
        pytest.param(
            {"alertname": "ModelDriftWatchdog", "severity": "none"},
            "dead-mans-switch",
            id="the watchdog has a way of its own",
        ),
        pytest.param({"alertname": "Other"}, "slack-tickets", id="what is unknown is a ticket"),
    ],
)
def test_who_is_told(labels: dict[str, str], receivers: str) -> None:
    """Each kind of alert reaches its receivers and no others, in this order.

    The exporter, which keeps incidents, is told first of all that is its own but the watchdog.
    """
    kept = labels["alertname"].startswith("ModelDrift") and "Watchdog" not in labels["alertname"]
    pairs = [f"{name}={value}" for name, value in labels.items()]

    amtool(
        "config",
        "routes",
        "test",
        "--config.file",
        CONFIG,
        f"--verify.receivers={INCIDENTS if kept else ''}{receivers}",
        *pairs,
    )


def alert(feature: str = "", status: str = "firing", **labels: str) -> dict[str, Any]:
    """An alert as templates get it."""
    name = labels.get("alertname", FEATURE)
    found = {"alertname": FEATURE, "job": "drift-exporter", "model": "credit", **labels}
    column = {"feature": feature} if feature else {}
    return {
        "status": status,
        "labels": {"severity": "warning", "owner": "ann", "tier": "medium", **found, **column},
        "annotations": {
            "summary": SUMMARIES[name],
            "description": f"{feature}: psi 0.3 in 1h (threshold 0.1, 3012 rows).",
            "runbook_url": f"https://example.com/runbooks/{name}.md",
            "dashboard_url": "https://grafana.example.com/d/modeldrift-feature"
            f"?var-feature={quote(feature)}",
        },
        "startsAt": "2026-03-02T10:00:00Z",
        "endsAt": "2026-03-02T11:30:00Z",
        "generatorURL": "",
        "fingerprint": "",
    }


def message(*alerts: dict[str, Any]) -> dict[str, Any]:
    """A group of alerts as templates get it."""

    def common(key: str) -> dict[str, str]:
        first, *others = [one[key] for one in alerts]
        return {k: v for k, v in first.items() if all(o.get(k) == v for o in others)}

    return {
        "receiver": "slack-tickets",
        "status": "firing" if any(a["status"] == "firing" for a in alerts) else "resolved",
        "alerts": list(alerts),
        "groupLabels": {"job": "drift-exporter", "model": alerts[0]["labels"]["model"]},
        "commonLabels": common("labels"),
        "commonAnnotations": common("annotations"),
        "externalURL": "https://alerts.example.com",
    }


def rendered(tmp_path: Path, template: str, data: dict[str, Any]) -> str:
    """What a template makes of a group."""
    fixture = tmp_path / "data.json"
    fixture.write_text(json.dumps(data))
    text = f'{{{{ template "{template}" . }}}}'
    arguments = (f"--template.data={fixture}", f"--template.text={text}")
    return amtool("template", "render", f"--template.glob={EXAMPLE}/*.tmpl", *arguments).strip()


ONE = message(alert("income"))
MANY = message(*(alert(f"f{i:03}") for i in range(200)))
MIXED = message(alert("income"), alert(alertname="ModelDriftNoData"))
OVER = message(alert("income", "resolved"), alert("age", "resolved"))
PARTLY = message(alert("income"), alert("age", "resolved"))
LINK = "https://drift.example.com/incidents?model=credit"


def linked(found: dict[str, Any]) -> dict[str, Any]:
    """The alert with the address of its model's incidents."""
    return {**found, "annotations": {**found["annotations"], "incident_url": LINK}}


LINKED = message(linked(alert("income")), linked(alert("age")))
HOSTILE = message(alert("<!channel> & co"))


@pytest.mark.parametrize(
    ("template", "data", "expected"),
    [
        pytest.param(
            "modeldrift.title",
            ONE,
            "[WARNING] credit: A feature has drifted from its reference.",
            id="title of one",
        ),
        pytest.param(
            "modeldrift.title",
            MANY,
            "[WARNING] credit: 200 features have drifted from their reference.",
            id="title of many",
        ),
        pytest.param("modeldrift.title", MIXED, "[WARNING] credit: 2 alerts", id="title of a mix"),
        pytest.param(
            "modeldrift.title",
            message(alert("income", severity="critical", escalated="true")),
            "[ESCALATED] credit: A feature has drifted from its reference.",
            id="title of an escalation",
        ),
        pytest.param(
            "modeldrift.title",
            OVER,
            "[RESOLVED] credit: 2 features have drifted from their reference.",
            id="title of a recovery",
        ),
        pytest.param(
            "modeldrift.dashboard",
            ONE,
            "https://grafana.example.com/d/modeldrift-feature?var-feature=income",
            id="dashboard",
        ),
        pytest.param(
            "modeldrift.runbook",
            MANY,
            f"https://example.com/runbooks/{FEATURE}.md",
            id="runbook",
        ),
        pytest.param(
            "modeldrift.silence",
            ONE,
            "https://alerts.example.com/#/silences/new?filter="
            "%7Bjob%3D%22drift-exporter%22%2Cmodel%3D%22credit%22%7D",
            id="silence of the group",
        ),
        pytest.param("modeldrift.slack.color", ONE, "warning", id="color of a warning"),
        pytest.param("modeldrift.slack.color", OVER, "good", id="color of a recovery"),
        pytest.param("modeldrift.slack.footer", ONE, "Owner: ann Tier: medium", id="footer"),
        pytest.param(
            "modeldrift.slack.text",
            ONE,
            "• income: psi 0.3 in 1h (threshold 0.1, 3012 rows). "
            "<https://grafana.example.com/d/modeldrift-feature?var-feature=income|Graph>",
            id="a line has what moved, by how much, against what",
        ),
        pytest.param(
            "modeldrift.slack.text",
            OVER,
            "• income: A feature has drifted from its reference. "
            "From 10:00 to 11:30 UTC on 2 March.\n"
            "• age: A feature has drifted from its reference. From 10:00 to 11:30 UTC on 2 March.",
            id="a recovery has from when to when",
        ),
        pytest.param(
            "modeldrift.slack.text",
            message(linked(alert("income", "resolved"))),
            "• income: A feature has drifted from its reference. "
            f"From 10:00 to 11:30 UTC on 2 March.\n<{LINK}|Incidents of this model>",
            id="where incidents are kept the message leads there",
        ),
        pytest.param("modeldrift.incident", LINKED, LINK, id="incidents of the model"),
        pytest.param("modeldrift.incident", ONE, "", id="no incidents, no link"),
        pytest.param("modeldrift.subject", ONE, "credit", id="subject"),
        pytest.param("modeldrift.pagerduty.severity", ONE, "warning", id="severity"),
        pytest.param(
            "modeldrift.pagerduty.severity",
            message(alert(severity="strange")),
            "error",
            id="a severity that PagerDuty does not know",
        ),
        pytest.param("modeldrift.pagerduty.class", ONE, FEATURE, id="class"),
        pytest.param("modeldrift.pagerduty.class", MIXED, "ModelDrift", id="class of a mix"),
        pytest.param("modeldrift.pagerduty.component", ONE, "income", id="component"),
        pytest.param("modeldrift.pagerduty.component", MANY, "model", id="component of many"),
        pytest.param(
            "modeldrift.pagerduty.firing",
            ONE,
            f"{FEATURE}: income: psi 0.3 in 1h (threshold 0.1, 3012 rows).",
            id="details",
        ),
        pytest.param(
            "modeldrift.pagerduty.resolved", PARTLY, f"{FEATURE} age", id="details of a recovery"
        ),
    ],
)
def test_what_a_message_says(
    tmp_path: Path, template: str, data: dict[str, Any], expected: str
) -> None:
    """A template makes of a group what a person is meant to read."""
    assert rendered(tmp_path, template, data) == expected


@pytest.mark.parametrize("template", ["modeldrift.slack.text", "modeldrift.pagerduty.firing"])
def test_long_lists_are_cut(tmp_path: Path, template: str) -> None:
    """Two hundred features are ten lines and how many more."""
    lines = rendered(tmp_path, template, MANY).splitlines()

    assert len(lines) == 11
    assert lines[-1] == "and 190 more"


def test_a_name_cannot_be_markup(tmp_path: Path) -> None:
    """A column's name that looks like Slack's markup is shown as it is."""
    text = rendered(tmp_path, "modeldrift.slack.text", HOSTILE)

    assert "&lt;!channel&gt; &amp; co: psi" in text
    assert "<!channel>" not in text


def test_what_recovered_is_told_apart(tmp_path: Path) -> None:
    """A message with both lists what still lasts, then what is over."""
    lines = rendered(tmp_path, "modeldrift.slack.text", PARTLY).splitlines()

    assert lines[0].startswith("• income: psi")
    assert lines[1] == "Recovered:"
    assert lines[2].startswith("• age: ")


def test_every_template_is_used_and_rendered() -> None:
    """No template is left over, and none is missing a test."""
    texts = "\n".join(example_files().values())
    source = Path(__file__).read_text()
    defined = {part.split('"')[1] for part in texts.split("{{ define ")[1:]}

    for name in defined:
        assert texts.count(f'"{name}"') > 1, f"{name} is not used"
    shown = {name for name in defined if f'"{name}"' in source}
    parts = {"modeldrift.headline", "modeldrift.slack.line", "modeldrift.slack.recovered"}
    assert shown | parts == defined


def test_secrets_come_from_files() -> None:
    """No address or key of a service stands in the config."""
    text = CONFIG.read_text()

    assert "hooks.slack.com" not in text
    for key in ("api_url:", "routing_key:", "service_key:", "password:"):
        assert key not in text


def test_the_exporter_is_told_of_every_alert_of_a_group() -> None:
    """No number of alerts is cut off, ends are told, and what was missed is told again soon."""
    config = parsed(CONFIG.read_text())
    (receiver,) = [r for r in config["receivers"] if r["name"] == "drift-exporter"]
    (webhook,) = receiver["webhook_configs"]
    first = config["route"]["routes"][0]

    assert webhook["url"].endswith("/alerts")
    assert (webhook["max_alerts"], webhook["send_resolved"]) == (0, True)
    assert (first["receiver"], first["continue"]) == ("drift-exporter", True)
    assert first["repeat_interval"] == "1h"


def test_the_token_of_the_webhook_may_come_from_a_file(tmp_path: Path) -> None:
    """What is commented out in the example is accepted where it is wanted."""
    text = CONFIG.read_text()
    commented = re.compile(r"^        # (http_config:|  authorization:|    credentials_file:.*)$")
    wanted = [commented.sub(r"        \1", line) for line in text.splitlines()]
    (tmp_path / "alertmanager.yml").write_text("\n".join(wanted))

    amtool("check-config", tmp_path / "alertmanager.yml")
    (receiver,) = [
        r for r in parsed("\n".join(wanted))["receivers"] if r["name"] == "drift-exporter"
    ]
    assert receiver["webhook_configs"][0]["http_config"] == {
        "authorization": {"credentials_file": "/etc/alertmanager/secrets/drift-exporter-token"}
    }


def test_a_trial_without_incidents_has_no_way_to_them(tmp_path: Path) -> None:
    """Where no exporter takes alerts, none is sent to an address that is not there."""
    path = write_trial(tmp_path, Trial("http://s", "http://p"), load_yaml, dump_yaml)

    amtool("check-config", path)
    assert "drift-exporter:10033" not in path.read_text()
    assert "drift-exporter" not in {
        route["receiver"] for route in parsed(path.read_text())["route"]["routes"]
    }


def test_a_trial_is_accepted_and_reaches_nobody_else(tmp_path: Path) -> None:
    """The adapted config is valid, its secrets are the receiver's, its hours the given ones."""
    trial = Trial(
        "http://127.0.0.1:1/slack",
        "http://127.0.0.1:1/v2/enqueue",
        webhook_url="http://127.0.0.1:2/",
    )

    path = write_trial(tmp_path / "am", trial, load_yaml, dump_yaml)

    amtool("check-config", path)
    config = parsed(path.read_text())
    assert Path(config["global"]["slack_api_url_file"]).read_text() == trial.slack_url
    assert config["global"]["pagerduty_url"] == trial.pagerduty_url
    (kept,) = [r for r in config["receivers"] if r["name"] == "drift-exporter"]
    assert kept["webhook_configs"][0]["url"] == trial.webhook_url
    assert config["route"]["group_by"] == ["namespace", "job", "model"]
    assert {route.get("group_wait", "30s") for route in config["route"]["routes"]} == {"30s"}
    assert sorted(p.name for p in (tmp_path / "am" / "secrets").iterdir()) == [
        "pagerduty-key",
        "pagerduty-office-hours-key",
        "pagerduty-second-line-key",
        "slack-url",
    ]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        pytest.param("/slack", {"attachments": [{"title": "t"}]}, 200, id="a message"),
        pytest.param("/slack", {}, 400, id="a message without text"),
        pytest.param("/slack", [], 400, id="no message"),
        pytest.param(
            "/v2/enqueue",
            {
                "routing_key": "k",
                "event_action": "trigger",
                "payload": {"summary": "s", "source": "s", "severity": "critical"},
            },
            202,
            id="an event",
        ),
        pytest.param("/v2/enqueue", {"event_action": "trigger"}, 400, id="an event without key"),
        pytest.param("/elsewhere", {}, 404, id="another address"),
    ],
)
def test_the_receiver_refuses_what_the_services_would(path: str, body: object, status: int) -> None:
    """Slack's and PagerDuty's part is played with their answers."""
    import requests

    with receiving() as receiver:
        answer = requests.post(receiver.url + path, json=body, timeout=10)

    assert answer.status_code == status


def test_the_receiver_tells_a_message_readably() -> None:
    """A person reads title, lines and buttons, without markup."""
    import requests

    told: list[str] = []
    attachment = {
        "title": "[WARNING] credit: A feature has drifted.",
        "text": "• *critical* income &amp; co: psi 0.3. <https://grafana.example.com|Graph>",
        "actions": [{"text": "Runbook", "url": "https://example.com/r.md"}],
        "footer": "Owner: ann",
    }
    with receiving(told.append) as receiver:
        body = {"channel": "#model-drift", "attachments": [attachment]}
        requests.post(receiver.slack_url, json=body, timeout=10)

    assert told == [
        "Slack #model-drift\n"
        "  [WARNING] credit: A feature has drifted.\n"
        "    • critical income & co: psi 0.3.\n"
        "    [Runbook] https://example.com/r.md\n"
        "    Owner: ann"
    ]
