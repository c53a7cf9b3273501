"""The request of an action for an incident, without its secrets.

Knows the shapes that GitHub, GitLab, Airflow and Grafana expect; never sends, reads a secret
or a clock. What is built here is what people approve, what is recorded and what is sent.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from drift_exporter import __version__
from drift_exporter.config.action import Action as Configured
from drift_exporter.exchange.templates import TemplateTextError, check_template, filled
from drift_exporter.incident import Incident

GITHUB_VERSION = "2022-11-28"


@dataclass(frozen=True)
class Request:
    """A request without its secrets."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: str

    def record(self) -> dict[str, Any]:
        """The request as plain data; ``Request(**record)`` gives it back."""
        return {**asdict(self), "headers": dict(self.headers)}


def check_action(action: Configured) -> None:
    """Make sure that the templates of an action can be read.

    Raises
    ------
    ConfigError
        If one cannot, or uses an unknown name.
    """
    where = f"response.actions: {action.name}"
    templates = {"body": action.body, "text": action.text}
    templates |= {f"inputs.{name}": text for name, text in action.inputs.items()}
    for key, text in templates.items():
        check_template(f"{where}: {key}", text)


def url_of(action: Configured) -> str:
    """The address that an action calls; no incident changes it."""
    base = action.base_url
    match action.kind:
        case "github_repository_dispatch":
            return f"{base}/repos/{action.repository}/dispatches"
        case "github_workflow_dispatch":
            workflow = quote(action.workflow, safe="")
            return f"{base}/repos/{action.repository}/actions/workflows/{workflow}/dispatches"
        case "gitlab_pipeline":
            project = quote(action.project, safe="")
            return f"{base}/api/v4/projects/{project}/trigger/pipeline"
        case "airflow_dag_run":
            return f"{base}/api/{action.api}/dags/{quote(action.dag, safe='')}/dagRuns"
        case "grafana_annotation":
            return f"{base}/api/annotations"
        case _:
            return action.url


def build(
    action: Configured, incident: Incident, occasion: str, key: str, public_url: str
) -> Request:
    """The request of an action for an incident.

    Raises
    ------
    TemplateTextError
        If a template cannot be filled or its text is no JSON where it must be.
    """
    values = {
        "incident": incident_values(incident, public_url),
        "action": action.name,
        "occasion": str(occasion),
        "key": key,
    }
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"drift-exporter/{__version__}",
        "Idempotency-Key": key,
    }
    if action.kind.startswith("github_"):
        headers |= {
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": GITHUB_VERSION,
        }
    for name, text in action.headers.items():
        # A header that the config gives replaces ours, however it is written.
        headers = {k: v for k, v in headers.items() if k.lower() != name.lower()}
        headers[name] = text
    in_json = "json" in next((v for k, v in headers.items() if k.lower() == "content-type"), "")
    body = _body(action, incident, values, in_json=in_json)
    if in_json:
        _checked_json(f"action {action.name}: body", body)
    return Request(action.method, url_of(action), headers, body)


def incident_values(incident: Incident, public_url: str) -> dict[str, Any]:
    """What a template can use of an incident."""
    url = f"{public_url.rstrip('/')}/incidents/{incident.id}" if public_url else ""
    return {**_summary(incident), "url": url, "analysis": incident.analysis or {}}


def _summary(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "model": incident.model,
        "cause": str(incident.cause),
        "state": str(incident.state),
        "severity": str(incident.severity),
        "classification": incident.classification,
        "title": incident.title,
        "opened": _time(incident.opened),
        "resolved": _time(incident.resolved),
        "flaps": incident.flaps,
        "successor": dict(incident.successor),
    }


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _body(
    action: Configured, incident: Incident, values: Mapping[str, Any], *, in_json: bool
) -> str:
    where = f"action {action.name}"
    if action.kind == "http" and action.body:
        return filled(f"{where}: body", action.body, values, in_json=in_json)
    inputs = {
        name: filled(f"{where}: inputs.{name}", text, values)
        for name, text in action.inputs.items()
    }
    document = _BODIES[action.kind](action, incident, values, inputs)
    return json.dumps(document, ensure_ascii=True, allow_nan=False, default=str)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    # Without the evidence, which may be larger than the receivers take.
    told = {k: v for k, v in values["incident"].items() if k != "analysis"}
    return {"incident": told, "key": values["key"]}


def _http(_a: Configured, _i: Incident, values: Mapping[str, Any], _inputs: object) -> object:
    return {**_given(values), "action": values["action"], "occasion": values["occasion"]}


def _repository_dispatch(
    action: Configured, _i: Incident, values: Mapping[str, Any], inputs: Mapping[str, str]
) -> object:
    return {"event_type": action.event_type, "client_payload": {**_given(values), **inputs}}


def _workflow_dispatch(
    action: Configured, _i: Incident, _v: object, inputs: Mapping[str, str]
) -> object:
    # GitHub refuses inputs that the workflow does not declare: only what the config names.
    return {"ref": action.ref, "inputs": dict(inputs)}


def _pipeline(action: Configured, _i: Incident, _v: object, inputs: Mapping[str, str]) -> object:
    # Projects may forbid variables: none but what the config names. The token comes at sending.
    return {"ref": action.ref, **({"variables": dict(inputs)} if inputs else {})}


def _dag_run(
    action: Configured, _i: Incident, values: Mapping[str, Any], inputs: Mapping[str, str]
) -> object:
    run = {"dag_run_id": values["key"], "conf": {**_given(values), **inputs}}
    # Airflow 3 wants the key and takes null; Airflow 2 refuses null.
    return {**run, "logical_date": None} if action.api == "v2" else run


def _annotation(
    action: Configured, incident: Incident, values: Mapping[str, Any], _inputs: object
) -> object:
    told = values["incident"]
    link = f"\n{told['url']}" if told["url"] else ""
    text = f"{incident.title} ({values['occasion']}){link}"
    if action.text:
        text = filled(f"action {action.name}: text", action.text, values)
    document: dict[str, Any] = {
        "time": int(incident.opened * 1000),
        "tags": list(dict.fromkeys((*action.tags, incident.model, values["occasion"]))),
        "text": text,
    }
    if incident.resolved is not None:
        document["timeEnd"] = int(incident.resolved * 1000)
    if action.dashboard:
        document["dashboardUID"] = action.dashboard
    if action.panel is not None:
        document["panelId"] = action.panel
    return document


_BODIES: dict[str, Callable[[Configured, Incident, Any, Any], object]] = {
    "http": _http,
    "github_repository_dispatch": _repository_dispatch,
    "github_workflow_dispatch": _workflow_dispatch,
    "gitlab_pipeline": _pipeline,
    "airflow_dag_run": _dag_run,
    "grafana_annotation": _annotation,
}


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _checked_json(where: str, text: str) -> None:
    try:
        json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise TemplateTextError(
            f"{where}: the template gives no JSON ({error}); put values in with "
            "{{ x | tojson }}, without quotes around them"
        ) from error
