"""Metrics of incidents: what is told is what is scraped, and no counter ever falls."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from drift_exporter.config.response import Response
from drift_exporter.incident import IncidentState
from drift_exporter.incident.tally import OUTCOMES, Sums, Took
from drift_exporter.metrics.exposition import Exposition
from drift_exporter.metrics.health import Health
from drift_exporter.metrics.incidents import (
    BUCKETS,
    INCIDENT_FAMILIES,
    IncidentMetrics,
    Standing,
)

RESPONSE = Response.model_validate(
    {
        "actions": [{"name": "retrain", "kind": "http", "url": "https://ci.example.com/run"}],
        "acknowledge_within": {"high": "10m"},
    }
)
TIERS = {"credit": "high", "churn": "low"}
ACKNOWLEDGE, RESOLVE = (
    f"modeldrift_incident_time_to_{what}_seconds" for what in ("acknowledge", "resolve")
)


def told(standing: Standing | None = None) -> tuple[IncidentMetrics, "Scrape"]:
    """Metrics of two models, after an update."""
    registry = CollectorRegistry()
    metrics = IncidentMetrics(registry)
    metrics.configure(RESPONSE, TIERS)
    if standing is not None:
        metrics.update(standing)
    return metrics, Scrape(registry)


class Scrape:
    """Values of a registry as a scrape has them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def __call__(self, name: str, **labels: str) -> float | None:
        """The value of one series, None where it is not there."""
        return self._registry.get_sample_value(name, labels)

    def all(self, name: str) -> dict[tuple[str, ...], float]:
        """Values of a family by the values of its labels."""
        return {
            tuple(sample.labels.values()): sample.value
            for metric in self._registry.collect()
            for sample in metric.samples
            if sample.name == name
        }


def test_before_anything_happens_there_are_zeros() -> None:
    """What is known to exist in advance is 0, so that the first event is an increase."""
    _, scrape = told()

    opened = scrape.all("modeldrift_incidents_open")
    assert set(opened.values()) == {0}
    assert {model for model, _, _ in opened} == set(TIERS)
    assert {state for _, _, state in opened} == {"open", "acknowledged", "mitigating", "resolved"}
    assert scrape.all("modeldrift_actions_total") == {("retrain", str(o)): 0 for o in OUTCOMES}
    assert scrape("modeldrift_actions_waiting", action="retrain") == 0
    assert scrape(f"{ACKNOWLEDGE}_count", model="churn", severity="critical") == 0
    assert set(scrape.all("modeldrift_alerts_received_total").values()) == {0}


@pytest.mark.parametrize(
    "name",
    [
        "modeldrift_incident_oldest_unacknowledged_timestamp_seconds",
        "modeldrift_incident_oldest_open_timestamp_seconds",
        "modeldrift_action_oldest_waiting_timestamp_seconds",
        "modeldrift_audit_intact",
        "modeldrift_audit_entries",
        "modeldrift_model_promoted_timestamp_seconds",
        "modeldrift_model_quiet_until_timestamp_seconds",
    ],
)
def test_a_time_without_its_event_is_not_there(name: str) -> None:
    """0 would be 1970, and older than any limit."""
    assert told()[1].all(name) == {}


def test_limits_are_those_of_the_config() -> None:
    """How soon somebody must look, by tier; a new config tells other ones at once."""
    metrics, scrape = told()
    within = "modeldrift_incident_acknowledge_within_seconds"

    assert scrape.all(within) == {("high",): 600, ("medium",): 3600, ("low",): 28800}
    assert scrape("modeldrift_incident_resolve_within_seconds", tier="low") == 7 * 86400
    metrics.configure(Response(), {"credit": "medium"})
    assert scrape(within, tier="high") == 900


STANDING = Standing(
    open_counts={
        ("credit", "critical", IncidentState.OPEN): 2,
        ("credit", "critical", IncidentState.RESOLVED): 1,
        ("gone", "info", IncidentState.OPEN): 1,
    },
    oldest_unacknowledged={("credit", "critical"): 100.0, ("gone", "info"): 50.0},
    oldest_open={("credit", "critical"): 90.0},
    sums=Sums(
        incidents={("credit", "covariate_shift"): 3},
        actions={("retrain", "succeeded"): 4, ("former", "failed"): 1},
        to_acknowledge=(
            Took("credit", "critical", 60.0),
            Took("credit", "critical", 61.0),
            Took("credit", "warning", 10 * 86400.0),
        ),
        to_resolve=(Took("credit", "critical", 7200.0),),
    ),
    waiting={"retrain": 2},
    oldest_waiting={"retrain": 77.0},
)


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        pytest.param(
            "modeldrift_incidents_open", ("credit", "critical", "open"), 2, id="open incidents"
        ),
        pytest.param(
            "modeldrift_incidents_open", ("gone", "info", "open"), 1, id="of a model that is gone"
        ),
        pytest.param(
            "modeldrift_incident_oldest_unacknowledged_timestamp_seconds",
            ("credit", "critical", "high"),
            100,
            id="the oldest with the model's tier",
        ),
        pytest.param(
            "modeldrift_incident_oldest_unacknowledged_timestamp_seconds",
            ("gone", "info", "medium"),
            50,
            id="tier of a model that is gone",
        ),
        pytest.param(
            "modeldrift_incident_oldest_open_timestamp_seconds",
            ("credit", "critical", "high"),
            90,
            id="the oldest that goes on",
        ),
        pytest.param(
            "modeldrift_incidents_total", ("credit", "covariate_shift"), 3, id="classifications"
        ),
        pytest.param("modeldrift_actions_total", ("retrain", "succeeded"), 4, id="actions done"),
        pytest.param(
            "modeldrift_actions_total", ("former", "failed"), 1, id="an action that is gone"
        ),
        pytest.param("modeldrift_actions_waiting", ("retrain",), 2, id="actions that wait"),
        pytest.param(
            "modeldrift_action_oldest_waiting_timestamp_seconds", ("retrain",), 77, id="since when"
        ),
        pytest.param(
            f"{ACKNOWLEDGE}_bucket", ("credit", "critical", "60.0"), 1, id="a bucket has its bound"
        ),
        pytest.param(f"{ACKNOWLEDGE}_bucket", ("credit", "critical", "120.0"), 2, id="buckets sum"),
        pytest.param(f"{ACKNOWLEDGE}_bucket", ("credit", "warning", "604800.0"), 0, id="too long"),
        pytest.param(f"{ACKNOWLEDGE}_bucket", ("credit", "warning", "+Inf"), 1, id="for any bound"),
        pytest.param(f"{ACKNOWLEDGE}_sum", ("credit", "critical"), 121, id="sum of times"),
        pytest.param(f"{RESOLVE}_count", ("credit", "critical"), 1, id="what is not over"),
    ],
)
def test_what_the_store_knows_is_scraped(
    name: str, labels: tuple[str, ...], expected: float
) -> None:
    """Counts, times and the oldest of each kind, with the labels that alerts match."""
    assert told(STANDING)[1].all(name)[labels] == expected


def test_what_is_over_is_gone() -> None:
    """Gauges follow the store down; what is not there any more has no series."""
    metrics, scrape = told(STANDING)

    metrics.update(Standing())

    assert set(scrape.all("modeldrift_incidents_open").values()) == {0}
    assert ("gone", "info", "open") not in scrape.all("modeldrift_incidents_open")
    assert scrape.all("modeldrift_incident_oldest_open_timestamp_seconds") == {}
    assert scrape("modeldrift_actions_waiting", action="retrain") == 0


times = st.lists(
    st.builds(
        Took,
        st.sampled_from(["credit", "gone"]),
        st.sampled_from(["warning", "critical"]),
        st.floats(0, 2e6),
    ),
    max_size=6,
)


@given(found=times)
def test_a_histogram_counts_what_a_reader_counts(found: list[Took]) -> None:
    """Each bucket holds how many times are at most its bound, and the last one all."""
    _, scrape = told(Standing(sums=Sums(to_resolve=tuple(found))))
    buckets = scrape.all(f"{RESOLVE}_bucket")

    for model, severity in {(one.model, one.severity) for one in found}:
        taken = [t for m, s, t in found if (m, s) == (model, severity)]
        for bound in BUCKETS:
            expected = len([t for t in taken if t <= bound])
            assert buckets[model, severity, f"{bound:.1f}"] == expected
        assert buckets[model, severity, "+Inf"] == len(taken)
        labels = {"model": model, "severity": severity}
        assert scrape(f"{RESOLVE}_count", **labels) == len(taken)
        assert scrape(f"{RESOLVE}_sum", **labels) == pytest.approx(sum(taken))


def test_alerts_audit_and_promotions_are_told_by_themselves() -> None:
    """Each has its own way; an audit log that was not verified yet has no verdict."""
    metrics, scrape = told()

    metrics.received("accepted", 200)
    metrics.received("refused")
    metrics.audit(7, None)
    assert scrape("modeldrift_audit_intact") is None
    metrics.audit(8, False)
    metrics.promoted({"credit": (1000.0, 87400.0)})

    assert scrape.all("modeldrift_alerts_received_total") == {
        ("accepted",): 200,
        ("refused",): 1,
        ("failed",): 0,
    }
    assert scrape("modeldrift_audit_entries") == 8
    assert scrape("modeldrift_audit_intact") == 0
    assert scrape("modeldrift_model_quiet_until_timestamp_seconds", model="credit") == 87400


def test_a_new_config_keeps_what_was_told() -> None:
    """A reload changes tiers and names of actions, and forgets no incident."""
    metrics, scrape = told(STANDING)

    metrics.configure(Response(), {"credit": "low"})

    oldest = "modeldrift_incident_oldest_open_timestamp_seconds"
    assert scrape.all(oldest) == {("credit", "critical", "low"): 90}
    assert scrape(f"{RESOLVE}_count", model="credit", severity="critical") == 1


def _names(families: Iterable[Metric]) -> set[str]:
    return {family.name for family in families}


def test_both_formats_can_be_parsed_with_all_families() -> None:
    """A scrape has every family once, in both formats, beside the exporter's own health."""
    health = Health("1", "r")
    metrics = IncidentMetrics(health.registry)
    metrics.configure(RESPONSE, TIERS)
    metrics.update(STANDING)
    text = Exposition(health.registry, 1000).scrape(openmetrics=False, zipped=False).decode()
    strict = Exposition(health.registry, 1000).scrape(openmetrics=True, zipped=False).decode()
    wanted = {family.name.removesuffix("_total") for family in INCIDENT_FAMILIES}

    assert wanted <= {name.removesuffix("_total") for name in _names(parse(text))}
    found = parse_openmetrics(strict)  # type: ignore[no-untyped-call]
    assert wanted <= _names(found)
