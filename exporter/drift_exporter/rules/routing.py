"""The example config of Alertmanager with its templates, and how a trial adapts it.

Knows the files beside it and their shape; never which alerts there are.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

EXAMPLE = Path(__file__).parent / "alertmanager"
CONFIG, TEMPLATES = "alertmanager.yml", ("modeldrift.tmpl", "slack.tmpl", "pagerduty.tmpl")

INCIDENTS = "drift-exporter"
"""The receiver that keeps incidents: the exporter itself."""

Hours = Literal["always", "never"]


@dataclass(frozen=True)
class Trial:
    """What differs where nobody is to be paged: the demo, and tests."""

    slack_url: str
    pagerduty_url: str
    group_wait: str = "30s"
    group_interval: str = "1m"
    repeat_interval: str = "4h"
    office_hours: Hours = "always"
    """Whether it is office hours: what arrives must not depend on the clock on the wall."""

    webhook_url: str | None = None
    """Address of the exporter's ``/alerts``; None: incidents are not kept."""


def example_config() -> Path:
    """Where the example config of Alertmanager is."""
    return EXAMPLE / CONFIG


def example_files() -> dict[str, str]:
    """The example config and its templates by their names."""
    return {name: (EXAMPLE / name).read_text(encoding="utf-8") for name in (CONFIG, *TEMPLATES)}


def write_trial(
    folder: Path,
    trial: Trial,
    load_yaml: Callable[[Path], object],
    dump_yaml: Callable[[object], str],
) -> Path:
    """Write the example config into a folder, adapted, and all that it needs; tell its path."""
    (folder / "secrets").mkdir(parents=True, exist_ok=True)
    config: Any = load_yaml(EXAMPLE / CONFIG)
    config["templates"] = [str(folder / "*.tmpl")]
    for holder, key in list(_secrets(config)):
        secret = folder / "secrets" / Path(holder[key]).name
        secret.write_text(
            trial.slack_url if key == "slack_api_url_file" else f"{secret.name}-trial"
        )
        holder[key] = str(secret)
    config["global"]["pagerduty_url"] = trial.pagerduty_url
    for interval in config["time_intervals"]:
        interval["time_intervals"] = (
            [{}] if trial.office_hours == "always" else [{"years": ["1999"]}]
        )
    for route in _routes(config["route"]):
        for key in ("group_wait", "group_interval", "repeat_interval"):
            if key in route:
                route[key] = getattr(trial, key)
    _incidents_to(config, trial.webhook_url)
    for name in TEMPLATES:
        (folder / name).write_text((EXAMPLE / name).read_text(encoding="utf-8"), encoding="utf-8")
    path = folder / CONFIG
    path.write_text(dump_yaml(config), encoding="utf-8")
    return path


def _secrets(node: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Every mapping that names a file with a secret, with the key."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key.endswith("_file"):
                yield node, key
            yield from _secrets(value)
    elif isinstance(node, list):
        for value in node:
            yield from _secrets(value)


def _routes(route: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield route
    for child in route.get("routes", []):
        yield from _routes(child)


def _incidents_to(config: Any, url: str | None) -> None:
    """Give the receiver that keeps incidents its address, or take it and its route away."""
    if url is None:
        root = config["route"]
        root["routes"] = [r for r in root["routes"] if r["receiver"] != INCIDENTS]
        config["receivers"] = [r for r in config["receivers"] if r["name"] != INCIDENTS]
    for receiver in config["receivers"]:
        if receiver["name"] == INCIDENTS:
            receiver["webhook_configs"][0]["url"] = url
