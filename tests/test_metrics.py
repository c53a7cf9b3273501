"""What a scrape gets: names, formats, limits, staleness."""

import gzip
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from drift_exporter.metrics.exposition import Exposition, no_health
from drift_exporter.metrics.families import FAMILIES
from drift_exporter.metrics.health import Health
from drift_exporter.papers import metrics_docs
from drift_exporter.snapshot import FeatureInfo, Run, SegmentResult, Snapshot, WindowResult
from drift_exporter.verdicts.verdict import Reason, State, Verdict

NOW = 1_767_225_600.0
HOSTILE = 'quote " backslash \\ newline \n end'


def snapshot(model: str = "credit", features: int = 2, finished: float = NOW) -> Snapshot:
    """A snapshot with one window in which the last column has no score."""
    scores = np.linspace(0.01, 0.3, features)
    scores[-1] = np.nan
    infos = [
        FeatureInfo(f"f{i}" if i else HOSTILE, "feature", "numeric", "double", 12)
        for i in range(features - 1)
    ]
    infos.append(FeatureInfo("score", "prediction", "numeric", "double", 12))
    verdicts = [Verdict(State.OK)] * (features - 1)
    verdicts.append(Verdict(State.NOT_EVALUATED, Reason.TOO_FEW_ROWS))
    window = WindowResult(
        window="1h",
        start=int(NOW) - 3600,
        end=int(NOW),
        rows=1000,
        samples=np.full(features, 1000),
        scores={"psi": scores, "ks_statistic": scores / 2},
        thresholds={("psi", "warning"): np.full(features, 0.1)},
        verdicts=tuple(verdicts),
        segments=(SegmentResult("region", "north", 300, scores),),
    )
    return Snapshot(
        model=model,
        interval_seconds=300,
        stale_after_seconds=900,
        features=tuple(infos),
        reference_samples=np.full(features, 5000),
        reference_missing_ratio=np.zeros(features),
        windows=(window,),
        last_run=Run(finished - 2, finished, success=True, rows_read=70, window_end=int(NOW)),
        last_success=finished,
    )


def scraped(*snapshots: Snapshot, now: float = NOW, max_series: int = 10_000) -> str:
    """The text of a scrape."""
    exposition = Exposition(no_health(), max_series)
    exposition.update(snapshots, now)
    return exposition.scrape(openmetrics=False, zipped=False).decode()


def values(text: str, name: str) -> dict[tuple[str, ...], float]:
    """Samples of a family by the values of their labels, in the order of the labels' names."""
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in parse_text(text)
        for sample in family.samples
        if sample.name == name
    }


def test_scores_are_labelled_and_hostile_names_survive() -> None:
    """A column's name is a label value, whatever it holds; a score without value is not there."""
    text = scraped(snapshot(features=3))

    found = values(text, "modeldrift_feature_psi")
    assert found == {(HOSTILE, "credit", "1h"): 0.01, ("f1", "credit", "1h"): 0.155}
    assert values(text, "modeldrift_prediction_psi") == {}
    assert values(text, "modeldrift_prediction_evaluated") == {("credit", "score", "1h"): 0}
    assert values(text, "modeldrift_prediction_not_evaluated") == {
        ("credit", "score", "too_few_rows", "1h"): 1
    }
    assert "nan" not in text.lower().replace("feature", "")


def test_stale_scores_end_and_the_rest_stays() -> None:
    """After ``stale_after`` no score is shown; thresholds stay and ``evaluated`` is 0."""
    fresh, stale = scraped(snapshot(), now=NOW + 900), scraped(snapshot(), now=NOW + 901)

    assert values(fresh, "modeldrift_feature_psi")
    assert not values(stale, "modeldrift_feature_psi")
    assert not values(stale, "modeldrift_segment_feature_psi")
    assert values(stale, "modeldrift_feature_threshold")
    assert set(values(stale, "modeldrift_feature_evaluated").values()) == {0}
    assert (HOSTILE, "credit", "stale", "1h") in values(stale, "modeldrift_feature_not_evaluated")
    assert values(stale, "modeldrift_run_last_success_timestamp_seconds") == {("credit",): NOW}


def test_a_failed_run_keeps_the_scores_and_says_so() -> None:
    """After a failure the last scores stay for a while beside ``run_success`` 0."""
    good = snapshot()
    failed = Run(NOW + 298, NOW + 300, success=False, reason="source", error="gone")

    text = scraped(replace(good, last_run=failed), now=NOW + 300)

    assert values(text, "modeldrift_run_success") == {("credit",): 0}
    assert values(text, "modeldrift_feature_psi")


def test_no_success_is_no_timestamp() -> None:
    """Before the first success there is no timestamp of it: 0 would look like 1970."""
    blank = Snapshot("new", interval_seconds=60, stale_after_seconds=180)

    text = scraped(blank)

    assert "last_success_timestamp" not in text
    assert values(text, "modeldrift_run_interval_seconds") == {("new",): 60}


@pytest.mark.parametrize("openmetrics", [False, True])
def test_both_formats_hold_the_same_series(openmetrics: bool) -> None:
    """Strict parsers read both formats; zipped and plain bodies are the same."""
    health = Health("1.2.3", "abc")
    health.add_model("credit")
    exposition = Exposition(health.registry, 10_000)
    exposition.update([snapshot(features=4), snapshot("other", 3)], NOW)

    plain = exposition.scrape(openmetrics=openmetrics, zipped=False)
    zipped = exposition.scrape(openmetrics=openmetrics, zipped=True)

    parsed = parse_openmetrics if openmetrics else parse_text
    families = {family.name for family in parsed(plain.decode())}
    assert {"modeldrift_feature_psi", "modeldrift_exporter_build_info"} <= families
    assert plain.endswith(b"# EOF\n") is openmetrics
    scores = b"# HELP modeldrift_feature_psi"
    assert scores in gzip.decompress(zipped)
    assert len(gzip.decompress(zipped).splitlines()) == len(plain.splitlines())


def test_promtool_accepts_the_names() -> None:
    """``promtool check metrics`` finds nothing to mend."""
    health = Health("1.2.3", "abc")
    health.add_model("credit")
    exposition = Exposition(health.registry, 10_000)
    exposition.update([snapshot()], NOW)

    text = exposition.scrape(openmetrics=False, zipped=False)
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_the_limit_withholds_whole_families_and_counts_them() -> None:
    """Under a tight limit the least important families go, for all models, and are counted."""
    exposition = Exposition(no_health(), max_series=100)
    exposition.update([snapshot(features=10), snapshot("other", 10)], NOW)
    text = exposition.scrape(openmetrics=False, zipped=False).decode()

    assert len(values(text, "modeldrift_feature_psi")) == 18
    assert not values(text, "modeldrift_segment_feature_psi")
    assert values(text, "modeldrift_run_success").keys() == {("credit",), ("other",)}
    everything = Exposition(no_health(), max_series=10_000)
    everything.update([snapshot(features=10), snapshot("other", 10)], NOW)
    assert exposition.series + exposition.series_dropped == everything.series
    assert exposition.series_dropped > 0


def test_a_limit_below_the_core_keeps_the_worst_columns() -> None:
    """Where not even PSI fits, predictions and the columns that drift most are still shown."""
    exposition = Exposition(no_health(), max_series=100)
    exposition.update([snapshot(features=200)], NOW)
    text = exposition.scrape(openmetrics=False, zipped=False).decode()

    shown = {labels[0] for labels in values(text, "modeldrift_feature_psi")}
    assert "f198" in shown, "the highest score"
    assert "f1" not in shown
    assert values(text, "modeldrift_prediction_evaluated")
    assert len(values(text, "modeldrift_feature_threshold")) == len(shown)
    assert exposition.series_dropped > 1000

    exposition.limit(10_000)
    text = exposition.scrape(openmetrics=False, zipped=False).decode()
    assert len(values(text, "modeldrift_feature_psi")) == 199
    assert exposition.series_dropped == 0


def test_importance_ranks_columns() -> None:
    """Of columns that cannot all be shown, an important one goes before a higher score."""
    found = snapshot(features=200)
    weighted = replace(found.features[50], importance=100.0)
    features = (*found.features[:50], weighted, *found.features[51:])

    kept = replace(found, features=features).narrowed(3)

    assert [f.name for f in kept.features] == ["f50", "f198", "score"]
    assert kept.windows[0].scores["psi"][1] == found.windows[0].scores["psi"][198]


def test_one_model_by_probe() -> None:
    """A scrape of one model holds no series of another."""
    exposition = Exposition(no_health(), 10_000)
    exposition.update([snapshot(), snapshot("other")], NOW)

    text = exposition.scrape(openmetrics=False, zipped=False, model="other").decode()

    assert {labels[1] for labels in values(text, "modeldrift_feature_psi")} == {"other"}


def test_a_removed_model_ends() -> None:
    """Series of a model that left the config are gone at the next scrape."""
    exposition = Exposition(no_health(), 10_000)
    exposition.update([snapshot(), snapshot("other")], NOW)
    exposition.update([snapshot()], NOW)

    assert b'model="other"' not in exposition.scrape(openmetrics=False, zipped=False)


def test_names_are_once_and_tell_their_unit() -> None:
    """No name stands twice, every help is a sentence, every name has our prefix."""
    names = [family.name for family in FAMILIES]

    assert len(set(names)) == len(names)
    for family in FAMILIES:
        assert family.name.startswith("modeldrift_")
        assert family.help.endswith(".")
        assert family.help[0].isupper() or family.help[0].isdigit()


def test_the_paper_of_the_metrics_is_current() -> None:
    """``docs/metrics.md`` is what the code says: names and labels are public API."""
    paper = Path(__file__).parents[1] / "docs" / "metrics.md"

    assert paper.read_text(encoding="utf-8") == metrics_docs.markdown(), "run 'make docs'"
