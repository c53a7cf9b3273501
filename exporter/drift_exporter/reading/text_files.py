"""CSV and JSON Lines: growing files read by complete lines, from where the last run ended.

Knows where lines end, rotation and truncation; what is in a line is for ``csv_lines`` and
``json_lines``. A glob must cover rotated files for as long as their rows are in a window.
"""

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator
from typing import Any

from drift_exporter.reading.csv_lines import CsvLines, header_of
from drift_exporter.reading.json_lines import JsonLines
from drift_exporter.reading.listing import File
from drift_exporter.reading.parts import FileState, Part
from drift_exporter.reading.rows import Rows, Wanted

BLOCK_BYTES = 2 * 2**20
"""Text taken apart at once."""

PART_BYTES = 64 * 2**20
"""Most bytes of a part: what has to be read again when its counts are not kept."""

TAIL_BYTES = 256
"""Bytes before the end of what was read that must be unchanged for it to be the same file."""

_QUOTED = re.compile(rb'(?:\A|(?<=[,\r\n]))"[^"]*(?:""[^"]*)*("?)')
"""A quoted field; its group is empty where the quote is not closed."""

MAX_RECORD_BYTES = 2**20
"""Above, a record of several lines is taken for a stray quote."""


class TextReader:
    """Lines of one CSV or JSON Lines file."""

    def __init__(self, file: File, wanted: Wanted, *, whole: bool = False) -> None:
        self._file = file
        self._wanted = wanted
        # What nobody appends to ends with its last line, whether or not a newline follows.
        self._final = whole or not file.grows
        self._handle: Any = None
        self._lines: CsvLines | JsonLines | None = None
        self._state = FileState()

    def parts(self, state: FileState) -> Iterator[Part]:
        """The parts that are known, then new ones, to the end of the file.

        The bounds of a new part are set while its rows are read.
        """
        self._state = state
        if self._file.gzip:
            if not state.listed:
                state.parts, state.listed = [Part(0)], True
            yield from state.parts
            return
        size, now = self._file.size, (self._file.size, self._file.mtime_ns)
        if state.seen != now and not (state.parts and self._same(state)):
            state.parts, state.header, state.body, state.timed = [], None, 0, None
        yield from list(state.parts)
        if state.seen == now or not self._headed():
            return
        while state.end < size:
            part = Part(state.end, None)
            yield part
            if part.stop is None or part.stop == part.start:
                break
            state.parts.append(part)
            state.tail = self._tail(part.stop)
        state.seen = now

    def rows(self, part: Part) -> Iterator[Rows]:
        """The rows of a part in blocks."""
        if self._file.gzip:
            for data in self._unpacked():
                yield from self._taken_apart(data)
            part.stop = self._file.size
            return
        if not self._headed():
            return
        known = part.stop
        stop = min(self._file.size, part.start + PART_BYTES) if known is None else known
        handle = self._open()
        handle.seek(part.start)
        final = known is not None or (self._final and stop == self._file.size)
        at = part.start
        for data in complete_lines(handle, stop - at, self._csv, final=final):
            yield from self._taken_apart(data)
            at += len(data)
            if known is None:
                part.stop = at

    def close(self) -> None:
        """Let go of the file."""
        if self._handle is not None:
            self._handle.close()

    @property
    def _csv(self) -> bool:
        return self._file.format == "csv"

    def _open(self) -> Any:
        if self._handle is None:
            self._handle = self._file.open()
        return self._handle

    def _same(self, state: FileState) -> bool:
        return self._file.size >= state.end and self._tail(state.end) == state.tail

    def _tail(self, end: int) -> bytes:
        handle = self._open()
        start = max(0, end - TAIL_BYTES)
        handle.seek(start)
        return hashlib.blake2b(handle.read(end - start), digest_size=16).digest()

    def _headed(self) -> bool:
        """Whether the header is there; read once."""
        if not self._csv or self._state.header is not None:
            return True
        handle = self._open()
        handle.seek(0)
        found = header_of(handle.read(MAX_RECORD_BYTES), self._final)
        if found is None:
            return False
        self._state.header, self._state.body = found
        return True

    def _taken_apart(self, data: bytes) -> Iterator[Rows]:
        if self._lines is None:
            header = self._state.header
            self._lines = (
                CsvLines(header or (), self._wanted) if self._csv else JsonLines(self._wanted)
            )
        for rows in self._lines.rows(_as_utf8(data)):
            named = self._wanted.timestamp in rows.names
            if rows.rows and (named or self._state.timed is None):
                self._state.timed = named
            yield rows

    def _unpacked(self) -> Iterator[bytes]:
        if self._csv and self._state.header is None:
            found = header_of(*read_up_to(unpacked(self._open()), MAX_RECORD_BYTES))
            if found is None:
                return
            self._state.header, self._state.body = found
        stream = unpacked(self._open())
        read_up_to(stream, self._state.body)
        yield from complete_lines(stream, None, self._csv, final=True)


def unpacked(handle: Any) -> Any:
    """What a gzip holds, from its start."""
    handle.seek(0)
    if not b"\x1f\x8b".startswith(handle.read(2)):
        raise gzip.BadGzipFile("no gzip")
    handle.seek(0)
    return gzip.GzipFile(fileobj=handle)


def complete_lines(stream: Any, size: int | None, csv: bool, *, final: bool) -> Iterator[bytes]:
    """Blocks of complete lines of a stream.

    Parameters
    ----------
    stream
        Open where a line starts.
    size
        Bytes to read at most.
    csv
        Whether a quoted newline does not end a line.
    final
        Whether what stands behind the last newline is a line too, unless the stream broke off.
    """
    carried = b""
    left = size
    whole = True
    while left is None or left > 0:
        data, whole = read_up_to(stream, BLOCK_BYTES if left is None else min(BLOCK_BYTES, left))
        if not data:
            break
        if left is not None:
            left -= len(data)
        carried += data
        cut = end_of_lines(carried, csv)
        if cut:
            yield carried[:cut]
            carried = carried[cut:]
        if not whole:
            break
    if final and whole and carried:
        yield carried


def read_up_to(stream: Any, size: int) -> tuple[bytes, bool]:
    """Up to so many bytes, and whether the stream was sound: a gzip may be cut off."""
    # One piece at a time: what stands before the damage would be lost with the rest.
    read = stream.read1 if isinstance(stream, gzip.GzipFile) else stream.read
    pieces: list[bytes] = []
    while size > 0:
        try:
            piece = read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return b"".join(pieces), False
        if not piece:
            break
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces), True


def end_of_lines(data: bytes, csv: bool) -> int:
    """Where the last complete line ends, 0 where there is none."""
    last = data.rfind(b"\n") + 1
    if not csv or data.count(b'"', 0, last) % 2 == 0:
        return last
    quoted = list(_QUOTED.finditer(data, 0, last))
    if not quoted or quoted[-1][1]:
        return last
    # A quote that is never closed would hold up all that follows.
    start = quoted[-1].start()
    return data.rfind(b"\n", 0, start) + 1 if last - start <= MAX_RECORD_BYTES else last


def _as_utf8(data: bytes) -> bytes:
    """The text with what is not UTF-8 replaced, so that one bad byte costs no other row."""
    if data.isascii():
        return data
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode(errors="replace").encode()
    return data
