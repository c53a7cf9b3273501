"""A board as one HTML page: panels where Grafana puts them, with real answers in them.

Knows the grid and the kinds of panels; every query is asked through ``grafana.asking``.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from grafana.asking import ALL, Values, answer, chosen, options
from grafana.drawing import svg
from grafana.drawing.values import (
    PALETTE,
    colour,
    field_of,
    in_unit,
    legend,
    shown,
    step_colour,
    table,
)
from grafana.expressions import Expression, expressions, filled
from grafana.parts import Json
from grafana.prometheus import Prometheus, Series

COLUMN, ROW, GAP = 64, 38, 8
"""Pixels of a cell of the grid; Grafana's cell is 30 high, with a gap of 8."""

STYLE = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")

Answers = dict[str, list[Series]]
Size = tuple[float, float]


class Board:
    """A board on its way to a page."""

    def __init__(
        self, board: Json, prometheus: Prometheus, wanted: Mapping[str, Sequence[str]]
    ) -> None:
        self._board = board
        self._prometheus = prometheus
        self._values = chosen(board, prometheus, wanted)
        events = list(self._events())
        self._span = svg.Span(prometheus.start, prometheus.end, prometheus.step, events)
        self.empty: list[str] = []
        """Titles of panels without any data."""

    def html(self) -> str:
        """The page."""
        panels = list(self._placed())
        height = self.height
        body = "".join(self._panel(panel, values) for panel, values in panels)
        shown_values = "".join(
            f"<span>{escape(v['label'])} <b>{escape(self._said(v['name']))}</b></span>"
            for v in self._board["templating"]["list"]
        )
        links = "".join(f"<span>↗ {escape(link['title'])}</span>" for link in self._board["links"])
        return (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><style>{STYLE}</style>'
            f"<title>{escape(self._board['title'])}</title>"
            f"<header><h1>{escape(self._board['title'])}</h1>{shown_values}{links}</header>"
            f'<main style="height:{height}px">{body}</main></html>'
        )

    @property
    def height(self) -> int:
        """Pixels of the panels' grid."""
        places = (panel["gridPos"] for panel, _ in self._placed())
        return max(int(at["y"] + at["h"]) for at in places) * ROW

    def _said(self, name: str) -> str:
        values = self._values[name]
        if name == "datasource":
            return "Prometheus"
        return "All" if values == ALL else " + ".join(values)

    def _events(self) -> Iterator[svg.Event]:
        colours = {a["name"]: colour(a["iconColor"]) for a in self._board["annotations"]["list"]}
        for found in expressions(self._board):
            if found.where != "annotation":
                continue
            times = set()
            for series in self._answer(found, self._values):
                points = [(float(t), float(v)) for t, v in series["values"]]
                times |= (
                    {points[0][0]} if found.title == "Alerts" else {v / 1000 for _, v in points}
                )
            for time in times:
                if self._prometheus.start < time <= self._prometheus.end:
                    yield svg.Event(time, colours[found.title])

    def _answer(self, found: Expression, values: Values) -> list[Series]:
        return [s for s in answer(found, self._prometheus, values) if not isinstance(s, str)]

    def _placed(self) -> Iterator[tuple[Json, Values]]:
        """Panels and the values of their variables; a repeated one once per value."""
        pushed = 0
        for panel in self._board["panels"]:
            at = {**panel["gridPos"], "y": panel["gridPos"]["y"] + pushed}
            name = panel.get("repeat")
            if name is None:
                yield {**panel, "gridPos": at}, self._values
                continue
            variable = next(v for v in self._board["templating"]["list"] if v["name"] == name)
            values = list(self._values[name])
            if values == list(ALL):
                values = options(variable, self._prometheus, self._values)
            across = min(len(values), panel["maxPerRow"])
            for i, value in enumerate(values):
                place = {
                    **at,
                    "x": i % across * (24 // across),
                    "y": at["y"] + i // across * at["h"],
                    "w": 24 // across,
                }
                yield {**panel, "gridPos": place}, {**self._values, name: (value,)}
            pushed += at["h"] * (math.ceil(len(values) / across) - 1)

    def _panel(self, panel: Json, values: Values) -> str:
        at = panel["gridPos"]
        width, height = at["w"] * COLUMN - GAP, at["h"] * ROW - GAP
        corner = f"left:{at['x'] * COLUMN + GAP}px;top:{at['y'] * ROW}px"
        place = f"{corner};width:{width}px;height:{height}px"
        title = filled(panel["title"], values, {})
        if panel["type"] == "row":
            return f'<section class="row" style="{place}">⌄ {escape(title)}</section>'
        body = self._body(panel, values, (width - 12, height - 32))
        return (
            f'<section style="{place}"><h2>{escape(title)}</h2>'
            f'<div class="body" style="height:{height - 32}px">{body}</div></section>'
        )

    def _body(self, panel: Json, values: Values, size: Size) -> str:
        if panel["type"] == "text":
            return _markdown(panel["options"]["content"])
        one = {**self._board, "panels": [panel], "annotations": {"list": []}}
        found = {e.ref: self._answer(e, values) for e in expressions(one) if e.where == "panel"}
        if not any(found.values()):
            self.empty.append(filled(panel["title"], values, {}))
            said = panel["fieldConfig"]["defaults"].get("noValue", "No data")
            return f'<p class="none">{escape(said)}</p>'
        draw: dict[str, Callable[[Json, Answers, Size], str]] = {
            "stat": self._stat,
            "table": self._table,
            "timeseries": self._graph,
            "state-timeline": self._timeline,
            "barchart": self._bars,
            "heatmap": self._heat,
        }
        return draw[panel["type"]](panel, found, size)

    def _stat(self, panel: Json, found: Answers, size: Size) -> str:
        target = panel["targets"][0]
        mode = panel["options"]["textMode"]
        cells = []
        for series in found[target["refId"]]:
            name = legend(target, series["metric"])
            text, paint = shown(
                float(series["value"][1]), field_of(panel, name), self._prometheus.end
            )
            if mode == "name":
                cells.append(f'<div style="font-size:18px">{escape(name)}</div>')
                continue
            small = f"<small>{escape(name)}</small>" if mode == "value_and_name" else ""
            look = f"color:{paint}"
            if panel["options"]["colorMode"] == "background":
                look = f"background:{paint};color:#fff;padding:10px 40px"
            fits = int(size[0] / max(len(text), 1) / len(found["A"]))
            letters = f"font-size:{max(14, min(26, fits))}px"
            cells.append(f'<div style="{look};{letters}">{small}{escape(text)}</div>')
        return f'<div class="stat">{"".join(cells)}</div>'

    def _table(self, panel: Json, found: Answers, size: Size) -> str:
        names, rows = table(panel, found)
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        lines = []
        for row in rows[: int((size[1] - 24) // 25)]:
            cells = []
            for name in names:
                field = field_of(panel, name)
                cells.append(_cell(row.get(name), field, self._prometheus.end))
            lines.append(f"<tr>{''.join(cells)}</tr>")
        return f"<table><tr>{head}</tr>{''.join(lines)}</table>"

    def _graph(self, panel: Json, found: Answers, size: Size) -> str:
        lines: list[svg.Line] = []
        total: dict[float, float] = {}
        defaults = panel["fieldConfig"]["defaults"]
        stacked = defaults["custom"]["stacking"]["mode"] == "normal"
        number = 0
        for target in panel["targets"]:
            for series in found[target["refId"]]:
                name = legend(target, series["metric"])
                field = field_of(panel, name, target["refId"])
                fixed = field.get("color", {}).get("fixedColor")
                paint = colour(fixed) if fixed else PALETTE[number % len(PALETTE)]
                number += not fixed
                points = [(float(t), float(v)) for t, v in series["values"]]
                dashed = "lineStyle" in field["custom"]
                if stacked and not dashed and defaults["custom"]["drawStyle"] == "line":
                    points = [(t, total.setdefault(t, 0.0) + v) for t, v in points]
                    total |= dict(points)
                bars = field["custom"]["drawStyle"] == "bars"
                fill = field["custom"]["fillOpacity"] / 100
                lines.append(svg.Line(name, points, paint, dashed, fill, bars))
        levels = []
        if defaults["custom"]["thresholdsStyle"]["mode"] != "off":
            steps = defaults["thresholds"]["steps"]
            levels = [(s["value"], colour(s["color"])) for s in steps if s["value"] is not None]
        shown_lines = max(int(size[1] * 0.35 // 15) * 2, 2)
        more = len(lines) - shown_lines
        names_shown = min(len(lines), shown_lines) + (more > 0)
        text_height = math.ceil(names_shown / 2) * 15 + 8
        unit, decimals = defaults.get("unit", "none"), defaults.get("decimals")

        def label(value: float) -> str:
            return in_unit(value, unit, decimals if unit != "none" else None, self._prometheus.end)

        drawn = svg.graph(
            lines,
            levels,
            self._span,
            (size[0], size[1] - text_height),
            label,
            most=defaults.get("max"),
            whole=decimals == 0,
        )
        last = sorted(lines, key=lambda line: line.points[-1][1], reverse=True)
        names = [
            (
                line.name
                + " — "
                + in_unit(line.points[-1][1], unit, decimals, self._prometheus.end),
                line,
            )
            for line in last
        ]
        return drawn + _legend([(text, line.colour) for text, line in names[:shown_lines]], more)

    def _timeline(self, panel: Json, found: Answers, size: Size) -> str:
        target = panel["targets"][0]
        rows = [
            (legend(target, s["metric"]), [(float(t), float(v)) for t, v in s["values"]])
            for s in found[target["refId"]]
        ]
        defaults = panel["fieldConfig"]["defaults"]
        drawn = svg.bands(
            rows,
            self._span,
            (size[0], size[1] - 20),
            lambda value: shown(value, defaults, self._prometheus.end),
        )
        states = [
            (option["text"], colour(option["color"]))
            for option in defaults["mappings"][0]["options"].values()
        ]
        return drawn + _legend(states, 0, states=True)

    def _bars(self, panel: Json, found: Answers, size: Size) -> str:
        names, rows = table(panel, found)
        groups = [
            (
                name,
                [float(row.get(name) or 0) for row in rows],
                colour(field_of(panel, name)["color"].get("fixedColor", "blue")),
            )
            for name in names
            if name not in ("interval", "bin")
        ]
        drawn = svg.bars(
            [str(row["interval"]) for row in rows],
            groups,
            (size[0], size[1] - 20),
            lambda value: in_unit(value, "percentunit", 0, 0),
        )
        return drawn + _legend([(name, paint) for name, _, paint in groups], 0, states=True)

    def _heat(self, panel: Json, found: Answers, size: Size) -> str:
        target = panel["targets"][0]
        rows = [
            (legend(target, s["metric"]), [(float(t), float(v)) for t, v in s["values"]])
            for s in found[target["refId"]]
        ]
        return svg.heat(rows, self._span, size)


def _cell(value: object, field: Json, now: float) -> str:
    if value is None:
        return f'<td class="none" style="padding:3px">{escape(field.get("noValue", ""))}</td>'
    if not isinstance(value, float):
        option = next(
            (m["options"][value] for m in field.get("mappings", ()) if value in m["options"]), None
        )
        kind = ' class="link"' if field.get("links") else ""
        look = f' style="color:{colour(option["color"])}"' if option else ""
        return f"<td{kind}{look}>{escape(str(value))}</td>"
    text, paint = shown(value, field, now)
    look = field["custom"]["cellOptions"]
    style = ""
    if look["type"] == "color-background":
        style = f"background:{paint};color:#fff"
    elif look["type"] == "color-text":
        style = f"color:{paint}"
    elif look["type"] == "gauge":
        paint = step_colour(value, field["thresholds"])
        share = min(value / field["max"], 1) * 100
        style = f"background:linear-gradient(90deg,{paint}66 {share:.0f}%,#eee {share:.0f}%)"
    return f'<td class="n" style="{style}">{escape(text)}</td>'


def _legend(names: Sequence[tuple[str, str]], more: int, *, states: bool = False) -> str:
    items = "".join(
        f'<div><i style="background:{paint}"></i>{escape(name)}</div>' for name, paint in names
    )
    rest = f"<div>and {more} more</div>" if more > 0 else ""
    return f'<div class="legend{" states" if states else ""}">{items}{rest}</div>'


def _markdown(text: str) -> str:
    html = escape(text)
    html = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", html)
    html = re.sub(r"\*(.+?)\*", r"<i>\1</i>", html)
    html = re.sub(r"`(.+?)`", r"<code>\1</code>", html)
    items = re.split(r"^- ", html, flags=re.MULTILINE)[1:]
    return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"
