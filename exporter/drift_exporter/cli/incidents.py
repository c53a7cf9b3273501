"""incidents: list them, look at one, and say what is done about it."""

import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drift_exporter.cli.asking import AskingError, asking, exporter_of, part
from drift_exporter.cli.copies import copied_store
from drift_exporter.cli.incident_text import (
    cell,
    listed,
    print_action,
    print_actions,
    print_head,
    print_json,
    print_steps,
    print_table,
    table_of,
)
from drift_exporter.cli.options import CONFIG_FILE, errors_end_here
from drift_exporter.cli.serve import main
from drift_exporter.errors import ConfigError
from drift_exporter.incident import ALERTMANAGER, IncidentState

if TYPE_CHECKING:
    from drift_exporter.config.access import Access

API = "/api/v1"
EXPORTER = "drift-exporter"
"""The actor of what the exporter does by itself."""

_LONGEST_NAME = 100
_ID = click.IntRange(min=1)
_FORMAT = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="For people or for programs.",
)
_TEXT = click.option("--text", default="", help="What is to be written into the timeline with it.")


@main.group()
def incidents() -> None:
    """List incidents and answer them, through a running exporter.

    Who may do what is up to the token: a viewer looks, a responder also acknowledges, notes,
    resolves and closes, an approver also approves and rejects actions.
    """


@incidents.command("list")
@asking
@click.option("--model", default=None, help="Only those of this model.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in IncidentState]),
    help="Only those in this state, repeatable.",
)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@_FORMAT
def list_incidents(
    url: str,
    token_file: Path | None,
    model: str | None,
    states: tuple[str, ...],
    limit: int,
    form: str,
) -> None:
    """List incidents, the newest first."""
    with errors_end_here():
        exporter = exporter_of(url, token_file)
        found = exporter.document(f"{API}/incidents", model=model, state=states, limit=limit)
    if form == "json":
        print_json(found)
        return
    all_found = listed(found)
    if not all_found:
        click.echo("no incidents")
        return
    table = table_of("id", "model", "severity", "state", "opened", "what", "title")
    for one in all_found:
        row = [one.get(key) for key in ("id", "model", "severity", "state", "opened")]
        what = one.get("classification") or one.get("cause")
        table.add_row(*map(cell, [*row, what, one.get("title")]))
    print_table(table)


@incidents.command("show")
@asking
@click.argument("incident", type=_ID)
@_FORMAT
def show_incident(url: str, token_file: Path | None, incident: int, form: str) -> None:
    """Show an incident: what happened, what waits for an answer, and the timeline."""
    with errors_end_here():
        found = exporter_of(url, token_file).document(f"{API}/incidents/{incident}")
    if form == "json":
        print_json(found)
        return
    print_head(found)
    print_actions(found)
    print_steps(found)


@incidents.command("ack")
@asking
@click.argument("incident", type=_ID)
@_TEXT
def acknowledge(url: str, token_file: Path | None, incident: int, text: str) -> None:
    """Acknowledge an incident: somebody has it in hand."""
    _move(url, token_file, incident, "acknowledge", text)


@incidents.command("mitigate")
@asking
@click.argument("incident", type=_ID)
@_TEXT
def mitigate(url: str, token_file: Path | None, incident: int, text: str) -> None:
    """Say that somebody works on an incident."""
    _move(url, token_file, incident, "mitigate", text)


@incidents.command("resolve")
@asking
@click.argument("incident", type=_ID)
@_TEXT
def resolve(url: str, token_file: Path | None, incident: int, text: str) -> None:
    """Say that an incident is over, whatever its alerts say."""
    _move(url, token_file, incident, "resolve", text)


@incidents.command("close")
@asking
@click.argument("incident", type=_ID)
@_TEXT
def close(url: str, token_file: Path | None, incident: int, text: str) -> None:
    """Close a resolved incident; alerts that begin anew open a new one.

    Alerts of it that still fire are not taken up again: the command warns of them.
    """
    _move(url, token_file, incident, "close", text)
    firing = _still_firing(url, token_file, incident)
    if firing:
        click.echo(
            f"warning: alerts of it still fire ({firing}); they are not taken up again before "
            "they end and begin anew",
            err=True,
        )


@incidents.command("note")
@asking
@click.argument("incident", type=_ID)
@click.argument("text")
def note(url: str, token_file: Path | None, incident: int, text: str) -> None:
    """Write something into the timeline of an incident."""
    _move(url, token_file, incident, "note", text)


@incidents.command("analyse")
@asking
@click.argument("incident", type=_ID)
def analyse(url: str, token_file: Path | None, incident: int) -> None:
    """Judge an incident once more, on what its model's windows hold now."""
    with errors_end_here():
        exporter = exporter_of(url, token_file)
        exporter.do(f"{API}/incidents/{incident}/analyse", {})
        found = exporter.document(f"{API}/incidents/{incident}")
    print_head(found)


@incidents.command("approve")
@asking
@click.argument("action", type=_ID)
@click.option("--note", default="", help="Why.")
def approve(url: str, token_file: Path | None, action: int, note: str) -> None:
    """Approve an action; 'incidents show' has its number."""
    _decide(url, token_file, action, "approve", note)


@incidents.command("reject")
@asking
@click.argument("action", type=_ID)
@click.option("--note", default="", help="Why.")
def reject(url: str, token_file: Path | None, action: int, note: str) -> None:
    """Reject an action; it is not done."""
    _decide(url, token_file, action, "reject", note)


@incidents.command("settle")
@asking
@click.argument("action", type=_ID)
@click.option(
    "--done/--not-done", default=None, required=True, help="What was found at the receiver."
)
@click.option("--note", default="", help="How it was found out.")
def settle(url: str, token_file: Path | None, action: int, done: bool | None, note: str) -> None:
    """Say what became of an action whose outcome is unknown.

    One that was not done may be asked for again at once: it counts no more for the cooldown.
    """
    if done is None:
        # Not all releases of click miss a flag whose default is None.
        raise click.UsageError("give --done or --not-done: what was found at the receiver")
    _decide(url, token_file, action, "succeeded" if done else "failed", note)


@incidents.command("request")
@asking
@click.argument("incident", type=_ID)
@click.argument("name")
def request(url: str, token_file: Path | None, incident: int, name: str) -> None:
    """Ask for an action of the config; it needs the same approvals as ever."""
    with errors_end_here():
        exporter = exporter_of(url, token_file)
        found = exporter.do(f"{API}/incidents/{incident}/actions/{part(name)}", {})
    print_action(found)


@incidents.command("link")
@CONFIG_FILE
@click.argument("action", type=_ID)
@click.option(
    "--decision", type=click.Choice(["approve", "reject"]), default="approve", show_default=True
)
@click.option("--who", required=True, help="Who will answer with it: the name that is kept.")
@click.option("--group", default="", help="Group of theirs that the action waits for.")
def link(config_file: Path, action: int, decision: str, who: str, group: str) -> None:
    """Print a signed link, with which somebody answers an action without a token.

    It is for the exporter's own machine, as it needs the key in its data_dir, or in the
    --storage.path that is given before the command: whoever can make links can answer in any
    name but those that access has. Those are for one of the person's own groups alone. A link
    counts once, and until the action expires.
    """
    import time

    from drift_exporter.casework.desk import Desk, Settings
    from drift_exporter.exchange.links import link_key

    who, group = who.strip(), group.strip() or group
    _check_text(who, "--who")
    if group:
        _check_text(group, "--group")
    with errors_end_here(), copied_store(config_file, "maker of links") as (config, store):
        _check_stranger(config.access, who, group)
        address = config.response.public_url.rstrip("/")
        if not address:
            raise ConfigError(
                f"{config_file}: response.public_url is missing; the link begins with it"
            )
        folder = Path(config.data_dir)
        desk = Desk(lambda: store, lambda: Settings({}), time.time, lambda: link_key(folder))
        text = desk.link(action, decision, who, group)
    click.echo(f"{address}/approve?link={text}")


def _check_text(text: str, hint: str) -> None:
    """Make sure that a name is one line that people can tell from those of programs."""
    if not text.strip() or not text.isprintable() or len(text) > _LONGEST_NAME:
        raise click.BadParameter(
            f"expected at most {_LONGEST_NAME} characters on one line, not blank", param_hint=hint
        )
    if _same(text) in (EXPORTER, ALERTMANAGER):
        raise click.BadParameter(f"{text!r} is no person", param_hint=hint)


def _check_stranger(access: "Access", who: str, group: str) -> None:
    """Make sure that a link lends nobody who is known a group that they do not have."""
    for person in (*access.tokens, *access.users):
        if _same(person.name) == _same(who) and group not in person.groups:
            groups = ", ".join(person.groups)
            raise ConfigError(
                f"access knows {person.name!r}, who answers with a token or password of their "
                "own" + (f"; a link may be for one of their groups: {groups}" if groups else "")
            )


def _same(name: str) -> str:
    """What is the same for names that read alike."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def _still_firing(url: str, token_file: Path | None, incident: int) -> str:
    """Names of the alerts of an incident that still fire."""
    try:
        found = exporter_of(url, token_file).document(f"{API}/incidents/{incident}")
    except AskingError:
        # It is closed; of no use is only the look at what is left.
        return ""
    names = [one.get("name") for one in listed(found, "alerts") if one.get("status") == "firing"]
    return ", ".join(cell(name) for name in dict.fromkeys(names))


def _move(url: str, token_file: Path | None, incident: int, move: str, text: str) -> None:
    with errors_end_here():
        exporter = exporter_of(url, token_file)
        found = exporter.do(f"{API}/incidents/{incident}/{move}", {"text": text})
    state = found.get("state") if isinstance(found, dict) else None
    click.echo(f"incident {incident}: {cell(state) or 'done'}")


def _decide(url: str, token_file: Path | None, action: int, decision: str, note: str) -> None:
    with errors_end_here():
        exporter = exporter_of(url, token_file)
        found = exporter.do(f"{API}/actions/{action}/{decision}", {"text": note})
    print_action(found)
