"""A copy of a store to look at while the exporter goes on with its own.

Knows SQLite's online backup; writes nothing to the store that it copies.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from sqlalchemy.engine import make_url

from drift_exporter.errors import StoreError


def readable_copy(url: str, folder: Path) -> str:
    """URL of a store with the same content: of SQLite a copy in ``folder``, else the store's own.

    Raises
    ------
    StoreError
        If there is no store yet, or it cannot be read.
    """
    place = make_url(url)
    if place.get_backend_name() != "sqlite" or not place.database:
        return url
    path = Path(place.database)
    if not path.exists():
        raise StoreError(
            f"{path}: there is no store; give the config of the exporter, and before the command "
            "its --storage.path"
        )
    copy = folder / "copy.db"
    try:
        with (
            closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: cannot be copied ({error})") from error
    return f"sqlite:///{copy.absolute()}"
