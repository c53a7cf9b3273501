"""The analysis of an incident: verdicts, ranking, segments, labels and time put together.

Pure: evidence in, an analysis out that JSON can hold (`dataclasses.asdict`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from drift_exporter.analysis.beginning import Since, since_of
from drift_exporter.analysis.classify import (
    Classification,
    classification_of,
    headline_of,
    recommendation_of,
)
from drift_exporter.analysis.columns import columns_of
from drift_exporter.analysis.evidence import Evidence
from drift_exporter.analysis.faults import Kind
from drift_exporter.analysis.findings import FeatureFinding, faults_of, findings_of, shifted
from drift_exporter.analysis.labels import ConceptFinding, concept_of
from drift_exporter.analysis.segments import SegmentFinding, segments_of

LEADING = 5
"""Columns that lead: their common beginning is the incident's, their segments are told."""


@dataclass(frozen=True)
class Analysis:
    """What happened, the most important first."""

    classification: Classification
    headline: str
    """One sentence that a person on call reads first."""

    recommendation: str
    """What to do first."""

    notes: tuple[str, ...]
    """One sentence per further finding: columns, segments, labels."""

    features: tuple[FeatureFinding, ...]
    """All columns, ranked: main faults first, then by share of the drift."""

    segments: tuple[SegmentFinding, ...]
    concept: ConceptFinding | None
    since: Since | None
    rows: int
    """Rows of the window."""

    reference_rows: int
    profile: str
    """Hash of the profile that the counts were judged against."""


def analyse(evidence: Evidence) -> Analysis:
    """What happened to the model's data.

    Parameters
    ----------
    evidence
        The counts of reference and window; sketches of suspicious columns, slices and labels as
        far as there are any. What is not there is not found, and nothing else is the worse.
    """
    layout = evidence.profile.layout
    findings = findings_of(columns_of(evidence))
    told = _told(findings)
    leading = [f.feature for f in told[:LEADING]]
    segments = segments_of(evidence, leading, {f.feature for f in told})
    concept = _concept(evidence, findings)
    classification = classification_of(findings, segments, concept)
    first = faults_of(told) or told
    since = since_of(evidence, [f.feature for f in first[:LEADING]])
    dated = tuple(_dated(evidence, f, f in told[:LEADING]) for f in findings)
    when = since.text if since is not None and since.start is not None else ""
    return Analysis(
        classification=classification,
        headline=headline_of(classification, findings, segments, concept, when),
        recommendation=recommendation_of(classification, findings),
        notes=_notes(told, segments, concept),
        features=dated,
        segments=segments,
        concept=concept,
        since=since,
        rows=layout.rows(evidence.current),
        reference_rows=evidence.profile.rows,
        profile=evidence.profile.hash,
    )


def columns_to_date(evidence: Evidence) -> tuple[str, ...]:
    """The columns whose slices tell since when, to be called when sketches are there."""
    return tuple(f.feature for f in _told(findings_of(columns_of(evidence)))[:LEADING])


def _told(findings: Sequence[FeatureFinding]) -> list[FeatureFinding]:
    return [f for f in findings if f.verdict not in (Kind.NONE, Kind.NOT_EVALUATED)]


def _concept(evidence: Evidence, findings: Sequence[FeatureFinding]) -> ConceptFinding | None:
    """Labels by prediction: rows with the same one should end the same, whatever their inputs.

    Where only the prediction shifted, the model changed, and its bins are no longer the same
    rows; then, and without a prediction, the features' bins serve.
    """
    if not evidence.label:
        return None
    names = {role: [f.feature for f in findings if f.role == role] for role in _ROLES}
    inputs, predictions = shifted(findings, "feature"), shifted(findings, "prediction")
    if names["prediction"] and (inputs or not predictions):
        return concept_of(evidence, names["prediction"])
    return concept_of(evidence, [f.feature for f in inputs] or names["feature"])


_ROLES = ("feature", "prediction")


def _dated(evidence: Evidence, finding: FeatureFinding, wanted: bool) -> FeatureFinding:
    since = since_of(evidence, [finding.feature]) if wanted else None
    return replace(finding, since=since.text if since is not None else "")


def _notes(
    told: Sequence[FeatureFinding],
    segments: Sequence[SegmentFinding],
    concept: ConceptFinding | None,
) -> tuple[str, ...]:
    sentences = [f.sentence for f in told] + [s.sentence for s in segments]
    return tuple(sentences + ([concept.sentence] if concept is not None else []))
