"""What a report says, as plain data: every format shows the same facts.

Pure: knows shapes; neither where facts come from nor how they look. Times are seconds since the
epoch, lengths of time are seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FORMAT_VERSION = 1
"""Version of the JSON; raised when an older reader would misread a newer report."""


@dataclass(frozen=True)
class Head:
    """What stands above every report."""

    format_version: int
    kind: str
    """``span`` or ``incident``."""

    made: float
    made_by: str


@dataclass(frozen=True)
class ThresholdFacts:
    """From when on a statistic of a column is too high."""

    column: str
    """Empty for all columns that have none of their own."""

    statistic: str
    calibrated: bool
    """Whether it follows from the model's own past; else the numbers are fixed."""

    warning: float | None
    critical: float | None


@dataclass(frozen=True)
class CalibrationFacts:
    """Thresholds that were derived from a model's past once, and what they promised."""

    created: float
    method: str
    """``history`` or ``analytic``."""

    reason: str
    """Why it is analytic, where it is."""

    history_days: float
    budget_per_90_days: float
    """False alarms that are promised at most."""

    neg_log10_alpha: float
    self_test_alarms_per_90_days: float | None
    """What the thresholds would have told of the model's own past."""

    self_test_days: float | None
    self_test_in_sample: bool | None
    bins_hash: str


@dataclass(frozen=True)
class CalibrationSettings:
    """What the config asks of calibrated thresholds."""

    budget_per_90_days: float
    min_effect: float
    history: str
    every: str
    file: str
    excluded: tuple[str, ...]


@dataclass(frozen=True)
class ReferenceFacts:
    """What windows are compared with."""

    kind: str
    source: str
    """Without secrets."""

    span: str
    gap: str
    """Of a rolling or seasonal reference; else empty."""

    profile: str
    """Hash of bins and counts; empty where there is no profile yet."""

    created: str
    rows: int | None
    start: str
    end: str
    problem: str
    """Why nothing is known of the profile, where that is so."""


@dataclass(frozen=True)
class ColumnFacts:
    """One column that is monitored."""

    name: str
    role: str
    kind: str


@dataclass(frozen=True)
class ModelFacts:
    """How one model is monitored now."""

    name: str
    version: str
    owner: str
    team: str
    tier: str
    trained: str
    retrain_every: str
    schedule: str
    windows: tuple[str, ...]
    slice: str
    stale_after_seconds: float
    min_rows: int
    source: str
    label: str
    segments: tuple[str, ...]
    columns: tuple[ColumnFacts, ...]
    reference: ReferenceFacts
    thresholds: tuple[ThresholdFacts, ...]
    calibration: CalibrationSettings | None
    """None where every threshold is fixed."""

    calibrations: tuple[CalibrationFacts, ...]
    """The newest first; those that were in force in the span, and later ones."""


@dataclass(frozen=True)
class ApprovalFacts:
    """Somebody's answer to an action."""

    who: str
    groups: tuple[str, ...]
    decision: str
    at: float
    note: str


@dataclass(frozen=True)
class ActionFacts:
    """What was proposed or done about an incident."""

    id: int
    name: str
    key: str
    state: str
    created: float
    updated: float
    needs: tuple[str, ...]
    reason: str
    dry_run: bool
    retrain: bool
    method: str
    url: str
    status: int | None
    attempts: int | None
    answer: str
    approvals: tuple[ApprovalFacts, ...]


@dataclass(frozen=True)
class CaseFacts:
    """One incident in a line, and what was done about it."""

    id: int
    model: str
    cause: str
    severity: str
    state: str
    classification: str
    headline: str
    title: str
    opened: float
    acknowledged: float | None
    acknowledged_by: str
    resolved: float | None
    closed: float | None
    closed_by: str
    flaps: int
    to_acknowledge_seconds: float | None
    to_resolve_seconds: float | None
    acknowledge_within_seconds: float | None
    """What the config asks for models of this tier; None for a model that it has no more."""

    resolve_within_seconds: float | None
    acknowledged_late: bool
    resolved_late: bool
    successor: Mapping[str, Any]
    actions: tuple[ActionFacts, ...]


@dataclass(frozen=True)
class TimesFacts:
    """How long it took people to answer the incidents that began in the span."""

    what: str
    """``acknowledge`` or ``resolve``."""

    severity: str
    """``all``, or one."""

    done: int
    open: int
    """Incidents of which nobody had done it when the report was made."""

    late: int
    """Incidents that took longer than the config asks, whether done or not."""

    median_seconds: float | None
    p90_seconds: float | None
    worst_seconds: float | None


@dataclass(frozen=True)
class Gap:
    """A span without a successful run, longer than scores are kept."""

    start: float
    end: float
    ongoing: bool
    """Whether it lasts on at the end of the report's span."""

    failures: Mapping[str, int]
    """Runs that failed in it, by reason."""

    @property
    def seconds(self) -> float:
        """How long it lasted within the report's span."""
        return self.end - self.start


@dataclass(frozen=True)
class MonitoringFacts:
    """How well a model was watched in the span."""

    model: str
    stale_after_seconds: float
    runs: int
    failures: Mapping[str, int]
    recorded_from: float | None
    """Begin of the part of the span of which runs are recorded; None where none is."""

    watched_ratio: float | None
    """Share of that part that lies in no gap."""

    verdict_changes: int
    gaps: tuple[Gap, ...]


@dataclass(frozen=True)
class ChangeFacts:
    """A change of what is monitored, or of how."""

    entry: int
    """Id in the audit log."""

    at: float
    actor: str
    kind: str
    subject: str
    text: str


@dataclass(frozen=True)
class IntegrityFacts:
    """Whether the audit log is as it was written, and the report's incidents as it has them."""

    intact: bool
    """Whether the chain of the log is whole."""

    entries: int
    first_id: int
    last_id: int
    head_hash: str
    faults: tuple[str, ...]
    records: int
    """Steps, approvals, evidence, actions and incidents that were held against the log."""

    records_differing: int
    records_left_out: int
    """Those that are older than the log's first entry: it cannot prove them."""

    differences: tuple[str, ...]
    """What differs, at most a hundred sentences."""

    @property
    def proven(self) -> bool:
        """Whether the log is whole and no record differs from it."""
        return self.intact and not self.records_differing


@dataclass(frozen=True)
class SpanReport:
    """The report of a span."""

    head: Head
    since: float
    until: float
    models: tuple[ModelFacts, ...]
    incidents: tuple[CaseFacts, ...]
    unmatched_alerts: int
    """Alerts in the span that name no known model."""

    times: tuple[TimesFacts, ...]
    monitoring: tuple[MonitoringFacts, ...]
    changes: tuple[ChangeFacts, ...]
    integrity: IntegrityFacts


@dataclass(frozen=True)
class AlertFacts:
    """One alert of an incident."""

    name: str
    status: str
    severity: str
    starts_at: float
    ends_at: float | None
    labels: Mapping[str, str]
    summary: str


@dataclass(frozen=True)
class StepFacts:
    """Something that happened to an incident."""

    at: float
    actor: str
    kind: str
    text: str
    note: str


@dataclass(frozen=True)
class Frozen:
    """The counts that an incident was judged on, as they are kept."""

    at: float
    sha256: str
    """As the audit log has it too."""

    body: str
    """JSON, compressed by zlib, in base64."""


@dataclass(frozen=True)
class Series:
    """PSI of one column around the incident."""

    column: str
    window: str
    points: tuple[tuple[int, float | None], ...]
    """End of each window, and PSI."""

    limit: float | None
    """The line that is drawn."""

    limit_text: str
    """What the line is."""


@dataclass(frozen=True)
class Section:
    """A part of the retrospective."""

    title: str
    known: tuple[str, ...]
    """What the records tell."""

    questions: tuple[str, ...]
    """What only people can tell."""


@dataclass(frozen=True)
class CaseReport:
    """The report of an incident."""

    head: Head
    incident: CaseFacts
    monitored: ModelFacts | None
    """How the model is monitored now; None where the config has it no more."""

    alerts: tuple[AlertFacts, ...]
    timeline: tuple[StepFacts, ...]
    analysis: Mapping[str, Any] | None
    """What the analysis found, frozen with the incident."""

    evidence: tuple[Frozen, ...]
    """What it was found in, of each analysis."""

    history: tuple[Series, ...]
    audit_entries: tuple[int, ...]
    """Ids of the entries of the audit log that are about the incident."""

    integrity: IntegrityFacts
    retrospective: tuple[Section, ...]
