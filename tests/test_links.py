"""Signed links and tokens: what was made by us and is in time is taken, all else is not."""

import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_exporter.config.access import Access
from drift_exporter.errors import ConfigError
from drift_exporter.exchange.links import KEY_FILE, Grant, LinkError, link_key, sign, verify
from drift_exporter.exchange.tokens import holders, identify

KEY = bytes(range(32))
GRANT = Grant(7, "approve", "ann", "science", 1000.0)


@given(
    st.builds(
        Grant,
        st.integers(0, 2**53),
        st.sampled_from(["approve", "reject"]),
        st.text(max_size=50),
        st.text(max_size=50),
        st.floats(1, 1e10),
    )
)
def test_a_link_gives_back_what_was_signed(grant: Grant) -> None:
    """Every grant comes through, in characters that a URL takes as they are."""
    text = sign(KEY, grant)

    assert verify(KEY, text, 0.0) == grant
    assert all(c.isascii() and (c.isalnum() or c in "-_.") for c in text)


@given(st.data())
def test_any_change_of_a_link_is_found(data: st.DataObject) -> None:
    """Not one character can be changed, removed or added."""
    text = sign(KEY, GRANT)
    at = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(at, len(text)))
    changed = text[:at] + data.draw(st.text("abcXYZ019-_.=é \n", max_size=3)) + text[end:]

    if changed == text:
        assert verify(KEY, changed, 0.0) == GRANT
    else:
        with pytest.raises(LinkError, match="not one of ours"):
            verify(KEY, changed, 0.0)


@pytest.mark.parametrize("text", ["", ".", "..", "é.é", "a" * 5000, "\ud800.a"])
def test_rubbish_is_no_link(text: str) -> None:
    """Any text gives the same answer."""
    with pytest.raises(LinkError, match="not one of ours"):
        verify(KEY, text, 0.0)


def test_another_key_signs_nothing_for_us() -> None:
    """Links of another exporter, or from before the key was changed, are refused."""
    with pytest.raises(LinkError, match="not one of ours"):
        verify(KEY, sign(bytes(32), GRANT), 0.0)


@pytest.mark.parametrize(("now", "good"), [(999.9, True), (1000.0, False), (2000.0, False)])
def test_a_link_ends_with_its_time(now: float, good: bool) -> None:
    """At its end it is over."""
    text = sign(KEY, GRANT)

    if good:
        assert verify(KEY, text, now) == GRANT
    else:
        with pytest.raises(LinkError, match="has expired"):
            verify(KEY, text, now)


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    """The second use reads the key of the first; nobody else may read it."""
    key = link_key(tmp_path / "data")

    assert len(key) == 32
    assert link_key(tmp_path / "data") == key != link_key(tmp_path / "other")
    assert stat.S_IMODE((tmp_path / "data" / KEY_FILE).stat().st_mode) == 0o600
    assert [file.name for file in (tmp_path / "data").iterdir()] == [KEY_FILE]


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        pytest.param(bytes(32), 0o644, "chmod 600", id="others may read it"),
        pytest.param(b"short", 0o600, "has 5 bytes", id="cut off"),
    ],
)
def test_a_bad_key_is_refused(content: bytes, mode: int, message: str, tmp_path: Path) -> None:
    """A key that somebody may know or guess signs nothing."""
    file = tmp_path / KEY_FILE
    file.write_bytes(content)
    file.chmod(mode)

    with pytest.raises(LinkError, match=message):
        link_key(tmp_path)


TOKENS = {"ANN": "a" * 20, "BOB": "b" * 20}
ACCESS: dict[str, Any] = {
    "tokens": [
        {"name": "ann", "role": "approver", "groups": ["science"], "token_env": "ANN"},
        {"name": "bob", "token_env": "BOB"},
    ]
}


def test_a_token_tells_who_presents_it() -> None:
    """The right token names its holder, any other nobody; no token is kept."""
    known = holders(Access.model_validate(ACCESS), TOKENS)

    ann, bob = identify(known, "a" * 20), identify(known, "b" * 20)
    assert ann is not None
    assert (ann.name, ann.role, ann.groups) == ("ann", "approver", ("science",))
    assert bob is not None
    assert bob.role == "viewer"
    for wrong in ("", "a" * 19, "a" * 21, "A" * 20, "\ud800"):
        assert identify(known, wrong) is None
    assert identify((), "a" * 20) is None
    assert "a" * 20 not in repr(known)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        pytest.param({"ANN": "a" * 20}, "bob: the environment variable BOB", id="not set"),
        pytest.param({**TOKENS, "BOB": "short"}, "5 characters", id="short"),
        pytest.param({**TOKENS, "BOB": "a" * 20}, "the same token", id="shared"),
        pytest.param({**TOKENS, "BOB": "b" * 20 + "\nb"}, "one line", id="two lines"),
    ],
)
def test_a_bad_token_is_refused_at_start(environ: dict[str, str], message: str) -> None:
    """The message names the holder and not the token."""
    with pytest.raises(ConfigError, match=message) as caught:
        holders(Access.model_validate(ACCESS), environ)

    assert "a" * 20 not in str(caught.value)
