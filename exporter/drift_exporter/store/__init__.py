"""The store: slices, runs and scores that outlive the process."""

from drift_exporter.store.codec import Score
from drift_exporter.store.history import Scores
from drift_exporter.store.runs import StoredRun
from drift_exporter.store.store import Store, open_store

__all__ = ["Score", "Scores", "Store", "StoredRun", "open_store"]
