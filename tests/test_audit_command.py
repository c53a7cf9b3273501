"""The audit log goes out as JSON Lines, and whatever was done to it is found."""

import json
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from drift_exporter.cli import audit, main
from drift_exporter.cli.asking import TOKEN
from incident_desk import TOKENS, Room, alert, room, served

# Imported for the commands that it adds.
assert audit

CONFIG = "data_dir: .\nmodels:\n  - {name: credit, reference: r.csv, current: c.csv}\n"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config that names the desk's store."""
    path = tmp_path_factory.mktemp("desk") / "drift.yml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def desk(config: Path) -> Iterator[Room]:
    """A desk whose log has some entries."""
    with room(config.parent) as found:
        for feature in ("income", "age", "größe\u2028"):
            found.deliver(alert(feature))
            found.deliver(alert(feature, status="resolved", endsAt="2027-01-15T07:50:00Z"))
        yield found


@pytest.fixture(scope="module")
def url(desk: Room) -> Iterator[str]:
    """Where the desk is served."""
    with served(desk) as client:
        yield str(client.base_url).rstrip("/")


@pytest.fixture(scope="module")
def exported(desk: Room, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of the log."""
    path = tmp_path_factory.mktemp("export") / "audit.jsonl"
    path.write_text("".join(f"{entry.line}\n" for entry in desk.store.cases.audit(limit=None)))
    return path


def call(*arguments: str, token: str = TOKENS["viewer"]) -> Result:
    """Give a command."""
    return CliRunner().invoke(main, ["audit", *arguments], env={TOKEN: token})


@pytest.mark.parametrize("history", ["exporter", "store"])
def test_exports_are_the_same_from_everywhere(
    tmp_path: Path, url: str, config: Path, exported: Path, history: str
) -> None:
    """Exporter and store give the same lines, into a file or to stdout."""
    file = tmp_path / "audit.jsonl"
    options = ["export", f"--history={history}", f"--url={url}", f"--config.file={config}"]

    into, out = call(*options, f"--output={file}"), call(*options)

    assert (into.exit_code, out.exit_code) == (0, 0), into.output + out.output
    assert file.read_text() == out.output == exported.read_text()
    assert f"{len(exported.read_text().splitlines())} entries" in into.output


def test_what_an_earlier_export_lacks(tmp_path: Path, url: str, exported: Path) -> None:
    """Exports that continue each other verify together, and are the whole."""
    lines = exported.read_text().splitlines(keepends=True)
    (tmp_path / "a").write_text("".join(lines[:3]))

    later = call("export", "--since=3", f"--url={url}", f"--output={tmp_path / 'b'}")
    both = call("verify", str(tmp_path / "a"), str(tmp_path / "b"))
    second = call("verify", str(tmp_path / "b"))

    assert (tmp_path / "b").read_text() == "".join(lines[3:])
    assert (later.exit_code, both.exit_code, second.exit_code) == (0, 0, 1)
    assert "begins after entry 3: give the exports before it too" in second.output
    assert "was changed (" not in second.output


def test_a_later_export_is_verified_itself(tmp_path: Path, exported: Path) -> None:
    """That the begin is not there hides no other change, and no hash that is missing."""
    lines = exported.read_text().splitlines(keepends=True)[3:]
    (tmp_path / "b").write_text("".join(lines))
    (tmp_path / "c").write_text("".join([lines[0].replace("alert", "olert"), *lines[1:]]))

    for arguments in (["c"], ["b", f"--hash={'0' * 64}"]):
        done = call("verify", str(tmp_path / arguments[0]), *arguments[1:])
        assert (done.exit_code, "was changed (" in done.output) == (1, True), done.output


def test_nothing_is_not_intact(tmp_path: Path) -> None:
    """An export without an entry proves nothing."""
    (tmp_path / "a").write_text("")

    done = call("verify", str(tmp_path / "a"))

    assert (done.exit_code, "nothing to verify" in done.output) == (1, True), done.output


def test_a_log_that_is_whole(desk: Room, config: Path, exported: Path) -> None:
    """Store and export verify, and both tell the hash of the newest entry."""
    head = desk.store.cases.audit_head()
    assert head is not None

    for arguments in ([str(exported)], [f"--config.file={config}"]):
        done = call("verify", *arguments, f"--hash={head.hash}")
        assert done.exit_code == 0, done.output
        assert head.hash in done.output


def rewritten(lines: list[str]) -> list[str]:
    """The log written anew from the second entry on, with hashes that fit."""
    from drift_exporter.audit import Head, entry, from_line

    kept = [from_line(lines[0].rstrip("\n"))]
    for line in lines[1:]:
        old, last = from_line(line.rstrip("\n")), kept[-1]
        kept.append(entry(Head(last.id, last.hash), old.at, "eve", old.kind, old.subject, old.body))
    return [f"{one.line}\n" for one in kept]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        pytest.param(lambda x: [*x[:1], *x[2:]], "entry 3: it comes after entry 1", id="removed"),
        pytest.param(lambda x: [x[1], x[0], *x[2:]], "entry 2", id="swapped"),
        pytest.param(lambda x: x[1:], "begins after entry 1", id="begin cut off"),
        pytest.param(lambda x: [x[0].replace("alert", "olert"), *x[1:]], "entry 1", id="edited"),
        pytest.param(lambda x: [x[0].replace(":", ": ", 1), *x[1:]], "entry 1", id="spaced"),
        pytest.param(
            lambda x: [x[0].replace('{"actor"', '{"actor":"eve","actor"'), *x[1:]],
            "entry 1",
            id="a key twice",
        ),
        pytest.param(lambda x: [*x, "nonsense\n"], "no entry", id="nonsense"),
        pytest.param(lambda x: [*x[:2], "\n", *x[2:]], "no entry", id="an empty line"),
        pytest.param(lambda x: [*x, *x[-1:]], "comes after", id="twice"),
    ],
)
def test_changes_of_an_export_are_found(
    tmp_path: Path, exported: Path, change: Callable[[list[str]], list[str]], text: str
) -> None:
    """Whatever is done to a line is found, with its place and exit code 1."""
    lines = exported.read_text().splitlines(keepends=True)
    path = tmp_path / "audit.jsonl"
    path.write_text("".join(change(lines)))

    done = call("verify", str(path))

    assert (done.exit_code, text in done.output) == (1, True), done.output
    assert "Traceback" not in done.output


def test_a_log_that_was_written_anew_is_found_by_a_hash(tmp_path: Path, exported: Path) -> None:
    """Who rewrites all with hashes that fit is found by one that was noted elsewhere."""
    lines = [line + "\n" for line in exported.read_text().split("\n")[:-1]]
    path = tmp_path / "audit.jsonl"
    path.write_text("".join(rewritten(lines)))
    noted = json.loads(lines[-1])["hash"]

    assert call("verify", str(path)).exit_code == 0
    done = call("verify", str(path), f"--hash={noted}")

    assert (done.exit_code, "written anew" in done.output) == (1, True)


def test_every_byte_counts(tmp_path: Path, exported: Path) -> None:
    """Of 60 random single-byte edits of an export, each is found."""
    whole = exported.read_bytes()
    rng = random.Random(7)  # noqa: S311 - not for secrets
    path = tmp_path / "audit.jsonl"
    for at in rng.sample(range(len(whole) - 1), 60):
        other = rng.choice([byte for byte in range(256) if byte != whole[at]])
        path.write_bytes(whole[:at] + bytes([other]) + whole[at + 1 :])

        done = call("verify", str(path))

        assert done.exit_code == 1, (at, other, done.output)


def test_changes_of_the_store_are_found(tmp_path: Path, desk: Room, config: Path) -> None:
    """An entry that somebody changes in the store is found; the store is only read."""
    source = config.parent / "drift.db"
    with (
        closing(sqlite3.connect(source)) as before,
        closing(sqlite3.connect(tmp_path / "drift.db")) as copy,
    ):
        before.backup(copy)
        copy.execute("UPDATE drift_audit SET entry = replace(entry, 'income', 'wealth')")
        copy.commit()
    (tmp_path / "drift.yml").write_text(CONFIG)

    done = call("verify", f"--config.file={tmp_path / 'drift.yml'}")

    assert (done.exit_code, "was changed" in done.output) == (1, True), done.output
    assert desk.store.cases.verify_audit().intact


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        pytest.param(["verify", "gone.jsonl"], 2, "does not exist", id="no file"),
        pytest.param(["verify"], 1, "there is no store", id="no store"),
        pytest.param(["export", "--history=store"], 1, "there is no store", id="no store either"),
        pytest.param(["export", "--url=http://127.0.0.1:9"], 1, "does not answer", id="nobody"),
    ],
)
def test_what_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, text: str
) -> None:
    """Where there is nothing to read, the command says so."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "drift.yml").write_text(CONFIG)

    done = call(*arguments)

    assert (done.exit_code, text in done.output) == (code, True), done.output


def test_an_export_that_fails_leaves_nothing(tmp_path: Path, url: str) -> None:
    """A refused export does not touch the file that is there."""
    file = tmp_path / "audit.jsonl"
    file.write_text("earlier")

    done = call("export", f"--url={url}", f"--output={file}", token="")

    assert done.exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["audit.jsonl"]
    assert file.read_text() == "earlier"


def test_a_damaged_store_does_not_pass_for_an_empty_one(tmp_path: Path) -> None:
    """A store that cannot be read is an error, not an empty log that is intact."""
    (tmp_path / "drift.yml").write_text(CONFIG)
    (tmp_path / "drift.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 8192)

    done = call("verify", f"--config.file={tmp_path / 'drift.yml'}")

    assert done.exit_code == 1, done.output
    assert "intact" not in done.output
    assert "empty" not in done.output
