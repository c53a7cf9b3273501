"""The papers of the config file, written from its models: ``docs/config.md`` and a JSON Schema.

``python -m drift_exporter.papers.config_docs [folder]`` writes both; knows the models and their
docstrings, and no config of anybody.
"""

import json
import sys
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from drift_exporter.config import STATISTICS, Config, Duration, Model, StatisticName

MINIMAL = """\
models:
  - name: credit
    reference: data/training.parquet
    current: data/inference/*.parquet
"""
"""The shortest config."""

FULL = """\
# yaml-language-server: $schema=drift.schema.json
data_dir: /var/lib/drift-exporter
max_series: 20000

store:
  url: postgresql://drift:${STORE_PASSWORD}@db.internal/drift
  retention: 60d
  max_megabytes: 4096

models:
  - name: credit
    version: "2.3"                # in quotes: 2.30 would be a number
    owner: risk-team
    reference:
      url: s3://features/credit/training/*.parquet
      format: parquet
      timestamp: scored_at
      start: 2026-01-01
      end: 2026-04-01T00:00Z
    current:
      url: postgresql://reader@db.internal:5432/scores
      password_file: secrets/scores-password
      table: public.credit_scores
      timestamp: scored_at
      lateness: 15m
    profile: profiles/credit.json
    interval: 5m
    timeout: 2m
    slice: 5m
    windows: [1h, 24h, 7d]
    features:
      include: ["*"]
      exclude: [customer_id, "debug_*"]
      overrides:
        income:
          type: numeric
          binning: [10000, 20000, 40000, 80000]
          importance: 2
          thresholds:
            psi: {warning: 0.2, critical: 0.4}
            wasserstein_distance: {warning: 0.5}
        age:
          bins: 8
          binning: uniform
          expose_bins: true           # for Grafana's picture of the distribution
        country:
          type: categorical
          categories: 50
          thresholds:
            unseen_ratio: null    # new countries are no fault
    prediction: score
    label: defaulted
    segments: [region, age_band]
    max_segments: 10
    sample: 0.5
    min_rows: 500
    stale_after: 30m
    backfill: 7d
    thresholds:
      psi: {warning: 0.1, critical: 0.25}
      js_distance: {warning: 0.1}

  - name: churn
    reference:
      url: data/churn/training.csv
      kind: seasonal                  # compared with the same hours of earlier weeks
      span: 28d
      gap: 1d
    current:
      url: data/churn/log/*.jsonl
      format: jsonl
    cron: "15 2 * * *"
    stale_after: 36h
    windows: [24h]
    thresholds: calibrated            # from the model's own past, see `calibration`
    calibration:
      budget: 1                       # false alarms in 90 days, at most
      min_effect: 0.05
      history: 28d
      every: 7d
      exclude:
        - start: 2026-05-02
          end: 2026-05-04
      file: calibrations/churn.json   # reviewed; without it thresholds are calibrated anew

canary:                               # drifts for half an hour a day, to prove that alerts arrive
  every: 1d
  lasts: 30m
  team: ml-platform
  owner: ann
  tier: low

response:
  public_url: https://drift.example.com
  reopen_after: 1h
  quiet_after_promotion: 24h
  acknowledge_within: {high: 15m, medium: 1h, low: 8h}
  resolve_within: {high: 4h, medium: 24h, low: 7d}
  actions:
    - name: retrain
      kind: airflow_dag_run
      url: https://airflow.example.com
      api: v2                         # v1 for Airflow 2
      dag: retrain_credit
      token_file: secrets/airflow-token
      inputs:
        why: "{{ incident.classification }}"
      retrain: true                   # never for a data fault, never without an analysis
      approvals: [data-science, clinicians]
      expires: 48h
      cooldown: 24h
      per_day: 3
      after_unknown: resend           # a run of the same id is there once
      when:
        on: [classified]
        models: ["credit*"]
        tiers: [medium, high]
        causes: [drift]
        severities: [critical]
        classifications: [covariate_shift, concept_drift]
    - name: retrain-on-github
      kind: github_workflow_dispatch
      repository: acme/credit-model
      workflow: retrain.yml
      ref: main
      token_env: GITHUB_TOKEN
      retrain: true
      when: {on: [requested]}         # only when a person asks
    - name: tell-github
      kind: github_repository_dispatch
      repository: acme/credit-model
      event_type: drift-incident
      token_env: GITHUB_TOKEN
      automatic: true
      timeout: 10s
      retries: 2
      backoff: 1s
    - name: validate
      kind: gitlab_pipeline
      url: https://gitlab.example.com
      project: ml/credit
      ref: main
      token_file: secrets/gitlab-trigger-token
      dry_run: true
    - name: mark
      kind: grafana_annotation
      url: https://grafana.example.com
      dashboard: modeldrift-model
      panel: 2
      tags: [drift]
      text: "{{ incident.title }}: {{ incident.classification }}"
      token_file: secrets/grafana-token
    - name: job                       # a Kubernetes Job: its name is the key; 409: it is there
      kind: http
      url: https://kubernetes.example.com/apis/batch/v1/namespaces/ml/jobs
      method: POST
      ca_file: secrets/kubernetes-ca.crt
      headers: {X-Source: drift-exporter}
      secret_headers:
        Authorization:
          file: secrets/kubernetes-authorization
      accepts: [409]
      body: >-
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": {{ key | tojson }}}}
    - name: heartbeat                 # a dead man's switch: it calls when the canary stays away
      kind: http
      when: {models: [drift-canary], on: [opened]}
      automatic: true
      url: https://heartbeat.example.com/ping/{secret}
      url_secret: {file: secrets/heartbeat}

access:
  tokens:
    - name: ann
      role: approver
      groups: [data-science]
      token_file: secrets/ann-token
    - name: grafana
      token_env: VIEWER_TOKEN
  users:                              # of the web config's basic_auth_users
    - name: bob
      role: responder
  webhook_token_file: secrets/alertmanager-token
"""
"""A config with most keys."""

_HEAD = f"""\
<!-- Written by `make docs` from exporter/drift_exporter/config: change it there. -->
# The config file

`drift-exporter --config.file=drift.yml` reads one YAML 1.2 file. This is enough:

```yaml
{MINIMAL}```

`drift-exporter check-config` names every error with its line. Editors complete and check keys
with [the schema](drift.schema.json) if the file begins with
`# yaml-language-server: $schema=` and where you keep the schema.

- **Durations** are written as in Prometheus: `90s`, `5m`, `1h30m`, `7d`, `2w`, also `500ms`, `1y`.
- **Relative paths** start at the folder of the config file.
- **`${{NAME}}`** in a value is replaced from the environment; a variable that is not set is an
  error, `$$` is a dollar sign, and keys are left alone. Put it in quotes inside `{{ }}` and `[ ]`.
- **Secrets**: give a URL's password as `${{NAME}}`, or use `url_file` or `password_file`. Passwords
  and the queries of URLs are masked in messages, in the log and on `/config`.
- **A key that is not below is an error**, as is one that is given twice. Anchors, aliases and
  `<<` work.
- **Statistics** are {", ".join(f"`{name}`" for name in STATISTICS)}.
- **Limits**: 1 MiB, 100 000 values after aliases are followed, 50 levels.

## A longer example

```yaml
{FULL}```
"""


def markdown() -> str:
    """The text of ``docs/config.md``."""
    sections = [_section(at, model) for at, model in _models(Config, "").items()]
    return "\n".join([_HEAD, *sections])


def json_schema() -> str:
    """The text of ``docs/drift.schema.json``, for editors."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_unwrapped(Config.model_json_schema()),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write(folder: Path) -> None:
    """Write both papers into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.md").write_text(markdown(), encoding="utf-8")
    (folder / "drift.schema.json").write_text(json_schema(), encoding="utf-8")


def _unwrapped(value: Any) -> Any:
    """A schema without our source's line breaks, and with durations as a file writes them."""
    if isinstance(value, list):
        return [_unwrapped(item) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"seconds", "text"}:
        return value["text"]
    unwrapped = {key: _unwrapped(item) for key, item in value.items()}
    if isinstance(value.get("description"), str):
        unwrapped["description"] = " ".join(value["description"].split())
    return unwrapped


def _models(model: type[Model], at: str) -> dict[str, type[Model]]:
    """The models by the first place in the file where each stands, outer ones first."""
    found = {at: model}
    for key, field in model.model_fields.items():
        for inner, step in _inner_models(field.annotation):
            place = f"{at}.{key}{step}" if at else f"{key}{step}"
            beneath = _models(inner, place).items()
            found |= {where: kind for where, kind in beneath if kind not in found.values()}
    return found


def _inner_models(hint: Any) -> list[tuple[type[Model], str]]:
    if isinstance(hint, type) and issubclass(hint, Model):
        return [(hint, "")]
    step = {tuple: "[]", dict: ".<name>"}.get(get_origin(hint), "")
    return [(model, step + rest) for part in get_args(hint) for model, rest in _inner_models(part)]


def _section(at: str, model: type[Model]) -> str:
    rows = [
        f"| `{key}` | {_kind(field)} | {_default(field)} | {_cell(field.description or '')} |"
        for key, field in model.model_fields.items()
    ]
    title = f"## `{at}`" if at else "## The top level"
    table = ["| key | type | default | meaning |", "|---|---|---|---|", *rows]
    return "\n".join([title, "", model.__doc__ or "", "", *table, ""])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


_BOUNDS = {"gt": "above {}", "ge": "at least {}", "lt": "below {}", "le": "at most {}"}


def _kind(field: FieldInfo) -> str:
    rules = [
        text.format(f"{getattr(rule, name):g}")
        for rule in field.metadata
        for name, text in _BOUNDS.items()
        if getattr(rule, name, None) is not None
    ]
    return ", ".join([_words(field.annotation), *rules])


_WORDS: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "`true`, `false`",
    Duration: "duration",
    StatisticName: "statistic",
}


def _words(hint: Any) -> str:
    origin, parts = get_origin(hint), get_args(hint)
    if hint in _WORDS:
        return _WORDS[hint]
    if origin in (Annotated, Union, UnionType):
        kinds = parts[:1] if origin is Annotated else parts
        return " or ".join(_words(part) for part in kinds if part is not type(None))
    if origin is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin is tuple:
        return f"list of {_plural(parts[0])}"
    if origin is dict:
        return f"mapping of {_words(parts[0])} to {_words(parts[1])}"
    return "mapping"


def _plural(hint: Any) -> str:
    word = _words(hint)
    return word if word == "text" or word.endswith("`") else f"{word}s"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if field.is_required():
        return "**required**"
    if value is None or value == "" or isinstance(value, Model):
        return ""
    if isinstance(value, tuple):
        return f"`[{', '.join(json.dumps(v) if isinstance(v, str) else str(v) for v in value)}]`"
    return f"`{json.dumps(value) if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
