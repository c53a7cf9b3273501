"""From snapshots and rules to an outcome.

Knows the parts and their order; never how scores were computed or who asks.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from drift_exporter.config_file import load_yaml
from drift_exporter.errors import ReplayError
from drift_exporter.metrics.families import FAMILIES, Family
from drift_exporter.replaying.evaluation import Evaluation
from drift_exporter.replaying.holding import firing, patience_of
from drift_exporter.replaying.messages import Episode, Resending, messages
from drift_exporter.replaying.outcome import Outcome
from drift_exporter.replaying.prometheus import LONGEST_SLICE_SECONDS, MOST_POINTS, prometheus
from drift_exporter.replaying.routes import alerting_of
from drift_exporter.replaying.rule_file import Rule, rules_of
from drift_exporter.replaying.series import (
    LOOKBACK_SECONDS,
    Frame,
    Tables,
    Timed,
    constant,
    frames,
)

RESEND_SECONDS = 60
"""Prometheus says again that an alert is resolved at the first evaluation later than this."""


def replay(
    snapshots: Iterable[Timed],
    rules_text: str,
    alertmanager_config: Mapping[str, Any],
    folder: Path,
    *,
    evaluation_seconds: int = 60,
) -> Outcome:
    """What the rules would have fired over a past span, and what Alertmanager would have sent.

    Parameters
    ----------
    snapshots
        What each run found and the time from which it was exposed, in seconds since the epoch,
        in order, of any models. They are read once and not kept. A snapshot holds until the next
        one of its model; the last ones hold for the interval of their runs.
    rules_text
        A rule file, or a Kubernetes object with one.
    alertmanager_config
        Alertmanager's config as a document.
    folder
        Gets the data and the log of Prometheus; the caller removes it.
    evaluation_seconds
        How often Prometheus evaluates rules.

    Raises
    ------
    ReplayError
        If Prometheus is not installed or refuses a rule, if the rules or the config are not
        understood, or if there are no snapshots.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "rules.yml"
    path.write_text(rules_text, encoding="utf-8")
    rules = rules_of(load_yaml(path), evaluation_seconds)
    alerting = alerting_of(alertmanager_config)
    slice_seconds = _slice_seconds(evaluation_seconds)
    with prometheus(folder) as server:
        past = _Past(rules, evaluation_seconds)
        evaluation: Evaluation | None = None
        end = 0
        for span in past.spans(frames(snapshots, evaluation_seconds), slice_seconds):
            evaluation = evaluation or Evaluation(
                rules, server, span.start, evaluation_seconds, slice_seconds
            )
            found = span.frames.items()
            evaluation.align(f.time for _, own in found for f in own if f.time >= span.start)
            every = evaluation.write_step({family.name for family in past.families})
            for model, own in found:
                table = past.tables[model].table(own, span.start, span.end, every)
                evaluation.add(f"model {model}", table)
            evaluation.add("target", constant("up", span.start, span.end))
            evaluation.evaluate(span.start, span.end)
            end = span.end
    if evaluation is None:
        raise ReplayError("replay: there are no runs in this span; choose another one")
    episodes = _episodes(evaluation, rules, end)
    every = (RESEND_SECONDS // evaluation_seconds + 1) * evaluation_seconds
    sent = messages(alerting, episodes, end, Resending(every))
    return Outcome(evaluation.origin, end, evaluation_seconds, episodes, tuple(sent))


def _slice_seconds(evaluation_seconds: int) -> int:
    whole = math.lcm(evaluation_seconds, LOOKBACK_SECONDS) if evaluation_seconds > 0 else 0
    longest = min(LONGEST_SLICE_SECONDS, (MOST_POINTS - 1) * evaluation_seconds)
    if not 0 < whole <= longest:
        raise ReplayError(
            f"replay: found {evaluation_seconds} s between evaluations; choose a divisor or a "
            f"multiple of {LOOKBACK_SECONDS} s, at most a day"
        )
    return longest // whole * whole


@dataclass(frozen=True)
class _Span:
    start: int
    end: int
    frames: dict[str, list[Frame]]
    """By model; the first of each may begin before the span."""


@dataclass
class _Past:
    """The frames, cut into spans that are evaluated at once."""

    rules: list[Rule]
    pace: int
    tables: dict[str, Tables] = field(default_factory=dict)

    @cached_property
    def families(self) -> list[Family]:
        """The families that rules read."""
        names = frozenset[str]().union(*(rule.reads for rule in self.rules))
        return [family for family in FAMILIES if family.name in names]

    def spans(self, found: Iterator[Frame], seconds: int) -> Iterator[_Span]:
        held: dict[str, list[Frame]] = {}
        start = until = 0
        for frame in found:
            model = frame.snapshot.model
            known = held.get(model)
            if known is None or known[-1].snapshot is not frame.snapshot:
                until = max(until, -(-frame.until // self.pace) * self.pace)
            start = start or frame.time
            while frame.time >= start + seconds:
                yield _Span(start, start + seconds, held)
                held = {name: frames[-1:] for name, frames in held.items()}
                start += seconds
            self.tables.setdefault(model, Tables(self.families, self.pace))
            same = held.setdefault(model, [])
            if same and same[-1].time == frame.time:
                same[-1] = frame
            else:
                same.append(frame)
        while start < until:
            yield _Span(start, min(start + seconds, until), held)
            held = {name: frames[-1:] for name, frames in held.items()}
            start += seconds


def _episodes(evaluation: Evaluation, rules: list[Rule], end: int) -> tuple[Episode, ...]:
    pace, origin = evaluation.pace, evaluation.origin
    last = (end - origin) // pace - 1
    episodes = [
        Episode(labels, origin + begin * pace, None if over is None else origin + over * pace)
        for (place, labels), spans in evaluation.found.items()
        for begin, over in firing(
            spans, patience_of(rules[place].wait_seconds, rules[place].keep_seconds, pace), last
        )
    ]
    return tuple(sorted(episodes, key=lambda e: (e.start, e.labels)))
