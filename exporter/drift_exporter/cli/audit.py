"""audit: the log of all that was done, exported and verified."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drift_exporter.cli.asking import asking, exporter_of
from drift_exporter.cli.copies import copied_store
from drift_exporter.cli.options import CONFIG_FILE, EXIT_FAILED, errors_end_here
from drift_exporter.cli.serve import main
from drift_exporter.errors import StoreError
from drift_exporter.whole_file import whole_file

if TYPE_CHECKING:
    from drift_exporter.audit import Entry, Findings
    from drift_exporter.incident.records import Compared
    from drift_exporter.store import Store

_AT_ONCE = 10_000
_SHOWN_FAULTS = 20


@main.group()
def audit() -> None:
    """Export and verify the audit log: each entry holds the hash of the one before it."""


@audit.command("export")
@CONFIG_FILE
@asking
@click.option(
    "--since",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Only entries after this id: what an earlier export lacks.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="File to write, whole or not at all; by default all goes to stdout.",
)
@click.option(
    "--history",
    type=click.Choice(["exporter", "store"]),
    default="exporter",
    show_default=True,
    help="From a running exporter, or from a copy of the store that the config names.",
)
def export(
    config_file: Path,
    url: str,
    token_file: Path | None,
    since: int,
    output: Path | None,
    history: str,
) -> None:
    """Write the audit log as JSON Lines, the oldest entry first."""
    with errors_end_here():
        if history == "exporter":
            _export(_asked(url, token_file, since), output)
            return
        with copied_store(config_file, "reader of the audit log") as (_, store):
            _export(_lines(store, since), output)


@audit.command("verify")
@CONFIG_FILE
@click.argument(
    "files", nargs=-1, type=click.Path(path_type=Path, dir_okay=False, exists=True, readable=True)
)
@click.option(
    "--hash",
    "known",
    default=None,
    help="Hash of an entry that was noted elsewhere, as by a report: it must be in the log.",
)
def verify_log(config_file: Path, files: tuple[Path, ...], known: str | None) -> None:
    """Find what was changed, removed or moved in the audit log; exit code 1 if anything was.

    FILES are exports that continue each other; without any, a copy of the store that the config
    names is verified, and the records of incidents are held against it. Whoever rewrote the whole
    log from some entry on is found by --hash, or by verifying an earlier export. An export that
    begins in the middle needs those before it.
    """
    records: Compared | None = None
    with errors_end_here():
        if files:
            entries = _Watched(_read(files), known)
            found = _verified(entries)
        else:
            with copied_store(config_file, "reader of the audit log") as (_, store):
                entries = _Watched(store.cases.audit(limit=None), known)
                for _ in entries:
                    pass
                found = store.cases.verify_audit()
                records = _held(store)
    missing = known is not None and not entries.seen
    if files and not missing:
        _check_enough(found)
    for fault in found.faults[:_SHOWN_FAULTS]:
        click.echo(f"entry {fault.id}: {fault.text}", err=True)
    if len(found.faults) > _SHOWN_FAULTS:
        click.echo(f"… and {len(found.faults) - _SHOWN_FAULTS} more", err=True)
    if missing:
        click.echo(f"no entry has the hash {known}: the log was written anew", err=True)
    for difference in records.differences[:_SHOWN_FAULTS] if records else ():
        click.echo(difference, err=True)
    if not found.intact or missing:
        click.echo(f"the audit log was changed ({found.entries} entries)", err=True)
        sys.exit(EXIT_FAILED)
    if found.entries:
        click.echo(
            f"intact: {found.entries} entries, {found.first} to {found.last}; "
            f"hash of the newest: {entries.last_hash}"
        )
    else:
        click.echo("the audit log is empty")
    if records is not None:
        _tell(records)


def _tell(records: "Compared") -> None:
    """Say whether the records of incidents are those of the log; where they are not, end."""
    older = f"; {records.left_out} are older than its first entry" if records.left_out else ""
    if not records.agree:
        click.echo(
            f"{records.differing} of {records.records} records of incidents differ from the audit "
            f"log{older}",
            err=True,
        )
        sys.exit(EXIT_FAILED)
    if records.records or older:
        click.echo(f"{records.records} records of incidents agree with it{older}")


def _held(store: "Store") -> "Compared":
    from drift_exporter.reporting import held

    return held(store)


def _check_enough(found: "Findings") -> None:
    """End where exports are not changed but do not suffice."""
    if not found.entries:
        click.echo("nothing to verify: no entry is in what was given", err=True)
        sys.exit(EXIT_FAILED)
    if _only_later(found):
        click.echo(
            f"begins after entry {found.first - 1}: give the exports before it too, the oldest "
            f"first ({found.entries} entries, which continue each other)",
            err=True,
        )
        sys.exit(EXIT_FAILED)


def _only_later(found: "Findings") -> bool:
    """Whether all that is wrong is that what came before the first entry is not there."""
    faults = [(fault.id, fault.text.partition(",")[0]) for fault in found.faults]
    return found.first > 1 and faults == [(found.first, "the log begins here")]


class _Watched:
    """Entries that pass by, and whether one has a hash."""

    def __init__(self, entries: Iterable["Entry"], known: str | None) -> None:
        self._entries = entries
        self._known = known
        self.seen = False
        self.last_hash = ""
        self.last_id = 0

    def __iter__(self) -> Iterator["Entry"]:
        for entry in self._entries:
            self.seen = self.seen or entry.hash == self._known
            self.last_hash, self.last_id = entry.hash, entry.id
            yield entry


def _verified(entries: _Watched) -> "Findings":
    from drift_exporter.audit import Head, verify

    kept = list(entries)
    # An export has no head of its own: its end is what it is.
    return verify(kept, Head(entries.last_id, entries.last_hash) if kept else None)


def _read(files: Iterable[Path]) -> Iterator["Entry"]:
    from drift_exporter.audit import Entry, from_line

    last = 0
    for path in files:
        try:
            # Whatever bytes somebody wrote must be read, to be told of.
            with path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
                for raw in file:
                    line = raw.removesuffix("\n")
                    try:
                        entry = from_line(line)
                        # The same thing written otherwise is a change as well.
                        same = entry.line == line
                    except StoreError:
                        entry, same = Entry(last + 1, line, ""), True
                    yield entry if same else Entry(entry.id, line, entry.hash)
                    last = entry.id
        except OSError as error:
            raise StoreError(f"{path}: cannot be read ({error.strerror})") from error


def _asked(url: str, token_file: Path | None, since: int) -> Iterator[str]:
    exporter = exporter_of(url, token_file)
    while True:
        last = since
        for line in exporter.lines("/api/v1/audit", since=since or None, limit=_AT_ONCE):
            if line:
                yield line
                since = max(since, _id_of(line))
        if since == last:
            return


def _id_of(line: str) -> int:
    import json

    try:
        found = json.loads(line)
        number = found["id"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            "the exporter's answer is no audit log; is this the address of drift-exporter?"
        ) from error
    return number if isinstance(number, int) else 0


def _lines(store: "Store", since: int) -> Iterator[str]:
    for entry in store.cases.audit(since, limit=None):
        try:
            yield entry.line
        except StoreError as error:
            raise StoreError(f"{error}; it is not exported") from error


def _export(lines: Iterable[str], output: Path | None) -> None:
    if output is None:
        for line in lines:
            click.echo(line)
        return
    count = 0
    # Names and notes of people are in it: for its owner alone.
    with whole_file(output, mode=0o600) as file:
        for line in lines:
            file.write(f"{line}\n".encode())
            count += 1
    click.echo(f"{output}: {count} entries")
