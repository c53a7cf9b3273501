"""Opens the source that a URL names.

Knows which URLs are databases; imports the readers only when one is needed, so that files
cost no database library and a database no reader of files.
"""

from pathlib import Path

from drift_exporter import config
from drift_exporter.errors import SourceError
from drift_exporter.reading.canary import CANARY_SCHEME, CanarySource
from drift_exporter.reading.source import Source
from drift_exporter.reading.table_engines import place_of

CONNECT_TIMEOUT_SECONDS = 10.0
"""Longest wait for a database to let us in."""


def open_source(where: config.Source, *, sample: float = 1.0, timeout_seconds: float) -> Source:
    """The source that a config names; nothing is read yet, except ``url_file``.

    Raises
    ------
    SourceError
        If the extra that the URL needs is not installed, or a file of the config's secrets
        cannot be read.
    """
    where = _with_url(where)
    if where.url.startswith(CANARY_SCHEME):
        return CanarySource(where.url)
    if not where.is_database:
        from drift_exporter.reading.files import FileSource  # noqa: PLC0415

        return FileSource(where, sample=sample)
    extra = "duckdb" if where.url.startswith("duckdb") else "postgres"
    try:
        from drift_exporter.reading.tables import TableSource  # noqa: PLC0415
    except ImportError as error:
        raise SourceError(
            f"{place_of(where.url)}: reading tables needs Ibis; "
            f"pip install 'drift-exporter[{extra}]'"
        ) from error
    return TableSource(
        where,
        sample=sample,
        connect_timeout_seconds=min(CONNECT_TIMEOUT_SECONDS, timeout_seconds),
        statement_timeout_seconds=timeout_seconds,
    )


def _with_url(where: config.Source) -> config.Source:
    if not where.url_file:
        return where
    try:
        url = Path(where.url_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(
            f"url_file {where.url_file} cannot be read: {type(error).__name__}"
        ) from error
    if place_of(url) == "the URL":
        raise SourceError(f"url_file {where.url_file} does not hold a URL; write one on one line")
    return where.model_copy(update={"url": url, "url_file": None})
