"""Files that are written whole or not at all: no reader, and no full disk, leaves half of one.

Knows files; never what is in them.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class WriteError(OSError):
    """A file cannot be written; has the place and the reason."""


@contextmanager
def whole_file(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Write a file beside its place; it is moved there once all of it is on the disk.

    What a link leads to is written, the link stays; a device or a pipe is written to as it is.

    Raises
    ------
    WriteError
        If it cannot be written; names the place, where what was before stays.
    """
    place = Path(os.path.realpath(path))
    passing: Path | None = None
    try:
        if path.exists() and not path.is_file():
            # A file in the place of /dev/null would break it for the whole machine.
            with path.open("wb") as file:
                yield file
            return
        handle, passing = _beside(place)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        passing.chmod(mode)
        passing.replace(place)
    except BaseException as error:
        # Whatever ends the writing, no half-written file may stay behind.
        if passing is not None:
            passing.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(path), str(passing)):
            raise WriteError(error.errno, error.strerror or str(error), str(path)) from error
        raise


def _beside(place: Path) -> tuple[int, Path]:
    try:
        handle, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    except OSError as error:
        # It names the passing file, which nobody knows.
        raise OSError(error.errno, error.strerror) from error
    return handle, Path(name)
