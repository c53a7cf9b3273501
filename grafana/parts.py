"""The parts of a dashboard as Grafana's JSON: variables, links, annotations, rows, a board.

Knows the classic schema (version 39, written for Grafana 10 to 13) and what all our boards have in
common; never a query of a panel.
"""

from typing import Any

from grafana.promql import MODELS, series

Json = dict[str, Any]

SCHEMA_VERSION = 39
PLUGIN_VERSION = "10.0.0"
"""Options are written as of this version; newer ones migrate from it."""

TAG = "drift-exporter"
DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}

FLEET, MODEL, FEATURE, HEALTH, INCIDENTS_BOARD = (
    f"modeldrift-{name}" for name in ("fleet", "model", "feature", "health", "incidents")
)
"""Uids of the boards. Alerts link to them: never change one."""

TITLES = {
    FLEET: "Model drift / Fleet",
    MODEL: "Model drift / Model",
    FEATURE: "Model drift / Feature",
    HEALTH: "Model drift / Exporter health",
    INCIDENTS_BOARD: "Model drift / Incidents",
}


def datasource_variable() -> Json:
    """The variable by which a reader chooses a Prometheus."""
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 1,
        "regex": "",
        "skipUrlSync": False,
    }


BY_NAME, BY_NUMBER = 1, 3
"""Orders of a variable's values."""


def variable(
    name: str, label: str, source: str, *, many: bool = True, order: int = BY_NAME
) -> Json:
    """A variable with the values that its label has in the series of a selector."""
    query = f"label_values({source}, {name})"
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": f"Variable-{name}"},
        "current": {},
        "hide": 0,
        "includeAll": many,
        "multi": many,
        **({"allValue": ".+"} if many else {}),
        "options": [],
        "refresh": 2,
        "regex": "",
        "skipUrlSync": False,
        "sort": order,
    }


def common_variables(*, many_models: bool) -> list[Json]:
    """Data source, job, instance and model, as on every board."""
    known = "modeldrift_run_interval_seconds"
    return [
        datasource_variable(),
        variable("job", "Job", known),
        variable("instance", "Instance", f'{known}{{job=~"$job"}}'),
        variable("model", "Model", series(known), many=many_models),
    ]


def window_variable(model: str) -> Json:
    """The windows that the models have; known also where scores went stale."""
    evaluated = series("modeldrift_feature_evaluated", model)
    return variable("window", "Window", evaluated, order=BY_NUMBER)


def link(target: str, *passed: str) -> Json:
    """A link to another board, with the time and the values of some variables.

    Not all variables: a board of one model can do nothing with "All".
    """
    values = "&".join(f"${{{name}:queryparam}}" for name in ("datasource", *passed))
    return {
        "title": TITLES[target].partition(" / ")[2],
        "tooltip": f"Open {TITLES[target]}",
        "type": "link",
        "url": f"/d/{target}?{values}",
        "icon": "dashboard",
        "asDropdown": False,
        "includeVars": False,
        "keepTime": True,
        "tags": [],
        "targetBlank": False,
    }


def row_link(target: str, title: str, **fields: str) -> Json:
    """A link from a row of a table, or a point of a graph, with values of its labels."""
    shared = "&".join(f"${{{name}:queryparam}}" for name in ("datasource", "job", "instance"))
    own = "&".join(f"var-{name}={value}" for name, value in fields.items())
    return {
        "title": title,
        "url": f"/d/{target}?{shared}&{own}&${{__url_time_range}}",
        "targetBlank": False,
    }


def annotation(name: str, expression: str, colour: str, **options: Any) -> Json:
    """Events of a query, drawn into every graph of a board."""
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": colour,
        "expr": expression,
        "target": {"expr": expression, "refId": "Anno", "interval": "60s"},
        "step": "60s",
        **options,
    }


def alert_annotation(*matchers: str) -> Json:
    """When alerts of ours fired. Rules add up over instances, so there is none to match."""
    selector = ", ".join(('alertname=~"ModelDrift.*"', 'alertstate="firing"', *matchers))
    return annotation(
        "Alerts",
        f"ALERTS{{{selector}}}",
        "red",
        titleFormat="{{alertname}} ({{severity}})",
        textFormat="{{model}} {{feature}}{{output}} {{window}}",
        tagKeys="severity,model",
    )


def reference_annotation(model: str) -> Json:
    """When a reference was built: from then on, scores are against another one."""
    found = series("modeldrift_reference_created_timestamp_seconds", model)
    return annotation(
        "Reference changed",
        f"{found} * 1000",
        "purple",
        useValueForTime=True,
        titleFormat="New reference",
        textFormat="{{model}}",
        tagKeys="model",
    )


def reload_annotation() -> Json:
    """When the config was loaded."""
    found = series("modeldrift_exporter_config_last_reload_success_timestamp_seconds")
    return annotation(
        "Config loaded",
        f"{found} * 1000",
        "blue",
        useValueForTime=True,
        titleFormat="Config loaded",
        textFormat="{{instance}}",
        tagKeys="instance",
    )


MODEL_ALERTS = 'model=~"$model|"'
"""Alerts of the chosen models, and those about the exporter, which name none."""


def common_annotations(model: str = MODELS, alerts: str = MODEL_ALERTS) -> list[Json]:
    """Alerts, new references and config loads."""
    return [alert_annotation(alerts), reference_annotation(model), reload_annotation()]


def dashboard(
    uid: str,
    description: str,
    variables: list[Json],
    links: list[Json],
    annotations: list[Json],
    panels: list[Json],
) -> Json:
    """A whole dashboard; its panels get their numbers here."""
    own: Json = {
        "name": "Annotations & Alerts",
        "builtIn": 1,
        "type": "dashboard",
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "enable": True,
        "hide": True,
        "iconColor": "rgba(0, 211, 255, 1)",
    }
    return {
        "uid": uid,
        "title": TITLES[uid],
        "description": description,
        "tags": [TAG],
        "editable": False,
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "graphTooltip": 1,
        "fiscalYearStartMonth": 0,
        "liveNow": False,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "weekStart": "",
        "links": links,
        "templating": {"list": variables},
        "annotations": {"list": [own, *annotations]},
        "panels": [{**panel, "id": number} for number, panel in enumerate(panels, start=1)],
    }
