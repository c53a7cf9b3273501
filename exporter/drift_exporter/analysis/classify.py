"""What kind of incident it is, and what to do first.

Pure: findings in, a word and two sentences out. Knows no counts.
"""

from collections.abc import Sequence
from enum import StrEnum

from drift_exporter.analysis.faults import Kind
from drift_exporter.analysis.findings import FeatureFinding, faults_of, shifted, unexplained
from drift_exporter.analysis.labels import ConceptFinding
from drift_exporter.analysis.segments import SegmentFinding


class Classification(StrEnum):
    """What an incident is."""

    DATA_QUALITY = "data_quality"
    COVARIATE_SHIFT = "covariate_shift"
    PREDICTION_SHIFT = "prediction_shift"
    CONCEPT_DRIFT = "concept_drift"
    NONE = "none"


RECOMMENDATIONS = {
    Classification.DATA_QUALITY: (
        "Do not retrain: look at who produces the column and what was released there, repair the "
        "data, and count the span again."
    ),
    Classification.COVARIATE_SHIFT: (
        "Check the model's quality on recent rows with labels; retrain if it fell and the change "
        "will last, or promote a new reference if it did not."
    ),
    Classification.PREDICTION_SHIFT: (
        "The inputs do not explain it, so look at the model: a new version, its thresholds, the "
        "code that serves it, or a feature that is not monitored; roll back if in doubt."
    ),
    Classification.CONCEPT_DRIFT: (
        "Retrain on recent labels: the same inputs now end differently, which no repair of the "
        "data cures; check first that the label's own definition is unchanged."
    ),
    Classification.NONE: (
        "Wait for more rows: the counts show nothing beyond chance and natural variation; if this "
        "recurs, look at the thresholds."
    ),
}
"""What to do first, by classification."""


def classification_of(
    findings: Sequence[FeatureFinding],
    segments: Sequence[SegmentFinding],
    concept: ConceptFinding | None,
) -> Classification:
    """What the findings make together.

    A fault of the data comes before all else: what looks like drift beside it may be its effect.
    New categories are one by themselves, not beside a strong shift of other columns.
    A change of the label within bins that the shifted inputs do not outweigh is concept drift.
    A prediction is a function of its inputs and cannot have shifted by more than they have
    together: where it has, the model changed.
    """
    if faults_of(findings):
        return Classification.DATA_QUALITY
    inputs, predictions = shifted(findings, "feature"), shifted(findings, "prediction")
    hidden = any(segment.kind == "hidden" for segment in segments)
    if concept is not None and concept.drifted:
        if not (inputs or hidden) or concept.effect > concept.exchanged:
            return Classification.CONCEPT_DRIFT
    if unexplained([*inputs, *_new(findings)], predictions):
        return Classification.PREDICTION_SHIFT
    if inputs or hidden:
        return Classification.COVARIATE_SHIFT
    return Classification.NONE


def recommendation_of(classification: Classification, findings: Sequence[FeatureFinding]) -> str:
    """What to do first, and what to look at where new categories came with a shift."""
    new = [] if classification is Classification.DATA_QUALITY else _new(findings)
    if not new:
        return RECOMMENDATIONS[classification]
    what = (
        f"the new category in {new[0].feature} is"
        if len(new) == 1
        else (f"the new categories in {', '.join(f.feature for f in new)} are")
    )
    return f"{RECOMMENDATIONS[classification]} Before that, check that {what} meant."


def _new(findings: Sequence[FeatureFinding]) -> list[FeatureFinding]:
    return [f for f in findings if f.verdict is Kind.UNSEEN]


def headline_of(
    classification: Classification,
    findings: Sequence[FeatureFinding],
    segments: Sequence[SegmentFinding],
    concept: ConceptFinding | None,
    since: str,
) -> str:
    """What happened, in one sentence for a person who was just woken."""
    when = f", {since}" if since else ""
    if classification is Classification.DATA_QUALITY:
        faults = faults_of(findings)
        return f"Data quality: {faults[0].sentence}{_more(len(faults) - 1, 'column')}{when}."
    when += "".join(f"; {f.sentence}" for f in _new(findings))
    if classification is Classification.CONCEPT_DRIFT and concept is not None:
        return f"Concept drift: {concept.sentence}{when}."
    inputs, predictions = shifted(findings, "feature"), shifted(findings, "prediction")
    if classification is Classification.COVARIATE_SHIFT:
        if not inputs:
            hidden = next(s for s in segments if s.kind == "hidden")
            return f"Covariate shift: {hidden.sentence}{when}."
        mixes = [s for s in segments if s.kind == "mix" and s.feature == inputs[0].feature]
        mix = f"; it is the mix of {mixes[0].segment_by} that changed" if mixes else ""
        also = "; the prediction shifted too" if predictions else ""
        first = inputs[0].sentence
        return f"Covariate shift: {first}{_more(len(inputs) - 1, 'feature')}{mix}{also}{when}."
    if classification is Classification.PREDICTION_SHIFT:
        though = (
            f"the inputs shifted too little to explain it ({inputs[0].feature} most)"
            if inputs
            else "the inputs are as before"
        )
        return f"Prediction shift: {predictions[0].sentence}; {though}{when}."
    return "No evidence: nothing in the counts is beyond chance and natural variation."


def _more(number: int, what: str) -> str:
    if number == 0:
        return ""
    return f"; {number} more {what}" + ("s" if number > 1 else "")
