"""A copy of the store for commands that must not keep the exporter waiting."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from drift_exporter.errors import StoreError

if TYPE_CHECKING:
    from drift_exporter.config import Config
    from drift_exporter.store import Store


@contextmanager
def copied_store(config_file: Path, reader: str) -> Iterator[tuple["Config", "Store"]]:
    """A config and a copy of the store that it names; ``reader`` says for whom it is.

    Raises
    ------
    ConfigError
        If the config cannot be used.
    StoreError
        If there is no store, or it cannot be read.
    """
    from drift_exporter.app import load_config, store_url
    from drift_exporter.store import open_store
    from drift_exporter.store.copying import readable_copy

    config = load_config(config_file, os.environ)
    with tempfile.TemporaryDirectory(prefix="drift-exporter-") as folder:
        copy = readable_copy(store_url(config), Path(folder))
        with open_store(copy, now=time.time(), shard=reader) as store:
            if store.recreated:
                # An empty store in the place of a damaged one must not pass for a whole one.
                raise StoreError(f"the store is damaged and cannot be read ({store.recreated})")
            yield config, store
