"""Profiles on disk: read whole, written whole or not at all.

Knows files; never what a profile means.
"""

from pathlib import Path

from drift_exporter.errors import ProfileError
from drift_exporter.profile import Profile, from_json, to_json
from drift_exporter.whole_file import whole_file

MAX_BYTES = 512 * 1024 * 1024


def read_profile(path: Path) -> Profile | None:
    """The profile of a file; None where there is no file.

    Raises
    ------
    ProfileError
        If the file cannot be read or is no sound profile.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ProfileError(f"{path}: larger than {MAX_BYTES} bytes, not a profile")
        return from_json(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise ProfileError(
            f"{path}: not a profile (not UTF-8); rebuild it with 'drift-exporter profile build'"
        ) from error
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read ({error.strerror})") from error


def write_profile(path: Path, profile: Profile) -> None:
    """Write the profile beside its place and move it there, so that no reader sees half of it.

    Raises
    ------
    ProfileError
        If the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            file.write(to_json(profile).encode())
    except OSError as error:
        raise ProfileError(f"{path}: cannot be written ({error.strerror})") from error
