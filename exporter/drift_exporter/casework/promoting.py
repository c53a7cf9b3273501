"""Promotion: a model goes on with another profile or version, and its incidents tell of it.

Knows what is audited and which incidents it ends; the promotion's note on disk is the business of
``promotion_notes``. The exporter notices by itself, whenever it loads a config or a profile, that
something differs from what it audited last: so nothing is lost where a profile was moved by hand.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

from drift_exporter.audit import Entry
from drift_exporter.config import ModelConfig
from drift_exporter.errors import StoreError
from drift_exporter.incident import Cause, Incident, Step
from drift_exporter.profile import Profile
from drift_exporter.profiles.promotion_notes import Note
from drift_exporter.store import Store
from drift_exporter.store.cases import Cases

FIRST_SEEN = "model_seen"
PROFILE_CHANGED = "profile_changed"
VERSION_CHANGED = "version_changed"
KINDS = frozenset({FIRST_SEEN, PROFILE_CHANGED, VERSION_CHANGED})
"""Kinds of audit entries from which is known what a model went on with."""

EXPORTER = "drift-exporter"
"""The actor of what nobody gave a name for."""

_SUBJECT = "model/"


@dataclass(frozen=True)
class Deployed:
    """What a model goes on with, as the audit log has it."""

    profile: str
    """Hash of bins and counts."""

    version: str
    promoted: float | None
    """When it last changed; None where it never did."""

    noted: float
    """Notes from then or before were told already, or are about what was before."""


@dataclass(frozen=True)
class Promotion:
    """A model that goes on with something else from now on."""

    model: str
    at: float
    actor: str
    reason: str
    profile: str
    version: str
    previous_profile: str
    previous_version: str
    noted: float | None = None
    """When it was written down by whoever promoted; None where nobody did."""

    incident_id: int | None = None
    """The drift incident that it was written to: of a model one at most is not closed."""

    @property
    def confirms(self) -> bool:
        """Whether somebody only said who and why, of what was deployed already."""
        before = (self.previous_profile, self.previous_version)
        return (self.profile, self.version) == before

    @property
    def kind(self) -> str:
        """Kind of its audit entry."""
        return PROFILE_CHANGED if self.profile != self.previous_profile else VERSION_CHANGED

    @property
    def text(self) -> str:
        """What happened, in a sentence."""
        parts = []
        if self.profile != self.previous_profile:
            parts.append(f"profile {self.profile}, was {self.previous_profile}")
        if self.version != self.previous_version:
            parts.append(f"version {self.version or 'none'}, was {self.previous_version or 'none'}")
        if self.confirms:
            parts.append(f"profile {self.profile}, version {self.version or 'none'}, as deployed")
        why = f": {self.reason}" if self.reason else ""
        return f"promoted {'; '.join(parts)}{why}"

    @property
    def link(self) -> Mapping[str, Any]:
        """What an incident keeps of it, as JSON."""
        return {
            "at": self.at,
            "by": self.actor,
            "reason": self.reason,
            "profile": self.profile,
            "version": self.version,
            "previous_profile": self.previous_profile,
            "previous_version": self.previous_version,
        }


class Promotions:
    """What every model goes on with; all threads may call it.

    Of the audit log only what is new since the last call is read: many models and a long log
    must not make every load of the config slow.
    """

    def __init__(self, cases: Cases) -> None:
        self._cases = cases
        self._deployed: dict[str, Deployed] = {}
        self._read_to = 0
        self._turn = threading.Lock()

    def noticed(
        self,
        model: ModelConfig,
        profile: Profile,
        now: float,
        note: Note | None = None,
        actor: str = "",
    ) -> Promotion | None:
        """Audit with what a model goes on now, if that is not known yet.

        Its drift incident that is not closed gets a step with the link. What is seen for the
        first time is audited, and no promotion.

        Parameters
        ----------
        model, profile
            What is in force from now on.
        now
            Seconds since the epoch.
        note
            What was written down by whoever promoted. It counts once, where it is about this
            profile and version and newer than what is known: also of what is deployed already.
        actor
            Who asked for it, if that is known better than by the note.

        Raises
        ------
        StoreError
            If it cannot be written; the next call tries again.
        """
        with self._turn:
            self._read()
            before = self._deployed.get(model.name)
            told = note if note is not None and _counts(note, model, profile, before) else None
            version = model.version or (told.version if told else _kept(before, profile))
            known = before is not None and (before.profile, before.version)
            if told is None and known == (profile.hash, version):
                return None
            who = actor or (told.by if told else "") or EXPORTER
            if before is None:
                self._see(model.name, profile.hash, version, who, now, told)
                return None
            promotion = Promotion(
                model=model.name,
                at=now,
                actor=who,
                reason=told.reason if told else "",
                profile=profile.hash,
                version=version,
                previous_profile=before.profile,
                previous_version=before.version,
                noted=told.at if told else None,
            )
            return _written(self._cases, promotion)

    def promoted_at(self, model: str) -> float | None:
        """When a model's profile or version last changed; None where it never did.

        Raises
        ------
        StoreError
            If the store cannot be read.
        """
        with self._turn:
            self._read()
            found = self._deployed.get(model)
        return found.promoted if found else None

    def _read(self) -> None:
        for entry in self._cases.audit(self._read_to, limit=None):
            self._read_to = entry.id
            take_up(self._deployed, entry)

    def _see(
        self, model: str, profile: str, version: str, who: str, now: float, told: Note | None
    ) -> None:
        body: dict[str, Any] = {
            "profile": profile,
            "version": version,
            "text": f"profile {profile}",
        }
        if told is not None:
            body |= {"noted": told.at, "reason": told.reason}
        with self._cases.writing(f"audit the profile of model {model!r}") as tx:
            tx.audit(now, who, FIRST_SEEN, _SUBJECT + model, body)


# Kept as long as its store is: whoever asks often reads the log once.
_of_stores: WeakKeyDictionary[Store, Promotions] = WeakKeyDictionary()
_making = threading.Lock()


def promotions_of(store: Store) -> Promotions:
    """The promotions of a store."""
    with _making:
        return _of_stores.setdefault(store, Promotions(store.cases))


def noticed(
    store: Store,
    model: ModelConfig,
    profile: Profile,
    now: float,
    actor: str = "",
    note: Note | None = None,
) -> Promotion | None:
    """As `Promotions.noticed`, of the store."""
    return promotions_of(store).noticed(model, profile, now, note, actor)


def promoted_at(store: Store, model: str) -> float | None:
    """As `Promotions.promoted_at`, of the store."""
    return promotions_of(store).promoted_at(model)


def quiet(promoted: float | None, now: float, quiet_seconds: float) -> bool:
    """Whether a model was promoted so lately that its drift is not alerted on.

    Examples
    --------
    >>> quiet(None, 100.0, 60.0), quiet(50.0, 100.0, 60.0), quiet(30.0, 100.0, 60.0)
    (False, True, False)
    """
    return promoted is not None and now - promoted < quiet_seconds


def take_up(known: dict[str, Deployed], entry: Entry) -> None:
    """Take up what an entry of the audit log says of what a model goes on with."""
    # Looked at as text first: of a long log few entries are worth reading.
    if f'"subject":"{_SUBJECT}' not in entry.text:
        return
    try:
        kind, model, body = entry.kind, entry.subject.removeprefix(_SUBJECT), entry.body
        if kind not in KINDS:
            return
        profile, version = str(body["profile"]), str(body["version"])
        at = entry.at
        noted = float(body.get("noted", at))
    except (StoreError, ValueError, TypeError, KeyError):
        # Somebody changed it: the verification tells of it.
        return
    before = known.get(model)
    confirms = (body.get("previous_profile"), body.get("previous_version")) == (profile, version)
    changed = kind != FIRST_SEEN and not confirms
    promoted = at if changed else before.promoted if before else None
    known[model] = Deployed(profile, version, promoted, noted)


def _counts(note: Note, model: ModelConfig, profile: Profile, before: Deployed | None) -> bool:
    """Whether a note says something new of what a model goes on with.

    It is dated after the note before it, whatever the clock says (see ``promotion_notes``).
    """
    fits = note.profile == profile.hash and model.version in ("", note.version)
    return fits and (before is None or note.at > before.noted)


def _kept(before: Deployed | None, profile: Profile) -> str:
    """The version of a model whose config has none, from when it was promoted."""
    return before.version if before is not None and before.profile == profile.hash else ""


def _written(cases: Cases, promotion: Promotion) -> Promotion:
    with cases.writing(f"audit the promotion of model {promotion.model!r}") as tx:
        body: dict[str, Any] = {**promotion.link, "text": promotion.text}
        if promotion.noted is not None:
            # Told once: what is remembered of the log outlives the process.
            body["noted"] = promotion.noted
        tx.audit(promotion.at, promotion.actor, promotion.kind, _SUBJECT + promotion.model, body)
        incident = tx.open_incident(promotion.model, Cause.DRIFT)
        if incident is None:
            return promotion
        tx.save(_linked(incident, promotion))
        tx.record(incident.id, _step(promotion))
    return replace(promotion, incident_id=incident.id)


def _linked(incident: Incident, promotion: Promotion) -> Incident:
    if not promotion.confirms:
        return replace(incident, updated=promotion.at, successor=promotion.link)
    known = incident.successor
    if (known.get("profile"), known.get("version")) != (promotion.profile, promotion.version):
        # What was deployed when the incident was opened is not what ends it.
        return incident
    said = {"by": promotion.actor, "reason": promotion.reason}
    return replace(incident, updated=promotion.at, successor={**known, **said})


def _step(promotion: Promotion) -> Step:
    return Step(promotion.at, promotion.actor, "promoted", promotion.text, promotion.link)
