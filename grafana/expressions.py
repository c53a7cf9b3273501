"""Every expression of a dashboard, and what it is once its variables are filled.

Knows Grafana's variables and macros; asks nobody. Used to prove the queries and to draw the
boards without Grafana.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from grafana.parts import Json

Where = Literal["panel", "variable", "annotation"]


@dataclass(frozen=True)
class Expression:
    """One query of a board, as it stands in the JSON."""

    board: str
    where: Where
    title: str
    """Title of the panel, or name of the variable or annotation."""

    ref: str
    text: str
    instant: bool

    @property
    def name(self) -> str:
        """Where the query stands, to be read."""
        return f"{self.board}: {self.where} {self.title!r} {self.ref}".rstrip()


def expressions(board: Json) -> Iterator[Expression]:
    """All queries of a board: of panels, variables and annotations."""
    uid = board["uid"]
    for panel in all_panels(board):
        for target in panel.get("targets", ()):
            yield Expression(
                uid, "panel", panel["title"], target["refId"], target["expr"], target["instant"]
            )
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            text = variable["query"]["query"]
            yield Expression(uid, "variable", variable["name"], "", text, instant=True)
    for annotation in board["annotations"]["list"]:
        if "expr" in annotation:
            text = annotation["expr"]
            yield Expression(uid, "annotation", annotation["name"], "", text, instant=False)


def all_panels(board: Json) -> Iterator[Json]:
    """Panels of a board, those in rows too."""
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", ())


def label_values(query: str) -> tuple[str, str]:
    """The selector and the label of a variable's query.

    Examples
    --------
    >>> label_values('label_values(up{job=~"$job"}, instance)')
    ('up{job=~"$job"}', 'instance')
    """
    match = re.fullmatch(r"label_values\((.*),\s*(\w+)\)", query)
    if match is None:
        raise ValueError(f"{query!r} is not label_values(selector, label)")
    return match.group(1), match.group(2)


def filled(text: str, values: Mapping[str, Sequence[str]], macros: Mapping[str, str]) -> str:
    """An expression as Grafana sends it.

    Parameters
    ----------
    text
        The expression.
    values
        By variable what is chosen: ``(".+",)`` for all, several values, or one.
    macros
        Grafana's own variables, such as ``$__rate_interval``.

    Examples
    --------
    >>> filled('x{a=~"$a"}[$__range]', {"a": ("b.c", "d")}, {"__range": "1h"})
    'x{a=~"(b\\\\\\\\.c|d)"}[1h]'
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in macros:
            return macros[name]
        if name.isdigit():  # a group of label_replace
            return match.group(0)
        chosen = values[name]
        if len(chosen) == 1:
            return chosen[0]
        # The text stands in quotes, so each backslash of the pattern is doubled.
        return "(" + "|".join(re.escape(v).replace("\\", "\\\\") for v in chosen) + ")"

    return re.sub(r"\$(\w+)", value, text)
