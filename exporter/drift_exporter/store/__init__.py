"""The store: slices, runs, scores, incidents and the audit log, which outlive the process."""

from drift_exporter.store.case_writing import StoredAlert, Writing
from drift_exporter.store.cases import Cases
from drift_exporter.store.codec import Score
from drift_exporter.store.history import Scores
from drift_exporter.store.runs import StoredRun
from drift_exporter.store.store import Store, open_store

__all__ = [
    "Cases",
    "Score",
    "Scores",
    "Store",
    "StoredAlert",
    "StoredRun",
    "Writing",
    "open_store",
]
