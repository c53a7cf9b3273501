"""Promotion on disk: a profile is put into its place, and a note beside it tells who and why.

Knows files. The note is read by the exporter when it notices the profile, now or at its next
start: so a promotion is told whole, whether the exporter ran or not.
"""

import json
import math
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from drift_exporter.errors import ProfileError
from drift_exporter.profile import Profile
from drift_exporter.profiles.files import read_profile, write_profile
from drift_exporter.whole_file import whole_file

_LONGEST_BYTES = 64 * 1024


@dataclass(frozen=True)
class Note:
    """Who promoted which profile, and why."""

    profile: str
    """Hash of the profile that it is about."""

    version: str
    reason: str
    by: str
    at: float


def note_path(path: Path) -> Path:
    """Where the note of a profile's place is."""
    return path.with_name(f"{path.name}.promoted")


def read_note(path: Path) -> Note | None:
    """The note beside a profile; None where there is none that can be read.

    A note tells who and why, and nothing depends on it: one that is damaged is no error.
    """
    try:
        with note_path(path).open(encoding="utf-8") as file:
            found = json.loads(file.read(_LONGEST_BYTES))
        at = float(found["at"])
        if not math.isfinite(at):
            return None
        return Note(
            str(found["profile"]),
            str(found["version"]),
            str(found["reason"]),
            str(found["by"]),
            at,
        )
    except (OSError, ValueError, OverflowError, KeyError, TypeError, RecursionError):
        return None


def promote(path: Path, profile: Profile, note: Note) -> Path | None:
    """Put a profile into its place, with a note; gives back where the old one is kept now.

    Each file is written whole or not at all, the old profile first: whatever ends the command,
    a sound profile is in its place, and calling it again completes the work.

    Raises
    ------
    ProfileError
        If the folder cannot be written.
    """
    before = read_note(path)
    if before is not None and note.at <= before.at:
        # The clock was set back; the newer note is dated after the older one all the same.
        note = replace(note, at=math.nextafter(before.at, math.inf))
    kept = _keep(path, profile)
    _write(note_path(path), json.dumps(asdict(note), ensure_ascii=False, indent=2) + "\n")
    if kept is not None or not path.exists():
        write_profile(path, profile)
    return kept


def _keep(path: Path, profile: Profile) -> Path | None:
    """Copy the profile that is there beside itself, by its hash; None where it stays."""
    try:
        before = read_profile(path)
        name = before.hash if before else ""
    except ProfileError:
        # What cannot be read is kept too: somebody may want to know why.
        name = "unreadable"
    if name in ("", profile.hash):
        return None
    kept = path.with_name(f"{path.stem}.{name}{path.suffix}")
    try:
        with path.open("rb") as old, whole_file(kept) as copy:
            shutil.copyfileobj(old, copy)
    except OSError as error:
        raise ProfileError(f"{kept}: cannot be written ({error.strerror})") from error
    return kept


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise ProfileError(f"{path}: cannot be written ({error.strerror})") from error
