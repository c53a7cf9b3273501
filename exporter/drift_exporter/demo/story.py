"""What a visitor of the demo is told: where to look, and what will happen when.

Knows the play, not the players: addresses and times come in, text goes out.
"""

from datetime import UTC, datetime
from urllib.parse import urlencode

from drift_exporter.demo.credit_log import DRIFTING, LIVE, PREDICTION, Drift
from drift_exporter.demo.servers import Servers

MODEL = "credit-risk"
"""Name of the model that is monitored."""

QUERY = f'modeldrift_feature_psi{{model="{MODEL}",window="1m"}}'
"""What the demo shows in Prometheus' graph."""

LAG_SECONDS = 30
"""From event time to the graph: the slice ends, late rows are awaited, a run, a scrape."""

MESSAGE_SECONDS = 160
"""From the drift's begin until Slack's message: two bad runs, and the wait for the others."""

FAST_SECONDS, SLOW_SECONDS = 60 + LAG_SECONDS, 210 + LAG_SECONDS
"""From the drift's begin until the windows of 1m and 5m show it as critical."""


def story(folder: str, exporter: str, servers: Servers, drift: Drift) -> str:
    """The text that is printed when the stage is set.

    Parameters
    ----------
    folder
        Where the demo's files are.
    exporter
        Host and port of the exporter.
    servers
        What runs beside it.
    drift
        When the scripted drift begins and, if ever, ends.

    Returns
    -------
    str
        Plain lines of text.
    """
    places = [("Exporter", f"http://{exporter}/"), ("Metrics", f"http://{exporter}/metrics")]
    if servers.prometheus:
        places.append(("Prometheus", graph_url(servers.prometheus, QUERY)))
        places.append(("Alerts", f"{servers.prometheus}/alerts"))
    if servers.alertmanager:
        places.append(("Alertmanager", f"{servers.alertmanager}/"))
        places.append(("Incidents", f"http://{exporter}/incidents"))
    return "\n".join(
        [
            f"A credit model in {folder}: a week of history, now some "
            f"{LIVE.rows_per_second * 60:.0f} applications a minute.",
            "",
            "Where to look",
            *(f"  {name:<13} {url}" for name, url in places),
            *(f"  {note}" for note in servers.notes),
            "",
            "What will happen (UTC)",
            *(
                f"  {when:<13} {what}"
                for when, what in _timeline(drift, bool(servers.alertmanager))
            ),
        ]
    )


def graph_url(prometheus: str, query: str) -> str:
    """Address of Prometheus' graph of a query over the last quarter of an hour."""
    asked = {"g0.expr": query, "g0.tab": "0", "g0.range_input": "15m"}
    return f"{prometheus}/graph?{urlencode(asked)}"


def _timeline(drift: Drift, messages: bool) -> list[tuple[str, str]]:
    changed = ", ".join(DRIFTING)
    timeline = [
        ("at once", "All features lie below PSI 0.1, in the windows 1m and 5m."),
        (_clock(drift.start), f"Other people apply: {changed} change."),
        ("", "Income falls by 38 %; a purpose comes that the reference never had."),
    ]
    if drift.end >= drift.start + FAST_SECONDS:
        timeline += [
            (_clock(drift.start + FAST_SECONDS), "Window 1m: these features and the prediction"),
            ("", f"({PREDICTION}) pass PSI 0.25, critical; no other passes 0.1."),
        ]
    if messages and drift.end >= drift.start + MESSAGE_SECONDS:
        timeline += [
            (_clock(drift.start + MESSAGE_SECONDS), "Slack's message, printed here; an incident"),
            ("", "says what moved, since when, and whether it is a data fault."),
        ]
    if drift.end >= drift.start + SLOW_SECONDS:
        timeline.append((_clock(drift.start + SLOW_SECONDS), "Window 5m: the same, later."))
    if drift.ends:
        timeline += [
            (_clock(drift.end), "The old applicants are back."),
            (_clock(drift.end + 60 + LAG_SECONDS), "Window 1m has recovered; alerts resolve."),
            (_clock(drift.end + 300 + LAG_SECONDS), "Window 5m has recovered."),
        ]
    return timeline


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S")
