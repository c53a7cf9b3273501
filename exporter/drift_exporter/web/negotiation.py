"""Which of two exposition formats, and which encoding, a scrape asked for.

Pure: header values in, a choice out. Knows no request, no response and no metric.
"""

import re
from enum import Enum
from functools import lru_cache


class Format(Enum):
    """A format that we write: media type, version and the header that names both."""

    TEXT = ("text/plain", "0.0.4")
    OPENMETRICS = ("application/openmetrics-text", "1.0.0")

    @property
    def content_type(self) -> str:
        """The value of Content-Type."""
        media_type, version = self.value
        return f"{media_type}; version={version}; charset=utf-8"


# A quoted string may hold the separators, so both splits step over it.
_QUOTED_OR_NOT = r'(?:"(?:[^"\\]|\\.)*"|[^{separator}"])+'
_ITEMS = re.compile(_QUOTED_OR_NOT.format(separator=","))
_PARTS = re.compile(_QUOTED_OR_NOT.format(separator=";"))
_WEIGHT = re.compile(r"0(\.\d*)?|1(\.0*)?")

_NAMED, _NAMED_WITH_VERSION = 2, 3
_BY_RANGE = {"*/*": 0, "text/*": 1, "application/*": 1}


@lru_cache(maxsize=64)
def negotiate(accept: str) -> Format:
    """The format that fits an Accept header best; text where none fits, as Prometheus expects.

    The most specific range that covers a format gives its weight. Of equal weights the one
    that is named more specifically wins, then the one named first, then text. Versions that
    we do not write cover nothing, whatever their weight.
    """
    best: dict[Format, tuple[int, float, int]] = {}
    for position, item in enumerate(_ITEMS.findall(accept)):
        media_range, parameters, weight = _range(item)
        if weight is None:
            continue
        for fmt in Format:
            specific = _specificity(fmt, media_range, parameters)
            if specific is not None:
                found = (specific, weight, -position)
                best[fmt] = max(best.get(fmt, found), found)
    ranked = [
        (weight, specific, position, fmt is Format.TEXT, fmt)
        for fmt, (specific, weight, position) in best.items()
        if weight > 0
    ]
    return max(ranked, key=lambda entry: entry[:4])[4] if ranked else Format.TEXT


def _specificity(fmt: Format, media_range: str, parameters: dict[str, str]) -> int | None:
    media_type, version = fmt.value
    if media_range == media_type:
        wanted = parameters.get("version")
        if wanted is None:
            return _NAMED
        return _NAMED_WITH_VERSION if wanted == version else None
    covers = media_range == "*/*" or media_range == media_type.partition("/")[0] + "/*"
    return _BY_RANGE[media_range] if covers else None


@lru_cache(maxsize=64)
def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header allows gzip and does not like plain bytes better."""
    weights: dict[str, float] = {}
    for item in _ITEMS.findall(accept_encoding):
        coding, _, weight = _range(item)
        if weight is not None:
            weights[coding.removeprefix("x-")] = weight
    gzip = weights.get("gzip", weights.get("*", 0.0))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def _range(item: str) -> tuple[str, dict[str, str], float | None]:
    """The name of an item, its parameters and its weight, None where the weight is no weight."""
    name, *rest = _PARTS.findall(item) or [""]
    parameters = {}
    for part in rest:
        key, _, value = part.partition("=")
        parameters[key.strip().lower()] = value.strip().strip('"')
    text = parameters.pop("q", "1")
    weight = float(text) if _WEIGHT.fullmatch(text) else None
    return name.strip().lower(), parameters, weight
