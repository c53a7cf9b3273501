"""What several tests share."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from postgres import Server, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server, one per worker of the tests."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def database(postgres: Server) -> Iterator[str]:
    """The URL of a PostgreSQL database of its own, empty."""
    with postgres.database() as url:
        yield url


# Machines of all speeds run these tests: how long an example takes says nothing.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
