"""The pages as the server sends them: order, filters, links, escapes, size, and their JSON."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx
import numpy as np
import pytest

from drift_exporter.config import STATISTICS
from drift_exporter.errors import StoreError
from drift_exporter.snapshot import FeatureInfo, Run, SegmentResult, Snapshot, WindowResult
from drift_exporter.verdicts.detail import BinDetail, FeatureDetail, WindowDetail
from drift_exporter.verdicts.verdict import Floats, Reason, State, Verdict
from drift_exporter.web import texts
from drift_exporter.web.parts import Score, WebParts
from drift_exporter.web.server import create_app
from test_web import PARTS, serving

NOW = 1_800_000_000
PSI = (0.02, 0.6, np.nan, 0.15)


def window(name: str, seconds: int, psi: Collection[float], *, segments: int = 0) -> WindowResult:
    """A window whose features have these scores and the states that follow from them."""
    scores = np.array(list(psi))
    states = [
        Verdict(State.NOT_EVALUATED, Reason.TOO_FEW_ROWS)
        if np.isnan(value)
        else Verdict(State.CRITICAL if value > 0.25 else State.WARNING if value > 0.1 else State.OK)
        for value in scores
    ]
    return WindowResult(
        window=name,
        start=NOW - seconds,
        end=NOW,
        rows=1000 + seconds,
        samples=np.full(len(scores), 1000),
        scores={"psi": scores, "missing_ratio": np.zeros(len(scores))},
        thresholds={
            ("psi", "warning"): np.full(len(scores), 0.1),
            ("psi", "critical"): np.full(len(scores), 0.25),
            ("missing_ratio", "warning"): np.full(len(scores), 0.1),
        },
        verdicts=tuple(states),
        segments=tuple(
            SegmentResult("region", f"r{i}", 100 + i, scores * i) for i in range(segments)
        ),
    )


def model(names: Collection[str], *windows: WindowResult, predictions: int = 0) -> Snapshot:
    """A model with these columns, the last ones its predictions."""
    run = Run(started=NOW - 3, finished=NOW - 1, success=True, rows_read=5)
    features = len(names) - predictions
    return Snapshot(
        model="credit",
        interval_seconds=300,
        stale_after_seconds=900,
        features=tuple(
            FeatureInfo(n, "feature" if i < features else "prediction", "numeric", "double", 2)
            for i, n in enumerate(names)
        ),
        reference_created=NOW - 86400.0 * 30,
        windows=windows,
        last_run=run,
        last_success=run.finished,
        next_run=NOW + 240.0,
    )


def past(steps: int, names: Collection[str]) -> list[tuple[int, dict[str, Score]]]:
    """Scores that rise, critical in the last three windows."""
    return [
        (
            NOW - 300 * (steps - 1 - i),
            dict.fromkeys(names, (i / 100, "critical" if i >= steps - 3 else "ok")),
        )
        for i in range(steps)
    ]


def detail(name: str) -> FeatureDetail:
    """Two bins of a feature in a window."""
    bins = (
        BinDetail("< 30", 50, 80, 0.5, 0.8, 0.14, thin=False),
        BinDetail("<b>≥ 30</b>", 50, 20, 0.5, 0.2, None, thin=True),
    )
    found = WindowDetail("1h", 1000, 0.41, bins, thin_contribution=0.27)
    return FeatureDetail(name, "float64", 100, (found,))


SNAPSHOT = model(
    ["calm", "shifted", "empty", "moved", "score"],
    window("1h", 3600, [*PSI, 0.3], segments=3),
    window("24h", 86400, [0.03, 0.2, np.nan, 0.01, 0.01]),
    predictions=1,
)


def parts(snapshot: Snapshot = SNAPSHOT, **changed: object) -> WebParts:
    """Parts of a server that shows a model."""
    names = [feature.name for feature in snapshot.features]

    def history(
        _model: str, _window: str, _since: int, _until: int, *, features: object, most: int
    ) -> list[tuple[int, dict[str, Score]]]:
        return past(min(most, 40), names if features is None else list(features))  # type: ignore[call-overload]

    def psi_history(*_: object, most: int) -> tuple[list[int], list[str], Floats]:
        points = past(min(most, 40), names)
        psi = [[scores[name][0] for name in names] for _, scores in points]
        return [end for end, _ in points], names, np.array(psi)

    shown = replace(
        PARTS,
        snapshots=lambda: (snapshot,),
        history=history,
        psi_history=psi_history,
        detail=lambda _, name: detail(name),
        clock=lambda: float(NOW),
    )
    return replace(shown, **changed)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client of a server that shows a model."""
    with serving(create_app(parts())) as client:
        yield client


class Links(HTMLParser):
    """Addresses and texts of the links of a page, and its pictures without a text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.mute: list[str] = []
        self._depth = 0
        self._href = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember a link; a picture outside of another must have a text or be decoration."""
        given = dict(attrs)
        if tag == "a":
            self._href = given.get("href") or ""
        elif tag == "svg":
            named = given.keys() & {"aria-label", "aria-labelledby"}
            if self._depth == 0 and "aria-hidden" not in given:
                if given.get("role") != "img" or not named:
                    self.mute.append(str(attrs))
            self._depth += 1

    def handle_endtag(self, tag: str) -> None:
        """Count out of a picture, or of a link."""
        self._depth -= tag == "svg"
        self._href = "" if tag == "a" else self._href

    def handle_data(self, data: str) -> None:
        """Remember the text of a link."""
        if self._href:
            self.found.append((self._href, data))


def links(page: str) -> dict[str, str]:
    """Addresses of a page's links by their text, the first of each."""
    return {text: href for href, text in reversed(Links(page).found)}


def names_in(page: str, section: str) -> list[str]:
    """Names of the rows of a section, in order."""
    part = page.partition(f'id="{section}"')[2].partition("</section>")[0]
    return [text for _, text in Links(part).found]


def test_features_come_worst_first_and_predictions_apart(client: httpx.Client) -> None:
    """Critical, warning, ok, not evaluated; each in the window where it is worst."""
    page = client.get("/models/credit").text

    assert names_in(page, "features") == ["shifted", "moved", "calm", "empty"]
    assert names_in(page, "predictions") == ["score"]
    assert "too few rows" in page
    assert names_in(page, "segments")[0] == "shifted"


def test_importance_decides_among_equals() -> None:
    """Of two features of one state, the one of more weight comes first."""
    snapshot = model(["low", "high", "calm"], window("1h", 3600, [0.5, 0.3, 0.01]))
    low, high, calm = snapshot.features
    weighed = replace(
        snapshot, features=(low, replace(high, importance=3.0), replace(calm, importance=100.0))
    )
    with serving(create_app(parts(weighed))) as client:
        assert names_in(client.get("/models/credit").text, "features") == ["high", "low", "calm"]
        assert client.get("/api/v1/models").json()[0]["worst"]["feature"] == "high"


def test_a_prediction_is_named_where_no_feature_is_as_bad() -> None:
    """The first page names a feature before a prediction of the same state."""
    for psi, named in (([0.3, 0.9], "age"), ([0.15, 0.3], "score"), ([np.nan, 0.01], "score")):
        snapshot = model(["age", "score"], window("1h", 3600, psi), predictions=1)
        with serving(create_app(parts(snapshot))) as client:
            assert named in links(client.get("/").text)
            worst = client.get("/api/v1/models").json()[0]["worst"]
        assert worst["feature"] == named


@pytest.mark.parametrize(
    ("query", "features"),
    [
        pytest.param("window=24h", ["shifted", "calm", "moved", "empty"], id="one window"),
        pytest.param("state=critical", ["shifted"], id="one state"),
        pytest.param("state=not_evaluated", ["empty"], id="without a score"),
        pytest.param("text=M", ["moved", "calm", "empty"], id="a part of the name, in any case"),
        pytest.param("window=1h&state=warning&text=mov", ["moved"], id="all three"),
        pytest.param("window=9h&state=bad", ["shifted", "moved", "calm", "empty"], id="nonsense"),
        pytest.param("text=nothing", [], id="nothing"),
    ],
)
def test_filters(client: httpx.Client, query: str, features: list[str]) -> None:
    """Window, state and a part of the name choose what is shown."""
    assert names_in(client.get(f"/models/credit?{query}").text, "features") == features


def test_a_feature_says_how_far_since_when_and_where(client: httpx.Client) -> None:
    """The page of a feature has score, thresholds, age of the state, bins and segments."""
    page = client.get("/models/credit/shifted").text

    for part in (
        "Window 1h",
        "0.600",
        "critical 0.25",
        "warning 0.1",
        "critical for 10 min, since",
        "region = r2",
        "1.200",
        "all thin bins",
        "0.410",
        "&lt;b&gt;≥ 30&lt;/b&gt;",
    ):
        assert part in page
    assert "<b>" not in page


def test_bins_of_other_rows_than_the_scores_are_said_to_be(client: httpx.Client) -> None:
    """Where the store holds another state than the last run saw, the page says so."""
    other = replace(detail("shifted").windows[0], rows=999)
    changed = parts(detail=lambda _, name: replace(detail(name), windows=(other,)))
    with serving(create_app(changed)) as one:
        assert "the store holds another state" in one.get("/models/credit/shifted").text
    assert "the store holds another state" not in client.get("/models/credit/shifted").text


HOSTILE = [
    "a/b",
    "/",
    "..",
    ".",
    "größe €",
    '"quo\'ted"',
    "<script>alert(1)</script>",
    "line\nbreak\n",
    " space ",
    "?q#f&a=b;",
    "%2F%00",
    "a\\b",
    "tab\tand {{ 7 * 7 }}",
    "x" * 200,
]


def test_every_name_has_a_page_that_can_be_reached() -> None:
    """Whatever a column is called, its link leads to its page, and its page back."""
    snapshot = model(HOSTILE, window("1h", 3600, np.linspace(0.01, 0.5, len(HOSTILE))))
    base = "http://server/drift/models/credit"
    with serving(create_app(parts(snapshot, route_prefix="/drift"))) as client:
        page = client.get("/drift/models/credit").text
        found = links(page)
        for name in HOSTILE:
            place = urljoin(base, found[name]).removeprefix("http://server")
            answer = client.get(place)
            assert answer.status_code == 200, name
            assert name in texts_of(answer.text)
            assert "<script" not in answer.text
            back = urljoin(f"http://server{place}", links(answer.text)["credit"])
            assert back == base
            again = urljoin(f"http://server{place}", links(answer.text)["7d"])
            assert client.get(again.removeprefix("http://server")).status_code == 200


class _Texts(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.text += data


def texts_of(page: str) -> str:
    """The text of a page, without marks."""
    return _Texts(page).text


def test_links_stay_below_the_prefix() -> None:
    """Every link of every page is relative and leads to something below the prefix."""
    with serving(create_app(parts(route_prefix="/drift"))) as client:
        for path in ("/drift/", "/drift/models/credit", "/drift/models/credit/calm", "/drift/runs"):
            for href, text in Links(client.get(path).text).found:
                place = urljoin(f"http://server{path}", href)
                assert place.startswith("http://server/drift/") or href == "#main", (path, text)
                assert client.get(place.removeprefix("http://server")).status_code < 400, place


def test_a_slash_too_many_leads_to_the_model(client: httpx.Client) -> None:
    """The model's page with a slash behind leads to the one without."""
    answer = client.get("/models/credit/")

    assert (answer.status_code, answer.headers["location"]) == (302, "../credit")


@pytest.mark.parametrize("path", ["/", "/models/credit", "/models/credit/shifted", "/runs"])
def test_no_picture_is_mute(client: httpx.Client, path: str) -> None:
    """Each picture has a text in its place, or is decoration beside its numbers."""
    assert Links(client.get(path).text).mute == []


def test_nothing_is_loaded(client: httpx.Client) -> None:
    """Pages name no script, picture, font or style of another address."""
    for path in ("/", "/models/credit", "/models/credit/shifted", "/runs"):
        page = client.get(path).text
        for sign in ("<script", "<img", "<link", " src=", "@import", "url(", " style="):
            assert sign not in page


def test_a_thousand_features_fit_in_a_megabyte() -> None:
    """The page of a model with 1 000 features, long names and lines for all, is below 1 MB."""
    names = [f"transactions_per_customer_{i:04}" for i in range(1000)]
    rng = np.random.default_rng(1)
    snapshot = model(names, *(window(w, 3600, rng.gamma(1, 0.1, 1000)) for w in ("1h", "24h")))
    noisy = (list(range(NOW - 39 * 300, NOW + 1, 300)), names, rng.gamma(1, 0.1, (40, 1000)))
    with serving(create_app(parts(snapshot, psi_history=lambda *_, **__: noisy))) as client:
        page = client.get("/models/credit")

    assert page.text.count("<svg") == 1000
    assert len(page.content) < 1_000_000


def broken(*_: object, **__: object) -> Mapping[str, Score]:
    """A store that cannot be read."""
    raise StoreError("the store is <gone>")


def test_without_a_store_the_scores_are_still_shown() -> None:
    """What cannot be read is said; what is in memory is shown."""
    with serving(create_app(parts(history=broken, psi_history=broken, detail=broken))) as client:
        of_model, of_feature = (
            client.get("/models/credit").text,
            client.get("/models/credit/shifted").text,
        )
        document = client.get("/api/v1/models/credit/features/shifted")
        history = client.get("/api/v1/models/credit/history?window=1h")

    for page in (of_model, of_feature):
        assert "the store is &lt;gone&gt;" in page
        assert "0.600" in page
    assert (document.status_code, history.status_code) == (503, 503)


def test_stale_scores_are_not_shown() -> None:
    """After the scores ended, pages say stale in their place, and are no error."""
    with serving(create_app(parts(SNAPSHOT.expired()))) as client:
        pages = [client.get(p).text for p in ("/", "/models/credit", "/models/credit/shifted")]

    assert "not evaluated" in pages[0]
    for page in pages[1:]:
        assert "stale, no run succeeded lately" in page
        assert "0.600" not in page


def test_a_model_before_its_first_run() -> None:
    """Without any run, feature or score, pages are no error."""
    fresh = Snapshot(model="credit", interval_seconds=60, stale_after_seconds=180)
    blank = model(["age"])
    for snapshot, path in (
        (fresh, "/"),
        (fresh, "/models/credit"),
        (blank, "/models/credit"),
        (blank, "/models/credit/age"),
    ):
        with serving(create_app(parts(snapshot, detail=lambda *_: None))) as client:
            assert client.get(path).status_code == 200


def test_a_failed_run_is_told_on_every_page() -> None:
    """Model and error of a failed run are shown where the model is."""
    failed = Run(NOW - 2, NOW - 1, success=False, reason="source", error="s3://b: <gone>")
    shown = parts(replace(SNAPSHOT, last_run=failed), runs=lambda *_: [("credit", failed)])
    with serving(create_app(shown)) as client:
        pages = [client.get(path).text for path in ("/", "/models/credit", "/runs")]

    for page in pages:
        assert "failed: source" in page
    for page in pages[1:]:
        assert "s3://b: &lt;gone&gt;" in page


def test_config_for_browsers_and_others(client: httpx.Client) -> None:
    """A browser gets a page, a tool plain text; both the same."""
    plain = client.get("/config")
    page = client.get("/config", headers={"Accept": "text/html,*/*;q=0.8"})

    assert plain.headers["content-type"].startswith("text/plain")
    assert page.headers["content-type"].startswith("text/html")
    assert plain.text in page.text
    assert plain.headers["vary"] == page.headers["vary"] == "Accept"


def test_a_feature_as_json(client: httpx.Client) -> None:
    """The document has what the page has."""
    answer = client.get("/api/v1/models/credit/features/shifted").json()
    first = answer["windows"][0]

    assert (answer["feature"], answer["state"], len(answer["windows"])) == (
        "shifted",
        "critical",
        2,
    )
    assert first["scores"] == {"psi": 0.6, "missing_ratio": 0.0}
    assert first["thresholds"]["psi"] == {"warning": 0.1, "critical": 0.25}
    assert first["since"] == "2027-01-15T07:50:00Z"
    assert [b["interval"] for b in first["distribution"]["bins"]] == ["< 30", "<b>≥ 30</b>"]
    assert first["distribution"]["thin_contribution"] == 0.27
    assert [s["state"] for s in first["segments"]] == ["ok", "critical", "critical"]
    assert answer["windows"][1]["distribution"] is None


def test_history_as_json(client: httpx.Client) -> None:
    """Past scores can be asked for by feature and number."""
    answer = client.get("/api/v1/models/credit/history?window=1h&feature=calm&limit=4").json()

    assert [point["end"] for point in answer][-1] == "2027-01-15T08:00:00Z"
    assert [point["features"]["calm"]["psi"] for point in answer] == [0, 0.01, 0.02, 0.03]
    assert answer[-1]["features"]["calm"]["state"] == "critical"


@pytest.mark.parametrize(
    ("known", "words"),
    [
        pytest.param(lambda: State, texts.STATES, id="states"),
        pytest.param(lambda: Reason, texts.REASONS, id="reasons"),
        pytest.param(lambda: STATISTICS, texts.STATISTICS, id="statistics"),
    ],
)
def test_everything_has_words(
    known: Callable[[], Collection[str]], words: Mapping[str, str]
) -> None:
    """No state, reason or statistic lacks words for a person."""
    assert set(words) == set(known())
