"""``for`` and ``keep_firing_for`` as we count them are as Prometheus does."""

import json
import random
import subprocess
from pathlib import Path

import pytest

from drift_exporter.replaying.holding import Span, added, firing, patience_of

STEPS = 60
"""Evaluations, a minute apart."""

SEED = 20_260_101
SERIES = 12
"""Generated series for each rule."""

PATIENCE = [(wait, keep) for wait in (0, 60, 90, 300, 480) for keep in (0, 30, 60, 150, 420)]


def drawn(generator: random.Random) -> tuple[list[str], list[bool]]:
    """A series as a unit test writes it, and when an expression ``series > 0`` has a value.

    It lies above and below, flaps, has gaps (which Prometheus bridges for five minutes, so they
    are shorter), and ends and begins again.
    """
    written: list[str] = []
    present: list[bool] = []
    known: str = "stale"
    while len(written) < STEPS:
        known = generator.choice(["1", "1", "1", "0", "stale"])
        length = generator.choice([1, 1, 2, 3, 6, 9, 14])
        for step in range(length):
            gap = step % 4 and generator.random() < 0.4
            written.append("_" if gap and known != "stale" else known)
            present.append(known == "1")
    return written[:STEPS], present[:STEPS]


def spans_of(present: list[bool]) -> list[Span]:
    """The spans of true ones."""
    spans: list[Span] = []
    for place, here in enumerate(present):
        if here:
            added(spans, place, place)
    return spans


def test_alerts_fire_when_those_of_prometheus_do(tmp_path: Path) -> None:
    """Three hundred series, 25 rules: at each evaluation the same alerts fire."""
    generator = random.Random(SEED)  # noqa: S311 - a fixed seed, no secret
    rules, series, fires = [], [], [set[tuple[str, str]]() for _ in range(STEPS)]
    for number, (wait, keep) in enumerate(PATIENCE):
        name = f"R{number}"
        rule = {"alert": name, "expr": f"m{number} > 0", "for": f"{wait}s"}
        rules.append({**rule, **({"keep_firing_for": f"{keep}s"} if keep else {})})
        for case in range(SERIES):
            written, present = drawn(generator)
            values = " ".join(written)
            series.append({"series": f'm{number}{{case="{case}"}}', "values": values})
            for first, end in firing(spans_of(present), patience_of(wait, keep, 60), STEPS - 1):
                for place in range(first, STEPS if end is None else end):
                    fires[place].add((name, str(case)))
    # That there is something to compare: alerts that fire, and such that are held back.
    assert all(fires[10:])
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))
    expected = [
        {
            "expr": 'ALERTS{alertstate="firing"}',
            "eval_time": f"{place}m",
            "exp_samples": [
                {"labels": f'ALERTS{{alertname="{n}",alertstate="firing",case="{c}"}}', "value": 1}
                for n, c in sorted(fires[place])
            ],
        }
        for place in range(STEPS)
    ]
    unit = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": expected}],
    }
    # JSON is YAML, and quicker.
    (tmp_path / "test.yml").write_text(json.dumps(unit))

    command = ["promtool", "test", "rules", str(tmp_path / "test.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, (done.stdout + done.stderr)[:4000]


@pytest.mark.parametrize(
    ("spans", "wait", "keep", "expected"),
    [
        pytest.param([(3, 5)], 0, 0, [(3, 6)], id="at once"),
        pytest.param([(3, 5)], 2, 0, [(5, 6)], id="at the last chance"),
        pytest.param([(3, 5)], 3, 0, [], id="too short"),
        pytest.param([(3, 4), (6, 7)], 2, 5, [], id="a gap begins the wait anew"),
        pytest.param([(3, 5), (7, 7)], 2, 1, [(5, 9)], id="kept over a gap"),
        pytest.param([(3, 5), (8, 9)], 2, 1, [(5, 7)], id="a longer gap ends it"),
        pytest.param([(3, 9)], 1, 0, [(4, None)], id="still there at the end"),
        pytest.param([(3, 8)], 1, 2, [(4, None)], id="kept at the end"),
        pytest.param([], 0, 0, [], id="nothing"),
    ],
)
def test_by_hand(
    spans: list[Span], wait: int, keep: int, expected: list[tuple[int, int | None]]
) -> None:
    """What a reader can count on their fingers; the last evaluation is the ninth."""
    assert list(firing(spans, patience_of(wait, keep, 1), 9)) == expected
