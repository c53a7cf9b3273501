"""incidents: list them, look at one, and say what is done about it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drift_exporter.cli.asking import asking, exporter_of, part, shown
from drift_exporter.cli.copies import copied_store
from drift_exporter.cli.options import CONFIG_FILE, errors_end_here
from drift_exporter.cli.serve import main
from drift_exporter.errors import ConfigError
from drift_exporter.incident import State

if TYPE_CHECKING:
    from rich.table import Table

API = "/api/v1"
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
    type=click.Choice([state.value for state in State]),
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
        _print_json(found)
        return
    listed = _listed(found)
    if not listed:
        click.echo("no incidents")
        return
    table = _table("id", "model", "severity", "state", "opened", "what", "title")
    for one in listed:
        row = [one.get(key) for key in ("id", "model", "severity", "state", "opened")]
        what = one.get("classification") or one.get("cause")
        table.add_row(*map(_cell, [*row, what, one.get("title")]))
    _print(table)


@incidents.command("show")
@asking
@click.argument("incident", type=_ID)
@_FORMAT
def show_incident(url: str, token_file: Path | None, incident: int, form: str) -> None:
    """Show an incident: what happened, what waits for an answer, and the timeline."""
    with errors_end_here():
        found = exporter_of(url, token_file).document(f"{API}/incidents/{incident}")
    if form == "json":
        _print_json(found)
        return
    _print_head(found)
    actions = _listed(found, "actions")
    if actions:
        click.echo()
        table = _table("action", "name", "state", "needs", "answered", "why")
        for one in actions:
            needs = ", ".join(str(need or "any approver") for need in one.get("needs") or ())
            answers = ", ".join(
                f"{each.get('who')}: {each.get('decision')}" for each in _listed(one, "approvals")
            )
            row = [one.get("id"), one.get("name"), one.get("state"), needs, answers]
            table.add_row(*map(_cell, [*row, one.get("reason")]))
        _print(table)
    steps = _listed(found, "steps")
    if steps:
        click.echo()
        table = _table("when", "who", "what", "told")
        for one in steps:
            row = [one.get("at"), one.get("actor"), one.get("kind"), one.get("text")]
            table.add_row(*map(_cell, row))
        _print(table)


def _print_head(found: Any) -> None:
    analysis = found.get("analysis") or {}
    click.echo(f"incident {_cell(found.get('id'))} of {_cell(found.get('model'))}")
    lines = {
        "what": analysis.get("headline") or found.get("title"),
        "state": f"{found.get('state')}, {found.get('severity')}",
        "kind": found.get("classification") or found.get("cause"),
        "opened": found.get("opened"),
        "taken": _by(found, "acknowledged"),
        "resolved": found.get("resolved"),
        "closed": _by(found, "closed"),
        "first": analysis.get("recommendation"),
        "now": ", ".join(found.get("possible") or ()),
    }
    for name, value in lines.items():
        if value:
            click.echo(f"  {name:<9} {_cell(value)}")
    for note in analysis.get("notes") or ():
        click.echo(f"  - {_cell(note)}")


def _by(found: Any, key: str) -> str:
    when, who = found.get(key), found.get(f"{key}_by")
    return f"{when} by {who}" if when else ""


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
    """Close a resolved incident; alerts open a new one from then on."""
    _move(url, token_file, incident, "close", text)


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
    _print_head(found)


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
    _print_action(found)


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

    It is for the exporter's own machine, as it needs the key in its data_dir: whoever can make
    links can answer in any name. A link counts once, and until the action expires.
    """
    import time

    from drift_exporter.desk import Desk, Settings
    from drift_exporter.incidents.links import link_key

    with errors_end_here(), copied_store(config_file, "maker of links") as (config, store):
        address = config.response.public_url.rstrip("/")
        if not address:
            raise ConfigError(
                f"{config_file}: response.public_url is missing; the link begins with it"
            )
        folder = Path(config.data_dir)
        desk = Desk(lambda: store, lambda: Settings({}), time.time, lambda: link_key(folder))
        text = desk.link(action, decision, who, group)
    click.echo(f"{address}/approve?link={text}")


def _move(url: str, token_file: Path | None, incident: int, move: str, text: str) -> None:
    with errors_end_here():
        exporter = exporter_of(url, token_file)
        found = exporter.do(f"{API}/incidents/{incident}/{move}", {"text": text})
    state = found.get("state") if isinstance(found, dict) else None
    click.echo(f"incident {incident}: {_cell(state) or 'done'}")


def _decide(url: str, token_file: Path | None, action: int, decision: str, note: str) -> None:
    with errors_end_here():
        exporter = exporter_of(url, token_file)
        found = exporter.do(f"{API}/actions/{action}/{decision}", {"text": note})
    _print_action(found)


def _print_action(found: Any) -> None:
    answers = len(_listed(found, "approvals"))
    needed = len(found.get("needs") or ())
    click.echo(
        f"action {_cell(found.get('id'))} ({_cell(found.get('name'))}): "
        f"{_cell(found.get('state'))}, {answers} of {needed} answered"
    )


def _listed(found: Any, key: str = "incidents") -> list[dict[str, Any]]:
    """The documents of a list, bare or under its key."""
    inside = found.get(key) if isinstance(found, dict) else found
    return [one for one in inside or () if isinstance(one, dict)]


def _cell(value: object) -> str:
    text = shown(value)
    # To the second, as people read it.
    return f"{text[:10]} {text[11:19]} UTC" if _is_time(text) else text


def _is_time(text: str) -> bool:
    return len(text) >= 20 and text[4:5] + text[7:8] + text[10:11] == "--T" and text[-1] == "Z"


def _table(*columns: str) -> "Table":
    from rich.table import Table

    return Table(*columns, box=None, pad_edge=False)


def _print(table: "Table") -> None:
    import sys

    from rich.console import Console

    # A file or a pipe has no width: nothing may be cut off there.
    width = None if sys.stdout.isatty() else 240
    Console(width=width, highlight=False, markup=False, emoji=False).print(table)


def _print_json(found: Any) -> None:
    click.echo(json.dumps(found, ensure_ascii=False, indent=2))
