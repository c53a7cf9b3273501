"""The board of one model: which features drift, how far, since when, and is it told in time."""

from grafana.panels import (
    LEVELS,
    OK,
    RATIO_STEPS,
    THRESHOLD,
    WARNING,
    bar_chart,
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
)
from grafana.parts import (
    FEATURE,
    FLEET,
    HEALTH,
    INCIDENTS_BOARD,
    MODEL,
    Json,
    common_annotations,
    common_variables,
    dashboard,
    link,
    row_link,
    variable,
    window_variable,
)
from grafana.promql import MODEL as ONE
from grafana.promql import WINDOWS, level, series, warning_ratio, worst
from grafana.shared import NO_BINS, bins, state_stat

SCOPE = (ONE, WINDOWS)
OUTPUT = 'output=~"$output"'
FEATURES_SHOWN = 30
LINES_SHOWN = 10

COLUMNS = "model, feature, window"


def _top(number: int) -> str:
    """The features that are worst at the end of the range; the same at each of its points."""
    found = worst("feature", warning_ratio("feature", *SCOPE, at=" @ end()"))
    return f"topk({number}, {found})"


def _stats() -> list[tuple[int, Json]]:
    last = series("modeldrift_run_last_success_timestamp_seconds", ONE)
    created = series("modeldrift_reference_created_timestamp_seconds", ONE)
    trained = series("modeldrift_model_trained_timestamp_seconds", ONE)
    not_evaluated = worst("feature, window", series("modeldrift_feature_not_evaluated", *SCOPE))
    over = worst("feature", level("feature", *SCOPE))
    return [
        (4, state_stat("State", "The worst verdict of features and predictions.", *SCOPE)),
        (
            4,
            stat(
                "Features over warning",
                "Features with a score over its threshold of warning.",
                f"sum({over} > bool 0)",
                colours=((None, OK), (1, WARNING)),
            ),
        ),
        (
            4,
            stat(
                "Since the last success",
                "Time since the last successful run. From stale_after on the scores end.",
                f"time() - max({last})",
                "s",
            ),
        ),
        (
            4,
            stat(
                "Rows",
                "Rows of each window.",
                worst("window", series("modeldrift_window_rows", *SCOPE)),
                legend="{{window}}",
            ),
        ),
        (
            4,
            stat(
                "Age of reference and model",
                "Time since the reference was built, and since the deployed version was trained "
                "where the config says when.",
                f'label_replace(time() - max({created}), "of", "reference", "", "")'
                f' or label_replace(time() - max({trained}), "of", "model", "", "")',
                "s",
                legend="{{of}}",
            ),
        ),
        (
            4,
            stat(
                "Not evaluated",
                "Features and windows without a score: too few rows, a column that vanished, "
                "stale. The table below tells why.",
                f"count({not_evaluated}) or vector(0)",
                colours=((None, OK), (1, WARNING)),
            ),
        ),
    ]


def _features() -> Json:
    feature = row_link(
        FEATURE, "Look into this feature", model="${model}", feature="${__value.raw}"
    )

    def score(name: str) -> str:
        return worst(COLUMNS, series(f"modeldrift_feature_{name}", *SCOPE))

    threshold = series(
        "modeldrift_feature_threshold", *SCOPE, 'statistic="psi", severity="warning"'
    )
    shares = ("Missing", "Unseen", "Out of range")
    return table(
        "Features",
        "One row per feature and window, the worst first. 1 is at the threshold of warning, "
        "whatever the statistic. Click a feature to look into it.",
        tables(
            A=worst(COLUMNS, warning_ratio("feature", *SCOPE)),
            B=score("psi"),
            C=worst(COLUMNS, threshold),
            D=score("kl_divergence_nats"),
            E=score("js_distance"),
            F=score("ks_statistic"),
            G=score("missing_ratio"),
            H=score("unseen_ratio"),
            I=score("out_of_range_ratio"),
            J=score("samples"),
        ),
        {
            "feature": "Feature",
            "window": "Window",
            "Value #A": "Worst score / threshold",
            "Value #B": "PSI",
            "Value #C": "PSI threshold",
            "Value #D": "KL",
            "Value #E": "JS",
            "Value #F": "KS",
            "Value #G": "Missing",
            "Value #H": "Unseen",
            "Value #I": "Out of range",
            "Value #J": "Rows",
        },
        [
            column("Feature", links=[feature]),
            column(
                "Worst score / threshold",
                unit="none",
                decimals=2,
                min=0,
                max=2.5,
                thresholds=steps(RATIO_STEPS),
                custom__cellOptions={"type": "gauge", "mode": "basic", "valueDisplayMode": "text"},
                custom__minWidth=180,
            ),
            *(column(name, unit="percentunit", decimals=1) for name in shares),
            column("Rows", unit="short", decimals=0),
        ],
        "Worst score / threshold",
        unit="none",
        decimals=3,
    )


def _not_evaluated() -> Json:
    reasons = series("modeldrift_feature_not_evaluated", *SCOPE)
    return table(
        "Features without a score",
        "Why a feature has no score in a window.",
        tables(A=worst("feature, window, reason", reasons)),
        {"feature": "Feature", "window": "Window", "reason": "Reason"},
        [],
        "Feature",
        descending=False,
        unit="none",
        noValue="All features are evaluated",
    )


def _graphs() -> list[Json]:
    to_feature = [
        row_link(
            FEATURE,
            "Look into this feature",
            model="${model}",
            feature="${__field.labels.feature}",
        )
    ]
    psi = worst("feature, window", series("modeldrift_feature_psi", *SCOPE))
    missing = worst("feature, window", series("modeldrift_feature_missing_ratio", *SCOPE))
    most = worst("feature", series("modeldrift_feature_missing_ratio", *SCOPE, at=" @ end()"))
    limits = series("modeldrift_feature_threshold", *SCOPE, 'statistic="psi"')
    return [
        graph(
            f"PSI of the {LINES_SHOWN} worst features",
            "The features that are worst at the end of the range. Dashed: the lowest thresholds "
            "of the model's features.",
            [
                target(f"{psi} and on (feature) {_top(LINES_SHOWN)}", "{{feature}} {{window}}"),
                target(f"min by (severity) ({limits})", "{{severity}} from", THRESHOLD),
            ],
            "none",
            links=to_feature,
            decimals=3,
        ),
        graph(
            f"Missing values of the {LINES_SHOWN} worst features",
            "Share of the window's rows without a value.",
            [
                target(
                    f"{missing} and on (feature) topk({LINES_SHOWN}, {most})",
                    "{{feature}} {{window}}",
                )
            ],
            "percentunit",
            links=to_feature,
        ),
        graph(
            "Rows per window",
            "Below min_rows nothing is judged.",
            [target(worst("window", series("modeldrift_window_rows", *SCOPE)), "{{window}}")],
        ),
        graph(
            "Worst PSI in a segment",
            "Of each segment the feature with the highest PSI, against the same segment of the "
            "reference.",
            [
                target(
                    worst(
                        "segment_by, segment, window",
                        series("modeldrift_segment_feature_psi", *SCOPE),
                    ),
                    "{{segment_by}} {{segment}} {{window}}",
                )
            ],
            "none",
            decimals=3,
        ),
    ]


def _predictions() -> list[Json]:
    scope = (*SCOPE, OUTPUT)
    psi = worst("output, window", series("modeldrift_prediction_psi", *scope))
    limits = series("modeldrift_prediction_threshold", *scope, 'statistic="psi"')
    picture = bar_chart(
        "Predictions in window $window",
        "Share of rows per bin of the model's output: reference beside current.",
        bins("prediction", ONE, OUTPUT),
        NO_BINS,
    )
    return [
        graph(
            "PSI of predictions",
            "How far the model's output is from what it was. Dashed: its thresholds.",
            [
                target(psi, "{{output}} {{window}}"),
                target(f"min by (severity) ({limits})", "{{severity}} from", THRESHOLD),
            ],
            "none",
            decimals=3,
        ),
        {**picture, "repeat": "window", "repeatDirection": "h", "maxPerRow": 2},
    ]


def _calibration_stats() -> list[tuple[int, Json]]:
    def of(name: str) -> str:
        return f"max({series(f'modeldrift_{name}', ONE)})"

    fixed = "fixed thresholds"
    return [
        (
            5,
            stat(
                "Thresholds from",
                "How calibrated thresholds were found: from the model's past, or from the rows "
                "alone and why.",
                worst("method, reason", series("modeldrift_calibration_info", ONE)),
                legend="{{method}} {{reason}}",
                names_only=True,
                noValue=fixed,
            ),
        ),
        (
            5,
            stat(
                "Since the calibration",
                "Time since the thresholds were calibrated on the model's past.",
                f"time() - {of('calibration_timestamp_seconds')}",
                "s",
                noValue="never",
            ),
        ),
        (
            5,
            stat(
                "False alarms in 90 days",
                "How many the thresholds promise at most, and how many they make of the model's "
                "past compared with itself.",
                f'label_replace({of("calibration_budget_alarms")}, "of", "promised", "", "")'
                f' or label_replace({of("self_test_alarms")}, "of", "self-test", "", "")',
                "none",
                legend="{{of}}",
                noValue=fixed,
                decimals=1,
            ),
        ),
        (
            5,
            stat(
                "Surprise that counts",
                "Minus log10 of the probability that noise alone is over the threshold, in one "
                "evaluation of one series.",
                of("calibration_neg_log10_alpha"),
                "none",
                noValue=fixed,
                decimals=1,
            ),
        ),
        (
            4,
            stat(
                "Past that was looked at",
                "Length of the history that the thresholds were calibrated on.",
                of("calibration_history_seconds"),
                "s",
                noValue=fixed,
            ),
        ),
    ]


def _calibration_graphs() -> list[Json]:
    surprise = series("modeldrift_feature_psi_surprise", *SCOPE)
    most = worst("feature", series("modeldrift_feature_psi_surprise", *SCOPE, at=" @ end()"))
    alpha = series("modeldrift_calibration_neg_log10_alpha", ONE)
    tested = series("modeldrift_self_test_alarms", ONE)
    promised = series("modeldrift_calibration_budget_alarms", ONE)
    return [
        graph(
            f"Surprise of the {LINES_SHOWN} most surprising features",
            "How little noise explains the PSI: minus log10 of its p-value. Dashed: from where "
            "it counts, if the effect is large enough too.",
            [
                target(
                    f"{worst('feature, window', surprise)} and on (feature) "
                    f"topk({LINES_SHOWN}, {most})",
                    "{{feature}} {{window}}",
                ),
                target(f"max({alpha})", "counts from", THRESHOLD),
            ],
            "none",
            decimals=1,
        ),
        graph(
            "The promise of few false alarms",
            "Alarms that the thresholds make of the model's own past, in 90 days. Dashed: what "
            "is promised.",
            [
                target(f"max({tested})", "self-test"),
                target(f"max({promised})", "promised", THRESHOLD),
            ],
            "none",
            decimals=1,
        ),
    ]


def model() -> Json:
    """The dashboard."""
    psi, missing, rows, segments = _graphs()
    prediction_psi, prediction_bins = _predictions()
    surprise, promise = _calibration_graphs()
    state = worst("feature", level("feature", *SCOPE))
    states = timeline(
        f"State of the {FEATURES_SHOWN} worst features",
        "The worst verdict of each feature over the chosen windows. Gaps: no score.",
        [target(f"{state} and on (feature) {_top(FEATURES_SHOWN)}", "{{feature}}")],
        LEVELS,
        [
            row_link(
                FEATURE,
                "Look into this feature",
                model="${model}",
                feature="${__field.labels.feature}",
            )
        ],
    )
    outputs = series("modeldrift_prediction_evaluated", ONE)
    return dashboard(
        MODEL,
        "One model: its features by how far they are over their thresholds, and its predictions.",
        [
            *common_variables(many_models=False),
            window_variable(ONE),
            variable("output", "Output", outputs),
        ],
        [
            link(FLEET, "job", "instance", "window"),
            link(FEATURE, "job", "instance", "model", "window"),
            link(HEALTH, "job", "instance", "model"),
            link(INCIDENTS_BOARD, "job", "instance", "model"),
        ],
        common_annotations(ONE, 'model=~"$model|"'),
        placed(
            (4, _stats()),
            (11, [(24, _features())]),
            (10, [(24, states)]),
            (10, [(24, psi)]),
            row("Predictions"),
            (9, [(24, prediction_psi)]),
            (9, [(24, prediction_bins)]),
            row("Calibration of the thresholds"),
            (4, _calibration_stats()),
            (9, [(12, surprise), (12, promise)]),
            row("Rows, segments, missing values"),
            (9, [(8, rows), (8, segments), (8, missing)]),
            (5, [(24, _not_evaluated())]),
        ),
    )
