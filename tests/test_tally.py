"""What steps add up to: events are counted, each once, and nothing that was counted is lost."""

from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from drift_exporter.incident import ALERTMANAGER, Alert, Cause, Known, Step, receive
from drift_exporter.incident.tally import DRY_RUN, RESENT, SETTLED, Tally, Told, Took

HOUR = 3600.0


def tally(*steps: Step, cause: Cause = Cause.DRIFT, incident: int = 1) -> Tally:
    """The sums over the steps of one incident of a model."""
    found = Tally()
    take(found, steps, cause=cause, incident=incident)
    return found


def take(
    found: Tally, steps: Iterable[Step], *, cause: Cause = Cause.DRIFT, incident: int = 1
) -> None:
    """Take up further steps of an incident."""
    told = [
        Told(found.last_id + number, incident, "credit", cause, step)
        for number, step in enumerate(steps, start=1)
    ]
    found.take(told)


def opened(at: float = 0.0, severity: str = "warning") -> Step:
    """The first step of an incident."""
    return Step(at, ALERTMANAGER, "opened", "", {"opened": at, "severity": severity})


def over(at: float) -> Step:
    """The last alert of an incident ended; it is told a minute later."""
    return Step(at + 60, ALERTMANAGER, "resolved", "", {"resolved": at})


def acted(outcome: str, at: float = 0.0, **detail: Any) -> Step:
    """Something became of an action."""
    return Step(at, "ann", f"action_{outcome}", "", {"name": "retrain", **detail})


def test_every_failure_counts() -> None:
    """Two actions of unknown outcome are two, though the first was settled before the second."""
    settled = acted("succeeded", **{SETTLED: True})
    found = tally(acted("unknown"), settled, acted("unknown"), acted("failed"))

    assert found.sums().actions == {("retrain", "unknown"): 2, ("retrain", "failed"): 1}


def test_what_is_sent_again_is_not_over() -> None:
    """Nor is an action over that is asked for, approved or started; a dry run is none."""
    steps = [
        acted("unknown", **{RESENT: True}),
        acted("succeeded", **{DRY_RUN: True}),
        *map(acted, ("proposed", "approved", "started")),
    ]

    assert tally(*steps).sums().actions == {}


def test_an_incident_is_counted_once() -> None:
    """As it was first analysed, whatever is found later."""
    shift, fault = (
        Step(9, "x", "analysed", "", {"classification": classification})
        for classification in ("covariate_shift", "data_quality")
    )

    assert tally(opened()).sums().incidents == {}
    assert tally(opened(), shift, fault).sums().incidents == {("credit", "covariate_shift"): 1}
    assert tally(opened(), over(5), shift).sums().incidents == {("credit", "drift"): 1}
    blind = tally(opened(), over(5), cause=Cause.MONITORING).sums().incidents
    assert blind == {("credit", "monitoring"): 1}


def test_times_are_of_who_was_first_and_of_every_end() -> None:
    """With the severity of that moment; an end is when the alert ended, not when it was told."""
    found = tally(
        opened(0, "warning"),
        Step(60, "ann", "acknowledged", ""),
        Step(90, "bob", "mitigating", ""),
        over(HOUR),
        Step(2 * HOUR, ALERTMANAGER, "reopened", ""),
        Step(2 * HOUR, ALERTMANAGER, "severity", "", {"severity": "critical"}),
        Step(5 * HOUR, "ann", "resolved", ""),
    ).sums()

    assert found.to_acknowledge == (Took("credit", "warning", 60),)
    assert found.to_resolve == (
        Took("credit", "warning", HOUR),
        Took("credit", "critical", 5 * HOUR),
    )


def test_it_takes_what_receiving_writes() -> None:
    """An earlier start that is told later moves the opening."""

    def alert(start: float, end: float | None = None) -> Alert:
        status: Any = "firing" if end is None else "resolved"
        return Alert(f"a{start}", "ModelDriftWidespread", "credit", status, "critical", start, end)

    first = receive(None, Known(), alert(100), 200)
    assert first.incident is not None
    known = Known(first.alerts)
    second = receive(first.incident, known, alert(50, 260), 300)
    third = receive(second.incident, known, alert(100, 400), 500)

    found = tally(*first.steps, *second.steps, *third.steps).sums()

    assert found.to_resolve == (Took("credit", "critical", 350),)


steps = st.one_of(
    st.builds(opened, st.floats(0, 1e6), st.sampled_from(["warning", "critical", "odd"])),
    st.builds(over, st.floats(0, 1e6)),
    st.builds(acted, st.sampled_from(["succeeded", "failed", "unknown"]), st.floats(0, 1e6)),
    st.builds(
        Step,
        st.floats(0, 1e6),
        st.just("ann"),
        st.sampled_from(["acknowledged", "note"]),
        st.just(""),
    ),
)


@given(told=st.lists(st.tuples(st.integers(1, 3), steps), max_size=20), cut=st.integers(0, 20))
def test_no_sum_falls_and_a_restart_comes_to_the_same(
    told: list[tuple[int, Step]], cut: int
) -> None:
    """However the steps are divided, the sums are those of all."""
    found, anew = Tally(), Tally()
    for incident, step in told[:cut]:
        take(found, [step], incident=incident)
    before = found.sums()
    for incident, step in told[cut:]:
        take(found, [step], incident=incident)
    for incident, step in told:
        take(anew, [step], incident=incident)

    assert found.sums() == anew.sums()
    assert all(found.sums().actions[key] >= n for key, n in before.actions.items())
    assert found.sums().to_resolve[: len(before.to_resolve)] == before.to_resolve
