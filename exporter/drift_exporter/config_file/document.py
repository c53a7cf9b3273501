"""A YAML file as plain data, with the place of every value and what is wrong with it.

Owner of ruamel.yaml. Knows nothing of the models; quotes the file only as it is written, so
that no value of the environment can get into a message.
"""

import re
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.representer import SafeRepresenter

from drift_exporter.config import masked_url
from drift_exporter.errors import ConfigError

MAX_BYTES = 1024 * 1024
"""Largest file that is read; a config has some kilobytes."""

MAX_VALUES = 100_000
"""Most values after aliases are followed: an alias of aliases grows without a large file."""

MAX_DEPTH = 50
"""Deepest nesting; an alias of itself has no end."""

_PREFIX = "tag:yaml.org,2002:"
_VARIABLE = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)\}|(?=(\{)))")

At = tuple[str | int, ...]
"""The keys and positions that lead to a value."""


class Place(NamedTuple):
    """Where a value stands, and what stands there."""

    line: int
    found: str
    """What the file says there, fit for a message."""


class Problem(NamedTuple):
    """Something that is wrong with the file."""

    line: int
    at: At
    text: str


def text_of(path: Path, limit: int) -> str:
    """The text of a UTF-8 file of at most so many bytes, or a ValueError that says why not."""
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
        text = text_of(path, MAX_BYTES)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}; is the path right?"
        ) from error
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


class Document:
    """A YAML file as plain data, the place of every value, and what is wrong so far."""

    def __init__(self, path: Path, environ: Mapping[str, str] | None) -> None:
        self.path = path
        self.places: dict[At, Place] = {}
        self.problems: list[Problem] = []
        self._environ = environ
        self._values = 0
        self.data = self._value(_composed(path), (), 1)

    def add(self, at: At, text: str, line: int | None = None) -> None:
        """Note that something is wrong at a place."""
        self.problems.append(Problem(line or self.line(at), at, text))

    def line(self, at: At) -> int:
        """The line of a value, or of the nearest one around it that the file has."""
        while at and at not in self.places:
            at = at[:-1]
        return self.places[at].line if at in self.places else 1

    def error(self) -> ConfigError:
        """All that is wrong, a line each, in the file's order."""
        said = [
            f"{self.path}:{line}: {shown(at)}{': ' if at else ''}{text}"
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
                url = text_of(folder / name, limit=16 * 1024).strip()
                if not url or len(url.splitlines()) > 1:
                    raise ValueError("has not one line")
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else str(error)
                self.add(at, f"found {place.found}, expected a file with a URL, but it: {why}")
                continue
            del holder["url_file"]
            holder["url"] = url
            self.places[(*at[:-1], "url")] = Place(place.line, "what url_file holds")

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
        self.places[at] = Place(line, _found(node))
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
        if tag in ("str", "timestamp"):
            return text if self._environ is None else self._replaced(text, at, self._environ)
        if tag not in _PLAIN:
            self.add(at, "found a tag, expected plain YAML")
            return None
        try:
            return _PLAIN[tag](text.replace("_", "").lower())
        except ValueError:  # a tag of the user's, or a number as YAML 1.1 wrote it
            return text

    def _replaced(self, text: str, at: At, environ: Mapping[str, str]) -> str:
        def value_of(match: re.Match[str]) -> str:
            dollar, name, opened = match.groups()
            if opened:
                self.add(at, "found '${' without a name, expected ${NAME}, or $$ for a dollar")
            elif name and name not in environ:
                self.add(at, f"the environment has no variable {name}; set it")
            return "$" if dollar else environ.get(name or "", "")

        return _VARIABLE.sub(value_of, text)


def _whole(text: str) -> int:
    base = {"0x": 16, "0o": 8, "0b": 2}.get(text.lstrip("+-")[:2], 10)
    return int(text, base)


_PLAIN: Mapping[str, Callable[[str], object]] = {
    "null": lambda _: None,
    "bool": lambda text: text in ("true", "yes", "on", "y"),
    "int": _whole,
    "float": lambda text: float(text.replace(".inf", "inf").replace(".nan", "nan")),
}
"""How a scalar of a tag becomes a value, in lower case and without underscores."""


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


def shown(at: At) -> str:
    """A place as a person writes it, ``models[0].windows[1]``."""
    text = ""
    for step in at:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"[\w-]+", step):
            text += f".{step}" if text else step
        else:
            text += f"[{step!r}]"
    return text


class _Representer(SafeRepresenter):
    """Texts of several lines as blocks, fit to be read."""


def _text_node(representer: SafeRepresenter, text: str) -> ScalarNode:
    # A block keeps neither control characters nor blanks at its edges; quotes keep them all.
    plain = text.replace("\n", "").isprintable() and text.strip() == text.rstrip("\n")
    style = "|" if "\n" in text and plain else None if text.isprintable() else '"'
    return representer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Representer.add_representer(str, _text_node)


def yaml_of(value: object) -> str:
    """Plain data as YAML, mappings in their own order."""
    text = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    # ruamel's annotation only knows None, its default.
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.allow_unicode = True
    yaml.width = 4096
    yaml.dump(value, text)
    return text.getvalue()
