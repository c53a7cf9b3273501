"""A block of lines of which some cannot be read: halved until only those are left out.

Knows lines, nothing of what is in them.
"""

from collections.abc import Callable, Iterator

import pyarrow as pa

from drift_exporter.reading.rows import Rows

FEW_LINES = 64
"""Lines that are no longer halved but read one by one."""


def halved(
    data: bytes,
    read: Callable[[bytes], Rows],
    read_few: Callable[[list[bytes]], Rows],
    few: int = 1,
) -> Iterator[Rows]:
    """The rows of a block, read as a whole, or by halves where that fails.

    Parameters
    ----------
    data
        Lines with their newlines.
    read
        Reads a block, raises ``pyarrow.ArrowInvalid`` where it cannot.
    read_few
        Reads up to ``few`` lines that ``read`` could not; never fails.
    few
        Lines that are not halved.
    """
    rows = _tried(read, data)
    if rows is not None:
        yield rows
        return
    lines = [line for line in data.splitlines(keepends=True) if line.strip()]
    if len(lines) <= few:
        yield read_few(lines)
        return
    middle = len(lines) // 2
    for half in (lines[:middle], lines[middle:]):
        yield from halved(b"".join(half), read, read_few, few)


def _tried(read: Callable[[bytes], Rows], data: bytes) -> Rows | None:
    try:
        return read(data)
    except pa.ArrowInvalid:
        return None
