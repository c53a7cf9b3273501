"""Which format and encoding a scrape gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_exporter.web.negotiation import Format, accepts_gzip, negotiate

TEXT, OPENMETRICS = Format.TEXT, Format.OPENMETRICS


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        pytest.param("", TEXT, id="no header"),
        pytest.param("*/*", TEXT, id="anything, as curl asks"),
        pytest.param("text/html,application/xhtml+xml,*/*;q=0.8", TEXT, id="a browser"),
        pytest.param(
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
            "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            OPENMETRICS,
            id="Prometheus 2",
        ),
        pytest.param(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
            "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;"
            "escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            OPENMETRICS,
            id="Prometheus 3",
        ),
        pytest.param("text/plain;version=0.0.4", TEXT, id="text by name"),
        pytest.param("application/openmetrics-text", OPENMETRICS, id="OpenMetrics, any version"),
        pytest.param("application/openmetrics-text;version=2.0.0", TEXT, id="2.0 is not ours"),
        pytest.param("application/openmetrics-text;version=3.7.1", TEXT, id="3.7.1 is not ours"),
        pytest.param("application/openmetrics-text;version=abc", TEXT, id="version is no number"),
        pytest.param(
            "application/openmetrics-text;version=2.0.0,application/openmetrics-text;"
            "version=1.0.0;q=0.2,text/plain;q=0.1",
            OPENMETRICS,
            id="the version that is ours counts",
        ),
        pytest.param(
            "application/openmetrics-text;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.9",
            TEXT,
            id="weights decide",
        ),
        pytest.param("application/openmetrics-text;q=0,*/*;q=0.1", TEXT, id="zero forbids"),
        pytest.param("text/plain;q=0,*/*", OPENMETRICS, id="forbidden text, anything else"),
        pytest.param("text/plain;q=0.5,*/*;q=0.9", OPENMETRICS, id="the specific range weighs"),
        pytest.param("application/*", OPENMETRICS, id="a half named range"),
        pytest.param("text/plain,application/openmetrics-text", TEXT, id="a tie: the first"),
        pytest.param("application/openmetrics-text,text/plain", OPENMETRICS, id="a tie, turned"),
        pytest.param("application/openmetrics-text,*/*", OPENMETRICS, id="a tie: the named one"),
        pytest.param("APPLICATION/OpenMetrics-Text; Version=1.0.0", OPENMETRICS, id="any case"),
        pytest.param('application/openmetrics-text;version="1.0.0"', OPENMETRICS, id="in quotes"),
        pytest.param(
            'text/plain;x="a,b;q=0",application/openmetrics-text;q=0.5', TEXT, id="quoted commas"
        ),
        pytest.param("application/openmetrics-text;q=nan", TEXT, id="a weight that is none"),
        pytest.param("application/openmetrics-text;q=2", TEXT, id="a weight above one"),
        pytest.param("application/openmetrics-text;q=", TEXT, id="an empty weight"),
        pytest.param("image/png", TEXT, id="nothing of ours"),
        pytest.param(",;,;;q=1,=", TEXT, id="rubbish"),
    ],
)
def test_format_by_table(accept: str, expected: Format) -> None:
    """A scrape gets the format that its header likes best, of the two that we write."""
    assert negotiate(accept) is expected


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        pytest.param("", False, id="no header"),
        pytest.param("gzip", True, id="Prometheus"),
        pytest.param("gzip, deflate, br", True, id="a browser"),
        pytest.param("x-gzip", True, id="the old name"),
        pytest.param("*", True, id="anything"),
        pytest.param("identity", False, id="plain"),
        pytest.param("gzip;q=0", False, id="forbidden"),
        pytest.param("gzip;q=0, *", False, id="forbidden by name"),
        pytest.param("gzip;q=0.5, identity", False, id="plain is liked better"),
        pytest.param("identity;q=0.5, gzip;q=1.0", True, id="gzip is liked better"),
        pytest.param("deflate", False, id="another coding"),
        pytest.param("gzip;q=x", False, id="a weight that is none"),
    ],
)
def test_encoding_by_table(accept_encoding: str, expected: bool) -> None:
    """A body is compressed only for who asks for it."""
    assert accepts_gzip(accept_encoding) is expected


@given(st.text(max_size=200))
def test_any_header_gets_an_answer(header: str) -> None:
    """No header, however odd, is an error."""
    assert negotiate(header) in Format
    assert accepts_gzip(header) in (True, False)
