"""PromQL that several boards share, over the exporter's own series.

Knows the names of metrics and labels, and the dashboards' variables; never a panel. Boards read
what the exporter exposes, not recorded series: they work before anybody has loaded the rules.
"""

from drift_exporter.config import STATISTICS
from drift_exporter.metrics.families import ROLES, STATISTIC_FAMILIES

TARGET = ('job=~"$job"', 'instance=~"$instance"')
"""What every selector has: which exporters are looked at."""

MODELS = 'model=~"$model"'
"""Any number of models, on the boards that compare them."""

MODEL = 'model="$model"'
"""The one model of a board."""

WINDOWS = 'window=~"$window"'
FEATURE = 'feature="$feature"'

SEVERITIES = 'severity=~"warning|critical"'

_NAMES = "|".join(STATISTICS)
_UNITS = "|".join(
    sorted({end.removeprefix(name) for name, (end, _) in STATISTIC_FAMILIES.items()} - {""})
)


def series(name: str, *matchers: str, at: str = "") -> str:
    """A selector of a metric, of the exporters that are looked at."""
    return f"{name}{{{', '.join((*TARGET, *matchers))}}}{at}"


def ratio(role: str, severity: str, *matchers: str, at: str = "") -> str:
    """Every score of a role over its threshold, with the labels ``statistic`` and ``severity``.

    1 is at the threshold, whatever the statistic. Families of statistics are one each; the
    name becomes a label, so that a score finds its threshold.
    """
    column = ROLES[role]
    name = f"modeldrift_{role}_({_NAMES})({_UNITS})?"
    scores = f'{{__name__=~"{name}", {", ".join((*TARGET, *matchers))}}}{at}'
    thresholds = series(f"modeldrift_{role}_threshold", *matchers, severity, at=at)
    return (
        f'label_replace({scores}, "statistic", "$1", "__name__", "{name}")'
        f" / on (job, instance, model, {column}, window, statistic) group_right () {thresholds}"
    )


def warning_ratio(role: str, *matchers: str, at: str = "") -> str:
    """Scores over the threshold from which the verdict is a warning."""
    return ratio(role, 'severity="warning"', *matchers, at=at)


def level(role: str, *matchers: str, at: str = "") -> str:
    """0 where a score is below its thresholds, 1 above that of warning, 2 above both."""
    column = ROLES[role]
    over = ratio(role, SEVERITIES, *matchers, at=at)
    return f"sum by (job, instance, model, {column}, window, statistic) ({over} > bool 1)"


def either(question: str, *matchers: str) -> str:
    """What ``ratio`` or ``level`` says of features and of predictions."""
    ask = {"ratio": warning_ratio, "level": level}[question]
    return " or ".join(f"({ask(role, *matchers)})" for role in ROLES)


def worst(by: str, expression: str) -> str:
    """The highest value for each combination of labels."""
    return f"max by ({by}) ({expression})"
