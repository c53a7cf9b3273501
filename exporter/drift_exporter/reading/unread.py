"""Files that could not be read: told of once, an error where none could.

Knows what went wrong; never tells a word of what stands in a file.
"""

import logging

import pyarrow as pa

from drift_exporter.errors import SourceError
from drift_exporter.reading.listing import File

log = logging.getLogger(__name__)


class Unread:
    """Files that could not be read; a problem of some, a failure if of all."""

    def __init__(self, name: str, files: int, complained: set[tuple[object, ...]]) -> None:
        self._name = name
        self._files = files
        self._complained = complained
        self._found: list[tuple[File, BaseException]] = []

    def note(self, file: File, error: BaseException) -> None:
        """Remember a file, and tell of it once."""
        self._found.append((file, error))
        if file.content not in self._complained and not isinstance(error, FileNotFoundError):
            self._complained.add(file.content)
            log.warning(
                "%s: %s cannot be read (%s); it is left out", self._name, file.name, _why(error)
            )

    def raise_if_all(self) -> None:
        """Raise ``SourceError`` where no file could be read."""
        if self._found and len(self._found) == self._files:
            file, error = self._found[-1]
            raise SourceError(
                f"{self._name}: none of {self._files} files can be read; {file.name}: {_why(error)}"
            ) from error


def _why(error: BaseException) -> str:
    """What went wrong, without a word of what stands in the file."""
    if isinstance(error, PermissionError):
        return "permission denied; let this user read it"
    if isinstance(error, FileNotFoundError):
        return "it is gone"
    if isinstance(error, pa.ArrowException):
        return "it is damaged, not complete yet, or of another format"
    return type(error).__name__
