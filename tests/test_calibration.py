"""The history of a model gives thresholds that keep its budget of false pages."""

import dataclasses
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special

from drift_exporter.statistics.baselines import (
    Kind,
    counts_by_slot,
    mixed_baseline,
    psi_against_shares,
    slot_of,
)
from drift_exporter.statistics.calibration import (
    Calibration,
    Method,
    Shortage,
    analytic,
    calibrate,
)
from drift_exporter.statistics.divergences import bins_compared, psi
from drift_exporter.statistics.history import replay
from drift_exporter.statistics.null_law import neg_log10_p, quantile
from drift_exporter.statistics.pairs import StatisticsError
from drift_exporter.statistics.power import NUMERIC_SHARES
from drift_exporter.statistics.tail import (
    Tail,
    analytic_tail,
    episodes,
    fitted_tail,
    held,
    with_error_of_omega,
)
from drift_exporter.statistics.timeline import Rule, Series, Timeline, evaluation_ends

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MONDAY = 19_723 * 86_400
SLICE_SECONDS = 900
DAY = 96
# Slices of a quarter of an hour keep the tests quick.
RULE = Rule(step_seconds=SLICE_SECONDS)
EDGES = special.ndtri(np.cumsum(NUMERIC_SHARES)[:-1])

histograms = hnp.arrays(np.int64, (4, 6), elements=st.integers(0, 300))


def _drawn(shift: Floats, rows: int = 250, seed: int = 0) -> Counts:
    """Rows per slice and bin of a normal feature whose mean is shifted in each slice."""
    below = special.ndtr(EDGES - shift[:, np.newaxis])
    ends = np.zeros((len(shift), 1)), np.ones((len(shift), 1))
    shares = np.diff(np.concatenate([ends[0], below, ends[1]], axis=1), axis=1)
    return np.random.default_rng(seed).multinomial(rows, shares)


def _timeline(slices: int, excluded: tuple[tuple[int, int], ...] = ()) -> Timeline:
    return Timeline.of(MONDAY, slices, SLICE_SECONDS, excluded=excluded)


def _steady(features: int = 5, days: int = 28) -> list[Series]:
    return [Series(f"f{i}", _drawn(np.zeros(days * DAY), seed=i)) for i in range(features)]


# Baselines.


@given(histograms, histograms)
def test_shares_of_counts_compare_as_the_counts_do(reference: Counts, current: Counts) -> None:
    """PSI against the shares of a reference is PSI against the reference, over as many bins."""
    rows = reference.sum(axis=1)
    shares = reference / np.maximum(rows, 1)[:, np.newaxis]

    found, bins = psi_against_shares(shares, rows, current)

    assert found == pytest.approx(psi(reference, current), rel=1e-9, abs=1e-12, nan_ok=True)
    assert bins.tolist() == bins_compared(reference, current).tolist()


@given(histograms, st.integers(1, 10**6))
def test_a_mix_of_one_slot_is_the_slot(slots: Counts, rows: int) -> None:
    """A window that lies in one slot is compared with that slot's rows."""
    window = np.diag([rows] * len(slots))

    shares, worth = mixed_baseline(np.broadcast_to(slots, (4, *slots.shape)), window)

    of_slot = slots.sum(axis=1)
    assert worth == pytest.approx(of_slot)
    assert (shares * worth[:, np.newaxis])[of_slot > 0] == pytest.approx(slots[of_slot > 0])
    assert np.isnan(shares[of_slot == 0]).all()


def test_another_mix_of_hours_is_not_drift() -> None:
    """A window of the same hours in other proportions has no PSI against its own mix."""
    slots = np.array([[8000, 2000], [2000, 8000]])
    window = 300 * np.array([8, 2]) + 100 * np.array([2, 8])

    shares, worth = mixed_baseline(slots, [3000, 1000])
    found, _ = psi_against_shares(shares, worth, window)

    assert shares.tolist() == pytest.approx([0.65, 0.35])
    assert float(worth) == pytest.approx(10_000)
    assert float(found) < 1e-6
    assert float(psi(slots.sum(axis=0), window)) > 0.09


@given(
    st.integers(0, 2**33),
    st.integers(-12, 14),
)
def test_slots_are_those_of_the_calendar(seconds: int, hours_ahead: int) -> None:
    """The slot is the local hour, plus 24 at the weekend."""
    local = datetime.fromtimestamp(seconds, UTC).astimezone(timezone(timedelta(hours=hours_ahead)))

    found = int(slot_of(seconds, hours_ahead * 3600))

    assert found == local.hour + (24 if local.weekday() >= 5 else 0)


# One series through its history.


def test_a_window_is_compared_with_the_other_days() -> None:
    """The replayed PSI of a window is its PSI against the history without its own day."""
    one = _steady(1, days=15)[0]
    timeline = _timeline(15 * DAY)
    last = 9 * DAY + 40

    found = replay(one, timeline, RULE)

    others = one.counts[timeline.days != timeline.days[last]].sum(axis=0)
    at = evaluation_ends(timeline, RULE).tolist().index(last)
    assert found.psi[at] == pytest.approx(psi(others, one.counts[last - 3 : last + 1].sum(axis=0)))
    assert found.baseline is Kind.GLOBAL


def test_a_given_reference_is_what_windows_are_compared_with() -> None:
    """With a reference of its own a series is compared with all of it, on every day."""
    reference = np.full(12, 5000)
    one = dataclasses.replace(_steady(1, days=15)[0], reference=reference)

    found = replay(one, _timeline(15 * DAY), RULE)

    assert found.psi[0] == pytest.approx(psi(reference, one.counts[:4].sum(axis=0)))


@pytest.mark.parametrize("wander", [0.05, 0.1, 0.2])
def test_natural_variation_is_what_the_windows_wandered(wander: float) -> None:
    """Means that wander by s standard deviations have an omega of about s squared."""
    rng = np.random.default_rng(3)
    shift = np.repeat(wander * rng.standard_normal(28 * DAY // 4), 4)

    found = replay(Series("wanders", _drawn(shift)), _timeline(28 * DAY), RULE)

    assert found.omega == pytest.approx(wander**2, rel=0.15, abs=5e-4)


def test_an_incident_is_no_natural_variation() -> None:
    """Six hours of one standard deviation in 28 days leave omega as it was."""
    shift = np.zeros(28 * DAY)
    shift[1000:1024] = 1.0

    found = replay(Series("incident", _drawn(shift)), _timeline(28 * DAY), RULE)

    assert found.omega < 0.0003
    assert found.surprise.max() > 50


def test_a_rhythm_is_compared_by_the_hour_and_its_absence_is_not() -> None:
    """Slots are chosen for a daily rhythm, the whole reference for features without."""
    hours = np.sin(2 * np.pi * np.arange(28 * DAY) / DAY)
    series = [Series("rhythm", _drawn(0.3 * hours)), *_steady(8)]

    kinds = [replay(one, _timeline(28 * DAY), RULE).baseline for one in series]

    assert kinds == [Kind.SLOTS, *[Kind.GLOBAL] * 8]


def test_only_a_rise_of_a_rate_is_surprising() -> None:
    """A rate that falls, or rises within a percentage point, never alarms; a jump does."""
    share = np.full(28 * DAY, 0.05)
    share[1000:1100], share[1500:1600], share[2000:2100] = 0.0, 0.058, 0.15
    gone = np.round(1000 * share).astype(np.int64)
    rate = Series("missing", np.column_stack([1000 - gone, gone]), rate=True)

    found = replay(rate, _timeline(28 * DAY), RULE).surprise

    assert set(np.flatnonzero(found > 0).tolist()) == set(range(2000 - 3, 2100))


def test_excluded_spans_are_not_history() -> None:
    """What happened in an excluded span changes nothing, however wild it was."""
    quiet, wild = np.zeros(28 * DAY), np.zeros(28 * DAY)
    wild[960:1056] = 3.0
    span = ((MONDAY + 10 * 86_400, MONDAY + 11 * 86_400),)
    timeline = _timeline(28 * DAY, span)
    counts = _drawn(quiet)
    spoilt = np.where(wild[:, np.newaxis] > 0, _drawn(wild), counts)

    found = [replay(Series("f", each), timeline, RULE) for each in (counts, spoilt)]

    assert timeline.history_days == 27
    assert found[0].omega == found[1].omega
    assert np.array_equal(found[0].surprise, found[1].surprise)
    assert not found[1].surprise[960:1056].any()


# Episodes and their tail.


@given(
    hnp.arrays(np.float64, st.integers(0, 30), elements=st.sampled_from([0.0, 1.0, 2.0, 3.0])),
    st.integers(1, 8),
)
def test_held_is_the_least_of_the_last_evaluations(values: Floats, evaluations: int) -> None:
    """An alert with ``for`` is above a level just when the held surprise is."""
    expected = [
        min(values[i + 1 - evaluations : i + 1]) if i + 1 >= evaluations else 0.0
        for i in range(len(values))
    ]

    assert held(values, evaluations).tolist() == expected


@given(
    hnp.arrays(np.float64, st.integers(0, 40), elements=st.sampled_from([0.0, 1.0, 2.0, 3.0])),
    st.integers(1, 4),
)
def test_episodes_cover_what_is_above_the_level(values: Floats, gap: int) -> None:
    """Every value above the level is in an episode, and episodes are more than a gap apart."""
    found = episodes(values, 1.0, gap)

    inside = {i for span in found for i in range(span.first, span.last + 1)}
    above = set(np.flatnonzero(values > 1).tolist())
    assert above <= inside
    assert {i for span in found for i in (span.first, span.last)} <= above
    assert all(b.first - a.last > gap for a, b in pairwise(found))
    assert all(values[span.peak] == values[span.first : span.last + 1].max() for span in found)
    runs = sum(1 for i in above if not any(i - k in above for k in range(1, gap + 1)))
    assert len(found) == runs


def test_the_tail_of_exponential_peaks_is_theirs() -> None:
    """From exponential peaks far apart the fit finds their scale, their rate and the budget."""
    rng = np.random.default_rng(5)
    peaks = 2 + rng.exponential(0.4, 5000)
    values = np.zeros(100_000)
    values[::20] = peaks

    tail = fitted_tail(values, 90.0, 12)

    assert tail is not None
    assert tail.rate_per_90_days == 60
    assert tail.scale == pytest.approx(0.4, rel=3 / np.sqrt(57))
    # 60 of 5000 lie above 2 + .4 ln(5000 / 60), one of them above 2 + .4 ln 5000.
    assert tail.level == pytest.approx(2 + 0.4 * np.log(5000 / 60), abs=0.2)
    assert tail.surprise_for(1.0) == pytest.approx(2 + 0.4 * np.log(5000), abs=0.6)


def test_the_largest_peaks_do_not_set_the_threshold() -> None:
    """How large the three largest episodes were makes no difference."""
    values = np.zeros(20_000)
    values[::20] = np.random.default_rng(5).exponential(1, 1000)
    incident = values.copy()
    incident[np.argsort(values)[-3:]] = [50.0, 300.0, 5000.0]

    assert fitted_tail(values, 28.0, 12) == fitted_tail(incident, 28.0, 12) is not None


@given(
    st.floats(2, 10), st.floats(0.05, 3), st.floats(20, 400), st.none() | st.integers(17, 57),
    st.floats(0.1, 19),
)  # fmt: skip
def test_a_budget_is_spent_at_its_surprise(
    level: float, scale: float, rate: float, peaks: int | None, budget: float
) -> None:
    """So many pages reach the surprise for a budget; that of half the budget is higher."""
    tail = Tail(level, scale, rate, peaks)
    surprise = tail.surprise_for(budget)

    assert float(tail.pages_per_90_days(surprise)) == pytest.approx(budget)
    assert tail.surprise_for(budget / 2) > surprise


@pytest.mark.parametrize(
    ("minutes", "series", "surprise"),
    [
        pytest.param(0, 50, 6.2, id="no for"),
        pytest.param(15, 50, 4.65, id="15 minutes"),
        pytest.param(30, 50, 3.7, id="30 minutes"),
        pytest.param(60, 50, 2.3, id="an hour"),
        pytest.param(30, 100, 3.7 + 0.35 * np.log(2), id="twice the series"),
        pytest.param(0, 5, 6.2 - 0.52 * np.log(10), id="a tenth of the series"),
        pytest.param(22.5, 50, (4.65 + 3.7) / 2, id="half way"),
        pytest.param(240, 50, 2.3, id="beyond an hour"),
    ],
)
def test_the_analytic_form_by_hand(minutes: float, series: int, surprise: float) -> None:
    """Without history alpha follows from ``for`` and the number of series alone."""
    assert analytic_tail(60 * minutes, series).surprise_for(1.0) == pytest.approx(surprise)


# The model.


def test_a_calibration_keeps_its_budget_on_days_that_it_has_not_seen() -> None:
    """Ten features that wander page about as often as the budget asks, within a factor of 2.5.

    Measured over four models and 90 days each; with one page each it would be mere chance, so the
    budget is ten.
    """
    rule = dataclasses.replace(RULE, budget_per_90_days=10)
    pages = [_pages_live(seed, rule) for seed in range(4)]

    assert 10 / 2.5 < np.mean(pages) < 10 * 2.5


def _pages_live(seed: int, rule: Rule) -> int:
    rng = np.random.default_rng(seed)
    past, slices = 28 * DAY, 118 * DAY
    wander = [0.05 * np.repeat(rng.standard_normal(slices // 8), 8) for _ in range(10)]
    counts = [_drawn(shift, seed=100 * seed + i) for i, shift in enumerate(wander)]
    calibration = calibrate(
        [Series(f"f{i}", each[:past]) for i, each in enumerate(counts)], _timeline(past), rule
    )
    firing = np.zeros(slices - past - 3, dtype=np.bool_)
    for each, one in zip(counts, calibration.series, strict=True):
        assert one.baseline is Kind.GLOBAL
        running = np.cumsum(each[past - 1 :], axis=0)
        windows = running[4:] - running[:-4]
        reference = np.broadcast_to(each[:past].sum(axis=0), windows.shape)
        surprise = neg_log10_p(
            psi(reference, windows),
            bins_compared(reference, windows),
            windows.sum(axis=1),
            reference.sum(axis=1),
            one.omega,
        )
        firing |= held(surprise, rule.evaluations) > calibration.neg_log10_alpha
    return len(episodes(firing.astype(np.float64), 0.5, 4))


@pytest.mark.parametrize(
    ("days", "method"),
    [
        pytest.param(7, Method.ANALYTIC, id="four windows of a week"),
        pytest.param(1, Method.HISTORY, id="28 windows of a day"),
    ],
)
def test_long_windows_keep_their_budget(days: int, method: Method) -> None:
    """A past of few windows knows neither its largest episodes nor how much windows vary: what
    it says is not taken at its word. Four models have a budget of one false alarm each."""
    independent = analytic_tail(RULE.for_seconds, 10).surprise_for(1)
    rule = dataclasses.replace(RULE, window_seconds=days * 86_400, budget_per_90_days=1)
    width, past = days * DAY, 28 * DAY
    found = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        slices = past + width + 90 * DAY
        wander = [0.05 * np.repeat(rng.standard_normal(slices // 48 + 1), 48) for _ in range(10)]
        counts = [_drawn(w[:slices], seed=100 * seed + i) for i, w in enumerate(wander)]
        calibration = calibrate(
            [Series(f"f{i}", each[:past], slotted=False) for i, each in enumerate(counts)],
            _timeline(past),
            rule,
        )
        assert calibration.method is method
        least = with_error_of_omega(independent, 28 // days)
        assert calibration.neg_log10_alpha >= least * (1 - 1e-9)
        assert (calibration.reason is Shortage.TOO_FEW_WINDOWS) == (method is Method.ANALYTIC)
        firing = np.zeros(90 * DAY, dtype=np.bool_)
        for each, one in zip(counts, calibration.series, strict=True):
            assert one.windows == 28 // days
            running = np.cumsum(each[past:], axis=0)
            windows = running[width:] - running[:-width]
            reference = np.broadcast_to(each[:past].sum(axis=0), windows.shape)
            surprise = neg_log10_p(
                psi(reference, windows),
                bins_compared(reference, windows),
                windows.sum(axis=1),
                reference.sum(axis=1),
                one.omega,
            )
            firing[: len(surprise)] |= (
                held(surprise, rule.evaluations) > calibration.neg_log10_alpha
            )
        found += len(episodes(firing.astype(np.float64), 0.5, 4))
    assert found <= 2 * 4


def test_series_that_move_as_one_cost_as_much_as_one() -> None:
    """Dependence is carried: a feature that is monitored ten times does not lower alpha."""
    one = _steady(1)

    alone, tenfold = (calibrate(one * times, _timeline(28 * DAY), RULE) for times in (1, 10))

    assert tenfold.alpha == alone.alpha
    assert calibrate(_steady(6), _timeline(28 * DAY), RULE).alpha < alone.alpha


def test_a_smaller_budget_makes_a_smaller_alpha() -> None:
    """Fewer false pages allowed, a smaller alpha; its thresholds are to cost just the budget."""
    budgets = (0.1, 0.5, 1.0, 3.0, 10.0)
    found = [
        calibrate(_steady(2), _timeline(28 * DAY), dataclasses.replace(RULE, budget_per_90_days=b))
        for b in budgets
    ]

    assert sorted(one.alpha for one in found) == [one.alpha for one in found]
    for one, budget in zip(found, budgets, strict=True):
        omega = np.array([series.omega for series in one.series])
        natural = quantile(one.alpha, 12, 1000, 600_000, omega)
        alarms = one.false_alarms_per_90_days(natural, 12, 1000, 600_000)
        assert alarms == pytest.approx([budget / 2, budget / 2])


def test_incidents_of_the_history_are_told() -> None:
    """The largest episode names the feature and the time of the incident that was left in."""
    shift = np.zeros(28 * DAY)
    shift[1000:1024] = 1.0
    series = [*_steady(2), Series("broken", _drawn(shift, seed=9))]

    found = calibrate(series, _timeline(28 * DAY), RULE)

    assert (found.method, found.reason) == (Method.HISTORY, None)
    assert len(found.episodes) == 3
    worst = found.episodes[0]
    assert worst.series == "broken"
    # Held from the third evaluation on that half of the window is in the incident.
    assert 1000 < worst.first_slice < 1008
    assert 1024 <= worst.last_slice < 1030
    assert worst.psi > 0.5
    assert found.neg_log10_alpha < 5


def _constant(days: int) -> list[Series]:
    counts = np.zeros((days * DAY, 3), dtype=np.int64)
    counts[:, 1] = 250
    return [Series("constant", counts), Series("none missing", counts[:, 1:], rate=True)]


@pytest.mark.parametrize(
    ("series", "days", "reason"),
    [
        pytest.param([], 0, Shortage.NO_HISTORY, id="no series, no history"),
        pytest.param([], 28, Shortage.NO_HISTORY, id="no series"),
        pytest.param(_steady(2, 1), 1, Shortage.HISTORY_TOO_SHORT, id="one day"),
        pytest.param(_steady(2, 13), 13, Shortage.HISTORY_TOO_SHORT, id="13 days"),
        pytest.param(
            [Series("f", np.zeros((28 * DAY, 4), dtype=np.int64))],
            28,
            Shortage.NO_HISTORY,
            id="empty slices",
        ),
        pytest.param(
            [Series("f", np.ones((28 * DAY, 4), dtype=np.int64))],
            28,
            Shortage.NO_HISTORY,
            id="too few rows in every window",
        ),
        pytest.param(
            [Series("f", np.zeros((28 * DAY, 0), dtype=np.int64))],
            28,
            Shortage.NO_HISTORY,
            id="no bins",
        ),
        pytest.param(_constant(28), 28, Shortage.NO_HISTORY, id="constant"),
        pytest.param(
            [Series("f", np.full((28 * DAY, 4), 250))],
            28,
            Shortage.TOO_FEW_EPISODES,
            id="the same counts in every slice",
        ),
    ],
)
def test_a_history_that_tells_nothing_gives_the_analytic_form(
    series: list[Series], days: int, reason: Shortage
) -> None:
    """Too short, empty, constant or tiny: analytic, with the reason, and never an exception."""
    found = calibrate(series, _timeline(days * DAY), RULE)

    assert (found.method, found.reason, found.history_days) == (Method.ANALYTIC, reason, days)
    plain = analytic([s.name for s in series], RULE, history_days=days, reason=reason)
    if reason is Shortage.TOO_FEW_EPISODES:
        # How much each column varies is known then; only the alarms are too few to count.
        assert [s.windows for s in found.series] == [672] * len(series)
        plain = dataclasses.replace(plain, series=found.series)
    else:
        assert {s.baseline for s in found.series} <= {Kind.GLOBAL}
    assert found == plain
    assert [s.omega for s in found.series] == [0.0] * len(series)
    assert 0 < found.alpha < 1


def test_a_calibration_is_read_back_as_it_was_written() -> None:
    """A calibration survives its way through JSON, of either method."""
    for written in (
        calibrate(_steady(2, 14), _timeline(14 * DAY), RULE),
        analytic(["f"], Rule()),
    ):
        assert Calibration.from_json(written.to_json()) == written


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"alpha": 1}'],
)
def test_a_text_that_is_no_calibration_is_refused(text: str) -> None:
    """What cannot be read says so, and what to do."""
    with pytest.raises(StatisticsError, match="calibrate again"):
        Calibration.from_json(text)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(
            lambda: analytic([], dataclasses.replace(RULE, budget_per_90_days=0)),
            "budget: found 0",
            id="budget of nothing",
        ),
        pytest.param(
            lambda: calibrate([], _timeline(DAY), Rule(window_seconds=1000)),
            "window: found 1000 seconds",
            id="window of no whole slices",
        ),
        pytest.param(
            lambda: calibrate(_steady(1), _timeline(20 * DAY), RULE),
            "pass one row of bins for each of the 1920 slices",
            id="counts of another timeline",
        ),
        pytest.param(
            lambda: mixed_baseline([[1, 2]], [1, 2]), "over the same slots", id="other slots"
        ),
        pytest.param(
            lambda: counts_by_slot([[1, 2]], [1, 2]), "one slot for each", id="more slots"
        ),
        pytest.param(
            lambda: psi_against_shares([0.5, 0.5], 1, [1, 2, 3]), "one profile", id="other bins"
        ),
    ],
)
def test_what_does_not_fit_is_named(call: object, message: str) -> None:
    """Arguments that do not fit say what was found and what to do."""
    assert callable(call)
    with pytest.raises(StatisticsError, match=message):
        call()
