"""Alerts about the answer to drift: incidents, actions, the audit log, and calibration.

Knows the exporter's metrics of them; how soon somebody must look is a series too. Alerts about
incidents have names that begin with ``ModelDriftIncident``: none opens an incident.
"""

from collections.abc import Iterator

from drift_exporter.rules.alerts import DAY_SECONDS, HOUR_SECONDS, Alert, Pace, routed
from drift_exporter.rules.recording import INFO, limit, wait_limit

SEEN = "5m"
"""How long a number holds that a scrape missed."""


def incident_alerts(tier: str | None) -> Iterator[Alert]:
    """All alerts about incidents and what is done about them, whatever the model's interval.

    ``tier`` is the highest of the models: what the audit log proves, it proves of all of them.
    """
    for name, oldest, within in (
        ("ModelDriftIncidentUnacknowledged", "oldest_unacknowledged", "acknowledge_within"),
        ("ModelDriftIncidentOpenTooLong", "oldest_open", "resolve_within"),
    ):
        yield Alert(name, _late(oldest, within), escalated=True)
    ended = 'modeldrift_actions_total{outcome=~"failed|unknown"}'
    failed = f"max without (instance, pod) (increase({ended}[1h])) > 0"
    yield Alert("ModelDriftActionFailed", failed, "warning")
    waiting = _held("modeldrift_action_oldest_waiting_timestamp_seconds")
    long = f"time() - {waiting}\n> on () group_left () {limit('action_waits_seconds')}"
    yield Alert("ModelDriftActionWaiting", long, "warning")
    broken = f"{_held('modeldrift_audit_intact', 'min')} == 0"
    yield Alert("ModelDriftAuditBroken", broken, "critical", tier=tier)


def _held(series: str, fold: str = "max") -> str:
    return f"{fold} without (instance, pod) (last_over_time({series}[{SEEN}]))"


def _late(oldest: str, within: str) -> str:
    """Incidents older than their tier allows, with their own severity and tier."""
    # Nobody is told of what is for information, so nobody can be late.
    opened = f'modeldrift_incident_{oldest}_timestamp_seconds{{severity!="info"}}'
    return (
        f"(\n"
        f"  time() - {_held(opened)}\n"
        f"  > on (namespace, job, tier) group_left ()\n"
        f"  {_held(f'modeldrift_incident_{within}_seconds')}\n"
        f")\n"
        f"* ignoring (severity, owner, team, tier) group_left (owner, team)\n"
        f'{INFO}{{severity="warning"}}'
    )


def calibration_alerts(pace: Pace) -> Iterator[Alert]:
    """All alerts about the promise of calibrated thresholds, of models of one pace."""

    def now(name: str) -> str:
        return f"max without (instance, pod) ({pace.of(name)})"

    other = (
        f"{now('modeldrift_calibration_for_seconds')}\n"
        f"!= on () group_left () {wait_limit(pace.run_interval)}"
    )
    outdated = routed(other, severity="warning")
    yield Alert("ModelDriftRulesOutdated", outdated, "warning", HOUR_SECONDS)
    broken = (
        f"{now('modeldrift_self_test_alarms')}\n"
        f"/ {now('modeldrift_calibration_budget_alarms')}\n"
        f"> on () group_left () {limit('self_test_times')}"
    )
    promise = routed(broken, severity="warning")
    yield Alert("ModelDriftSelfTestFailed", promise, "warning", HOUR_SECONDS)
    failures = pace.of("modeldrift_calibration_failures_total")
    failing = f"max without (instance, pod) (increase({failures}[{pace.span(DAY_SECONDS)}]))\n> 0"
    yield Alert("ModelDriftCalibrationFailing", routed(failing, severity="warning"), "warning")
