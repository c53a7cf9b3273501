"""The paper of the HTTP side says what the routes say."""

from pathlib import Path

from drift_exporter.papers import api_docs

PAPER = Path(__file__).parent.parent / "docs" / "api.md"


def test_the_committed_paper_is_what_the_routes_say() -> None:
    """Who changes a route or an answer runs `make docs`."""
    assert PAPER.read_text(encoding="utf-8") == api_docs.markdown()
