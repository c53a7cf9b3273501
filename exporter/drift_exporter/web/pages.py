"""The pages a person reads, as HTML from templates.

Knows views and their looks; never where they come from. Everything is escaped, links are
relative, so that a page works behind any proxy and prefix, and nothing is loaded from elsewhere.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from drift_exporter.incident import Incident
from drift_exporter.snapshot import Run, Snapshot
from drift_exporter.verdicts.verdict import State
from drift_exporter.web import charts, texts
from drift_exporter.web.summary import model_state
from drift_exporter.web.views import FeatureView, ModelRow, ModelView

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


@dataclass(frozen=True)
class Frame:
    """What stands around every page."""

    root: str
    """Relative path from the page to the first one, with a slash behind."""

    now: float
    """Seconds since the epoch, from which ages are told."""

    version: str
    revision: str
    telemetry: str
    """Path of the metrics below the route prefix, without its slash."""

    incidents: bool = False
    """Whether there are pages of incidents."""


@dataclass(frozen=True)
class Filter:
    """Which of a model's features are shown."""

    window: str = ""
    state: State | None = None
    text: str = ""


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words: tuple[Callable[..., str], ...] = (
        texts.age,
        texts.ago,
        texts.between,
        texts.limit,
        texts.machine_time,
        texts.number,
        texts.rows,
        texts.score,
        texts.share,
        texts.threshold,
        texts.utc,
    )
    environment.filters |= {word.__name__: word for word in words}
    environment.globals |= {
        "style": Markup(_STYLE),  # noqa: S704 - our own file, no input
        "path_of": texts.path_of,
        "states": texts.STATES,
        "reasons": texts.REASONS,
        "causes": texts.CAUSES,
        "classifications": texts.CLASSIFICATIONS,
        "verdicts": texts.VERDICTS,
        "statistics": texts.STATISTICS,
        "spark_width": charts.SPARK_WIDTH,
        "spark_height": charts.SPARK_HEIGHT,
        "box": charts.BOX,
    }
    return environment


_PAGES = _environment()


def fleet_page(
    frame: Frame, models: Sequence[ModelRow], incidents: Mapping[str, int] | None = None
) -> str:
    """The first page: how each model fares, and how many incidents of it go on."""
    return page("fleet.html", frame, models=models, incidents=incidents or {})


def model_page(
    frame: Frame,
    snapshot: Snapshot,
    view: ModelView,
    chosen: Filter,
    past_seconds: int,
    history_error: str,
    incidents: Sequence[Incident] = (),
) -> str:
    """The page of one model: its incidents that go on, every feature, the worst first.

    The small lines span ``past_seconds``.
    """
    return page(
        "model.html",
        frame,
        model=snapshot,
        state=model_state(snapshot),
        view=view,
        chosen=chosen,
        past_seconds=past_seconds,
        history_error=history_error,
        incidents=incidents,
    )


def feature_page(
    frame: Frame, snapshot: Snapshot, view: FeatureView, spans: Sequence[str], span: str, error: str
) -> str:
    """The page of one feature: how it is distributed, and how its score went."""
    return page(
        "feature.html", frame, model=snapshot, view=view, spans=spans, span=span, error=error
    )


def runs_page(frame: Frame, runs: Sequence[tuple[str, Run]], *, model: str | None) -> str:
    """The page of recent runs, of all models or of one."""
    return page("runs.html", frame, runs=runs, model=model)


def config_page(frame: Frame, text: str) -> str:
    """The page of the running config, without secrets."""
    return page("config.html", frame, text=text)


def missing_page(frame: Frame, what: str) -> str:
    """The page that stands for one that is not there."""
    return page("missing.html", frame, what=what)


def page(template: str, frame: Frame, **values: object) -> str:
    """A page from a template and what it shows."""
    return _PAGES.get_template(template).render(frame=frame, root=frame.root, **values)
