"""How a record is written: one line, read back by a parser of its own, without passwords."""

import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_exporter import logs
from drift_exporter.errors import ConfigError, SourceError

_PAIR = re.compile(r'("(?:[^"\\]|\\.)*"|[^ ="]+)=("(?:[^"\\]|\\.)*"|[^ "=]+)(?: |$)')
_ESCAPE = re.compile(r"\\(x..|u.{4}|U.{8}|.)")


def unquoted(text: str) -> str:
    """What a quoted word of logfmt says, by the rules of Go's strconv.Unquote."""
    if not text.startswith('"'):
        return text

    def letter(match: re.Match[str]) -> str:
        kind, code = match[1][0], match[1][1:]
        return chr(int(code, 16)) if code else {"n": "\n", "r": "\r", "t": "\t"}.get(kind, kind)

    return _ESCAPE.sub(letter, text[1:-1])


def parsed(line: str) -> dict[str, str]:
    """The pairs of a line of logfmt; fails where the line is anything else."""
    found, end = {}, 0
    while end < len(line):
        pair = _PAIR.match(line, end)
        assert pair is not None, line[end:]
        found[unquoted(pair[1])] = unquoted(pair[2])
        end = pair.end()
    return found


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """A stream to log to; the logging of the test process is restored afterwards."""
    loggers = [
        logging.getLogger(name) for name in (None, "drift_exporter", "urllib3", *logs._QUIET)
    ]
    before = [(logger.level, list(logger.handlers), logger.propagate) for logger in loggers]
    yield io.StringIO()
    logging.captureWarnings(False)
    for logger, (level, handlers, propagate) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate


LOGGER = logging.getLogger("drift_exporter.test_logs")


def record_of(message: str, **attributes: object) -> logging.LogRecord:
    """A record as a logger makes it."""
    record = LOGGER.makeRecord(LOGGER.name, logging.INFO, "a/b.py", 7, message, (), None)
    vars(record).update(attributes)
    return record


def test_logfmt_line(stream: io.StringIO) -> None:
    """A line has Prometheus' keys in Prometheus' order, then the fields of the call."""
    logs.setup("info", "logfmt", stream)
    LOGGER.info(
        "run finished",
        extra={"model": "a b", "rows": 12, "seconds": 0.5, "full": True, "empty": "", "none": None},
    )

    line = stream.getvalue()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(
        rf'time={stamp} level=info source=test_logs\.py:\d+ msg="run finished" '
        r'model="a b" rows=12 seconds=0\.5 full=true empty=""\n',
        line,
    )


def test_json_line(stream: io.StringIO) -> None:
    """The same record as JSON keeps numbers and truth values as such."""
    logs.setup("info", "json", stream)
    LOGGER.warning("öl\n%s", 7, extra={"rows": 12, "score": float("nan"), "full": False})

    (line,) = stream.getvalue().splitlines()
    found = json.loads(line)
    assert list(found)[:4] == ["time", "level", "source", "msg"]
    assert found["level"] == "warn"
    assert found["msg"] == "öl\n7"
    assert {key: found[key] for key in ("rows", "score", "full")} == {
        "rows": 12,
        "score": "nan",
        "full": False,
    }


def test_time_is_utc() -> None:
    """The time is that of the record in UTC with milliseconds, even on a full second."""
    found = logs.fields(record_of("x", created=1767323045.0))

    assert found["time"] == "2026-01-02T03:04:05.000Z"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        pytest.param("plain/öl-1.5%", "plain/öl-1.5%", id="nothing to quote"),
        pytest.param("", '""', id="empty"),
        pytest.param("a b", '"a b"', id="space"),
        pytest.param("a=b", '"a=b"', id="equals"),
        pytest.param('say "x"', r'"say \"x\""', id="quotes"),
        pytest.param("a\nb\tc\rd", r'"a\nb\tc\rd"', id="line ends"),
        pytest.param("C:\\x", "C:\\x", id="backslash alone"),
        pytest.param("C:\\x y", r'"C:\\x y"', id="backslash in quotes"),
        pytest.param("\x1b[31m\x00", r'"\x1b[31m\x00"', id="terminal colours and nul"),
        pytest.param("a\u2028b\u00a0", r'"a\u2028b\u00a0"', id="separators of unicode"),
        pytest.param("\U000e0001", r'"\U000e0001"', id="invisible beyond 16 bits"),
    ],
)
def test_quoting(text: str, written: str) -> None:
    """A value is quoted where a reader would stumble, as Go's log/slog does."""
    assert logs.logfmt({"msg": text}) == f"msg={written}"


texts = st.text().map(lambda text: text.replace("://", ""))


@given(texts, st.dictionaries(texts.filter(bool), texts))
def test_a_line_reads_back(message: str, extra: dict[str, str]) -> None:
    """Whatever is logged is one line that a parser reads back, in both formats."""
    record = record_of(message)
    taken = set(vars(record)) | set(logs.fields(record)) | logs._NOT_EXTRA
    extra = {key: value for key, value in extra.items() if key not in taken}
    vars(record).update(extra)

    found = logs.fields(record)
    logfmt, json_line = logs.logfmt(found), logs.json_line(found)

    assert logfmt.isprintable()
    assert not re.search(r"[\x00-\x1f]", json_line)
    for back in (parsed(logfmt), json.loads(json_line)):
        assert back.items() >= {"msg": message, "source": "b.py:7"}.items() | extra.items()


def test_lone_surrogates_can_be_written() -> None:
    """A file name that is not UTF-8 does not stop a log line."""
    found = logs.fields(record_of("cannot read \udce9.csv"))

    for line in (logs.logfmt(found), logs.json_line(found)):
        assert line.encode("utf-8").count(b"udce9") == 1


def test_own_keys_are_not_overwritten(stream: io.StringIO) -> None:
    """A field with the name of a key of ours is kept beside it."""
    logs.setup("info", "logfmt", stream)
    try:
        raise SourceError("gone")
    except SourceError:
        LOGGER.exception("failed", extra={"level": "high", "time": 3, "err": "mine"})

    found = parsed(stream.getvalue().strip())
    assert (found["level"], found["level_"], found["time_"]) == ("error", "high", "3")
    assert (found["err"], found["err_"]) == ("SourceError: gone", "mine")


@pytest.mark.parametrize("format", logs.FORMATS)
def test_a_named_error_is_one_field(stream: io.StringIO, format: logs.LogFormat) -> None:
    """An error of ours is told with its cause in one field, without a stack."""
    logs.setup("info", format, stream)
    try:
        try:
            raise OSError("no route\nto host")
        except OSError as error:
            raise SourceError("files: not there") from error
    except SourceError:
        LOGGER.exception("run failed")

    (line,) = stream.getvalue().splitlines()
    found = json.loads(line) if format == "json" else parsed(line)
    assert found["err"] == "SourceError: files: not there; caused by OSError: no route\nto host"
    assert "stack" not in found


def test_a_fault_has_its_stack(stream: io.StringIO) -> None:
    """An error without a name of ours brings its stack, still on one line."""
    logs.setup("info", "logfmt", stream)
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        LOGGER.exception("run failed")

    (line,) = stream.getvalue().splitlines()
    found = parsed(line)
    assert found["err"] == "ZeroDivisionError"
    assert found["stack"].startswith("Traceback")
    assert "test_a_fault_has_its_stack" in found["stack"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param(
            "at postgres://u:pw@h:5432/db now", "at postgres://u:***@h:5432/db now", id="dsn"
        ),
        pytest.param("redis://:pw@h", "redis://:***@h", id="no user"),
        pytest.param("a+b-c.d://u:p@ss:w/rd@h/x", "a+b-c.d://u:***@h/x", id="odd password"),
        pytest.param("x://u:8080@h", "x://u:***@h", id="password like a port"),
        pytest.param("('x://a:b@h','y://c:d@i')", "('x://a:***@h','y://c:***@i')", id="two"),
        pytest.param("s3://b/k,x://c:d@i", "s3://b/k,x://c:***@i", id="after one without"),
        pytest.param("x://u:" + "p" * 9999 + "@h", "x://u:***@h", id="long"),
        pytest.param("http://h:9090/a?m=b@c", "http://h:9090/a?m=b@c", id="port is no password"),
        pytest.param("https://h/a:b@c", "https://h/a:b@c", id="path is no user"),
        pytest.param("mail a:b@c, http://h/", "mail a:b@c, http://h/", id="no url"),
    ],
)
def test_passwords_are_masked(text: str, shown: str) -> None:
    """The password of a URL is masked, wherever the URL stands; what is none stays."""
    assert logs.masked(text) == shown


@pytest.mark.parametrize("format", logs.FORMATS)
def test_no_password_in_any_field(stream: io.StringIO, format: logs.LogFormat) -> None:
    """Arguments, fields, errors, causes and stacks are all masked."""
    logs.setup("info", format, stream)
    url = "postgresql+psycopg://ann:hunter2@db/x"
    try:
        try:
            raise OSError(f"cannot reach {url}")
        except OSError as error:
            raise ValueError(f"bad {url!r}") from error
    except ValueError:
        LOGGER.exception("reading %s", url, extra={"source_url": url, "many": [url], url: url})

    line = stream.getvalue()
    assert "hunter2" not in line
    assert line.count("ann:***@db") >= 7


@given(st.text(alphabet="ab:/@ 0.", max_size=40))
def test_masking_twice_is_masking_once(text: str) -> None:
    """What is masked has nothing left to mask."""
    assert logs.masked(logs.masked(text)) == logs.masked(text)


@pytest.mark.parametrize(
    "text", ["x://u:" * 50_000, "://" * 100_000, "a" * 300_000, "x://" + "@:" * 99_999]
)
@pytest.mark.timeout(20)
def test_masking_is_linear(text: str) -> None:
    """No text makes masking slow: what is quadratic here takes hours, not milliseconds."""
    assert len(logs.masked(text)) <= len(text) + 3


@pytest.mark.parametrize(
    ("level", "own", "foreign"),
    [
        pytest.param("debug", ["debug", "info", "warn", "error", "error"], 3, id="debug"),
        pytest.param("info", ["info", "warn", "error", "error"], 3, id="info"),
        pytest.param("warn", ["warn", "error", "error"], 3, id="warn"),
        pytest.param("error", ["error", "error"], 2, id="error"),
    ],
)
@pytest.mark.parametrize("library", ["uvicorn.access", "apscheduler.scheduler", "alembic", "other"])
def test_levels(
    stream: io.StringIO, level: str, own: list[str], foreign: int, library: str
) -> None:
    """Ours is written from the level on, what libraries say from warn on."""
    logging.getLogger("uvicorn.access").propagate = False
    logs.setup(level, "json", stream)
    for logger in (LOGGER, logging.getLogger(library)):
        for number in (10, 20, 30, 40, 50):
            logger.log(number, logger.name)

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["level"] for line in lines if line["msg"] == LOGGER.name] == own
    assert sum(line["msg"] == library for line in lines) == foreign


def test_what_quotes_addresses_is_not_written(stream: io.StringIO) -> None:
    """A library's warning about an answer tells the address, whose path may be a secret."""
    logs.setup("debug", "json", stream)
    library = logging.getLogger("urllib3.connection")
    library.warning("Failed to parse headers (url=%s)", "https://hooks.example.com/T1/hunter2")
    library.error("broken")

    assert "hunter2" not in stream.getvalue()
    assert "broken" in stream.getvalue()


def test_setup_again_replaces(stream: io.StringIO) -> None:
    """A second setup, after a reload for instance, writes no line twice."""
    logs.setup("info", "json", io.StringIO())
    logs.setup("info", "logfmt", stream)
    LOGGER.info("once")

    assert stream.getvalue().count("once") == 1


def test_setup_refuses_unknown_names() -> None:
    """A level or format that does not exist is refused with those that do."""
    with pytest.raises(ConfigError, match="'loud' is unknown, expected one of debug, info, warn"):
        logs.setup("loud", "json")
    with pytest.raises(ConfigError, match="'xml' is unknown, expected logfmt or json"):
        logs.setup("info", "xml")  # type: ignore[arg-type]


def test_warnings_and_stderr() -> None:
    """In a process of its own, warnings become log lines on stderr and stdout stays empty."""
    program = (
        "import warnings; from drift_exporter import logs; logs.setup('info', 'json');"
        "warnings.warn('old\\nmodel', stacklevel=1)"
    )
    run = subprocess.run(
        [sys.executable, "-W", "always", "-c", program], capture_output=True, text=True, check=True
    )

    (line,) = run.stderr.splitlines()
    assert json.loads(line)["level"] == "warn"
    assert "UserWarning: old\nmodel" in json.loads(line)["msg"]
    assert run.stdout == ""
