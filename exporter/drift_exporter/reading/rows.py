"""Rows as the readers of files hand them on: Arrow columns, decoded when asked for.

Knows nothing of formats, bins or time.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from drift_exporter.errors import RunStoppedError
from drift_exporter.reading.source import Stop

Array = Any
"""A ``pyarrow.Array``; pyarrow has no types of its own."""


class Wanted(NamedTuple):
    """Columns that are wanted, by what is done with them; a column may be in several."""

    timestamp: str | None = None
    numeric: frozenset[str] = frozenset()
    """Columns that are read as numbers."""

    text: frozenset[str] = frozenset()
    """Columns that are read as categories or segments."""

    @property
    def names(self) -> frozenset[str]:
        """All columns that are wanted."""
        return self.numeric | self.text | ({self.timestamp} if self.timestamp else set())


class Batch(NamedTuple):
    """Some columns of some consecutive rows."""

    first: int
    """Number of the first row among the rows that the batch belongs to."""

    columns: Mapping[str, Array]
    """The columns asked for that are there."""

    absent: Mapping[str, NDArray[np.bool_]] = {}
    """Rows that came without the column, of columns that only some rows have."""


class Rows(Protocol):
    """Rows whose columns are decoded when they are asked for."""

    @property
    def rows(self) -> int:
        """Rows that could be taken apart."""
        ...

    @property
    def unparsed(self) -> int:
        """Rows refused because they could not be taken apart; not among ``rows``."""
        ...

    @property
    def loose(self) -> bool:
        """Whether numbers and booleans may be spelled in text, as in CSV, which has no types."""
        ...

    @property
    def names(self) -> Collection[str]:
        """Columns that are there."""
        ...

    def batches(self, names: Sequence[str]) -> Iterator[Batch]:
        """The columns named that are there, in batches that a small memory holds.

        One batch may hold only some of the columns; all of them come for all rows.
        """
        ...


@dataclass(frozen=True)
class RowsInMemory:
    """Rows whose wanted columns were decoded at once."""

    rows: int
    columns: Mapping[str, Array]
    absent: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    unparsed: int = 0
    loose: bool = False

    @property
    def names(self) -> Collection[str]:
        """Columns that are there."""
        return self.columns.keys()

    def batches(self, names: Sequence[str]) -> Iterator[Batch]:
        """All rows at once."""
        wanted = {name: self.columns[name] for name in names if name in self.columns}
        yield Batch(0, wanted, self.absent)


def check(stop: Stop) -> None:
    """Raise ``RunStoppedError`` where ``stop`` says so."""
    if stop():
        raise RunStoppedError("reading was told to stop; the slices of this run are not stored")
