"""Pictures of the exporter's pages: ``python tests/page_pictures.py FOLDER [LOOK...]``.

Runs through a day that drifts, follows the links from the first page to the worst model and
its worst feature, and pictures each page wide and on a phone, light and dark.
"""

import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import httpx
from playwright.sync_api import Page

from browser import PHONE, WIDE, Scheme, chromium, page_of
from drifting_day import drifting_day
from exporter_process import ExporterProcess, eventually


def delivery() -> str:
    """What Alertmanager would send of the day now."""
    alerts = [
        {
            "status": "firing",
            "labels": {
                "alertname": "ModelDriftFeatureDrifted",
                "model": "credit-risk",
                "feature": feature,
                "severity": "critical",
            },
            "annotations": {"summary": "Features of credit-risk drift"},
            "startsAt": datetime.now(UTC).isoformat(),
        }
        for feature in ("income", "purpose")
    ]
    return json.dumps({"version": "4", "alerts": alerts})


LOOKS: tuple[tuple[str, tuple[int, int], Scheme], ...] = (
    ("wide", WIDE, "light"),
    ("wide-dark", WIDE, "dark"),
    ("phone", PHONE, "light"),
    ("phone-dark", PHONE, "dark"),
)
"""Name, size of the window and colour scheme of each picture."""


def places(page: Page, url: str) -> dict[str, str]:
    """Addresses of the pages, by name."""
    page.goto(url)
    found = {"models": page.url, "runs": f"{page.url}runs", "config": f"{page.url}config"}
    found["incidents"] = f"{page.url}incidents"
    found["incident"] = f"{page.url}incidents/1"
    page.click(".fleet tbody tr:first-child th a")
    found["model"] = page.url
    page.click(".features tbody tr:first-child th a")
    found["feature"] = page.url
    return found


def _all_ran(running: ExporterProcess) -> bool:
    models = running.api("models")
    assert isinstance(models, list)
    return all(model["last_run"] and model["next_run"] for model in models)


def main(folder: Path, looks: tuple[str, ...]) -> None:
    """Picture every page in every look, or in the looks named."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as day,
        drifting_day(Path(day)) as running,
        chromium() as browser,
    ):
        eventually(lambda: _all_ran(running), "a run of each model")
        httpx.post(f"{running.url}/alerts", content=delivery(), trust_env=False).raise_for_status()
        with page_of(browser) as page:
            addresses = places(page, f"{running.url}/")
        for look, size, scheme in LOOKS:
            if looks and look not in looks:
                continue
            with page_of(browser, size, scheme) as page:
                for name, address in addresses.items():
                    page.goto(address)
                    picture = folder / f"page-{name}-{look}.png"
                    page.screenshot(
                        path=picture, full_page=name in ("model", "feature", "incident")
                    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), tuple(sys.argv[2:]))
