"""Generates ``docs/api.md`` from the routes, their needs and their answers.

``python -m drift_exporter.papers.api_docs [folder]`` writes it; a test holds the committed file.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Never, cast

from drift_exporter import __version__
from drift_exporter.web.any_path import ANYTHING
from drift_exporter.web.desk_parts import Desk
from drift_exporter.web.parts import WebParts
from drift_exporter.web.roles import API, NEEDS, Need
from drift_exporter.web.server import create_app

HEAD = f"""\
# HTTP

Generated from the code by `make docs`; paths, parameters and answers are public API. A running
exporter gives the same as OpenAPI at `{API}/openapi.json`. All paths are below
`--web.route-prefix`.

Where the [web config file][exporter-toolkit] has users, every request needs one of them. Beyond
that a route needs what its column *who* says (`access` in [config.md](config.md)). A token goes
into the header `Authorization: Bearer …`.

| who | needs |
|---|---|
| public | nothing more |
| sender | the token of the webhook, where the config has one |
| link | a signed link, which says who may do what |
| viewer | a person with any role; nothing where `access` names nobody |
| responder, approver | a person with this role; an approver is a responder too |

Times in answers are ISO 8601 in UTC. Errors of the JSON interface are
`{{"detail": "what is wrong"}}`: 401 nobody, 403 not allowed, 404 not there, 409 not possible in
this state, 413 too large, 422 not understood, 503 the store cannot answer.

[exporter-toolkit]: https://github.com/prometheus/exporter-toolkit/tree/master/docs
"""

METRICS = "Metrics of all models, as text or OpenMetrics; `--web.telemetry-path` moves it."

PLAIN: Mapping[tuple[str, str], str] = {
    ("GET", "/"): "Page: every model, its last run and its state.",
    ("GET", "/-/healthy"): "`Healthy`, as long as the process answers.",
    ("GET", "/-/ready"): "`Ready`, or 503 with the reason; never depends on a model's data.",
    ("POST", "/-/reload"): "Reads the config again; 500 with the error where the old one stays.",
    ("GET", "/probe"): "Metrics of one model, by `model=NAME`: for a scrape job per model.",
    ("GET", "/config"): "Page: the running config, without secrets.",
    ("GET", "/runs"): "Page: the newest runs.",
    ("GET", "/models/{model}"): "Page: a model's columns, windows and history.",
    ("GET", "/models/{model}/{feature}"): "Page: one column, its bins and segments.",
    ("POST", "/alerts"): "Alertmanager's webhook, version 4; 200 once all of it is stored.",
    ("GET", "/approve"): "Page of a signed link: what is asked, and by whom.",
    ("POST", "/approve"): "The answer to it.",
    ("GET", "/incidents"): "Page: incidents, and alerts that belong to none.",
    ("GET", "/incidents/{incident}"): "Page: an incident, its timeline, plots and buttons.",
}
"""What routes outside of the JSON interface answer, but for the buttons of the pages."""


def markdown() -> str:
    """Write the paper of all routes and answers."""
    schema = create_app(_parts()).openapi()
    kinds = schema["components"]["schemas"]
    return "\n".join([HEAD, *_plain(), *_routes(schema["paths"]), *_answers(kinds)])


def _parts() -> WebParts:
    def never(*_: object, **__: object) -> Never:
        raise AssertionError("routes are listed here, not asked")

    return WebParts(
        scrape=never,
        probe=never,
        snapshots=never,
        runs=never,
        history=never,
        psi_history=never,
        detail=never,
        config_text=never,
        reload=never,
        ready=never,
        version=__version__,
        desk=cast("Desk", object()),
        report=never,
    )


def _plain() -> Iterator[str]:
    yield "## Metrics, health, pages and the webhook\n"
    yield "| route | who | what |"
    yield "|---|---|---|"
    yield f"| `GET /metrics` | public | {METRICS} |"
    for (method, path), need in NEEDS.items():
        place = path.replace(f":{ANYTHING}", "")
        # Buttons of pages carry a token of the page and are no interface.
        button = method == "POST" and need in (Need.RESPONDER, Need.APPROVER)
        if not path.startswith(API) and not button:
            yield f"| `{method} {place}` | {need} | {PLAIN[method, place]} |"
    yield ""


def _routes(paths: Mapping[str, Any]) -> Iterator[str]:
    needs = {
        (method, path.replace(f":{ANYTHING}", "")): need for (method, path), need in NEEDS.items()
    }
    yield "## JSON interface\n"
    yield "| route | who | what | parameters | answer |"
    yield "|---|---|---|---|---|"
    for path, methods in paths.items():
        for method, route in methods.items():
            asked = [p["name"] for p in route.get("parameters", []) if p["in"] == "query"]
            takes = [f"`{name}`" for name in asked]
            takes += ['body `{"text": …}`'] if "requestBody" in route else []
            need = needs[method.upper(), path]
            yield (
                f"| `{method.upper()} {path}` | {need} | {_told(route)} | {', '.join(takes)} "
                f"| {_answer(route)} |"
            )
    yield ""


def _told(described: Mapping[str, Any]) -> str:
    return " ".join(described.get("description", "").split())


def _answer(route: Mapping[str, Any]) -> str:
    found = route["responses"]["200"].get("content", {})
    return _kind(found["application/json"]["schema"]) if "application/json" in found else ""


def _answers(kinds: Mapping[str, Any]) -> Iterator[str]:
    yield "## Answers\n"
    for name, kind in sorted(kinds.items()):
        if name in _NOT_ANSWERED:
            continue
        yield f"### {name}\n\n{_told(kind)}\n"
        if "enum" in kind:
            yield f"One of {', '.join(f'`{value}`' for value in kind['enum'])}.\n"
            continue
        yield "| key | type | |"
        yield "|---|---|---|"
        for key, value in kind["properties"].items():
            yield f"| `{key}` | {_kind(value)} | {_told(value)} |"
        yield ""


_NOT_ANSWERED = frozenset({"Said", "ValidationError", "HTTPValidationError"})


def _kind(schema: Mapping[str, Any]) -> str:
    """The type of a value, in words; other answers by their name."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    if schema.get("format") == "date-time":
        return "time"
    return str(schema.get("type", "any"))


def write(folder: Path) -> None:
    """Write the paper into a folder."""
    (folder / "api.md").write_text(markdown(), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
