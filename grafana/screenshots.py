"""Pictures of all boards, without Grafana: ``python -m grafana.screenshots [folder] [--scale]``.

Plays the day, asks a real Prometheus, and lets a headless Chromium take the pictures.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from grafana import day
from grafana.build import dashboards
from grafana.drawing.page import COLUMN, GAP, Board
from grafana.parts import FEATURE, MODEL
from grafana.prometheus import serving

WIDTH = 24 * COLUMN + 2 * GAP
HEAD = 80
WANTED = {
    MODEL: {"model": ("credit-risk",)},
    FEATURE: {"model": ("credit-risk",), "feature": ("income",)},
}
"""What the pictures show of the day: the model that drifts, and a feature that does."""

CHROMIUM = [
    "chromium",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]


def main(folder: Path, scale: float) -> None:
    """Write a picture of each board."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        day.write_day(Path(made))
        with serving(Path(made), day.START, day.END, day.SCRAPE_SECONDS) as prometheus:
            for found in dashboards():
                board = Board(found, prometheus, WANTED.get(found["uid"], {}))
                page = Path(made) / f"{found['uid']}.html"
                page.write_text(board.html(), encoding="utf-8")
                picture = folder / f"{found['uid']}.png"
                shoot(page, picture, board.height + HEAD, scale)
                empty = f", without data: {', '.join(board.empty)}" if board.empty else ""
                sys.stdout.write(f"{picture}{empty}\n")


def shoot(page: Path, picture: Path, height: int, scale: float) -> None:
    """Let Chromium take a picture of a page."""
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(  # noqa: S603  (our own files)
            [
                *CHROMIUM,
                f"--user-data-dir={profile}",
                f"--window-size={WIDTH},{height}",
                f"--force-device-scale-factor={scale}",
                f"--screenshot={picture.absolute()}",
                page.absolute().as_uri(),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("screenshots"))
    parser.add_argument("--scale", type=float, default=1.0, help="pixels per pixel of the page")
    given = parser.parse_args()
    main(given.folder, given.scale)
