"""Whether a request names a user and the password.

Knows bcrypt and what it said before; never keeps a password, never knows a route.
"""

import asyncio
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import bcrypt

from drift_exporter.web.credentials import basic_of

_REMEMBERED = 256


class Passwords:
    """Checks basic authentication; a password that was right is remembered by a keyed hash."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        # One at a time, as in the toolkit: guessing never takes more than one core, and who is
        # remembered does not wait behind it.
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bcrypt")

    async def right(self, users: Mapping[str, str], authorization: str) -> bool:
        """Whether an Authorization header names a user of ``users`` with the right password.

        Only right answers are remembered: wrong ones cannot push them out. A user that does
        not exist costs as much as one that does.
        """
        basic = basic_of(authorization)
        if basic is None:
            return False
        user, password = basic
        stored = users.get(user)
        hashed = _nobody(users) if stored is None else stored
        # The hash is part of the key, so a changed password is forgotten by itself. Neither
        # user nor hash can hold the colon.
        mark = hmac.digest(self._key, f"{user}:{hashed}:".encode() + password, "sha256")
        if mark in self._right:
            self._right.move_to_end(mark)
            return True
        loop = asyncio.get_running_loop()
        matches = await loop.run_in_executor(self._worker, _matches, password, hashed)
        if not matches or stored is None:
            return False
        self._right[mark] = None
        if len(self._right) > _REMEMBERED:
            self._right.popitem(last=False)
        return True

    def close(self) -> None:
        """End the thread that checks."""
        self._worker.shutdown(wait=False, cancel_futures=True)


def _matches(password: bytes, hashed: str) -> bool:
    # bcrypt reads 72 bytes; this library refuses more, the toolkit's takes what it can.
    return bcrypt.checkpw(password[:72], hashed.encode())


def _nobody(users: Mapping[str, str]) -> str:
    """A hash that no password has, as dear as the dearest of the users'."""
    cost = max(hashed[4:6] for hashed in users.values())
    return f"$2b${cost}${'.' * 53}"
