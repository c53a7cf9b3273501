"""The commands that answer incidents, write reports and promote, against a real server."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from drift_exporter.casework.acting import SAID
from drift_exporter.casework.desk import Desk
from drift_exporter.casework.responder import examine_one
from drift_exporter.cli import incidents, main, report
from drift_exporter.cli.asking import TOKEN
from drift_exporter.config import Config
from drift_exporter.incident import ActionState
from drift_exporter.profiles.files import read_profile
from drift_exporter.profiles.promotion_notes import read_note
from drift_exporter.reporting import MEDIA_TYPES
from drift_exporter.reporting import report as reported
from incident_desk import KEY, TOKENS, Room, alert, people, room, served
from test_web import SNAPSHOT
from watched_model import SHIFTED, watched

# Imported for the commands that they add.
assert incidents
assert report

CONFIG = Config.model_validate(
    {"models": [{"name": "credit", "reference": "r.csv", "current": "c.csv"}]}
)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Room]:
    """A desk with an incident of the model credit and an action that waits."""
    with room(tmp_path) as found:
        (number,) = found.deliver(alert("income", labels={"evil": "\x1b[31m"}))
        found.waiting(number)
        yield found


@pytest.fixture
def url(desk: Room) -> Iterator[str]:
    """Where the desk is served."""

    def written(
        incident_id: int | None, since: float, until: float, kind: str
    ) -> tuple[bytes, str]:
        form = next(each for each in MEDIA_TYPES if each == kind)
        text = reported(
            desk.store,
            CONFIG,
            since=since,
            until=until,
            now=desk.clock(),
            incident_id=incident_id,
            format=form,  # type: ignore[arg-type]
        )
        return text.encode(), MEDIA_TYPES[kind]

    with served(desk, report=written) as client:
        yield str(client.base_url).rstrip("/")


def call(arguments: Sequence[str], url: str, role: str = "approver") -> Result:
    """Give a command as somebody with a role."""
    environ = {TOKEN: TOKENS.get(role, role)}
    return CliRunner().invoke(main, [*arguments, f"--url={url}"], env=environ)


def test_incidents_are_listed_and_shown(url: str) -> None:
    """The list has a line per incident; one alone is told with its actions and timeline."""
    listed, one = call(["incidents", "list"], url), call(["incidents", "show", "1"], url)

    assert (listed.exit_code, one.exit_code) == (0, 0), listed.output + one.output
    assert "income of credit drifts" in listed.output
    assert "2027-01-15" in listed.output
    assert "acknowledge, mitigate, resolve, note" in one.output
    assert "science, clinic" in one.output
    assert "ModelDriftFeatureDrifted of income opened the incident" in one.output
    assert "\x1b" not in listed.output + one.output


def test_approvers_see_what_they_approve(desk: Room, url: str) -> None:
    """What waits is shown with its request, what ended with its answer; times in one form."""
    body = '{\n  "text": "\x1b[31mred"\n}'
    request = {"method": "PUT", "url": "http://airflow/other", "body": body}
    desk.waiting(1, name="tell", detail={"request": request, "dry_run": True})
    outcome = {"status": 503, "attempts": 4, "answer": "come back later"}
    ended = {"request": {"url": "http://over/"}, "outcome": outcome}
    desk.waiting(1, name="over", state=ActionState.FAILED, detail=ended)
    assert call(["incidents", "ack", "1"], url).exit_code == 0

    done = call(["incidents", "show", "1"], url)

    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    for line in (
        "action 1 (retrain)",
        "  request   POST http://airflow/train",
        "    {}",
        "  expires   2027-01-16 08:00:00 UTC",
        "  request   PUT http://airflow/other",
        '      "text": " [31mred"',
        "  dry run   it is not sent",
        "action 3 (over)",
        "  status    503",
        "  attempts  4",
        "  answer    come back later",
        "  taken     2027-01-15 08:00:00 UTC by approver",
    ):
        assert line in lines, done.output
    assert "http://over/" not in done.output


@pytest.mark.parametrize("status", ["firing", "resolved"])
def test_closing_warns_of_alerts_that_fire(desk: Room, url: str, status: str) -> None:
    """Who closes an incident whose alerts still fire learns that nothing takes them up again."""
    if status == "resolved":
        desk.deliver(
            alert(
                "income", labels={"evil": "\x1b[31m"}, status=status, endsAt="2027-01-15T07:50:00Z"
            )
        )
    else:
        call(["incidents", "resolve", "1"], url)

    done = call(["incidents", "close", "1"], url)

    assert done.exit_code == 0, done.output
    assert done.stdout == "incident 1: closed\n"
    assert ("ModelDriftFeatureDrifted" in done.stderr) is (status == "firing"), done.stderr


@pytest.mark.parametrize(
    ("arguments", "models"),
    [
        pytest.param([], ["credit"], id="all"),
        pytest.param(["--model=credit"], ["credit"], id="of a model"),
        pytest.param(["--model=churn"], [], id="of another model"),
        pytest.param(["--state=open", "--state=closed"], ["credit"], id="in a state"),
        pytest.param(["--state=closed"], [], id="in another state"),
    ],
)
def test_lists_can_be_narrowed(url: str, arguments: list[str], models: list[str]) -> None:
    """Model and state choose, and programs get JSON."""
    done = call(["incidents", "list", "--format=json", *arguments], url)

    assert [one["model"] for one in json.loads(done.output)] == models


def test_an_incident_is_answered_to_its_end(desk: Room, url: str) -> None:
    """Acknowledged, noted, worked on, resolved and closed, each with who and what was said."""
    for arguments in (
        ["ack", "1", "--text=looking"],
        ["note", "1", "it is the ünit"],
        ["mitigate", "1"],
        ["resolve", "1", "--text=repaired"],
        ["close", "1"],
    ):
        done = call(["incidents", *arguments], url, "responder")
        assert done.exit_code == 0, done.output

    incident = desk.store.cases.incident(1)
    steps = [(s.kind, s.actor, s.text) for s in desk.store.cases.steps(1) if s.actor == "responder"]
    assert incident is not None
    assert incident.closed_by == "responder"
    assert steps == [
        ("acknowledged", "responder", "looking"),
        ("note", "responder", "it is the ünit"),
        ("mitigating", "responder", ""),
        ("resolved", "responder", "repaired"),
        ("closed", "responder", ""),
    ]


def test_an_action_is_approved_and_another_rejected(desk: Room, url: str) -> None:
    """An answer is written down with its note, and the command tells what is still needed."""
    second = desk.waiting(1, needs=("",), name="tell")

    first = call(["incidents", "approve", "1", "--note=seen the bins"], url)
    other = call(["incidents", "reject", str(second.id)], url)

    assert (first.exit_code, other.exit_code) == (0, 0), first.output + other.output
    assert "waiting, 1 of 2 answered" in first.output
    assert "rejected" in other.output
    (approval,) = desk.store.cases.approvals(1)
    assert (approval.who, approval.note) == ("approver", "seen the bins")


def test_an_incident_is_analysed_by_command(desk: Room) -> None:
    """The newest counts are judged in the person's name, and what was found is shown."""
    model = watched(desk, **SHIFTED)
    analysing = Desk(
        lambda: desk.store,
        lambda: desk.settings,
        desk.clock,
        lambda: KEY,
        analyse=lambda incident, who: examine_one(model.watch, incident, who),
    )
    with served(desk, desk=analysing) as client:
        url = str(client.base_url).rstrip("/")
        done = call(["incidents", "analyse", "1"], url, "responder")
        none = call(["incidents", "analyse", "9"], url, "responder")
        refused = call(["incidents", "analyse", "1"], url, "viewer")

    incident, step = desk.store.cases.incident(1), desk.store.cases.steps(1)[-1]
    assert done.exit_code == 0, done.output
    assert incident is not None
    assert incident.analysis is not None
    assert incident.classification == "covariate_shift"
    assert "incident 1 of credit" in done.output
    assert f"kind      {incident.classification}" in done.output
    assert incident.analysis["headline"] in done.output
    assert (step.kind, step.actor) == ("analysed", "responder")
    assert (none.exit_code, "no incident 9" in none.output) == (1, True), none.output
    assert (refused.exit_code, "not allowed" in refused.output) == (1, True), refused.output


@pytest.mark.parametrize(
    ("option", "state"),
    [
        pytest.param("--done", ActionState.SUCCEEDED, id="done"),
        pytest.param("--not-done", ActionState.FAILED, id="not done"),
    ],
)
def test_an_unknown_outcome_is_settled(
    desk: Room, url: str, option: str, state: ActionState
) -> None:
    """Who looked at the receiver says what was found there, once."""
    unknown = desk.waiting(1, state=ActionState.UNKNOWN)
    command = ["incidents", "settle", str(unknown.id), option, "--note=looked"]

    done, again = call(command, url, "responder"), call(command, url, "responder")

    assert done.exit_code == 0, done.output
    assert f"action {unknown.id} (retrain): {state}" in done.output
    found, step = desk.store.cases.action(unknown.id), desk.store.cases.steps(1)[-1]
    assert found is not None
    assert found.state is state
    assert (step.actor, step.kind, step.detail["note"]) == (
        "responder",
        f"action_{state}",
        "looked",
    )
    assert (again.exit_code, "not unknown" in again.output) == (1, True), again.output
    told = call(["incidents", "show", "1"], url).output
    assert f"found that retrain {SAID[state]}: looked\n" in told


def test_what_was_found_has_to_be_said(desk: Room, url: str) -> None:
    """Neither outcome is assumed."""
    unknown = desk.waiting(1, state=ActionState.UNKNOWN)

    done = call(["incidents", "settle", str(unknown.id)], url, "responder")

    assert (done.exit_code, "--not-done" in done.output) == (2, True), done.output
    found = desk.store.cases.action(unknown.id)
    assert found is not None
    assert found.state is ActionState.UNKNOWN


LINKS = """\
data_dir: .
models:
  - {name: credit, reference: r.csv, current: c.csv}
access:
  tokens: [{name: Ann, role: approver, groups: [science], token_env: TOKEN_OF_ANN}]
  users: [{name: bob, role: viewer}]
"""


def link(
    folder: Path, *arguments: str, response: str = "public_url: http://d.example/x/"
) -> Result:
    """Have a link made where the store of a desk is."""
    config = folder / "drift.yml"
    config.write_text(LINKS + f"response: {{{response}}}\n")
    (folder / "links.key").write_bytes(KEY)
    (folder / "links.key").chmod(0o600)
    command = ["incidents", "link", *arguments]
    return CliRunner().invoke(main, [*command, f"--config.file={config}"])


@pytest.mark.parametrize(
    ("arguments", "decision", "state"),
    [
        pytest.param([], "approve", ActionState.WAITING, id="to approve"),
        pytest.param(["--decision=reject"], "reject", ActionState.REJECTED, id="to reject"),
    ],
)
def test_a_link_is_made_where_the_key_is(
    tmp_path: Path, desk: Room, url: str, arguments: list[str], decision: str, state: ActionState
) -> None:
    """The desk takes it for the answer of its person and group, without any token."""
    done = link(tmp_path, "1", "--who=Ada", "--group=clinic", *arguments)

    assert done.exit_code == 0, done.output
    address, _, text = done.output.strip().partition("?link=")
    assert address == "http://d.example/x/approve"
    invited = desk.desk.invitation(text)
    assert (invited.who, invited.group, invited.decision) == ("Ada", "clinic", decision)
    form = {"link": text, "text": "seen"}
    with httpx.Client(base_url=url) as client:
        shown, pressed = client.get(f"/approve?link={text}"), client.post("/approve", data=form)
    assert (shown.status_code, "Ada" in shown.text) == (200, True)
    assert pressed.status_code in (200, 303), pressed.text
    (approval,) = desk.store.cases.approvals(1)
    assert (approval.who, approval.groups, approval.decision) == ("Ada", ("clinic",), decision)
    found = desk.store.cases.action(1)
    assert found is not None
    assert found.state is state


@pytest.mark.parametrize(
    ("arguments", "response", "code", "text"),
    [
        pytest.param(["1", "--who=Ada"], "", 1, "response.public_url is missing", id="no address"),
        pytest.param(["9", "--who=Ada"], None, 1, "no action 9 that waits", id="no action"),
        pytest.param(["2", "--who=Ada"], None, 1, "no action 2 that waits", id="approved already"),
        pytest.param(["1"], None, 2, "--who", id="nobody"),
        pytest.param(["1", "--who=A", "--decision=x"], None, 2, "is not one of", id="no decision"),
        pytest.param(["1", "--who= "], None, 2, "not blank", id="a blank name"),
        pytest.param(["1", "--who=A\x1b[2J"], None, 2, "one line", id="a name that commands"),
        pytest.param(["1", "--who=" + "a" * 101], None, 2, "100", id="a long name"),
        pytest.param(["1", "--who=Drift-Exporter"], None, 2, "no person", id="the exporter"),
        pytest.param(["1", "--who= alertManager "], None, 2, "no person", id="Alertmanager"),
        pytest.param(["1", "--who=A", "--group= "], None, 2, "not blank", id="a blank group"),
        pytest.param(["1", "--who=A", "--group=a\nb"], None, 2, "one line", id="a group of two"),
        pytest.param(["1", "--who=ann"], None, 1, "of their own", id="somebody with a token"),
        pytest.param(["1", "--who=Bob"], None, 1, "of their own", id="somebody with a password"),
        pytest.param(
            ["1", "--who=\uff21NN ", "--group=clinic"], None, 1, "groups: science", id="not hers"
        ),
    ],
)
def test_links_that_cannot_be(
    tmp_path: Path,
    desk: Room,
    arguments: list[str],
    response: str | None,
    code: int,
    text: str,
) -> None:
    """What there is no link for ends with its code and says why."""
    desk.waiting(1, state=ActionState.APPROVED)

    given = {} if response is None else {"response": response}
    done = link(tmp_path, *arguments, **given)

    assert (done.exit_code, text in done.output) == (code, True), done.output
    assert "approve?link=" not in done.output


def test_a_link_in_a_known_name_is_for_one_of_their_groups(tmp_path: Path, desk: Room) -> None:
    """Who has a token may be sent a link, for a group that is theirs."""
    done = link(tmp_path, "1", "--who=ann", "--group=science")

    assert done.exit_code == 0, done.output
    invited = desk.desk.invitation(done.output.strip().partition("?link=")[2])
    assert (invited.who, invited.group) == ("ann", "science")


def test_no_link_is_made_where_no_store_is(tmp_path: Path) -> None:
    """On another machine than the exporter's there is neither store nor key."""
    done = link(tmp_path, "1", "--who=Ada")

    assert (done.exit_code, "there is no store" in done.output) == (1, True), done.output


def test_an_action_is_asked_for(desk: Room, url: str) -> None:
    """An action of the config can be asked for by hand."""
    done = call(["incidents", "request", "1", "tell"], url, "responder")

    assert done.exit_code == 0, done.output
    assert desk.store.cases.actions()[-1].name == "tell"


@pytest.mark.parametrize(
    ("arguments", "role", "code", "text"),
    [
        pytest.param(["list"], "", 1, "DRIFT_EXPORTER_TOKEN", id="nobody"),
        pytest.param(
            ["list"], "wrong-token-0123456789abcdef", 1, "does not accept the token", id="stranger"
        ),
        pytest.param(["ack", "1"], "viewer", 1, "not allowed", id="role lacks"),
        pytest.param(["approve", "1"], "responder", 1, "not allowed", id="no approver"),
        pytest.param(["show", "99"], "viewer", 1, "not found: there is no incident 99", id="none"),
        pytest.param(["approve", "99"], "approver", 1, "no action 99", id="no action"),
        pytest.param(["close", "1"], "responder", 1, "not possible", id="wrong state"),
        pytest.param(["note", "1", ""], "responder", 1, "empty", id="nothing said"),
        pytest.param(["show", "zero"], "viewer", 2, "not a valid integer", id="no number"),
        pytest.param(["show", "0"], "viewer", 2, "x>=1", id="no id"),
        pytest.param(["list", "--state=lost"], "viewer", 2, "is not one of", id="no state"),
    ],
)
def test_refusals_are_told_in_words(
    url: str, arguments: list[str], role: str, code: int, text: str
) -> None:
    """What is refused ends with its code and says why."""
    done = call(["incidents", *arguments], url, role)

    assert done.exit_code == code, done.output
    assert text in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("url", "text"),
    [
        pytest.param("http://127.0.0.1:9", "does not answer", id="nobody listens"),
        pytest.param("file:///etc/passwd", "http(s)://", id="no address of a server"),
        pytest.param("http://[::1", "not an address", id="no address"),
    ],
)
def test_where_no_exporter_is(url: str, text: str) -> None:
    """An address where nobody answers is an error that names it."""
    done = call(["incidents", "list"], url)

    assert (done.exit_code, url in done.output, text in done.output) == (1, True, True)


def test_the_token_comes_from_a_file(tmp_path: Path, url: str) -> None:
    """A token file is stronger than the environment; its last line break is no part of it."""
    file = tmp_path / "token"
    file.write_text(TOKENS["viewer"] + "\n")

    done = call(["incidents", "list", f"--token-file={file}"], url, "no-token-of-anybody-0123")
    gone = call(["incidents", "list", f"--token-file={tmp_path / 'gone'}"], url)

    assert (done.exit_code, gone.exit_code) == (0, 1)
    assert "cannot be read" in gone.output


class Elsewhere(BaseHTTPRequestHandler):
    """Answers from another place, or not in JSON."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """Lead away, unless the way was taken."""
        type(self).asked.append(self.path)
        if self.path.startswith("/text"):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")
            return
        self.send_response(302)
        self.send_header("Location", "/stolen")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("path", "text"),
    [
        pytest.param("", "another place", id="a redirect is not followed"),
        pytest.param("/text", "no JSON", id="another program"),
    ],
)
def test_tokens_go_nowhere_else(path: str, text: str) -> None:
    """A token is sent to the address that was given, and to no other."""
    server = HTTPServer(("127.0.0.1", 0), Elsewhere)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        done = call(["incidents", "list"], f"http://127.0.0.1:{server.server_port}{path}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

    assert (done.exit_code, text in done.output) == (1, True), done.output
    assert "/stolen" not in Elsewhere.asked


@pytest.mark.parametrize("form", ["markdown", "html", "json"])
@pytest.mark.parametrize("which", [[], ["--incident=1"]], ids=["span", "incident"])
def test_reports_are_written(tmp_path: Path, url: str, form: str, which: list[str]) -> None:
    """A report comes from the exporter into a file, in each format."""
    file = tmp_path / "report"
    span = [] if which else ["--from=2027-01-01", "--to=2027-01-15T08:00:00Z"]
    begin = {"markdown": "# ", "html": "<!doctype html>", "json": "{"}

    done = call(["report", *which, *span, f"--format={form}", f"--output={file}"], url, "viewer")

    assert done.exit_code == 0, done.output
    text = file.read_text()
    assert text.startswith(begin[form])
    assert "income of credit drifts" in text
    assert file.stat().st_mode & 0o777 == 0o600


def test_reports_come_from_the_store_too(tmp_path: Path, desk: Room) -> None:
    """Without a running exporter, a copy of its store is read; the store itself is left alone."""
    config = tmp_path / "drift.yml"
    config.write_text(
        "models:\n  - {name: credit, reference: r.csv, current: c.csv}\ndata_dir: .\n"
    )
    assert desk.store.cases.audit_head() is not None

    done = CliRunner().invoke(
        main,
        ["report", f"--config.file={config}", "--history=store", "--incident=1"],
        env={"DRIFT_EXPORTER_CONFIG_FILE": str(config)},
    )

    assert done.exit_code == 0, done.output
    assert done.output.startswith("# Incident 1: income of credit drifts")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        pytest.param(["--incident=9"], 1, "no incident 9", id="no such incident"),
        pytest.param(["--incident=1", "--from=2027-01-01"], 2, "own span", id="both"),
        pytest.param(["--from=noon"], 2, "2024-01-31T12:00Z", id="no time"),
        pytest.param(["--from=2027-02-01", "--to=2027-01-01"], 2, "before --to", id="backwards"),
        pytest.param(
            ["--output=gone/x.md", "--incident=1"], 1, "cannot be written", id="no folder"
        ),
    ],
)
def test_reports_that_cannot_be(url: str, arguments: list[str], code: int, text: str) -> None:
    """What cannot be reported ends with its code and says why."""
    done = call(["report", *arguments], url, "viewer")

    assert (done.exit_code, text in done.output) == (code, True), done.output


MODEL = """\
data_dir: .
models:
  - name: credit
    {version}
    reference: {{url: {reference}, timestamp: ts}}
    current: {{url: "current-*.parquet", timestamp: ts}}
"""


def configured(folder: Path, seed: int, version: str = "owner: ann") -> Path:
    """A config whose reference is drawn from a seed."""
    rng = np.random.default_rng(seed)
    times = pa.array(np.arange(1000) * 60_000_000, pa.timestamp("us", tz="UTC"))
    table = pa.table({"ts": times, "income": rng.normal(seed, 1, 1000)})
    pq.write_table(table, folder / f"reference-{seed}.parquet")
    config = folder / "drift.yml"
    config.write_text(MODEL.format(version=version, reference=f"reference-{seed}.parquet"))
    return config


def build(config: Path, *arguments: str) -> None:
    """Build the profile of a config."""
    command = ["profile", "build", *arguments]
    done = CliRunner().invoke(main, [*command, f"--config.file={config}"])
    assert done.exit_code == 0, done.output


def promote(config: Path, url: str, *arguments: str) -> Result:
    """Promote a profile of the model credit."""
    command = ["profile", "promote", f"--config.file={config}", "--model=credit", f"--url={url}"]
    given = [*command, "--version=4", "--reason=retrained", *arguments]
    return CliRunner().invoke(main, given, env={TOKEN: TOKENS["approver"]})


def running(desk: Room, reference_hash: str, model: str = "credit") -> AbstractContextManager[Any]:
    """A server whose model runs with a profile."""
    found = replace(SNAPSHOT, model=model, reference_hash=reference_hash)
    return served(desk, snapshots=lambda: (found,))


@pytest.fixture
def new(tmp_path: Path) -> str:
    """Hash of a profile that is to take the place of another one, in ``new.json``."""
    build(configured(tmp_path, 1))
    build(configured(tmp_path, 2), f"--output={tmp_path / 'new.json'}")
    found = read_profile(tmp_path / "new.json")
    assert found is not None
    return found.hash


def test_a_profile_is_promoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, desk: Room, new: str
) -> None:
    """The new profile is in its place, the old one is kept, the exporter is told by the user."""
    monkeypatch.setenv("LOGNAME", "somebody-else")
    path = tmp_path / "profiles" / "credit.json"
    old = read_profile(path)
    assert old is not None

    with running(desk, new) as client:
        done = promote(
            tmp_path / "drift.yml", str(client.base_url), f"--profile={tmp_path}/new.json"
        )

    assert done.exit_code == 0, done.output
    now, kept = read_profile(path), read_profile(path.with_name(f"credit.{old.hash}.json"))
    note = read_note(path)
    assert now is not None
    assert kept is not None
    assert note is not None
    assert (now.hash, kept.hash) == (new, old.hash)
    assert (note.profile, note.version, note.reason) == (new, "4", "retrained")
    me = subprocess.run(["id", "-un"], capture_output=True, text=True, check=False).stdout.strip()
    assert note.by == (me or f"uid {os.getuid()}")
    assert "told" in done.output


@pytest.mark.parametrize(
    ("runs_with", "model", "code", "text"),
    [
        pytest.param("0123456789ab", "credit", 1, "runs with profile 0123456789ab", id="another"),
        pytest.param("", "credit", 0, "before the model's next run", id="none yet"),
        pytest.param("0123456789ab", "churn", 1, "not found", id="no such model"),
    ],
)
def test_nobody_is_told_what_did_not_come_into_force(
    tmp_path: Path, desk: Room, new: str, runs_with: str, model: str, code: int, text: str
) -> None:
    """An exporter that goes on with something else after its reload is an error that says so."""
    with running(desk, runs_with, model) as client:
        done = promote(
            tmp_path / "drift.yml", str(client.base_url), f"--profile={tmp_path}/new.json"
        )

    assert (done.exit_code, text in done.output) == (code, True), done.output
    assert new in done.output
    assert ": told" not in done.output


class Closed(BaseHTTPRequestHandler):
    """Reloads for all, and shows models to nobody."""

    def do_GET(self) -> None:
        """Refuse."""
        self.send_response(403)
        self.end_headers()

    def do_POST(self) -> None:
        """Reload."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


def test_an_exporter_that_does_not_show_its_models(tmp_path: Path, new: str) -> None:
    """Where the exporter may not be asked, the command says no more than what it did."""
    with HTTPServer(("127.0.0.1", 0), Closed) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            done = promote(tmp_path / "drift.yml", url, f"--profile={tmp_path}/new.json")
        finally:
            server.shutdown()

    assert done.exit_code == 0, done.output
    assert f"{url}: reloaded\n" in done.output
    assert new in done.output


def test_promoting_needs_no_running_exporter(tmp_path: Path) -> None:
    """Where nobody answers, all is in place for the next start."""
    config = configured(tmp_path, 1)
    build(config)

    done = promote(config, "http://127.0.0.1:9")

    assert (done.exit_code, "when it starts" in done.output) == (0, True), done.output
    assert read_note(tmp_path / "profiles" / "credit.json") is not None


@pytest.mark.parametrize(
    ("arguments", "version", "text"),
    [
        pytest.param(["--profile=gone.json"], "owner: ann", "no such file", id="no profile"),
        pytest.param(["--profile=drift.yml"], "owner: ann", "profile", id="another file"),
        pytest.param([], "version: '3'", 'version: "4"', id="the config has another version"),
        pytest.param([], "prediction: income", "other settings", id="other settings"),
        pytest.param(["--model=churn"], "owner: ann", "the config has: credit", id="no model"),
    ],
)
def test_what_cannot_be_promoted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    version: str,
    text: str,
) -> None:
    """A profile that would not serve is refused before anything is moved."""
    monkeypatch.chdir(tmp_path)
    build(configured(tmp_path, 1))
    path = tmp_path / "profiles" / "credit.json"
    before = path.read_bytes()
    config = configured(tmp_path, 1, version)

    done = promote(config, "http://127.0.0.1:9", *arguments)

    assert (done.exit_code, text in done.output) == (1, True), done.output
    assert path.read_bytes() == before
    assert read_note(path) is None


def test_who_is_known_is_asked_for(tmp_path: Path) -> None:
    """Where nobody is configured, reading is public and writing says what to configure."""
    with room(tmp_path, people(tokens=[])) as found:
        found.deliver(alert("income"))
        with served(replace(found)) as client:
            url = str(client.base_url)
            listed = call(["incidents", "list"], url, "")
            refused = call(["incidents", "ack", "1"], url, "")

    assert (listed.exit_code, refused.exit_code) == (0, 1), listed.output + refused.output
    assert "access" in refused.output
