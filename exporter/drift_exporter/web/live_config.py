"""The web config that holds now: read again when a file changes, kept when the new one is bad.

Knows files and when they changed; never who asks. Used from the server's thread alone.
"""

import logging
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from drift_exporter.errors import WebConfigError
from drift_exporter.web.tls import tls_context
from drift_exporter.web.web_config import LoadYaml, WebConfig, load_web_config

logger = logging.getLogger(__name__)

_Mark = tuple[int, int, int] | None


class LiveWebConfig:
    """The newest good web config of a file.

    Raises
    ------
    WebConfigError
        If the file is not good at the start; later a bad file is logged and not taken over.
    """

    def __init__(self, path: Path, load_yaml: LoadYaml) -> None:
        self._path = path
        self._load_yaml = load_yaml
        self._marks: dict[Path, _Mark] = {}
        self._config, self._context = self._load()

    def config(self) -> WebConfig:
        """Users and headers, after a look at the file."""
        self._refresh((self._path,))
        return self._config

    def context(self) -> ssl.SSLContext | None:
        """The TLS context, after a look at the file and its certificates; None: plain HTTP."""
        self._refresh((self._path, *_files(self._config), *self._marks))
        return self._context

    def _refresh(self, paths: Iterable[Path]) -> None:
        if all(_mark(path) == self._marks.get(path) for path in paths):
            return
        marks = self._marks
        try:
            config, context = self._load()
            if (context is None) != (self._context is None):
                raise WebConfigError(f"{self._path}: TLS is switched on and off only by a restart")
        except WebConfigError as error:
            # The marks of the bad files stay, so that each of them is logged once.
            self._marks = {**marks, **self._marks}
            logger.error("web config not taken over, the one before stays: %s", error)
            return
        self._config, self._context = config, context
        logger.info("web config read again: %s", self._path)

    def _load(self) -> tuple[WebConfig, ssl.SSLContext | None]:
        # Marks are taken before the reading: a change in between is seen the next time.
        self._marks = {self._path: _mark(self._path)}
        config = load_web_config(self._path, self._load_yaml)
        self._marks |= {path: _mark(path) for path in _files(config)}
        if config.http_server_config.http2:
            logger.warning("%s: http2 is not supported, HTTP/1.1 is spoken", self._path)
        tls = config.tls_server_config
        return config, tls_context(tls) if tls else None


class NewestContext(ssl.SSLContext):
    """Stands for whichever context is the newest when a connection comes in.

    The event loop asks its one context for each connection, so a rotated certificate, client
    authority or version holds from the next connection on, without a restart.
    """

    live: LiveWebConfig

    @classmethod
    def of(cls, live: LiveWebConfig) -> "NewestContext":
        """The context that follows a web config."""
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        context.live = live
        return context

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """Open a connection with the newest context."""
        newest = self.live.context()
        if newest is None:
            raise WebConfigError("the web config has no TLS")
        return newest.wrap_bio(*args, **kwargs)


def _files(config: WebConfig) -> tuple[Path, ...]:
    tls = config.tls_server_config
    names = (tls.cert_file, tls.key_file, tls.client_ca_file) if tls else ()
    return tuple(Path(name) for name in names if name)


def _mark(path: Path) -> _Mark:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size)
