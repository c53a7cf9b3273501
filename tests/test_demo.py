"""The demo's log is steady until its cue, drifts on cue, and its stage leaves nothing behind."""

import http.client
import json
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drift_exporter.config import Config
from drift_exporter.demo.credit_log import (
    DAY_SECONDS,
    DRIFTING,
    IDENTIFIER,
    PREDICTION,
    REGIONS,
    SAMPLED,
    SEGMENT,
    TIMESTAMP,
    Columns,
    Drift,
    Traffic,
    rhythm,
    rows,
)
from drift_exporter.demo.files import Tail, write_history
from drift_exporter.demo.receiver import slack_text
from drift_exporter.demo.servers import Servers, serving
from drift_exporter.demo.stage import BACKLOG_SECONDS, SEED, reachable, stage
from drift_exporter.demo.story import story
from drift_exporter.errors import DemoError
from drift_exporter.statistics.divergences import psi
from yaml_text import parsed

# A Monday, 0:00 UTC.
MONDAY = 1_799_625_600
HOUR = 3600
FEATURES = (
    *("income", "age", "debt_ratio", "loan_amount", "credit_utilisation", "open_accounts"),
    *("inquiries_6m", "previous_defaults_amount", "savings", "purpose", "region"),
    *("employment", "device", "is_existing_customer", PREDICTION),
)
MOVED = (*DRIFTING, PREDICTION)
THIN = Traffic(rows_per_second=2, chunk_seconds=10)

Bins = dict[str, NDArray[Any]]


def _missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype.kind == "f":
        return np.array(np.isnan(values), dtype=np.bool_)
    return np.array([value is None for value in values], dtype=np.bool_)


def _listed(values: NDArray[Any]) -> list[Any]:
    """The values as a list, missing ones as None."""
    gaps = _missing(values)
    return [None if gap else value for value, gap in zip(values.tolist(), gaps, strict=True)]


def _same(one: Columns, other: Columns) -> None:
    assert list(one) == list(other)
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


def _joined(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _is_category(values: NDArray[Any]) -> bool:
    return values.dtype.kind in "Ob"


def _bins(reference: Columns) -> Bins:
    """Categories, or the edges of tenths; an edge on a heap of equal values encloses it."""
    bins: Bins = {}
    for name in FEATURES:
        values = reference[name][~_missing(reference[name])]
        if _is_category(values):
            bins[name] = np.unique(values.astype(str))
        else:
            edges = np.quantile(values, np.arange(1, 10) / 10, method="inverted_cdf")
            heaps = [edge for edge, after in pairwise(edges) if edge == after]
            bins[name] = np.unique([*edges, *np.nextafter(heaps, np.inf)])
    return bins


def _counts(bins: Bins, columns: Columns) -> dict[str, NDArray[np.int64]]:
    counts = {}
    for name, limits in bins.items():
        missing = _missing(columns[name])
        values = columns[name][~missing]
        if _is_category(values):
            texts = values.astype(str)
            per_bin = np.array([np.sum(texts == kept) for kept in limits])
        else:
            per_bin = np.bincount(
                np.searchsorted(limits, values, side="right"), minlength=limits.size + 1
            )
        unseen = values.size - per_bin.sum()
        counts[name] = np.array([*per_bin, missing.sum(), unseen], dtype=np.int64)
    return counts


class Ruler:
    """PSI of windows against a week of history."""

    def __init__(self) -> None:
        reference = rows(MONDAY - 7 * DAY_SECONDS, MONDAY, SEED, traffic=SAMPLED)
        self.bins = _bins(reference)
        self.reference = _counts(self.bins, reference)

    def scores(self, window: Columns) -> dict[str, float]:
        """PSI of every feature."""
        counts = _counts(self.bins, window)
        return {name: float(psi(self.reference[name], counts[name])) for name in self.bins}


@pytest.fixture(scope="module")
def ruler() -> Ruler:
    """The week before the tests' Monday, binned once."""
    return Ruler()


@settings(max_examples=30, deadline=None)
@given(
    cuts=st.lists(st.floats(0, 90), min_size=2, max_size=6, unique=True).map(sorted),
    drift_after=st.floats(0, 90),
)
def test_rows_do_not_depend_on_the_cut(cuts: list[float], drift_after: float) -> None:
    """Spans drawn one after the other hold the rows of the whole span, drift or not."""
    drift = Drift(MONDAY + drift_after)
    times = [MONDAY + cut for cut in cuts]
    parts = [rows(a, b, 1, drift, THIN) for a, b in pairwise(times)]

    _same(_joined(parts), rows(times[0], times[-1], 1, drift, THIN))


def test_seed_decides() -> None:
    """Another seed gives other rows."""
    one, other = (rows(MONDAY, MONDAY + 60, seed)["income"] for seed in (1, 2))

    assert one.size != other.size or not np.array_equal(one, other)


def test_rows_are_in_order_and_named_once() -> None:
    """Event times rise within the span; no identifier comes twice in history and tail."""
    history = rows(MONDAY - DAY_SECONDS, MONDAY, 1, traffic=SAMPLED)
    tail = rows(MONDAY, MONDAY + 300.5, 1)
    ids = np.concatenate([history[IDENTIFIER], tail[IDENTIFIER]])

    assert np.unique(ids).size == ids.size
    assert np.all(np.diff(tail[TIMESTAMP]) >= 0)
    assert MONDAY <= tail[TIMESTAMP][0] <= tail[TIMESTAMP][-1] < MONDAY + 300.5


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        pytest.param(3, 0.4, id="night"),
        pytest.param(9, 1.0, id="morning"),
        pytest.param(15, 1.6, id="afternoon"),
        pytest.param(5 * 24 + 15, 1.2, id="Saturday afternoon"),
        pytest.param(6 * 24 + 3, 0.3, id="Sunday night"),
        pytest.param(7 * 24 + 3, 0.4, id="Monday night"),
    ],
)
def test_traffic_has_a_rhythm(hours: int, expected: float) -> None:
    """Traffic follows the hour of the day and is lower at weekends."""
    start = MONDAY + hours * HOUR
    number = rows(start - 150, start + 150, 1)[TIMESTAMP].size

    assert rhythm(start) == pytest.approx(expected)
    # Five standard deviations of a Poisson count.
    assert number == pytest.approx(15_000 * expected, abs=5 * np.sqrt(15_000 * expected))


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        pytest.param(column, expected, id=column)
        for column, expected in {
            **dict.fromkeys(FEATURES, 0.0),
            "income": 0.01,
            "debt_ratio": 0.025,
            "savings": 0.03,
            "employment": 0.02,
        }.items()
    ],
)
def test_missing_shares(column: str, expected: float) -> None:
    """Some features miss in 1 to 3 % of the rows, the others never."""
    missing = _missing(rows(MONDAY, MONDAY + 20 * 60, 1)[column])

    deviation = np.sqrt(expected * (1 - expected) / missing.size)
    assert missing.mean() == pytest.approx(expected, abs=5 * deviation)


def test_zero_inflated() -> None:
    """Most people never defaulted: 85 % of the amounts are zero."""
    amounts = rows(MONDAY, MONDAY + 20 * 60, 1)["previous_defaults_amount"]

    assert np.mean(amounts == 0) == pytest.approx(0.85, abs=5 * np.sqrt(0.85 * 0.15 / amounts.size))


def test_drift_changes_its_features_in_its_time_only() -> None:
    """With a drift, the rows outside of it and the other columns are as they were without."""
    drift = Drift(MONDAY + 20, MONDAY + 40)
    before, after = rows(MONDAY, MONDAY + 60, 1), rows(MONDAY, MONDAY + 60, 1, drift)
    inside = (before[TIMESTAMP] >= drift.start) & (before[TIMESTAMP] < drift.end)

    _same(
        {name: values[~inside] for name, values in before.items()},
        {name: values[~inside] for name, values in after.items()},
    )
    changed = {name for name in before if _listed(before[name]) != _listed(after[name])}
    assert changed == set(MOVED)


@pytest.mark.parametrize(
    ("seconds", "windows"),
    [pytest.param(60, 200, id="1m"), pytest.param(300, 60, id="5m")],
)
def test_steady_without_drift(ruler: Ruler, seconds: int, windows: int) -> None:
    """At any hour and day, no feature reaches PSI 0.1 against a week of history."""
    starts = np.random.default_rng(5).uniform(MONDAY, MONDAY + 14 * DAY_SECONDS, windows)
    highest = dict.fromkeys(FEATURES, 0.0)
    for start in starts:
        found = ruler.scores(rows(start, start + seconds, SEED))
        highest = {name: max(highest[name], found[name]) for name in FEATURES}

    assert max(highest.values()) < 0.06, highest


def test_segments_are_steady_without_drift(ruler: Ruler) -> None:
    """Segments with the demo's least rows stay below 0.1 but for one score in a hundred."""
    found = []
    for start in range(MONDAY, MONDAY + 7 * DAY_SECONDS, 4 * HOUR):
        window = rows(start, start + 60, SEED)
        for region in REGIONS:
            here = window[SEGMENT] == region
            if here.sum() >= 300:
                scores = ruler.scores({name: values[here] for name, values in window.items()})
                found += [score for name, score in scores.items() if name != SEGMENT]

    assert len(found) > 1000
    assert np.mean(np.array(found) > 0.1) < 0.01


@pytest.mark.parametrize("hour", [3, 9, 15, 5 * 24 + 3])
@pytest.mark.parametrize(
    ("seconds", "after"),
    [pytest.param(60, 60, id="1m after 1m"), pytest.param(300, 210, id="5m after 3m30s")],
)
def test_drift_is_clear(ruler: Ruler, hour: int, seconds: int, after: int) -> None:
    """In time, the moved features and the prediction are critical and no other warns."""
    start = MONDAY + hour * HOUR
    end = start + after
    found = ruler.scores(rows(end - seconds, end, SEED, Drift(start)))

    assert {name for name, score in found.items() if score > 0.1} == set(MOVED)
    assert all(0.3 < found[name] < 1.5 for name in MOVED), found


def test_drift_recovers(ruler: Ruler) -> None:
    """A window after the drift's end is as one before it."""
    drift = Drift(MONDAY, MONDAY + 120)
    found = ruler.scores(rows(MONDAY + 120, MONDAY + 180, SEED, drift))

    assert max(found.values()) < 0.1


def test_history_holds_the_rows(tmp_path: Path) -> None:
    """The Parquet file has the log's rows, missing ones as null, and reports its progress."""
    path, told = tmp_path / "history.parquet", list[float]()
    start, end = MONDAY - 1.5 * DAY_SECONDS, float(MONDAY)
    number = write_history(path, start, end, 1, progress=told.append)
    table, expected = pq.read_table(path), rows(start, end, 1, traffic=SAMPLED)

    assert told == [pytest.approx(2 / 3), 1.0]
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert table.num_rows == number == expected[TIMESTAMP].size
    microseconds = table[TIMESTAMP].cast("int64").to_numpy()
    np.testing.assert_array_equal(microseconds, np.rint(expected[TIMESTAMP] * 1e6))
    for name in (*FEATURES, IDENTIFIER):
        assert table[name].null_count == _missing(expected[name]).sum()
        there = ~_missing(expected[name])
        kept = table[name].drop_null().to_numpy(zero_copy_only=False)
        np.testing.assert_array_equal(kept, expected[name][there])


def test_history_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """What fails half-way leaves the file that was there, and no part of a new one."""
    path = tmp_path / "history.parquet"
    path.write_bytes(b"before")

    def fail(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_history(path, MONDAY - DAY_SECONDS, MONDAY, 1, progress=fail)

    assert path.read_bytes() == b"before"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_tail_grows_by_whole_lines(tmp_path: Path) -> None:
    """After each append the file ends with a whole line, and together they are the log."""
    path, drift = tmp_path / "live.jsonl", Drift(MONDAY + 5)
    tail = Tail(path, MONDAY, 1, drift=drift)
    number = 0
    for until in (0.5, 1.25, 1.0, 9, 9, 200):
        number += tail.append(MONDAY + until)
        content = path.read_bytes()
        assert content.endswith(b"\n")
        assert content.count(b"\n") == number
    lines = [json.loads(line) for line in content.splitlines()]
    expected = rows(MONDAY, MONDAY + 200, 1, drift)

    assert number == expected[TIMESTAMP].size
    for name in (*FEATURES, IDENTIFIER):
        assert [line[name] for line in lines] == _listed(expected[name])
    milliseconds = np.array([line[TIMESTAMP].removesuffix("Z") for line in lines], "datetime64[ms]")
    np.testing.assert_array_equal(milliseconds.astype("int64"), np.rint(expected[TIMESTAMP] * 1000))


def test_tail_adds_nothing_when_the_clock_goes_back(tmp_path: Path) -> None:
    """A time that was reached before adds no row."""
    tail = Tail(tmp_path / "live.jsonl", MONDAY, 1)

    assert tail.append(MONDAY + 2) > 0
    assert tail.append(MONDAY + 1) == tail.append(MONDAY + 2) == 0


def test_stage_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the stage are a valid config, the columns that it names, and a filled longest window."""
    monkeypatch.setenv("PATH", "")
    folder, now = tmp_path / "demo", MONDAY + 0.5
    with stage(folder, ":10033", clock=lambda: now, drift_after_seconds=90) as ready:
        config = Config.model_validate(parsed(ready.config.read_text()))
        text = ready.story
    model = config.models[0]
    schema = pq.read_schema(ready.config.parent / model.reference.url)
    lines = (ready.config.parent / model.current.url).read_text().splitlines()
    first, last = (
        np.datetime64(json.loads(line)[TIMESTAMP].removesuffix("Z"), "ms").astype("int64") / 1000
        for line in (lines[0], lines[-1])
    )

    assert {*model.prediction, *model.segments, model.reference.timestamp} <= set(schema.names)
    assert {name for name in schema.names if model.features.chosen(name)} == {*FEATURES, TIMESTAMP}
    assert model.longest_window.seconds + 2 * model.slice_seconds < BACKLOG_SECONDS
    assert first == pytest.approx(now - BACKLOG_SECONDS, abs=2)
    assert last == pytest.approx(now, abs=2)
    assert ready.drift == Drift(now + 90)
    assert "http://127.0.0.1:10033/" in text
    assert text.count("not installed") == 2


def test_stage_starts_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second demo in the folder keeps nothing of the first, not its state either."""
    monkeypatch.setenv("PATH", "")
    with stage(tmp_path, ":1", clock=lambda: MONDAY, rules=lambda _: "groups: []\n") as first:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "store.db").write_text("old")
        old = (tmp_path / "live.jsonl").read_bytes()
        assert (tmp_path / "rules" / "drift.yml").read_text() == "groups: []\n"
    with stage(tmp_path, ":1", clock=lambda: MONDAY) as second:
        assert second.config == first.config
        assert not (tmp_path / "data").exists()
        assert not (tmp_path / "rules").exists()
        assert (tmp_path / "live.jsonl").read_bytes() == old


def test_stage_takes_no_folder_of_others(tmp_path: Path) -> None:
    """A folder with anything else in it is refused and left as it was."""
    (tmp_path / "thesis.txt").write_text("mine")

    with pytest.raises(DemoError, match="not empty"), stage(tmp_path, ":1"):
        pass

    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_one_demo_per_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in which a demo runs is refused to a second one."""
    monkeypatch.setenv("PATH", "")
    with (
        stage(tmp_path, ":1", clock=lambda: MONDAY),
        pytest.raises(DemoError, match="another demo"),
        stage(tmp_path, ":1"),
    ):
        pass


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        pytest.param(":10033", "127.0.0.1:10033", id="all addresses"),
        pytest.param("0.0.0.0:1", "127.0.0.1:1", id="all of IPv4"),
        pytest.param("[::]:1", "127.0.0.1:1", id="all of IPv6"),
        pytest.param("10.0.0.7:1", "10.0.0.7:1", id="one address"),
        pytest.param("[::1]:1", "[::1]:1", id="loopback of IPv6"),
    ],
)
def test_reachable(listen: str, expected: str) -> None:
    """An address to listen on becomes one to connect to."""
    assert reachable(listen) == expected


@pytest.mark.parametrize(
    ("drift", "present", "absent"),
    [
        pytest.param(Drift(MONDAY), ["00:01:30", "00:04:00"], ["recovered"], id="for ever"),
        pytest.param(
            Drift(MONDAY, MONDAY + 300),
            ["00:04:00", "00:05:00", "00:06:30", "00:10:30"],
            [],
            id="five minutes",
        ),
        pytest.param(
            Drift(MONDAY, MONDAY + 120), ["00:01:30", "00:03:30"], ["00:04:00"], id="two minutes"
        ),
    ],
)
def test_story_tells_what_will_happen(drift: Drift, present: list[str], absent: list[str]) -> None:
    """The timeline names what the drift's length lets happen, and nothing else."""
    text = story("demo", "h:1", Servers("http://p:2", None, ("no alerts",)), drift)

    assert all(word in text for word in [*present, "http://h:1/metrics", "http://p:2/graph?g0"])
    assert not any(word in text for word in absent)


def _get(url: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    content = answer.status, answer.read()
    connection.close()
    return content


def test_installed_servers_take_their_configs(tmp_path: Path) -> None:
    """What is installed is ready with our config and gone afterwards; the rest is named."""
    (tmp_path / "rules").mkdir()
    rule = "groups: [{name: drift, rules: [{alert: ModelDriftTest, expr: vector(1)}]}]\n"
    (tmp_path / "rules" / "drift.yml").write_text(rule)
    alerts = tmp_path / "own.yml"
    alerts.write_text("route: {receiver: someone}\nreceivers: [{name: someone}]\n")
    with serving(tmp_path, "127.0.0.1:9", alerts) as servers:
        urls = {"prometheus": servers.prometheus, "prometheus-alertmanager": servers.alertmanager}
        for name, url in urls.items():
            assert (url is not None) == (shutil.which(name) is not None), servers.notes
            assert any(note.startswith(f"{name} is not") for note in servers.notes) == (not url)
        if servers.prometheus:
            assert b"ModelDriftTest" in _get(servers.prometheus, "/api/v1/rules")[1]
            assert b"127.0.0.1:9" in _get(servers.prometheus, "/api/v1/status/config")[1]
        if servers.alertmanager:
            assert b"someone" in _get(servers.alertmanager, "/api/v2/status")[1]
    for url in filter(None, urls.values()):
        with pytest.raises(ConnectionError):
            _get(url, "/-/ready")


def _program(folder: Path, name: str, body: str) -> None:
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!{sys.executable}\n{body}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


STAND_IN = """\
import http.server, os, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
address = next(a for a in sys.argv if a.startswith("--web.listen-address=")).partition("=")[2]
print(os.getpid(), flush=True)
http.server.HTTPServer(("127.0.0.1", int(address.rpartition(":")[2])), Ready).serve_forever()
"""


def test_a_server_that_fails_is_a_note(tmp_path: Path) -> None:
    """A server that ends at once is named with its log, and the demo goes on."""
    _program(tmp_path / "bin", "prometheus", 'raise SystemExit("no space")')
    _program(tmp_path / "bin", "prometheus-alertmanager", STAND_IN)
    with serving(tmp_path, "h:1", path=str(tmp_path / "bin")) as servers:
        assert servers.prometheus is None
        assert servers.alertmanager is not None
        (note,) = servers.notes

    assert note == f"prometheus did not get ready; see {tmp_path}/prometheus/log"
    assert (tmp_path / "prometheus" / "log").read_text() == "no space\n"


def test_servers_do_not_outlive_a_killed_demo(tmp_path: Path) -> None:
    """When the demo is killed without a chance to clean up, its servers end."""
    _program(tmp_path / "bin", "prometheus", STAND_IN)
    script = (
        "import sys; from pathlib import Path; from drift_exporter.demo.servers import serving\n"
        "with serving(Path(sys.argv[1]), 'h:1', path=sys.argv[1] + '/bin') as servers:\n"
        "    print(servers.prometheus, flush=True); sys.stdin.read()\n"
    )
    demo = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with demo:
        assert demo.stdout is not None
        assert demo.stdout.readline().startswith(b"http://127.0.0.1:")
        server = os.pidfd_open(int((tmp_path / "prometheus" / "log").read_text()))
        demo.send_signal(signal.SIGKILL)
        # A pidfd becomes readable when its process ends.
        ended, _, _ = select.select([server], [], [], 30)
    os.close(server)

    assert ended


def test_slack_is_shown_with_its_links() -> None:
    """A link that stands alone is shown with its address; one beside what it is about is not."""
    text = "• income: psi *0.9* <http://x/graph|graph>\n<http://x/incidents?model=m|Incidents>"
    message = {"channel": "#drift", "attachments": [{"title": "[WARNING] m", "text": text}]}

    assert slack_text(message).splitlines() == [
        "Slack #drift",
        "  [WARNING] m",
        "    • income: psi 0.9",
        "    [Incidents] http://x/incidents?model=m",
    ]
