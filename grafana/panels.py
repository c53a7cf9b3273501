"""The kinds of panels that the boards are made of, as Grafana's JSON.

Knows how each kind looks the same on every board: colours, legends, lines of thresholds. Never
what a panel asks.
"""

from collections.abc import Sequence
from typing import Any

from grafana.parts import DATASOURCE, PLUGIN_VERSION, Json

OK, WARNING, CRITICAL, UNKNOWN = "green", "orange", "red", "text"

RATIO_STEPS = ((None, OK), (0.8, "yellow"), (1, WARNING), (2.5, CRITICAL))
"""Bands of a score over its threshold of warning: near it, over it, far over it."""

LEVELS = ((0, "ok", OK), (1, "warning", WARNING), (2, "critical", CRITICAL))
"""Values of ``promql.level``, in words: colour is not the only carrier."""

Steps = Sequence[tuple[float | None, str]]
THRESHOLD = "T"
"""Query of the thresholds that a graph draws as dashed lines."""


def target(
    expression: str, legend: str = "", ref: str = "A", *, instant: bool = False, table: bool = False
) -> Json:
    """A query: over the range of the board, or of its end only."""
    return {
        "refId": ref,
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": expression,
        "legendFormat": legend or "__auto",
        "instant": instant,
        "range": not instant,
        "format": "table" if table else "time_series",
    }


def tables(**expressions: str) -> list[Json]:
    """Queries of a table: of the end of the range, one column of values each."""
    return [target(e, ref=ref, instant=True, table=True) for ref, e in expressions.items()]


def steps(values: Steps) -> Json:
    """Colours from values on."""
    return {"mode": "absolute", "steps": [{"value": v, "color": c} for v, c in values]}


def words(values: Sequence[tuple[float, str, str]]) -> list[Json]:
    """What values are called, and their colours."""
    options = {
        str(value): {"text": text, "color": colour, "index": index}
        for index, (value, text, colour) in enumerate(values)
    }
    return [{"type": "value", "options": options}]


def override(matcher: str, name: str, **properties: Any) -> Json:
    """Properties of some fields; ``__`` in a property's name is a dot."""
    return {
        "matcher": {"id": matcher, "options": name},
        "properties": [{"id": k.replace("__", "."), "value": v} for k, v in properties.items()],
    }


def column(name: str, **properties: Any) -> Json:
    """Properties of a table's column."""
    return override("byName", name, **properties)


def _panel(
    kind: str, title: str, description: str, targets: list[Json], defaults: Json, options: Json
) -> Json:
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "pluginVersion": PLUGIN_VERSION,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
    }


def stat(
    title: str,
    description: str,
    expression: str,
    unit: str = "short",
    *,
    colours: Steps = ((None, UNKNOWN),),
    named: Sequence[tuple[float, str, str]] = (),
    legend: str = "",
    names_only: bool = False,
    **defaults: Any,
) -> Json:
    """A single value, or a few with their names, in large letters."""
    shown = "name" if names_only else "value_and_name" if legend else "value"
    return _panel(
        "stat",
        title,
        description,
        [target(expression, legend, instant=True)],
        {
            "unit": unit,
            "color": {"mode": "thresholds"},
            "thresholds": steps(colours),
            "mappings": words(named),
            **defaults,
        },
        {
            "colorMode": "value",
            "graphMode": "none",
            "justifyMode": "center",
            "orientation": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "textMode": shown,
        },
    )


def graph(
    title: str,
    description: str,
    targets: list[Json],
    unit: str = "short",
    *,
    bars: bool = False,
    stacked: bool = False,
    lines_at: Steps = (),
    links: Sequence[Json] = (),
    **defaults: Any,
) -> Json:
    """Series over time. Values hold between runs, so lines are steps."""
    custom: Json = {
        "drawStyle": "bars" if bars else "line",
        "lineInterpolation": "stepAfter",
        "lineWidth": 1 if bars or stacked else 2,
        "fillOpacity": 60 if bars else 30 if stacked else 0,
        "showPoints": "never",
        "spanNulls": False,
        "axisSoftMin": 0,
        "stacking": {"group": "A", "mode": "normal" if stacked or bars else "none"},
        "thresholdsStyle": {"mode": "dashed" if lines_at else "off"},
    }
    made = _panel(
        "timeseries",
        title,
        description,
        targets,
        {
            "unit": unit,
            "color": {"mode": "palette-classic"},
            "custom": custom,
            "thresholds": steps(lines_at or ((None, OK),)),
            "links": list(links),
            **defaults,
        },
        {
            "legend": {
                "showLegend": True,
                "displayMode": "table",
                "placement": "bottom",
                "calcs": ["lastNotNull", "max"],
                "sortBy": "Last *",
                "sortDesc": True,
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    )
    made["fieldConfig"]["overrides"] = _threshold_lines()
    return made


def _threshold_lines() -> list[Json]:
    # Legends of thresholds begin with their severity; only the query T has them.
    dashed: Json = {
        "custom__lineStyle": {"fill": "dash", "dash": [8, 8]},
        "custom__lineWidth": 1,
        "custom__fillOpacity": 0,
        "custom__stacking": {"group": "B", "mode": "none"},
    }
    return [
        override("byFrameRefID", THRESHOLD, **dashed),
        *(
            override(
                "byRegexp", f"/^{severity} from/", color={"mode": "fixed", "fixedColor": colour}
            )
            for severity, colour in (("warning", WARNING), ("critical", CRITICAL))
        ),
    ]


def table(
    title: str,
    description: str,
    targets: list[Json],
    columns: dict[str, str],
    overrides: Sequence[Json],
    sort_by: str,
    *,
    descending: bool = True,
    **defaults: Any,
) -> Json:
    """A table whose queries share their labels: one row per combination of labels.

    ``columns`` names labels and values (``Value #A``) in order; what is not named is not shown.
    """
    made = _panel(
        "table",
        title,
        description,
        targets,
        {
            "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True},
            **defaults,
        },
        {
            "showHeader": True,
            "cellHeight": "sm",
            "footer": {"show": False, "reducer": ["sum"], "fields": "", "countRows": False},
            "sortBy": [{"displayName": sort_by, "desc": descending}],
        },
    )
    made["fieldConfig"]["overrides"] = list(overrides)
    made["transformations"] = [
        {"id": "merge", "options": {}},
        {
            "id": "filterFieldsByName",
            "options": {"include": {"names": list(columns)}},
        },
        {
            "id": "organize",
            "options": {
                "excludeByName": {},
                "indexByName": {name: i for i, name in enumerate(columns)},
                "renameByName": dict(columns),
            },
        },
    ]
    return made


def timeline(
    title: str,
    description: str,
    targets: list[Json],
    named: Sequence[tuple[float, str, str]],
    links: Sequence[Json] = (),
) -> Json:
    """A band per series, coloured and named by its state."""
    return _panel(
        "state-timeline",
        title,
        description,
        targets,
        {
            "unit": "short",
            "color": {"mode": "thresholds"},
            "thresholds": steps([(v if v else None, colour) for v, _, colour in named]),
            "mappings": words(named),
            "links": list(links),
            "custom": {"fillOpacity": 80, "lineWidth": 0},
        },
        {
            "alignValue": "left",
            "mergeValues": True,
            "rowHeight": 0.85,
            "showValue": "auto",
            "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "single", "sort": "none"},
        },
    )


def bar_chart(title: str, description: str, targets: list[Json], no_value: str) -> Json:
    """Shares per bin, the reference's beside the current one's."""
    made = _panel(
        "barchart",
        title,
        description,
        targets,
        {
            "unit": "percentunit",
            "color": {"mode": "palette-classic"},
            "min": 0,
            "noValue": no_value,
            "custom": {"fillOpacity": 80, "lineWidth": 0, "axisLabel": "share of rows"},
        },
        {
            "orientation": "vertical",
            "xField": "interval",
            "xTickLabelRotation": -45,
            "xTickLabelMaxLength": 24,
            "showValue": "never",
            "stacking": "none",
            "groupWidth": 0.75,
            "barWidth": 0.95,
            "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "none"},
        },
    )
    made["fieldConfig"]["overrides"] = [
        column("reference", color={"mode": "fixed", "fixedColor": "semi-dark-blue"}),
        column("current", color={"mode": "fixed", "fixedColor": "semi-dark-orange"}),
    ]
    made["transformations"] = [
        {"id": "merge", "options": {}},
        {"id": "sortBy", "options": {"fields": {}, "sort": [{"field": "bin", "desc": False}]}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {"Time": True, "bin": True},
                "indexByName": {"interval": 0, "Value #A": 1, "Value #B": 2},
                "renameByName": {"Value #A": "reference", "Value #B": "current"},
            },
        },
    ]
    return made


def heatmap(title: str, description: str, targets: list[Json], no_value: str) -> Json:
    """A row per series; the darker, the higher."""
    return _panel(
        "heatmap",
        title,
        description,
        targets,
        {
            "unit": "percentunit",
            "noValue": no_value,
            "custom": {"hideFrom": {"legend": False, "tooltip": False, "viz": False}},
        },
        {
            "calculate": False,
            "cellGap": 1,
            "cellValues": {"unit": "percentunit"},
            "color": {
                "mode": "scheme",
                "scheme": "Oranges",
                "scale": "exponential",
                "exponent": 0.5,
                "steps": 64,
                "fill": "dark-orange",
                "reverse": False,
            },
            "exemplars": {"color": "rgba(255,0,255,0.7)"},
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "tooltip": {
                "mode": "single",
                "show": True,
                "showColorScale": False,
                "yHistogram": False,
            },
            "yAxis": {"axisPlacement": "left", "reverse": False},
        },
    )


def text(title: str, description: str, markdown: str) -> Json:
    """Words."""
    made = _panel("text", title, description, [], {}, {"mode": "markdown", "content": markdown})
    del made["targets"]
    return made


def row(title: str) -> Json:
    """A heading over panels."""
    return {"type": "row", "title": title, "collapsed": False, "panels": []}


def placed(*lines: tuple[int, Sequence[tuple[int, Json]]] | Json) -> list[Json]:
    """Panels from above to below: each line is a height and panels with their widths, or a row.

    Raises
    ------
    ValueError
        If the panels of a line are not 24 wide.
    """
    found, y = [], 0
    for line in lines:
        if isinstance(line, dict):
            found.append({**line, "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}})
            y += 1
            continue
        height, panels = line
        if sum(width for width, _ in panels) != 24:
            raise ValueError(f"{[p['title'] for _, p in panels]}: not 24 wide")
        x = 0
        for width, panel in panels:
            found.append({**panel, "gridPos": {"x": x, "y": y, "w": width, "h": height}})
            x += width
        y += height
    return found
