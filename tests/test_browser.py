"""The exporter's pages in a real browser, on data that drifts."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from browser import PHONE, WIDE, Scheme, chromium, page_of
from drift_exporter.demo.credit_log import DRIFTING
from drifting_day import drifting_day
from exporter_process import ExporterProcess


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExporterProcess]:
    """An exporter that has run for a day, and whose first model drifts."""
    with drifting_day(tmp_path_factory.mktemp("day")) as running:
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
    """Without JavaScript, the model that drifts is named first, and its drifted features are."""
    with watched(browser, running, scripts=False) as page:
        page.locator(".fleet tbody tr").first.locator("th a").click()
        expect(page.locator("h1")).to_have_text("credit-risk critical")
        features = page.locator("section:has(#features) tbody tr")
        names = features.locator("th").all_inner_texts()
        assert set(names[:3]) == set(DRIFTING)
        expect(features.first).to_contain_text("critical")
        features.first.locator("th a").click()
        expect(page).to_have_url(f"{running.url}/models/credit-risk/{names[0]}")
        expect(page.locator("h1")).to_have_text(f"{names[0]} critical")
        expect(page.get_by_role("img", name=f"PSI of {names[0]} in 1h")).to_be_visible()
        expect(page.locator(".since").first).to_contain_text("critical for")
        page.get_by_role("link", name="7d").click()
        expect(page.locator("h1")).to_have_text(f"{names[0]} critical")


def test_a_filter_without_javascript(browser: Browser, running: ExporterProcess) -> None:
    """The form chooses features by their name, and keeps what was chosen before."""
    with watched(browser, running, scripts=False) as page:
        page.goto(f"{running.url}/models/credit-risk?state=ok")
        page.get_by_label("Name contains").fill("SAV")
        page.get_by_role("button", name="Filter").click()
        expect(page.locator("section:has(#features) tbody tr")).to_have_count(1)
        expect(page.locator("section:has(#features) tbody th")).to_have_text("savings")


def test_an_odd_name_is_a_name(browser: Browser, running: ExporterProcess) -> None:
    """A column whose name holds a slash, quotes, a line break and marks has its page."""
    with watched(browser, running) as page:
        page.goto(f"{running.url}/models/credit-risk")
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
            "models/credit-risk",
            "models/credit-risk?window=1h&state=critical",
            "models/churn",
            "models/credit-risk/income",
            "models/credit-risk/purpose",
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
    answer = running.api("models/credit-risk/features/income")
    assert isinstance(answer, dict)
    for window in answer["windows"]:
        found = window["distribution"]
        added = sum(b["contribution"] or 0.0 for b in found["bins"])
        exported = running.value(
            "modeldrift_feature_psi",
            model="credit-risk",
            feature="income",
            window=window["window"],
        )

        assert added + (found["thin_contribution"] or 0.0) == pytest.approx(exported, rel=1e-9)
        assert found["psi"] == pytest.approx(exported, rel=1e-9)
