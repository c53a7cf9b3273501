"""What a replay and a backfill judge by: the thresholds that were in force, on what is known."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from prometheus_client.parser import text_string_to_metric_families

from drift_exporter.app import load_config, store_url
from drift_exporter.calibration.calibrating import history_of
from drift_exporter.calibration.hindsight import fill
from drift_exporter.calibration.lookback import made_anew
from drift_exporter.calibration.past_jobs import Look, Past, past_to_judge
from drift_exporter.checking.job import Job
from drift_exporter.cli import main
from drift_exporter.errors import CalibrationError, StoreError
from drift_exporter.profiles.current import profile_of
from drift_exporter.reading.opening import open_source
from drift_exporter.reading.source import Progress
from drift_exporter.store import open_store
from drift_exporter.verdicts.promise import from_json
from inference_data import table, write_reference
from past_counts import DAY, HOUR, MONDAY

DAYS = 15
BEGIN = MONDAY + DAYS * DAY
"""Of the span: rows have begun fifteen days before, and half a day later they drift."""

END = BEGIN + DAY
FROM, TO = "2026-01-20", "2026-01-21"
CONFIG = """\
data_dir: data
models:
  - name: credit
    reference: {{url: reference.parquet, timestamp: ts}}
    current: {{url: current.parquet, timestamp: ts, lateness: 0s}}
    interval: 30m
    slice: 30m
    windows: [1h, 6h]
    {more}
"""
CALIBRATED = "thresholds: calibrated"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reference, and sixteen days of rows that drift in the last half day."""
    folder = tmp_path_factory.mktemp("written")
    write_reference(folder / "reference.parquet")
    turn = BEGIN + DAY // 2
    calm = table(MONDAY, turn, 150 * 12 * (2 * DAYS + 1), seed=4)
    drifted = table(turn, END, 150 * 12, seed=5, older=1.0)
    pq.write_table(pa.concat_tables([calm, drifted]), folder / "current.parquet")
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """The same in a folder of the test's own."""
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    return tmp_path


def configure(folder: Path, more: str = CALIBRATED) -> None:
    """Write the config with other thresholds."""
    (folder / "drift.yml").write_text(CONFIG.format(more=more))


def counted(folder: Path, start: int, end: int, *, calibrated: int | None = None) -> None:
    """Make the exporter's store, with the slices of a span and maybe a calibration of a time."""
    config = load_config(folder / "drift.yml", {})
    model = config.models[0]
    profile = profile_of(config, model, end, lambda _: None)
    source = open_source(model.current, timeout_seconds=60)
    with open_store(store_url(config), now=end) as store:
        job = Job(model, profile, source, store, model.interval.seconds)
        fill(job, start, end, end)
        if calibrated is not None:
            made = made_anew(job, calibrated)
            store.record_calibration("credit", profile.bins_hash, calibrated, made.to_json())
    source.close()


@contextlib.contextmanager
def quiet(_: str) -> Iterator[Progress]:
    """Work of which nobody is told."""
    yield lambda _: None


@contextlib.contextmanager
def past(
    folder: Path,
    *,
    store: bool = False,
    start: int = BEGIN,
    end: int = END,
    now: float = END,
    step: int | None = None,
) -> Iterator[Past]:
    """The model's past as the commands have it."""
    config = load_config(folder / "drift.yml", {})
    (folder / "passing").mkdir()
    look = Look(config, folder / "passing", now, store_url(config) if store else None)
    with past_to_judge(look, config.models[0], start, end, step, quiet) as found:
        yield found


def called(folder: Path, *arguments: str, code: int = 0) -> Result:
    """What a command says."""
    command, *others = arguments
    done = CliRunner().invoke(main, [command, f"--config.file={folder / 'drift.yml'}", *others])
    assert done.exit_code == code, done.output
    return done


def over(found: Past) -> set[int]:
    """Ends of the runs in which all windows find that the age has drifted."""
    ends = set()
    for at, snapshot in found.runs():
        age = next(i for i, f in enumerate(snapshot.features) if f.name == "age")
        if all(str(window.verdicts[age].state) in ("warning", "critical")
               for window in snapshot.windows):  # fmt: skip
            ends.add(at)
    return ends


def test_a_span_is_judged_by_what_was_known_at_its_begin(folder: Path) -> None:
    """The thresholds are those that calibrate finds on the past before, whatever follows: the
    drift in the span is found, and no calm run is told."""
    configure(folder)
    called(folder, "calibrate", f"--to={FROM}", f"--output={folder}")
    reviewed = from_json((folder / "credit.json").read_text())

    with past(folder) as found:
        assert found.thresholds == "credit: thresholds calibrated on 15 days before 2026-01-20"
        assert found.notes == ()
        assert found.job.calibration == reviewed
        told = over(found)

    assert min(told) > BEGIN + DAY // 2
    assert max(told) == END


@pytest.mark.parametrize(
    ("more", "told"),
    [
        pytest.param("", "fixed", id="fixed"),
        pytest.param(
            f"{CALIBRATED}\n    calibration: {{history: 7d}}",
            "analytic (history too short)",
            id="too short",
        ),
        pytest.param(
            f"{CALIBRATED}\n    calibration: {{file: credit.json}}",
            "from file {folder}/credit.json",
            id="file",
        ),
    ],
)
def test_where_thresholds_come_from_is_said(folder: Path, more: str, told: str) -> None:
    """One line per model, whatever they are."""
    configure(folder)
    if "file" in more:
        called(folder, "calibrate", f"--to={FROM}", f"--output={folder}")
    configure(folder, more)
    with past(folder) as found:
        assert found.thresholds == f"credit: thresholds {told.format(folder=folder)}"


def test_what_is_stored_is_used(folder: Path) -> None:
    """From the store come the slices, and the calibration where it has one of before the span."""
    configure(folder)
    counted(folder, MONDAY, END)
    with past(folder, store=True) as found:
        assert found.thresholds == "credit: thresholds calibrated on 15 days before 2026-01-20"
        assert found.job.calibration is not None
        assert found.job.calibration.created == BEGIN
    shutil.rmtree(folder / "passing")
    shutil.rmtree(folder / "data")
    counted(folder, MONDAY, END, calibrated=BEGIN + 6 * HOUR)
    with past(folder, store=True, start=BEGIN + 6 * HOUR) as found:
        assert found.thresholds == "credit: thresholds stored on 2026-01-20 06:00Z"
        assert history_of(found.job, END).start == MONDAY


NONE_FITS = (
    "credit: thresholds calibrated on 15 days before 2026-01-20; no stored calibration of before "
    "was made for this config"
)


def test_a_span_is_not_judged_by_what_was_calibrated_later(folder: Path) -> None:
    """A calibration of after the begin of a span was not in force there: the newest before is."""
    configure(folder)
    counted(folder, MONDAY, END, calibrated=BEGIN + 12 * HOUR)
    with past(folder, store=True) as found:
        assert found.thresholds == NONE_FITS
        assert found.job.calibration is not None
        assert found.job.calibration.created == BEGIN
    shutil.rmtree(folder / "passing")
    config = load_config(folder / "drift.yml", {})
    with open_store(store_url(config), now=END) as store:
        ((_, bins, body),) = store.calibrations("credit", 9)
        later = from_json(body)
        for at in (BEGIN - DAY, BEGIN - HOUR, BEGIN + HOUR):
            made = replace(later, created=float(at))
            store.record_calibration("credit", bins, made.created, made.to_json())
    with past(folder, store=True) as found:
        assert found.thresholds == "credit: thresholds stored on 2026-01-19 23:00Z"


def test_a_calibration_for_another_config_is_not_used(folder: Path) -> None:
    """Another budget means other thresholds, so that two budgets can be compared."""
    configure(folder)
    counted(folder, MONDAY, END, calibrated=BEGIN)
    with past(folder, store=True) as found:
        assert found.thresholds == "credit: thresholds stored on 2026-01-20"
        usual = found.job.promise
    shutil.rmtree(folder / "passing")
    configure(folder, f"{CALIBRATED}\n    calibration: {{budget: 20}}")
    with past(folder, store=True) as found:
        assert found.thresholds == NONE_FITS
        assert found.job.promise.budget_per_90_days == 20
        assert found.job.promise.leading.alpha > usual.leading.alpha


def test_a_span_is_cut_to_what_the_store_holds(folder: Path) -> None:
    """The first run is that of the first whole windows, the last that of the last slice."""
    configure(folder, "")
    counted(folder, BEGIN, BEGIN + 12 * HOUR)
    with past(folder, store=True, start=BEGIN - DAY) as found:
        runs = [at for at, _ in found.runs()]
        early, late = found.notes
    assert (runs[0], runs[-1]) == (BEGIN + 6 * HOUR, BEGIN + 12 * HOUR)
    assert early == (
        "credit: the store begins at 2026-01-20, so windows of 6h are judged from "
        "2026-01-20 06:00Z on"
    )
    assert late == "credit: the store ends at 2026-01-20 12:00Z, so the span ends there"


@pytest.mark.parametrize(
    ("start", "end"),
    [
        pytest.param(BEGIN - DAY, BEGIN, id="before"),
        pytest.param(BEGIN + 12 * HOUR, END, id="after"),
        pytest.param(BEGIN, BEGIN + 3 * HOUR, id="no whole window"),
    ],
)
def test_what_the_store_does_not_hold_is_an_error(folder: Path, start: int, end: int) -> None:
    """A span outside of the store has no answer, and not a day of zeros."""
    configure(folder, "")
    counted(folder, BEGIN, BEGIN + 12 * HOUR)
    said = "the store begins at 2026-01-20, ends at 2026-01-20 12:00Z"
    with pytest.raises(StoreError, match=said), past(folder, store=True, start=start, end=end):
        pass


def test_a_store_without_the_model_is_an_error(folder: Path) -> None:
    """A store that has counted nothing has no past."""
    configure(folder, "")
    counted(folder, BEGIN, BEGIN)
    with pytest.raises(StoreError, match="no slices of it"), past(folder, store=True):
        pass


def test_a_source_without_rows_before_is_said(folder: Path) -> None:
    """A span that begins before the rows is judged, but not silently."""
    configure(folder, "")
    with past(folder, start=MONDAY, end=MONDAY + HOUR) as found:
        assert found.notes == (
            "credit: no row lies before the first window of the span; "
            "the first is from 2026-01-05 on",
        )
    shutil.rmtree(folder / "passing")
    with past(folder, start=MONDAY + 6 * HOUR, end=MONDAY + 7 * HOUR) as found:
        assert found.notes == ()
    shutil.rmtree(folder / "passing")
    with past(folder, start=MONDAY - DAY, end=MONDAY - HOUR) as found:
        (note,) = found.notes
        assert note.endswith("there is none")


@pytest.mark.parametrize("command", [["backfill", "--from=2026-01-20"], ["calibrate"]])
def test_an_output_that_cannot_be_written_is_told(folder: Path, command: list[str]) -> None:
    """Exit code 1, the place and why; no traceback."""
    configure(folder, "")
    (folder / "file").write_text("")
    done = called(folder, *command, f"--output={folder / 'file' / 'inside'}", code=1)

    assert "inside" in done.output
    assert "(Not a directory)" in done.output
    assert "Traceback" not in done.output


def test_days_before_the_data_are_not_told_of(folder: Path) -> None:
    """A span that begins long before all rows begins with them; one that ends before is refused."""
    configure(folder, "")
    with past(folder, start=MONDAY - 90 * DAY, end=MONDAY + HOUR) as found:
        assert found.start == MONDAY
        assert found.notes == ("credit: the data begin at 2026-01-05, so the span begins there",)
    shutil.rmtree(folder / "passing")
    none = pytest.raises(CalibrationError, match="there is no run between 2026-01-05 and")
    with past(folder, start=MONDAY, end=MONDAY + 2 * HOUR, step=DAY) as found, none:
        list(found.runs())


def test_pasts_of_several_models_are_open_at_once(folder: Path) -> None:
    """A replay reads the models of a store side by side."""
    configure(folder, "")
    counted(folder, BEGIN, END)
    config = load_config(folder / "drift.yml", {})
    (folder / "passing").mkdir()
    look = Look(config, folder / "passing", END, store_url(config))
    model = config.models[0]
    other = model.model_copy(update={"name": "other"})
    span = (BEGIN + DAY // 2, END, None)
    with past_to_judge(look, model, *span, quiet) as one:
        with (
            pytest.raises(StoreError, match="'other': the store has no slices"),
            past_to_judge(look, other, *span, quiet),
        ):
            pass
        assert len(list(one.runs())) == 24


def test_the_future_is_cut_off(folder: Path) -> None:
    """A run that is still to come is not judged."""
    configure(folder, "")
    with past(folder, end=END + DAY) as found:
        assert found.end == END
        assert found.notes == ("credit: it is 2026-01-21, so the span ends there",)


def test_backfill_writes_calibrated_thresholds(folder: Path) -> None:
    """Thresholds are those that run-once has with the reviewed file; stdout has only metrics."""
    configure(folder)
    called(folder, "calibrate", f"--to={FROM}", f"--output={folder}")
    done = called(folder, "backfill", f"--from={FROM}", f"--to={TO}", "--step=24h")
    assert "credit: thresholds calibrated on 15 days before 2026-01-20" in done.stderr
    found = limits(done.stdout)
    configure(folder, f"{CALIBRATED}\n    calibration: {{file: credit.json}}")
    wanted = limits(called(folder, "run-once", f"--at={TO}").stdout)
    assert found == wanted
    assert not {0.1, 0.25} & set(wanted.values())


@pytest.mark.parametrize(
    ("arguments", "first", "last", "warned"),
    [
        pytest.param([f"--from={FROM}", f"--to={TO}"], END, END, True, id="the span"),
        pytest.param([f"--from={FROM}", "--to=2026-01-22"], END, END + 600, True, id="the future"),
        pytest.param(["--from=2026-01-19"], BEGIN, END - 3 * HOUR + 600, False, id="by default"),
    ],
)
def test_backfill_writes_nothing_of_the_future(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    first: int,
    last: int,
    warned: bool,
) -> None:
    """The last run of a daily model does not hold beyond the span or the present: Prometheus would
    refuse what it scrapes until then."""
    configure(folder, "")
    config = folder / "drift.yml"
    config.write_text(config.read_text().replace("interval: 30m", "interval: 1d"))
    monkeypatch.setattr("time.time", lambda: END + 700.0)
    done = called(folder, "backfill", *arguments)
    lines = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    times = [int(line.rsplit(" ", 1)[1]) for line in lines]
    assert (min(times), max(times)) == (first, last)
    assert ("three hours" in done.stderr) is warned


def limits(text: str) -> dict[tuple[str, ...], float]:
    """Thresholds of PSI in an exposition, by their labels but those of the target."""
    return {
        tuple(v for k, v in sorted(sample.labels.items()) if k not in ("job", "instance")): round(
            sample.value, 9
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "modeldrift_feature_threshold" and sample.labels["statistic"] == "psi"
        if np.isfinite(sample.value)
    }


def test_replay_says_what_it_judged_by(folder: Path) -> None:
    """The drift is told once and a calm morning not at all, and both say by which thresholds."""
    configure(folder)
    said = "credit: thresholds calibrated on 15 days before 2026-01-20\n"
    drifted = called(folder, "replay", f"--from={FROM}", f"--to={TO}").stdout
    assert drifted.startswith(said)
    assert "feature=age" in drifted
    calm = called(folder, "replay", f"--from={FROM}", "--to=2026-01-20T12:00Z").stdout
    assert calm.startswith(said)
    assert "No alert would have fired." in calm


@pytest.mark.parametrize("more", ["", CALIBRATED], ids=["fixed", "calibrated"])
def test_a_wide_step_replays_a_model_of_that_interval(folder: Path, more: str) -> None:
    """Looked at every four hours, a model that runs every half hour is never stale, a calm morning
    is silent and a drift of half a day is told."""
    configure(folder, more)
    calm = called(folder, "replay", "--from=2026-01-19", "--to=2026-01-20T12:00Z", "--step=4h")
    assert "No alert would have fired." in calm.stdout
    drifted = called(folder, "replay", "--from=2026-01-19", f"--to={TO}", "--step=4h").stdout
    assert "feature=age" in drifted
    assert "Stale" not in drifted
    assert "Outdated" not in drifted


def test_a_wide_step_leaves_no_hole(folder: Path) -> None:
    """A score holds from one run to the next, however far apart they are."""
    configure(folder, "")
    text = called(folder, "backfill", f"--from={FROM}", f"--to={TO}", "--step=8h").stdout
    score = [line for line in text.splitlines() if line.startswith("modeldrift_feature_psi{")]
    times = sorted({int(line.rsplit(" ", 1)[1]) for line in score})
    assert times == list(range(BEGIN + 8 * HOUR, END + 1, 300))


def test_a_wide_step_is_not_for_rules_of_your_own(folder: Path) -> None:
    """Rules that wait for half an hour would fire on one run of two hours."""
    configure(folder, "")
    own = folder / "rules.yml"
    own.write_text("groups: []")
    done = called(folder, "replay", f"--from={FROM}", "--step=2h", f"--rules={own}", code=1)
    assert "model 'credit': --step is above its interval of 30m" in done.output
