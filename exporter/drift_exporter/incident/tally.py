"""What steps of incidents add up to: the numbers that counters and histograms show.

Pure: steps in, sums out. Steps are never changed or removed, so a process that begins anew comes
to the same sums, and none of them ever falls.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from drift_exporter.incident.values import SEVERITIES, ActionState, Cause, Step

OUTCOMES = (
    ActionState.SUCCEEDED,
    ActionState.FAILED,
    ActionState.UNKNOWN,
    ActionState.SKIPPED,
    ActionState.REJECTED,
    ActionState.EXPIRED,
)
"""States in which an action is over, or nobody knows whether it was done."""

RESENT = "resent"
"""Key of the detail of a step: the action is sent again, so that it is not over."""

SETTLED = "settled"
"""Key of the detail of a step: somebody found out what became of an action of unknown outcome."""

DRY_RUN = "dry_run"
"""Key of the detail of a step: nothing was sent."""

_UNCOUNTED = (RESENT, SETTLED, DRY_RUN)
_OVER = {f"action_{state}": str(state) for state in OUTCOMES}
_ALERTS = ("alert_firing", "alert_resolved")
_IN_HAND = ("acknowledged", "mitigating")


class Told(NamedTuple):
    """A step, and of which incident it is."""

    id: int
    incident_id: int
    model: str
    cause: Cause
    step: Step


class Took(NamedTuple):
    """How long people took."""

    model: str
    severity: str
    seconds: float


class Sums(NamedTuple):
    """What has happened to incidents and actions so far."""

    incidents: Mapping[tuple[str, str], int] = MappingProxyType({})
    """Incidents by model and classification: of drift as they were first analysed, or ``drift``
    where one was over before that; else by their cause."""

    actions: Mapping[tuple[str, str], int] = MappingProxyType({})
    """How often actions of a name came to an outcome."""

    to_acknowledge: tuple[Took, ...] = ()
    """From the opening of an incident until somebody had it in hand."""

    to_resolve: tuple[Took, ...] = ()
    """From the opening of an incident until it was over, each time it was."""


@dataclass
class _Course:
    opened: float
    severity: str
    in_hand: bool = False
    counted: bool = False


class Tally:
    """Sums over all steps that were taken up."""

    def __init__(self) -> None:
        self.last_id = 0
        self._incidents: Counter[tuple[str, str]] = Counter()
        self._actions: Counter[tuple[str, str]] = Counter()
        self._to_acknowledge: list[Took] = []
        self._to_resolve: list[Took] = []
        self._courses: defaultdict[int, _Course] = defaultdict(lambda: _Course(0.0, SEVERITIES[0]))

    def sums(self) -> Sums:
        """The sums as they are now."""
        return Sums(
            dict(self._incidents),
            dict(self._actions),
            tuple(self._to_acknowledge),
            tuple(self._to_resolve),
        )

    def take(self, told: Iterable[Told]) -> None:
        """Take up steps, the oldest first."""
        for one in told:
            self.last_id = one.id
            self._take(one)

    def _take(self, told: Told) -> None:
        step, course = told.step, self._courses[told.incident_id]
        starts_at = float(step.detail.get("starts_at", step.at))
        if step.kind == "opened":
            course.opened = float(step.detail.get("opened", min(starts_at, step.at)))
            course.severity = _severity(step.detail)
            if told.cause is not Cause.DRIFT:
                self._count(told, course, str(told.cause))
        elif step.kind in _ALERTS:
            course.opened = min(course.opened, starts_at)
        elif step.kind == "severity":
            course.severity = _severity(step.detail)
        elif step.kind == "analysed":
            self._count(told, course, str(step.detail.get("classification") or told.cause))
        elif step.kind in _IN_HAND and not course.in_hand:
            course.in_hand = True
            self._to_acknowledge.append(_took(told, course, step.at))
        elif step.kind == "resolved":
            self._count(told, course, str(told.cause))
            self._to_resolve.append(_took(told, course, _end(step)))
        elif step.kind in _OVER and not any(map(step.detail.get, _UNCOUNTED)):
            self._actions[str(step.detail.get("name", "")), _OVER[step.kind]] += 1

    def _count(self, told: Told, course: _Course, classification: str) -> None:
        # What an analysis finds later is another look at the same incident.
        if not course.counted:
            course.counted = True
            self._incidents[told.model, classification] += 1


def _took(told: Told, course: _Course, at: float) -> Took:
    return Took(told.model, course.severity, max(at - course.opened, 0.0))


def _end(step: Step) -> float:
    """When an incident was over: the end of its last alert, or when a person said so."""
    end = step.detail.get("resolved")
    return step.at if end is None else float(end)


def _severity(detail: Mapping[str, object]) -> str:
    found = str(detail.get("severity"))
    return found if found in SEVERITIES else "warning"
