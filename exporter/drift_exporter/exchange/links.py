"""Signed links by which a person answers an action without a token of their own.

Knows signatures and expiry; never an action or a page. That a link counts once is ensured
by the approval that it leaves behind: nobody answers twice.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from drift_exporter.errors import DriftExporterError

KEY_BYTES = 32
KEY_FILE = "links.key"
_LONGEST = 2048
_NOT_OURS = "the link is not one of ours or was cut off; ask for a new one"


class LinkError(DriftExporterError):
    """A signed link, or the key of the links, cannot be used."""

    reason = "web"


@dataclass(frozen=True)
class Grant:
    """What a link lets its holder do."""

    action_id: int
    decision: str
    who: str
    """Person that the link was made for."""

    group: str
    """Group that the answer counts for, empty for none."""

    expires: float


def link_key(data_dir: Path) -> bytes:
    """The key of the links in a folder; made at first use, for its owner alone.

    Raises
    ------
    LinkError
        If it cannot be made or read, is too short, or others may read it.
    """
    path = data_dir / KEY_FILE
    made = path.with_name(f".{KEY_FILE}.{secrets.token_hex(8)}")
    try:
        if not path.exists():
            data_dir.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(secrets.token_bytes(KEY_BYTES))
                    file.flush()
                    os.fsync(file.fileno())
                # A link fails where the name is there: of two processes, both use the first's.
                os.link(made, path)
            except FileExistsError:
                pass
            finally:
                made.unlink()
        mode = path.stat().st_mode & 0o077
        key = path.read_bytes()
    except OSError as error:
        raise LinkError(
            f"{path}: the key of approval links cannot be used: {error.strerror}; "
            "let this user write to the folder"
        ) from error
    if mode:
        raise LinkError(f"{path}: others may read the key of approval links; chmod 600 it")
    if len(key) < KEY_BYTES:
        raise LinkError(f"{path}: has {len(key)} bytes, expected {KEY_BYTES}; delete it")
    return key


def sign(key: bytes, grant: Grant) -> str:
    """The text for a link that lets its holder use the grant: letters, digits, ``-_.``."""
    content = _encoded(
        json.dumps(
            [grant.action_id, grant.decision, grant.who, grant.group, grant.expires],
            separators=(",", ":"),
        ).encode()
    )
    return f"{content}.{_encoded(_signature(key, content))}"


def verify(key: bytes, text: str, now: float) -> Grant:
    """The grant of a link.

    Raises
    ------
    LinkError
        If the link was not made with this key, was changed, or has expired.
    """
    if len(text) > _LONGEST or not text.isascii():
        raise LinkError(_NOT_OURS)
    content, _, signature = text.partition(".")
    # Compared as text: base64 has several texts for the same bytes, and only ours is taken.
    expected = _encoded(_signature(key, content))
    if not hmac.compare_digest(signature, expected):
        raise LinkError(_NOT_OURS)
    try:
        action_id, decision, who, group, expires = json.loads(_decoded(content))
        grant = Grant(int(action_id), str(decision), str(who), str(group), float(expires))
    except (ValueError, TypeError, binascii.Error) as error:
        raise LinkError("the link is of another version; ask for a new one") from error
    if now >= grant.expires:
        raise LinkError("the link has expired; ask for the action again")
    return grant


def _signature(key: bytes, content: str) -> bytes:
    # The purpose is signed along: the key may sign other things one day.
    return hmac.new(key, b"approval-link\0" + content.encode(), hashlib.sha256).digest()


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
