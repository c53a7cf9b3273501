"""The board of the answer to drift: what is open, how fast people are, what was done about it."""

from drift_exporter.metrics.incidents import (
    ACKNOWLEDGE_WITHIN,
    ACTIONS,
    ALERTS,
    AUDIT_ENTRIES,
    AUDIT_INTACT,
    INCIDENTS,
    OLDEST,
    OLDEST_WAITING,
    OPEN,
    PROMOTED,
    QUIET_UNTIL,
    TO_ACKNOWLEDGE,
    TO_RESOLVE,
    UNACKNOWLEDGED,
    WAITING,
    IncidentFamily,
)
from grafana.panels import (
    CRITICAL,
    OK,
    THRESHOLD,
    WARNING,
    column,
    graph,
    placed,
    row,
    stat,
    table,
    tables,
    target,
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
)
from grafana.promql import MODELS, series, worst

NONE_IS_GOOD = ((None, OK), (1, WARNING))
GOING_ON = 'state=~"open|acknowledged|mitigating"'
SHARES = ((0.5, "half within"), (0.9, "90 % within"))
"""Quantiles of people's times, in words."""


def _all(family: IncidentFamily, by: str, *matchers: str) -> str:
    """The numbers of a store: exporters that share one tell the same."""
    return worst(by, series(family.name, *matchers))


def _open(*matchers: str) -> str:
    return f"sum({_all(OPEN, 'model, severity, state', MODELS, *matchers)})"


def _age(family: IncidentFamily, *matchers: str) -> str:
    return f"time() - min({series(family.name, *matchers)})"


def _stats() -> list[tuple[int, Json]]:
    return [
        (
            4,
            stat(
                "Incidents going on",
                "Open, acknowledged or being mitigated.",
                _open(GOING_ON),
                colours=NONE_IS_GOOD,
            ),
        ),
        (
            4,
            stat(
                "Not acknowledged",
                "Of these nobody has taken notice.",
                _open('state="open"'),
                colours=((None, OK), (1, CRITICAL)),
            ),
        ),
        (
            4,
            stat(
                "Oldest not acknowledged",
                "Time since the oldest incident was opened that nobody has acknowledged.",
                _age(UNACKNOWLEDGED, MODELS),
                "s",
                noValue="none",
            ),
        ),
        (
            4,
            stat(
                "Actions waiting for approval",
                "Proposed, and nobody has said yes or no.",
                f"sum({_all(WAITING, 'action')})",
                colours=NONE_IS_GOOD,
            ),
        ),
        (
            4,
            stat(
                "Waiting longest",
                "Time since the oldest action was proposed that waits for an approval.",
                _age(OLDEST_WAITING),
                "s",
                noValue="none",
            ),
        ),
        (
            4,
            stat(
                "Audit log intact",
                "What the last verification of the audit log found.",
                f"min({series(AUDIT_INTACT.name)})",
                named=((0, "no", CRITICAL), (1, "yes", OK)),
                noValue="not verified",
            ),
        ),
    ]


def _late() -> Json:
    by = "model, severity, tier"
    to_model = row_link(MODEL, "Look into this model", model="${__value.raw}")
    return table(
        "Oldest incidents",
        "Of each model and severity the oldest that goes on, the oldest that nobody has "
        "acknowledged, and how soon the model's tier wants that.",
        tables(
            A=f"time() - {_all(OLDEST, by, MODELS)}",
            B=f"time() - {_all(UNACKNOWLEDGED, by, MODELS)}",
            C=f"0 * {_all(OLDEST, by, MODELS)} + on (tier) group_left () "
            f"{_all(ACKNOWLEDGE_WITHIN, 'tier')}",
        ),
        {
            "model": "Model",
            "severity": "Severity",
            "tier": "Tier",
            "Value #A": "Going on for",
            "Value #B": "Not acknowledged for",
            "Value #C": "Acknowledge within",
        },
        [column("Model", links=[to_model])],
        "Going on for",
        unit="s",
        noValue="No incident goes on",
    )


def _quiet() -> Json:
    return table(
        "Promotions",
        "When a version or profile of a model was last promoted, and until when its drift is not "
        "alerted on.",
        tables(
            A=f"{_all(PROMOTED, 'model', MODELS)} * 1000",
            B=f"{_all(QUIET_UNTIL, 'model', MODELS)} * 1000",
        ),
        {"model": "Model", "Value #A": "Promoted", "Value #B": "Quiet until"},
        [],
        "Promoted",
        unit="dateTimeFromNow",
        noValue="Nothing was promoted",
    )


def _times(family: IncidentFamily, title: str, description: str) -> Json:
    buckets = _all(family, "model, severity, le", MODELS).replace(
        f"{family.name}{{", f"{family.name}_bucket{{"
    )
    return graph(
        title,
        description,
        [
            target(f"histogram_quantile({share}, sum by (le) ({buckets}))", words, ref)
            for ref, (share, words) in zip("AB", SHARES, strict=True)
        ],
        "s",
    )


def _graphs() -> list[Json]:
    ended = series(ACTIONS.name)
    came = series(INCIDENTS.name, MODELS)
    alerts = series(ALERTS.name)
    return [
        graph(
            "Incidents going on, by model and severity",
            "Open, acknowledged or being mitigated.",
            [
                target(
                    f"sum by (model, severity) "
                    f"({_all(OPEN, 'model, severity, state', MODELS, GOING_ON)}) > 0",
                    "{{model}}: {{severity}}",
                )
            ],
            stacked=True,
            decimals=0,
        ),
        graph(
            "Age of the oldest not acknowledged",
            "Of each model, whatever the severity. Dashed: how soon each tier wants it.",
            [
                target(
                    f"time() - min by (model, tier) ({series(UNACKNOWLEDGED.name, MODELS)})",
                    "{{model}} ({{tier}})",
                ),
                target(_all(ACKNOWLEDGE_WITHIN, "tier"), "within, tier {{tier}}", THRESHOLD),
            ],
            "s",
        ),
        graph(
            "New incidents",
            "By what the analysis found, or by their cause. No bar: none.",
            [
                target(
                    f"max by (model, classification) (increase({came}[$__rate_interval])) > 0",
                    "{{model}}: {{classification}}",
                )
            ],
            bars=True,
            decimals=0,
        ),
        graph(
            "Actions",
            "By how they ended. No bar: none.",
            [
                target(
                    f"max by (action, outcome) (increase({ended}[$__rate_interval])) > 0",
                    "{{action}}: {{outcome}}",
                )
            ],
            bars=True,
            decimals=0,
        ),
        graph(
            "Alerts received",
            "What came by the webhook, by outcome.",
            [
                target(
                    f"sum by (outcome) (increase({alerts}[$__rate_interval]))",
                    "{{outcome}}",
                )
            ],
            bars=True,
            decimals=0,
        ),
        graph(
            "Entries of the audit log",
            "The log only grows: the number of its newest entry.",
            [target(_all(AUDIT_ENTRIES, "instance"), "{{instance}}")],
        ),
    ]


def incidents() -> Json:
    """The dashboard."""
    going_on, age, new, actions, alerts, entries = _graphs()
    acknowledged = _times(
        TO_ACKNOWLEDGE,
        "Time to acknowledge",
        "Of all incidents since the store began: within which time half of them, and nine of "
        "ten, were acknowledged.",
    )
    resolved = _times(
        TO_RESOLVE,
        "Time to resolve",
        "Of all incidents since the store began: within which time half of them, and nine of "
        "ten, were over.",
    )
    return dashboard(
        INCIDENTS_BOARD,
        "The answer to drift: incidents that go on, how fast people are, actions, the audit log.",
        common_variables(many_models=True),
        [
            link(FLEET, "job", "instance", "model"),
            link(MODEL, "job", "instance"),
            link(FEATURE, "job", "instance"),
            link(HEALTH, "job", "instance", "model"),
        ],
        common_annotations(),
        placed(
            (4, _stats()),
            (7, [(16, _late()), (8, _quiet())]),
            (9, [(12, going_on), (12, age)]),
            row("How fast people are"),
            (9, [(8, acknowledged), (8, resolved), (8, new)]),
            row("Actions, alerts, audit log"),
            (8, [(8, actions), (8, alerts), (8, entries)]),
        ),
    )
