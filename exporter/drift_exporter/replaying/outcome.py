"""What a replay found: alerts with their spans, messages by receiver, as text to be compared.

Pure: knows how an outcome reads, not how it came about.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from drift_exporter.config import duration_of
from drift_exporter.replaying.messages import Episode, LabelSet, Message

HIDDEN = frozenset({"alertname", "severity", "job", "model", "owner", "team", "tier"})
"""Labels that have a column of their own, or say nothing about what an alert is of."""

MOST_EPISODES = 50
"""Alerts that are listed one by one; the first ones, the counts are of all."""


@dataclass(frozen=True)
class Outcome:
    """What would have fired, and who would have been told."""

    start: int
    end: int
    """The replayed span ``[start, end)`` in seconds since the epoch."""

    evaluation_seconds: int
    episodes: tuple[Episode, ...]
    """In the order of their begin."""

    messages: tuple[Message, ...]
    """In the order of time."""

    @property
    def slack_messages(self) -> int:
        """Messages in Slack, recoveries among them."""
        return sum(message.kind == "slack" for message in self.messages)

    @property
    def pages(self) -> int:
        """Incidents that PagerDuty would have opened."""
        return sum(message.kind == "pagerduty" and message.opens for message in self.messages)


def render(outcome: Outcome) -> str:
    """The outcome as text: what fired, when and for how long, and the messages by receiver."""
    span = f"{_when(outcome.start)} to {_when(outcome.end)} UTC"
    lines = [f"{span}, rules evaluated every {duration_of(outcome.evaluation_seconds)}", ""]
    if outcome.episodes:
        head = ("begin (UTC)", "for", "severity", "model", "alert", "of")
        shown = outcome.episodes[:MOST_EPISODES]
        lines += _columns([head, *(_episode_cells(e, outcome.end) for e in shown)])
        if len(outcome.episodes) > len(shown):
            lines.append(f"and {len(outcome.episodes) - len(shown)} more")
        lines += ["", *_columns([("alert", "severity", "times", "in all"), *_totals(outcome)])]
    else:
        lines.append("No alert would have fired.")
    lines.append("")
    if outcome.messages:
        columns = ("receiver", "kind", "alerts", "recoveries", "pages")
        lines += [*_columns([columns, *_receivers(outcome.messages)]), ""]
    lines.append(f"Slack messages: {outcome.slack_messages}. Pages: {outcome.pages}.")
    return "\n".join(lines) + "\n"


def compare(old: Outcome, new: Outcome) -> str:
    """What differs between two outcomes of the same span, as text."""
    begun = {(o.start, o.end) for o in (old, new)}
    lines = [] if len(begun) == 1 else ["The two outcomes are of different spans.", ""]
    alerts = _compared(_by_alert(old), _by_alert(new))
    lines += _columns([("alert", "severity", "model", "old", "new", "change"), *alerts])
    if not alerts:
        lines[-1] = "No alert would have fired, neither then nor now."
    counts = [
        ("Slack messages", old.slack_messages, new.slack_messages),
        ("Pages", old.pages, new.pages),
        ("Alerts", len(old.episodes), len(new.episodes)),
        ("Hours of alerts", _hours(old), _hours(new)),
    ]
    table = [(name, f"{a:g}", f"{b:g}", f"{b - a:+g}" if b != a else "") for name, a, b in counts]
    return "\n".join([*lines, "", *_columns([("", "old", "new", "change"), *table])]) + "\n"


def _by_alert(outcome: Outcome) -> Counter[tuple[str, str, str]]:
    found: Counter[tuple[str, str, str]] = Counter()
    for episode in outcome.episodes:
        labels = dict(episode.labels)
        key = labels.get("alertname", ""), labels.get("severity", ""), labels.get("model", "")
        found[key] += 1
    return found


def _compared(
    old: Counter[tuple[str, str, str]], new: Counter[tuple[str, str, str]]
) -> list[tuple[str, ...]]:
    return [
        (
            *key,
            str(old[key]),
            str(new[key]),
            f"{new[key] - old[key]:+d}" if old[key] != new[key] else "",
        )
        for key in sorted(old | new)
    ]


def _hours(outcome: Outcome) -> float:
    return round(sum(_lasted(e, outcome.end) for e in outcome.episodes) / 3600, 1)


def _lasted(episode: Episode, end: float) -> float:
    return (end if episode.end is None else episode.end) - episode.start


def _episode_cells(episode: Episode, end: float) -> tuple[str, ...]:
    labels = dict(episode.labels)
    lasted = str(duration_of(_lasted(episode, end)))
    return (
        _when(episode.start),
        f"{lasted} so far" if episode.end is None else lasted,
        labels.get("severity", ""),
        labels.get("model", ""),
        labels.get("alertname", ""),
        _rest(episode.labels),
    )


def _rest(labels: LabelSet) -> str:
    return " ".join(f"{name}={value}" for name, value in labels if name not in HIDDEN)


def _totals(outcome: Outcome) -> list[tuple[str, ...]]:
    times: Counter[tuple[str, str]] = Counter()
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    for episode in outcome.episodes:
        labels = dict(episode.labels)
        key = labels.get("alertname", ""), labels.get("severity", "")
        times[key] += 1
        seconds[key] += _lasted(episode, outcome.end)
    return [(*key, str(times[key]), str(duration_of(seconds[key]))) for key in sorted(times)]


def _receivers(messages: Iterable[Message]) -> list[tuple[str, ...]]:
    found: dict[tuple[str, str], list[Message]] = defaultdict(list)
    for message in messages:
        found[message.receiver, message.kind].append(message)
    return [
        (
            *key,
            str(sum(bool(m.firing) for m in sent)),
            str(sum(not m.firing for m in sent)),
            str(sum(m.opens for m in sent)) if key[1] == "pagerduty" else "",
        )
        for key, sent in sorted(found.items())
    ]


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S").removesuffix(":00")
