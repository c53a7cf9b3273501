"""Requests of actions: their shapes, their retries, and that no secret is ever kept.

Everything is sent to a real HTTP server on loopback.
"""

import base64
import json
import logging
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_exporter.config.action import Action
from drift_exporter.errors import ConfigError
from drift_exporter.exchange.building import Request, build, check_action, url_of
from drift_exporter.exchange.secret_values import SecretError, hide, read_secret
from drift_exporter.exchange.sending import MOST_ANSWER_BYTES, MOST_TOLD_CHARACTERS, Sent, send
from drift_exporter.exchange.templates import TemplateTextError
from drift_exporter.incident import ActionState, Cause, Incident, IncidentState
from recording_server import Recorder, recording_server

SECRET = "hunter2-hunter2-hunter2"
KEY = "drift-7-0123456789abcdef0123"

INCIDENT = Incident(
    id=7,
    model="credit",
    cause=Cause.DRIFT,
    state=IncidentState.OPEN,
    severity="critical",
    opened=1_700_000_000.0,
    updated=1_700_000_300.0,
    classification="covariate_shift",
    title="income drifts",
    analysis={"features": [{"name": "income", "psi": 0.5}]},
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """A receiver, which no proxy of the machine stands before."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with recording_server() as recorder:
        yield recorder


def _action(**keys: Any) -> Action:
    defaults = {"name": "call", "kind": "http", "backoff": "0s", "timeout": "5s"}
    return Action.model_validate({**defaults, **keys})


def _request(action: Action, incident: Incident = INCIDENT) -> Request:
    return build(action, incident, "classified", KEY, "https://drift.example.com/")


def _send(action: Action, **environ: str) -> Sent:
    return send(action, _request(action), environ)


TOLD = {
    "id": 7,
    "model": "credit",
    "cause": "drift",
    "state": "open",
    "severity": "critical",
    "classification": "covariate_shift",
    "title": "income drifts",
    "opened": "2023-11-14T22:13:20+00:00",
    "resolved": None,
    "flaps": 0,
    "successor": {},
    "url": "https://drift.example.com/incidents/7",
}
GIVEN = {"incident": TOLD, "key": KEY}


@pytest.mark.parametrize(
    ("keys", "path", "body"),
    [
        pytest.param(
            {"kind": "http", "path": "/hook"},
            "/hook",
            {**GIVEN, "action": "call", "occasion": "classified"},
            id="http: the incident as it is",
        ),
        pytest.param(
            {
                "kind": "http",
                "path": "/hook",
                "body": '{"m": {{ incident.model | tojson }}, "k": {{ key | tojson }}, '
                '"f": {{ incident.analysis.features | map(attribute="name") | list | tojson }}}',
            },
            "/hook",
            {"m": "credit", "k": KEY, "f": ["income"]},
            id="http: a template",
        ),
        pytest.param(
            {
                "kind": "github_repository_dispatch",
                "repository": "acme/credit",
                "event_type": "retrain",
                "inputs": {"why": "{{ incident.classification }}"},
            },
            "/repos/acme/credit/dispatches",
            {"event_type": "retrain", "client_payload": {**GIVEN, "why": "covariate_shift"}},
            id="GitHub repository_dispatch",
        ),
        pytest.param(
            {
                "kind": "github_workflow_dispatch",
                "repository": "acme/credit",
                "workflow": "re train.yml",
                "ref": "main",
                "inputs": {"number": "{{ incident.id }}"},
            },
            "/repos/acme/credit/actions/workflows/re%20train.yml/dispatches",
            {"ref": "main", "inputs": {"number": "7"}},
            id="GitHub workflow_dispatch",
        ),
        pytest.param(
            {
                "kind": "gitlab_pipeline",
                "project": "ml/credit",
                "ref": "main",
                "inputs": {"DRIFT_KEY": "{{ key }}"},
                "token_env": "TOKEN",
            },
            "/api/v4/projects/ml%2Fcredit/trigger/pipeline",
            {"token": SECRET, "ref": "main", "variables": {"DRIFT_KEY": KEY}},
            id="GitLab trigger",
        ),
        pytest.param(
            {"kind": "airflow_dag_run", "dag": "retrain", "inputs": {"n": "{{ incident.id }}"}},
            "/api/v2/dags/retrain/dagRuns",
            {"dag_run_id": KEY, "logical_date": None, "conf": {**GIVEN, "n": "7"}},
            id="Airflow 3",
        ),
        pytest.param(
            {"kind": "airflow_dag_run", "dag": "re/train", "api": "v1"},
            "/api/v1/dags/re%2Ftrain/dagRuns",
            {"dag_run_id": KEY, "conf": GIVEN},
            id="Airflow 2",
        ),
        pytest.param(
            {"kind": "grafana_annotation", "dashboard": "abc", "panel": 2},
            "/api/annotations",
            {
                "time": 1_700_000_000_000,
                "tags": ["drift", "credit", "classified"],
                "text": "income drifts (classified)\nhttps://drift.example.com/incidents/7",
                "dashboardUID": "abc",
                "panelId": 2,
            },
            id="Grafana annotation",
        ),
        pytest.param(
            {
                "kind": "http",
                "path": "/apis/batch/v1/namespaces/ml/jobs",
                "accepts": [409],
                "body": '{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": '
                "{{ key | tojson }}}}",
            },
            "/apis/batch/v1/namespaces/ml/jobs",
            {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": KEY}},
            id="a Kubernetes Job through http",
        ),
    ],
)
def test_each_kind_has_the_shape_of_its_receiver(
    keys: dict[str, Any], path: str, body: object, server: Recorder
) -> None:
    """Path, body and key arrive as the receiver documents them."""
    own = {key: value for key, value in keys.items() if key != "path"}

    sent = _send(_action(**own, url=server.url + keys.get("path", "")), TOKEN=SECRET)

    assert (sent.state, sent.status, sent.attempts) == (ActionState.SUCCEEDED, 200, 1)
    (got,) = server.got
    assert (got.method, got.path) == ("POST", path)
    assert json.loads(got.body) == body
    assert got.headers["Idempotency-Key"] == KEY
    assert got.headers["Content-Type"] == "application/json"


def test_the_end_of_an_incident_is_the_end_of_its_annotation() -> None:
    """Grafana draws a span from the first alert to the resolution."""
    over = Incident(
        **{**vars(INCIDENT), "resolved": 1_700_000_600.0, "state": IncidentState.RESOLVED}
    )
    action = _action(kind="grafana_annotation", url="http://g", text="{{ incident.model }}!")

    document = json.loads(_request(action, over).body)

    assert (document["time"], document["timeEnd"]) == (1_700_000_000_000, 1_700_000_600_000)
    assert document["text"] == "credit!"


@given(st.text())
def test_no_title_can_break_out_of_its_place(title: str) -> None:
    """Whatever an alert says, the body is JSON and the title is one value of it."""
    incident = Incident(**{**vars(INCIDENT), "title": title})
    action = _action(
        url="http://h", body='{"t": {{ incident.title | tojson }}, "u": "{{ incident.title }}"}'
    )
    dispatch = _action(
        kind="github_repository_dispatch", repository="o/r", inputs={"t": "{{ incident.title }}"}
    )

    assert json.loads(_request(action, incident).body) == {"t": title, "u": title}
    assert json.loads(_request(dispatch, incident).body)["client_payload"]["t"] == title


@pytest.mark.parametrize(
    ("resend", "answers", "expected"),
    [
        pytest.param(False, [204], (ActionState.SUCCEEDED, 204, 1), id="done at once"),
        pytest.param(False, [503, 429, 201], (ActionState.SUCCEEDED, 201, 3), id="refused twice"),
        pytest.param(False, [503], (ActionState.FAILED, 503, 3), id="refused for good"),
        pytest.param(False, [500, 200], (ActionState.UNKNOWN, 500, 1), id="500 is not repeated"),
        pytest.param(True, [500, 500, 200], (ActionState.SUCCEEDED, 200, 3), id="but where known"),
        pytest.param(True, [502], (ActionState.UNKNOWN, 502, 3), id="a gateway that stays broken"),
        pytest.param(False, [0, 200], (ActionState.UNKNOWN, None, 1), id="no answer, once"),
        pytest.param(True, [0, 200], (ActionState.SUCCEEDED, 200, 2), id="no answer, again"),
        pytest.param(True, [0], (ActionState.UNKNOWN, None, 3), id="never an answer"),
        pytest.param(True, [422], (ActionState.FAILED, 422, 1), id="a wrong request"),
        pytest.param(True, [501], (ActionState.UNKNOWN, 501, 1), id="another fault"),
        pytest.param(True, [409], (ActionState.FAILED, 409, 1), id="a conflict"),
    ],
)
def test_only_what_surely_was_not_done_is_tried_again(
    resend: bool,
    answers: list[int],
    expected: tuple[ActionState, int | None, int],
    server: Recorder,
) -> None:
    """Without a receiver that knows a key again, nothing that may have been done is repeated."""
    server.answers = [(status, b"") for status in answers]
    action = _action(url=f"{server.url}/x", after_unknown="resend" if resend else "manual")

    sent = _send(action)

    assert (sent.state, sent.status, sent.attempts) == expected
    assert len(server.got) == expected[2]
    assert {got.headers["Idempotency-Key"] for got in server.got} == {KEY}
    assert len({got.body for got in server.got}) == 1


@pytest.mark.parametrize(
    ("asked", "expected", "waits"),
    [
        pytest.param(None, (ActionState.FAILED, 3), [2.0, 4.0], id="not asked"),
        pytest.param("3", (ActionState.FAILED, 3), [3.0, 4.0], id="seconds"),
        pytest.param("60", (ActionState.FAILED, 3), [60.0, 60.0], id="a minute"),
        pytest.param("61", (ActionState.FAILED, 1), [], id="above a minute"),
        pytest.param("Fri, 31 Dec 2100 23:59:59 GMT", (ActionState.FAILED, 1), [], id="a date"),
        pytest.param("Fri, 31 Dec 1999 23:59:59 GMT", (ActionState.FAILED, 3), [2, 4], id="past"),
        pytest.param("soon", (ActionState.FAILED, 3), [2.0, 4.0], id="no time"),
        pytest.param("9" * 5000, (ActionState.FAILED, 3), [2.0, 4.0], id="no number"),
    ],
)
def test_a_receiver_that_asks_to_wait_is_left_alone(
    asked: str | None, expected: tuple[ActionState, int], waits: list[float], server: Recorder
) -> None:
    """As long as it asks, up to a minute; above that it is given up, and said."""
    server.answers = [(429, b"slow down")]
    server.headers = {"Retry-After": asked} if asked else {}
    action = _action(url=server.url, backoff="2s")
    slept: list[float] = []

    sent = send(action, _request(action), {}, slept.append)

    assert ((sent.state, sent.attempts), slept) == (expected, waits)
    assert sent.detail.startswith("slow down" if slept else "asks to wait ")


@pytest.mark.parametrize(
    ("keys", "status"),
    [
        pytest.param({"kind": "airflow_dag_run", "dag": "d"}, 409, id="Airflow has the run"),
        pytest.param({"kind": "http", "accepts": [409]}, 409, id="Kubernetes has the Job"),
    ],
)
def test_what_is_there_already_is_done(keys: dict[str, Any], status: int, server: Recorder) -> None:
    """A conflict about our own key means that an earlier try arrived."""
    server.answers = [(status, b"")]

    assert _send(_action(url=server.url, **keys)).state == ActionState.SUCCEEDED


def test_a_receiver_that_does_not_answer_leaves_it_unknown(server: Recorder) -> None:
    """After the timeout nobody knows; it is neither failed nor sent again."""
    server.stall = threading.Event()

    sent = _send(_action(url=server.url, timeout="500ms"))

    assert (sent.state, sent.status) == (ActionState.UNKNOWN, None)
    assert len(server.got) == 1
    assert sent.detail.startswith("no answer")


def test_a_receiver_that_answers_for_ever_is_left(server: Recorder) -> None:
    """A byte now and then keeps no action behind it waiting."""
    server.drip = True

    sent = _send(_action(url=server.url, timeout="300ms"))

    assert (sent.state, sent.status) == (ActionState.UNKNOWN, None)
    assert sent.detail.startswith("no answer")


def test_a_receiver_that_is_not_there_is_a_failure() -> None:
    """No connection, nothing done; every retry is made."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        sent = _send(_action(url=f"http://127.0.0.1:{taken.getsockname()[1]}/x", retries=3))

    assert (sent.state, sent.status, sent.attempts) == (ActionState.FAILED, None, 4)
    assert sent.detail.startswith("no connection (")


def test_a_first_try_that_may_have_been_done_is_not_forgotten(server: Recorder) -> None:
    """After a lost answer, a refusal of the second try does not mean that nothing was done."""
    server.answers = [(0, b""), (503, b"busy")]

    sent = _send(_action(url=server.url, after_unknown="resend", retries=1))

    assert (sent.state, sent.status, sent.attempts) == (ActionState.UNKNOWN, 503, 2)


def test_waits_double_up_to_a_minute(server: Recorder) -> None:
    """A receiver that is overloaded is left alone for longer each time."""
    server.answers, waits = [(503, b"")], list[float]()
    action = _action(url=server.url, retries=6, backoff="5s")

    sent = send(action, _request(action), {}, waits.append)

    assert waits == [5, 10, 20, 40, 60, 60]
    assert sent.attempts == 7


def test_a_redirect_is_not_followed(server: Recorder) -> None:
    """A token goes where the config says and nowhere else."""
    server.answers = [(307, b"")]
    server.headers = {"Location": f"{server.url}/elsewhere"}

    sent = _send(_action(url=f"{server.url}/here", token_env="TOKEN"), TOKEN=SECRET)

    assert (sent.state, sent.status) == (ActionState.FAILED, 307)
    assert [got.path for got in server.got] == ["/here"]


@pytest.mark.parametrize("status", [200, 503])
@pytest.mark.parametrize("endless", [False, True], ids=["oversized", "without end"])
def test_of_a_long_answer_the_beginning_is_kept(
    endless: bool, status: int, server: Recorder
) -> None:
    """An answer of any length costs little memory and time, one that is tried again too."""
    server.endless = endless
    server.answers = [(status, b"ab" * MOST_ANSWER_BYTES)]

    sent = _send(_action(url=server.url))

    assert (sent.status, sent.attempts) == (status, 1 if status == 200 else 3)
    assert sent.detail == "ab" * (MOST_TOLD_CHARACTERS // 2)


def test_an_answer_is_one_printable_line(server: Recorder) -> None:
    """Nothing that an answer holds can forge a line of the log or move a terminal's cursor."""
    server.answers = [(400, b"no\r\nlevel=info \x1b[2Jmsg=fine\xff\x00")]

    assert (
        _send(_action(url=server.url)).detail
        == "no level=info [2Jmsg=fine\N{REPLACEMENT CHARACTER}"
    )


def test_secrets_are_sent_and_never_kept(
    server: Recorder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Token and header arrive; neither is in what is recorded, the answer or the log."""
    caplog.set_level(logging.DEBUG)
    (tmp_path / "basic").write_text(f"Basic {SECRET}\n", encoding="utf-8")
    action = _action(
        url=server.url,
        token_env="TOKEN",
        secret_headers={"X-Auth": {"file": str(tmp_path / "basic")}},
    )
    echo = f"who is Bearer {SECRET} or Basic {SECRET}?".encode()
    server.answers = [(401, echo)]

    request = _request(action)
    sent = send(action, request, {"TOKEN": SECRET})

    assert server.got[0].headers["Authorization"] == f"Bearer {SECRET}"
    assert server.got[0].headers["X-Auth"] == f"Basic {SECRET}"
    assert sent.detail == "who is Bearer *** or ***?"
    for kept in (repr(request), json.dumps(request.record()), repr(sent), caplog.text):
        assert SECRET not in kept


def test_the_secret_part_of_an_address_is_sent_and_never_kept(
    server: Recorder, tmp_path: Path
) -> None:
    """It stands in no record, and not in an answer that quotes the address or a piece of it."""
    (tmp_path / "hook").write_text(f"T1/{SECRET}\n", encoding="utf-8")
    action = _action(
        url=f"{server.url}/services/{{secret}}?a=b", url_secret={"file": str(tmp_path / "hook")}
    )
    server.answers = [(404, f"no /services/T1/{SECRET}, no {SECRET}".encode())]

    request = _request(action)
    sent = _send(action)

    assert server.got[0].path == f"/services/T1/{SECRET}?a=b"
    assert request.url == f"{server.url}/services/{{secret}}?a=b"
    assert sent.detail == "no /services/***, no ***"


@pytest.mark.parametrize(
    "part", ["https://hooks.example.com/x", "hunter2 hunter2", "hunter2#x"], ids=str
)
def test_a_part_of_an_address_that_is_none_is_refused(server: Recorder, part: str) -> None:
    """Nothing is sent, and the message does not tell it."""
    action = _action(url=f"{server.url}/{{secret}}", url_secret={"env": "HOOK"})

    sent = _send(action, HOOK=part)

    assert (sent.state, sent.attempts, server.got) == (ActionState.FAILED, 0, [])
    assert "url_secret" in sent.detail
    assert part not in sent.detail


@pytest.mark.parametrize(
    ("secret", "answer"),
    [
        pytest.param("tok/en+1234567", "?token=tok%2Fen%2B1234567", id="in an address"),
        pytest.param('pa"ss\\word-1234567', json.dumps({"seen": 'pa"ss\\word-1234567'}), id="JSON"),
        pytest.param("hunter2-secret", base64.b64encode(b"hunter2-secret").decode(), id="base64"),
        pytest.param(
            f"Basic {base64.b64encode(b'robot:hunter2-secret').decode()}",
            "bad login for robot:hunter2-secret",
            id="user and password",
        ),
        pytest.param(
            f"Basic {base64.b64encode(b'robot:hunter2-secret').decode()}",
            "hunter2-secret is wrong",
            id="password",
        ),
    ],
)
def test_a_secret_in_another_form_is_hidden_too(server: Recorder, secret: str, answer: str) -> None:
    """A receiver that tells what it was given may write it in its own way."""
    action = _action(url=server.url, secret_headers={"X-Auth": {"env": "AUTH"}})
    server.answers = [(401, answer.encode())]

    detail = send(action, _request(action), {"AUTH": secret}).detail

    assert "***" in detail
    assert "hunter2" not in detail
    assert "1234567" not in detail


def test_the_token_of_gitlab_is_not_in_the_request_that_is_kept() -> None:
    """GitLab takes it in the body; it gets there only when it is sent."""
    action = _action(kind="gitlab_pipeline", project="1", ref="main", token_env="TOKEN")

    assert json.loads(_request(action).body) == {"ref": "main"}


def test_a_netrc_does_not_replace_the_token(
    server: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the machine knows of a host is not sent to it."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login ann password other\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))

    _send(_action(url=server.url, token_env="TOKEN"), TOKEN=SECRET)
    _send(_action(url=server.url))

    assert [got.headers.get("Authorization") for got in server.got] == [f"Bearer {SECRET}", None]


def test_a_dry_run_sends_nothing(server: Recorder) -> None:
    """It tells what would be sent, and needs no secret for it."""
    sent = _send(_action(url=server.url, dry_run=True, token_env="TOKEN"))

    assert (sent.state, sent.attempts, server.got) == (ActionState.SUCCEEDED, 0, [])
    assert "dry run" in sent.detail


def test_a_request_goes_only_to_the_address_of_the_config(server: Recorder) -> None:
    """Who changes the store cannot have a token sent to another host."""
    action = _action(url=f"{server.url}/right", token_env="TOKEN")
    moved = Request(**{**_request(action).record(), "url": f"{server.url}/wrong"})

    assert send(action, moved, {"TOKEN": SECRET}).state == ActionState.FAILED
    assert server.got == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "cannot be read", id="no file"),
        pytest.param(b"", "of one line", id="an empty file"),
        pytest.param(b"a\nb", "of one line", id="two lines"),
        pytest.param(b"x" * 17_000, "more than", id="a large file"),
        pytest.param(b"\xff\xfe", "ASCII", id="no text"),
    ],
)
def test_a_secret_that_cannot_be_had_is_a_failure(
    content: bytes | None, message: str, server: Recorder, tmp_path: Path
) -> None:
    """Nothing is sent without its secret; the message names the file and not what it holds."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)

    sent = _send(_action(url=server.url, token_file=str(file)))

    assert (sent.state, sent.attempts, server.got) == (ActionState.FAILED, 0, [])
    assert str(file) in sent.detail
    assert message in sent.detail
    with pytest.raises(SecretError, match="variable TOKEN is not set"):
        read_secret(None, "TOKEN", {})


def _certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for loopback that signed itself, and its key."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    made += ["-nodes", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*made, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


def test_certificates_are_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only a receiver whose certificate an authority of ours signed gets anything."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    cert, key = _certificate(tmp_path, "ours")
    other, _ = _certificate(tmp_path, "other")
    with recording_server(tls=(cert, key)) as server:
        for wrong in ({}, {"ca_file": str(other)}, {"ca_file": str(tmp_path / "no.pem")}):
            sent = _send(_action(url=server.url, token_env="TOKEN", **wrong), TOKEN=SECRET)
            assert (sent.state, sent.status, server.got) == (ActionState.FAILED, None, [])
        right = _action(url=server.url, ca_file=str(cert))
        assert _send(right).state == ActionState.SUCCEEDED


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        pytest.param({"body": "{"}, "no JSON", id="no JSON"),
        pytest.param({"body": "{{ incident.nothing }}"}, "nothing", id="a value that is not there"),
        pytest.param({"body": '{"a": NaN}'}, "NaN is no JSON", id="NaN"),
        pytest.param({"body": "{{ ''.__class__.__mro__ }}"}, "unsafe", id="out of the sandbox"),
        pytest.param(
            {"body": "{% for i in range(99999) %}{{ 'abcdefgh' }}{% endfor %}"},
            "more than",
            id="a flood",
        ),
        pytest.param({"body": "{{ 1 / 0 }}"}, "division", id="arithmetic"),
    ],
)
def test_a_template_that_cannot_be_filled_is_named(keys: dict[str, Any], message: str) -> None:
    """Nothing half-filled is ever sent."""
    with pytest.raises(TemplateTextError, match=message):
        _request(_action(url="http://h", **keys))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        pytest.param({"body": "{{ incident.id "}, "body: line 1", id="syntax"),
        pytest.param({"body": "{{ x }}"}, "uses x, which is unknown", id="an unknown name"),
        pytest.param({"body": "{{ 1 | nofilter }}"}, "nofilter", id="an unknown filter"),
    ],
)
def test_a_wrong_template_is_found_with_the_config(keys: dict[str, Any], message: str) -> None:
    """A typing error shows when the config is read, not when an incident comes."""
    with pytest.raises(ConfigError, match=message):
        check_action(_action(url="http://h", **keys))
    check_action(_action(url="http://h", body='{"a": {{ incident.id }}}'))


def test_a_body_that_is_no_json_says_so_itself() -> None:
    """With a Content-Type of its own a body may be anything."""
    action = _action(url="http://h", body="a=1", headers={"content-type": "text/plain"})

    request = _request(action)

    assert request.body == "a=1"
    assert [v for k, v in request.headers.items() if k.lower() == "content-type"] == ["text/plain"]


def test_the_services_have_addresses_of_their_own() -> None:
    """GitHub and GitLab are found without a URL, and others under theirs."""
    github = {"kind": "github_repository_dispatch", "repository": "o/r"}

    assert url_of(_action(**github)) == "https://api.github.com/repos/o/r/dispatches"
    assert url_of(_action(**github, url="https://gh.example.com/api/v3/")) == (
        "https://gh.example.com/api/v3/repos/o/r/dispatches"
    )
    gitlab = _action(kind="gitlab_pipeline", project="12", ref="main")
    assert url_of(gitlab) == "https://gitlab.com/api/v4/projects/12/trigger/pipeline"


@given(st.lists(st.text("ab", min_size=1), min_size=1), st.text("abc"))
def test_no_secret_is_left_in_what_is_hidden(secrets: list[str], text: str) -> None:
    """Secrets that hold one another are hidden too."""
    assert not any(secret in hide(text, tuple(secrets)) for secret in secrets)
