"""Recorded series: scores over their thresholds, one per question that an alert asks.

Knows the exporter's metric names and how replicas, windows and severities fold together;
knows no model of anybody and no threshold.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from textwrap import dedent

from drift_exporter.config import RATES

Rule = dict[str, object]

SCORE_FAMILIES = {
    "psi": "psi",
    "kl_divergence": "kl_divergence_nats",
    "js_distance": "js_distance",
    "hellinger_distance": "hellinger_distance",
    "total_variation": "total_variation_distance",
    "ks_statistic": "ks_statistic",
    "wasserstein_distance": "wasserstein_distance",
    "missing_ratio": "missing_ratio",
    "unseen_ratio": "unseen_ratio",
    "out_of_range_ratio": "out_of_range_ratio",
}
"""End of the family's name of each statistic of ``config.STATISTICS``; a test compares them
with what is exported."""

ROLES = {"feature": "feature", "prediction": "output"}
"""Roles of columns, and the label that names a column of the role."""

HELD = "1h"
"""How long what was last known holds when nothing is known any more."""

INFO = "model_severity:modeldrift_model_info:newest"
RECENT = "model:modeldrift_model_info:recent"
LIMIT = "modeldrift:alert_limit:constant"
SPAN = "model_window:modeldrift_window_span_seconds:max"
SHORTEST = "model_window:modeldrift_window_span_seconds:shortest"
QUIET = "model:modeldrift_model_quiet_until_timestamp_seconds:ahead"
"""Models whose drift is not alerted on now, because they have a successor."""

QUALITY = "model_feature_window_statistic_severity:modeldrift_feature_share_per_threshold:shortest"
"""Shares of rows over their thresholds, of each column in the shortest window that has a score."""

AGE = "model:modeldrift_run_age_per_stale_after:ratio"
FEATURES_OVER = "model_severity:modeldrift_features_over_threshold:count"
COLUMNS_OVER = "model_severity:modeldrift_columns_over_threshold:count"
SHARE_OVER = "model:modeldrift_features_over_per_evaluated:ratio"


def score_of(role: str) -> str:
    """Name of the recorded scores of a role that have a threshold."""
    return f"model_{ROLES[role]}_window_statistic:modeldrift_{role}_score:max"


def ratio_of(role: str) -> str:
    """Name of the recorded scores of a role over their thresholds, by window."""
    return (
        f"model_{ROLES[role]}_window_statistic_severity:modeldrift_{role}_score_per_threshold:max"
    )


def agreed_of(role: str) -> str:
    """Name of the recorded scores of a role over their thresholds, the least of all windows."""
    return f"model_{ROLES[role]}_statistic_severity:modeldrift_{role}_score_per_threshold:min"


def segment_of(role: str) -> str:
    """Name of the same of segments."""
    return f"model_segment_{ROLES[role]}_severity:modeldrift_segment_{role}_psi_per_threshold:min"


@dataclass(frozen=True)
class Limits:
    """Limits that the exporter has no series for; each becomes a series of its own."""

    widespread_share: float = 0.3
    """Share of a model's features over their warning threshold that is a widespread drift."""

    widespread_features: float = 2
    """Fewest features over their warning threshold that are a widespread drift."""

    stale_times: float = 2
    """Multiple of ``stale_after`` from which a silent model is critical."""

    slow_run_share: float = 0.8
    """Share of the interval that a run may take."""

    skipped_runs: float = 2
    """Runs of the last four that may be skipped."""

    reference_age_seconds: float = 90 * 86400
    """Age of a reference from which it is worth a look."""

    presence_share: float = 0.8
    """Share of the time that must be known for a drift to count as sustained."""

    action_waits_seconds: float = 4 * 3600
    """How long an action may wait for its approval."""

    self_test_times: float = 3
    """Multiple of the budget of false alarms that the self-test may find."""


def limit(name: str) -> str:
    """The series of a limit, to compare with ``on ()``."""
    if name not in {field.name for field in fields(Limits)}:
        raise KeyError(name)
    return f'{LIMIT}{{limit="{name}"}}'


WAIT = "two_runs_seconds"
"""The limit that tells how long the rules make drift alerts wait, by interval."""


def wait_limit(run_interval: str) -> str:
    """The series of how long drift alerts of an interval wait."""
    return f'{LIMIT}{{limit="{WAIT}", run_interval="{run_interval}"}}'


def limit_rules(limits: Limits, waits: Mapping[str, float]) -> list[Rule]:
    """One constant series per limit, so that no alert holds a number.

    ``waits`` is how many seconds drift alerts wait, by the interval of the runs.
    """
    found = [(getattr(limits, field.name), {"limit": field.name}) for field in fields(Limits)]
    # Whole seconds, as calibration counts them.
    found += [(int(s), {"limit": WAIT, "run_interval": every}) for every, s in waits.items()]
    return [{"record": LIMIT, "expr": f"{value:.10g}", "labels": labels} for value, labels in found]


def score_rules() -> list[Rule]:
    """The recorded series of all models, in an order in which each finds what it needs."""
    rules = [*_model_rules()]
    for role in ROLES:
        rules += [*_score_rules(role), *_segment_rules(role)]
    return [*rules, _quality_rule(), *_count_rules()]


def _rule(record: str, expr: str, **labels: str) -> Rule:
    rule: Rule = {"record": record, "expr": dedent(expr).strip()}
    return {**rule, "labels": labels} if labels else rule


def _model_rules() -> list[Rule]:
    recent = f"""
        max without (instance, pod, version) (
          2 * modeldrift_model_info
          or
          last_over_time(modeldrift_model_info[{HELD}])
        )
    """
    # After a new version both infos are there for a while; two matches would fail the rule, and
    # an owner that changes to and fro would begin every alert anew. So one is chosen, and kept
    # until it is gone and another is there. Without any info an alert is told all the same,
    # without an owner.
    newest = f"""
        topk without (owner, team, tier) (1,
          {RECENT}
          + (
            0.5 * sum without (severity) ({INFO}{{severity="warning"}})
            or
            0 * {RECENT}
          )
        ) * 0 + 1
        or ignoring (owner, team, tier)
        max without (instance, pod) (modeldrift_run_interval_seconds) * 0 + 1
    """
    return [
        _rule(RECENT, recent),
        _rule(INFO, newest, severity="warning"),
        _rule(INFO, f'{INFO}{{severity="warning", tier!="low"}}', severity="critical"),
        _rule(
            SPAN,
            """
            max without (instance, pod) (
              modeldrift_window_end_timestamp_seconds
              - modeldrift_window_start_timestamp_seconds
            )
            """,
        ),
        _rule(SHORTEST, f"bottomk without (window) (1, {SPAN})"),
        _rule(
            QUIET,
            f"""
            max without (instance, pod) (
              last_over_time(modeldrift_model_quiet_until_timestamp_seconds[{HELD}])
            ) > time()
            """,
        ),
        _rule(
            AGE,
            """
            (
              time()
              - max without (instance, pod) (
                last_over_time(modeldrift_run_last_success_timestamp_seconds[5m])
              )
            )
            / max without (instance, pod) (
              last_over_time(modeldrift_scores_stale_after_seconds[5m])
            )
            """,
        ),
    ]


def _score_rules(role: str) -> list[Rule]:
    threshold = f"modeldrift_{role}_threshold"
    scores = [
        _rule(
            score_of(role),
            f"""
            max without (instance, pod) (modeldrift_{role}_{family})
            and ignoring (statistic, severity)
            max without (instance, pod) ({threshold}{{statistic="{statistic}"}})
            """,
            statistic=statistic,
        )
        for statistic, family in SCORE_FAMILIES.items()
    ]
    per_threshold = f"""
        {score_of(role)}
        / ignoring (severity) group_right ()
        max without (instance, pod) ({threshold})
    """
    # Shares of a feature are a fault of the data and have alerts of their own.
    drift = f'{{statistic!~"{"|".join(RATES)}"}}' if role == "feature" else ""
    agreed = f"min without (window) ({ratio_of(role)}{drift})"
    return [*scores, _rule(ratio_of(role), per_threshold), _rule(agreed_of(role), agreed)]


def _quality_rule() -> Rule:
    # What was last known holds here, before the choice: a window whose score is just gone would
    # else be told beside the longer one that takes its place.
    ratio = f'last_over_time({ratio_of("feature")}{{statistic=~"{"|".join(RATES)}"}}[{HELD}])'
    return _rule(
        QUALITY,
        f"""
        {ratio}
        and
        bottomk without (window) (1,
          0 * {ratio}
          + ignoring (feature, statistic, severity) group_left ()
          last_over_time({SPAN}[{HELD}])
        )
        """,
    )


def _segment_rules(role: str) -> list[Rule]:
    # A segment is small and there are many: it counts only where every window has a score.
    def expr(severity: str) -> str:
        psi = f"max without (instance, pod) (modeldrift_segment_{role}_psi)"
        threshold = f'modeldrift_{role}_threshold{{severity="{severity}", statistic="psi"}}'
        least = f"max without (instance, pod) ({threshold})"
        matching = "ignoring (segment_by, segment, statistic, severity) group_left ()"
        # Calibrated thresholds follow the rows, so a segment has its own.
        own = f'modeldrift_segment_{role}_threshold{{severity="{severity}", statistic="psi"}}'
        return (
            "min without (window) (\n"
            f"  {psi}\n"
            "  / ignoring (statistic, severity)\n"
            f"  max without (instance, pod) ({own})\n"
            "  or\n"
            f"  {psi}\n"
            f"  / {matching}\n"
            f"  {least}\n"
            ")\n"
            "and (\n"
            f"  count without (window) ({psi})\n"
            f"  == {matching}\n"
            f"  count without (window) ({least})\n"
            ")"
        )

    return [
        _rule(segment_of(role), expr(severity), severity=severity)
        for severity in ("warning", "critical")
    ]


def _count_rules() -> list[Rule]:
    worst = {role: f"max without (statistic) ({agreed_of(role)})" for role in ROLES}
    feature, prediction = worst["feature"], worst["prediction"]
    return [
        _rule(
            FEATURES_OVER,
            f"""
            count without (feature) ({feature} > 1)
            or
            count without (feature) ({feature}) * 0
            """,
        ),
        _rule(
            COLUMNS_OVER,
            f"""
            count without (feature, output) (
              {feature} > 1
              or
              {prediction} > 1
            )
            or
            count without (feature, output) (
              {feature}
              or
              {prediction}
            ) * 0
            """,
        ),
        _rule(
            SHARE_OVER,
            f"""
            {FEATURES_OVER}{{severity="warning"}}
            / ignoring (severity)
            count without (feature) (
              max without (instance, pod, window) (modeldrift_feature_evaluated) > 0
            )
            """,
        ),
    ]
