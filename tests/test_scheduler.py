"""When runs happen: what a plan promises, and what a run that hangs, fails or is late cannot do.

Threads are real and meet at events; every wait ends by itself, none decides a test.
"""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from queue import Queue

import pytest
from apscheduler.events import (
    EVENT_JOB_ERROR,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
    JobExecutionEvent,
    JobSubmissionEvent,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from drift_exporter.cron import check_cron, longest_gap_seconds
from drift_exporter.errors import ConfigError, RunStoppedError, SourceError
from drift_exporter.scheduler import Scheduler, Ticket, fold, spread_seconds
from drift_exporter.scheduler import _trigger as trigger_of

PATIENCE = 30.0
HOUR = 3600.0
NEVER = 10 * HOUR


class House:
    """A real scheduler, its reports in a queue, and doors that let waiting works go on."""

    def __init__(self) -> None:
        self.reports: Queue[tuple[object, ...]] = Queue()
        self.scheduler = Scheduler(
            on_skip=lambda *report: self.reports.put(("skip", *report)),
            on_timeout=lambda *report: self.reports.put(("timeout", *report)),
            on_error=lambda *report: self.reports.put(("error", *report)),
        )
        self.doors: list[threading.Event] = []

    def door(self) -> threading.Event:
        """An event that is set at the latest when the test ends."""
        self.doors.append(threading.Event())
        return self.doors[-1]

    def report(self) -> tuple[object, ...]:
        """The next report."""
        return self.reports.get(timeout=PATIENCE)

    def until(self, expected: tuple[object, ...]) -> list[tuple[object, ...]]:
        """All reports up to the expected one."""
        found = [self.report()]
        while found[-1] != expected:
            found.append(self.report())
        return found

    def plan(self, name: str, work: object, **plan: object) -> None:
        """Plan a work that is due by hand only, unless the plan says so."""
        settings = {"interval_seconds": HOUR, "timeout_seconds": NEVER} | {
            "first_delay_seconds": NEVER
        }
        self.scheduler.schedule(name, work, **(settings | plan))  # type: ignore[arg-type]


class Work:
    """A work that says that it began, waits at a door and tries to publish."""

    def __init__(self, door: threading.Event) -> None:
        self.door = door
        self.began: Queue[Ticket] = Queue()
        self.published: Queue[bool] = Queue()

    def __call__(self, ticket: Ticket) -> None:
        """Run."""
        self.began.put(ticket)
        self.door.wait(PATIENCE)
        self.published.put(ticket.finish())

    def begun(self) -> Ticket:
        """The ticket of the next run that began."""
        return self.began.get(timeout=PATIENCE)

    def ended(self) -> bool:
        """Whether the next run that ended could publish."""
        return self.published.get(timeout=PATIENCE)


@pytest.fixture
def house() -> Iterator[House]:
    """A house whose threads are gone after the test."""
    house = House()
    yield house
    for door in house.doors:
        door.set()
    assert house.scheduler.shutdown(PATIENCE) == ()


def until_idle(scheduler: Scheduler) -> None:
    """Wait for the end of the threads that the scheduler names."""
    names = {f"run-{name}" for name in scheduler.running()}
    for thread in threading.enumerate():
        if thread.name in names:
            thread.join(PATIENCE)
    assert scheduler.running() == ()


# The plan


def test_first_run_is_at_once(house: House) -> None:
    """A model's first run does not wait for its interval or its cron."""
    hourly, yearly = Work(house.door()), Work(house.door())
    now = time.time() - 31
    house.plan("hourly", hourly, first_delay_seconds=0, now=now)
    house.plan("yearly", yearly, first_delay_seconds=0, now=now, cron="0 0 1 1 *")

    house.scheduler.start()

    assert not hourly.begun().stopped()
    assert not yearly.begun().stopped()
    assert house.reports.empty()


def test_next_run_tells_the_plan(house: House) -> None:
    """The first run comes after its delay and the model's own share of the jitter."""
    house.plan("a", print, now=2e9, first_delay_seconds=7, jitter_seconds=20)
    house.plan("b", print, now=2e9, first_delay_seconds=0)

    assert house.scheduler.next_run("a") == pytest.approx(2e9 + 7 + spread_seconds("a", 20))
    assert house.scheduler.next_run("b") == pytest.approx(2e9 + spread_seconds("b", 30))
    assert house.scheduler.next_run("c") is None


def test_a_plan_needs_a_beat(house: House) -> None:
    """A model without an interval and without cron cannot be planned."""
    with pytest.raises(ConfigError, match="model 'a' has neither"):
        house.plan("a", print, interval_seconds=None)


def test_a_plan_replaces_and_ends(house: House) -> None:
    """A model has one plan, the last one, until it is taken away."""
    house.plan("a", print, now=2e9)
    house.plan("a", print, now=3e9, first_delay_seconds=0, jitter_seconds=0)
    assert house.scheduler.next_run("a") == 3e9

    house.scheduler.unschedule("a")
    house.scheduler.unschedule("a")
    assert house.scheduler.next_run("a") is None
    with pytest.raises(KeyError):
        house.scheduler.trigger("a")


@given(st.text(), st.floats(0, 1e6))
def test_spread_is_fixed_and_bounded(name: str, limit_seconds: float) -> None:
    """A model's share of the jitter is the same in every process and below the limit."""
    assert spread_seconds(name, limit_seconds) == spread_seconds(name, limit_seconds)
    assert 0 <= spread_seconds(name, limit_seconds) <= limit_seconds


def test_spread_spreads() -> None:
    """Of a thousand models each tenth of the jitter gets its part."""
    tenths = [int(spread_seconds(f"model-{number}", 10)) for number in range(1000)]

    assert all(60 < tenths.count(tenth) < 140 for tenth in range(10))


def test_missed_runs_are_one_run_and_counted(house: House) -> None:
    """After ten missed runs one run is made, ten skips are reported and the beat is kept."""
    work = Work(house.door())
    first = time.time() - 10.5 * HOUR
    house.plan("late", work, now=first, first_delay_seconds=0, jitter_seconds=0)

    house.scheduler.start()
    work.begun()

    assert [house.report() for _ in range(10)] == [("skip", "late", "misfire")] * 10
    assert house.reports.empty()
    assert work.began.empty()
    # Answers once the thread that started the run has let go of the plan.
    assert house.scheduler.next_run("late") == pytest.approx(first + 11 * HOUR, abs=0.01)


@pytest.mark.parametrize(
    ("cron", "due", "now", "missed", "following"),
    [
        pytest.param(None, "06:00:01", "06:00:01", 0, "06:10:01", id="on time"),
        pytest.param(None, "06:00:01", "06:10:00", 0, "06:10:01", id="late within the interval"),
        pytest.param(None, "06:00:01", "06:30:01", 3, "06:40:01", id="three intervals late"),
        pytest.param("*/15 * * * *", "06:00:07", "06:00:07", 0, "06:15:00", id="cron, first run"),
        pytest.param("*/15 * * * *", "06:15:00", "06:50:00", 2, "07:00:00", id="cron, late"),
    ],
)
def test_fold(cron: str | None, due: str, now: str, missed: int, following: str) -> None:
    """Runs between the due one and now are missed; the next one is after now."""
    day = "2026-03-29T"  # The night in which Europe's clocks change.
    moments = [datetime.fromisoformat(f"{day}{text}+00:00") for text in (due, now, following)]

    trigger = trigger_of(600 if cron is None else cron, moments[0])

    assert fold(trigger, moments[0], moments[1]) == (missed, moments[2])


# One run at a time


def test_no_second_run_of_a_model(house: House) -> None:
    """A run that is due while the last one goes on is skipped and reported."""
    work, other = Work(house.door()), Work(house.door())
    house.plan("slow", work, interval_seconds=0.02, first_delay_seconds=0)
    house.plan("other", other)
    house.scheduler.start()
    work.begun()

    house.until(("skip", "slow", "overlap"))
    assert not house.scheduler.trigger("slow")
    assert house.scheduler.trigger("other")
    other.begun()
    assert work.began.empty()
    assert set(house.scheduler.running()) == {"slow", "other"}


def test_run_again_after_the_end(house: House) -> None:
    """A model whose run has ended runs again."""
    work = Work(house.door())
    house.plan("a", work)
    for _ in range(3):
        assert house.scheduler.trigger("a")
        work.begun()
        work.door.set()
        assert work.ended()
        until_idle(house.scheduler)
    assert house.reports.empty()


def test_hung_run_is_given_up(house: House) -> None:
    """A run over its time is reported once, told to stop, and can publish no more."""
    work = Work(house.door())
    house.plan("hung", work, timeout_seconds=0.01)
    house.scheduler.trigger("hung")
    ticket = work.begun()

    assert house.report() == ("timeout", "hung", 0.01)
    assert ticket.stopped()
    assert not house.scheduler.trigger("hung")
    work.door.set()
    assert not work.ended()
    until_idle(house.scheduler)
    assert house.reports.empty()
    assert house.scheduler.trigger("hung")


def test_hung_model_is_never_run_twice(house: House) -> None:
    """As long as a run that was given up lives, the model's due runs are skipped."""
    work = Work(house.door())
    house.plan("hung", work, interval_seconds=0.05, timeout_seconds=0.001, first_delay_seconds=0)
    house.scheduler.start()
    work.begun()

    house.until(("timeout", "hung", 0.001))
    later = [report for _ in range(3) for report in house.until(("skip", "hung", "overlap"))]

    assert ("timeout", "hung", 0.001) not in later
    assert work.began.empty()


def test_hung_models_stop_nobody(house: House) -> None:
    """However many models hang, one more runs on time, again and again."""
    hung = [Work(house.door()) for _ in range(40)]
    for number, work in enumerate(hung):
        house.plan(f"hung-{number}", work, timeout_seconds=0.01, first_delay_seconds=0)
    well = Work(house.door())
    well.door.set()
    house.plan("well", well, interval_seconds=0.05, first_delay_seconds=0, jitter_seconds=0)

    house.scheduler.start()
    for number in range(len(hung)):
        house.scheduler.trigger(f"hung-{number}")
    for work in hung:
        work.begun()

    waiting = {("timeout", f"hung-{number}", 0.01) for number in range(len(hung))}
    while waiting:
        waiting.discard(house.report())
    assert all(well.ended() for _ in range(well.published.qsize() + 3))


def test_failed_run_is_reported_and_harmless(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """What a run raises, even SystemExit, is reported and logged; the model runs again."""
    errors: list[BaseException] = [SourceError("gone"), ValueError("odd"), SystemExit(3)]
    ended = [iter(errors)]

    def work(_: Ticket) -> None:
        raise next(ended[0])

    house.plan("bad", work)
    house.scheduler.start()
    for error in errors:
        assert house.scheduler.trigger("bad")
        assert house.report() == ("error", "bad", error)
        until_idle(house.scheduler)

    assert [r.exc_info[1] for r in caplog.records if r.exc_info] == errors
    assert house.scheduler.next_run("bad") is not None


def test_error_after_the_time_is_not_reported_again(house: House) -> None:
    """A run that was given up and then raises has failed once, not twice."""
    door = house.door()

    def work(_: Ticket) -> None:
        door.wait(PATIENCE)
        raise SourceError("connection closed")

    house.plan("hung", work, timeout_seconds=0.01)
    house.scheduler.trigger("hung")
    assert house.report() == ("timeout", "hung", 0.01)
    door.set()
    until_idle(house.scheduler)

    assert house.reports.empty()


def test_report_that_raises_is_harmless(caplog: pytest.LogCaptureFixture) -> None:
    """A callback that raises is logged; the next run is made."""
    ran: Queue[Ticket] = Queue()

    def work(ticket: Ticket) -> None:
        ran.put(ticket)
        raise SourceError("gone")

    def broken(*_: object) -> None:
        raise ValueError("no such metric")

    scheduler = Scheduler(on_skip=broken, on_timeout=broken, on_error=broken)
    now = time.time() - 2.5 * HOUR
    scheduler.schedule("a", work, interval_seconds=HOUR, timeout_seconds=NEVER, now=now)
    scheduler.start()
    ran.get(timeout=PATIENCE)
    until_idle(scheduler)

    assert scheduler.trigger("a")
    ran.get(timeout=PATIENCE)
    assert scheduler.shutdown(PATIENCE) == ()
    assert [r.message for r in caplog.records].count("report failed") == 4


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param(EVENT_JOB_MISSED, ("skip", "a", "misfire"), id="missed"),
        pytest.param(EVENT_JOB_MAX_INSTANCES, ("skip", "a", "overlap"), id="too many"),
    ],
)
def test_apscheduler_skips_are_reported(house: House, code: int, expected: tuple[str, ...]) -> None:
    """A run that APScheduler itself drops is a skip like any other."""
    event = JobSubmissionEvent(code, "a", "default", [datetime.now(UTC)])
    house.scheduler._jobs._dispatch_event(event)

    assert house.report() == expected


def test_run_that_cannot_start_is_an_error(house: House) -> None:
    """A run for which there is no thread is reported as failed."""
    error = RuntimeError("can't start new thread")
    event = JobExecutionEvent(EVENT_JOB_ERROR, "a", "default", datetime.now(UTC), exception=error)
    house.scheduler._jobs._dispatch_event(event)

    assert house.report() == ("error", "a", error)


# Reload and shutdown


def test_unscheduled_run_cannot_publish(house: House) -> None:
    """A model that is taken away stops, without a result and without a failure."""
    work = Work(house.door())
    house.plan("gone", work)
    house.scheduler.trigger("gone")
    ticket = work.begun()

    house.scheduler.unschedule("gone")

    assert ticket.stopped()
    work.door.set()
    assert not work.ended()
    until_idle(house.scheduler)
    assert house.reports.empty()


def test_new_plan_follows_the_old_run(house: House) -> None:
    """After a reload the new plan's run starts as soon as the old one has ended, not beside it."""
    old, new = Work(house.door()), Work(house.door())
    house.plan("a", old)
    house.scheduler.trigger("a")
    assert not old.begun().stopped()
    house.plan("a", new)

    assert not house.scheduler.trigger("a")
    assert new.began.empty()
    old.door.set()

    assert not old.ended()
    assert not new.begun().stopped()
    new.door.set()
    assert new.ended()


def test_shutdown_waits_for_runs_to_stop(house: House) -> None:
    """At shutdown a run is asked to stop, may publish what it has, and has not failed."""
    began, published = house.door(), house.door()

    def work(ticket: Ticket) -> None:
        began.set()
        while not ticket.stopped():
            threading.Event().wait(0.001)
        if ticket.finish():
            published.set()
        raise RunStoppedError("asked to stop")

    house.plan("a", work)
    house.scheduler.start()
    house.scheduler.trigger("a")
    assert began.wait(PATIENCE)

    assert house.scheduler.shutdown(PATIENCE) == ()
    assert published.is_set()
    assert house.reports.empty()
    assert not house.scheduler.trigger("a")
    assert house.scheduler.running() == ()


def test_shutdown_names_what_does_not_stop(house: House) -> None:
    """A run that outlasts the shutdown is named and can publish no more."""
    work = Work(house.door())
    house.plan("hung", work)
    house.scheduler.trigger("hung")
    ticket = work.begun()

    assert house.scheduler.shutdown(0.0) == ("hung",)

    assert ticket.stopped()
    work.door.set()
    assert not work.ended()
    assert house.reports.empty()


@given(st.lists(st.sampled_from(["stop", "finish", "abandon"]), max_size=6))
def test_a_ticket_is_finished_or_abandoned(steps: list[str]) -> None:
    """Whichever comes first, publishing or abandoning, excludes the other for ever."""
    ticket = Ticket()
    answers = [(step, getattr(ticket, step)()) for step in steps]

    decided = next((step for step in steps if step != "stop"), None)
    for step, answer in answers:
        if step == "finish":
            assert answer == (decided == "finish")
    assert [a for s, a in answers if s == "abandon" and a] == [True] * (decided == "abandon")
    assert ticket.stopped() == ("stop" in steps or decided == "abandon")


def test_a_race_has_one_winner() -> None:
    """Of a run that ends and a timer that gives it up at the same moment exactly one succeeds."""

    def claim(ticket: Ticket, barrier: threading.Barrier, won: list[bool]) -> None:
        barrier.wait(PATIENCE)
        won.append(ticket.finish())

    for _ in range(200):
        ticket, barrier = Ticket(), threading.Barrier(2)
        won: list[bool] = []
        thread = threading.Thread(target=claim, args=(ticket, barrier, won))
        thread.start()
        barrier.wait(PATIENCE)
        abandoned = ticket.abandon()
        thread.join(PATIENCE)
        assert [abandoned] != won


# Cron


def minute_fires(cron: str, start: datetime, days: int) -> list[datetime]:
    """The minutes at which a cron expression is due, by APScheduler, one after another."""
    trigger, end, found = trigger_of(cron, start), start + timedelta(days=days), [start]
    while found[-1] < end:
        found.append(trigger.get_next_fire_time(found[-1], found[-1]))
    return found[1:]


@pytest.mark.parametrize(
    ("cron", "seconds"),
    [
        pytest.param("* * * * *", 60, id="every minute"),
        pytest.param("*/25 * * * *", 25 * 60, id="steps that do not fit start anew each hour"),
        pytest.param("0 9-17 * * *", 16 * HOUR, id="office hours have a night"),
        pytest.param("30 9,17 * * MON-fri", 64 * HOUR, id="a weekend is the longest gap"),
        pytest.param("0 0 * * 7", 7 * 24 * HOUR, id="weekly"),
        pytest.param("0 0 31 * *", 61 * 24 * HOUR, id="31 March to 31 May"),
        pytest.param("0 0 1 1 *", 366 * 24 * HOUR, id="a leap year"),
        pytest.param("0 0 29 2 *", 1461 * 24 * HOUR, id="leap days"),
    ],
)
def test_longest_gap_of_cron(cron: str, seconds: float) -> None:
    """The longest gap is the one that a calendar shows."""
    assert longest_gap_seconds(cron) == seconds


def test_longest_gap_of_an_interval() -> None:
    """Without cron the gap is the interval."""
    assert longest_gap_seconds(300) == 300


@st.composite
def crons(draw: st.DrawFn) -> str:
    """Cron expressions that come true at least once a week, not every minute."""

    def field(low: int, high: int) -> str:
        first = draw(st.integers(low, high))
        last = draw(st.integers(first, high))
        step = draw(st.integers(1, high))
        kinds = ["*", f"{first}", f"{first}-{last}", f"*/{step}", f"{first}-{last}/{step}"]
        return draw(st.sampled_from(kinds))

    minute, hour, weekday = draw(st.integers(0, 59)), field(0, 23), field(0, 7)
    return f"{minute},*/23 {hour} * * {weekday}"


@settings(max_examples=40, deadline=None)
@given(crons())
def test_longest_gap_is_what_apscheduler_does(cron: str) -> None:
    """The gap that alerts rely on is the longest one between APScheduler's fire times."""
    # From a Friday over two weeks: every gap of the weekly rhythm lies within.
    fires = minute_fires(cron, datetime(2026, 2, 20, tzinfo=UTC), days=14)

    longest = max((later - moment).total_seconds() for moment, later in pairwise(fires))

    assert longest_gap_seconds(cron) == longest


@pytest.mark.parametrize(
    ("cron", "weekdays"),
    [
        pytest.param("0 0 * * 0", {"Sun"}, id="0 is Sunday"),
        pytest.param("0 0 * * 7", {"Sun"}, id="7 is Sunday"),
        pytest.param("0 0 * * 1", {"Mon"}, id="1 is Monday"),
        pytest.param("0 0 * * Sat-SUN", {"Sat", "Sun"}, id="the weekend by name"),
        pytest.param("0 0 * * 5-7", {"Fri", "Sat", "Sun"}, id="a range up to 7"),
        pytest.param("0 0 * * mon-fri/2", {"Mon", "Wed", "Fri"}, id="names with a step"),
    ],
)
def test_weekdays_are_those_of_crontab(cron: str, weekdays: set[str]) -> None:
    """Weekdays mean what they mean in a crontab, not what they mean in APScheduler."""
    fires = minute_fires(cron, datetime(2026, 1, 1, tzinfo=UTC), days=21)

    assert {f"{moment:%a}" for moment in fires} == weekdays


def test_leap_day_is_due_on_leap_days() -> None:
    """A day that comes every four years comes."""
    fires = minute_fires("5 4 29 2 *", datetime(2025, 1, 1, tzinfo=UTC), days=2000)

    assert [moment.date() for moment in fires[:2]] == [date(2028, 2, 29), date(2032, 2, 29)]


@pytest.mark.parametrize(
    ("cron", "told"),
    [
        pytest.param("", "0 fields, expected 5", id="empty"),
        pytest.param("@daily", "1 fields, expected 5", id="nickname"),
        pytest.param("0 0 * * * *", "6 fields, expected 5", id="seconds"),
        pytest.param("60 * * * *", "'60' as minute, expected *, numbers from 0 to 59", id="range"),
        pytest.param("* 5-3 * * *", "'5-3' as hour", id="range that falls"),
        pytest.param("*/0 * * * *", "'*/0' as minute", id="step of nothing"),
        pytest.param("*/60 * * * *", "'*/60' as minute", id="step beyond the hour"),
        pytest.param("1,,2 * * * *", "'' as minute", id="gap in a list"),
        pytest.param(
            "* * * foo *", "'foo' as month, expected *, numbers from 1 to 12, jan", id="no month"
        ),
        pytest.param("* * * * mont", "'mont' as day of week", id="a name and more"),
        pytest.param("* * 0 * *", "'0' as day of month", id="day 0"),
        pytest.param("* * last * *", "'last' as day of month", id="a word of APScheduler"),
        pytest.param("-1 * * * *", "'-1' as minute", id="negative"),
        pytest.param("٣ * * * *", "'٣' as minute", id="digits of another script"),
        pytest.param("0 0 1 * 1", "days of the month and days of the week", id="both days"),
        pytest.param("0 0 30,31 2 *", "no run would ever be due", id="30 February"),
    ],
)
def test_wrong_cron_is_refused(cron: str, told: str) -> None:
    """A cron expression that cannot be used is refused with what was found and is allowed."""
    with pytest.raises(ConfigError) as refused:
        check_cron(cron)

    assert told in str(refused.value)
    assert repr(cron) in str(refused.value)


@given(st.text(alphabet="0123456789*/-,. monsunjafeb", max_size=30))
def test_any_cron_is_read_or_refused(text: str) -> None:
    """Whatever is typed is either a plan with a gap or a ConfigError."""
    try:
        check_cron(text)
    except ConfigError:
        return
    assert 60 <= longest_gap_seconds(text) <= 40 * 366 * 24 * HOUR
