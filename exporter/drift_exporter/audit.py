"""The audit log as a chain: each entry holds the hash of the one before it.

Pure: texts and hashes in, what is wrong with them out. Knows neither where the log is kept nor
what its entries are about.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from drift_exporter.errors import StoreError

FIRST_PREVIOUS = "0" * 64
"""What the first entry has in the place of a hash before it."""

PRUNED = "pruned"
"""Kind of the entry that tells which of the oldest were removed."""

_MOST_FAULTS = 100


class Head(NamedTuple):
    """The newest entry, as it is kept apart from the log."""

    id: int
    hash: str


@dataclass(frozen=True)
class Entry:
    """One entry as it is kept: its text, which is canonical JSON, and the hash of that."""

    id: int
    text: str
    hash: str

    @cached_property
    def fields(self) -> Mapping[str, Any]:
        """What the text says.

        Raises
        ------
        StoreError
            If it is no entry: somebody changed it.
        """
        try:
            found = json.loads(self.text)
        except (ValueError, RecursionError) as error:
            raise _damaged(self.id) from error
        if not isinstance(found, dict) or _NAMES - found.keys():
            raise _damaged(self.id)
        return found

    @property
    def at(self) -> float:
        """When it was, in seconds since the epoch."""
        return float(self.fields["at"])

    @property
    def actor(self) -> str:
        """Who did it."""
        return str(self.fields["actor"])

    @property
    def kind(self) -> str:
        """What was done."""
        return str(self.fields["kind"])

    @property
    def subject(self) -> str:
        """What it was done to."""
        return str(self.fields["subject"])

    @property
    def body(self) -> Mapping[str, Any]:
        """What else there is to say."""
        body: Mapping[str, Any] = self.fields["body"]
        return body

    @property
    def previous(self) -> str:
        """Hash of the entry before it."""
        return str(self.fields["previous"])

    @property
    def line(self) -> str:
        """The entry with its hash as one line of JSON, for an export."""
        return canonical({**self.fields, "hash": self.hash})


_NAMES = frozenset({"id", "at", "actor", "kind", "subject", "body", "previous"})


class Fault(NamedTuple):
    """Where the log was changed, and how that shows."""

    id: int
    text: str


@dataclass(frozen=True)
class Findings:
    """What the verification of a log found."""

    entries: int
    first: int
    last: int
    """Ids of the first and the last entry; 0 where there is none."""

    faults: tuple[Fault, ...]
    """At most a hundred."""

    @property
    def intact(self) -> bool:
        """Whether nothing was changed, removed or moved."""
        return not self.faults


def canonical(value: Any) -> str:
    """JSON of which there is one way to write it: sorted keys, no spaces, ASCII.

    Raises
    ------
    ValueError
        If it has a number that JSON lacks.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def entry(
    head: Head | None, at: float, actor: str, kind: str, subject: str, body: Mapping[str, Any]
) -> Entry:
    """The entry that comes after the newest one."""
    number, previous = (1, FIRST_PREVIOUS) if head is None else (head.id + 1, head.hash)
    text = canonical(
        {
            "id": number,
            "at": float(at),
            "actor": actor,
            "kind": kind,
            "subject": subject,
            "body": dict(body),
            "previous": previous,
        }
    )
    return Entry(number, text, digest(text))


def checkpoint(last: Entry, count: int) -> dict[str, Any]:
    """Body of the entry that tells that all up to ``last`` were removed."""
    return {"last_id": last.id, "last_hash": last.hash, "count": count}


def digest(text: str) -> str:
    """Hash of an entry's text."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def from_line(line: str) -> Entry:
    """The entry of a line of an export.

    Raises
    ------
    StoreError
        If the line is no entry.
    """
    found = Entry(0, line, "")
    fields = dict(found.fields)
    number, hashed = fields["id"], str(fields.pop("hash", ""))
    if not isinstance(number, int):
        raise _damaged(0)
    return Entry(number, canonical(fields), hashed)


def verify(entries: Iterable[Entry], head: Head | None) -> Findings:
    """Find what was changed, removed or moved in a log.

    It finds all that is done to entries one by one. Whoever rewrites the log from some entry
    on, with new hashes and a new head, is found by comparing with an export or a head that
    was kept elsewhere.

    Parameters
    ----------
    entries
        All that are kept, the oldest first.
    head
        The newest, from where it is kept apart; None where nothing is.
    """
    faults: list[Fault] = []
    first: Entry | None = None
    last: Entry | None = None
    count = 0
    starts: dict[int, Any] = {1: FIRST_PREVIOUS}
    for each in entries:
        count += 1
        first = first or each
        broken = [Fault(each.id, text) for text in _broken(each, last)]
        faults += broken[: _MOST_FAULTS - len(faults)]
        if not broken and each.kind == PRUNED:
            gone = each.body.get("last_id")
            starts[gone + 1 if isinstance(gone, int) else 0] = each.body.get("last_hash", "")
        last = each
    faults += _wrong_start(first, starts)
    faults += _wrong_end(last, head)
    return Findings(
        count, first.id if first else 0, last.id if last else 0, tuple(faults[:_MOST_FAULTS])
    )


def _broken(each: Entry, last: Entry | None) -> Iterable[str]:
    if digest(each.text) != each.hash:
        yield "its text and its hash do not fit: it was changed"
    try:
        fields = each.fields
    except StoreError:
        yield "its text is no entry"
        return
    if fields["id"] != each.id:
        yield f"its text is that of entry {fields['id']!r}: it was moved"
    if last is None:
        return
    if each.id != last.id + 1:
        yield f"it comes after entry {last.id}: what was between was removed, or it was moved"
    if fields["previous"] != last.hash:
        yield f"it does not continue entry {last.id}: one of the two was changed, removed or moved"


def _wrong_start(first: Entry | None, starts: Mapping[int, Any]) -> Iterable[Fault]:
    """Where a log may not begin so: at the first entry, or behind what an entry says was removed.

    An export may hold what was removed from the store later.
    """
    if first is None:
        return
    if first.id not in starts:
        newest = list(starts)[-1]
        yield Fault(first.id, f"the log begins here, not at entry {newest}: some were removed")
        return
    try:
        previous = first.previous
    except StoreError:
        # Told of already.
        return
    if previous != starts[first.id]:
        yield Fault(first.id, "it does not continue what was before the log begins")


def _wrong_end(last: Entry | None, head: Head | None) -> Iterable[Fault]:
    if head is None:
        if last is not None:
            yield Fault(last.id, "the head of the log was removed")
    elif last is None:
        yield Fault(head.id, f"the log is empty, its head is entry {head.id}: all were removed")
    elif last.id != head.id:
        yield Fault(
            max(last.id, head.id),
            f"the log ends at entry {last.id}, its head is entry {head.id}: "
            "the end was cut off or added to",
        )
    elif last.hash != head.hash:
        yield Fault(last.id, "its hash is not that of the head: one of the two was changed")


def _damaged(number: int) -> StoreError:
    return StoreError(
        f"audit entry {number} cannot be read: it was changed from outside; see what "
        "'drift-exporter audit verify' finds"
    )
