"""The dashboards as JSON: what Grafana needs, what dashboard-linter asks, what links where."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from grafana import parts
from grafana.build import dashboards, files
from grafana.expressions import Expression, all_panels, expressions, filled, label_values

from drift_exporter.metrics.families import FAMILIES
from drift_exporter.metrics.health import Health
from drift_exporter.metrics.incidents import INCIDENT_FAMILIES
from yaml_text import parsed

ROOT = Path(__file__).parent.parent
BOARDS = [
    json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
]
EXPRESSIONS = [found for board in BOARDS for found in expressions(board)]

each_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
each_expression = pytest.mark.parametrize("found", EXPRESSIONS, ids=lambda found: found.name)

SELECTOR = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)?\{([^}]*)\}")

SHOWS_DATA = {"stat", "table", "timeseries", "state-timeline", "barchart", "heatmap"}

UNITS = {"short", "none", "percentunit", "s", "bytes", "dateTimeFromNow"}
"""Units of ours, each one of Grafana's."""


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Panels that are no headings."""
    return (panel for panel in all_panels(board) if panel["type"] != "row")


def test_committed_is_what_the_code_makes() -> None:
    """Who changes a board's code runs `python -m grafana.build`; no file is left over."""
    for path, text in files().items():
        assert path.read_text(encoding="utf-8") == text, path.name
    committed = {path.name for path in (ROOT / "grafana" / "dashboards").iterdir()}
    assert committed == {f"{board['uid']}.json" for board in dashboards()}


def test_the_builder_tells_a_difference(tmp_path: Path) -> None:
    """`--check` passes on what is committed, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "grafana.build", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert not list(tmp_path.iterdir())


def test_uids_are_stable() -> None:
    """Alerts and bookmarks link to these; the rules' annotations too."""
    assert {board["uid"]: board["title"] for board in BOARDS} == {
        "modeldrift-fleet": "Model drift / Fleet",
        "modeldrift-model": "Model drift / Model",
        "modeldrift-feature": "Model drift / Feature",
        "modeldrift-health": "Model drift / Exporter health",
        "modeldrift-incidents": "Model drift / Incidents",
    }


@each_board
def test_frame(board: dict[str, Any]) -> None:
    """Classic schema, not editable, tagged, described, a day by default, no reader's settings."""
    assert board["schemaVersion"] == 39
    assert board["editable"] is False
    assert board["tags"] == ["drift-exporter"]
    assert board["description"].endswith(".")
    assert board["time"] == {"from": "now-24h", "to": "now"}
    assert "id" not in board
    assert "__inputs" not in board


@each_board
def test_variables(board: dict[str, Any]) -> None:
    """Data source, job, instance, model, in this order and as dashboard-linter wants them."""
    variables = {v["name"]: v for v in board["templating"]["list"]}

    assert list(variables)[:4] == ["datasource", "job", "instance", "model"]
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    assert variables["datasource"]["label"] == "Data source"
    for name, label in (("job", "Job"), ("instance", "Instance")):
        assert variables[name]["label"] == label
        assert variables[name]["multi"]
        assert variables[name]["includeAll"]
        assert variables[name]["allValue"] == ".+"
    for variable in variables.values():
        if variable["type"] == "query":
            assert variable["datasource"] == parts.DATASOURCE
            assert variable["refresh"] == 2, "asked anew when the time range changes"
            assert label_values(variable["query"]["query"])[1] == variable["name"]


@each_board
def test_variables_are_used_and_known(board: dict[str, Any]) -> None:
    """Each variable is in a query (or repeats a panel), and no query has an unknown one."""
    known = {v["name"] for v in board["templating"]["list"]}
    text = json.dumps([[e.text for e in expressions(board)], board["links"]])
    used = set(re.findall(r"\$\{?(\w+)", text)) | {"datasource"}

    assert known <= used
    macros = {"__rate_interval", "__range", "__interval"}
    assert {name for name in used if not name.isdigit()} - macros <= known


@each_board
def test_panels_say_what_they_show(board: dict[str, Any]) -> None:
    """Each has a title, a description that is a sentence, and the chosen data source."""
    titles = [panel["title"] for panel in panels(board)]
    assert len(set(titles)) == len(titles)
    assert len({panel["id"] for panel in all_panels(board)}) == len(board["panels"])
    for panel in panels(board):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["datasource"] == parts.DATASOURCE
        if panel["type"] in SHOWS_DATA:
            assert panel["targets"], panel["title"]
            refs = [target["refId"] for target in panel["targets"]]
            assert len(set(refs)) == len(refs), panel["title"]
            assert all(target["datasource"] == parts.DATASOURCE for target in panel["targets"])


@each_board
def test_numbers_have_units(board: dict[str, Any]) -> None:
    """Every panel has a unit, by default or, in a table, for each column of numbers."""
    for panel in panels(board):
        if panel["type"] not in SHOWS_DATA:
            continue
        config = panel["fieldConfig"]
        given = [
            item["value"]
            for override in config["overrides"]
            for item in override["properties"]
            if item["id"] == "unit"
        ]
        default = config["defaults"].get("unit")
        assert set(given) | {default or "none"} <= UNITS, panel["title"]
        if panel["type"] != "table":
            assert default, panel["title"]
            continue
        for name, column in panel["transformations"][-1]["options"]["renameByName"].items():
            if name.startswith("Value") and not default:
                own = next(o for o in config["overrides"] if o["matcher"]["options"] == column)
                ids = {item["id"] for item in own["properties"]}
                assert ids & {"unit", "mappings"}, f"{panel['title']}: {column}"


@each_board
def test_panels_do_not_overlap(board: dict[str, Any]) -> None:
    """Each panel has its place on the grid of 24 columns, and no hole is left beside it."""
    places = [panel["gridPos"] for panel in board["panels"]]

    for a, b in combinations(places, 2):
        apart_x = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        apart_y = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert apart_x or apart_y, (a, b)
    height = max(place["y"] + place["h"] for place in places)
    assert sum(place["w"] * place["h"] for place in places) == 24 * height


@each_board
def test_columns_of_tables_exist(board: dict[str, Any]) -> None:
    """What a table names is a label of its query or the value of one of its queries."""
    for panel in panels(board):
        if panel["type"] != "table":
            continue
        several = len(panel["targets"]) > 1
        values = {f"Value #{t['refId']}" if several else "Value" for t in panel["targets"]}
        rename = panel["transformations"][-1]["options"]["renameByName"]
        shown = set(rename.values())
        asked = " ".join(target["expr"] for target in panel["targets"])
        for name in rename:
            assert name in values or name in asked or "ALERTS" in asked, (panel["title"], name)
        overridden = {o["matcher"]["options"] for o in panel["fieldConfig"]["overrides"]}
        assert overridden <= shown, panel["title"]
        assert {s["displayName"] for s in panel["options"]["sortBy"]} <= shown


def exported() -> set[str]:
    """Names of the exporter's series and of Prometheus' own."""
    health = Health("1", "a")
    health.add_model("m")
    own = {sample.name for metric in health.registry.collect() for sample in metric.samples}
    prometheus = {"up", "scrape_duration_seconds", "scrape_samples_scraped", "ALERTS"}
    incidents = {
        f"{family.name}_bucket" if family.kind == "histogram" else family.name
        for family in INCIDENT_FAMILIES
    }
    return {family.name for family in FAMILIES} | own | incidents | prometheus


def names_in(expression: str) -> set[str]:
    """Names of metrics in an expression; a pattern stands for all that it matches."""
    found = set(re.findall(r"^label_values\((\w+),", expression))
    for name, matchers in SELECTOR.findall(expression):
        pattern = re.search(r'__name__=~"([^"]*)"', matchers)
        if name:
            found.add(name)
        elif pattern:
            found |= {known for known in exported() if re.fullmatch(pattern[1], known)} or {
                pattern[1]
            }
    return found


@each_expression
def test_only_names_that_the_exporter_exports(found: Expression) -> None:
    """A misspelt name would be an empty panel for ever."""
    names = names_in(found.text)

    assert names
    assert names <= exported()


def test_a_pattern_of_names_matches_all_statistics() -> None:
    """Scores find their thresholds by a pattern of names: one match per statistic and role."""
    from grafana.promql import ratio

    from drift_exporter.metrics.families import STATISTIC_FAMILIES

    for role in ("feature", "prediction"):
        names = names_in(ratio(role, 'severity="warning"')) - {f"modeldrift_{role}_threshold"}
        assert names == {f"modeldrift_{role}_{end}" for end, _ in STATISTIC_FAMILIES.values()}


EXCLUDED = {
    "ALERTS": "rules add up over instances and name their own targets: an alert on a model "
    "has no instance, and one on a vanished exporter no job of the exporter's choice",
}
"""Names whose selectors need no job and instance, with the reason (dashboard-linter's .lint)."""


@each_expression
def test_selectors_match_job_and_instance(found: Expression) -> None:
    """Readers of two exporters see the one that they chose."""
    known_first = found.where == "variable" and found.title in ("job", "instance")
    for name, matchers in SELECTOR.findall(found.text):
        if name in EXCLUDED or known_first:
            continue
        assert 'job=~"$job"' in matchers, name
        assert 'instance=~"$instance"' in matchers, name


@each_expression
def test_counters_are_rates(found: Expression) -> None:
    """A counter is read through rate() or increase() over $__rate_interval or $__range only."""
    text = found.text
    counters = re.findall(r"\w+_total\{[^}]*\}(?:\[([^\]]*)\])?", text)
    ranges = re.findall(r"\[([^\]]*)\]", text)

    assert all(counters), "a counter without a range"
    assert set(ranges) <= {"$__rate_interval", "$__range"}
    assert len(re.findall(r"\b(?:rate|increase)\(", text)) == len(ranges)


@each_board
def test_links_lead_to_boards_and_their_variables(board: dict[str, Any]) -> None:
    """Every link names a board of ours, passes variables that it has, and keeps the time."""
    variables = {b["uid"]: {v["name"] for v in b["templating"]["list"]} for b in BOARDS}
    single = {
        b["uid"]: {v["name"] for v in b["templating"]["list"] if not v["multi"]} for b in BOARDS
    }
    here = {v["name"] for v in board["templating"]["list"]}
    many_here = {v["name"] for v in board["templating"]["list"] if v["multi"]}
    row_links = re.findall(r'"url": "(/d/[^"]*__url_time_range[^"]*)"', json.dumps(board))

    assert {urls["url"].split("?")[0] for urls in board["links"]} == {
        f"/d/{uid}" for uid in variables if uid != board["uid"]
    }
    assert all(link["keepTime"] for link in board["links"])
    for url in [link["url"] for link in board["links"]] + row_links:
        uid = url.split("?")[0].removeprefix("/d/")
        passed = set(re.findall(r"\$\{(\w+):queryparam\}", url))
        named = set(re.findall(r"var-(\w+)=", url))
        assert {"datasource", "job", "instance"} <= passed
        assert passed | named <= variables[uid]
        assert passed <= here
        # "All" means nothing to a variable that takes one value.
        assert not passed & many_here & single[uid]


def test_rows_lead_down() -> None:
    """From the fleet to a model, from a model to a feature, each with its name."""
    text = {board["uid"]: json.dumps(board) for board in BOARDS}

    assert "/d/modeldrift-model?" in text["modeldrift-fleet"]
    assert "var-model=${__value.raw}" in text["modeldrift-fleet"]
    assert "var-model=${model}&var-feature=${__value.raw}" in text["modeldrift-model"]


def test_alerts_link_to_these_boards() -> None:
    """The address in every alert is a board of ours with variables that it has."""
    rules = parsed((ROOT / "alert_rules" / "drift-exporter.rules.yml").read_text())
    variables = {b["uid"]: {v["name"] for v in b["templating"]["list"]} for b in BOARDS}
    urls = [
        rule["annotations"]["dashboard_url"]
        for group in rules["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]

    assert urls
    for url in urls:
        uid = url.partition("/d/")[2].partition("?")[0]
        assert uid in variables, url
        assert set(re.findall(r"var-(\w+)=", url)) <= variables[uid], url


@each_board
def test_annotations(board: dict[str, Any]) -> None:
    """Alerts, new references and config loads are drawn into every board."""
    own = {a["name"]: a for a in board["annotations"]["list"] if "builtIn" not in a}

    assert set(own) == {"Alerts", "Reference changed", "Config loaded"}
    for name, annotation in own.items():
        assert annotation["datasource"] == parts.DATASOURCE
        assert annotation["target"]["expr"] == annotation["expr"]
        if name != "Alerts":
            assert annotation["useValueForTime"]
            assert annotation["expr"].endswith("_timestamp_seconds" + annotation["expr"][-7:]) or (
                "* 1000" in annotation["expr"]
            ), "Grafana takes milliseconds"


def test_thresholds_are_lines_of_the_thresholds_metric() -> None:
    """Graphs of scores draw the configured thresholds, dashed, from the metric."""
    boards = {board["uid"]: board for board in BOARDS}
    for uid, title in (
        ("modeldrift-model", "PSI of the 10 worst features"),
        ("modeldrift-model", "PSI of predictions"),
        ("modeldrift-feature", "PSI"),
        ("modeldrift-feature", "Missing, unseen, out of range"),
        ("modeldrift-feature", "Divergences"),
        ("modeldrift-feature", "Distances of numbers"),
    ):
        panel = next(p for p in panels(boards[uid]) if p["title"] == title)
        (line,) = [t for t in panel["targets"] if t["refId"] == "T"]
        assert re.search(r"modeldrift_(feature|prediction)_threshold\{", line["expr"])
        dashed = next(
            o for o in panel["fieldConfig"]["overrides"] if o["matcher"]["options"] == "T"
        )
        assert "custom.lineStyle" in {item["id"] for item in dashed["properties"]}


def test_the_picture_of_bins_says_how_to_switch_it_on() -> None:
    """Bins are off by default: an empty picture tells the setting."""
    found = [
        panel
        for board in BOARDS
        for panel in panels(board)
        if panel["type"] in ("barchart", "heatmap")
    ]

    assert len(found) == 3
    for panel in found:
        assert "expose_bins: true" in panel["fieldConfig"]["defaults"]["noValue"]
        assert panel["repeat"] == "window"


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        pytest.param('{a=~"$a"}', {"a": [".+"]}, '{a=~".+"}', id="all"),
        pytest.param('{a=~"$a"}', {"a": ["x.y", "z"]}, r'{a=~"(x\\.y|z)"}', id="several"),
        pytest.param('{a="$a"}', {"a": ["x"]}, '{a="x"}', id="one"),
        pytest.param('{a=~"$a|"}', {"a": ["x"]}, '{a=~"x|"}', id="or none"),
        pytest.param('f(x, "n", "$1", "a", "(.*)")', {}, 'f(x, "n", "$1", "a", "(.*)")', id="$1"),
        pytest.param("x[$__rate_interval]", {}, "x[1m]", id="a macro"),
    ],
)
def test_variables_are_filled_as_grafana_fills_them(
    text: str, values: dict[str, list[str]], expected: str
) -> None:
    """All, several values and one, beside what only looks like a variable."""
    assert filled(text, values, {"__rate_interval": "1m"}) == expected
