"""Which files a URL names: paths, globs and folders, local or in an object store.

Knows endings and what identifies a file's content; knows nothing of what is in a file.
"""

import glob
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from drift_exporter.config import Source, masked_url
from drift_exporter.errors import SourceError

Format = Literal["parquet", "csv", "jsonl", "arrow"]

ENDINGS: dict[str, Format] = {
    ".parquet": "parquet",
    ".parq": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
"""Endings that tell the format; what rotation adds behind them (``.1``, a date) is passed over."""

_GLOB = re.compile(r"[*?\[]")
_GLOB_IN_STORE = re.compile(r"[*\[]")


@dataclass(frozen=True)
class File:
    """A file as it was when it was listed."""

    path: str
    format: Format
    gzip: bool
    size: int
    mtime_ns: int
    inode: tuple[int, int] | None = None
    """Device and inode of a local file, which stay when it is renamed."""

    store: Any = None
    """The file system of an object store; nothing for a local file."""

    @property
    def name(self) -> str:
        """Name without its folder, for messages."""
        return PurePosixPath(self.path).name

    @property
    def content(self) -> tuple[object, ...]:
        """What changes when the content does."""
        return (self.path, self.size, self.mtime_ns, self.inode)

    @property
    def identity(self) -> tuple[object, ...]:
        """What stays while lines are appended, and when the file is renamed."""
        return ("inode", self.inode) if self.grows else self.content

    @property
    def grows(self) -> bool:
        """Whether lines are appended to it."""
        return self.format in ("csv", "jsonl") and not self.gzip and self.store is None

    def open(self) -> Any:
        """The file, open for reading at any place."""
        if self.store is not None:
            return self.store.open_input_file(self.path)
        # Not mapped into memory: a file that is cut off while it is read would end the process.
        return pa.OSFile(self.path)


def list_files(where: Source) -> list[File]:
    """The files that a URL names, by path.

    Raises
    ------
    SourceError
        If there is none, the store refuses, or no format can be told.
    """
    scheme = urlsplit(where.url).scheme
    # A scheme of one letter is a drive.
    local = len(scheme) < 2 or scheme == "file"
    found = _local(where.url) if local else _in_store(where.url)
    if not found:
        raise SourceError(
            f"no file matches {masked_url(where.url)}; check the path, and that it is mounted"
        )
    files = [file for entry in found if (file := _file(entry, where.format)) is not None]
    if not files:
        raise SourceError(
            f"{masked_url(where.url)}: cannot tell the format of {_name(found[0].path)}; "
            f"set format to one of {', '.join(get_args(Format))}"
        )
    return sorted(files, key=lambda file: file.path)


@dataclass(frozen=True)
class _Entry:
    path: str
    size: int
    mtime_ns: int
    inode: tuple[int, int] | None = None
    store: Any = None


def _file(entry: _Entry, given: Format | None) -> File | None:
    suffixes = [suffix.lower() for suffix in PurePosixPath(entry.path).suffixes]
    told = next((ENDINGS[suffix] for suffix in reversed(suffixes) if suffix in ENDINGS), None)
    form = given or told
    if form is None:
        return None
    text = form in ("csv", "jsonl")
    return File(
        path=entry.path,
        format=form,
        gzip=text and ".gz" in suffixes,
        size=entry.size,
        mtime_ns=entry.mtime_ns,
        inode=entry.inode,
        store=entry.store,
    )


def _local(url: str) -> list[_Entry]:
    path = unquote(url.removeprefix("file://")) if url.startswith("file://") else url
    folder = Path(path)
    if folder.is_dir():
        paths = glob.glob("**", root_dir=path, recursive=True)  # noqa: PTH207
        paths = [str(folder / name) for name in paths]
    elif _GLOB.search(path) and not folder.exists():
        paths = glob.glob(path, recursive=True)  # noqa: PTH207
    else:
        paths = [path]
    found: dict[tuple[int, int], _Entry] = {}
    for name in sorted(paths):
        try:
            status = os.stat(name)  # noqa: PTH116
        except OSError:
            # Gone since it was listed, or a link to nowhere.
            continue
        if stat.S_ISREG(status.st_mode):
            inode = (status.st_dev, status.st_ino)
            # A link beside its target must not count rows twice.
            found.setdefault(inode, _Entry(name, status.st_size, status.st_mtime_ns, inode))
    return list(found.values())


def _in_store(url: str) -> list[_Entry]:
    masked = masked_url(url)
    base, pattern = _split(url)
    try:
        store, path = fs.FileSystem.from_uri(base)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        # The error's text holds the URL, with its secrets.
        raise SourceError(
            f"{masked}: no object store of this kind is built in ({type(error).__name__}); "
            "use a path, s3:// or gs://"
        ) from None
    try:
        info = store.get_file_info(path) if not pattern else None
        if info is not None and info.type == fs.FileType.File:
            infos = [info]
        else:
            selector = fs.FileSelector(path, allow_not_found=True, recursive=True)
            infos = store.get_file_info(selector)
    except OSError as error:
        raise SourceError(
            f"{masked}: cannot be listed ({type(error).__name__}); "
            "check the address, the credentials and the network"
        ) from error
    prefix = path.rstrip("/") + "/"
    matches = re.compile(_regex(pattern)) if pattern else None
    return [
        _Entry(entry.path, entry.size, entry.mtime_ns or 0, store=store)
        for entry in infos
        if entry.type == fs.FileType.File
        and (matches is None or matches.fullmatch(entry.path.removeprefix(prefix)))
    ]


def _split(url: str) -> tuple[str, str]:
    """The URL of the folder above the first part with a wildcard, and the rest."""
    address, mark, query = url.partition("?")
    wild = _GLOB_IN_STORE.search(address)
    if wild is None:
        return url, ""
    cut = address.rindex("/", 0, wild.start())
    return address[:cut] + mark + query, address[cut + 1 :]


def _regex(pattern: str) -> str:
    """A glob as a regular expression; ``**`` also stands for folders."""
    parts = {"**/": r"(?:[^/]+/)*", "**": r".*", "*": r"[^/]*"}
    return re.sub(
        r"\*\*/|\*\*|\*|\[!?[^\]]+\]|.",
        lambda found: parts.get(found[0]) or _one(found[0]),
        pattern,
    )


def _one(text: str) -> str:
    if len(text) == 1:
        return re.escape(text)
    return text.replace("[!", "[^", 1)


def _name(path: str) -> str:
    return PurePosixPath(path).name
