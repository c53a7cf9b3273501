"""The board of all models: which one is drifting, and by which feature."""

from grafana.panels import (
    CRITICAL,
    LEVELS,
    OK,
    RATIO_STEPS,
    WARNING,
    column,
    graph,
    placed,
    row,
    stat,
    steps,
    table,
    tables,
    target,
    timeline,
    words,
)
from grafana.parts import (
    FEATURE,
    FLEET,
    HEALTH,
    INCIDENTS_BOARD,
    MODEL,
    MODEL_ALERTS,
    Json,
    common_annotations,
    common_variables,
    dashboard,
    link,
    row_link,
    window_variable,
)
from grafana.promql import MODELS, WINDOWS, either, level, series, warning_ratio, worst

SCOPE = (MODELS, WINDOWS)
WORST_SHOWN = 12
NONE_IS_GOOD = ((None, OK), (1, WARNING))
NONE_IS_GOOD_ELSE_CRITICAL = ((None, OK), (1, CRITICAL))
COLOURED = {"type": "color-background", "mode": "basic"}

FIRING = f'ALERTS{{alertname=~"ModelDrift.*", alertstate="firing", {MODEL_ALERTS}}}'
INTERVALS = worst("model", series("modeldrift_run_interval_seconds", MODELS))
LAST_SUCCESS = worst("model", series("modeldrift_run_last_success_timestamp_seconds", MODELS))
CREATED = worst("model", series("modeldrift_reference_created_timestamp_seconds", MODELS))
STALE_AFTER = worst("model", series("modeldrift_scores_stale_after_seconds", MODELS))
FEATURE_RATIOS = worst("model, feature", warning_ratio("feature", *SCOPE))


def _stats() -> list[tuple[int, Json]]:
    over = worst("model, feature", level("feature", *SCOPE))
    outputs = worst("model, output", level("prediction", *SCOPE))
    return [
        (
            4,
            stat(
                "Models monitored",
                "Models that the chosen exporters monitor.",
                f"count({INTERVALS})",
            ),
        ),
        (
            4,
            stat(
                "Features over warning",
                "Features with a score over its threshold of warning, in any chosen window.",
                f"sum({over} > bool 0)",
                colours=NONE_IS_GOOD,
            ),
        ),
        (
            4,
            stat(
                "Features over critical",
                "Features with a score over its threshold of critical, in any chosen window.",
                f"sum({over} > bool 1)",
                colours=NONE_IS_GOOD_ELSE_CRITICAL,
            ),
        ),
        (
            4,
            stat(
                "Predictions over warning",
                "Model outputs with a score over its threshold of warning.",
                f"sum({outputs} > bool 0)",
                colours=NONE_IS_GOOD,
            ),
        ),
        (
            4,
            stat(
                "Models without fresh scores",
                "Models that never had a successful run, or none since their scores went stale: "
                "of these nobody knows whether they drift.",
                f"count({INTERVALS})"
                f" - (count(time() - {LAST_SUCCESS} <= {STALE_AFTER}) or vector(0))",
                colours=NONE_IS_GOOD_ELSE_CRITICAL,
            ),
        ),
        (
            4,
            stat(
                "Alerts firing",
                "Alerts of our rules that fire in Prometheus now; 0 also where the rules are not "
                "loaded.",
                f"count({FIRING}) or vector(0)",
                colours=NONE_IS_GOOD,
            ),
        ),
    ]


def _models() -> Json:
    ask = tables(
        A=worst("model", either("ratio", *SCOPE)),
        B=f"sum by (model) ({FEATURE_RATIOS} > bool 1)",
        C=f"avg by (model) ({FEATURE_RATIOS} > bool 1)",
        D=f"min by (model) ({series('modeldrift_run_success', MODELS)})",
        E=f"{LAST_SUCCESS} * 1000",
        F=worst("model", series("modeldrift_window_rows", *SCOPE)),
        G=f"time() - {CREATED}",
        H=worst("model, version, owner, team, tier", series("modeldrift_model_info", MODELS)),
    )
    names = {
        "model": "Model",
        "Value #A": "Worst score / threshold",
        "Value #B": "Features over",
        "Value #C": "Share over",
        "Value #D": "Last run",
        "Value #E": "Last success",
        "Value #F": "Rows",
        "Value #G": "Reference age",
        "version": "Version",
        "owner": "Owner",
        "team": "Team",
        "tier": "Tier",
    }
    success = [(0, "failed", CRITICAL), (1, "succeeded", OK)]
    return table(
        "Models",
        "One row per model, the worst first. 1 is at the threshold of warning, whatever the "
        "statistic. Rows are those of the longest chosen window. Click a model to look into it.",
        ask,
        names,
        [
            column(
                "Model", links=[row_link(MODEL, "Look into this model", model="${__value.raw}")]
            ),
            column(
                "Worst score / threshold",
                unit="none",
                decimals=2,
                thresholds=steps(RATIO_STEPS),
                custom__cellOptions=COLOURED,
                noValue="no score",
            ),
            column("Features over", unit="none"),
            column("Share over", unit="percentunit", decimals=0),
            column(
                "Last run",
                mappings=words(success),
                custom__cellOptions={"type": "color-text"},
            ),
            column("Last success", unit="dateTimeFromNow"),
            column("Rows", unit="short"),
            column("Reference age", unit="s"),
        ],
        "Worst score / threshold",
    )


def _worst_columns() -> Json:
    scores = warning_ratio("feature", *SCOPE)
    feature = row_link(
        FEATURE,
        "Look into this feature",
        model='${__data.fields["Model"]}',
        feature="${__value.raw}",
    )
    return table(
        "Furthest over their thresholds",
        f"The {WORST_SHOWN} scores of features furthest over (or nearest to) their thresholds of "
        "warning. Click a feature to look into it.",
        tables(A=f"topk({WORST_SHOWN}, {worst('model, feature, window, statistic', scores)})"),
        {
            "feature": "Feature",
            "model": "Model",
            "statistic": "Statistic",
            "window": "Window",
            "Value": "Score / threshold",
        },
        [
            column("Feature", links=[feature]),
            column(
                "Score / threshold",
                unit="none",
                decimals=2,
                thresholds=steps(RATIO_STEPS),
                custom__cellOptions=COLOURED,
            ),
        ],
        "Score / threshold",
    )


def _alerts() -> Json:
    return table(
        "Firing alerts",
        "Alerts of our rules that fire in Prometheus now.",
        tables(A=FIRING),
        {
            "alertname": "Alert",
            "severity": "Severity",
            "model": "Model",
            "feature": "Feature",
            "output": "Output",
            "window": "Window",
        },
        [
            column(
                "Severity",
                mappings=[
                    {
                        "type": "value",
                        "options": {
                            "warning": {"color": WARNING, "index": 0, "text": "warning"},
                            "critical": {"color": CRITICAL, "index": 1, "text": "critical"},
                        },
                    }
                ],
                custom__cellOptions={"type": "color-text"},
            ),
            column(
                "Model",
                links=[row_link(MODEL, "Look into this model", model="${__value.raw}")],
                noValue="-",
            ),
            *(column(name, noValue="-") for name in ("Feature", "Output", "Window")),
        ],
        "Severity",
        descending=False,
        unit="none",
        noValue="No alert fires",
    )


def _graphs() -> tuple[Json, Json]:
    to_model = [row_link(MODEL, "Look into this model", model="${__field.labels.model}")]
    return (
        graph(
            "Worst score over its threshold",
            "Of each model the score furthest over its threshold of warning. At 1, the dashed "
            "line, it is at the threshold.",
            [target(worst("model", either("ratio", *SCOPE)), "{{model}}")],
            "none",
            lines_at=((None, OK), (1, WARNING)),
            links=to_model,
        ),
        graph(
            "Share of features over warning",
            "One feature alone is a ticket; many at once are another population, or a broken "
            "pipeline.",
            [target(f"avg by (model) ({FEATURE_RATIOS} > bool 1)", "{{model}}")],
            "percentunit",
            links=to_model,
            max=1,
        ),
    )


def fleet() -> Json:
    """The dashboard."""
    ratio_graph, share_graph = _graphs()
    states = timeline(
        "State of each model",
        "The worst verdict of a model's features and predictions. Gaps: no score, because too "
        "few rows came or the runs fail.",
        [target(worst("model", either("level", *SCOPE)), "{{model}}")],
        LEVELS,
        [row_link(MODEL, "Look into this model", model="${__field.labels.model}")],
    )
    return dashboard(
        FLEET,
        "All models: which one drifts, how far, since when, and whether the monitoring works.",
        [*common_variables(many_models=True), window_variable(MODELS)],
        [
            link(MODEL, "job", "instance", "window"),
            link(FEATURE, "job", "instance", "window"),
            link(HEALTH, "job", "instance", "model"),
            link(INCIDENTS_BOARD, "job", "instance", "model"),
        ],
        common_annotations(),
        placed(
            (4, _stats()),
            (7, [(24, _models())]),
            (10, [(14, _worst_columns()), (10, _alerts())]),
            row("Over time"),
            (8, [(24, states)]),
            (9, [(12, ratio_graph), (12, share_graph)]),
        ),
    )
