"""calibrate: from the source or the store to a file that the exporter then uses; and a running
exporter that calibrates itself."""

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from prometheus_client.parser import text_string_to_metric_families

from drift_exporter.app import load_config, store_url
from drift_exporter.calibration.hindsight import fill
from drift_exporter.checking.job import Job
from drift_exporter.cli import main
from drift_exporter.config import ModelConfig
from drift_exporter.profiles.current import profile_of
from drift_exporter.reading.opening import open_source
from drift_exporter.statistics.calibration import Method, Shortage
from drift_exporter.store import Store, open_store
from drift_exporter.verdicts.promise import from_json, series_name
from exporter_process import eventually, exporter
from inference_data import table, write_reference
from past_counts import DAY, HOUR, MONDAY

CONFIG = """\
data_dir: data
models:
  - name: credit
    reference: {{url: reference.parquet, timestamp: ts}}
    current: {{url: current.parquet, timestamp: ts, lateness: 0s}}
    interval: {interval}
    slice: 30m
    windows: [1h, 6h]
    prediction: score
    {more}
"""
CALIBRATED = "thresholds: calibrated\n    calibration: "
COLUMNS = ("age", "income", "city", "score")
DAYS = 15
END = MONDAY + DAYS * DAY
TO = "2026-01-20T00:00Z"


def write(
    folder: Path, *, end: int = END, days: int = DAYS, more: str = "", interval: str = "30m"
) -> None:
    """Days of rows, 150 an hour, that are as the reference."""
    write_reference(folder / "reference.parquet")
    rows = table(end - days * DAY, end, 150 * 24 * days, seed=4)
    pq.write_table(rows, folder / "current.parquet")
    configure(folder, more, interval)


def configure(folder: Path, more: str = "", interval: str = "30m") -> None:
    """Write the config with another line."""
    (folder / "drift.yml").write_text(CONFIG.format(more=more, interval=interval))


def called(folder: Path, *arguments: str, code: int = 0) -> Result:
    """What a command says."""
    done = CliRunner().invoke(
        main,
        [arguments[0], f"--config.file={folder / 'drift.yml'}", *arguments[1:]],
        env={"COLUMNS": "60"},
    )
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    return done


def samples(text: str, name: str) -> dict[tuple[str, ...], float]:
    """Samples of a family by the values of their labels, but the model's."""
    return {
        tuple(
            value for label, value in sorted(sample.labels.items()) if label != "model"
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def counted_store(folder: Path, hours: int, end: int) -> Store:
    """The exporter's own store with hours before the end in it; its lock is held."""
    config = load_config(folder / "drift.yml", {})
    model: ModelConfig = config.models[0]
    profile = profile_of(config, model, end, lambda _: None)
    store = open_store(store_url(config), now=end)
    source = open_source(model.current, timeout_seconds=60)
    made = Job(model, profile, source, store, model.interval.seconds)
    fill(made, end - hours * HOUR, end, end)
    source.close()
    return store


def test_a_calibration_is_printed_reviewed_and_used(tmp_path: Path) -> None:
    """The command names every column with its thresholds, false alarms and smallest shift; the
    file that it writes is what run-once then judges by, from the source as from the store."""
    write(tmp_path)

    done = called(tmp_path, "calibrate", f"--to={TO}", f"--output={tmp_path / 'reviewed'}")

    rows = {line.split()[0]: line for line in done.output.splitlines() if line.split()}
    assert set(COLUMNS) <= set(rows)
    assert "by history, 15.0 days" in done.output
    assert "1 false alarm(s) in 90 days allowed" in done.output
    assert "self-test: " in done.output
    assert "too noisy" not in done.output
    path = tmp_path / "reviewed" / "credit.json"
    written = from_json(path.read_text())
    assert (written.created, written.leading.method) == (END, Method.HISTORY)

    configure(tmp_path, CALIBRATED + "{file: reviewed/credit.json}")
    judged = called(tmp_path, "run-once", f"--at={TO}").output
    assert samples(judged, "modeldrift_calibration_info") == {("history", ""): 1.0}
    assert samples(judged, "modeldrift_calibration_timestamp_seconds") == {(): END}
    alpha = samples(judged, "modeldrift_calibration_neg_log10_alpha")[()]
    assert alpha == pytest.approx(written.leading.neg_log10_alpha)
    limits = samples(judged, "modeldrift_feature_threshold")
    for column in ("age", "income", "city"):
        _, short, long, *_ = rows[column].split()
        for window, printed in (("1h", short), ("6h", long)):
            assert limits[column, "warning", "psi", window] == pytest.approx(
                float(printed), rel=0.01
            )

    with counted_store(tmp_path, DAYS * 24, END):
        configure(tmp_path)
        out = f"--output={tmp_path / 'stored'}"
        called(tmp_path, "calibrate", f"--to={TO}", "--history=store", out)
    stored = from_json((tmp_path / "stored" / "credit.json").read_text())
    assert (stored.windows, stored.self_test) == (written.windows, written.self_test)


def test_a_wrong_file_fails_the_run(tmp_path: Path) -> None:
    """run-once does not judge by other thresholds where the config's file is gone."""
    write(tmp_path, days=1, more=CALIBRATED + "{file: gone.json}")

    done = called(tmp_path, "run-once", f"--at={TO}", code=3)

    assert "gone.json: cannot be read" in done.output
    assert not samples(done.stdout, "modeldrift_feature_psi")


@pytest.mark.parametrize(
    ("share", "told"),
    [pytest.param(1.3, True, id="larger"), pytest.param(0.6, False, id="smaller")],
)
def test_what_the_table_says_is_found(tmp_path: Path, share: float, told: bool) -> None:
    """A shift of the printed size is over the thresholds of all windows an hour after it began,
    though the window of six hours holds five hours of old rows; a smaller one is not."""
    write(tmp_path)
    done = called(tmp_path, "calibrate", f"--to={TO}", f"--output={tmp_path}")
    (age,) = (line.split() for line in done.output.splitlines() if line.startswith("age"))
    shift = share * float(age[4])
    assert float(age[4]) > float(age[6])
    assert "all windows must agree" in done.output

    calm = table(END - DAY, END - HOUR, 150 * 23, seed=6)
    shifted = table(END - HOUR, END, 150, seed=7, older=shift)
    pq.write_table(pa.concat_tables([calm, shifted]), tmp_path / "current.parquet")
    configure(tmp_path, CALIBRATED + "{file: credit.json}")
    judged = called(tmp_path, "run-once", f"--at={TO}").output
    scores = samples(judged, "modeldrift_feature_psi")
    limits = samples(judged, "modeldrift_feature_threshold")
    over = [scores["age", w] > limits["age", "warning", "psi", w] for w in ("1h", "6h")]
    assert all(over) is told


def test_a_column_has_a_note_only_for_what_is_so(tmp_path: Path) -> None:
    """A constant is no noisy column, nor is one whose windows have too few rows."""
    write(tmp_path)
    for name in ("reference", "current"):
        rows = pq.read_table(tmp_path / f"{name}.parquet")
        rows = rows.append_column("fixed", pa.array(np.ones(rows.num_rows)))
        pq.write_table(rows, tmp_path / f"{name}.parquet")

    def notes(min_rows: int) -> dict[str, str]:
        configure(tmp_path, f"min_rows: {min_rows}")
        done = called(tmp_path, "calibrate", f"--to={TO}")
        lines = done.output.splitlines()
        (head,) = (line for line in lines if line.startswith("column"))
        rows = [line for line in lines if line.startswith((*COLUMNS, "fixed"))]
        return {line.split()[0]: line[head.index("note") :].strip() for line in rows}

    none = dict.fromkeys(COLUMNS, "")
    assert notes(400) == {**none, "fixed": "constant"}
    assert notes(4000) == {**dict.fromkeys(COLUMNS, "too few rows"), "fixed": "constant"}


def test_false_alarms_are_those_of_a_window_that_is_judged(tmp_path: Path) -> None:
    """With 150 rows an hour and a minimum of 400 only the six hours alarm, and the table says how
    often: together not more than is allowed."""
    write(tmp_path, more=f"min_rows: 400\n    {CALIBRATED}{{min_effect: 0}}")

    told = called(tmp_path, "calibrate", f"--to={TO}").output

    rows = [
        line.split() for line in told.splitlines() if line.split()[:1] in [[c] for c in COLUMNS]
    ]
    assert len(rows) == len(COLUMNS)
    assert {row[1] for row in rows} == {"-"}, "no hour is judged"
    assert 0.1 < sum(float(row[3]) for row in rows) <= 1.01


def test_all_thresholds_are_calibrated(tmp_path: Path) -> None:
    """Fixed thresholds of the model or of a column do not keep it from being calibrated; a column
    without a threshold stays so."""
    write(
        tmp_path,
        more="thresholds: {psi: {warning: 0.3}, unseen_ratio: calibrated}\n"
        "    features: {overrides: {age: {thresholds: {psi: {warning: 0.4}}}, "
        "city: {thresholds: {psi: null}}}}",
    )

    called(tmp_path, "calibrate", f"--to={TO}", f"--output={tmp_path}")

    written = from_json((tmp_path / "credit.json").read_text())
    found = {series_name(one.name) for one in written.leading.series}
    assert found == {
        *((statistic, name, "", "") for statistic in ("missing_ratio", "unseen_ratio")
          for name in COLUMNS),
        *(("psi", name, "", "") for name in COLUMNS if name != "city"),
        *(("out_of_range_ratio", name, "", "") for name in COLUMNS if name != "city"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("more", "interval", "told"),
    [
        pytest.param(
            "",
            "12h",
            "30 evaluations have too few alarm-like episodes; lengthen calibration.history",
            id="seldom judged",
        ),
        pytest.param("min_rows: 4000", "30m", "(min_rows 4000)", id="too few rows"),
    ],
)
def test_an_analytic_form_has_its_own_reason(
    tmp_path: Path, more: str, interval: str, told: str
) -> None:
    """Fifteen days are not called too short."""
    write(tmp_path, more=more, interval=interval)

    done = called(tmp_path, "calibrate", f"--to={TO}")

    assert "by analytic" in done.output
    assert told in done.output
    assert "14 days" not in done.output


def test_only_what_stands_out_is_called_an_incident(tmp_path: Path) -> None:
    """A drift of half a day should be excluded; the noise of calm days should not."""
    write(tmp_path)
    calm = called(tmp_path, "calibrate", f"--to={TO}").output
    assert "most surprising: " in calm
    assert "exclude it" not in calm

    turn = END - DAY // 2
    rows = pq.read_table(tmp_path / "current.parquet")
    before = rows.slice(0, rows.num_rows - 150 * 12)
    drifted = table(turn, END, 150 * 12, seed=8, older=2.0)
    pq.write_table(pa.concat_tables([before, drifted]), tmp_path / "current.parquet")
    told = called(tmp_path, "calibrate", f"--to={TO}").output.splitlines()
    (found,) = (line for line in told if line.endswith("; exclude it if it was an incident"))
    assert "age (psi) from 2026-01-19" in found


def test_a_short_past_is_said(tmp_path: Path) -> None:
    """Three days calibrate analytically, and the command says why and what to do meanwhile."""
    write(tmp_path, days=3)

    done = called(tmp_path, "calibrate", f"--to={TO}", f"--output={tmp_path}")

    assert "by analytic (history too short), 3.0 days" in done.output
    assert "until there are 14 days" in done.output
    assert "warning: it is analytic; named in the config it stays so" in done.output
    assert all(column in done.output for column in COLUMNS)
    written = from_json((tmp_path / "credit.json").read_text())
    assert written.leading.reason is Shortage.HISTORY_TOO_SHORT


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        pytest.param(["--history=store"], 1, "there is no store", id="no store"),
        pytest.param(["--to=noon"], 2, "--to", id="no time"),
        pytest.param(["--to=2999-01-01"], 2, "a time that is past", id="future"),
        pytest.param(["--days=0"], 2, "--days", id="no days"),
        pytest.param(["--model=x"], 1, "the config has: credit", id="unknown model"),
    ],
)
def test_what_cannot_be_calibrated_is_said(
    tmp_path: Path, arguments: list[str], code: int, text: str
) -> None:
    """Each mistake has its exit code and says what to do."""
    write(tmp_path, days=1)

    done = called(tmp_path, "calibrate", *arguments, code=code)

    assert text in done.output


def test_no_rows_are_no_failure(tmp_path: Path) -> None:
    """A past without a row prints its columns without numbers, and the reason."""
    write(tmp_path, days=1)

    done = called(tmp_path, "calibrate", "--to=2024-01-01")

    assert "by analytic (no history), 0.0 days" in done.output
    assert all(column in done.output for column in COLUMNS)


def test_a_running_exporter_calibrates_itself(tmp_path: Path) -> None:
    """A start on a store without calibration looks back by itself: thresholds, method, alpha and
    date come out of the source's past, and are there at once after a restart."""
    end = int(time.time() // 1800 * 1800)
    write(tmp_path, end=end, more=CALIBRATED + "{history: 15d}", interval="3s")
    counted_store(tmp_path, 6, end).close()
    config = tmp_path / "drift.yml"

    with exporter(config) as running:
        running.wait_for_success("credit")
        eventually(
            lambda: running.value("modeldrift_calibration_info", model="credit", method="history"),
            "a calibration by history",
        )
        log = running.log()
        alpha = running.value("modeldrift_calibration_neg_log10_alpha", model="credit")
        days = running.value("modeldrift_calibration_history_seconds", model="credit")
        made = running.value("modeldrift_calibration_timestamp_seconds", model="credit")
        limits = running.values("modeldrift_feature_threshold")
        psi = running.value("modeldrift_feature_psi", feature="age", window="6h")
        assert running.value("modeldrift_calibrations_total", model="credit") == 1.0
        assert running.value("modeldrift_calibration_budget_alarms", model="credit") == 1.0
    with exporter(config) as running:
        running.wait_for_success("credit")
        assert running.value("modeldrift_calibration_timestamp_seconds", model="credit") == made
        assert running.value("modeldrift_calibrations_total", model="credit") == 0.0

    assert 'msg="thresholds calibrated" model=credit method=history' in log
    assert alpha is not None
    assert alpha > 2
    assert days == pytest.approx(DAYS * DAY, abs=DAY / 2)
    assert psi is not None
    assert {value for key, value in limits.items() if ("statistic", "psi") in key} != {0.1, 0.25}
