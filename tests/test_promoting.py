"""A model that goes on with another profile or version: noticed once, told to its incident."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drift_exporter.casework.promoting import noticed, promoted_at
from drift_exporter.casework.receiving import receive
from drift_exporter.config import ModelConfig
from drift_exporter.errors import ProfileError
from drift_exporter.incident import Alert, IncidentState
from drift_exporter.profile import Feature, NumericBins, Profile, with_counts
from drift_exporter.profiles.files import read_profile, write_profile
from drift_exporter.profiles.promotion_notes import Note, note_path, promote, read_note
from drift_exporter.store import Store, open_store

NOW = 1_700_000_000.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with open_store(f"sqlite:///{tmp_path}/drift.db", now=NOW) as store:
        yield store


def model(name: str = "credit", version: str = "3") -> ModelConfig:
    """A model of the config."""
    return ModelConfig.model_validate(
        {"name": name, "version": version, "reference": "r.csv", "current": "c.csv"}
    )


def profile(rows: int = 500) -> Profile:
    """A profile of one column, which differs by its rows."""
    bins = NumericBins((1.0,), 0.0, 2.0)
    feature = Feature("income", "feature", "numeric", bins, "float", "")
    counts = np.zeros(feature.block.cells, dtype=np.int64)
    counts[1:3] = rows
    return Profile("credit", (feature,), counts)


def drift(store: Store, name: str = "credit", alertname: str = "ModelDriftFeatureDrifted") -> int:
    """An incident of a model."""
    alert = Alert(f"{name} {alertname}", alertname, name, "firing", "warning", NOW)
    (number,) = receive(store, {"credit", "churn"}, [alert], NOW)
    return number


def kinds(store: Store) -> list[tuple[str, str]]:
    """Kinds and subjects of the audit log that are about models."""
    entries = store.cases.audit(limit=None)
    return [(e.kind, e.subject) for e in entries if e.subject.startswith("model/")]


def test_what_is_seen_first_is_no_promotion(store: Store) -> None:
    """The first profile of a model is audited and ends nothing; seen again, nothing is."""
    for at in (NOW, NOW + 1):
        assert noticed(store, model(), profile(), at) is None

    assert kinds(store) == [("model_seen", "model/credit")]
    assert promoted_at(store, "credit") is None


@pytest.mark.parametrize(
    ("version", "rows", "kind"),
    [
        pytest.param("4", 500, "version_changed", id="another version"),
        pytest.param("3", 600, "profile_changed", id="another profile"),
        pytest.param("4", 600, "profile_changed", id="both"),
    ],
)
def test_a_change_is_audited_once_and_told_to_the_incident(
    store: Store, version: str, rows: int, kind: str
) -> None:
    """A model that goes on with something else: one entry, one step, and the link to it."""
    noticed(store, model(), profile(), NOW)
    number = drift(store)

    first = noticed(store, model(version=version), profile(rows), NOW + 60, "ann")
    again = noticed(store, model(version=version), profile(rows), NOW + 70, "ann")

    incident = store.cases.incident(number)
    assert first is not None
    assert (first.incident_id, first.kind, again) == (number, kind, None)
    assert incident is not None
    assert incident.successor["profile"] == profile(rows).hash
    assert (incident.successor["version"], incident.updated) == (version, NOW + 60)
    assert incident.state is IncidentState.OPEN
    steps = [step for step in store.cases.steps(number) if step.kind == "promoted"]
    assert [(step.actor, step.at) for step in steps] == [("ann", NOW + 60)]
    assert kinds(store)[1:] == [(kind, "model/credit")]
    assert promoted_at(store, "credit") == NOW + 60
    assert store.cases.verify_audit().intact


@pytest.mark.parametrize(
    ("name", "alertname", "state"),
    [
        pytest.param("churn", "ModelDriftFeatureDrifted", None, id="of another model"),
        pytest.param("credit", "ModelDriftRunFailing", None, id="of another cause"),
        pytest.param("credit", "ModelDriftFeatureDrifted", IncidentState.CLOSED, id="closed"),
    ],
)
def test_other_incidents_are_left_alone(
    store: Store, name: str, alertname: str, state: IncidentState | None
) -> None:
    """A promotion is told to the model's drift incident alone, and only until it is closed."""
    noticed(store, model(), profile(), NOW)
    number = drift(store, name, alertname)
    if state is not None:
        with store.cases.writing("close") as tx:
            tx.save(replace(tx.get(number), state=state, closed=NOW + 5))
    before = store.cases.incident(number)

    found = noticed(store, model(), profile(600), NOW + 60)

    assert found is not None
    assert found.incident_id is None
    assert store.cases.incident(number) == before


def test_what_is_known_outlives_the_process(tmp_path: Path) -> None:
    """A profile that is changed while the exporter is off is noticed at its next start."""
    url = f"sqlite:///{tmp_path}/drift.db"
    with open_store(url, now=NOW) as store:
        noticed(store, model(), profile(), NOW)
        noticed(store, model(), profile(600), NOW + 60)
    with open_store(url, now=NOW) as store:
        assert promoted_at(store, "credit") == NOW + 60
        assert noticed(store, model(), profile(600), NOW + 90) is None
        assert noticed(store, model(), profile(700), NOW + 95) is not None
        assert promoted_at(store, "credit") == NOW + 95
        assert promoted_at(store, "churn") is None


def test_a_note_tells_who_and_why(store: Store) -> None:
    """The note of a profile gives actor, reason and, where the config has none, the version."""
    found = profile(600)
    noticed(store, model(version=""), profile(), NOW)
    note = Note(found.hash, "4", "retrained on May", "ann", NOW + 30)

    told = noticed(store, model(version=""), found, NOW + 60, note=note)

    assert told is not None
    assert (told.actor, told.reason, told.version) == ("ann", "retrained on May", "4")
    for left in (note, None):
        assert noticed(store, model(version=""), found, NOW + 90, note=left) is None


@pytest.mark.parametrize(
    ("about", "version", "at"),
    [
        pytest.param("old", "3", NOW + 30, id="of another profile"),
        pytest.param(profile(600).hash, "2", NOW + 30, id="of another version"),
        pytest.param(profile(600).hash, "3", NOW - 30, id="from before what is known"),
        pytest.param(profile(600).hash, "3", NOW, id="from just then"),
    ],
)
def test_a_note_that_was_left_behind_counts_for_nothing(
    store: Store, about: str, version: str, at: float
) -> None:
    """A note about something else does not put words into anybody's mouth."""
    noticed(store, model(), profile(), NOW)
    left = Note(about, version, "because", "eve", at)

    told = noticed(store, model(), profile(600), NOW + 60, note=left)

    assert told is not None
    assert (told.actor, told.reason, told.version) == ("drift-exporter", "", "3")


def test_a_note_does_not_speak_for_the_next_version(store: Store) -> None:
    """Who promoted version 2 said nothing of version 3, nor of version 2 when it comes back."""
    noticed(store, model(version="1"), profile(), NOW)
    note = Note(profile().hash, "2", "A", "ann", NOW + 30)

    told = [
        noticed(store, model(version=version), profile(), NOW + 60 + at, note=note)
        for at, version in enumerate(["2", "3", "2"])
    ]

    said = [(one.actor, one.reason, one.version) for one in told if one]
    assert said == [
        ("ann", "A", "2"),
        ("drift-exporter", "", "3"),
        ("drift-exporter", "", "2"),
    ]


@pytest.mark.parametrize(
    "at", [pytest.param(NOW + 70, id="in order"), pytest.param(NOW + 3600, id="a clock ahead")]
)
def test_who_and_why_may_be_said_afterwards(tmp_path: Path, at: float) -> None:
    """A note about what is deployed already is written down once, and changes nothing else."""
    url = f"sqlite:///{tmp_path}/drift.db"
    note = Note(profile().hash, "4", "the board", "ann", at)
    with open_store(url, now=NOW) as store:
        noticed(store, model(), profile(), NOW)
        number = drift(store)
        noticed(store, model(version="4"), profile(), NOW + 60)
        said = noticed(store, model(version="4"), profile(), NOW + 80, note=note)
        assert noticed(store, model(version="4"), profile(), NOW + 90, note=note) is None
    with open_store(url, now=NOW) as store:
        assert noticed(store, model(version="4"), profile(), NOW + 100, note=note) is None

        assert said is not None
        assert (said.actor, said.reason, said.incident_id) == ("ann", "the board", number)
        assert kinds(store)[1:] == [("version_changed", "model/credit")] * 2
        steps = [step for step in store.cases.steps(number) if step.kind == "promoted"]
        assert [step.actor for step in steps] == ["drift-exporter", "ann"]
        assert "version 4, as deployed: the board" in steps[1].text
        incident = store.cases.incident(number)
        assert incident is not None
        link = incident.successor
        assert (link["by"], link["reason"], link["previous_version"]) == ("ann", "the board", "3")
        assert promoted_at(store, "credit") == NOW + 60
        assert store.cases.verify_audit().intact


def test_what_was_deployed_before_an_incident_does_not_end_it(store: Store) -> None:
    """Words about a version that drifts are a step of its incident, and no successor."""
    noticed(store, model(), profile(), NOW)
    number = drift(store)

    noticed(
        store, model(), profile(), NOW + 60, note=Note(profile().hash, "3", "A", "ann", NOW + 1)
    )

    incident = store.cases.incident(number)
    assert incident is not None
    assert incident.successor == {}
    assert [step.kind for step in store.cases.steps(number)][-1] == "promoted"
    assert promoted_at(store, "credit") is None


def test_the_first_note_is_told_once(store: Store) -> None:
    """What was promoted before the exporter's first start is seen with who and why, once."""
    note = Note(profile().hash, "3", "first", "ann", NOW + 5)

    for at in (NOW, NOW + 60):
        assert noticed(store, model(), profile(), at, note=note) is None

    (entry,) = store.cases.audit(limit=None)
    assert (entry.kind, entry.actor, entry.body["reason"]) == ("model_seen", "ann", "first")


def test_promoting_keeps_the_old_profile(tmp_path: Path) -> None:
    """The new profile is in its place, the old one beside it by its hash, and a note."""
    path, old, new = tmp_path / "credit.json", profile(), profile(600)
    note = Note(new.hash, "4", "ünïcode | reason", "ann", NOW)
    write_profile(path, old)

    kept = promote(path, new, note)

    assert kept == tmp_path / f"credit.{old.hash}.json"
    assert {p.name for p in tmp_path.iterdir()} == {path.name, kept.name, note_path(path).name}
    found, before = read_profile(path), read_profile(kept)
    assert found is not None
    assert before is not None
    assert (found.hash, before.hash, read_note(path)) == (new.hash, old.hash, note)
    assert promote(path, new, note) is None


def test_a_later_note_is_the_newer_one(tmp_path: Path) -> None:
    """A clock that was set back does not make a note look older than the one before it."""
    path, found = tmp_path / "credit.json", profile()
    for reason, at in (("first", NOW), ("second", NOW - 3600)):
        promote(path, found, Note(found.hash, "1", reason, "ann", at))

    note = read_note(path)
    assert note is not None
    assert note.reason == "second"
    assert note.at > NOW


def test_the_first_profile_has_nothing_before_it(tmp_path: Path) -> None:
    """Where there was no profile, none is kept."""
    path, new = tmp_path / "profiles" / "credit.json", profile()

    assert promote(path, new, Note(new.hash, "1", "first", "ann", NOW)) is None

    found = read_profile(path)
    assert found is not None
    assert found.hash == new.hash


def test_a_broken_profile_is_replaced_and_kept(tmp_path: Path) -> None:
    """What cannot be read is in nobody's way, and not lost either."""
    path, new = tmp_path / "credit.json", profile()
    path.write_text("{")

    kept = promote(path, new, Note(new.hash, "1", "repaired", "ann", NOW))

    assert kept is not None
    assert kept.read_text() == "{"
    found = read_profile(path)
    assert found is not None
    assert found.hash == new.hash


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("[]", id="a list"),
        pytest.param("{}", id="no keys"),
        pytest.param(json.dumps({"profile": "a", "version": "", "reason": "", "by": ""}), id="few"),
        pytest.param(
            '{"profile": "a", "version": "", "reason": "", "by": "", "at": NaN}', id="no time"
        ),
        pytest.param("[" * 60_000, id="deep"),
        pytest.param("\udcff", id="no text"),
    ],
)
def test_a_damaged_note_is_none(tmp_path: Path, text: str) -> None:
    """A note that cannot be read stops nothing."""
    path = tmp_path / "credit.json"
    note_path(path).write_text(text, errors="surrogateescape")

    assert read_note(path) is None


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """Where nothing can be written, the message says where."""
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "credit.json"

    with pytest.raises(ProfileError, match="cannot be"):
        promote(path, profile(), Note("a", "1", "r", "ann", NOW))


def test_counts_make_the_profile(store: Store) -> None:
    """A profile with the same bins and other counts is another one."""
    noticed(store, model(), profile(), NOW)
    more = with_counts(profile(), profile().counts * 2, {})

    assert noticed(store, model(), more, NOW + 1) is not None
