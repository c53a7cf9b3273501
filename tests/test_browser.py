"""The exporter's pages in a real browser, on data that drifts."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from browser import PHONE, WIDE, Scheme, chromium, page_of
from exporter_process import ExporterProcess, exporter
from inference_data import append_lines, table

ODD = 'rent/"net"\n<b>größe</b> {{ 7 }}'
"""A column whose name is fit to break a path, an attribute and a page."""

CONFIG = """\
models:
  - name: credit
    version: "7"
    reference: {url: reference.parquet, timestamp: ts}
    current: {url: current.jsonl, timestamp: ts, lateness: 0s}
    interval: 1h
    slice: 1m
    windows: [10m, 30m]
    prediction: score
    segments: [city]
  - name: gone
    reference: {url: reference.parquet, timestamp: ts}
    current: {url: nowhere.jsonl, timestamp: ts}
    interval: 1h
"""


def rows(start: float, end: float, count: int, *, seed: int, older: float = 0.0) -> pa.Table:
    """Inference data with a column of an odd name."""
    found = table(start, end, count, seed=seed, older=older)
    return found.append_column(ODD, found["income"])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExporterProcess]:
    """An exporter whose model's ages have shifted in the last ten minutes."""
    folder = tmp_path_factory.mktemp("browser")
    minute = time.time() // 60 * 60
    pq.write_table(rows(1_767_225_600, 1_769_904_000, 20_000, seed=1), folder / "reference.parquet")
    append_lines(folder / "current.jsonl", rows(minute - 1800, minute - 600, 4000, seed=2))
    append_lines(folder / "current.jsonl", rows(minute - 600, minute, 2000, seed=3, older=1.0))
    (folder / "drift.yml").write_text(CONFIG)
    with exporter(folder / "drift.yml") as running:
        running.wait_for_success("credit")
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser without a window."""
    with chromium() as browser:
        yield browser


@contextmanager
def watched(
    browser: Browser,
    running: ExporterProcess,
    size: tuple[int, int] = WIDE,
    scheme: Scheme = "light",
    *,
    scripts: bool = True,
) -> Iterator[Page]:
    """A page that may load nothing from elsewhere, and may not complain."""
    asked: list[str] = []
    said: list[str] = []
    with page_of(browser, size, scheme, scripts=scripts) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(running.url)
        yield page
    assert {url for url in asked if not url.startswith(f"{running.url}/")} == set()
    assert said == []


def test_from_the_fleet_to_the_drifted_feature(browser: Browser, running: ExporterProcess) -> None:
    """Without JavaScript, the worst model and its drifted feature are each named first."""
    with watched(browser, running, scripts=False) as page:
        page.locator(".fleet tbody tr").first.locator("th a").click()
        expect(page.locator("h1")).to_contain_text("credit")
        first = page.locator(".features tbody tr").first
        expect(first).to_contain_text("critical")
        first.locator("th a").click()
        expect(page).to_have_url(f"{running.url}/models/credit/age")
        expect(page.locator("h1")).to_have_text("age critical")
        expect(page.get_by_role("img", name="PSI of age in 10m")).to_be_visible()
        page.get_by_role("link", name="7d").click()
        expect(page.locator("h1")).to_have_text("age critical")


def test_a_filter_without_javascript(browser: Browser, running: ExporterProcess) -> None:
    """The form chooses features by their name, and keeps what was chosen before."""
    with watched(browser, running, scripts=False) as page:
        page.goto(f"{running.url}/models/credit?state=ok")
        page.get_by_label("Name contains").fill("INC")
        page.get_by_role("button", name="Filter").click()
        expect(page.locator("section:has(#features) tbody tr")).to_have_count(1)
        expect(page.locator("section:has(#features) tbody th")).to_have_text("income")


def test_an_odd_name_is_a_name(browser: Browser, running: ExporterProcess) -> None:
    """A column whose name holds a slash, quotes, a line break and marks has its page."""
    with watched(browser, running) as page:
        page.goto(f"{running.url}/models/credit")
        page.locator(".features a", has_text="größe").click()
        expect(page.locator("h1")).to_contain_text('rent/"net" <b>größe</b> {{ 7 }}')
        expect(page.locator(".bins").first).to_be_visible()


@pytest.mark.parametrize(
    ("size", "scheme"),
    [
        pytest.param(WIDE, "light", id="wide and light"),
        pytest.param(PHONE, "dark", id="phone and dark"),
    ],
)
def test_pages_are_accessible(
    browser: Browser, running: ExporterProcess, size: tuple[int, int], scheme: Scheme
) -> None:
    """axe finds no violation on any page, and no page is wider than its window."""
    with watched(browser, running, size, scheme) as page:
        for path in (
            "",
            "models/credit",
            "models/credit?window=10m&state=critical",
            "models/gone",
            "models/credit/age",
            "runs",
            "config",
        ):
            page.goto(f"{running.url}/{path}")
            for summary in page.locator("summary").all():
                summary.click()
            found = Axe().run(page)
            assert found.violations_count == 0, f"/{path}: {found.generate_report()}"
            assert page.evaluate("document.documentElement.scrollWidth") <= size[0], path


def test_the_contributions_add_up_to_the_exported_score(running: ExporterProcess) -> None:
    """What the bins add in the feature's document is the PSI that Prometheus gets."""
    answer = running.api("models/credit/features/age")
    for window in answer["windows"]:  # type: ignore[index,call-overload]
        found = window["distribution"]
        added = sum(b["contribution"] or 0.0 for b in found["bins"])
        exported = running.value(
            "modeldrift_feature_psi", model="credit", feature="age", window=window["window"]
        )

        assert added + (found["thin_contribution"] or 0.0) == pytest.approx(exported, rel=1e-9)
        assert found["psi"] == pytest.approx(exported, rel=1e-9)
