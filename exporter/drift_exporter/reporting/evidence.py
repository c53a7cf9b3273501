"""The analysis that is frozen with an incident, as far as a report shows it.

Pure: JSON in, values out. What another release wrote is read as far as it is understood: a report
of last year must not fail for a key of this year.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from drift_exporter.reporting.words import utc


@dataclass(frozen=True)
class BinSeen:
    """A bin that contributes to a column's drift."""

    interval: str
    reference_share: float | None
    current_share: float | None
    contribution: float | None


@dataclass(frozen=True)
class FeatureSeen:
    """What the analysis found about one column."""

    feature: str
    verdict: str
    sentence: str
    since: str
    psi: float | None
    limit: float | None
    share: float | None
    bins: tuple[BinSeen, ...]

    @property
    def told(self) -> bool:
        """Whether anything is wrong with it."""
        return self.verdict not in ("", "none", "not_evaluated")


@dataclass(frozen=True)
class SinceSeen:
    """When it began."""

    start: float | None
    text: str


@dataclass(frozen=True)
class Evidence:
    """The analysis."""

    headline: str
    recommendation: str
    notes: tuple[str, ...]
    features: tuple[FeatureSeen, ...]
    since: SinceSeen | None
    rows: int | None
    reference_rows: int | None
    profile: str
    window: str
    """The window that was judged, as the config writes it."""

    related: tuple[str, ...]
    """Other models that read the same data and drift too."""

    changes: tuple[str, ...]
    """What had changed shortly before."""


def evidence(analysis: Mapping[str, Any] | None) -> Evidence | None:
    """The analysis of an incident; None where there is none."""
    if not analysis:
        return None
    since = analysis.get("since")
    rows, reference_rows = (_number(analysis.get(k)) for k in ("rows", "reference_rows"))
    window = analysis.get("window")
    return Evidence(
        headline=_text(analysis.get("headline")),
        recommendation=_text(analysis.get("recommendation")),
        notes=_texts(analysis.get("notes")),
        features=tuple(_feature(found) for found in _mappings(analysis.get("features"))),
        since=SinceSeen(_number(since.get("start")), _text(since.get("text")))
        if isinstance(since, Mapping)
        else None,
        rows=None if rows is None else int(rows),
        reference_rows=None if reference_rows is None else int(reference_rows),
        profile=_text(analysis.get("profile")),
        window=_text(window.get("name")) if isinstance(window, Mapping) else "",
        related=_texts(analysis.get("related_models")),
        changes=tuple(_change(one) for one in _mappings(analysis.get("recent_changes"))),
    )


def _change(found: Mapping[str, Any]) -> str:
    at, parts = _number(found.get("at")), []
    for key in ("kind", "subject", "by", "text"):
        if _text(found.get(key)):
            parts.append(_text(found.get(key)).replace("_", " "))
    return ", ".join([*parts, utc(at)] if at is not None else parts)


def _feature(found: Mapping[str, Any]) -> FeatureSeen:
    return FeatureSeen(
        feature=_text(found.get("feature")),
        verdict=_text(found.get("verdict")),
        sentence=_text(found.get("sentence")),
        since=_text(found.get("since")),
        psi=_number(found.get("psi")),
        limit=_number(found.get("limit")),
        share=_number(found.get("share")),
        bins=tuple(
            BinSeen(
                _text(one.get("interval")),
                _number(one.get("reference_share")),
                _number(one.get("current_share")),
                _number(one.get("contribution")),
            )
            for one in _mappings(found.get("bins"))
        ),
    )


def _mappings(value: object) -> Iterator[Mapping[str, Any]]:
    for one in value if isinstance(value, list | tuple) else ():
        if isinstance(one, Mapping):
            yield one


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_text(one) for one in value) if isinstance(value, list | tuple) else ()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known and math.isfinite(value) else None  # type: ignore[arg-type]
