"""Generates ``docs/metrics.md`` from the families that are exposed.

``python -m drift_exporter.papers.metrics_docs [folder]`` writes it; a test holds the committed
file.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from drift_exporter.metrics.families import FAMILIES, MODEL_FAMILIES, Family
from drift_exporter.metrics.health import Health
from drift_exporter.metrics.incidents import INCIDENT_FAMILIES

HEAD = """\
# Metrics

Generated from the code by `make docs`; names and labels are public API (see the changelog).
All scores are gauges. `window` is as the config writes it, `1h`. A score that cannot be computed
is not there: it is never 0 and never NaN, and `modeldrift_feature_not_evaluated` tells why.

Families are in the order of importance: under `max_series` the last are withheld first.
*ends* marks series that end `stale_after` after the last successful run.
"""


def markdown() -> str:
    """Write the paper of all metrics."""
    return "\n".join(
        [
            HEAD,
            "## Per model",
            *_table(MODEL_FAMILIES),
            "",
            "## Per column, window and segment",
            *_table(FAMILIES[len(MODEL_FAMILIES) :]),
            "",
            "## Incidents, actions and the audit log",
            *_incidents(),
            "",
            "Counters and histograms come from the store: a restart does not reset them.",
            "",
            "## The exporter itself",
            *_health(),
            "",
            "`process_*` and `python_info` are those of the Prometheus client library.",
            "",
        ]
    )


def _table(families: tuple[Family, ...]) -> Iterator[str]:
    yield "| name | labels | ends | meaning |"
    yield "|---|---|---|---|"
    for family in families:
        labels = ", ".join(family.labels)
        yield f"| `{family.name}` | {labels} | {'yes' if family.score else ''} | {family.help} |"


def _incidents() -> Iterator[str]:
    yield "| name | type | labels | meaning |"
    yield "|---|---|---|---|"
    for found in INCIDENT_FAMILIES:
        yield f"| `{found.name}` | {found.kind} | {', '.join(found.labels)} | {found.help} |"


def _health() -> Iterator[str]:
    yield "| name | type | labels | meaning |"
    yield "|---|---|---|---|"
    health = Health("", "")
    health.add_model("m")
    for metric in health.registry.collect():
        if not metric.name.startswith("modeldrift_"):
            continue
        name = metric.name + ("_total" if metric.type == "counter" else "")
        labels = ", ".join(metric.samples[0].labels) if metric.samples else ""
        yield f"| `{name}` | {metric.type} | {labels} | {metric.documentation} |"


def write(folder: Path) -> None:
    """Write the paper into a folder."""
    (folder / "metrics.md").write_text(markdown(), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
