"""A model of many columns with a stored past, and nothing to read: its slices are drawn."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from drift_exporter.checking.job import Job
from drift_exporter.config import ModelConfig
from drift_exporter.counts import SliceKey
from drift_exporter.profile import Feature, NumericBins, Profile
from drift_exporter.reading.canary import CanarySource
from drift_exporter.store import open_store

MIDNIGHT = 1_799_625_600
SLICE = 300
ROWS = 200
BINS = 12


def wide_profile(columns: int) -> Profile:
    """So many numeric columns in twelve bins of equal shares."""
    edges = tuple(float(edge) for edge in range(1, BINS))
    cells = [0, *([2000] * BINS), 0, 0, 0, 0]
    return Profile(
        model="wide",
        features=tuple(
            Feature(f"f{i:03}", "feature", "numeric", NumericBins(edges, 0.0, float(BINS), 3.0))
            for i in range(columns)
        ),
        counts=np.array(cells * columns),
        created="2026-01-01T00:00:00+00:00",
    )


@contextmanager
def wide_job(folder: Path, columns: int, days: float) -> Iterator[Job]:
    """The job of such a model, with the slices of so many days from `MIDNIGHT` on."""
    model = ModelConfig.model_validate(
        {
            "name": "wide",
            "reference": "reference.parquet",
            "current": "current.parquet",
            "thresholds": "calibrated",
        }
    )
    profile = wide_profile(columns)
    rng = np.random.default_rng(5)
    with open_store(f"sqlite:///{folder / 'wide.db'}", now=MIDNIGHT) as store:
        job = Job(model, profile, CanarySource("canary://86400/1800"), store, SLICE)
        end = MIDNIGHT + int(days * 86400)
        for day in range(MIDNIGHT, end, 86400):
            slices = {}
            for at in range(day, min(day + 86400, end), SLICE):
                vector = profile.layout.zeros().reshape(columns, -1)
                vector[:, 1 : BINS + 1] = rng.multinomial(ROWS, [1 / BINS] * BINS, size=columns)
                slices[SliceKey(at)] = vector.ravel()
            until = min(day + 86400, end)
            store.replace_slices(
                "wide", profile.bins_hash, SLICE, (day, until), slices, counted_to=until
            )
        yield job
