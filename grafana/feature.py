"""The board of one feature: its distribution now and in the reference, and how it moved."""

from grafana.panels import (
    LEVELS,
    OK,
    RATIO_STEPS,
    THRESHOLD,
    WARNING,
    bar_chart,
    column,
    graph,
    heatmap,
    placed,
    row,
    stat,
    table,
    tables,
    target,
    text,
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
    variable,
    window_variable,
)
from grafana.promql import FEATURE as THIS
from grafana.promql import MODEL as ONE
from grafana.promql import WINDOWS, level, series, warning_ratio, worst
from grafana.shared import NO_BINS, bins, shares, state_stat

SCOPE = (ONE, THIS, WINDOWS)
SEGMENTS = 'segment_by=~"$segment_by"'

READING = """\
- **PSI** compares shares per bin: 0 is the same, about 0.1 a shift worth a look, 0.25 another
  population. Without drift it is not 0 but about
  `(bins - 1) * (1 / rows + 1 / rows of the reference)`.
- **KS** and **Wasserstein** say how far a numeric feature moved: the greatest gap of the two
  cumulative distributions, and the way in standard deviations of the reference.
- **Missing, unseen, out of range** are faults of data more often than drift of people.
- A threshold of a *share* has the reference's own share in it.
- The **bins** are series only where the config says `expose_bins: true`, for the model or for this
  feature in `features.overrides`: some 14 per window and 28 for the reference. Under `max_series`
  they are withheld first.
"""


def _stats() -> list[tuple[int, Json]]:
    ratios = warning_ratio("feature", *SCOPE)
    info = series("modeldrift_feature_info", ONE, THIS)
    evaluated = series("modeldrift_feature_evaluated", *SCOPE)
    return [
        (
            5,
            state_stat(
                "State", "The worst verdict over the chosen windows.", *SCOPE, role="feature"
            ),
        ),
        (
            5,
            stat(
                "Score / threshold",
                "The score furthest over its threshold of warning, of each window, and of which "
                "statistic.",
                f"topk by (window) (1, {worst('window, statistic', ratios)})",
                "none",
                colours=RATIO_STEPS,
                legend="{{window}} {{statistic}}",
                decimals=2,
            ),
        ),
        (
            5,
            stat(
                "Rows",
                "Rows of each window that came with the feature.",
                worst("window", series("modeldrift_feature_samples", *SCOPE)),
                legend="{{window}}",
            ),
        ),
        (
            4,
            stat(
                "Evaluated",
                "Whether the last run scored the feature, in each window.",
                f"min by (window) ({evaluated})",
                named=((0, "no", WARNING), (1, "yes", OK)),
                legend="{{window}}",
            ),
        ),
        (
            5,
            stat(
                "Kind",
                "Numbers or categories, the type in the source, and the number of bins.",
                worst("kind, dtype, bins", info),
                legend="{{kind}}, {{dtype}}, {{bins}} bins",
                names_only=True,
            ),
        ),
    ]


def _distributions() -> list[Json]:
    picture = bar_chart(
        "Distribution in window $window",
        "Share of rows per bin: reference beside current. Needs expose_bins: true in the config.",
        bins("feature", ONE, THIS),
        NO_BINS,
    )
    moved = heatmap(
        "How the distribution moved in window $window",
        "Share of rows per bin over time. Needs expose_bins: true in the config.",
        [
            target(
                worst("bin, interval", shares("bin_rows", "feature", *SCOPE)),
                "{{bin}} {{interval}}",
            )
        ],
        NO_BINS,
    )
    repeated = {"repeat": "window", "repeatDirection": "h", "maxPerRow": 2}
    return [{**picture, **repeated}, {**moved, **repeated}]


def _lines(names: dict[str, str]) -> list[Json]:
    return [
        target(
            worst("window", series(f"modeldrift_feature_{name}", *SCOPE)),
            f"{text} {{{{window}}}}",
            chr(ord("A") + i),
        )
        for i, (name, text) in enumerate(names.items())
    ]


def _limits(*statistics: str) -> Json:
    """Thresholds of some statistics, as lines."""
    names = "|".join(statistics)
    found = series("modeldrift_feature_threshold", *SCOPE, f'statistic=~"{names}"')
    if len(statistics) == 1:
        return target(f"max by (severity) ({found})", "{{severity}} from", THRESHOLD)
    return target(
        f"max by (severity, statistic) ({found})", "{{severity}} from {{statistic}}", THRESHOLD
    )


def _graphs() -> list[Json]:
    return [
        graph(
            "PSI",
            "Population stability index in each window. Dashed: the thresholds.",
            [*_lines({"psi": "PSI"}), _limits("psi")],
            "none",
            decimals=3,
        ),
        graph(
            "Every score over its threshold",
            "All statistics that have a threshold, in thresholds of warning: at 1, the dashed "
            "line, a score is at its threshold.",
            [
                target(
                    worst("statistic, window", warning_ratio("feature", *SCOPE)),
                    "{{statistic}} {{window}}",
                )
            ],
            "none",
            lines_at=((None, OK), (1, WARNING)),
            decimals=2,
        ),
        graph(
            "Missing, unseen, out of range",
            "Shares of the window's rows. Dashed: the thresholds, with the reference's own share "
            "in them.",
            [
                *_lines(
                    {
                        "missing_ratio": "missing",
                        "unseen_ratio": "unseen",
                        "out_of_range_ratio": "out of range",
                    }
                ),
                _limits("missing_ratio", "unseen_ratio", "out_of_range_ratio"),
            ],
            "percentunit",
        ),
        graph(
            "Divergences",
            "KL in nats, no upper bound; Jensen-Shannon, Hellinger and total variation lie "
            "between 0 and 1. Dashed: thresholds, where the config sets any.",
            [
                *_lines(
                    {
                        "kl_divergence_nats": "KL",
                        "js_distance": "JS",
                        "hellinger_distance": "Hellinger",
                        "total_variation_distance": "TV",
                    }
                ),
                _limits("kl_divergence", "js_distance", "hellinger_distance", "total_variation"),
            ],
            "none",
            decimals=3,
        ),
        graph(
            "Distances of numbers",
            "Kolmogorov-Smirnov, and Wasserstein in standard deviations of the reference; "
            "categories have neither. Dashed: thresholds, where the config sets any.",
            [
                *_lines({"ks_statistic": "KS", "wasserstein_distance": "Wasserstein"}),
                _limits("ks_statistic", "wasserstein_distance"),
            ],
            "none",
            decimals=3,
        ),
        graph(
            "Rows over time",
            "Rows of each window that came with the feature.",
            _lines({"samples": "rows"}),
        ),
    ]


def _segments() -> list[Json]:
    found = series("modeldrift_segment_feature_psi", *SCOPE, SEGMENTS)
    rows = series("modeldrift_segment_rows", ONE, WINDOWS, SEGMENTS)
    by = "segment_by, segment, window"
    return [
        graph(
            "PSI per segment",
            "Against the same segment of the reference. A shift in one segment only does not "
            "show in the whole.",
            [target(worst(by, found), "{{segment_by}} {{segment}} {{window}}")],
            "none",
            decimals=3,
        ),
        table(
            "Segments",
            "PSI and rows of each segment now.",
            tables(A=worst(by, found), B=worst(by, rows)),
            {
                "segment_by": "Split by",
                "segment": "Segment",
                "window": "Window",
                "Value #A": "PSI",
                "Value #B": "Rows",
            },
            [column("Rows", unit="short", decimals=0)],
            "PSI",
            unit="none",
            decimals=3,
        ),
    ]


def feature() -> Json:
    """The dashboard."""
    psi, ratios, faults, divergences, distances, rows = _graphs()
    picture, moved = _distributions()
    segment_graph, segment_table = _segments()
    states = timeline(
        "State over time",
        "The worst verdict in each window. Gaps: no score.",
        [target(worst("window", level("feature", *SCOPE)), "{{window}}")],
        LEVELS,
    )
    known = series("modeldrift_feature_evaluated", ONE)
    return dashboard(
        FEATURE,
        "One feature of a model: reference against current distribution, and all its scores.",
        [
            *common_variables(many_models=False),
            variable("feature", "Feature", known, many=False),
            window_variable(ONE),
            variable("segment_by", "Split by", series("modeldrift_segment_rows", ONE)),
        ],
        [
            link(FLEET, "job", "instance", "window"),
            link(MODEL, "job", "instance", "model", "window"),
            link(HEALTH, "job", "instance", "model"),
            link(INCIDENTS_BOARD, "job", "instance", "model"),
        ],
        common_annotations(ONE, 'model=~"$model|", feature=~"$feature|"'),
        placed(
            (4, _stats()),
            (10, [(24, picture)]),
            (10, [(12, psi), (12, ratios)]),
            (6, [(24, states)]),
            row("How the distribution moved"),
            (10, [(24, moved)]),
            row("Other statistics"),
            (10, [(8, faults), (8, divergences), (8, distances)]),
            row("Segments and rows"),
            (9, [(10, segment_graph), (8, segment_table), (6, rows)]),
            (6, [(24, text("How to read this", "What the numbers mean.", READING))]),
        ),
    )
