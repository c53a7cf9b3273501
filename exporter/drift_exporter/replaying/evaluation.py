"""Rules over a past span: series in, slice by slice, and what each alert's expression found out.

Knows the order in which rules need each other, and Prometheus, which evaluates them; knows no
metric. Only ``for`` and ``keep_firing_for`` are not Prometheus' own (``holding``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import gcd

import numpy as np
from numpy.typing import NDArray

from drift_exporter.errors import ReplayError
from drift_exporter.replaying.holding import Span, added
from drift_exporter.replaying.prometheus import Answer, Prometheus
from drift_exporter.replaying.remote_write import ABSENT, LabelPairs, absent
from drift_exporter.replaying.rule_file import Rule
from drift_exporter.replaying.series import Table, same

COARSEST_SECONDS = 300

Found = dict[tuple[int, LabelPairs], list[Span]]
"""Evaluations at which an alert's expression had a value, by the rule's place and the labels
that the alert has."""


@dataclass
class Evaluation:
    """Rules and what they have found so far."""

    rules: Sequence[Rule]
    server: Prometheus
    origin: int
    """Time of the first evaluation, in seconds since the epoch."""

    pace: int
    """Seconds from an evaluation to the next."""

    found: Found = field(default_factory=dict)
    _grid: int = COARSEST_SECONDS
    _last: dict[int, Answer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        moving: set[str] = set()
        self._still = []
        for rule in self.rules:
            still = rule.still and not rule.reads & moving
            self._still.append(still)
            if not still and not rule.alert:
                moving.add(rule.name)
            if still:
                for span in rule.spans_seconds:
                    self._align(round(span))

    def _align(self, seconds: int) -> None:
        """Something changes at so many seconds from the origin: between, still rules rest."""
        self._grid = gcd(self._grid, seconds)

    def add(self, source: str, table: Table, changes: Sequence[int]) -> None:
        """Write series; ``changes`` are the times at which their values may change."""
        for time in changes:
            self._align(time - self.origin)
        self.server.write(source, table.labels, table.times, table.values, table.tails)

    def evaluate(self, start: int, end: int) -> None:
        """Evaluate all rules at each time in ``[start, end)``; what they read has been written."""
        times = np.arange(start, end, self.pace)
        for place, rule in enumerate(self.rules):
            if rule.alert:
                self._watch(place, rule, self._ask(place, rule.expr, start, end), start)
            elif rule.reads_itself:
                self._record(place, rule, self._settled(place, rule, times), times)
            else:
                self._record(place, rule, self._ask(place, rule.expr, start, end), times)

    def _ask(self, place: int, expression: str, start: int, end: int) -> Answer:
        step = self._grid if self._still[place] and self._grid % self.pace == 0 else self.pace
        answer = self.server.ask(expression, start, end, step)
        if step == self.pace:
            return answer
        held = np.repeat(answer.values, step // self.pace, axis=1)
        return Answer(answer.labels, held[:, : -(-(end - start) // self.pace)])

    def _record(self, place: int, rule: Rule, answer: Answer, times: NDArray[np.int64]) -> None:
        names = {"__name__": rule.name, **rule.labels}
        labels = [_with(found, names) for found in answer.labels]
        self.server.write(f"{place}", labels, times, answer.values)

    def _settled(self, place: int, rule: Rule, times: NDArray[np.int64]) -> Answer:
        """A rule that reads what it recorded before: evaluated until nothing changes any more.

        After n times the first n evaluations are what they would have been one by one.
        """
        start, end = int(times[0]), int(times[-1]) + 1
        before = self._last.get(place, Answer([], np.empty((0, 0))))
        earlier = np.concatenate(([start - self.pace], times))
        answer = Answer([], np.empty((0, len(times))))
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
        self._last[place] = Answer(answer.labels, answer.values[:, -1:])
        return answer

    def _watch(self, place: int, rule: Rule, answer: Answer, start: int) -> None:
        names = {**rule.labels, "alertname": rule.name}
        first = (start - self.origin) // self.pace
        present: dict[LabelPairs, NDArray[np.bool_]] = {}
        for own, row in zip(answer.labels, answer.values, strict=True):
            kept = tuple(pair for pair in own if pair[0] != "__name__")
            labels, here = _with(kept, names), ~absent(row)
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
