"""A file is written whole or not at all, whatever ends the writing."""

import multiprocessing
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from drift_exporter.errors import ProfileError
from drift_exporter.exchange.links import LinkError, link_key
from drift_exporter.profiles.promotion_notes import Note, promote
from drift_exporter.whole_file import WriteError, whole_file
from past_counts import profile


def without_room(work: Callable[[Path], None], folder: Path) -> None:
    """Do it in a process that may write no byte to any file, as on a disk that is full."""
    process = multiprocessing.get_context("spawn").Process(target=_limited, args=(work, folder))
    process.start()
    process.join(60)
    assert process.exitcode == 0


def _limited(work: Callable[[Path], None], folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    work(folder)


def test_it_is_there_when_all_is_written(tmp_path: Path) -> None:
    """Before that a reader has what was before; the file has its mode."""
    path = tmp_path / "a.json"
    path.write_text("old")

    with whole_file(path, mode=0o640) as file:
        file.write(b"new")
        assert path.read_text() == "old"

    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def half_written(path: Path, ending: BaseException) -> None:
    """Begin to write, and end."""
    with whole_file(path) as file:
        file.write(b"half")
        raise ending


@pytest.mark.parametrize("ending", [ValueError, KeyboardInterrupt, OSError])
def test_what_ends_the_writing_leaves_what_was(tmp_path: Path, ending: type[BaseException]) -> None:
    """Nothing stays beside it either."""
    path = tmp_path / "a.json"
    path.write_text("old")

    with pytest.raises(ending):
        half_written(path, ending())

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_where_it_cannot_be_written_is_told(tmp_path: Path) -> None:
    """The place is named, not the passing file; another file's error keeps its own name."""
    with pytest.raises(WriteError, match=r"gone/a\.json'"):
        half_written(tmp_path / "gone" / "a.json", ValueError())
    with pytest.raises(FileNotFoundError, match="'other'"):
        half_written(tmp_path / "a.json", FileNotFoundError(2, "none", "other"))
    assert list(tmp_path.iterdir()) == []


def test_what_a_link_leads_to_is_written(tmp_path: Path) -> None:
    """The link stays, and leads to the new text."""
    (tmp_path / "there").mkdir()
    link = tmp_path / "link.json"
    link.symlink_to("there/a.json")

    for text in (b"old", b"new"):
        with whole_file(link) as file:
            file.write(text)

    assert link.is_symlink()
    assert (tmp_path / "there" / "a.json").read_bytes() == b"new"


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    """As a device does: no file takes its place."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with whole_file(pipe) as file:
            file.write(b"text")
        assert os.read(reader, 10) == b"text"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """It is told, and stays."""
    with pytest.raises(WriteError, match="directory"):
        half_written(tmp_path, ValueError())
    assert tmp_path.is_dir()


def _write(folder: Path) -> None:
    with pytest.raises(WriteError, match=r"large.*a\.json"), whole_file(folder / "a.json") as file:
        file.write(b"new")


def _link(folder: Path) -> None:
    with pytest.raises(LinkError, match="cannot be used"):
        link_key(folder)


def _promote(folder: Path) -> None:
    with pytest.raises(ProfileError, match="cannot be written"):
        promote(folder / "a.json", profile(), Note("hash", "2", "why", "ann", 1.0))


@pytest.mark.parametrize("work", [_write, _link, _promote])
def test_a_full_disk_leaves_what_was(tmp_path: Path, work: Callable[[Path], None]) -> None:
    """It is told by name, and neither half a file nor a passing one is left."""
    path = tmp_path / "a.json"
    path.write_text("{}")

    without_room(work, tmp_path)

    assert path.read_text() == "{}"
    assert list(tmp_path.iterdir()) == [path]
