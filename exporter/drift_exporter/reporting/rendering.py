"""Facts as Markdown, HTML or JSON.

Knows looks; never where facts come from. Everything that facts say is escaped: alerts, notes and
names of columns come from elsewhere. The HTML needs nothing but itself and runs no script.
"""

import base64
import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from drift_exporter.config import Config
from drift_exporter.reporting import plots, words
from drift_exporter.reporting.evidence import evidence
from drift_exporter.reporting.facts import CaseReport, SpanReport
from drift_exporter.reporting.gathering import facts
from drift_exporter.store import Store

Format = Literal["markdown", "html", "json"]
FORMATS: tuple[Format, ...] = ("markdown", "html", "json")

MEDIA_TYPES: Mapping[str, str] = {
    "markdown": "text/markdown; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "json": "application/json",
}
"""Media type of each format."""

_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'none'"
"""Its own style sheet is all that may load."""

# What begins something in the midst of a line, or at its begin: a list, a heading.
_MARKDOWN = re.compile(r"([\\`*\[\]|~<>&]|(?<!\w)_|_(?!\w)|^[#+=-]|^\d+(?=[.)](?:\s|$)))")
_LINE_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# What turns the direction of writing round lets a text read as another one.
_TURNS = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def report(
    store: Store,
    config: Config,
    *,
    since: float,
    until: float,
    now: float,
    incident_id: int | None = None,
    format: Format = "markdown",
) -> str:
    """The report of a span, or of an incident where one is named.

    Parameters
    ----------
    store, config
        Where the facts come from.
    since, until, now
        The span and when the report is made, in seconds since the epoch.
    incident_id
        The incident that is told of; then the span is of no use.
    format
        One of `FORMATS`.

    Raises
    ------
    IncidentError
        If there is no such incident, or the span is empty.
    StoreError
        If the store cannot be read.
    """
    found = facts(store, config, since=since, until=until, now=now, incident_id=incident_id)
    return render(found, format)


def render(found: SpanReport | CaseReport, format: Format) -> str:
    """Facts in a format."""
    if format == "json":
        return json.dumps(plain(found), ensure_ascii=False, allow_nan=False, indent=2) + "\n"
    name = "incident" if isinstance(found, CaseReport) else "span"
    values: dict[str, Any] = {"report": found}
    if isinstance(found, CaseReport):
        values["analysis"] = evidence(found.analysis)
    if format == "markdown":
        text = _MARKDOWN_PAGES.get_template(f"{name}.md").render(values)
        return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
    text = _HTML_PAGES.get_template(f"{name}.html").render(values | _pictures(found))
    return text.encode(errors="replace").decode()


def plain(value: Any) -> Any:
    """Facts as what JSON can hold; numbers that it lacks become null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        # What came in as half a character must not make the report unreadable.
        return value.encode(errors="replace").decode()
    return value


def _pictures(found: SpanReport | CaseReport) -> dict[str, Any]:
    if isinstance(found, SpanReport):
        drawn = plots.strips(found.since, found.until, found.incidents, found.monitoring)
        return {"strips": drawn}
    case = found.incident
    moments = [(case.opened, "opened")]
    seen = evidence(found.analysis)
    if seen is not None and seen.since is not None and seen.since.start is not None:
        moments.append((seen.since.start, "began"))
    if case.resolved is not None:
        moments.append((case.resolved, "resolved"))
    curves = [plots.curve(series, moments) for series in found.history]
    return {
        "curves": [drawn for drawn in curves if drawn is not None],
        "bars": plots.bars(seen.features if seen else ()),
    }


def markdown_text(value: Any) -> Markup:
    """A value so that Markdown shows it as it is, in one line.

    Examples
    --------
    >>> str(markdown_text("a|b <i>c</i>"))
    'a\\\\|b &lt;i&gt;c&lt;/i&gt;'
    """
    if isinstance(value, Markup):
        return value
    text = _LINE_BREAKS.sub(" ", _TURNS.sub("", str(value))).encode(errors="replace").decode()
    return Markup(_MARKDOWN.sub(_escaped, text))  # noqa: S704 - it is escaped right here


def _straight(value: Any) -> Any:
    """A value for HTML, whose text is read in the order in which it is written."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return _TURNS.sub("", value)


def _escaped(match: re.Match[str]) -> str:
    named = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
    text = match[1]
    # A number is no list where a character of no width stands before its dot.
    return named.get(text, f"&#x200b;{text}" if text.isdigit() else "\\" + text)


def _environment(finalize: Callable[[Any], Any]) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
    )
    shown: tuple[Callable[..., str], ...] = (
        words.counts,
        words.named,
        words.number,
        words.percent,
        words.utc,
    )
    environment.filters |= {word.__name__: word for word in shown}
    environment.filters["length_"] = words.length
    environment.globals |= {
        "style": Markup(_STYLE),  # noqa: S704 - our own file, no input
        "policy": _POLICY,
        "width": plots.WIDTH,
        "height": plots.HEIGHT,
        "left": plots.LEFT,
        "dash": words.NONE,
    }
    return environment


_MARKDOWN_PAGES = _environment(markdown_text)
_HTML_PAGES = _environment(_straight)
