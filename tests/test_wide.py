"""Ten thousand features: slow perhaps, but never an error, and within the series limit."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from drift_exporter.checking import check
from drift_exporter.config import ModelConfig
from drift_exporter.metrics.exposition import Exposition, no_health
from drift_exporter.reading.opening import open_source
from drift_exporter.reading.profile_builder import build_profile
from drift_exporter.store import open_store

START = 1_767_225_600
FEATURES = 10_000


def write(path: Path, shifted: str) -> None:
    """A few hundred rows of many columns, of which one has another mean."""
    rng = np.random.default_rng(7)
    columns = {f"f{i:05}": rng.normal(size=300) for i in range(FEATURES)}
    if shifted:
        columns[shifted] = columns[shifted] + 3
    times = np.linspace(START, START + 3600, 300, endpoint=False) * 1e6
    columns["timestamp"] = pa.array(times.astype(np.int64), pa.timestamp("us"))
    pq.write_table(pa.table(columns), path)


def test_ten_thousand_features(tmp_path: Path) -> None:
    """The one that drifts is found among ten thousand, and shown though most are withheld."""
    write(tmp_path / "reference.parquet", shifted="")
    write(tmp_path / "current.parquet", shifted="f07777")
    model = ModelConfig.model_validate(
        {
            "name": "wide",
            "reference": str(tmp_path / "reference.parquet"),
            "current": str(tmp_path / "current.parquet"),
            "windows": ["1h"],
        }
    )
    reference = open_source(model.reference, timeout_seconds=600)
    profile = build_profile(model, reference, now=0.0)
    assert len(profile.features) == FEATURES
    with open_store(f"sqlite:///{tmp_path / 'drift.db'}", now=0.0) as store:
        source = open_source(model.current, timeout_seconds=600)
        job = check.Job(model, profile, source, store, 300)
        snapshot, keep = check.run(job, check.empty_snapshot(job), START + 3600)
        keep()
        (window,) = snapshot.windows
        (again,) = check.restore(job).windows
    exposition = Exposition(no_health(), max_series=10_000)
    exposition.update([snapshot], START + 3600)
    text = exposition.scrape(openmetrics=False, zipped=False).decode()

    at = profile.layout.index["f07777"]
    assert str(window.verdicts[at].state) == "critical"
    assert np.array_equal(window.scores["psi"], again.scores["psi"], equal_nan=True)
    assert 'modeldrift_feature_psi{feature="f07777"' in text
    assert exposition.series <= 10_100
    assert exposition.series_dropped > 100_000
