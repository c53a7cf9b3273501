"""Rules over a past span: series in, slice by slice, and what each alert's expression found out.

Knows the order in which rules need each other, and Prometheus, which evaluates them; knows no
metric. Only ``for`` and ``keep_firing_for`` are not Prometheus' own (``holding``).
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from math import gcd

import numpy as np
from numpy.typing import NDArray

from drift_exporter.errors import ReplayError
from drift_exporter.replaying.holding import Span, added
from drift_exporter.replaying.prometheus import Answer, Prometheus
from drift_exporter.replaying.remote_write import ABSENT, LabelPairs, absent
from drift_exporter.replaying.rule_file import Rule
from drift_exporter.replaying.series import LOOKBACK_SECONDS, Table, holding, same

Found = dict[tuple[int, LabelPairs], list[Span]]
"""Evaluations at which an alert's expression had a value, by the rule's place and the labels
that the alert has."""


@dataclass
class Evaluation:
    """Rules and what they have found so far.

    What is between two changes of the series is the same for most rules. Such a rule is evaluated
    at the changes and where one may enter or leave its ranges, which is exact and spares nine in
    ten evaluations; the others, those with ``time()`` for one, at each evaluation.
    """

    rules: Sequence[Rule]
    server: Prometheus
    origin: int
    """Time of the first evaluation, in seconds since the epoch."""

    pace: int
    """Seconds from an evaluation to the next."""

    slice_seconds: int
    """Seconds from a call of ``evaluate`` to the next."""

    found: Found = field(default_factory=dict)
    _changes: int = 0
    _last: dict[int, Answer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._changes = self.slice_seconds
        moving: set[str] = set()
        spans: dict[str, set[int]] = {}
        self._still, self._spans = [], []
        for rule in self.rules:
            still = rule.still and not rule.reads & moving
            own = {round(span) for span in rule.spans_seconds}
            own = own.union(*(spans[name] for name in rule.reads if name in spans))
            self._still.append(still)
            self._spans.append(own)
            if not rule.alert:
                moving |= set() if still else {rule.name}
                spans[rule.name] = spans.get(rule.name, set()) | own

    def align(self, changes: Iterable[int]) -> None:
        """Take notice of when series change."""
        self._changes = gcd(self._changes, *(time - self.origin for time in changes))

    def _step(self, place: int) -> int:
        """How often a rule must be evaluated."""
        step = gcd(self._changes, *self._spans[place])
        return step if self._still[place] and step % self.pace == 0 else self.pace

    def write_step(self, names: AbstractSet[str]) -> int:
        """How often values of these series that hold must be written."""
        back = (p for p, r in enumerate(self.rules) if r.looks_back and r.reads & names)
        step = gcd(LOOKBACK_SECONDS, *(self._step(place) for place in back))
        return step if step % self.pace == 0 else self.pace

    def add(self, source: str, table: Table) -> None:
        """Write series."""
        self.server.write(source, table.labels, table.times, table.values, table.tails)

    def evaluate(self, start: int, end: int) -> None:
        """Evaluate all rules at each time in ``[start, end)``; what they read has been written."""
        times = np.arange(start, end, self.pace)
        for place, rule in enumerate(self.rules):
            if rule.reads_itself:
                self._record(place, rule, self._settled(place, rule, times), start, end)
                continue
            answer = self.server.ask(rule.expr, start, end, self._step(place))
            if rule.alert:
                self._watch(place, rule, answer, start, len(times))
            else:
                self._record(place, rule, answer, start, end)

    def _record(self, place: int, rule: Rule, answer: Answer, start: int, end: int) -> None:
        names = {"__name__": rule.name, **rule.labels}
        labels = [_with(found, names) for found in answer.labels]
        every = gcd(self.write_step({rule.name}), answer.step)
        times, tails = holding(start, end, every, self.pace)
        values = answer.values[:, (times - start) // answer.step]
        self.server.write(f"{place}", labels, times, values, tails)

    def _settled(self, place: int, rule: Rule, times: NDArray[np.int64]) -> Answer:
        """A rule that reads what it recorded before: evaluated until nothing changes any more.

        After n times the first n evaluations are what they would have been one by one.
        """
        start, end = int(times[0]), int(times[-1]) + 1
        before = self._last.get(place, Answer([], np.empty((0, 1)), self.pace))
        earlier = np.concatenate(([start - self.pace], times))
        answer = Answer([], np.empty((0, len(times))), self.pace)
        for attempt in range(len(times) + 1):
            name = f"replay:attempt_{place}_{start}_{attempt}"
            names = {"__name__": name, **rule.labels}
            labels = list(dict.fromkeys((*before.labels, *answer.labels)))
            values = np.full((len(labels), len(earlier)), ABSENT)
            for found, column in ((before, slice(0, 1)), (answer, slice(1, None))):
                for row, own in enumerate(found.labels):
                    values[labels.index(own), column] = found.values[row]
            written = [_with(own, names) for own in labels]
            self.server.write(name, written, earlier, values)
            found = self.server.ask(rule.reading(name, self.pace), start, end, self.pace)
            settled = _equal(found, answer) and attempt > 0
            answer = found
            if settled:
                break
        self._last[place] = Answer(answer.labels, answer.values[:, -1:], self.pace)
        return answer

    def _watch(self, place: int, rule: Rule, answer: Answer, start: int, size: int) -> None:
        names = {**rule.labels, "alertname": rule.name}
        first = (start - self.origin) // self.pace
        repeats = answer.step // self.pace
        present: dict[LabelPairs, NDArray[np.bool_]] = {}
        for own, row in zip(answer.labels, answer.values, strict=True):
            kept = tuple(pair for pair in own if pair[0] != "__name__")
            labels, here = _with(kept, names), np.repeat(~absent(row), repeats)[:size]
            if labels in present and (present[labels] & here).any():
                raise ReplayError(
                    f"rules: {rule.name} has two alerts of the same labels {dict(labels)} at once; "
                    "its own labels hide one that tells them apart"
                )
            present[labels] = present.get(labels, False) | here
        for labels, here in present.items():
            spans = self.found.setdefault((place, labels), [])
            for begin, last in _spans(here):
                added(spans, first + begin, first + last)


def _with(labels: LabelPairs, own: dict[str, str]) -> LabelPairs:
    return tuple(sorted((k, v) for k, v in {**dict(labels), **own}.items() if v))


def _equal(left: Answer, right: Answer) -> bool:
    if sorted(left.labels) != sorted(right.labels):
        return False
    order = [left.labels.index(found) for found in right.labels]
    return same(left.values[order], right.values)


def _spans(present: NDArray[np.bool_]) -> list[Span]:
    """First and last of the places that are true and follow each other."""
    padded = np.concatenate(([False], present, [False])).astype(np.int8)
    edges = np.flatnonzero(np.diff(padded))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
