"""Whether the records of an incident say what the audit log says of it.

Pure: records and entries in, sentences out. Knows what of an incident follows from its entries;
knows no store, and not whether the log itself is whole. A sentence tells what differs and where;
it holds no name and no text of a record.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from drift_exporter.audit import Entry, canonical, digest
from drift_exporter.errors import StoreError
from drift_exporter.incident.values import (
    SEVERITIES,
    Action,
    ActionState,
    Approval,
    Incident,
    IncidentState,
    Step,
    analysis_digest,
)

MOST_TOLD = 100
"""Most differences that are told one by one."""

SUBJECT = "incident/"
"""Begin of the subject of an entry about an incident."""

_STEP = ("time", "actor", "kind", "text or detail")
_APPROVAL = ("action", "person", "decision", "time", "groups or note")
_EVIDENCE = ("time", "counts")

_OWNED = ("acknowledged", "mitigating")
_STATES: Mapping[str, frozenset[IncidentState]] = {
    "opened": frozenset({IncidentState.OPEN}),
    "acknowledged": frozenset({IncidentState.ACKNOWLEDGED}),
    "mitigating": frozenset({IncidentState.MITIGATING}),
    "resolved": frozenset({IncidentState.RESOLVED}),
    "reopened": frozenset({IncidentState.OPEN, IncidentState.ACKNOWLEDGED}),
    "closed": frozenset({IncidentState.CLOSED}),
}
"""States that an incident can have after an entry of a kind."""

_DECISIONS = {"action_approved": "approve", "action_rejected": "reject"}
_ACTION = "action_"
_ACTION_STATES: Mapping[str, frozenset[str]] = {
    "action_proposed": frozenset({ActionState.WAITING, ActionState.APPROVED}),
    "action_approved": frozenset({ActionState.WAITING, ActionState.APPROVED}),
    "action_unknown": frozenset({ActionState.UNKNOWN, ActionState.APPROVED}),
}
"""States that an action can have after an entry of a kind, where it is not the kind's own."""

_AWAITING = frozenset({ActionState.STARTED, ActionState.UNKNOWN})
"""States of an action that an outcome ends."""

_NAMES_OF_ACTION = ("action", "name", "key")
_OUTCOME = ("status", "attempts", "answer")

Print = tuple[Any, ...]


class Begin(NamedTuple):
    """Where the log begins."""

    id: int
    at: float

    @property
    def pruned(self) -> bool:
        """Whether there were entries before."""
        return self.id > 1


class Logged(NamedTuple):
    """What is kept of an entry about an incident: little, as there are many."""

    id: int
    step: Print
    body: Mapping[str, Any] | None
    """Of those entries from which more follows than their step; of alerts and notes None."""

    @property
    def at(self) -> Any:
        """When it was."""
        return self.step[0]

    @property
    def actor(self) -> Any:
        """Who did it."""
        return self.step[1]

    @property
    def kind(self) -> str:
        """What was done."""
        return str(self.step[2])


@dataclass(frozen=True)
class Records:
    """An incident and all that is kept of it beside the log."""

    incident: Incident
    steps: Sequence[Step] = ()
    evidence: Sequence[tuple[float, str]] = ()
    """Time and SHA-256 of the counts of each analysis."""

    actions: Sequence[tuple[Action, Sequence[Approval]]] = ()


@dataclass(frozen=True)
class Compared:
    """What the comparison of records with the log found."""

    records: int = 0
    """How many were compared."""

    differing: int = 0
    differences: tuple[str, ...] = ()
    """A sentence for each, at most `MOST_TOLD`."""

    left_out: int = 0
    """Records that are older than the log's first entry: nothing can be said of them."""

    @property
    def agree(self) -> bool:
        """Whether no record differs."""
        return not self.differing

    def __add__(self, other: "Compared") -> "Compared":
        return Compared(
            self.records + other.records,
            self.differing + other.differing,
            (*self.differences, *other.differences)[:MOST_TOLD],
            self.left_out + other.left_out,
        )


def incident_of(entry: Entry) -> int | None:
    """Number of the incident that an entry is about; None where it is about none."""
    # The text is canonical, so its end is the subject: of a long log few entries are worth
    # reading. What was changed from outside is found by the verification of the chain.
    if f'"subject":"{SUBJECT}' not in entry.text:
        return None
    try:
        about, _, number = entry.subject.partition("/")
        return int(number) if f"{about}/" == SUBJECT else None
    except (StoreError, ValueError):
        return None


def logged(entry: Entry) -> Logged | None:
    """What is kept of an entry; None where it is no entry of a step."""
    try:
        body, kind = dict(entry.body), entry.kind
        step = (entry.at, storable(entry.actor), kind, _body_print(body))
    except (StoreError, ValueError, TypeError):
        return None
    told = kind == "analysed" or kind.startswith(_ACTION) or kind in ("opened", "severity")
    return Logged(entry.id, step, body if told else None)


def evidence_print(body: str) -> str:
    """SHA-256 of the counts of an analysis."""
    return digest(body)


def gone(incident_id: int) -> Compared:
    """What is told of an incident that the log has and the store has not."""
    return Compared(1, 1, (f"incident {incident_id} is in the audit log, and was removed",))


def unreadable(incident_id: int) -> Compared:
    """What is told of an incident with a record that is none."""
    return Compared(1, 1, (f"incident {incident_id} has a record that cannot be read",))


def compare(
    found: Records, entries: Sequence[Logged], begin: Begin | None, settled: int | None = None
) -> Compared:
    """Hold the records of an incident against its entries.

    Parameters
    ----------
    found
        What is kept of the incident.
    entries
        All entries about it that the log has, the oldest first.
    begin
        Where the log begins; None for a log without entries.
    settled
        The newest entry that was there before the records were read. Later ones may be of
        records that were not read; None: there are none.
    """
    return _Comparing(found, entries, begin, settled).compared()


def storable(text: str) -> str:
    """A text as the store keeps it in a record; entries have it as it came."""
    return text.replace("\0", "").encode(errors="replace").decode()


@dataclass
class _Comparing:
    """One incident that is compared."""

    found: Records
    entries: Sequence[Logged]
    begin: Begin | None
    settled: int | None
    told: list[str] = field(default_factory=list)
    records: int = 0
    left_out: int = 0

    def compared(self) -> Compared:
        """What differs."""
        self._rows("step", _STEP, self._steps(), [(e.id, e.step) for e in self.entries])
        self._rows("approval", _APPROVAL, self._approvals(), list(self._logged_approvals()))
        self._rows("evidence", _EVIDENCE, list(self.found.evidence), list(self._logged_evidence()))
        if not any(self._is_fresh(entry.id) for entry in self.entries):
            # Else it moves just now, and nobody knows on which side of the move it was read.
            self._incident()
            self._actions()
        return Compared(self.records, len(self.told), tuple(self.told[:MOST_TOLD]), self.left_out)

    @property
    def _whole(self) -> bool:
        """Whether the log has the incident from its beginning on."""
        pruned = self.begin is not None and self.begin.pruned
        return not pruned or any(entry.kind == "opened" for entry in self.entries)

    def _is_fresh(self, entry_id: int) -> bool:
        return self.settled is not None and entry_id > self.settled

    def _is_old(self, at: Any) -> bool:
        """Whether the log had a record's entry before it was pruned, for all that it shows."""
        return not self._whole and self.begin is not None and at <= self.begin.at

    def _tell(self, text: str) -> None:
        self.told.append(f"incident {self.found.incident.id}: {text}")

    def _steps(self) -> list[Print]:
        return [
            (step.at, step.actor, step.kind, _body_print({"text": step.text, **step.detail}))
            for step in self.found.steps
        ]

    def _approvals(self) -> list[Print]:
        return [
            (
                action.id,
                one.who,
                one.decision,
                one.at,
                canonical([list(one.groups), one.note]),
            )
            for action, approvals in self.found.actions
            for one in approvals
        ]

    def _logged_approvals(self) -> Iterator[tuple[int, Print]]:
        for entry in self.entries:
            body = entry.body
            if entry.kind in _DECISIONS and body is not None:
                more = canonical([body.get("groups", []), storable(str(body.get("note", "")))])
                decision = _DECISIONS[entry.kind]
                yield entry.id, (body.get("action"), entry.actor, decision, entry.at, more)

    def _logged_evidence(self) -> Iterator[tuple[int, Print]]:
        for entry in self._of("analysed"):
            yield entry.id, (entry.at, (entry.body or {}).get("evidence_sha256"))

    def _rows(
        self,
        what: str,
        names: Sequence[str],
        rows: Sequence[Print],
        entries: Sequence[tuple[int, Print]],
    ) -> None:
        """Compare rows with what the log has of them."""
        pairs, added, removed = _paired(rows, entries)
        self.records += len(pairs)
        at = names.index("time")
        for row, (entry_id, expected) in pairs:
            other = [n for n, one, two in zip(names, row, expected, strict=True) if one != two]
            if other:
                self._tell(f"{_a(what)} differs from entry {entry_id} in its {' and '.join(other)}")
        for row in added:
            if self._is_old(row[at]):
                self.left_out += 1
                continue
            self.records += 1
            self._tell(f"{_a(what)} is not in the log")
        for entry_id, _ in removed:
            if not self._is_fresh(entry_id):
                self.records += 1
                self._tell(f"the {what} of entry {entry_id} was removed")
        ids = [entry_id for _, (entry_id, _) in pairs]
        if ids != sorted(ids):
            self._tell(f"the order of its records ({what}) differs from the log")

    def _incident(self) -> None:
        """Compare what of the incident itself follows from its steps."""
        incident = self.found.incident
        if not self.entries:
            if self._is_old(incident.opened):
                self.left_out += 1
            else:
                self.records += 1
                self._tell("the incident is not in the log")
            return
        self.records += 1
        owned, closed = self._of(*_OWNED)[:1], self._of("closed")[-1:]
        known = {
            "acknowledgement": (owned, incident.acknowledged, incident.acknowledged_by),
            "closing": (closed, incident.closed, incident.closed_by),
        }
        other = []
        for what, (entries, at, who) in known.items():
            expected = (entries[0].at, entries[0].actor) if entries else (None, "")
            if (at, who) != expected and (at is None or not self._is_old(at)):
                other.append(what)
        other += [name for name, differs in self._follows(incident) if differs]
        if other:
            self._tell(f"the incident differs from the log in its {' and its '.join(other)}")

    def _follows(self, incident: Incident) -> Iterator[tuple[str, bool]]:
        """Each part that follows from the newest entry of some kind, and whether it does not."""
        analysed, graded = self._of("analysed")[-1:], self._of("opened", "severity")[-1:]
        for entry in analysed:
            body, analysis = entry.body or {}, incident.analysis or {}
            text = f"{analysis.get('headline')} {analysis.get('recommendation')}".strip()
            yield "classification", incident.classification != body.get("classification")
            made = body.get("analysis_sha256")
            changed = made is not None and made != analysis_digest(analysis)
            yield "analysis", changed or text != body.get("text")
        if not analysed and self._whole:
            yield "classification", incident.classification != ""
            yield "analysis", incident.analysis is not None
        for entry in graded:
            severity = (entry.body or {}).get("severity")
            expected = severity if severity in SEVERITIES else "warning"
            yield "severity", incident.severity != expected
        for entry in self._of(*_STATES)[-1:]:
            yield "state", incident.state not in _STATES[entry.kind]

    def _actions(self) -> None:
        """Compare what of the actions follows from their steps."""
        by_action: dict[Any, list[Logged]] = defaultdict(list)
        for entry in self.entries:
            if entry.kind.startswith(_ACTION) and entry.body is not None:
                by_action[entry.body.get("action")].append(entry)
        known = {action.id: action for action, _ in self.found.actions}
        for action_id, action in known.items():
            entries = by_action.get(action_id, [])
            if not entries and self._is_old(action.created):
                self.left_out += 1
                continue
            self.records += 1
            other = list(_differing(action, entries)) if entries else []
            if other:
                self._tell(f"action {action_id} differs from the log in its {' and '.join(other)}")
            elif not entries:
                self._tell(f"action {action_id} is not in the log")
        for action_id in by_action.keys() - known.keys():
            self.records += 1
            self._tell(f"action {action_id} is in the log, and was removed")

    def _of(self, *kinds: str) -> list[Logged]:
        return [entry for entry in self.entries if entry.kind in kinds]


def _differing(action: Action, entries: Sequence[Logged]) -> Iterator[str]:
    """What of an action does not follow from its entries."""
    states: frozenset[str] = frozenset()
    outcomes: list[object] = [None]
    for entry in entries:
        body, after = entry.body or {}, _ACTION_STATES.get(entry.kind)
        after = after or frozenset({entry.kind.removeprefix(_ACTION)})
        if "attempts" in body:
            # An outcome that came too late is told in a step, and changes nothing else.
            too_late = states - _AWAITING
            if states and too_late == states:
                continue
            outcome = {key: body.get(key) for key in _OUTCOME}
            after, outcomes = after | too_late, [*(outcomes if too_late else ()), outcome]
        states = after
        if "marks" in body:
            asked = {k: v for k, v in body.items() if k not in ("text", *_NAMES_OF_ACTION)}
            if asked != {key: action.detail.get(key) for key in asked}:
                yield "request"
    if action.state not in states:
        yield "state"
    told = entries[-1].body or {}
    if (action.name, action.key) != (told.get("name"), told.get("key")):
        yield "name or key"
    if action.detail.get("outcome") not in outcomes:
        yield "outcome"


def _paired(
    rows: Iterable[Print], entries: Iterable[tuple[int, Print]]
) -> tuple[list[tuple[Print, tuple[int, Print]]], list[Print], list[tuple[int, Print]]]:
    """Rows with their entries, in the order of the rows; rows and entries that have none.

    First those that are the same, then those that are but for one field: a name that was
    changed is one difference, not one row too many and one too few.
    """
    left, right = list(enumerate(rows)), list(entries)
    width = len(left[0][1]) if left else 0
    pairs: list[tuple[int, Print, tuple[int, Print]]] = []
    for without in (None, *range(width)):
        waiting: dict[Print, deque[tuple[int, Print]]] = defaultdict(deque)
        for entry in right:
            waiting[_but(entry[1], without)].append(entry)
        rest = []
        for place, row in left:
            fitting = waiting.get(_but(row, without))
            if fitting:
                pairs.append((place, row, fitting.popleft()))
            else:
                rest.append((place, row))
        left, right = rest, sorted(one for some in waiting.values() for one in some)
        if not (left and right):
            break
    pairs.sort(key=lambda pair: pair[0])
    return [(row, entry) for _, row, entry in pairs], [row for _, row in left], right


def _but(row: Print, without: int | None) -> Print:
    return row if without is None else (*row[:without], *row[without + 1 :])


def _body_print(body: Mapping[str, Any]) -> str:
    return digest(canonical({**body, "text": storable(str(body.get("text", "")))}))


def _a(what: str) -> str:
    return f"{'an' if what[0] in 'ae' else 'a'} {what}"
