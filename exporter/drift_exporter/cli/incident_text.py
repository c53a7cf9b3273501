"""Incidents and actions as text for a terminal; what came in with an alert may not command it."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from drift_exporter.cli.asking import shown
from drift_exporter.incident.approving import WAITING

if TYPE_CHECKING:
    from rich.table import Table


def print_head(found: Any) -> None:
    """Print what an incident is about and where it stands."""
    analysis = found.get("analysis") or {}
    click.echo(f"incident {cell(found.get('id'))} of {cell(found.get('model'))}")
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
            click.echo(f"  {name:<9} {cell(value)}")
    for note in analysis.get("notes") or ():
        click.echo(f"  - {cell(note)}")


def print_actions(found: Any) -> None:
    """Print the actions of an incident: what waits, what is asked for, and what came of it."""
    actions = listed(found, "actions")
    if not actions:
        return
    click.echo()
    table = table_of("action", "name", "state", "needs", "answered", "why")
    for one in actions:
        needs = ", ".join(str(need or "any approver") for need in one.get("needs") or ())
        answers = ", ".join(
            f"{each.get('who')}: {each.get('decision')}" for each in listed(one, "approvals")
        )
        row = [one.get("id"), one.get("name"), one.get("state"), needs, answers]
        table.add_row(*map(cell, [*row, one.get("reason")]))
    print_table(table)
    for one in actions:
        lines = list(_told(one))
        if lines:
            click.echo(f"\naction {cell(one.get('id'))} ({cell(one.get('name'))})")
            click.echo("\n".join(lines))


def print_steps(found: Any) -> None:
    """Print the timeline of an incident."""
    steps = listed(found, "steps")
    if not steps:
        return
    click.echo()
    table = table_of("when", "who", "what", "told")
    for one in steps:
        row = [one.get("at"), one.get("actor"), one.get("kind"), _with_note(one)]
        table.add_row(*map(cell, row))
    print_table(table)


def print_action(found: Any) -> None:
    """Print where an action stands."""
    answers = len(listed(found, "approvals"))
    needed = len(found.get("needs") or ())
    click.echo(
        f"action {cell(found.get('id'))} ({cell(found.get('name'))}): "
        f"{cell(found.get('state'))}, {answers} of {needed} answered"
    )


def print_json(found: Any) -> None:
    """Print what the exporter answered, for programs."""
    click.echo(json.dumps(found, ensure_ascii=False, indent=2))


def listed(found: Any, key: str = "incidents") -> list[dict[str, Any]]:
    """The documents of a list, bare or under its key."""
    inside = found.get(key) if isinstance(found, dict) else found
    return [one for one in inside or () if isinstance(one, dict)]


def cell(value: object) -> str:
    """A value as people read it, times to the second.

    Examples
    --------
    >>> cell("2026-11-23T13:10:25.009918Z"), cell(None)
    ('2026-11-23 13:10:25 UTC', '')
    """
    text = shown(value)
    return f"{text[:10]} {text[11:19]} UTC" if _is_time(text) else text


def table_of(*columns: str) -> "Table":
    """A table without lines."""
    from rich.table import Table

    return Table(*columns, box=None, pad_edge=False)


def print_table(table: "Table") -> None:
    """Print a table; a file or a pipe has no width, and nothing is cut off there."""
    import sys

    from rich.console import Console

    width = None if sys.stdout.isatty() else 240
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(table)
    # Cells are filled up to the widest one of their column: nobody reads blanks at an end.
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _told(action: dict[str, Any]) -> Iterator[str]:
    """Lines of what an action asks for while it waits, and of what came of it after."""
    detail = action.get("detail") or {}
    request, outcome = detail.get("request") or {}, detail.get("outcome") or {}
    if action.get("state") in WAITING:
        yield from _line("expires", action.get("expires"))
        yield from _line("dry run", "it is not sent" if detail.get("dry_run") else "")
        yield from _line("request", f"{request.get('method', '')} {request.get('url', '')}".strip())
        body = str(request.get("body") or "").splitlines()
        yield from (f"    {shown(line)}" for line in body)
    yield from _line("status", outcome.get("status"))
    yield from _line("attempts", outcome.get("attempts"))
    yield from _line("answer", outcome.get("answer"))
    yield from _line("settled", detail.get("settled_by"))


def _with_note(step: dict[str, Any]) -> str:
    note = (step.get("detail") or {}).get("note")
    return f"{step.get('text')}: {note}" if note else str(step.get("text") or "")


def _line(name: str, value: object) -> Iterator[str]:
    if value not in (None, ""):
        yield f"  {name:<9} {cell(value)}"


def _by(found: Any, key: str) -> str:
    when, who = found.get(key), found.get(f"{key}_by")
    return f"{cell(when)} by {who}" if when else ""


def _is_time(text: str) -> bool:
    return len(text) >= 20 and text[4:5] + text[7:8] + text[10:11] == "--T" and text[-1] == "Z"
