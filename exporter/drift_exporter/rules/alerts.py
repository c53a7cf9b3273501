"""The alerts: what each watches, how long it waits, and how bad it is.

Knows recorded series and the exporter's metrics; how an alert reads is in ``annotations``.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from drift_exporter.config import RATES, duration_of
from drift_exporter.rules.recording import (
    AGE,
    COLUMNS_OVER,
    FEATURES_OVER,
    HELD,
    INFO,
    QUALITY,
    QUIET,
    ROLES,
    SHARE_OVER,
    SHORTEST,
    agreed_of,
    limit,
    segment_of,
)

DAY_SECONDS, HOUR_SECONDS, MINUTE_SECONDS = 86400.0, 3600.0, 60.0

QUALITY_ALERTS = {
    "missing_ratio": "ModelDriftMissingValuesHigh",
    "unseen_ratio": "ModelDriftUnseenValuesHigh",
    "out_of_range_ratio": "ModelDriftOutOfRangeHigh",
}
"""Alert of each share of rows; a test holds that they are ``config.RATES``."""


@dataclass(frozen=True)
class Alert:
    """One alerting rule."""

    name: str
    expr: str
    severity: str | None = None
    """None: the series brings it, as the threshold does."""

    wait_seconds: float = 0
    """Prometheus' ``for``."""

    keep_seconds: float = 0
    """Prometheus' ``keep_firing_for``: how long a recovery must hold."""

    escalated: bool = False
    tier: str | None = None
    """The tier, where the series does not bring it."""


@dataclass(frozen=True)
class Pace:
    """How patient alerts are with models of one run interval.

    A score holds its value between runs, so patience is counted in runs: an alert waits for
    the second bad run in a row, and ends after the second good one.
    """

    interval_seconds: float
    selector: str = ""
    """Matcher of the models, ``model=~"a|b"``; empty: all of them."""

    @property
    def run_interval(self) -> str:
        """The interval as a label and a group's name tell it."""
        return str(duration_of(self.interval_seconds))

    @property
    def slack_seconds(self) -> float:
        """What a run may be late: scrapes, evaluations and the run's own duration."""
        interval = self.interval_seconds
        return min(interval / 2, max(5 * MINUTE_SECONDS, interval / 10))

    @property
    def two_runs_seconds(self) -> float:
        """Longer than one run's value is exposed, shorter than two runs' values."""
        return self.interval_seconds + self.slack_seconds

    @property
    def first_success_seconds(self) -> float:
        """Two runs and the profile that the first one builds."""
        return 2 * self.interval_seconds + self.slack_seconds + max(self.interval_seconds, 60)

    @property
    def patience_seconds(self) -> float:
        """How long the exporter itself may be in trouble: three runs, at most 15 minutes."""
        return min(15 * MINUTE_SECONDS, 3 * self.interval_seconds)

    def patient(self, name: str, expr: str, severity: str | None = None) -> Alert:
        """An alert that waits for the second bad run, and ends after the second good one."""
        two = self.two_runs_seconds
        return Alert(name, expr, severity, wait_seconds=two, keep_seconds=two)

    def of(self, name: str, *matchers: str) -> str:
        """A selector of a series of these models."""
        inside = ", ".join(m for m in (*matchers, self.selector) if m)
        return f"{name}{{{inside}}}" if inside else name

    def last(self, name: str, *matchers: str) -> str:
        """The last value of the past hour: what is unknown has not recovered.

        Without it an exporter that goes down would end every alert, and tell of recoveries that
        nobody saw.
        """
        return f"last_over_time({self.of(name, *matchers)}[{HELD}])"

    def span(self, seconds: float) -> str:
        """A range of at least three runs, as PromQL writes it."""
        return f"{max(seconds, 3 * self.interval_seconds):.0f}s"


def model_alerts(pace: Pace) -> Iterator[Alert]:
    """All alerts about models whose runs keep this pace."""
    yield from _score_alerts(pace)
    yield from _quality_alerts(pace)
    yield from _data_alerts(pace)
    yield from _run_alerts(pace)
    yield from _age_alerts(pace)


def routed(expr: str, *own: str, severity: str | None = None, tier: str = "") -> str:
    """The expression with owner, team and tier; series whose severity the tier lacks end here.

    ``own`` are the labels that the expression has and a model's info has not.
    """
    ignored = [*own, *(["severity"] if severity else []), "owner", "team", "tier"]
    matchers = ([f'severity="{severity}"'] if severity else []) + ([tier] if tier else [])
    info = f"{INFO}{{{', '.join(matchers)}}}" if matchers else INFO
    joined = f"* ignoring ({', '.join(ignored)}) group_left (owner, team, tier)"
    return f"({expr})\n{joined}\n{info}"


def _score_alerts(pace: Pace) -> Iterator[Alert]:
    names = {"feature": "ModelDriftFeatureDrifted", "prediction": "ModelDriftPredictionDrifted"}
    for role, label in ROLES.items():
        over = f"{pace.last(agreed_of(role))} > 1"
        yield pace.patient(names[role], routed(_unless_quiet(over), label, "statistic"))
    over = "\nor\n".join(f"{pace.last(segment_of(role))} > 1" for role in ROLES)
    labels = ("segment_by", "segment", *ROLES.values())
    yield pace.patient("ModelDriftSegmentDrifted", routed(_unless_quiet(over), *labels))
    several = pace.last(FEATURES_OVER, 'severity="warning"')
    wide = _unless_quiet(
        f"{pace.last(SHARE_OVER)} > on () group_left () {limit('widespread_share')}\n"
        f"and ignoring (severity) {several} >= on () group_left () {limit('widespread_features')}"
    )
    name = "ModelDriftWidespread"
    yield pace.patient(name, routed(wide, severity="critical"), "critical")
    low = routed(wide, severity="warning", tier='tier="low"')
    yield pace.patient(name, low, "warning")
    yield from _sustained_alerts(pace)


def _sustained_alerts(pace: Pace) -> Iterator[Alert]:
    """The escalation: a day of drift, or an hour of critical drift of a model of tier high."""

    def lasting(severity: str, seconds: float) -> str:
        count = pace.of(COLUMNS_OVER, f'severity="{severity}"')
        known, span = limit("presence_share"), pace.span(seconds)
        return _unless_quiet(
            f"min_over_time({count}[{span}]) > 0\n"
            f"and {count} offset {span} > 0\n"
            f"and count_over_time({count}[{span}])\n"
            f"  > on () group_left ()\n"
            f"  ({known} * count_over_time({known}[{span}]))"
        )

    name, keep = "ModelDriftSustained", pace.two_runs_seconds
    day, hour = lasting("warning", DAY_SECONDS), lasting("critical", HOUR_SECONDS)
    strict = _ignoring_severity(hour, 'severity="critical", tier="high"')
    usual = _ignoring_severity(day, 'severity="critical"')
    critical = f"{strict}\nor\n{usual}"
    yield Alert(name, critical, "critical", keep_seconds=keep, escalated=True)
    low = _ignoring_severity(day, 'severity="warning", tier="low"')
    yield Alert(name, low, "warning", keep_seconds=keep, escalated=True)


def _unless_quiet(expr: str) -> str:
    """The expression while no successor of the model is being tried.

    Faults of the data and of the monitoring are told all the same.
    """
    return f"(\n{_indented(expr)}\n)\nunless on (namespace, job, model) {QUIET}"


def _ignoring_severity(expr: str, matchers: str) -> str:
    joined = "* ignoring (severity, owner, team, tier) group_left (owner, team, tier)"
    return f"sum without (severity) (\n{_indented(expr)}\n)\n{joined}\n{INFO}{{{matchers}}}"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _quality_alerts(pace: Pace) -> Iterator[Alert]:
    # A fault of the data shows at once in the shortest window; a day would hide it for hours. The
    # series holds what was last known by itself.
    for statistic in RATES:
        ratio = pace.of(QUALITY, f'statistic="{statistic}"')
        told = routed(f"{ratio} > 1", "feature", "window", "statistic")
        yield pace.patient(QUALITY_ALERTS[statistic], told)


def _data_alerts(pace: Pace) -> Iterator[Alert]:
    reason = 'reason=~"column_missing|reference_empty"'
    lost = "\nor\n".join(
        f"max without (instance, pod, window) "
        f"({pace.of(f'modeldrift_{role}_not_evaluated', reason)})"
        for role in ROLES
    )
    yield pace.patient(
        "ModelDriftFeatureNotEvaluated",
        routed(lost, "reason", *ROLES.values(), severity="warning"),
        "warning",
    )
    scored = (
        f"max without (instance, pod, window, feature) ({pace.of('modeldrift_feature_evaluated')})"
    )
    few = pace.of("modeldrift_feature_not_evaluated", 'reason="too_few_rows"')
    too_few = (
        f"{scored} == 0\n"
        f"and ignoring (reason)\n"
        f"max without (instance, pod, window, feature) ({few})"
    )
    yield pace.patient("ModelDriftTooFewRows", routed(too_few, severity="warning"), "warning")
    rows = f"max without (instance, pod) ({pace.last('modeldrift_window_rows')})"
    name = "ModelDriftNoData"
    all_empty = f"max without (window) ({rows}) == 0"
    yield pace.patient(name, routed(all_empty, severity="critical"), "critical")
    short_empty = f"{rows} == 0\nand\n{pace.last(SHORTEST)}"
    yield pace.patient(name, routed(short_empty, "window", severity="warning"), "warning")


def _run_alerts(pace: Pace) -> Iterator[Alert]:
    slack, two = pace.slack_seconds, pace.two_runs_seconds

    def held(name: str) -> str:
        """The best of all replicas; a missed scrape does not end it."""
        return f"max without (instance, pod) (last_over_time({pace.of(name)}[5m]))"

    name, age = "ModelDriftMonitorStale", pace.of(AGE)
    very = f"{age} > on () group_left () {limit('stale_times')}"
    yield Alert(name, routed(very, severity="critical"), "critical", slack, slack)
    yield Alert(name, routed(f"{age} > 1", severity="warning"), "warning", slack, slack)
    interval = held("modeldrift_run_interval_seconds")
    never = f"{interval}\nunless\n{held('modeldrift_run_last_success_timestamp_seconds')}"
    yield Alert(
        "ModelDriftNeverSucceeded",
        routed(never, severity="warning"),
        "warning",
        pace.first_success_seconds,
        slack,
    )
    failing = f"{held('modeldrift_run_success')} == 0"
    yield Alert("ModelDriftRunFailing", routed(failing, severity="warning"), "warning", two, slack)
    slow = (
        f"{held('modeldrift_run_duration_seconds')}\n/ {interval}\n"
        f"> on () group_left () {limit('slow_run_share')}"
    )
    yield Alert("ModelDriftRunSlow", routed(slow, severity="warning"), "warning", two, two)
    skipped = pace.of("modeldrift_runs_skipped_total")
    span = f"{max(4 * pace.interval_seconds, 5 * MINUTE_SECONDS):.0f}s"
    often = (
        f"max without (instance, pod) (sum without (reason) (increase({skipped}[{span}])))\n"
        f"> on () group_left () {limit('skipped_runs')}"
    )
    yield Alert(
        "ModelDriftRunsSkipped",
        routed(often, severity="warning"),
        "warning",
        keep_seconds=two,
    )


def _age_alerts(pace: Pace) -> Iterator[Alert]:
    created = pace.of("modeldrift_reference_created_timestamp_seconds")
    old = (
        f"time() - max without (instance, pod) ({created})\n"
        f"> on () group_left () {limit('reference_age_seconds')}"
    )
    yield Alert("ModelDriftReferenceOld", routed(old, severity="warning"), "info", HOUR_SECONDS)
    trained = pace.of("modeldrift_model_trained_timestamp_seconds")
    cadence = pace.of("modeldrift_model_retrain_interval_seconds")
    overdue = (
        f"time() - max without (instance, pod) ({trained})\n"
        f"> max without (instance, pod) ({cadence})"
    )
    yield Alert(
        "ModelDriftRetrainingOverdue", routed(overdue, severity="warning"), "warning", HOUR_SECONDS
    )


def exporter_alerts(job: str, pace: Pace, tier: str | None, *, watchdog: bool) -> Iterator[Alert]:
    """All alerts about the exporter itself.

    ``job`` is that of its scrape config, ``tier`` the highest of its models: an exporter that is
    gone is as bad as what nobody watches now.
    """
    wait = pace.patience_seconds
    up = f'up{{job="{job}"}}'
    none_up = f"max without (instance, pod) ({up}) == 0"
    yield Alert("ModelDriftExporterDown", none_up, "critical", wait, tier=tier)
    yield Alert("ModelDriftExporterDown", f"{up} == 0", "warning", wait)
    yield Alert("ModelDriftExporterAbsent", f"absent({up})", "critical", wait, tier=tier)
    for name, expr in {
        "ModelDriftExporterSeriesDropped": "modeldrift_exporter_series_dropped[5m]) > 0",
        "ModelDriftExporterConfigReloadFailed": (
            "modeldrift_exporter_config_last_reload_successful[5m]) == 0"
        ),
        "ModelDriftExporterStoreNotWritable": "modeldrift_exporter_store_writable[5m]) == 0",
    }.items():
        yield Alert(name, f"last_over_time({expr}", "warning", wait)
    if watchdog:
        yield Alert("ModelDriftWatchdog", "vector(1)", "none")
