"""Values as text, colours by name, and tables from answers, as Grafana would show them.

Knows units, mappings and the transformations that our boards use; draws nothing.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from grafana.parts import Json
from grafana.prometheus import Series

COLOURS = {
    "green": "#3d9a50",
    "yellow": "#d9a400",
    "orange": "#e0752d",
    "red": "#c4162a",
    "blue": "#3274d9",
    "purple": "#8f3bb8",
    "text": "#24292e",
    "semi-dark-blue": "#3274d9",
    "semi-dark-orange": "#fa6400",
}
PALETTE = (
    "#3d9a50",
    "#3274d9",
    "#e0752d",
    "#8f3bb8",
    "#c4162a",
    "#0f8f8f",
    "#b8860b",
    "#d6409f",
    "#5a6b7b",
    "#7a5230",
)
TIME_UNITS = ((86400 * 365, "years"), (86400, "days"), (3600, "hours"), (60, "mins"), (1, "s"))
SIZES = ((1e9, "G"), (1e6, "M"), (1e3, "K"))


def colour(name: str) -> str:
    """A colour of Grafana's palette."""
    return COLOURS.get(name, name)


def step_colour(value: float, thresholds: Json) -> str:
    """The colour that a value has by its thresholds."""
    found = "text"
    for step in thresholds.get("steps", ()):
        if step["value"] is None or value >= step["value"]:
            found = step["color"]
    return colour(found)


def shown(value: float, field: Json, now: float) -> tuple[str, str]:
    """A value as text, and its colour."""
    for mapping in field.get("mappings", ()):
        option = mapping["options"].get(f"{value:g}")
        if option:
            return option["text"], colour(option["color"])
    paint = step_colour(value, field.get("thresholds", {}))
    return in_unit(value, field.get("unit", "none"), field.get("decimals"), now), paint


def in_unit(value: float, unit: str, decimals: int | None, now: float) -> str:
    """A number with its unit."""
    if unit == "percentunit":
        return f"{value * 100:.{1 if decimals is None else decimals}f}%"
    if unit == "dateTimeFromNow":
        apart = value / 1000 - now
        return f"in {_span(apart)}" if apart > 0 else f"{_span(-apart)} ago"
    if unit == "s":
        return _span(value)
    suffix = {"bytes": "B", "rowsps": " rows/s"}.get(unit, "")
    if unit in ("short", "bytes", "rowsps"):
        for size, letter in SIZES:
            if abs(value) >= size:
                return f"{value / size:.3g} {letter}{suffix}"
    if decimals is not None:
        return f"{value:.{decimals}f}{suffix}"
    return f"{value:.3g}{suffix}" if value != round(value) else f"{value:.0f}{suffix}"


def _span(seconds: float) -> str:
    for size, name in TIME_UNITS:
        if abs(seconds) >= size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds * 1000:.3g} ms"


def legend(target: Json, labels: Mapping[str, str]) -> str:
    """A series' name by the legend's template."""
    text: str = target["legendFormat"]
    if text == "__auto":
        return ", ".join(f"{k}={v}" for k, v in labels.items() if k != "__name__") or "Value"
    for name, value in labels.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    while "{{" in text:
        head, _, rest = text.partition("{{")
        text = head + rest.partition("}}")[2]
    return " ".join(text.split())


def field_of(panel: Json, name: str, ref: str = "") -> Json:
    """The settings of a field: the defaults, then the overrides that match its name."""
    config = panel["fieldConfig"]
    field: Json = {**config["defaults"], "custom": {**config["defaults"].get("custom", {})}}
    for override in config["overrides"]:
        if not _matches(override["matcher"], name, ref):
            continue
        for item in override["properties"]:
            head, _, rest = item["id"].partition(".")
            if rest:
                field[head][rest] = item["value"]
            else:
                field[head] = item["value"]
    return field


def _matches(matcher: Json, name: str, ref: str) -> bool:
    wanted = matcher["options"]
    if matcher["id"] == "byFrameRefID":
        return bool(wanted == ref)
    if matcher["id"] == "byRegexp":
        return name.startswith(wanted.strip("/^"))
    return bool(wanted == name)


Row = dict[str, Any]


def merged(targets: Sequence[Json], answers: Mapping[str, list[Series]]) -> list[Row]:
    """Rows of a table: answers with the same labels become one row."""
    rows: list[Row] = []
    for target in targets:
        value = f"Value #{target['refId']}" if len(targets) > 1 else "Value"
        for series in answers[target["refId"]]:
            labels: dict[str, str] = series["metric"]
            number = float(series["value"][1])
            same = [
                r
                for r in rows
                if value not in r and all(r.get(k, v) == v for k, v in labels.items())
            ]
            for row in same or [{}]:
                if not same:
                    rows.append(row)
                row.update(labels | {value: number})
    return rows


def table(panel: Json, answers: Mapping[str, list[Series]]) -> tuple[list[str], list[Row]]:
    """Names of the columns and the rows, after the panel's transformations and its sorting."""
    rows = merged(panel["targets"], answers)
    for step in panel["transformations"]:
        if step["id"] == "sortBy":
            key = step["options"]["sort"][0]["field"]
            rows.sort(key=lambda row: str(row.get(key, "")))
    organize = panel["transformations"][-1]["options"]
    order = organize["indexByName"]
    rename = organize["renameByName"]
    names = [n for n in sorted(order, key=order.__getitem__) if any(n in row for row in rows)]
    renamed = [{rename.get(n, n): row.get(n) for n in names} for row in rows]
    for sorting in panel["options"].get("sortBy", ()):
        key = sorting["displayName"]
        renamed.sort(key=lambda row: _order(row.get(key)), reverse=sorting["desc"])
    return [rename.get(n, n) for n in names], renamed


def _order(value: Any) -> tuple[float, str]:
    if isinstance(value, float):
        return (-math.inf if math.isnan(value) else value, "")
    return (-math.inf, value or "")
