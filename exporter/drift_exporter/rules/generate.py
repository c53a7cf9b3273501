"""Rule files: groups of recorded series and of alerts, as Prometheus and Kubernetes read them.

Knows how models of a config share groups by their interval; writes no file.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import get_args

from drift_exporter.config import CANARY, Config, ModelConfig, duration_of
from drift_exporter.rules.alerts import Alert, Pace, exporter_alerts, model_alerts
from drift_exporter.rules.annotations import TEXTS
from drift_exporter.rules.recording import Limits, Rule, limit_rules, score_rules
from drift_exporter.rules.response_alerts import calibration_alerts, incident_alerts

DumpYaml = Callable[[object], str]
IntervalOf = Callable[[ModelConfig], float]

TIERS: tuple[str, ...] = get_args(ModelConfig.model_fields["tier"].annotation)
"""Tiers of models, the lowest first."""

DEFAULT_INTERVAL_SECONDS: float = ModelConfig.model_fields["interval"].default.seconds


@dataclass(frozen=True)
class Options:
    """What the rules need to know of their surroundings."""

    dashboards_url: str = "https://grafana.example.com"
    """Grafana's root; alerts link to its dashboards."""

    runbooks_url: str = "https://example.com/drift-exporter/runbooks"
    """Folder of ``<Alert>.md``."""

    exporter_job: str = "drift-exporter"
    """Job of the exporter's scrape config."""

    exporter_url: str = ""
    """The exporter's root as people reach it; alerts link to its incidents. Empty: no link."""

    watchdog: bool = False
    """Whether an alert that always fires is among them."""

    limits: Limits = field(default_factory=Limits)


def _own_interval(model: ModelConfig) -> float:
    return model.interval.seconds


def generate(
    config: Config | None,
    dump_yaml: DumpYaml,
    options: Options | None = None,
    *,
    interval_of: IntervalOf = _own_interval,
) -> str:
    """The rule file of a config, or without one that of any models of the default interval.

    ``interval_of`` is the longest gap between a model's runs in seconds; to know it of a cron
    expression is the scheduler's.
    """
    return dump_yaml({"groups": _groups(config, options or Options(), interval_of)})


def prometheus_rule(
    config: Config | None,
    dump_yaml: DumpYaml,
    options: Options | None = None,
    *,
    name: str = "drift-exporter",
    labels: Mapping[str, str] | None = None,
    interval_of: IntervalOf = _own_interval,
) -> str:
    """The same rules as a Kubernetes object for the Prometheus operator.

    ``name`` and ``labels`` are the object's; an operator may select objects by a label.
    """
    return dump_yaml(
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": name, **({"labels": dict(labels)} if labels else {})},
            "spec": {"groups": _groups(config, options or Options(), interval_of)},
        }
    )


def _groups(
    config: Config | None, options: Options, interval_of: IntervalOf
) -> list[dict[str, object]]:
    paces = _paces(config, interval_of)
    several = len(paces) > 1
    waits = {pace.run_interval: pace.two_runs_seconds for pace in paces}
    groups: list[dict[str, object]] = [
        {"name": "modeldrift-limits", "rules": limit_rules(options.limits, waits)},
        {"name": "modeldrift-scores", "rules": score_rules()},
    ]
    for pace in paces:
        every = pace.run_interval
        extra = {"run_interval": every} if several else {}
        rules = _alerting([*model_alerts(pace), *calibration_alerts(pace)], options, extra)
        groups.append({"name": f"modeldrift-models-{every}", "rules": rules})
    tier = None if config is None else max((m.tier for m in config.watched), key=TIERS.index)
    answers = _alerting(incident_alerts(tier), options, {})
    groups.append({"name": "modeldrift-incidents", "rules": answers})
    own = exporter_alerts(options.exporter_job, paces[0], tier, watchdog=options.watchdog)
    groups.append({"name": "modeldrift-exporter", "rules": _alerting(own, options, {})})
    return groups


def _paces(config: Config | None, interval_of: IntervalOf) -> list[Pace]:
    """One pace per interval, the shortest first.

    The interval that most models have serves all models that are not named elsewhere, so that a
    model that is newer than the rules is watched nevertheless.
    """
    if config is None:
        return [Pace(DEFAULT_INTERVAL_SECONDS)]
    names = defaultdict(list)
    for model in config.watched:
        names[interval_of(model)].append(model.name)
    # A new model keeps the pace of real ones, not the canary's.
    real = {interval: len(set(found) - {CANARY}) for interval, found in names.items()}
    usual = max(names, key=lambda interval: (real[interval], -interval))
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


def _alerting(alerts: Iterable[Alert], options: Options, extra: dict[str, str]) -> list[Rule]:
    return [_alerting_rule(alert, options, extra) for alert in alerts]


def _alerting_rule(alert: Alert, options: Options, extra: dict[str, str]) -> Rule:
    text = TEXTS[alert.name]
    rule: Rule = {"alert": alert.name, "expr": alert.expr}
    if alert.wait_seconds:
        rule["for"] = str(duration_of(alert.wait_seconds))
    if alert.keep_seconds:
        rule["keep_firing_for"] = str(duration_of(alert.keep_seconds))
    labels = {
        **({"severity": alert.severity} if alert.severity else {}),
        **({"escalated": "true"} if alert.escalated else {}),
        **({"tier": alert.tier} if alert.tier else {}),
        **extra,
    }
    if labels:
        rule["labels"] = labels
    values = "&".join(f"var-{v}={{{{ $labels.{v} | urlquery }}}}" for v in text.variables)
    board = f"{options.dashboards_url.rstrip('/')}/d/{text.board}"
    annotations = {
        "summary": text.summary,
        "description": _broken(text.description),
        "runbook_url": f"{options.runbooks_url.rstrip('/')}/{alert.name}.md",
        "dashboard_url": f"{board}?{values}" if values else board,
    }
    if options.exporter_url and "model" in text.variables:
        page = f"{options.exporter_url.rstrip('/')}/incidents"
        annotations["incident_url"] = f"{page}?model={{{{ $labels.model | urlquery }}}}"
    rule["annotations"] = annotations
    return rule


def _broken(template: str) -> str:
    """The template with its queries on lines of their own; the text that it makes is the same."""
    return template.replace("{{ with query", "{{\n  with query").replace("{{ range", "{{\n  range")
