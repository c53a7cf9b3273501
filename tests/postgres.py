"""A real PostgreSQL server for tests: its own folder and port, stopped by its own process."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

PASSWORD = "s3cret/pa ss'%w"
"""Characters that a URL, a shell and SQL each treat in their own way."""


@dataclass(frozen=True)
class Server:
    """Where a server listens."""

    port: int
    password: str = PASSWORD

    @property
    def url(self) -> str:
        """The URL with the password in it."""
        return self.url_with(self.password)

    def url_with(self, password: str | None = None, database: str = "postgres") -> str:
        """The URL with a password, or without one."""
        secret = "" if password is None else ":" + quote(password, safe="")
        return f"postgresql://drift{secret}@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a database of its own, empty, for the time of the body."""
        name = f"store_{uuid.uuid4().hex}"
        with self.connect() as admin:
            admin.execute(f"CREATE DATABASE {name}")
            yield self.url_with(self.password, name)
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def connect(self) -> Any:
        """A connection of the owner of the database."""
        import psycopg

        return psycopg.connect(self.url, autocommit=True)


@contextmanager
def postgres_server() -> Iterator[Server]:
    """Start a server on a free port of the loopback address, and stop it."""
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    # Not pytest's folder: the server runs as somebody else, who must be let in.
    folder = Path(tempfile.mkdtemp(prefix="drift-postgres-"))
    try:
        unprivileged: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
            unprivileged = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        secret = folder / "password"
        secret.write_text(PASSWORD, encoding="utf-8")
        secret.chmod(0o644)
        data = folder / "data"
        initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "drift", "-A", "scram-sha-256"]
        subprocess.run(
            [*initdb, "--pwfile", str(secret), "-E", "UTF8", "--locale", "C.UTF-8", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=folder,
            **unprivileged,
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "shared_buffers": "32MB",
            # What sessions must not depend on.
            "timezone": "America/New_York",
            "extra_float_digits": "-5",
        }
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        control = [str(binaries / "pg_ctl"), "-D", str(data), "-w"]
        log = ["-l", str(folder / "log")]
        subprocess.run(
            [*control, "start", *log, "-o", options],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            **unprivileged,
        )
        try:
            yield Server(port)
        finally:
            subprocess.run(
                [*control, "stop", "-m", "immediate"],
                check=True,
                stdout=subprocess.DEVNULL,
                cwd=folder,
                **unprivileged,
            )
    finally:
        shutil.rmtree(folder)
