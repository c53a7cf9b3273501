"""The pages a person reads, as HTML from templates.

Knows documents and their looks; never where they come from. Everything is escaped, links are
relative, so that a page works behind any proxy and prefix.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from drift_exporter.web.api import ModelAnswer, RunAnswer

_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = (_TEMPLATES / "style.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "deny",
    "Referrer-Policy": "no-referrer",
}
"""Headers of every response: nothing but our own style sheet may run or load in a browser."""


def _utc(value: datetime | None) -> str:
    return "never" if value is None else value.strftime("%Y-%m-%d %H:%M:%S UTC")


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["utc"] = _utc
    environment.globals["style"] = Markup(_STYLE)  # noqa: S704 - our own file, no input
    return environment


_PAGES = _environment()


def landing(models: Sequence[ModelAnswer], *, version: str, revision: str, telemetry: str) -> str:
    """The page that says who we are, and how each model fares.

    ``telemetry`` is the path of the metrics below the route prefix, without its slash.
    """
    return _PAGES.get_template("landing.html").render(
        models=models, version=version, revision=revision, telemetry=telemetry
    )


def runs_page(runs: Sequence[RunAnswer], *, model: str | None) -> str:
    """The page of recent runs, of all models or of one."""
    return _PAGES.get_template("runs.html").render(runs=runs, model=model)
