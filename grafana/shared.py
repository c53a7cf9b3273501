"""What the boards of one model and of one feature both show."""

from drift_exporter.metrics.families import ROLES
from grafana.panels import LEVELS, UNKNOWN, stat, steps, target
from grafana.parts import Json
from grafana.promql import either, level, series, worst

NO_BINS = "No bins. Set expose_bins: true for the model, or for this column in its overrides."
"""What a picture of a distribution says where there is none."""


def state_stat(title: str, description: str, *matchers: str, role: str = "") -> Json:
    """The worst verdict now, in a word and a colour."""
    found = level(role, *matchers) if role else either("level", *matchers)
    made = stat(title, description, f"max({found})", named=LEVELS, noValue="no score")
    made["fieldConfig"]["defaults"]["thresholds"] = steps([(None, UNKNOWN)])
    made["options"]["colorMode"] = "background"
    return made


def shares(name: str, role: str, *matchers: str) -> str:
    """Share of the rows in each bin, with what the bin holds; the same from any number of
    instances, since rows add up.
    """
    column = ROLES[role]
    rows = series(f"modeldrift_{role}_{name}", *matchers)
    # Of the bins' texts only what is no window's.
    info = series(
        f"modeldrift_{role}_bin_info", *(m for m in matchers if not m.startswith("window"))
    )
    text = worst(f"model, {column}, bin, interval", info)
    per_bin = f"sum by (model, {column}, bin) ({rows})"
    return (
        f"{per_bin} * on (model, {column}, bin) group_left (interval) {text}"
        f" / on (model, {column}) group_left () sum by (model, {column}) ({rows})"
    )


def bins(role: str, *matchers: str) -> list[Json]:
    """Queries of the picture of a distribution: the reference's shares and the current ones."""
    by = "bin, interval"
    asked = {
        "A": shares("reference_bin_rows", role, *matchers),
        "B": shares("bin_rows", role, *matchers, 'window=~"$window"'),
    }
    return [
        target(worst(by, query), ref=ref, instant=True, table=True) for ref, query in asked.items()
    ]
