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

    Raises
    ------
    WriteError
        If it cannot be written; names the place, where what was before stays.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise _of(path, error) from error
    passing = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        passing.chmod(mode)
        passing.replace(path)
    except BaseException as error:
        # Whatever ends the writing, no half-written file may stay behind.
        passing.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, name):
            raise _of(path, error) from error
        raise


def _of(path: Path, error: OSError) -> WriteError:
    return WriteError(error.errno, error.strerror or str(error), str(path))
