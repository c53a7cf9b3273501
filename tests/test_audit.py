"""The audit log shows whatever is done to it from outside."""

import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_exporter.audit import (
    FIRST_PREVIOUS,
    Entry,
    Head,
    canonical,
    digest,
    entry,
    from_line,
    verify,
)
from drift_exporter.errors import StoreError
from drift_exporter.store import Store, open_store

ROWS = 120


def append(store: Store, first: int, last: int) -> None:
    """Append entries, some in one transaction; entry ``n`` is of the time ``n``."""
    for start in range(first, last + 1, 7):
        with store.cases.writing("append") as tx:
            for n in range(start, min(start + 7, last + 1)):
                body = {"text": f"step {n}: ü\0", "share": n / 7, "labels": ["a", None, True]}
                assert tx.audit(float(n), "ana", "note", f"incident/{n % 5}", body) == n


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with a log, which is closed."""
    path = tmp_path / "store.db"
    with open_store(f"sqlite:///{path}", now=0) as store:
        append(store, 1, ROWS)
    return path


def change(path: Path, *statements: tuple[str, tuple[object, ...]]) -> None:
    """Do something to the stored rows, behind the back of the store."""
    with closing(sqlite3.connect(path)) as connection:
        for statement, values in statements:
            connection.execute(statement, values)
        connection.commit()


def rows(path: Path) -> list[tuple[int, bytes, bytes]]:
    """The stored rows as they are in the file."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT id, CAST(entry AS BLOB), CAST(hash AS BLOB) FROM drift_audit ORDER BY id"
        return connection.execute(query).fetchall()


def test_an_untouched_log(path: Path) -> None:
    """A log verifies, reads back as it was written, and goes on after a restart."""
    with open_store(f"sqlite:///{path}", now=0) as store:
        append(store, ROWS + 1, ROWS + 3)

        found = store.cases.verify_audit()
        entries = list(store.cases.audit(ROWS, 2))

        assert (found.entries, found.first, found.last, found.faults) == (ROWS + 3, 1, ROWS + 3, ())
        assert [e.id for e in entries] == [ROWS + 1, ROWS + 2]
        assert (entries[0].at, entries[0].actor, entries[0].kind) == (121.0, "ana", "note")
        assert entries[0].body["text"] == "step 121: ü\0"
        assert store.cases.audit_head() == Head(ROWS + 3, rows(path)[-1][2].decode())


def test_a_hash_by_hand() -> None:
    """The hash is that of the JSON that anybody can write, and the next entry has it."""
    first = entry(None, 1, "ana", "note", "incident/1", {"b": 1, "a": "é"})
    second = entry(Head(first.id, first.hash), 2.5, "ben", "closed", "incident/1", {})

    assert first.text == (
        '{"actor":"ana","at":1.0,"body":{"a":"\\u00e9","b":1},"id":1,"kind":"note",'
        f'"previous":"{FIRST_PREVIOUS}","subject":"incident/1"}}'
    )
    assert first.hash == digest(first.text)
    assert (second.id, second.previous) == (2, first.hash)
    assert verify([first, second], Head(2, second.hash)).intact


@pytest.mark.parametrize("seed", range(10))
def test_a_hundred_random_changes(path: Path, seed: int) -> None:
    """A byte that is changed, a row removed or two swapped: each one is found, near its place."""
    chance = random.Random(seed)  # noqa: S311
    kept = rows(path)
    with open_store(f"sqlite:///{path}", now=0) as store:
        for _ in range(100):
            kind = chance.choice(("entry", "hash", "delete", "swap", "insert"))
            number, text, hashed = chance.choice(kept)
            near = {number - 1, number, number + 1}
            if kind == "delete":
                change(path, ("DELETE FROM drift_audit WHERE id = ?", (number,)))
            elif kind == "insert":
                again = (ROWS + 1, text.decode(), hashed.decode())
                change(path, ("INSERT INTO drift_audit VALUES (?, ?, ?)", again))
                near = {ROWS, ROWS + 1}
            elif kind == "swap":
                other, its_text, its_hash = chance.choice([row for row in kept if row[0] != number])
                update = "UPDATE drift_audit SET entry = ?, hash = ? WHERE id = ?"
                change(
                    path,
                    (update, (text.decode(), hashed.decode(), other)),
                    (update, (its_text.decode(), its_hash.decode(), number)),
                )
                near |= {other - 1, other, other + 1}
            else:
                old = text if kind == "entry" else hashed
                place = chance.randrange(len(old))
                byte = chance.choice([b for b in range(256) if b != old[place]])
                new = old[:place] + bytes((byte,)) + old[place + 1 :]
                update = f"UPDATE drift_audit SET {kind} = CAST(? AS TEXT) WHERE id = ?"
                change(path, (update, (new, number)))

            found = store.cases.verify_audit()

            assert found.faults, (kind, number)
            assert {fault.id for fault in found.faults} <= near, (kind, number)
            change(path, ("DELETE FROM drift_audit", ()))
            put_back = "INSERT INTO drift_audit VALUES (?, CAST(? AS TEXT), CAST(? AS TEXT))"
            change(path, *((put_back, row) for row in kept))
        assert store.cases.verify_audit().intact


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        pytest.param("DELETE FROM drift_audit WHERE id > 100", "cut off", id="tail"),
        pytest.param("DELETE FROM drift_audit WHERE id <= 100", "begins here, not at", id="start"),
        pytest.param("DELETE FROM drift_audit", "all were removed", id="all"),
        pytest.param("DELETE FROM drift_audit_head", "head of the log was removed", id="head"),
        pytest.param(
            "UPDATE drift_audit_head SET hash = 'x'", "hash is not that", id="head's hash"
        ),
        pytest.param(
            "UPDATE drift_audit_head SET entry_id = 7", "cut off or added", id="head's id"
        ),
        pytest.param("UPDATE drift_audit_head SET entry_id = 999", "cut off or", id="head ahead"),
        pytest.param("UPDATE drift_audit SET id = -5 WHERE id = 9", "was moved", id="an id"),
        pytest.param("UPDATE drift_audit SET entry = x'80ff' WHERE id = 9", "no entry", id="bytes"),
        pytest.param("UPDATE drift_audit SET entry = 7 WHERE id = 9", "no entry", id="a number"),
    ],
)
def test_cut_off_and_emptied(path: Path, statement: str, message: str) -> None:
    """What is missing at either end, or all, is found; and it stays so when the log goes on."""
    change(path, (statement, ()))

    with open_store(f"sqlite:///{path}", now=0) as store:
        faults = store.cases.verify_audit().faults
        with store.cases.writing("append") as tx:
            tx.audit(999.0, "ana", "note", "incident/1", {})
        later = store.cases.verify_audit()

    assert any(message in fault.text for fault in faults), faults
    assert not later.intact


def test_pruned(path: Path) -> None:
    """A pruned log verifies, tells what is gone, and can be pruned and appended to again."""
    with open_store(f"sqlite:///{path}", now=0) as store:
        last = rows(path)[39]
        assert store.cases.prune_audit(41.0, 200.0) == 40
        (checkpoint,) = store.cases.audit(ROWS)
        assert (checkpoint.kind, checkpoint.at) == ("pruned", 200.0)
        assert checkpoint.body == {"count": 40, "last_hash": last[2].decode(), "last_id": 40}
        found = store.cases.verify_audit()
        assert (found.first, found.last, found.faults) == (41, ROWS + 1, ())

        assert store.cases.prune_audit(41.0, 201.0) == 0
        append(store, ROWS + 2, ROWS + 10)
        assert store.cases.prune_audit(1000.0, 1000.0, up_to=60) == 20
        assert store.cases.verify_audit().faults == ()
        assert store.cases.prune_audit(2000.0, 2000.0) == ROWS + 11 - 60
        found = store.cases.verify_audit()
        assert (found.entries, found.faults) == (1, ())


@pytest.mark.parametrize(
    ("begin", "intact"),
    [
        pytest.param(1, True, id="all that there was"),
        pytest.param(21, True, id="what the first pruning left"),
        pytest.param(41, True, id="what the second left"),
        pytest.param(22, False, id="one is missing"),
    ],
)
def test_exports_may_hold_what_was_pruned_later(path: Path, begin: int, intact: bool) -> None:
    """Exports that continue each other verify together, also where the store lost their begin."""
    with open_store(f"sqlite:///{path}", now=0) as store:
        entries = list(store.cases.audit(limit=None))
        for before in (21.0, 41.0):
            store.cases.prune_audit(before, 200.0)
            entries += list(store.cases.audit(entries[-1].id, limit=None))
        head = store.cases.audit_head()

    assert verify([each for each in entries if each.id >= begin], head).intact is intact


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("DELETE FROM drift_audit WHERE id = 41", id="one more"),
        pytest.param("DELETE FROM drift_audit WHERE kind_is_pruned", id="the checkpoint"),
        pytest.param("UPDATE drift_audit SET hash = 'x' WHERE id = 41", id="the first"),
    ],
)
def test_changed_after_pruning(path: Path, statement: str) -> None:
    """That the oldest may go does not hide that others went, nor is such a log pruned."""
    with open_store(f"sqlite:///{path}", now=0) as store:
        store.cases.prune_audit(41.0, 200.0)
        append(store, ROWS + 2, ROWS + 4)
        change(path, (statement.replace("kind_is_pruned", f"id = {ROWS + 1}"), ()))

        assert not store.cases.verify_audit().intact
        with pytest.raises(StoreError, match="is not pruned, it was changed"):
            store.cases.prune_audit(60.0, 300.0)
        assert store.cases.audit_head() == Head(ROWS + 4, rows(path)[-1][2].decode())


def test_pruning_the_future(path: Path) -> None:
    """A log is not pruned of what is yet to come."""
    with (
        open_store(f"sqlite:///{path}", now=0) as store,
        pytest.raises(StoreError, match="up to now"),
    ):
        store.cases.prune_audit(100.0, 50.0)


def test_an_export_verifies(path: Path) -> None:
    """The lines of an export are a log of their own; one that is changed shows it."""
    with open_store(f"sqlite:///{path}", now=0) as store:
        lines = [entry.line for entry in store.cases.audit(limit=None)]
        head = store.cases.audit_head()

    assert json.loads(lines[4])["actor"] == "ana"
    assert verify(map(from_line, lines), head).intact
    lines[4] = lines[4].replace("step 5", "step 6")
    assert [f.id for f in verify(map(from_line, lines), head).faults] == [5]
    with pytest.raises(StoreError, match="cannot be read"):
        from_line("[]")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).filter(lambda value: "inf" not in repr(value))
)
def test_canonical_json(value: object) -> None:
    """What is read back from canonical JSON is written in the same way again."""
    text = canonical(value)

    assert text.isascii()
    assert canonical(json.loads(text)) == text


def test_a_number_that_json_lacks(path: Path) -> None:
    """What cannot be hashed is refused, and nothing of its transaction stays."""

    def append_two(store: Store) -> None:
        with store.cases.writing("append") as tx:
            tx.audit(1.0, "ana", "note", "incident/1", {})
            tx.audit(1.0, "ana", "note", "incident/1", {"psi": float("nan")})

    with open_store(f"sqlite:///{path}", now=0) as store:
        with pytest.raises(StoreError, match="cannot be written as JSON"):
            append_two(store)

        assert store.cases.verify_audit().last == ROWS


def test_nothing_at_all() -> None:
    """A log that was never written to is intact."""
    assert verify([], None).intact
    assert not verify([Entry(1, "{}", "")], None).intact
