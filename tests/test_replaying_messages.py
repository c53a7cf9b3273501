"""The messages that we count are those that Alertmanager sends."""

import http.server
import json
import random
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from alerting_servers import ALERTMANAGER, free_port, server
from drift_exporter.config_file import dump_yaml, load_yaml
from drift_exporter.errors import ReplayError
from drift_exporter.replaying.matching import matcher, within
from drift_exporter.replaying.messages import Episode, LabelSet, Message, Resending, messages
from drift_exporter.replaying.routes import alerting_of
from drift_exporter.rules.routing import CONFIG, EXAMPLE

SEED = 20_260_101
UNTIL = 44.0
CALM_FROM, AGAIN_FROM = 20, 36
"""Alerts come and go until all are over; then groups are forgotten, and others come."""

WAIT, INTERVAL, REPEAT = "3s", "4s", "10s"
"""Alerts change at even seconds, groups are looked at at odd ones: a busy machine may be late."""

Told = dict[tuple[str, LabelSet], list[tuple[frozenset[LabelSet], frozenset[LabelSet]]]]
"""By receiver and group: what fires and what has resolved, message by message."""


def config(url: str) -> dict[str, Any]:
    """Routes that go on, inhibitions, both kinds of intervals, with and without recoveries."""
    names = ("rest", "pager", "team", "day", "night")
    hooks = {
        name: {"url": f"{url}/{name}", "send_resolved": name != "pager", "max_alerts": 0}
        for name in names
    }
    return {
        "route": {
            "receiver": "rest",
            "group_by": ["model"],
            "group_wait": WAIT,
            "group_interval": INTERVAL,
            "repeat_interval": REPEAT,
            "routes": [
                {"matchers": ['severity="critical"'], "receiver": "pager", "continue": True},
                {"matchers": ['severity="critical"'], "receiver": "team", "group_by": ["..."]},
                {
                    "matchers": ['severity="warning"', 'model=~"a|b"'],
                    "receiver": "day",
                    "active_time_intervals": ["always"],
                    "continue": True,
                },
                {
                    "matchers": ['severity="warning"', 'model!="c"'],
                    "receiver": "night",
                    "mute_time_intervals": ["always"],
                },
            ],
        },
        "inhibit_rules": [
            {
                "source_matchers": ['severity="critical"'],
                "target_matchers": ['severity="warning"'],
                "equal": ["alertname", "model"],
            },
            {
                "source_matchers": ['alertname="Wide"'],
                "target_matchers": ['alertname=~"One|Two"'],
                "equal": ["model"],
            },
        ],
        "time_intervals": [{"name": "always", "time_intervals": [{}]}],
        "receivers": [{"name": name, "webhook_configs": [hook]} for name, hook in hooks.items()],
    }


def drawn() -> list[Episode]:
    """Alerts that come and go at even seconds."""
    generator = random.Random(SEED)  # noqa: S311 - a fixed seed, no secret
    found = []
    for model in "abc":
        for name in ("One", "Two", "Wide"):
            for severity in ("warning", "critical"):
                labels = (("alertname", name), ("model", model), ("severity", severity))
                at = 2 * generator.randint(1, 6)
                while at < CALM_FROM - 2:
                    end = min(at + 2 * generator.randint(1, 5), CALM_FROM)
                    found.append(Episode(labels, at, end))
                    at = end + 2 * generator.randint(1, 5)
    late = [(("alertname", name), ("model", "c"), ("severity", "warning")) for name in ("A", "B")]
    return [*found, Episode(late[0], AGAIN_FROM, None), Episode(late[1], AGAIN_FROM + 2, None)]


def summed(found: list[Message]) -> Told:
    """Messages by receiver and group."""
    told: Told = defaultdict(list)
    for m in found:
        told[m.receiver, m.group].append((frozenset(m.firing), frozenset(m.resolved)))
    return told


@contextmanager
def hooked() -> Iterator[tuple[str, Told]]:
    """A server that keeps what webhooks send, for the time of the body."""
    told: Told = defaultdict(list)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            kinds: Mapping[str, set[LabelSet]] = {"firing": set(), "resolved": set()}
            for alert in body["alerts"]:
                kinds[alert["status"]].add(tuple(sorted(alert["labels"].items())))
            key = self.path[1:], tuple(sorted(body["groupLabels"].items()))
            told[key].append((frozenset(kinds["firing"]), frozenset(kinds["resolved"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        found.daemon_threads = True
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{found.server_address[1]}", told
        finally:
            found.shutdown()
            thread.join()


def play(url: str, episodes: list[Episode]) -> None:
    """Tell Alertmanager of the episodes as Prometheus would, a second being a second."""
    begun = time.time()
    pause = threading.Event()
    started: dict[LabelSet, float] = {}
    moments = sorted({e.start for e in episodes} | {e.end for e in episodes if e.end is not None})
    for moment in moments:
        pause.wait(max(0.0, begun + moment - time.time()))
        now = time.time()
        posted = []
        for episode in episodes:
            if episode.start == moment:
                started[episode.labels] = now
            if moment in (episode.start, episode.end):
                # To the moment: who comes a little late must not be said to have begun before.
                end = now if episode.end == moment else now + 3600
                start = started[episode.labels]
                times = {"startsAt": stamp(start), "endsAt": stamp(end)}
                posted.append({"labels": dict(episode.labels), **times})
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{url}/api/v2/alerts",
            json.dumps(posted).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - loopback
    pause.wait(max(0.0, begun + UNTIL - time.time()))


def stamp(seconds: float) -> str:
    """A time as Alertmanager reads it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def test_messages_are_those_of_alertmanager(tmp_path: Path) -> None:
    """Two dozen alerts come and go: each receiver is told the same, message by message."""
    episodes = drawn()
    with hooked() as (url, told):
        document = config(url)
        path = tmp_path / "alertmanager.yml"
        path.write_text(dump_yaml(document))
        address = f"127.0.0.1:{free_port()}"
        command = [
            ALERTMANAGER,
            f"--config.file={path}",
            f"--storage.path={tmp_path / 'data'}",
            f"--web.listen-address={address}",
            "--cluster.listen-address=",
        ]
        with server(tmp_path, command, address) as alertmanager:
            play(alertmanager, episodes)

    found = messages(alerting_of(document), episodes, UNTIL, Resending(for_seconds=0))
    assert summed(found) == told
    # That there was something to compare.
    assert {receiver for receiver, _ in told} == {"rest", "pager", "team", "day"}
    assert any(resolved for sent in told.values() for _, resolved in sent)
    assert max(len(sent) for sent in told.values()) > 2


EXAMPLE_ALERTING = alerting_of(load_yaml(EXAMPLE / CONFIG))  # type: ignore[arg-type]
# A Monday, 0:00 UTC, in winter: London is at UTC.
MONDAY = 1_799_625_600
MINUTE, HOUR = 60, 3600


def labels_of(name: str, severity: str, **others: str) -> LabelSet:
    """Labels of an alert of the example's model."""
    own = {"alertname": name, "severity": severity, "job": "drift-exporter", "model": "credit"}
    return tuple(sorted({**own, **others}.items()))


@pytest.mark.parametrize(
    ("alerts", "expected"),
    [
        pytest.param(
            [("ModelDriftWidespread", "critical", "high", 10, 15)],
            [
                (10 + 1 / 60, "pagerduty", True),
                (10 + 1 / 60, "slack-critical", True),
                (15 + 1 / 60, "pagerduty", False),
                (15 + 1 / 60, "slack-critical", False),
            ],
            id="tier high, at any hour",
        ),
        pytest.param(
            [("ModelDriftFeatureDrifted", "critical", "medium", 2, 3)],
            [(2 + 1 / 60, "slack-critical", True), (3 + 1 / 60, "slack-critical", False)],
            id="a feature pages nobody",
        ),
        pytest.param(
            [("ModelDriftFeatureDrifted", "warning", "low", 5, 20)],
            # Told at night, and by day where tickets go; in the evening it is over.
            [
                (5 + 1 / 12, "slack-overnight", True),
                (8 + 1 / 12, "slack-tickets", True),
                (20 + 1 / 12, "slack-overnight", False),
            ],
            id="night and day",
        ),
        pytest.param(
            [
                ("ModelDriftFeatureDrifted", "warning", "high", 9, 12),
                ("ModelDriftWidespread", "warning", "high", 9, 12),
            ],
            [(9 + 1 / 12, "slack-tickets", True), (12 + 1 / 12, "slack-tickets", False)],
            id="what a widespread drift mutes",
        ),
        pytest.param(
            [("ModelDriftReferenceOld", "info", "high", 9, 12)], [], id="for dashboards only"
        ),
        pytest.param(
            [("ModelDriftFeatureDrifted", "warning", "high", 9, 9.05)], [], id="over before told"
        ),
    ],
)
def test_the_example_by_hand(
    alerts: list[tuple[str, str, str, float, float]], expected: list[tuple[float, str, bool]]
) -> None:
    """On a Monday: hours, receivers, and whether it is told that something fires."""
    episodes = [
        Episode(labels_of(name, severity, tier=tier), MONDAY + a * HOUR, MONDAY + b * HOUR)
        for name, severity, tier, a, b in alerts
    ]

    found = messages(EXAMPLE_ALERTING, episodes, MONDAY + 24 * HOUR)

    people = [m for m in found if m.kind in {"slack", "pagerduty"}]
    told = [(m.time - MONDAY, m.receiver, bool(m.firing)) for m in people]
    assert told == [(pytest.approx(hour * HOUR), *rest) for hour, *rest in expected]


def test_a_lasting_alert_is_repeated_and_one_page() -> None:
    """Three days: a page, repeated daily at the first look after a day, and one recovery."""
    labels = labels_of("ModelDriftWidespread", "critical", tier="high")
    episode = Episode(labels, MONDAY, MONDAY + 70 * HOUR)

    found = messages(EXAMPLE_ALERTING, [episode], MONDAY + 96 * HOUR)

    pages = [m for m in found if m.receiver == "pagerduty"]
    assert [(m.time - MONDAY) // MINUTE for m in pages] == [1, 1451, 2901, 4201]
    assert [m.opens for m in pages] == [True, False, False, False]
    assert [bool(m.firing) for m in pages] == [True, True, True, False]


@pytest.mark.parametrize(
    ("interval", "inside"),
    [
        pytest.param({}, True, id="always"),
        pytest.param({"weekdays": ["monday:friday"]}, True, id="weekdays"),
        pytest.param({"weekdays": ["saturday"]}, False, id="another day"),
        pytest.param({"times": [{"start_time": "12:30", "end_time": "24:00"}]}, True, id="begin"),
        pytest.param({"times": [{"start_time": "08:00", "end_time": "12:30"}]}, False, id="end"),
        pytest.param(
            {
                "times": [{"start_time": "07:30", "end_time": "07:31"}],
                "location": "America/New_York",
            },
            True,
            id="elsewhere",
        ),
        pytest.param({"months": ["january:march"], "years": ["2027"]}, True, id="month and year"),
        pytest.param({"days_of_month": ["-21"]}, True, id="from the month's end"),
        pytest.param({"years": ["1999"]}, False, id="long ago"),
    ],
)
def test_time_intervals_by_hand(interval: dict[str, Any], inside: bool) -> None:
    """On Monday, 11 January 2027 at 12:30 UTC."""
    assert within([interval], MONDAY + 12.5 * HOUR) == inside


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        pytest.param('a="x"', True, id="equal"),
        pytest.param("a!=x", False, id="bare"),
        pytest.param('a=~"x|y"', True, id="regex"),
        pytest.param('a=~"xx?x"', False, id="whole"),
        pytest.param('b=""', True, id="not there"),
        pytest.param('b!~".+"', True, id="not there, regex"),
    ],
)
def test_matchers_by_hand(text: str, holds: bool) -> None:
    """A matcher on the labels ``a="x"``."""
    assert matcher(text).holds({"a": "x"}) == holds


@pytest.mark.parametrize(
    ("document", "said"),
    [
        pytest.param({"receivers": []}, "'route'", id="no route"),
        pytest.param({"route": {"receiver": "x"}, "receivers": []}, "'x'", id="no receiver"),
        pytest.param(
            {"route": {"receiver": "x", "matchers": ["?"]}, "receivers": [{"name": "x"}]},
            "'?'",
            id="no matcher",
        ),
    ],
)
def test_what_is_wrong_with_a_config_is_told(document: dict[str, Any], said: str) -> None:
    """The message names what was found."""
    with pytest.raises(ReplayError, match=said.replace("?", r"\?")):
        alerting_of(document)
