"""How each alert reads: a static summary, a description with its numbers, and its dashboard.

Knows Prometheus' template language and the dashboards' names; knows no threshold and no model.
"""

from dataclasses import dataclass

from drift_exporter.rules.recording import LIMIT, ROLES, agreed_of, score_of

SHOWN_COLUMNS = 5
"""Columns that the description of a whole model names, the furthest over their threshold."""

FOLD = "max without (instance, pod)"
SHORT, WHOLE, SHARE, SPAN = (
    "printf `%.3g`",
    "printf `%.0f`",
    "humanizePercentage",
    "humanizeDuration",
)


@dataclass(frozen=True)
class Text:
    """Summary, description and dashboard of an alert."""

    summary: str
    description: str
    board: str
    """Uid of the dashboard."""

    variables: tuple[str, ...] = ("job", "model")
    """Labels of the alert that the dashboard has variables for."""


def _query(promql: str, *labels: str) -> str:
    """A template's query; each ``%q`` of the text is a label of the alert, quoted."""
    return f"query (printf `{promql}` {' '.join(labels)})"


def _labels(*names: str) -> tuple[str, ...]:
    return tuple(f"$labels.{name}" for name in names)


def _first(query: str, shown: str, before: str = "", after: str = "") -> str:
    """The first value of a query between two texts; nothing at all where there is none."""
    return (
        f"{{{{ with {query} }}}}{before}{{{{ . | first | value | {shown} }}}}{after}{{{{ end }}}}"
    )


def _of_model(series: str, shown: str, before: str = "", after: str = "") -> str:
    """The value of a series of the alert's model."""
    query = _query(f"{FOLD} ({series}{{job=%q,model=%q}})", *_labels("job", "model"))
    return _first(query, shown, before, after)


def _limit(name: str, shown: str) -> str:
    return _first(f'query `{LIMIT}{{limit="{name}"}}`', shown)


def since(alert: str, *labels: str) -> str:
    """Since when the alert's condition holds: Prometheus keeps it in a series of its own."""
    matchers = ",".join(f"{label}=%q" for label in labels)
    promql = f'ALERTS_FOR_STATE{{alertname="{alert}",{matchers}}}'
    return _first(_query(promql, *_labels(*labels)), "humanizeTimestamp", before=", since ")


REFERENCE = (
    "{{ with "
    + _query(f"{FOLD} (modeldrift_reference_info{{job=%q,model=%q}})", *_labels("job", "model"))
    + " }} Reference: {{ . | first | label `reference` }}.{{ end }}"
)


def scores(role: str) -> str:
    """Score, threshold and rows of the alert's column in each window."""
    label = ROLES[role]
    column = _labels("job", "model", label)
    matchers = f"job=%q,model=%q,{label}=%q"
    score = _query(f"{score_of(role)}{{{matchers},statistic=%q}}", *column, "$labels.statistic")
    threshold = _query(
        f"{FOLD} (modeldrift_{role}_threshold{{{matchers},window=%q,statistic=%q,severity=%q}})",
        *column,
        ".Labels.window",
        *_labels("statistic", "severity"),
    )
    rows = _query(
        f"{FOLD} (modeldrift_{role}_samples{{{matchers},window=%q}})", *column, ".Labels.window"
    )
    return (
        f"{{{{ range $i, $_ := {score} | sortByLabel `window` }}}}{{{{ if $i }}}},{{{{ end }}}}"
        f" {{{{ .Value | {SHORT} }}}} in {{{{ .Labels.window }}}} ("
        + _first(threshold, SHORT, before="threshold ")
        + _first(rows, WHOLE, before=", ", after=" rows")
        + "){{ end }}"
    )


def segment_scores(role: str) -> str:
    """Score and rows of the alert's segment in each window."""
    segment = _labels("job", "model", "segment_by", "segment")
    matchers = "job=%q,model=%q,segment_by=%q,segment=%q"
    score = _query(
        f"{FOLD} (modeldrift_segment_{role}_psi{{{matchers},{ROLES[role]}=%q}})",
        *segment,
        f"$labels.{ROLES[role]}",
    )
    rows = _query(
        f"{FOLD} (modeldrift_segment_rows{{{matchers},window=%q}})", *segment, ".Labels.window"
    )
    return (
        f"{{{{ range $i, $_ := {score} | sortByLabel `window` }}}}{{{{ if $i }}}},{{{{ end }}}}"
        f" {{{{ .Value | {SHORT} }}}} in {{{{ .Labels.window }}}}"
        + _first(rows, WHOLE, before=" (", after=" rows)")
        + "{{ end }}"
    )


def worst_columns(role: str) -> str:
    """The columns furthest over their warning threshold, with the multiple."""
    label = ROLES[role]
    over = f'{agreed_of(role)}{{job=%q,model=%q,severity="warning"}} > 1'
    query = _query(
        f"topk ({SHOWN_COLUMNS}, max without (statistic) ({over}))", *_labels("job", "model")
    )
    return (
        f"{{{{ range {query} }}}} {{{{ .Labels.{label} }}}}"
        " ({{ .Value | printf `%.1f` }} times its threshold),{{ end }}"
    )


def window_rows() -> str:
    """Rows of the model in each window."""
    query = _query(f"{FOLD} (modeldrift_window_rows{{job=%q,model=%q}})", *_labels("job", "model"))
    return (
        f"{{{{ range $i, $_ := {query} | sortByLabel `window` }}}}{{{{ if $i }}}},{{{{ end }}}}"
        " {{ .Value | printf `%.0f` }} in {{ .Labels.window }}{{ end }}"
    )


MODEL = "{{ $labels.model }}"
COLUMN = "{{ $labels.feature }}{{ $labels.output }}"


def _quality(name: str, what: str) -> Text:
    labels = ("job", "model", "feature", "window", "statistic", "severity")
    matchers = "job=%q,model=%q,feature=%q,window=%q"
    score = _query(
        f"{score_of('feature')}{{{matchers},statistic=%q}}",
        *_labels("job", "model", "feature", "window", "statistic"),
    )
    threshold = _query(
        f"{FOLD} (modeldrift_feature_threshold{{{matchers},statistic=%q,severity=%q}})",
        *_labels(*labels[:-2], "statistic", "severity"),
    )
    rows = _query(
        f"{FOLD} (modeldrift_feature_samples{{{matchers}}})",
        *_labels("job", "model", "feature", "window"),
    )
    return Text(
        f"A feature has more {what} than its reference allows.",
        "{{ $labels.feature }}: "
        + _first(score, SHARE)
        + f" {what} in {{{{ $labels.window }}}}"
        + _first(threshold, SHARE, before=", threshold ")
        + _first(rows, WHOLE, before=", ", after=" rows")
        + since(name, *labels)
        + "."
        + REFERENCE,
        "modeldrift-feature",
        ("job", "model", "feature"),
    )


def _late(summary: str, within: str) -> Text:
    limit = _query(
        f"{FOLD} (modeldrift_incident_{within}_seconds{{job=%q,tier=%q}})",
        *_labels("job", "tier"),
    )
    return Text(
        summary,
        "Opened {{ $value | humanizeDuration }} ago"
        + _first(limit, SPAN, before=", limit of tier {{ $labels.tier }} ")
        + ".",
        "modeldrift-incidents",
    )


def _texts() -> dict[str, Text]:
    feature = ("job", "model", "feature")
    by_column = ("job", "model", "statistic", "severity")
    fleet, board, health = "modeldrift-fleet", "modeldrift-model", "modeldrift-health"
    incidents = "modeldrift-incidents"
    # Without the severity: a rule's own labels are not there when its text is made.
    run = ("job", "model")
    return {
        "ModelDriftFeatureDrifted": Text(
            "A feature has drifted from its reference.",
            "{{ $labels.feature }}: {{ $labels.statistic }}"
            + scores("feature")
            + since("ModelDriftFeatureDrifted", *by_column, "feature")
            + "."
            + REFERENCE,
            "modeldrift-feature",
            feature,
        ),
        "ModelDriftPredictionDrifted": Text(
            "A prediction of the model has drifted from its reference.",
            "{{ $labels.output }}: {{ $labels.statistic }}"
            + scores("prediction")
            + since("ModelDriftPredictionDrifted", *by_column, "output")
            + "."
            + REFERENCE,
            board,
        ),
        "ModelDriftSegmentDrifted": Text(
            "A column has drifted from its reference within a segment.",
            COLUMN
            + " where {{ $labels.segment_by }} is {{ $labels.segment }}: psi"
            + "{{ if $labels.feature }}"
            + segment_scores("feature")
            + "{{ else }}"
            + segment_scores("prediction")
            + "{{ end }}, at least {{ $value | printf `%.1f` }} times its threshold"
            + since(
                "ModelDriftSegmentDrifted",
                *run,
                "segment_by",
                "segment",
                "feature",
                "output",
                "severity",
            )
            + "."
            + REFERENCE,
            board,
        ),
        "ModelDriftWidespread": Text(
            "Many features of the model have drifted at once.",
            "{{ $value | humanizePercentage }} of the features are over their warning threshold, "
            "limit "
            + _limit("widespread_share", SHARE)
            + since("ModelDriftWidespread", *run)
            + ". The furthest:"
            + worst_columns("feature")
            + " rows:"
            + window_rows()
            + "."
            + REFERENCE,
            board,
        ),
        "ModelDriftSustained": Text(
            "Drift of the model has lasted so long that it is not going away by itself.",
            "Columns over their threshold without a break: "
            "{{ $value | printf `%.0f` }} or more. Now:"
            + worst_columns("feature")
            + worst_columns("prediction")
            + " rows:"
            + window_rows()
            + "."
            + REFERENCE,
            board,
        ),
        "ModelDriftMissingValuesHigh": _quality("ModelDriftMissingValuesHigh", "missing values"),
        "ModelDriftUnseenValuesHigh": _quality("ModelDriftUnseenValuesHigh", "unseen values"),
        "ModelDriftOutOfRangeHigh": _quality("ModelDriftOutOfRangeHigh", "values out of range"),
        "ModelDriftFeatureNotEvaluated": Text(
            "A column cannot be judged: it is gone, or its reference is empty.",
            COLUMN
            + ": {{ $labels.reason }}"
            + since("ModelDriftFeatureNotEvaluated", *run, "feature", "output", "reason")
            + "; rows of the model:"
            + window_rows()
            + "."
            + REFERENCE,
            board,
        ),
        "ModelDriftTooFewRows": Text(
            "No feature of the model can be judged, its windows have too few rows.",
            "Rows:" + window_rows() + since("ModelDriftTooFewRows", *run) + ".",
            board,
        ),
        "ModelDriftNoData": Text(
            "No rows of the model arrive.",
            "Rows:" + window_rows() + since("ModelDriftNoData", *run) + ".",
            board,
        ),
        "ModelDriftMonitorStale": Text(
            "The scores of the model are out of date, drift would go unnoticed.",
            "The last successful run is {{ $value | printf `%.1f` }} times the allowed age ago"
            + _of_model("modeldrift_scores_stale_after_seconds", SPAN, before=" (", after=")")
            + since("ModelDriftMonitorStale", *run)
            + ".",
            health,
        ),
        "ModelDriftNeverSucceeded": Text(
            "The model has never been judged, no run has succeeded yet.",
            "A run is due every {{ $value | humanizeDuration }}, none has succeeded"
            + since("ModelDriftNeverSucceeded", *run)
            + ".",
            health,
        ),
        "ModelDriftRunFailing": Text(
            "Runs of the model fail one after the other.",
            "Failed runs"
            + "{{ range "
            + _query(
                f"{FOLD} (modeldrift_run_failures_total{{job=%q,model=%q}}) > 0",
                *_labels("job", "model"),
            )
            + " }}, {{ .Labels.reason }}: {{ .Value | printf `%.0f` }}{{ end }}"
            + since("ModelDriftRunFailing", *run)
            + ".",
            health,
        ),
        "ModelDriftRunSlow": Text(
            "Runs of the model take nearly as long as their interval.",
            "The last run took {{ $value | humanizePercentage }} of the interval, limit "
            + _limit("slow_run_share", SHARE)
            + _of_model("modeldrift_run_rows_read", WHOLE, before=", ", after=" rows")
            + since("ModelDriftRunSlow", *run)
            + ".",
            health,
        ),
        "ModelDriftRunsSkipped": Text(
            "Runs of the model are skipped.",
            "{{ $value | printf `%.0f` }} runs that were due did not start, limit "
            + _limit("skipped_runs", WHOLE)
            + since("ModelDriftRunsSkipped", *run)
            + ".",
            health,
        ),
        "ModelDriftReferenceOld": Text(
            "The reference of the model is old.",
            "Built {{ $value | humanizeDuration }} ago, limit "
            + _limit("reference_age_seconds", SPAN)
            + "."
            + REFERENCE,
            board,
        ),
        "ModelDriftRetrainingOverdue": Text(
            "The model is older than its retraining cadence allows.",
            "Trained {{ $value | humanizeDuration }} ago"
            + _of_model("modeldrift_model_retrain_interval_seconds", SPAN, before=", cadence ")
            + ".",
            board,
        ),
        "ModelDriftRulesOutdated": Text(
            "Drift alerts of the model wait another time than its thresholds were made for.",
            "The thresholds suppose alerts that wait {{ $value | humanizeDuration }}"
            + since("ModelDriftRulesOutdated", *run)
            + ". Make the rules anew, or calibrate anew.",
            board,
        ),
        "ModelDriftSelfTestFailed": Text(
            "The thresholds of the model do not keep their promise of few false alarms.",
            "On its own past they alarm {{ $value | printf `%.1f` }} times as often as promised, "
            "limit "
            + _limit("self_test_times", SHORT)
            + _of_model("modeldrift_self_test_alarms", SHORT, before="; ", after=" in 90 days")
            + since("ModelDriftSelfTestFailed", *run)
            + ".",
            board,
        ),
        "ModelDriftCalibrationFailing": Text(
            "The thresholds of the model could not be calibrated anew.",
            "The old ones hold"
            + _of_model(
                "modeldrift_calibration_timestamp_seconds",
                "humanizeTimestamp",
                before=", they are of ",
            )
            + since("ModelDriftCalibrationFailing", *run)
            + ".",
            board,
        ),
        "ModelDriftIncidentUnacknowledged": _late(
            "Nobody has acknowledged an incident in time.", "acknowledge_within"
        ),
        "ModelDriftIncidentOpenTooLong": _late(
            "An incident has been open for too long.", "resolve_within"
        ),
        "ModelDriftActionFailed": Text(
            "An action about an incident has failed, or nobody knows how it ended.",
            "{{ $labels.action }}: {{ $labels.outcome }}, within the last hour. It is not tried "
            "again by itself.",
            incidents,
            ("job",),
        ),
        "ModelDriftActionWaiting": Text(
            "An action has been waiting for its approval for long.",
            "{{ $labels.action }} has waited for {{ $value | humanizeDuration }}, limit "
            + _limit("action_waits_seconds", SPAN)
            + ".",
            incidents,
            ("job",),
        ),
        "ModelDriftAuditBroken": Text(
            "The audit log was changed, or entries of it are gone.",
            "What it says can no longer be relied on. Keep the store as it is and run "
            "'drift-exporter audit verify'.",
            incidents,
            ("job",),
        ),
        "ModelDriftExporterSeriesDropped": Text(
            "Scores are withheld, the exporter has more series than it may have.",
            "{{ $labels.instance }} withholds {{ $value | printf `%.0f` }} series"
            + _first(
                _query(
                    "modeldrift_exporter_series_limit{job=%q,instance=%q}",
                    *_labels("job", "instance"),
                ),
                WHOLE,
                before=", limit ",
            )
            + ".",
            health,
            ("job", "instance"),
        ),
        "ModelDriftExporterConfigReloadFailed": Text(
            "The exporter runs with an old config, the new one cannot be used.",
            "{{ $labels.instance }} could not load its config"
            + _first(
                _query(
                    "modeldrift_exporter_config_last_reload_success_timestamp_seconds"
                    "{job=%q,instance=%q}",
                    *_labels("job", "instance"),
                ),
                "humanizeTimestamp",
                before="; the last good one is of ",
            )
            + ".",
            health,
            ("job", "instance"),
        ),
        "ModelDriftExporterStoreNotWritable": Text(
            "The exporter cannot write to its store.",
            "{{ $labels.instance }} keeps scores in memory only; a restart would lose them.",
            health,
            ("job", "instance"),
        ),
        "ModelDriftExporterDown": Text(
            "The exporter cannot be scraped.",
            "{{ if $labels.instance }}{{ $labels.instance }} does not answer."
            "{{ else }}No instance of {{ $labels.job }} answers; no drift would be noticed."
            "{{ end }}",
            health,
            ("job", "instance"),
        ),
        "ModelDriftExporterAbsent": Text(
            "Prometheus knows no exporter, no drift would be noticed.",
            "No target of the job {{ $labels.job }} is being scraped.",
            fleet,
            ("job",),
        ),
        "ModelDriftWatchdog": Text(
            "Alerting works; this alert always fires.",
            "If it stops to arrive, the way from Prometheus to the receiver is broken.",
            health,
            (),
        ),
    }


TEXTS = _texts()
"""The text of each alert by its name."""
