"""A board's questions put to a Prometheus: its variables filled as Grafana fills them.

Knows how variables depend on each other and what each kind of query is asked; draws nothing.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from grafana.expressions import Expression, expressions, filled, label_values
from grafana.parts import BY_NUMBER, Json
from grafana.prometheus import Prometheus, Series

Values = dict[str, Sequence[str]]
ALL = (".+",)


def macros(prometheus: Prometheus) -> dict[str, str]:
    """Grafana's own variables for a range and its resolution."""
    length = prometheus.end - prometheus.start
    return {
        # What Grafana takes: four scrapes.
        "__rate_interval": f"{prometheus.step * 4:.0f}s",
        "__interval": f"{prometheus.step:.0f}s",
        "__range": f"{length:.0f}s",
    }


def chosen(board: Json, prometheus: Prometheus, wanted: Mapping[str, Sequence[str]]) -> Values:
    """The values of a board's variables: what is wanted, else all, else the first one there is."""
    values: Values = {}
    for variable in board["templating"]["list"]:
        name = variable["name"]
        if name in wanted:
            values[name] = wanted[name]
        elif variable["type"] != "query" or variable["includeAll"]:
            values[name] = ALL
        else:
            values[name] = options(variable, prometheus, values)[:1]
    return values


def options(variable: Json, prometheus: Prometheus, values: Values) -> list[str]:
    """What a reader may choose from."""
    selector, label = label_values(variable["query"]["query"])
    found = prometheus.label_values(filled(selector, values, macros(prometheus)), label)
    if variable["sort"] == BY_NUMBER:
        return sorted(found, key=lambda text: int(re.sub(r"\D", "", text) or 0))
    return sorted(found)


def answer(found: Expression, prometheus: Prometheus, values: Values) -> list[Series] | list[str]:
    """What Prometheus says to a query of a board."""
    if found.where == "variable":
        selector, label = label_values(found.text)
        return prometheus.label_values(filled(selector, values, macros(prometheus)), label)
    query = filled(found.text, values, macros(prometheus))
    return prometheus.instant(query) if found.instant else prometheus.over_time(query)


def answers(
    board: Json, prometheus: Prometheus, wanted: Mapping[str, Sequence[str]]
) -> Iterator[tuple[Expression, list[Series] | list[str]]]:
    """Every query of a board with its answer."""
    values = chosen(board, prometheus, wanted)
    for found in expressions(board):
        yield found, answer(found, prometheus, values)
