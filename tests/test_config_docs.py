"""The papers of the config say what the models say."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from drift_exporter.config import Config, Model
from drift_exporter.config_file import load
from drift_exporter.papers import config_docs
from yaml_text import parsed

DOCS = Path(__file__).parent.parent / "docs"

SCHEMA: dict[str, Any] = json.loads(config_docs.json_schema())

EXAMPLES = re.findall(r"```yaml\n(.*?)```", config_docs.markdown(), re.DOTALL)


def _models(hint: Any) -> Iterator[type[Model]]:
    if isinstance(hint, type) and issubclass(hint, Model):
        yield hint
        for field in hint.model_fields.values():
            yield from _models(field.annotation)
    for part in get_args(hint):
        yield from _models(part)


@pytest.mark.parametrize(
    ("name", "text"),
    [("config.md", config_docs.markdown()), ("drift.schema.json", config_docs.json_schema())],
)
def test_the_committed_paper_is_what_the_models_say(name: str, text: str) -> None:
    """Who changes a model runs `make docs`."""
    assert (DOCS / name).read_text(encoding="utf-8") == text


def test_write_makes_both_papers(tmp_path: Path) -> None:
    """The command's folder is made and holds both files."""
    config_docs.write(tmp_path / "docs")

    assert {file.name for file in (tmp_path / "docs").iterdir()} == {
        "config.md",
        "drift.schema.json",
    }


def test_every_key_says_what_it_means() -> None:
    """No key of any model goes without a docstring, and each has a row in the table."""
    text = config_docs.markdown()
    models = set(_models(Config))

    assert len(models) >= 8
    for model in models:
        assert model.__doc__
        for key, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{key} has no docstring"
            assert f"\n| `{key}` | " in text


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_a_config(example: str, tmp_path: Path) -> None:
    """What a reader copies runs, and editors find nothing wrong with it."""
    file = tmp_path / "drift.yml"
    file.write_text(example, encoding="utf-8")

    config = load(file, {"STORE_PASSWORD": "x"})

    assert config.models
    assert list(_faults(parsed(_text_only(example)), SCHEMA)) == []


def test_there_are_a_short_example_and_a_long_one() -> None:
    """Four lines are enough; the long example shows more keys of a model than it leaves out."""
    short, long = EXAMPLES

    assert len(short.splitlines()) == 4
    shown = set(re.findall(r"^\s*(?:- )?(\w+):", long, re.MULTILINE))
    models = {key for model in _models(Config) for key in model.model_fields}
    assert len(models - shown) < len(models) / 4, sorted(models - shown)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        pytest.param({"interval": "5"}, "$.models[0].interval", id="a duration without a unit"),
        pytest.param({"name": "-"}, "$.models[0].name", id="a name"),
        pytest.param({"min_rows": True}, "$.models[0].min_rows", id="a boolean"),
        pytest.param({"min_rows": 0}, "$.models[0].min_rows", id="a bound"),
        pytest.param({"thresholds": {"psii": {}}}, "$.models[0].thresholds", id="a statistic"),
        pytest.param({"sampl": 1}, "$.models[0]", id="an unknown key"),
        pytest.param({"windows": []}, "$.models[0].windows", id="no window"),
    ],
)
def test_the_schema_finds_what_the_models_refuse(change: dict[str, Any], fault: str) -> None:
    """An editor marks such a key before anything runs."""
    model = {"name": "m", "reference": "r.csv", "current": {"url": "c.csv"}, **change}

    assert list(_faults({"models": [model]}, SCHEMA)) == [fault]


def _text_only(example: str) -> str:
    # A date is text for us and for editors; this plain loader would make it a date.
    return re.sub(r": (\d{4}-\d\d-\d\d\S*)", r': "\1"', example)


KINDS: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}

NOTES = {"$schema", "$defs", "title", "description", "default", "examples"}


def _faults(value: Any, schema: dict[str, Any], at: str = "$") -> Iterator[str]:
    """Where a value breaks a schema: as much of JSON Schema as ours uses."""
    if "$ref" in schema:
        yield from _faults(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], at)
    if "anyOf" in schema and all(list(_faults(value, part, at)) for part in schema["anyOf"]):
        yield at
    if "type" in schema:
        boolean = isinstance(value, bool) and schema["type"] != "boolean"
        if boolean or not isinstance(value, KINDS[schema["type"]]):
            yield at
            return
    if not _within(value, schema):
        yield at
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _faults(item, schema.get("items", {}), f"{at}[{index}]")
    if isinstance(value, dict):
        yield from _faults_of_keys(value, schema, at)


def _within(value: Any, schema: dict[str, Any]) -> bool:
    checks: dict[str, Callable[[Any], object]] = {
        "enum": lambda rule: value in rule,
        "const": lambda rule: value == rule,
        "minimum": lambda rule: value >= rule,
        "maximum": lambda rule: value <= rule,
        "exclusiveMinimum": lambda rule: value > rule,
        "minLength": lambda rule: len(value) >= rule,
        "minItems": lambda rule: len(value) >= rule,
        "pattern": lambda rule: re.search(rule, value),
    }
    shape = {"$ref", "anyOf", "type", "items", "properties", "additionalProperties"}
    unknown = set(schema) - NOTES - shape - set(checks) - {"required", "propertyNames"}
    assert not unknown, f"this check does not know {unknown}"
    return all(check(schema[name]) for name, check in checks.items() if name in schema)


def _faults_of_keys(value: dict[str, Any], schema: dict[str, Any], at: str) -> Iterator[str]:
    if any(key not in value for key in schema.get("required", ())):
        yield at
    others = schema.get("additionalProperties", {})
    for key, item in value.items():
        if "propertyNames" in schema and list(_faults(key, schema["propertyNames"], at)):
            yield at
        if key in schema.get("properties", {}):
            yield from _faults(item, schema["properties"][key], f"{at}.{key}")
        elif others is False:
            yield at
        else:
            yield from _faults(item, others, f"{at}.{key}")
