"""The look at an incident: its counts are frozen, analysed and written to it.

Knows job, store and source; never an alert or an action. Everything is judged from counts; the
source is asked once more, for sketches of the columns that look suspicious, and where it does
not answer the analysis goes on without.
"""

import base64
import hashlib
import json
import logging
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from drift_exporter.analysis import (
    Analysis,
    Classification,
    Evidence,
    Slices,
    analyse,
    columns_to_date,
    columns_to_sketch,
    slices_of,
    to_mapping,
)
from drift_exporter.checking.baseline import ALL_ROWS
from drift_exporter.checking.job import Job
from drift_exporter.checking.judging import judge_window, stored_counts
from drift_exporter.errors import DriftExporterError
from drift_exporter.incident import (
    ALERT_NAMES,
    FAULTY,
    OUTDATED,
    Cause,
    Incident,
    Step,
    analysis_digest,
)
from drift_exporter.profile import with_counts
from drift_exporter.reading.source import Source
from drift_exporter.store import Store

log = logging.getLogger(__name__)

ACTOR = "drift-exporter"
PAST_SECONDS = 3 * 86_400
"""How far back is asked since when."""

CHANGES_SECONDS = 7 * 86_400
"""How far back changes of profile, config or version are told."""

CHANGES = frozenset({"profile_changed", "version_changed", "config_changed"})
"""Kinds of audit entries that may be why."""

MOST_CHANGES = 10


@dataclass(frozen=True)
class Examination:
    """What an incident was judged on, and what came out."""

    evidence: Evidence
    analysis: Analysis
    window: str
    start: int
    end: int
    sketched: bool
    """Whether the source was asked for sketches, and answered."""


class Seen(NamedTuple):
    """What was known of an incident before it was analysed."""

    flaps: int
    alert_names: frozenset[str]


def seen_of(store: Store, incident: Incident) -> Seen:
    """What is known of an incident now.

    Raises
    ------
    StoreError
        If its alerts cannot be read.
    """
    names = frozenset(alert.name for alert in store.cases.alerts(incident.id))
    return Seen(incident.flaps, names)


def examine(job: Job, open_source: Callable[[], Source]) -> Examination | None:
    """Analyse what the model's shortest window holds now; None before its first run.

    Raises
    ------
    StoreError
        If the slices cannot be read.
    """
    known = job.store.last_success(job.model.name)
    if known is None or known.window_end is None:
        return None
    window = min(job.model.windows)
    end, start = known.window_end, known.window_end - int(window.seconds)
    evidence = _evidence(job, window.text, start, end)
    numeric, categorical = columns_to_sketch(evidence)
    sketched = False
    if numeric or categorical:
        try:
            source = open_source()
            try:
                found = source.sketch(numeric, categorical, (float(start), float(end)))
            finally:
                source.close()
            evidence = replace(evidence, numeric=found.numeric, categorical=found.categorical)
            sketched = True
        except DriftExporterError as error:
            log.warning(
                "analysis without the source", extra={"model": job.model.name, "err": str(error)}
            )
    dated = columns_to_date(evidence)
    if dated:
        evidence = replace(evidence, slices=_slices(job, end, dated))
    return Examination(evidence, analyse(evidence), window.text, start, end, sketched)


def keep(
    store: Store,
    incident_id: int,
    found: Examination,
    now: float,
    related: Collection[str] = (),
    actor: str = ACTOR,
    seen: Seen | None = None,
) -> Incident:
    """Write an analysis to its incident, with the counts that it was judged on.

    Parameters
    ----------
    store
        Where the incident is.
    incident_id
        The incident.
    found
        What `examine` found.
    now
        Seconds since the epoch.
    related
        Other models that share the source and drift too.
    actor
        Who had it analysed.
    seen
        What was known of the incident before its counts were read; None: what is known now.

    Raises
    ------
    StoreError
        If it cannot be written.
    IncidentError
        If there is no such incident.
    """
    cases = store.cases
    known = cases.incident(incident_id)
    changes = _changes(store, known.model, now) if known else []
    with cases.writing(f"analyse incident {incident_id}") as tx:
        incident = tx.get(incident_id)
        names = {alert.name for alert in tx.alerts(incident_id)}
        told = _told(found, related, changes) | {ALERT_NAMES: sorted(names)}
        if seen is not None and (seen.flaps != incident.flaps or names - seen.alert_names):
            # Something came while it was analysed: once more, then.
            told |= {ALERT_NAMES: sorted(seen.alert_names), OUTDATED: True}
        if _was_faulty(incident):
            told[FAULTY] = True
        body = packed(found.evidence)
        tx.save_evidence(incident_id, now, body)
        detail = {
            "classification": told["classification"],
            # So that the audit log proves the analysis and the evidence too.
            "analysis_sha256": analysis_digest(told),
            "evidence_sha256": hashlib.sha256(body.encode()).hexdigest(),
            "window": found.window,
            "start": found.start,
            "end": found.end,
        }
        text = f"{told['headline']} {told['recommendation']}".strip()
        step = Step(now, actor, "analysed", text, detail)
        after = tx.save(
            replace(incident, classification=told["classification"], analysis=told, updated=now)
        )
        tx.record(incident_id, step)
    return after


def sharing(job: Job, others: Mapping[str, Job], drifting: Collection[str]) -> tuple[str, ...]:
    """Other models that read the same inference data and drift too."""
    own = (job.model.current.url, job.model.current.table, job.model.current.query)
    return tuple(
        name
        for name, other in others.items()
        if name != job.model.name
        and name in drifting
        and (other.model.current.url, other.model.current.table, other.model.current.query) == own
    )


def is_examined(incident: Incident) -> bool:
    """Whether there is nothing to analyse any more."""
    known = incident.analysis is not None and not incident.outdated
    return known or incident.cause is not Cause.DRIFT


def _was_faulty(incident: Incident) -> bool:
    """Whether an analysis before found data of bad quality: rows of then may still be around."""
    before = incident.analysis or {}
    return incident.classification == Classification.DATA_QUALITY or bool(before.get(FAULTY))


def packed(evidence: Evidence) -> str:
    """Evidence as text of a few kilobytes, to be kept with the incident."""
    text = json.dumps(to_mapping(evidence), allow_nan=False, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), 6)).decode()


def _told(
    found: Examination, related: Collection[str], changes: list[dict[str, Any]]
) -> dict[str, Any]:
    context = {"related_models": list(related), "recent_changes": changes}
    return {
        **_plain(asdict(found.analysis)),
        **context,
        "window": {"name": found.window, "start": found.start, "end": found.end},
        "sketched": found.sketched,
    }


def _plain(value: Any) -> Any:
    """Objects that JSON can hold: no numpy, no NaN, no infinity."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _evidence(job: Job, window: str, start: int, end: int) -> Evidence:
    counts = stored_counts(job, start, end)
    result = judge_window(job, window, start, end, counts)
    baseline = job.baselines.of_window(start, counts.slot_rows, job.slotted)
    profile = job.profile
    if baseline.start is not None:
        segments = {split: v for split, v in baseline.counts.items() if split != ALL_ROWS}
        profile = with_counts(profile, baseline.counts[ALL_ROWS], segments)
    names = [feature.name for feature in profile.features]
    omega = job.naturals[window].omega.get("psi")
    limit = result.thresholds.get(("psi", "warning"))
    label = job.model.label or ""
    return Evidence(
        profile=profile,
        current=counts.sums.get(ALL_ROWS, profile.layout.zeros()),
        segments={split: v for split, v in counts.sums.items() if split != ALL_ROWS},
        label=label if any(column.name == label for column in profile.segments) else "",
        omega={} if omega is None else dict(zip(names, omega.tolist(), strict=True)),
        limits=(
            {}
            if limit is None
            else {n: x for n, x in zip(names, limit.tolist(), strict=True) if np.isfinite(x)}
        ),
        reference_grids={f.name: f.grid for f in profile.features if f.grid},
        min_rows=job.model.min_rows,
    )


def _slices(job: Job, end: int, features: Collection[str]) -> Slices:
    width = job.model.slice_seconds
    known = job.store.counted(job.model.name, job.profile.bins_hash, width)
    first = known[0] if known else end
    start = max(end - PAST_SECONDS, first)
    vectors = (
        (key.start, vector)
        for key, vector in job.store.read_slices(
            job.model.name, job.profile.bins_hash, width, start, end, segment_by=""
        )
    )
    return slices_of(job.profile, start, width, vectors, end, list(features))


def _changes(store: Store, model: str, now: float) -> list[dict[str, Any]]:
    """The newest changes that may be why, the newest first."""
    found: list[dict[str, Any]] = [
        {"at": entry.at, "kind": entry.kind, "by": entry.actor, "subject": entry.subject}
        for subject in (f"model/{model}", "config")
        for entry in store.cases.newest_audit(CHANGES, subject, MOST_CHANGES)
        if entry.at >= now - CHANGES_SECONDS
    ]
    return sorted(found, key=lambda change: -change["at"])[:MOST_CHANGES]
