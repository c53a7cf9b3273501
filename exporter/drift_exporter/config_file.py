"""The config file: YAML and environment in, a Config or every error with its place out.

Knows where each value stands in the file and how to say what is wrong with it; never what
a key means (that is ``config``) and never shows a value that came from the environment,
from ``url_file`` or as the password of a URL: errors quote the file as it is written.
"""

import glob
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from drift_exporter.config import (
    HAS_SCHEME,
    Config,
    Model,
    ModelConfig,
    Source,
    default_thresholds,
    masked_url,
)
from drift_exporter.errors import ConfigError

MAX_BYTES = 1024 * 1024
"""Largest file that is read; a config has some kilobytes."""

MAX_VALUES = 100_000
"""Most values after aliases are followed: an alias of aliases grows without a large file."""

MAX_DEPTH = 50
"""Deepest nesting; an alias of itself has no end."""

_PREFIX = "tag:yaml.org,2002:"
_NUMBERS = {"0x": 16, "0o": 8, "0b": 2}
_VARIABLE = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)\}|(?=(\{)))")

At = tuple[str | int, ...]
"""The keys and positions that lead to a value."""


class _Place(NamedTuple):
    line: int
    found: str
    """What the file says there, fit for a message."""


class _Problem(NamedTuple):
    line: int
    at: At
    text: str


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """Read the config file, with ``${NAME}`` replaced and paths made absolute.

    Raises
    ------
    ConfigError
        If it cannot be used; the message has a line per error, in the file's order.
    """
    document = _Document(path, environ)
    folder = path.absolute().parent
    document.read_url_files(folder)
    if not isinstance(document.data, dict):
        found = document.places[()].found
        document.add((), f"found {found}, expected a mapping with the key models")
        raise document.error()
    try:
        config = Config.model_validate(document.data)
    except ValidationError as error:
        _explain(error, document)
        # Not "from error": its text may hold values of the environment.
        raise document.error() from None
    if document.problems:
        raise document.error()
    return _placed(config, folder)


def load_yaml(path: Path) -> object:
    """Plain data of another YAML file: mappings with text as keys, lists, texts, numbers.

    Raises
    ------
    ConfigError
        If it cannot be read, is not YAML, or names a key twice.
    """
    document = _Document(path, environ=None)
    if document.problems:
        raise document.error()
    return document.data


def masked_yaml(config: Config) -> str:
    """The config that runs, with its defaults, as YAML without secrets."""
    text = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    yaml.allow_unicode = True
    yaml.width = 4096
    yaml.dump(_escaped(_masked(config)), text)
    return text.getvalue()


def config_hash(config: Config) -> str:
    """Twelve hex digits that tell configs apart, the same in every process.

    Secrets are masked first, so that nobody can test guesses of a password against it: to
    learn whether a password changed, compare the configs themselves.
    """
    canonical = json.dumps(_masked(config), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _masked(config: Config) -> dict[str, Any]:
    data: dict[str, Any] = config.model_dump(mode="json")
    places = [data["store"]]
    for model in data["models"]:
        places += [model["reference"], model["current"]]
        defaults = {name: limits and limits.model_dump() for name, limits in _defaults()}
        model["thresholds"] = {**defaults, **model["thresholds"]}
    for place in places:
        place["url"] = masked_url(place["url"])
    return data


def _defaults() -> Iterator[tuple[str, BaseModel | None]]:
    yield from default_thresholds().items()


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


# Reading


def _text_of(path: Path, limit: int) -> str:
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"has more than {limit} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"is not UTF-8 (line {line})") from error


def _composed(path: Path) -> Node:
    try:
        text = _text_of(path, MAX_BYTES)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; is the path right?") from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}; save it as a small UTF-8 text") from error
    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False
    # None of these "from error": the parser's text quotes the line, and with it a password.
    try:
        node: Node | None = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(f"{path}:{mark.line + 1 if mark else 1}: {_said(error)}") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{path}:{line}: not YAML: a control character; remove it") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply; expected a config") from None
    except (YAMLError, OverflowError, ValueError):
        raise ConfigError(f"{path}: not YAML; check it with a YAML linter") from None
    if node is None:
        raise ConfigError(f"{path}: is empty; expected a mapping, see docs/config.md")
    return node


def _said(error: MarkedYAMLError) -> str:
    problem, context = str(error.problem or ""), str(error.context or "")
    if "alias" in problem + context:
        return "not YAML: an alias without its anchor; put a text that begins with * in quotes"
    if "tag" in problem + context:
        return "not YAML: an unknown tag; put a text that begins with ! in quotes"
    if "document" in problem and "document" in context:
        return "not YAML for a config: a second document; expected one"
    hint = "indent with spaces" if r"\t" in problem else "put special characters in quotes"
    return f"not YAML: {', '.join(filter(None, (context, problem)))}; {hint}"


class _Document:
    """A YAML file as plain data, the place of every value, and what is wrong so far."""

    def __init__(self, path: Path, environ: Mapping[str, str] | None) -> None:
        self.path = path
        self.places: dict[At, _Place] = {}
        self.problems: list[_Problem] = []
        self._environ = environ
        self._values = 0
        self.data = self._value(_composed(path), (), 1)

    def add(self, at: At, text: str, line: int | None = None) -> None:
        """Note that something is wrong at a place, or at the nearest one that the file has."""
        known = at
        while known not in self.places and known:
            known = known[:-1]
        if line is None:
            line = self.places[known].line if known in self.places else 1
        self.problems.append(_Problem(line, at, text))

    def error(self) -> ConfigError:
        """All that is wrong, a line each, in the file's order."""
        said = [
            f"{self.path}:{line}: {_shown(at)}{': ' if at else ''}{text}"
            for line, at, text in sorted(self.problems, key=lambda it: (it.line, str(it.at)))
        ]
        return ConfigError("\n".join(dict.fromkeys(said)))

    def hidden(self, at: At) -> bool:
        """Whether what is wrong at a place may only follow from a problem already noted."""
        return any(problem.at[: len(at)] == at for problem in self.problems)

    def read_url_files(self, folder: Path) -> None:
        """Put the URL that a file holds in the place of each ``url_file``."""
        for at, place in list(self.places.items()):
            holder = self._at(at[:-1])
            name = holder.get("url_file") if at[-1:] == ("url_file",) else None
            if not isinstance(name, str) or "url" in holder or self.hidden(at):
                continue
            try:
                url = _text_of(folder / name, limit=16 * 1024).strip()
                if not url or len(url.splitlines()) > 1:
                    raise ValueError("has not one line")
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else str(error)
                self.add(at, f"found {place.found}, expected a file with a URL, but it: {why}")
                continue
            del holder["url_file"]
            holder["url"] = url
            self.places[(*at[:-1], "url")] = _Place(place.line, "what url_file holds")

    def _at(self, at: At) -> Any:
        value: Any = self.data
        for step in at:
            value = value[step]
        return value

    def _value(self, node: Node, at: At, line: int) -> object:
        self._values += 1
        if len(at) > MAX_DEPTH or self._values > MAX_VALUES:
            raise ConfigError(
                f"{self.path}:{line}: is nested too deeply or holds too many values once its "
                "aliases are followed; write it with fewer aliases"
            )
        self.places[at] = _Place(line, _found(node))
        tag = str(node.tag)
        if isinstance(node, MappingNode) and tag == _PREFIX + "map":
            pairs = self._pairs(node, at)
            return {
                name: self._value(value, (*at, name), key.start_mark.line + 1)
                for name, (key, value) in pairs.items()
            }
        if isinstance(node, SequenceNode) and tag == _PREFIX + "seq":
            return [
                self._value(item, (*at, index), item.start_mark.line + 1)
                for index, item in enumerate(node.value)
            ]
        if isinstance(node, ScalarNode):
            return self._scalar(node, tag.removeprefix(_PREFIX), at)
        self.add(at, "found a tag, expected plain YAML", line)
        return None

    def _pairs(self, node: MappingNode, at: At, merges: int = 0) -> dict[str, tuple[Node, Node]]:
        own: dict[str, tuple[Node, Node]] = {}
        merged: dict[str, tuple[Node, Node]] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            self._values += 1
            if str(key.tag) == _PREFIX + "merge":
                for base in value.value if isinstance(value, SequenceNode) else [value]:
                    if not isinstance(base, MappingNode) or merges > MAX_DEPTH:
                        self.add(at, "found << without a mapping, expected an alias of one", line)
                    elif self._values < MAX_VALUES:
                        merged = {**self._pairs(base, at, merges + 1), **merged}
            elif not isinstance(key, ScalarNode):
                self.add(at, "found a list or mapping as a key, expected text", line)
            elif key.value in own:
                first = own[key.value][0].start_mark.line + 1
                self.add((*at, key.value), f"given twice, first in line {first}; keep one", line)
            else:
                own[key.value] = (key, value)
        return {**merged, **own}

    def _scalar(self, node: ScalarNode, tag: str, at: At) -> object:
        text = str(node.value)
        plain = text.replace("_", "").lower()
        try:
            if tag == "null":
                return None
            if tag == "bool":
                return plain in ("true", "yes", "on", "y")
            if tag == "int":
                digits = plain.lstrip("+-")
                number = int(digits.removeprefix(digits[:2]), _NUMBERS[digits[:2]]) if (
                    digits[:2] in _NUMBERS
                ) else int(digits)
                return -number if plain.startswith("-") else number
            if tag == "float":
                return float(plain.replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError:  # a tag of the user's, or a number as YAML 1.1 wrote it
            return text
        if tag not in ("str", "timestamp"):
            self.add(at, "found a tag, expected plain YAML")
            return None
        return text if self._environ is None else self._replaced(text, at, self._environ)

    def _replaced(self, text: str, at: At, environ: Mapping[str, str]) -> str:
        def value_of(match: re.Match[str]) -> str:
            dollar, name, opened = match.groups()
            if opened:
                self.add(at, "found '${' without a name, expected ${NAME}, or $$ for a dollar")
            elif name and name not in environ:
                self.add(at, f"the environment has no variable {name}; set it")
            return "$" if dollar else environ.get(name or "", "")

        return _VARIABLE.sub(value_of, text)


def _found(node: Node) -> str:
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        short = len(node.value) <= 8 and all(isinstance(item, ScalarNode) for item in node.value)
        return f"[{', '.join(_found(item) for item in node.value)}]" if short else "a list"
    if str(node.tag) == _PREFIX + "null":
        return "nothing"
    text = masked_url(str(node.value))
    text = f"{text[:60]}…" if len(text) > 60 else text
    return repr(text) if str(node.tag) == _PREFIX + "str" else text


def _shown(at: At) -> str:
    shown = ""
    for step in at:
        if isinstance(step, int):
            shown += f"[{step}]"
        elif re.fullmatch(r"[\w-]+", step):
            shown += f".{step}" if shown else step
        else:
            shown += f"[{step!r}]"
    return shown


# What pydantic says, in our words

_EXPECTED = {
    "dict_type": "a mapping",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller number",
    "int_type": "a whole number",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "literal_error": "{expected}",
    "model_type": "a mapping",
    "string_too_short": "text that is not empty",
    "string_type": "text",
    "too_short": "a list of at least {min_length:g}",
    "tuple_type": "a list",
}


def _explain(error: ValidationError, document: _Document) -> None:
    details = error.errors(include_url=False)
    noted = _Noted(document)
    for detail in details:
        noted.add(detail, [other["loc"] for other in details])
    document.problems += noted.problems


class _Noted:
    """The errors of the models, as problems of the file."""

    def __init__(self, document: _Document) -> None:
        self.problems: list[_Problem] = []
        self._document = document

    def add(self, detail: ErrorDetails, all_of: list[At]) -> None:
        loc, kind = detail["loc"], detail["type"]
        if kind == "too_short" and any(
            len(other) > len(loc) and other[: len(loc)] == loc for other in all_of
        ):
            return  # pydantic does not count items that have errors of their own
        at = self._at(loc)
        if self._document.hidden(at):
            return
        self._document_line(detail, at)

    def _document_line(self, detail: ErrorDetails, at: At) -> None:
        raise NotImplementedError

    def _at(self, loc: At) -> At:
        raise NotImplementedError
