"""run-once judges as the server would, and says where it cannot."""

import logging
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from prometheus_client.parser import text_string_to_metric_families

from drift_exporter.checking.job import Job
from drift_exporter.config import Config
from drift_exporter.config_file import load
from drift_exporter.once import run_all
from drift_exporter.profiles.current import profile_of
from drift_exporter.reading.opening import open_source
from drift_exporter.store import open_store
from inference_data import table, write_reference
from past_counts import DAY, HOUR, MONDAY

NOON = MONDAY + DAY // 2
CONFIG = """\
data_dir: data
models:
  - name: credit
    reference: {{url: reference.parquet, timestamp: ts}}
    current: {{url: current.parquet, timestamp: ts, lateness: 0s}}
    windows: [1h, 6h]
    {more}
"""


def configured(folder: Path, more: str) -> Config:
    """Half a day of calm rows, and a model over them."""
    write_reference(folder / "reference.parquet")
    pq.write_table(table(MONDAY, NOON, 12 * 500, seed=2), folder / "current.parquet")
    (folder / "drift.yml").write_text(CONFIG.format(more=more))
    return load(folder / "drift.yml", {})


def samples(config: Config, folder: Path) -> dict[str, float]:
    """Samples of a run at noon that have no label but the model, or its calibration's."""
    text, _ = run_all(config, str(folder), config.models, NOON, lambda _: lambda _: None)
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if set(sample.labels) == {"model"}
    }


def test_a_cron_has_its_longest_gap(tmp_path: Path) -> None:
    """Runs at nine and at five are sixteen hours apart: `for` and so alpha are those of the
    server, which knows nothing of an interval there."""
    config = configured(tmp_path, 'cron: "0 9,17 * * *"\n    thresholds: calibrated')
    model = config.models[0]
    found = samples(config, tmp_path)
    profile = profile_of(config, model, NOON, lambda _: None)
    source = open_source(model.current, timeout_seconds=60)
    with open_store(f"sqlite:///{tmp_path / 'server.db'}", now=NOON) as store:
        served = Job(model, profile, source, store, 16.0 * HOUR).promise.leading
    source.close()
    assert found["modeldrift_run_interval_seconds"] == 16 * HOUR
    assert found["modeldrift_calibration_neg_log10_alpha"] == pytest.approx(served.neg_log10_alpha)


@pytest.mark.parametrize(
    ("more", "warned"),
    [
        pytest.param("thresholds: calibrated", True, id="calibrated"),
        pytest.param("thresholds: {psi: {warning: 0.2}}", False, id="fixed"),
    ],
)
def test_a_lack_of_calibration_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, more: str, warned: bool
) -> None:
    """Without a file there is no past to calibrate on, and thresholds are of the analytic form."""
    with caplog.at_level(logging.WARNING):
        samples(configured(tmp_path, more), tmp_path)
    assert ("run-once has no calibration: thresholds are of the analytic form" in caplog.text) is (
        warned
    )
