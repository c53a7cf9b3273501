"""What several tests share."""

from collections.abc import Iterator

import pytest

from postgres import Server, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server, one per worker of the tests."""
    with postgres_server() as server:
        yield server
