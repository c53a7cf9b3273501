"""Rule files: groups of recorded series and of alerts, as Prometheus and Kubernetes read them.

Knows how models of a config share groups by their interval; writes no file.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable

from drift_exporter.config import Config, ModelConfig, duration_of
from drift_exporter.rules.alerts import Alert, Pace, exporter_alerts, model_alerts
from drift_exporter.rules.annotations import TEXTS
from drift_exporter.rules.recording import Limits, Rule, limit_rules, score_rules

DumpYaml = Callable[[object], str]
IntervalOf = Callable[[ModelConfig], float]

DASHBOARDS_URL = "https://grafana.example.com"
RUNBOOKS_URL = "https://example.com/drift-exporter/runbooks"
EXPORTER_JOB = "drift-exporter"

DEFAULT_INTERVAL_SECONDS: float = ModelConfig.model_fields["interval"].default.seconds


def generate(
    config: Config | None,
    dump_yaml: DumpYaml,
    *,
    dashboards_url: str = DASHBOARDS_URL,
    runbooks_url: str = RUNBOOKS_URL,
    exporter_job: str = EXPORTER_JOB,
    watchdog: bool = False,
    limits: Limits | None = None,
    interval_of: IntervalOf | None = None,
) -> str:
    """The rule file of a config, or without one that of any models of the default interval.

    Parameters
    ----------
    config
        Its models' intervals decide how patient their alerts are.
    dump_yaml
        Makes YAML of plain data.
    dashboards_url, runbooks_url
        Where alerts link to: Grafana's root, and the folder of ``<Alert>.md``.
    exporter_job
        Job of the exporter's scrape config.
    watchdog
        Whether an alert that always fires is among them.
    limits
        Limits that are not in the config.
    interval_of
        Longest gap between runs of a model in seconds, for those with a cron expression.
    """
    groups = _groups(
        config,
        links=(dashboards_url.rstrip("/"), runbooks_url.rstrip("/")),
        exporter_job=exporter_job,
        watchdog=watchdog,
        limits=limits or Limits(),
        interval_of=interval_of,
    )
    return dump_yaml({"groups": groups})


def prometheus_rule(
    config: Config | None,
    dump_yaml: DumpYaml,
    *,
    name: str = "drift-exporter",
    labels: dict[str, str] | None = None,
    dashboards_url: str = DASHBOARDS_URL,
    runbooks_url: str = RUNBOOKS_URL,
    exporter_job: str = EXPORTER_JOB,
    watchdog: bool = False,
    limits: Limits | None = None,
    interval_of: IntervalOf | None = None,
) -> str:
    """The same rules as an object of Kubernetes, for the Prometheus operator.

    ``name`` and ``labels`` are the object's; the other parameters are those of ``generate``.
    """
    groups = _groups(
        config,
        links=(dashboards_url.rstrip("/"), runbooks_url.rstrip("/")),
        exporter_job=exporter_job,
        watchdog=watchdog,
        limits=limits or Limits(),
        interval_of=interval_of,
    )
    return dump_yaml(
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": name, **({"labels": labels} if labels else {})},
            "spec": {"groups": groups},
        }
    )


def _groups(
    config: Config | None,
    *,
    links: tuple[str, str],
    exporter_job: str,
    watchdog: bool,
    limits: Limits,
    interval_of: IntervalOf | None,
) -> list[dict[str, object]]:
    paces = _paces(config, interval_of or (lambda model: model.interval.seconds))
    several = len(paces) > 1
    groups: list[dict[str, object]] = [
        {"name": "modeldrift-limits", "rules": limit_rules(limits)},
        {"name": "modeldrift-scores", "rules": score_rules()},
    ]
    for pace in paces:
        every = str(duration_of(pace.interval_seconds))
        extra = {"run_interval": every} if several else {}
        rules = _alerting(model_alerts(pace), links, extra)
        groups.append({"name": f"modeldrift-models-{every}", "rules": rules})
    own = exporter_alerts(exporter_job, paces[0], watchdog=watchdog)
    groups.append({"name": "modeldrift-exporter", "rules": _alerting(own, links, {})})
    return groups


def _paces(config: Config | None, interval_of: IntervalOf) -> list[Pace]:
    """One pace per interval, the shortest first.

    The interval that most models have serves all models that are not named elsewhere, so that a
    model that is newer than the rules is watched nevertheless.
    """
    if config is None:
        return [Pace(DEFAULT_INTERVAL_SECONDS)]
    names = defaultdict(list)
    for model in config.models:
        names[interval_of(model)].append(model.name)
    usual = max(names, key=lambda interval: (len(names[interval]), -interval))
    rare = [name for interval, found in names.items() if interval != usual for name in found]
    return [
        Pace(interval, _matcher("!~", rare) if interval == usual else _matcher("=~", found))
        for interval, found in sorted(names.items())
    ]


def _matcher(operator: str, models: list[str]) -> str:
    if not models:
        return ""
    escaped = "|".join(re.escape(name).replace("\\", "\\\\") for name in sorted(models))
    return f'model{operator}"{escaped}"'


def _alerting(
    alerts: Iterable[Alert], links: tuple[str, str], extra: dict[str, str]
) -> list[Rule]:
    return [_alerting_rule(alert, *links, extra) for alert in alerts]


def _alerting_rule(
    alert: Alert, dashboards_url: str, runbooks_url: str, extra: dict[str, str]
) -> Rule:
    text = TEXTS[alert.name]
    rule: Rule = {"alert": alert.name, "expr": alert.expr}
    if alert.wait_seconds:
        rule["for"] = str(duration_of(alert.wait_seconds))
    if alert.keep_seconds:
        rule["keep_firing_for"] = str(duration_of(alert.keep_seconds))
    labels = {
        **({"severity": alert.severity} if alert.severity else {}),
        **({"escalated": "true"} if alert.escalated else {}),
        **extra,
    }
    if labels:
        rule["labels"] = labels
    values = "&".join(f"var-{v}={{{{ $labels.{v} | urlquery }}}}" for v in text.variables)
    rule["annotations"] = {
        "summary": text.summary,
        "description": _broken(text.description),
        "runbook_url": f"{runbooks_url}/{alert.name}.md",
        "dashboard_url": f"{dashboards_url}/d/{text.board}" + (f"?{values}" if values else ""),
    }
    return rule


def _broken(template: str) -> str:
    """The template with its queries on lines of their own; the text that it makes is the same."""
    return template.replace("{{ with query", "{{\n  with query").replace(
        "{{ range", "{{\n  range"
    )
