"""What a rule file says, and what a rule needs of the others.

Pure: a document in, rules out. Knows PromQL only as far as which names an expression reads and
whether its value can change while no series does.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from drift_exporter.config import parse_duration
from drift_exporter.errors import ReplayError

_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`')
_NAME = re.compile(r"[a-zA-Z_:][\w:]*")
_CALL = re.compile(r"([a-zA-Z_]\w*)\s*\(")
_SPAN = re.compile(r"\[\s*(\w+)\s*(:?)[^\]]*\]|\boffset\s+(\w+)")
_EQUAL = re.compile(r'(\w+)\s*=\s*"((?:[^"\\]|\\.)*)"')

WORDS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right", "and", "or"})
WORDS |= {"unless", "bool", "sum", "min", "max", "avg", "group", "count", "topk", "bottomk"}
STILL_FUNCTIONS = frozenset({"last_over_time", "max_over_time", "min_over_time", "absent", "abs"})
STILL_FUNCTIONS |= {"present_over_time", "clamp_max", "clamp_min", "label_replace", "vector"}
"""Functions whose value changes only where a series of theirs does, or where one enters or
leaves the range."""

LAST = "last_over_time"
RANGED = frozenset({"rate", "irate", "increase", "delta", "idelta", "deriv", "changes", "resets"})
RANGED |= {"predict_linear", "holt_winters", "double_exponential_smoothing"}


@dataclass(frozen=True)
class Rule:
    """A recording or an alerting rule."""

    name: str
    expr: str
    alert: bool
    labels: Mapping[str, str] = field(default_factory=dict)
    wait_seconds: float = 0.0
    keep_seconds: float = 0.0

    @cached_property
    def reads(self) -> frozenset[str]:
        """Every name in the expression, those of labels among them."""
        return frozenset(_NAME.findall(_TEXT.sub('""', self.expr)))

    @cached_property
    def reads_itself(self) -> bool:
        """Whether it reads what it recorded at the evaluation before."""
        return not self.alert and any(
            all(self.labels.get(k, v) == v for k, v in _EQUAL.findall(found.group(1) or ""))
            for found in self._selector().finditer(self.expr)
        )

    @cached_property
    def still(self) -> bool:
        """Whether its value changes only with the series that it reads."""
        text = _TEXT.sub('""', self.expr)
        calls = set(_CALL.findall(text)) - WORDS
        subqueries = any(found.group(2) for found in _SPAN.finditer(text))
        return calls <= STILL_FUNCTIONS and not subqueries and "@" not in text

    @cached_property
    def looks_back(self) -> bool:
        """Whether it needs more of a range than what was last known."""
        calls = set(_CALL.findall(_TEXT.sub('""', self.expr))) - {LAST}
        return any(call.endswith("_over_time") or call in RANGED for call in calls)

    @cached_property
    def spans_seconds(self) -> list[float]:
        """Its ranges and offsets."""
        found = _SPAN.finditer(_TEXT.sub('""', self.expr))
        return [parse_duration(span.group(1) or span.group(3)).seconds for span in found]

    def reading(self, name: str, offset_seconds: int) -> str:
        """The expression with another name for its own, a while ago."""
        pattern = self._selector()
        return pattern.sub(
            lambda m: f"{name}{m.group(1) or ''} offset {offset_seconds}s", self.expr
        )

    def _selector(self) -> re.Pattern[str]:
        return re.compile(rf"(?<![\w:]){re.escape(self.name)}(?![\w:])\s*(\{{[^}}]*\}})?")


def rules_of(document: object, evaluation_seconds: int) -> list[Rule]:
    """The rules of a rule file, or of a Kubernetes object with one, in their order.

    Raises
    ------
    ReplayError
        If it is no rule file, a rule reads what a later one records, or a group asks for another
        evaluation than once in so many seconds.
    """
    try:
        found = list(_rules(document, evaluation_seconds))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ReplayError(
            f"rules: not understood ({error}); check them with 'promtool check rules'"
        ) from error
    for place, rule in enumerate(found):
        later = {r.name for r in found[place:] if not r.alert} - {r.name for r in found[:place]}
        if late := (rule.reads & later) - {rule.name}:
            raise ReplayError(
                f"rules: {rule.name} reads {', '.join(sorted(late))}, which is recorded after it; "
                "put the rule that records first"
            )
    return found


def _check(group: Any, evaluation_seconds: int) -> None:
    """Refuse what would make Prometheus evaluate a group in another way than it is here."""
    every = parse_duration(group.get("interval") or f"{evaluation_seconds}s").seconds
    own = {
        "interval": every != evaluation_seconds,
        "query_offset": parse_duration(group.get("query_offset") or "0s").seconds > 0,
        "limit": bool(group.get("limit")),
        "labels": bool(group.get("labels")),
    }
    if asked := [key for key, differs in own.items() if differs]:
        raise ReplayError(
            f"rules: group {group.get('name')} has {', '.join(asked)}, which replay does not know: "
            f"it evaluates all rules every {evaluation_seconds} s; take it out for the replay"
        )


def _rules(document: Any, evaluation_seconds: int) -> Iterator[Rule]:
    groups = document.get("spec", document)["groups"]
    for group in groups:
        _check(group, evaluation_seconds)
        for rule in group["rules"]:
            labels = {name: str(value) for name, value in rule.get("labels", {}).items()}
            if any("{{" in value for value in labels.values()):
                name = rule.get("alert", rule.get("record"))
                raise ReplayError(f"rules: {name} has a label with a template; replay knows none")
            yield Rule(
                name=rule["alert"] if "alert" in rule else rule["record"],
                expr=str(rule["expr"]),
                alert="alert" in rule,
                labels=labels,
                wait_seconds=parse_duration(rule.get("for", "0s")).seconds,
                keep_seconds=parse_duration(rule.get("keep_firing_for", "0s")).seconds,
            )
