"""What pydantic finds wrong with a config, in our words and at its place in the file.

Knows pydantic's kinds of errors; shows what the file says and never the value that was
checked, which may come from the environment.
"""

from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from drift_exporter.config import Config, Model
from drift_exporter.config_file.document import At, Document, Problem

_EXPECTED = {
    "bool_type": "true or false",
    "bool_parsing": "true or false",
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


def explain(error: ValidationError, document: Document) -> None:
    """Add to a document's problems what its models found."""
    details = error.errors(include_url=False)
    found: list[Problem] = []
    for detail in details:
        loc, kind = detail["loc"], detail["type"]
        beneath = any(len(d["loc"]) > len(loc) and d["loc"][: len(loc)] == loc for d in details)
        if kind == "too_short" and beneath:
            continue  # pydantic does not count items that have errors of their own
        at = _at(loc, document)
        if document.hidden(at) or _said_better(detail, at, details, document):
            continue
        end = (*at, *detail["ctx"]["at"]) if kind == "config" else at
        text = _in_words(detail, at, end, document)
        found.append(Problem(document.line(end), end, text))
    document.problems += found


def _said_better(
    detail: ErrorDetails, at: At, details: list[ErrorDetails], document: Document
) -> bool:
    """Whether the other side of a union, a text or a mapping, tells more of what is wrong."""
    place = document.places.get(at)
    if detail["loc"][-1:] == ("[key]",):
        return False
    if detail["type"] == "literal_error" and place is not None:
        return place.found == "a mapping"
    return detail["type"] == "model_type" and any(
        other["type"] == "literal_error" and _at(other["loc"], document) == at for other in details
    )


def _at(loc: At, document: Document) -> At:
    """Where in the file: pydantic's place without its own words, such as those of unions."""
    at: At = ()
    for step in loc:
        if (*at, step) in document.places:
            at = (*at, step)
    last = loc[-1] if loc else ""
    if last not in at[-1:] and last in _keys(_hint(Config, at)):
        at = (*at, last)  # a key that is missing
    return at


def _in_words(detail: ErrorDetails, at: At, end: At, document: Document) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    place = document.places.get(end)
    if kind == "missing":
        return f"missing, expected {_meaning(at)}"
    if kind == "extra_forbidden" or detail["loc"][-1:] == ("[key]",):
        return _unknown_key(at)
    if kind == "config":
        expected, found = context["expected"], context["found"]
        if context["beside"]:
            beside = document.places.get((*end[: len(at)], context["beside"]))
            expected += f" ({beside.found if beside else context['note'].strip(' ()')})"
        if place is None:
            said = "missing" if found == "None" else f"found {found} by default"
            return f"{said}, expected {expected}"
    elif kind == "value_error":
        said, _, expected = str(context["error"]).rpartition("expected ")
        if not said:  # written without "found …, expected …": it names no value
            return expected
    else:
        expected = _EXPECTED.get(kind, "{}").format(detail["msg"], **context)
    said = f"found {place.found if place else 'nothing'}, expected {expected}"
    if kind == "string_type" and place and not place.found.startswith(("a ", "[", "nothing")):
        said += "; put it in quotes"
    return said


def _unknown_key(at: At) -> str:
    keys = _keys(_hint(Config, at[:-1]))
    near = get_close_matches(str(at[-1]), keys, n=1)
    if near:
        return f"unknown key, did you mean {near[0]!r}?"
    return f"unknown key, expected one of {', '.join(keys)}"


def _meaning(at: At) -> str:
    model = _hint(Config, at[:-1])
    text = " ".join((model.model_fields[str(at[-1])].description or "").split())
    return text[:1].lower() + text[1:].rstrip(".")


def _hint(hint: Any, at: At) -> Any:
    """The type that the models give to the value at a place, or None."""
    for step in at:
        hint = _inner(hint, step)
    return _bare(hint)


def _inner(hint: Any, step: str | int) -> Any:
    hint = _bare(hint)
    if isinstance(hint, type) and issubclass(hint, Model):
        field = hint.model_fields.get(str(step))
        return field.annotation if field else None
    return get_args(hint)[-1 if get_origin(hint) is dict else 0] if get_args(hint) else None


def _bare(hint: Any) -> Any:
    """A type without what stands beside it: Annotated's rules, None and a union's simpler part."""
    while get_origin(hint) in (Annotated, Union, UnionType):
        parts = get_args(hint)[:1] if get_origin(hint) is Annotated else get_args(hint)
        hint = next((part for part in parts if part is not type(None)), None)
    return hint


def _keys(hint: Any) -> list[str]:
    """The keys that a mapping of such a type may have, where they are known."""
    if isinstance(hint, type) and issubclass(hint, Model):
        return list(hint.model_fields)
    if get_origin(hint) is dict:
        return list(get_args(_bare(get_args(hint)[0])))
    return []
